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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "differ.h"

#define LIMIT_MEMORY	(3ULL << 30)
#define LIMIT_SECONDS	4
#define LIMIT_FILE	(DF_HEAD + (1U << 20))
#define LIMIT_MS	60000

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

bool df_run(const char *const *argv, const char *out, const char *err, struct df_run *run)
{
	struct pollfd p = { .events = POLLIN };
	pid_t pid;
	bool good;

	memset(run, 0, sizeof(*run));
	pid = vfork();
	if (pid < 0)
		return false;
	if (!pid)
		child(argv, out, err);
	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	while (p.fd >= 0 && poll(&p, 1, LIMIT_MS) <= 0) {
		if (errno == EINTR)
			continue;
		run->late = true;
		kill(pid, SIGKILL);
		break;
	}
	good = waitpid(pid, &run->status, 0) == pid && p.fd >= 0;
	if (p.fd >= 0)
		close(p.fd);
	return good && !(WIFEXITED(run->status) && WEXITSTATUS(run->status) == 127);
}
