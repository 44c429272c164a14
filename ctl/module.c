// SPDX-License-Identifier: GPL-2.0-only
/* The kernel module: is it there, may we load it, why not. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include "netlink.h"

bool module_loaded(void)
{
	return !access("/sys/module/vdisk", F_OK);
}

bool have_admin(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 }, { 0 } };

	if (syscall(SYS_capget, &head, data))
		return geteuid() == 0;
	return data[0].effective & (1U << CAP_SYS_ADMIN);
}

int need_admin(void)
{
	char *command;

	if (have_admin())
		return 0;
	ctl_error(CTL_PERM, "permission", NULL, "only root may do this (CAP_SYS_ADMIN)");
	command = ctl_command_with(NULL, NULL);
	ctl_hint("sudo %s", command);
	free(command);
	return CTL_PERM;
}

/* Runs modprobe @module; what it says on stderr comes back in @said. */
static int run_modprobe(const char *module, char *said, size_t len)
{
	static const char *const env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL };
	const char *const args[] = { "modprobe", module, NULL };
	int pipefd[2], status;
	size_t got = 0;
	ssize_t n;
	pid_t pid;

	said[0] = 0;
	if (pipe2(pipefd, O_CLOEXEC))
		return -errno;
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		close(pipefd[0]);
		close(pipefd[1]);
		return -errno;
	}
	if (!pid) {
		dup2(pipefd[1], STDERR_FILENO);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvpe(args[0], (char *const *)args, (char *const *)env);
		_exit(127);
	}
	close(pipefd[1]);
	while (got < len - 1 && (n = read(pipefd[0], said + got, len - 1 - got)) > 0)
		got += (size_t)n;
	said[got] = 0;
	close(pipefd[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* modprobe has the kernel's errno only as text, in the C locale. */
static bool says(const char *said, int err)
{
	return strstr(said, strerror(err)) != NULL;
}

static int explain(const char *said)
{
	struct utsname un;

	uname(&un);
	if (says(said, EKEYREJECTED) || says(said, ENOKEY)) {
		ctl_error(CTL_MODULE, "module_unsigned", NULL,
			  "the kernel refuses the vdisk module: it is not signed with a key that the kernel trusts");
		ctl_hint("Secure Boot wants a signed module: sign it with your machine owner key (mokutil --import), or turn Secure Boot off");
	} else if (strstr(said, "not found")) {
		ctl_error(CTL_MODULE, "module_missing", NULL,
			  "the vdisk module is not installed for kernel %s", un.release);
		ctl_hint("in the source tree: make modules KVER=%s && sudo make install KVER=%s",
			 un.release, un.release);
	} else if (says(said, ENOEXEC)) {
		ctl_error(CTL_MODULE, "module_mismatch", NULL,
			  "the installed vdisk module was built for another kernel than %s",
			  un.release);
		ctl_hint("build it again: make modules KVER=%s && sudo make install KVER=%s",
			 un.release, un.release);
	} else if (says(said, EPERM)) {
		ctl_error(CTL_MODULE, "module_refused", NULL,
			  "this system does not let modules be loaded (a container, lockdown or kernel.modules_disabled)");
	} else {
		ctl_error(CTL_MODULE, "module_missing", NULL, "cannot load the vdisk module: %.300s",
			  said[0] ? said : "modprobe failed");
	}
	return CTL_MODULE;
}

int module_load(void)
{
	char said[1024];
	int ret;

	if (!have_admin()) {
		ctl_error(CTL_MODULE, "module_missing", NULL, "the vdisk module is not loaded");
		ctl_hint("sudo modprobe vdisk");
		return CTL_MODULE;
	}
	ret = run_modprobe("vdisk", said, sizeof(said));
	if (ret == 127)
		return ctl_error(CTL_MODULE, "module_missing", NULL,
				 "the vdisk module is not loaded, and there is no modprobe");
	said[strcspn(said, "\n")] = 0;
	return ret ? explain(said) : 0;
}

int module_load_format(const char *format)
{
	char path[64], alias[64], said[1024];

	snprintf(path, sizeof(path), "/sys/module/vdisk_%.20s", format);
	if (!access(path, F_OK))
		return 0;
	snprintf(alias, sizeof(alias), "vdisk-format-%.20s", format);
	if (!run_modprobe(alias, said, sizeof(said)))
		return 0;
	ctl_error(CTL_MODULE, "module_missing", NULL, "the module vdisk-%s cannot be loaded",
		  format);
	ctl_hint("modprobe vdisk-%s says why", format);
	return CTL_MODULE;
}
