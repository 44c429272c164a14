// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cage of the parser: a child that can read one file, write one pipe and
 * allocate memory; and write that file, if that is what it is for. Any other system
 * call ends it.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "image-set.h"

#define PARSER_MEMORY	(256UL << 20)
#define PARSER_SECONDS	10

#if defined(__SANITIZE_ADDRESS__)
#define CAGED 0			/* the sanitizer itself maps and opens at will */
#else
#define CAGED 1
#endif

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define OUR_ARCH AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define OUR_ARCH AUDIT_ARCH_PPC64LE
#endif

#ifdef OUR_ARCH

#define LOAD(field)		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, \
					 offsetof(struct seccomp_data, field))
/* Low half of an argument: these are little-endian machines. */
#define LOAD_ARG(n)		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, \
					 offsetof(struct seccomp_data, args) + (n) * 8)
#define VERDICT(v)		BPF_STMT(BPF_RET | BPF_K, (v))
#define ALLOW_ON(nr, fd)	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 4), \
				LOAD_ARG(0), \
				BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (u32)(fd), 0, 1), \
				VERDICT(SECCOMP_RET_ALLOW), \
				VERDICT(SECCOMP_RET_KILL_PROCESS)
/* The same, unless @yes is false: then any descriptor is the wrong one. */
#define ALLOW_IF(yes, nr, fd)	ALLOW_ON(nr, (yes) ? (fd) : -1)
#define ALLOW(nr)		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), \
				VERDICT(SECCOMP_RET_ALLOW)

static int install_filter(int in_fd, int out_fd, bool writes)
{
	struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
		VERDICT(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
#ifdef __x86_64__
		/* the x32 table */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
		VERDICT(SECCOMP_RET_KILL_PROCESS),
#endif
		ALLOW(__NR_brk),
		ALLOW(__NR_munmap),
		ALLOW(__NR_mremap),
		ALLOW(__NR_madvise),
		ALLOW(__NR_futex),
		ALLOW(__NR_getrandom),
		ALLOW(__NR_clock_gettime),
		ALLOW(__NR_exit),
		ALLOW(__NR_exit_group),
		ALLOW(__NR_rt_sigreturn),

		ALLOW_ON(__NR_write, out_fd),
		ALLOW_ON(__NR_pread64, in_fd),
		ALLOW_ON(__NR_lseek, in_fd),
		ALLOW_IF(writes, __NR_pwrite64, in_fd),
		ALLOW_IF(writes, __NR_fdatasync, in_fd),
		ALLOW_IF(writes, __NR_ftruncate, in_fd),
		ALLOW_IF(writes, __NR_fallocate, in_fd),

		/* mmap: anonymous, not executable */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 0, 6),
		LOAD_ARG(2),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 3, 0),
		LOAD_ARG(3),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 0, 1),
		VERDICT(SECCOMP_RET_ALLOW),
		VERDICT(SECCOMP_RET_KILL_PROCESS),

		/* mprotect: not executable */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mprotect, 0, 3),
		LOAD_ARG(2),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0),
		VERDICT(SECCOMP_RET_ALLOW),

		VERDICT(SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	/* A kernel without seccomp leaves the limits below as the cage. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) && errno != EINVAL)
		return -errno;
	return 0;
}

#else

static int install_filter(int in_fd, int out_fd, bool writes)
{
	return 0;
}

#endif

static int limit(int what, rlim_t to)
{
	struct rlimit r = { to, to };

	return setrlimit(what, &r) ? -errno : 0;
}

static int close_others(int in_fd, int out_fd)
{
	unsigned int low = (unsigned int)min(in_fd, out_fd);
	unsigned int high = (unsigned int)max(in_fd, out_fd);

	if (low > 0 && close_range(0, low - 1, 0))
		return -errno;
	if (high > low + 1 && close_range(low + 1, high - 1, 0))
		return -errno;
	return close_range(high + 1, ~0U, 0) ? -errno : 0;
}

int sandbox_enter(int in_fd, int out_fd, u64 write_limit)
{
	int ret;

	if (!CAGED)
		return 0;
	ret = close_others(in_fd, out_fd);
	if (!ret)
		ret = limit(RLIMIT_CORE, 0);
	if (!ret)
		ret = limit(RLIMIT_AS, PARSER_MEMORY);
	if (!ret)
		ret = limit(RLIMIT_CPU, PARSER_SECONDS);
	if (!ret)
		ret = limit(RLIMIT_FSIZE, write_limit);
	if (!ret)
		ret = limit(RLIMIT_NPROC, 0);
	if (!ret)
		ret = limit(RLIMIT_NOFILE, 0);
	if (!ret && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		ret = -errno;
	if (!ret && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		ret = -errno;
	return ret ? ret : install_filter(in_fd, out_fd, write_limit > 0);
}
