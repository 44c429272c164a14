// SPDX-License-Identifier: GPL-2.0-only
/*
 * What may be a member, and who may say so: every wrong kind of descriptor and
 * every missing privilege is refused with a sentence and leaves nothing behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blk.h"
#include "tap.h"

#define DISK	(8 * MIB)
#define RW	VDISK_MEMBER_RW

static struct nl nl;
static struct nl_reply reply;
static int file_a, file_b;

/* @req is refused, with a sentence, and nothing appears. @want 0: any errno. */
static void refused(struct nl_req *req, int want, const char *name)
{
	struct vdev dev;
	int ret = attach_send(&nl, req, &dev, &reply);
	int count = vdev_count(&nl);

	if (!ok(ret && (!want || ret == -want) && reply.text[0] && !count, "refused: %s", name))
		diag("answer %s \"%s\", %d devices", err_name(ret), reply.text, count);
	if (!ret)
		vdev_detach_all(&nl);
}

/* ------------------------------------------------------------ descriptors */

static void refused_fd(int fd, u32 flags, int want, const char *name)
{
	struct nl_req req;

	nl_begin(&req, VDISK_CMD_ATTACH);
	if (!(flags & RW))
		attach_flags(&req, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY);
	attach_member(&req, fd, flags);
	attach_image(&req, VDISK_FORMAT_RAW, 4096);
	attach_segment(&req, VDISK_SEG_RAW, 0, 0, 4096, 0);
	refused(&req, want, name);
}

static void refused_open(const char *path, int flags, u32 member, int want, const char *name)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0) {
		ok(false, "refused: %s", name);
		diag("cannot open %s: %s", path, err_name(errno));
		return;
	}
	refused_fd(fd, member, want, name);
	close(fd);
}

/* Both members name the same bytes on disk. */
static void refused_pair(int a, int b, const char *name)
{
	struct nl_req req;

	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_flags(&req, VDISK_F_RDONLY | VDISK_F_HARD_RDONLY);
	attach_member(&req, a, 0);
	attach_member(&req, b, 0);
	attach_image(&req, VDISK_FORMAT_RAW, 8192);
	attach_segment(&req, VDISK_SEG_RAW, 0, 0, 4096, 0);
	attach_segment(&req, VDISK_SEG_RAW, 1, 4096, 4096, 0);
	refused(&req, 0, name);
}

static void test_descriptors(void)
{
	const char *file = path_in(scratch_dir(), "a");
	int pair[2], fd, other;

	refused_fd(-1, 0, EBADF, "descriptor -1");
	refused_fd(999, 0, EBADF, "a descriptor that is not open");
	refused_fd(0x7fffffff, 0, EBADF, "the largest number as a descriptor");
	if (pipe2(pair, O_CLOEXEC))
		bail("no pipe");
	refused_fd(pair[0], 0, 0, "a pipe");
	refused_fd(pair[1], RW, 0, "the other end of a pipe");
	close(pair[0]);
	close(pair[1]);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	refused_fd(fd, RW, 0, "a socket");
	close(fd);
	refused_fd(nl.fd, RW, 0, "the netlink socket itself");
	refused_open(scratch_dir(), O_RDONLY | O_DIRECTORY, 0, 0, "a directory");
	refused_open(file, O_PATH, 0, EBADF, "an O_PATH descriptor");
	refused_open(file, O_WRONLY, RW, 0, "a descriptor that is write-only");
	refused_open(file, O_RDONLY, RW, 0, "a read-only descriptor for a writable member");
	refused_open(file, O_RDWR, 0, 0, "a writable descriptor for a read-only member");
	refused_open("/dev/zero", O_RDWR, RW, 0, "a character device");
	refused_open("/proc/self/status", O_RDONLY, 0, 0, "a file of proc");

	fd = xopen(path_in(scratch_dir(), "ro"), O_RDONLY);
	other = xopen(path_in(scratch_dir(), "ro"), O_RDONLY);
	refused_pair(fd, fd, "the same descriptor twice");
	refused_pair(fd, other, "the same file twice");
	close(other);
	if (link(path_in(scratch_dir(), "ro"), path_in(scratch_dir(), "link")))
		bail("no hard link");
	other = xopen(path_in(scratch_dir(), "link"), O_RDONLY);
	refused_pair(fd, other, "a file and its hard link");
	close(other);
	close(fd);

	/* A writer elsewhere: what is validated could change. */
	fd = xopen(path_in(scratch_dir(), "ro"), O_RDWR);
	refused_open(path_in(scratch_dir(), "ro"), O_RDONLY, 0, ETXTBSY,
		     "a read-only member that somebody has open for writing");
	close(fd);
}

static void set_inode_flag(int fd, int flag, bool on)
{
	int flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		bail("FS_IOC_GETFLAGS: %s", err_name(errno));
	flags = on ? flags | flag : flags & ~flag;
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags))
		bail("FS_IOC_SETFLAGS: %s", err_name(errno));
}

/* What needs a disk file system. */
static void test_inode_kinds(void)
{
	const char *path;
	int fd;

	if (!place_ext4()) {
		skip("VDT_EXT4 is not set", "refused: special inodes");
		return;
	}
	path = path_in(place_ext4(), "special");
	fd = make_file(path, MIB);
	set_inode_flag(fd, FS_APPEND_FL, true);
	refused_fd(fd, RW, 0, "an append-only file for writing");
	set_inode_flag(fd, FS_APPEND_FL, false);
	set_inode_flag(fd, FS_IMMUTABLE_FL, true);
	refused_fd(fd, RW, 0, "an immutable file for writing");
	set_inode_flag(fd, FS_IMMUTABLE_FL, false);

	write_swap_header(fd, MIB);
	if (swapon(path, 0)) {
		ok(false, "refused: a swap file for writing");
		diag("swapon: %s", err_name(errno));
	} else {
		refused_fd(fd, RW, 0, "a swap file for writing");
		swapoff(path);
	}
	close(fd);
	unlink(path);
}

/* A vdisk below a vdisk, and one file under two. */
static void test_stacking(void)
{
	struct vdev dev, other;
	struct nl_req req;
	int fd;

	if (attach_raw(&nl, file_a, DISK, VDISK_F_NO_PARTSCAN, &dev, &reply))
		bail("cannot attach: %s", reply.text);
	fd = vdev_open(&dev, O_RDWR);
	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_member(&req, fd, RW);
	attach_image(&req, VDISK_FORMAT_RAW, DISK);
	attach_segment(&req, VDISK_SEG_RAW, 0, 0, DISK, 0);
	ok(attach_send(&nl, &req, &other, &reply) && reply.text[0],
	   "a vdisk device as a member is refused: %s", reply.text);
	close(fd);

	is_err(attach_raw(&nl, file_a, DISK, 0, &other, &reply), -EBUSY,
	       "a file that another device writes is refused");
	ok(strstr(reply.text, "vdisk0") || strstr(reply.text, dev.path + 5),
	   "and the answer names that device: %s", reply.text);
	vdev_detach_all(&nl);
}

/* -------------------------------------------------------------- privileges */

static void set_caps(u32 low)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = low, .permitted = low } };

	if (syscall(SYS_capset, &hdr, data))
		_exit(99);
}

enum who { WHO_NOBODY, WHO_NET_ADMIN, WHO_ROOT_SOCKET, WHO_USERNS };

/* What the child saw. */
struct verdict {
	int attach, detach, set, get;
	bool attach_text;
	bool path_shown;
};

static void become(enum who who)
{
	if (who == WHO_USERNS) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
			_exit(98);
		return;
	}
	set_caps(who == WHO_NET_ADMIN ? 1U << CAP_NET_ADMIN : 0);
}

static void try_all(struct verdict *v, u32 id, bool own_socket)
{
	struct nl mine = nl;
	struct vdev dev;
	int ret;

	if (own_socket) {
		ret = nl_open(&mine);
		if (ret) {
			v->attach = v->detach = v->set = v->get = ret;
			return;
		}
	}
	v->attach = attach_raw(&mine, file_b, DISK, 0, &dev, &reply);
	v->attach_text = reply.text[0];
	v->detach = vdev_detach(&mine, id, VDISK_DETACH_PLAIN, &reply);
	v->set = vdev_set(&mine, id, VDISK_F_AUTOCLEAR, VDISK_F_AUTOCLEAR, &reply);
	v->get = vdev_get(&mine, id, &reply);
	v->path_shown = nl_get_str(&reply, VDISK_A_PATH, 0);
}

static void try_as(enum who who, u32 id, struct verdict *v)
{
	int pipefd[2];
	pid_t pid;

	memset(v, 0xff, sizeof(*v));
	if (pipe2(pipefd, O_CLOEXEC))
		bail("no pipe");
	pid = fork();
	if (!pid) {
		become(who);
		memset(v, 0, sizeof(*v));
		try_all(v, id, who != WHO_ROOT_SOCKET);
		_exit(write(pipefd[1], v, sizeof(*v)) != sizeof(*v));
	}
	close(pipefd[1]);
	if (read(pipefd[0], v, sizeof(*v)) != sizeof(*v))
		diag("the child did not answer");
	close(pipefd[0]);
	waitpid(pid, NULL, 0);
}

static void test_privileges(void)
{
	static const char *const names[] = {
		"without capabilities", "with CAP_NET_ADMIN only",
		"on root's socket but without capabilities", "as root of a user namespace",
	};
	struct verdict v;
	struct nl_req req;
	struct vdev dev;
	enum who who;

	nl_begin(&req, VDISK_CMD_ATTACH);
	attach_member(&req, file_a, RW);
	attach_image(&req, VDISK_FORMAT_RAW, DISK);
	attach_segment(&req, VDISK_SEG_RAW, 0, 0, DISK, 0);
	nl_put_str(&req, VDISK_A_PATH, "/secret/place");
	if (attach_send(&nl, &req, &dev, &reply))
		bail("cannot attach: %s", reply.text);
	is_err(vdev_get(&nl, dev.id, &reply), 0, "GET with privilege");
	ok(nl_get_str(&reply, VDISK_A_PATH, 0) &&
	   !strcmp(nl_get_str(&reply, VDISK_A_PATH, 0), "/secret/place"), "shows the path");

	for (who = WHO_NOBODY; who <= WHO_USERNS; who++) {
		try_as(who, dev.id, &v);
		is_err(v.attach, -EPERM, "ATTACH %s", names[who]);
		is_err(v.detach, -EPERM, "DETACH %s", names[who]);
		is_err(v.set, -EPERM, "SET %s", names[who]);
		ok(!v.get && !v.path_shown, "GET %s works and hides the path", names[who]);
		if (who == WHO_NET_ADMIN)
			ok(v.attach_text, "the refusal %s says why", names[who]);
	}
	is_num(vdev_count(&nl), 1, "nothing was attached or detached meanwhile");
	vdev_detach_all(&nl);
}

int main(void)
{
	const char *dir = scratch_dir();
	int refs, ret;

	ret = nl_open(&nl);
	if (ret)
		bail("no vdisk family: %s", err_name(ret));
	file_a = make_file(path_in(dir, "a"), DISK);
	file_b = make_file(path_in(dir, "b"), DISK);
	close(make_file(path_in(dir, "ro"), DISK));
	refs = module_refs("vdisk");

	test_descriptors();
	test_inode_kinds();
	test_stacking();
	test_privileges();

	ok(wait_until(module_refs("vdisk") == refs, 5000), "the module's use count is back at %d",
	   refs);
	nl_close(&nl);
	return tap_done();
}
