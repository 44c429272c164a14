// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same requests, written by the library and by qemu-io, whose changes of
 * files a recorder writes down (record/): the same walk, the same questions.
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"
#include "img-dump.h"
#include "record/record.h"

#define STEPS	24
#define PROMPT	"qemu-io> "

struct step {
	enum { STEP_WRITE, STEP_ZERO, STEP_UNMAP, STEP_FLUSH } what;
	u64 pos;
	u64 len;
	u8 byte;
};

struct player {
	struct crash_work w;
	struct step step[STEPS];
	/* qemu-io's */
	pid_t pid;
	FILE *to;
	int from;
	FILE *record;
	dev_t dev[CRASH_FILES];
	ino_t ino[CRASH_FILES];
};

/* --- requests --- */

static void make_steps(struct player *p)
{
	struct crash_work *w = &p->w;
	u64 last = w->s->c.from;
	u32 i;

	for (i = 0; i < STEPS; i++) {
		struct step *step = &p->step[i];
		u64 dice = ut_below(&w->rng, 20);

		step->what = dice < 13 ? STEP_WRITE : dice < 15 ? STEP_ZERO :
			     dice < 17 ? STEP_UNMAP : STEP_FLUSH;
		step->pos = last = crash_random_pos(w, last);
		step->len = min_t(u64, crash_random_len(w), w->s->c.size - step->pos);
		step->byte = (u8)(i + 1);
	}
	p->step[STEPS - 1].what = STEP_FLUSH;
}

/* Tell the oracle and the log, before and after. */
static void note_begin(struct player *p, u32 i)
{
	const struct step *step = &p->step[i];

	if (step->what == STEP_FLUSH) {
		crash_note(&p->w, CRASH_FLUSH_BEGIN, p->w.s->oracle.flush_epoch, 0, 0, NULL);
		return;
	}
	memset(p->w.data, step->byte, step->len);
	crash_note(&p->w, CRASH_BEGIN, i + 1, step->pos, step->len,
		   step->what == STEP_WRITE ? p->w.data : NULL);
}

static void note_done(struct player *p, u32 i)
{
	const struct step *step = &p->step[i];

	if (step->what == STEP_FLUSH)
		crash_note(&p->w, CRASH_FLUSH_DONE, p->w.s->oracle.flush_epoch - 1, 0, 0, NULL);
	else
		crash_note(&p->w, CRASH_DONE, i + 1, step->pos, step->len, NULL);
}

/* --- the library --- */

static int own_step(struct player *p, const struct step *step)
{
	struct vd_chain *chain = p->w.chain;

	switch (step->what) {
	case STEP_WRITE:
		return vd_write(chain, step->pos, p->w.data, (u32)step->len);
	case STEP_ZERO:
	case STEP_UNMAP:
		return vd_write_zeroes(chain, step->pos, step->len, step->what == STEP_UNMAP);
	case STEP_FLUSH:
		return vd_flush(chain);
	}
	return -EINVAL;
}

static bool play_own(struct player *p)
{
	char *rule = p->w.rule;
	int ret = 0;
	u32 i;

	p->w.chain = crash_set_open(&p->w.s->set, true, rule);
	if (!p->w.chain)
		return false;
	for (i = 0; i < STEPS && !ret; i++) {
		note_begin(p, i);
		ret = own_step(p, &p->step[i]);
		note_done(p, i);
	}
	vd_chain_close(p->w.chain);
	return !ret || img_bad(rule, "request %u: error %d", i, ret);
}

/* --- qemu-io --- */

static void __attribute__((noreturn)) give_up(const char *what)
{
	perror(what);
	exit(2);
}

void crash_write_files(const struct crash_set *set, const char *dir)
{
	u32 i;

	for (i = 0; i < set->nr; i++)
		img_dump_member(dir, i, set->file[i].data, set->file[i].len);
	for (i = 0; set->fmt->descriptor && i < set->c->set.nr_images; i++)
		img_dump_descriptor(&set->c->set, dir, i);
}

static void write_files(struct player *p, const char *dir)
{
	const struct crash_set *set = &p->w.s->start;
	char path[PATH_MAX];
	struct stat st;
	u32 i;

	crash_write_files(set, dir);
	for (i = 0; i < set->nr; i++) {
		snprintf(path, sizeof(path), "%s/file%u.vmdk", dir, i);
		if (stat(path, &st))
			give_up(path);
		p->dev[i] = st.st_dev;
		p->ino[i] = st.st_ino;
	}
}

static void become_qemu(const struct crash_format *fmt, const char *dir, const char *shim, int in,
			int out)
{
	char image[PATH_MAX], record[PATH_MAX];

	snprintf(image, sizeof(image), "%s/%s", dir, fmt->image);
	snprintf(record, sizeof(record), "%s/record", dir);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 ||
	    setenv("LD_PRELOAD", shim, 1) || setenv("VD_RECORD", record, 1))
		_exit(126);
	execlp("qemu-io", "qemu-io", "-f", fmt->qemu, "-t", "writeback", image, (char *)NULL);
	_exit(127);
}

static void start_qemu(struct player *p, const char *dir, const char *shim)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		give_up("pipe");
	p->pid = fork();
	if (p->pid < 0)
		give_up("fork");
	if (!p->pid)
		become_qemu(p->w.s->fmt, dir, shim, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	p->to = fdopen(in[1], "w");
	p->from = out[0];
	if (!p->to)
		give_up("fdopen");
}

/* Its answer to the last command: all up to the prompt. False: it has gone. */
static bool wait_for_prompt(struct player *p, char *text, size_t room)
{
	size_t n = 0;

	while (n + 1 < room) {
		ssize_t got = read(p->from, text + n, 1);

		if (got <= 0)
			break;
		text[++n] = '\0';
		if (n >= strlen(PROMPT) && !strcmp(text + n - strlen(PROMPT), PROMPT))
			return true;
	}
	text[n] = '\0';
	return false;
}

/* Which of our files is it? @nr: none. */
static u32 file_of(const struct player *p, const struct crash_record *rec, u32 nr)
{
	u32 i;

	for (i = 0; i < nr && (p->ino[i] != rec->ino || p->dev[i] != rec->dev); i++)
		;
	return i;
}

/* What it has done to our files since the last time. */
static void take_records(struct player *p)
{
	static const u8 what[] = {
		[CRASH_REC_WRITE] = CRASH_WRITE, [CRASH_REC_ZERO] = CRASH_ZERO,
		[CRASH_REC_GROW] = CRASH_GROW, [CRASH_REC_SIZE] = CRASH_SIZE,
		[CRASH_REC_FLUSH] = CRASH_FLUSH,
	};
	struct crash_record rec;
	u8 *data;
	u32 i;

	clearerr(p->record);
	while (fread(&rec, sizeof(rec), 1, p->record) == 1) {
		data = NULL;
		if (rec.what == CRASH_REC_WRITE) {
			data = ut_xalloc(rec.len);
			if (fread(data, 1, rec.len, p->record) != rec.len)
				give_up("record");
		}
		i = file_of(p, &rec, p->w.s->set.nr);
		if (rec.what == CRASH_REC_GROW) {
			rec.len += rec.pos;
			rec.pos = 0;
		}
		/* The descriptor's text is none of our files. */
		if (i < p->w.s->set.nr)
			crash_log_add(&p->w.s->log, (enum crash_what)what[rec.what], i, rec.pos,
				      rec.len, data);
		free(data);
	}
}

static void command(FILE *to, const struct step *step)
{
	switch (step->what) {
	case STEP_WRITE:
		fprintf(to, "write -P %u %llu %llu\n", step->byte, step->pos, step->len);
		break;
	case STEP_ZERO:
		fprintf(to, "write -z %llu %llu\n", step->pos, step->len);
		break;
	case STEP_UNMAP:
		fprintf(to, "write -z -u %llu %llu\n", step->pos, step->len);
		break;
	case STEP_FLUSH:
		fprintf(to, "flush\n");
		break;
	}
	fflush(to);
}

static bool run_qemu(struct player *p)
{
	char text[4096];
	u32 i;

	if (!wait_for_prompt(p, text, sizeof(text)))
		return img_bad(p->w.rule, "qemu-io does not start: %.120s", text);
	take_records(p);
	for (i = 0; i < STEPS; i++) {
		note_begin(p, i);
		command(p->to, &p->step[i]);
		if (!wait_for_prompt(p, text, sizeof(text)) || strstr(text, "failed") ||
		    strstr(text, "rror"))
			return img_bad(p->w.rule, "qemu-io, request %u: %.120s", i, text);
		take_records(p);
		note_done(p, i);
	}
	return true;
}

/* What it does when it closes the image belongs to the log, too. */
static bool end_qemu(struct player *p)
{
	int status;

	fprintf(p->to, "quit\n");
	fclose(p->to);
	if (waitpid(p->pid, &status, 0) < 0)
		give_up("wait");
	close(p->from);
	take_records(p);
	return (WIFEXITED(status) && !WEXITSTATUS(status)) ||
	       img_bad(p->w.rule, "qemu-io ended with status %x", (unsigned int)status);
}

/* One change of the log, all of it. */
static void redo(struct crash_file *f, const struct crash_op *op)
{
	u64 end = op->pos + op->len;

	switch (op->what) {
	case CRASH_WRITE:
		if (end > CRASH_ROOM)
			give_up("a write past any file");
		memcpy(f->data + op->pos, op->data, op->len);
		f->len = max_t(u64, f->len, end);
		break;
	case CRASH_ZERO:
		if (op->pos < f->len)
			memset(f->data + op->pos, 0, min_t(u64, end, f->len) - op->pos);
		break;
	case CRASH_GROW:
		f->len = max_t(u64, f->len, op->len);
		break;
	case CRASH_SIZE:
		crash_file_resize(f, op->len);
		break;
	}
}

static bool same_file(const struct crash_file *f, const char *path)
{
	FILE *file = fopen(path, "r");
	u8 *data = ut_xalloc(CRASH_ROOM + 1);
	bool same;

	if (!file)
		give_up(path);
	same = fread(data, 1, CRASH_ROOM + 1, file) == f->len && !memcmp(data, f->data, f->len);
	fclose(file);
	free(data);
	return same;
}

/* The log, done again to the files as they were, must make those that there are now. */
static bool is_complete(struct player *p, const char *dir)
{
	const struct crash_session *s = p->w.s;
	struct crash_set set;
	char path[PATH_MAX];
	bool good = true;
	u32 i;

	crash_set_init(&set, s->fmt, &s->c);
	for (i = 0; i < set.nr; i++)
		crash_file_copy(&set.file[i], &s->start.file[i]);
	for (i = 0; i < s->log.nr; i++) {
		if (s->log.op[i].what < CRASH_FLUSH)
			redo(&set.file[s->log.op[i].file], &s->log.op[i]);
	}
	for (i = 0; i < set.nr && good; i++) {
		snprintf(path, sizeof(path), "%s/file%u.vmdk", dir, i);
		good = same_file(&set.file[i], path) ||
		       img_bad(p->w.rule, "file %u is not what was recorded of qemu-io", i);
	}
	crash_set_free(&set);
	return good;
}

static bool play_qemu(struct player *p, const char *dir, const char *shim)
{
	char path[PATH_MAX];
	bool good;

	write_files(p, dir);
	snprintf(path, sizeof(path), "%s/record", dir);
	p->record = fopen(path, "w+");
	if (!p->record)
		give_up(path);
	start_qemu(p, dir, shim);
	good = run_qemu(p);
	good &= end_qemu(p);
	fclose(p->record);
	return good && is_complete(p, dir);
}

/* --- both --- */

/* Requests, then the walk. */
static bool compare_trial(const struct img_kind *kind, u64 seed, u64 limit, bool qemu,
			  const struct crash_compare *how, struct crash_tally *tally,
			  struct crash_stats *stats)
{
	char rule[IMG_RULE] = "";
	struct crash_session s;
	struct crash_walk w;
	struct player p;
	bool good;

	crash_session_init(&s, how->fmt, kind, seed);
	memset(&p, 0, sizeof(p));
	p.w = (struct crash_work){ .s = &s, .rng = { seed }, .rule = rule };
	p.w.data = ut_xalloc(s.c.size);
	make_steps(&p);
	good = qemu ? play_qemu(&p, how->dir, how->shim) : play_own(&p);
	if (good) {
		crash_walk_init(&w, &s, stats);
		w.limit = limit;
		w.tally = tally;
		w.again_every = 0;
		tally->dir = how->dir;
		crash_walk_log(&w, seed);
		crash_walk_free(&w);
	} else {
		fprintf(stderr, "%s: %s\n", kind->name, rule);
	}
	stats->trials++;
	free(p.w.data);
	crash_session_free(&s);
	return good;
}

static bool compare_writer(const char *writer, const struct crash_compare *how)
{
	struct crash_stats stats = { 0 };
	struct crash_tally tally = { 0 };
	u64 trial, share;
	u32 i, nr = 0;

	for (i = 0; i < how->fmt->nr; i++)
		nr += how->foreign[i];
	if (!nr)
		return false;
	for (trial = 0; stats.states < how->states; trial++) {
		for (i = 0; i < how->fmt->nr; i++) {
			if (!how->foreign[i])
				continue;
			share = stats.states + how->states / nr / 4 + 1;
			if (!compare_trial(&how->fmt->kind[i],
					   ut_mix(how->seed * 1000003 + trial), share,
					   !strcmp(writer, "qemu"), how, &tally, &stats))
				return false;
		}
	}
	crash_tally_print(&tally, writer, &stats);
	return true;
}

/*
 * QEMU writes over a COWD's header where a table is missing: no power cut is needed
 * to lose that image, so it would be no comparison.
 */
static bool is_foreign(const struct img_kind *kind)
{
	struct img_case c;
	bool foreign;
	u32 i;

	img_case_make(&c, kind, 1);
	foreign = c.foreign;
	for (i = 0; i < c.set.nr_segs && !c.set.segs[i].image; i++)
		foreign &= c.set.segs[i].kind != VDISK_SEG_VMDK_COWD;
	img_case_free(&c);
	return foreign;
}

bool crash_compare(struct crash_compare *how)
{
	u32 i;

	for (i = 0; i < how->fmt->nr; i++)
		how->foreign[i] = is_foreign(&how->fmt->kind[i]);
	return compare_writer("own", how) && compare_writer("qemu", how);
}
