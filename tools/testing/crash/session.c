// SPDX-License-Identifier: GPL-2.0-only
/* Sessions: the first of a trial begins with a new image, others with what a crash left. */
#include "crash.h"

static u8 *read_below(const struct img_case *c)
{
	u8 *out = ut_xalloc(c->size), *parents;

	if (c->nr > 1) {
		parents = ut_flatten((struct ut_disk *const *)c->disk + 1, c->nr - 1);
		memcpy(out, parents, min(c->size, c->disk[1]->size));
		free(parents);
	}
	return out;
}

/* How each extent is before anything is done to it. */
static bool look_first(struct crash_session *s, char *rule)
{
	u32 i;

	for (i = 0; i < crash_nr_extents(&s->start); i++) {
		if (!crash_set_look(&s->start, i, &s->first[i], rule))
			return false;
		s->clean[i] = s->first[i].hash;
	}
	return true;
}

void crash_session_init(struct crash_session *s, const struct crash_format *fmt,
			const struct img_kind *kind, u64 seed)
{
	char rule[IMG_RULE] = "";
	u32 i;

	memset(s, 0, sizeof(*s));
	s->fmt = fmt;
	img_case_make(&s->c, kind, seed);
	crash_set_init(&s->start, fmt, &s->c);
	crash_set_init(&s->set, fmt, &s->c);
	crash_log_init(&s->log);
	crash_oracle_init(&s->oracle, s->c.size);
	s->content = img_case_want(&s->c);
	s->below = read_below(&s->c);
	s->buf = ut_xalloc(s->c.size);
	s->other = ut_xalloc(s->c.size);
	crash_oracle_set(&s->oracle, s->content);
	if (!look_first(s, rule)) {
		fprintf(stderr, "%s: not a good image: %s\n", kind->name, rule);
		abort();
	}
	for (i = 0; i < s->set.nr; i++)
		s->set.file[i].log = &s->log;
}

void crash_session_free(struct crash_session *s)
{
	crash_set_free(&s->start);
	crash_set_free(&s->set);
	crash_log_free(&s->log);
	crash_oracle_free(&s->oracle);
	free(s->content);
	free(s->below);
	free(s->buf);
	free(s->other);
	img_case_free(&s->c);
}

static bool read_all(struct crash_set *set, u8 *buf, char *rule)
{
	struct vd_chain *chain = crash_set_open(set, false, rule);
	int ret;

	if (!chain)
		return false;
	ret = vd_read(chain, NULL, 0, buf, (u32)set->c->size);
	vd_chain_close(chain);
	return !ret || img_bad(rule, "vd_read of all: error %d", ret);
}

/* A repair may settle a sector to another content that the crash allows: not known before. */
static void note_changes(struct crash_session *s)
{
	struct crash_op *op;
	u64 pos;

	for (pos = 0; pos < s->c.size; pos += VD_SECTOR) {
		if (!memcmp(s->buf + pos, s->content + pos, VD_SECTOR))
			continue;
		op = crash_log_add(&s->log, CRASH_BEGIN, 0, pos, VD_SECTOR, s->buf + pos);
		op->request = ++s->requests;
		crash_oracle_step(&s->oracle, op);
		op = crash_log_add(&s->log, CRASH_DONE, 0, pos, VD_SECTOR, NULL);
		op->request = s->requests;
		crash_oracle_step(&s->oracle, op);
	}
	op = crash_log_add(&s->log, CRASH_FLUSH_BEGIN, 0, 0, 0, NULL);
	op->request = s->oracle.flush_epoch;
	crash_oracle_step(&s->oracle, op);
	op = crash_log_add(&s->log, CRASH_FLUSH_DONE, 0, 0, 0, NULL);
	op->request = s->oracle.flush_epoch - 1;
	crash_oracle_step(&s->oracle, op);
}

/* Move what the repair did behind what it may show: it was not known before. */
static void move_changes_first(struct crash_session *s, u32 repair_ops)
{
	u32 n = s->log.nr - repair_ops, front = 0, i;
	struct crash_op *out = ut_xalloc((s->log.nr + 1) * sizeof(*out));

	for (i = repair_ops; i < s->log.nr; i++) {
		if (s->log.op[i].what == CRASH_BEGIN)
			out[front++] = s->log.op[i];
	}
	memcpy(out + front, s->log.op, repair_ops * sizeof(*out));
	front += repair_ops;
	for (i = repair_ops; i < s->log.nr; i++) {
		if (s->log.op[i].what != CRASH_BEGIN)
			out[front++] = s->log.op[i];
	}
	assert_true(front == repair_ops + n);
	memcpy(s->log.op, out, front * sizeof(*out));
	free(out);
}

static bool note_tables(struct crash_session *s, bool repaired, char *rule)
{
	struct crash_tables now;
	u32 i;

	for (i = 0; i < crash_nr_extents(&s->set); i++) {
		if (!crash_set_look(&s->set, i, &now, rule))
			return false;
		if (repaired && (now.marked || !now.same || now.uncounted || now.cut))
			return img_bad(rule, "extent %u is still unclean after its repair", i);
		s->clean[i] = now.hash;
	}
	return true;
}

static bool repair_all(struct crash_session *s, char *rule)
{
	u64 found[VD_FINDING_CORRUPT + 1];
	u32 i, ops;

	if (!crash_set_check(&s->set, VD_CHECK_REPAIR | VD_CHECK_MERGE, found, rule) ||
	    !read_all(&s->set, s->buf, rule))
		return false;
	ops = s->log.nr;
	note_changes(s);
	move_changes_first(s, ops);
	s->repair_end = s->log.nr;
	/* They are no guest's writes: no patch need come before them. */
	for (i = 0; i < s->repair_end; i++)
		s->log.op[i].patch = true;
	return true;
}

bool crash_session_from(struct crash_session *s, const struct crash_set *from, bool repair,
			char *rule)
{
	u32 i;

	crash_log_reset(&s->log);
	s->requests = 0;
	s->repair_end = 0;
	rule[0] = '\0';
	for (i = 0; i < from->nr; i++) {
		crash_file_copy(&s->start.file[i], &from->file[i]);
		s->set.file[i].log = NULL;
		crash_file_copy(&s->set.file[i], &from->file[i]);
		s->set.file[i].log = &s->log;
	}
	if (!look_first(s, rule) || !read_all(&s->set, s->content, rule))
		return false;
	crash_oracle_set(&s->oracle, s->content);
	if (repair && !repair_all(s, rule))
		return false;
	return note_tables(s, repair, rule);
}
