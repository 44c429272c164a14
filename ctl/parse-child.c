// SPDX-License-Identifier: GPL-2.0-only
/*
 * All text of an image is parsed here, in a child that holds the image and a
 * pipe and can do nothing else (sandbox.c). Its answer is one block of
 * numbers and bounded strings, which the parent checks before use.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "image-set.h"
#include "vdisk/caps.h"
#include "vdisk/ufile.h"

#define ANSWER_MAGIC 0x414c4456
#define WRITE_PAST (16U << 20)	/* bytes that a changed file may be longer for a while */

/*
 * What the child is to find out: a layout, a format, the state of an extent, a text with
 * other names in it; or to do: @want is to be set.
 */
struct task {
	const struct vd_format *forced;
	bool want_layout;
	bool extent;
	u32 kind;
	const struct vd_props *want;
	const char *pool;
	const struct vd_new_names *names;
};

/* What comes through the pipe first; @len bytes, of a layout or a file, follow. */
struct answer {
	u32 magic;
	s32 code;
	u32 format;
	u32 score;
	u32 len;
	char subformat[64];
	char text[VD_ERROR_TEXT];
	struct vd_extent_state state;
};

static const struct vd_format *format_by_name(const char *name)
{
	const struct vd_format *const *f;

	for (f = vd_formats(); *f; f++)
		if (!strcmp((*f)->name, name))
			return *f;
	return NULL;
}

/* The surest format, or NULL with *@score 0 if none knows the content. */
static int probe_all(struct vd_file *file, const struct vd_format **best, struct vd_probe *found)
{
	const struct vd_format *const *f;
	int ret;

	*best = NULL;
	memset(found, 0, sizeof(*found));
	for (f = vd_formats(); *f; f++) {
		struct vd_probe probe = { 0 };

		if (!((*f)->caps & VD_CAP_PROBE) || !(*f)->probe)
			continue;
		ret = (*f)->probe(file, &probe);
		if (ret)
			return ret;
		if (probe.score > found->score) {
			*best = *f;
			*found = probe;
		}
	}
	return 0;
}

static void put_text(char *to, size_t len, const char *from)
{
	if (from)
		snprintf(to, len, "%s", from);
}

/* Runs in the cage. */
static void work_extent(struct vd_file *file, const struct task *task, struct answer *answer)
{
	struct vd_error err = { 0 };

	answer->format = task->forced->id;
	answer->code = task->forced->user->extent(file, task->kind, &answer->state, &err);
	if (answer->code)
		put_text(answer->text, sizeof(answer->text), err.text);
}

/* Runs in the cage. The layout is read afresh: nobody else can change it now. */
static void work_set(struct vd_file *file, const struct task *task, struct answer *answer,
		     void **data)
{
	const struct vd_format_user *user = task->forced->user;
	struct vd_content content = { NULL, 0 };
	struct vd_layout *layout = NULL;
	struct vd_error err = { 0 };

	answer->format = task->forced->id;
	answer->code = user->layout(file, &layout, &err);
	if (!answer->code)
		answer->code = user->set_props(file, layout, task->want, task->pool, &content,
					       &err);
	if (answer->code)
		return put_text(answer->text, sizeof(answer->text), err.text);
	answer->len = content.len;
	*data = content.data;
}

/* Runs in the cage. */
static void work_renamed(struct vd_file *file, const struct task *task, struct answer *answer,
			 void **data)
{
	struct vd_error err = { 0 };
	char *text = NULL;

	answer->format = task->forced->id;
	answer->code = task->forced->user->renamed(file, task->names, &text, &answer->len, &err);
	if (answer->code)
		put_text(answer->text, sizeof(answer->text), err.text);
	else
		*data = text;
}

/* Runs in the cage. */
static void work(struct vd_file *file, const struct task *task, struct answer *answer,
		 void **data)
{
	struct vd_layout *layout = NULL;
	const struct vd_format *fmt = task->forced;
	struct vd_error err = { 0 };
	struct vd_probe probe = { 0 };

	if (fmt && fmt->probe)
		answer->code = fmt->probe(file, &probe);
	else if (!fmt)
		answer->code = probe_all(file, &fmt, &probe);
	if (answer->code)
		return put_text(answer->text, sizeof(answer->text), "reading the start of the file");
	if (!fmt) {
		answer->format = VDISK_FORMAT_RAW;
		return;
	}
	answer->format = fmt->id;
	answer->score = (u32)probe.score;
	put_text(answer->subformat, sizeof(answer->subformat), probe.subformat);
	if (!task->want_layout || !fmt->user || !fmt->user->layout)
		return;
	answer->code = fmt->user->layout(file, &layout, &err);
	if (answer->code)
		return put_text(answer->text, sizeof(answer->text), err.text);
	answer->len = layout->total;
	*data = layout;
}

static bool send_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static void __attribute__((noreturn)) child(int fd, int out, const struct task *task)
{
	struct answer answer = { .magic = ANSWER_MAGIC };
	void *data = NULL;
	struct vd_error err = { 0 };
	struct vd_file *file;
	int ret;

	file = vd_ufile_fd(fd, task->want, &err);
	ret = file ? sandbox_enter(fd, out, task->want ? file->size + WRITE_PAST : 0) : err.code;
	if (ret) {
		answer.code = ret;
		put_text(answer.text, sizeof(answer.text),
			 file ? "cannot confine the parser" : err.text);
	} else if (task->extent) {
		work_extent(file, task, &answer);
	} else if (task->want) {
		work_set(file, task, &answer, &data);
	} else if (task->names) {
		work_renamed(file, task, &answer, &data);
	} else {
		work(file, task, &answer, &data);
	}
	if (!send_all(out, &answer, sizeof(answer)) || !send_all(out, data, answer.len))
		_exit(1);
	_exit(0);
}

static bool receive(int fd, void *data, size_t len)
{
	char *p = data;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static int take_layout(int fd, const struct answer *answer, const char *path, struct parsed *out)
{
	struct vd_error err = { 0 };

	if (!answer->len)
		return 0;
	if (answer->len > VD_LAYOUT_MAX || answer->len < sizeof(struct vd_layout))
		return ctl_error(CTL_IMAGE, "image_damaged", path,
				 "the description of the image is %u bytes long", answer->len);
	out->layout = vd_zalloc(answer->len);
	if (!out->layout)
		return ctl_nomem();
	if (!receive(fd, out->layout, answer->len))
		return ctl_error(CTL_IMAGE, "image_damaged", path,
				 "the parser stopped in the middle of its answer");
	if (vd_layout_check(out->layout, answer->len, &err))
		return ctl_vd_error(&err, path);
	if (out->layout->format != out->format)
		return ctl_error(CTL_IMAGE, "image_damaged", path,
				 "the parser answered for another format");
	return 0;
}

static int take_content(int fd, const struct answer *answer, const char *path,
			struct vd_content *out)
{
	if (!answer->len)
		return 0;
	if (answer->len > VD_LAYOUT_MAX)
		return ctl_error(CTL_IMAGE, "image_damaged", path,
				 "the new content of the file is %u bytes long", answer->len);
	/* A NUL behind a text. */
	out->data = vd_zalloc((size_t)answer->len + 1);
	if (!out->data)
		return ctl_nomem();
	out->len = answer->len;
	if (!receive(fd, out->data, answer->len))
		return ctl_error(CTL_IMAGE, "image_damaged", path,
				 "the parser stopped in the middle of its answer");
	return 0;
}

static bool state_ok(const struct vd_extent_state *s)
{
	if (s->flags & ~(VD_LAYOUT_RDONLY | VD_LAYOUT_ONLY_CBT | VD_LAYOUT_UNCLEAN))
		return false;
	return !(s->flags & VD_LAYOUT_RDONLY) == !s->ro_reason[0];
}

static int take_error(const struct answer *answer, const struct task *task, const char *path)
{
	struct vd_error err = { .code = answer->code > 0 ? -EIO : answer->code };

	memcpy(err.text, answer->text, sizeof(err.text));
	/* What is to be set was said by whoever gave the command. */
	if (task->want && err.code == -EINVAL)
		return ctl_error(CTL_USAGE, "usage", path, "%s", err.text);
	return ctl_vd_error(&err, path);
}

/* @content: what follows is one, not a layout. */
static int take_answer(int fd, const char *path, const struct task *task, struct parsed *out,
		       struct vd_content *content)
{
	struct answer answer;

	if (!receive(fd, &answer, sizeof(answer)) || answer.magic != ANSWER_MAGIC)
		return -1;
	answer.text[sizeof(answer.text) - 1] = 0;
	answer.subformat[sizeof(answer.subformat) - 1] = 0;
	answer.state.ro_reason[sizeof(answer.state.ro_reason) - 1] = 0;
	if (answer.code)
		return take_error(&answer, task, path);
	if (!vd_format_name(answer.format) || !state_ok(&answer.state))
		return -1;
	out->state = answer.state;
	out->format = answer.format;
	out->score = (int)min(answer.score, 100U);
	memcpy(out->subformat, answer.subformat, sizeof(out->subformat));
	return content ? take_content(fd, &answer, path, content) :
			 take_layout(fd, &answer, path, out);
}

static int died(int status, const char *path)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return ctl_error(CTL_IMAGE, "image_damaged", path,
			  "the confined parser tried something forbidden and was stopped");
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
		return ctl_error(CTL_IMAGE, "image_damaged", path,
			  "the confined parser used up its time and was stopped");
	if (WIFSIGNALED(status))
		return ctl_error(CTL_IMAGE, "image_damaged", path,
			  "the confined parser crashed (signal %d)", WTERMSIG(status));
	return ctl_error(CTL_FAIL, "failed", path, "the confined parser gave no answer");
}

static int run_confined(int fd, const char *path, const struct task *task, struct parsed *out,
			struct vd_content *content)
{
	int pipefd[2], status, ret;
	pid_t pid;

	memset(out, 0, sizeof(*out));
	if (pipe2(pipefd, O_CLOEXEC))
		return ctl_errno(errno, path, "pipe");
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		close(pipefd[0]);
		close(pipefd[1]);
		return ctl_errno(errno, path, "fork");
	}
	if (!pid)
		child(fd, pipefd[1], task);

	close(pipefd[1]);
	ret = take_answer(pipefd[0], path, task, out, content);
	close(pipefd[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (ret < 0)
		ret = died(status, path);
	if (ret) {
		vd_free(out->layout);
		out->layout = NULL;
	}
	return ret;
}

int parse_confined(int fd, const char *path, const char *format, bool want_layout,
		   struct parsed *out)
{
	struct task task = { .want_layout = want_layout };

	memset(out, 0, sizeof(*out));
	if (format) {
		task.forced = format_by_name(format);
		if (!task.forced) {
			ctl_error(CTL_USAGE, "usage", path, "there is no format '%s'", format);
			ctl_hint("vdctl formats");
			return CTL_USAGE;
		}
	}
	return run_confined(fd, path, &task, out, NULL);
}

int extent_confined(int fd, const char *path, u32 kind, struct vd_extent_state *out)
{
	const struct vd_format *const *f;
	struct task task = { .extent = true, .kind = kind };
	struct parsed parsed = { 0 };
	int ret = 0;

	for (f = vd_formats(); *f; f++)
		if ((*f)->id == VDISK_SEG_FORMAT(kind))
			task.forced = *f;
	if (task.forced && task.forced->user && task.forced->user->extent)
		ret = run_confined(fd, path, &task, &parsed, NULL);
	*out = parsed.state;
	return ret;
}

int set_props_confined(int fd, const char *path, u32 format, const struct vd_props *want,
		       const char *pool, struct vd_content *out)
{
	const char *name = vd_format_name(format);
	struct task task = { .want = want, .pool = pool };
	struct parsed parsed;
	int ret;

	*out = (struct vd_content) { NULL, 0 };
	task.forced = name ? format_by_name(name) : NULL;
	if (!task.forced || !task.forced->user->set_props)
		return ctl_error(CTL_IMAGE, "unsupported", path,
				 "images of this format have no properties that can be set");
	ret = run_confined(fd, path, &task, &parsed, out);
	if (ret) {
		vd_free(out->data);
		out->data = NULL;
	}
	return ret;
}

int renamed_confined(int fd, const char *path, u32 format, const struct vd_new_names *names,
		     char **text, u32 *len)
{
	const char *name = vd_format_name(format);
	struct task task = { .names = names };
	struct vd_content content = { NULL, 0 };
	struct parsed parsed;
	int ret = 0;

	task.forced = name ? format_by_name(name) : NULL;
	if (task.forced && task.forced->user && task.forced->user->renamed)
		ret = run_confined(fd, path, &task, &parsed, &content);
	if (ret) {
		vd_free(content.data);
		content = (struct vd_content) { NULL, 0 };
	}
	*text = content.data;
	*len = content.len;
	return ret;
}
