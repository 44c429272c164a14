// SPDX-License-Identifier: GPL-2.0-only
/* Programs that the tests start. Starting one is dear in an emulated VM. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "util.h"

extern char **environ;

static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Pipe ends are close-on-exec: only what is dup'ed reaches the program. */
static bool spawn(pid_t *pid, const char *const argv[], int in, int out, int err)
{
	posix_spawn_file_actions_t actions;
	int ret;

	posix_spawn_file_actions_init(&actions);
	if (in >= 0)
		posix_spawn_file_actions_adddup2(&actions, in, 0);
	else
		posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, err, 2);
	ret = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (ret)
		diag("cannot start %s: %s", argv[0], err_name(ret));
	return !ret;
}

/* Take what is there; the rest of a full buffer is dropped. */
static bool drain(int fd, char *buf, size_t size, size_t *have)
{
	char waste[1024];
	ssize_t n;

	if (*have + 1 < size) {
		n = read(fd, buf + *have, size - 1 - *have);
		if (n > 0)
			*have += n;
		buf[*have] = 0;
	} else {
		n = read(fd, waste, sizeof(waste));
	}
	return n > 0 || (n < 0 && errno == EINTR);
}

static void collect(struct run *r, int out, int err)
{
	struct pollfd pfd[2] = {
		{ .fd = out, .events = POLLIN },
		{ .fd = err, .events = POLLIN },
	};
	size_t have_out = 0, have_err = 0;

	while (pfd[0].fd >= 0 || pfd[1].fd >= 0) {
		if (poll(pfd, 2, -1) < 0)
			continue;
		if (pfd[0].revents && !drain(out, r->out, sizeof(r->out), &have_out))
			pfd[0].fd = -1;
		if (pfd[1].revents && !drain(err, r->err, sizeof(r->err), &have_err))
			pfd[1].fd = -1;
	}
}

int run_argv(struct run *r, const char *const argv[])
{
	int out[2], err[2], status;
	pid_t pid;

	r->status = -1;
	r->out[0] = 0;
	r->err[0] = 0;
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		bail("no pipes: %s", err_name(errno));
	if (spawn(&pid, argv, -1, out[1], err[1])) {
		close(out[1]);
		close(err[1]);
		out[1] = -1;
		collect(r, out[0], err[0]);
		if (waitpid(pid, &status, 0) == pid)
			r->status = exit_status(status);
	}
	if (out[1] >= 0) {
		close(out[1]);
		close(err[1]);
	}
	close(out[0]);
	close(err[0]);
	return r->status;
}

int run(struct run *r, const char *prog, ...)
{
	const char *argv[32] = { prog };
	size_t n = 1;
	va_list args;

	va_start(args, prog);
	while (n < ARRAY_SIZE(argv) - 1 && (argv[n] = va_arg(args, const char *)))
		n++;
	va_end(args);
	argv[n] = NULL;
	return run_argv(r, argv);
}

bool proc_start(struct proc *p, const char *const argv[])
{
	int in[2], out[2];
	bool started;

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		bail("no pipes: %s", err_name(errno));
	started = spawn(&p->pid, argv, in[0], out[1], out[1]);
	close(in[0]);
	close(out[1]);
	p->in = in[1];
	p->out = out[0];
	if (!started) {
		close(p->in);
		close(p->out);
		p->pid = -1;
	}
	return started;
}

bool proc_expect(struct proc *p, const char *text, int ms)
{
	struct pollfd pfd = { .fd = p->out, .events = POLLIN };
	u64 end = now_ms() + (u64)ms * scale();
	char buf[4096];
	size_t have = 0;
	int left;

	buf[0] = 0;
	while (!strstr(buf, text)) {
		left = (int)(end - now_ms());
		if (left <= 0 || poll(&pfd, 1, left) != 1 ||
		    !drain(p->out, buf, sizeof(buf), &have)) {
			diag("no \"%s\" in: %s", text, buf);
			return false;
		}
	}
	return true;
}

int proc_end(struct proc *p)
{
	int status;

	if (p->pid < 0)
		return -1;
	close(p->in);
	if (waitpid(p->pid, &status, 0) != p->pid)
		status = 0x7f00;
	close(p->out);
	p->pid = -1;
	return exit_status(status);
}
