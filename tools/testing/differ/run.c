// SPDX-License-Identifier: GPL-2.0-only
/* One program, with limits on all it could use up, and without a network. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "differ.h"

#define LIMIT_MEMORY	(3ULL << 30)
#define LIMIT_SECONDS	4
#define LIMIT_SAID	(4U << 20)	/* twice what all sectors of a disk unreadable come to */
#define LIMIT_FILE	(DF_HEAD + (1U << 20))
#define LIMIT_MS	60000
#define STEP_MS		100

/*
 * No socket of any kind, for us and all that we start. The answer is "not
 * permitted": nothing that reads an image has to die of it.
 */
bool df_no_network(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static bool limit(int what, u64 to)
{
	struct rlimit r = { to, to };

	return !setrlimit(what, &r);
}

static bool redirect(const char *to, int fd)
{
	int file = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	return file >= 0 && dup2(file, fd) == fd;
}

static void __attribute__((noreturn)) child(const char *const *argv, const char *out,
					    const char *err)
{
	/* Too large a file is an error to be told, not a signal. */
	signal(SIGXFSZ, SIG_IGN);
	if (redirect(out, STDOUT_FILENO) && redirect(err, STDERR_FILENO) &&
	    limit(RLIMIT_AS, LIMIT_MEMORY) && limit(RLIMIT_CPU, LIMIT_SECONDS) &&
	    limit(RLIMIT_FSIZE, LIMIT_FILE) && limit(RLIMIT_CORE, 0))
		execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static bool says_too_much(const char *err)
{
	struct stat st;

	return !stat(err, &st) && st.st_size > LIMIT_SAID;
}

/* False: it had to be killed. */
static bool wait_for(int pidfd, const char *err)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int ms;

	for (ms = 0; ms < LIMIT_MS && !says_too_much(err); ms += STEP_MS)
		if (poll(&p, 1, STEP_MS) > 0)
			return true;
	return false;
}

bool df_run(const char *const *argv, const char *out, const char *err, struct df_run *run)
{
	int pidfd;
	pid_t pid;
	bool good;

	memset(run, 0, sizeof(*run));
	pid = vfork();
	if (pid < 0)
		return false;
	if (!pid)
		child(argv, out, err);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd >= 0)
		run->late = !wait_for(pidfd, err);
	if (run->late)
		kill(pid, SIGKILL);
	good = waitpid(pid, &run->status, 0) == pid && pidfd >= 0;
	if (pidfd >= 0)
		close(pidfd);
	return good && !(WIFEXITED(run->status) && WEXITSTATUS(run->status) == 127);
}
