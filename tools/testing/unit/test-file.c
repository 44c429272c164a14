// SPDX-License-Identifier: GPL-2.0-only
/* Files: whole reads or an error, tails, descriptors, recorder and injector. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ut.h"

static void reads_are_whole(void **state)
{
	u8 data[1000], buf[1200];
	struct vd_file *f;

	ut_pattern(data, sizeof(data), 0, 3);
	f = vd_ufile_mem(data, sizeof(data), false);
	assert_true(f->size == sizeof(data));
	assert_int_equal(vd_file_read(f, 0, buf, 1000), 0);
	assert_memory_equal(buf, data, 1000);
	assert_int_equal(vd_file_read(f, 999, buf, 1), 0);
	assert_int_equal(buf[0], data[999]);
	/* The end of the file inside or before the range is an error, never silence. */
	assert_int_equal(vd_file_read(f, 1, buf, 1000), -EIO);
	assert_int_equal(vd_file_read(f, 1000, buf, 1), -EIO);
	assert_int_equal(vd_file_read(f, UINT64_MAX - 10, buf, 64), -EIO);
	assert_int_equal(vd_file_read(f, 1ULL << 63, buf, 64), -EIO);
	vd_ufile_free(f);
}

static void tails(void **state)
{
	u8 data[1000], buf[1200];
	struct vd_file *f;
	size_t i;

	ut_pattern(data, sizeof(data), 0, 4);
	f = vd_ufile_mem(data, sizeof(data), true);
	memset(buf, 0x77, sizeof(buf));
	assert_int_equal(vd_file_read_tail(f, 600, buf, 1000), 0);
	assert_memory_equal(buf, data + 600, 400);
	for (i = 400; i < 1000; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(buf[1000], 0x77);
	/* A unit that begins at or past the end was never there. */
	assert_int_equal(vd_file_read_tail(f, 1000, buf, 100), -EIO);
	assert_int_equal(vd_file_read_tail(f, 5000, buf, 100), -EIO);
	/* Shrunk since: what is missing must not become zeros. */
	assert_int_equal(f->ops->truncate(f, 700), 0);
	assert_int_equal(vd_file_read_tail(f, 600, buf, 1000), -EIO);
	vd_ufile_free(f);
}

static void memory_file_grows(void **state)
{
	struct vd_file *f = vd_ufile_mem("abc", 3, true);
	const u8 *data;
	size_t len;
	u64 size;

	assert_int_equal(vd_file_write(f, 10, "xyz", 3), 0);
	assert_int_equal(f->ops->size(f, &size), 0);
	assert_true(size == 13);
	data = vd_ufile_mem_data(f, &len);
	assert_int_equal(len, 13);
	assert_memory_equal(data, "abc\0\0\0\0\0\0\0xyz", 13);
	assert_int_equal(vd_file_flush(f), 0);
	vd_ufile_free(f);
	vd_ufile_free(NULL);

	f = vd_ufile_mem("abc", 3, false);
	assert_false(f->writable);
	assert_true(vd_file_write(f, 0, "x", 1) < 0);
	vd_ufile_free(f);
}

static void descriptors(void **state)
{
	struct vd_error err = { 0 };
	FILE *tmp = tmpfile();
	struct vd_file *f;
	int fd, pipes[2];
	u8 buf[64];

	assert_non_null(tmp);
	fd = fileno(tmp);
	assert_int_equal(pwrite(fd, "0123456789", 10, 0), 10);
	f = vd_ufile_fd(fd, true, &err);
	assert_non_null(f);
	assert_true(f->size == 10);
	assert_int_equal(vd_file_read(f, 2, buf, 8), 0);
	assert_memory_equal(buf, "23456789", 8);
	assert_int_equal(vd_file_read(f, 2, buf, 9), -EIO);
	assert_int_equal(vd_file_write(f, 9, "AB", 2), 0);
	assert_int_equal(pread(fd, buf, 64, 0), 11);
	assert_memory_equal(buf, "012345678AB", 11);
	assert_int_equal(vd_file_flush(f), 0);
	vd_ufile_free(f);
	/* The wrapper never owned the descriptor. */
	assert_true(fcntl(fd, F_GETFD) >= 0);
	fclose(tmp);

	assert_int_equal(pipe(pipes), 0);
	f = vd_ufile_fd(pipes[0], false, &err);
	assert_null(f);
	assert_true(err.code < 0);
	ut_assert_sentence(&err, err.code);
	close(pipes[0]);
	close(pipes[1]);
	memset(&err, 0, sizeof(err));
	assert_null(vd_ufile_fd(-1, false, &err));
	assert_true(err.code < 0);
}

static void directory_is_refused(void **state)
{
	struct vd_error err = { 0 };
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	assert_true(fd >= 0);
	assert_null(vd_ufile_fd(fd, false, &err));
	assert_true(err.code < 0);
	close(fd);
}

struct seen {
	enum vd_file_op op;
	u64 pos, len;
	unsigned int calls;
};

static void see(void *ctx, enum vd_file_op op, u64 pos, u64 len, const void *data)
{
	struct seen *seen = ctx;

	seen->op = op;
	seen->pos = pos;
	seen->len = len;
	seen->calls++;
	if (op == VD_OP_WRITE)
		assert_memory_equal(data, "hello", 5);
}

static void recorder(void **state)
{
	struct vd_file *low = vd_ufile_mem("0123456789", 10, true), *f;
	struct seen seen = { 0 };
	u8 buf[16];

	f = vd_ufile_record(low, see, &seen);
	assert_non_null(f);
	assert_true(f->size == 10);
	assert_true(f->writable);
	assert_int_equal(vd_file_read(f, 3, buf, 4), 0);
	assert_memory_equal(buf, "3456", 4);
	assert_int_equal(seen.op, VD_OP_READ);
	assert_true(seen.pos == 3 && seen.calls == 1);
	assert_int_equal(vd_file_write(f, 5, "hello", 5), 0);
	assert_int_equal(seen.op, VD_OP_WRITE);
	assert_true(seen.pos == 5 && seen.len == 5);
	assert_int_equal(vd_file_flush(f), 0);
	assert_int_equal(seen.op, VD_OP_FLUSH);
	vd_ufile_free(f);
	vd_ufile_free(low);
}

static void injector(void **state)
{
	struct vd_file *low = vd_ufile_mem("0123456789", 10, true), *f;
	struct vd_fault fault = { .countdown = -1, .error = EIO };
	u8 buf[16];

	f = vd_ufile_fault(low, &fault);
	assert_non_null(f);
	assert_int_equal(vd_file_read(f, 0, buf, 10), 0);
	assert_true(fault.ops >= 1 && fault.fired == 0);

	fault.countdown = 2;
	assert_int_equal(vd_file_read(f, 0, buf, 10), 0);
	assert_int_equal(vd_file_read(f, 0, buf, 10), -EIO);
	assert_int_equal(fault.fired, 1);
	assert_int_equal(vd_file_read(f, 0, buf, 10), 0);

	fault = (struct vd_fault){ .countdown = 1, .error = ENOSPC, .sticky = true };
	assert_int_equal(vd_file_write(f, 0, "x", 1), -ENOSPC);
	assert_int_equal(vd_file_write(f, 0, "x", 1), -ENOSPC);
	assert_int_equal(fault.fired, 2);
	assert_int_equal(((const u8 *)vd_ufile_mem_data(low, &(size_t){ 0 }))[0], '0');

	/* A short read is either resumed or reported, never taken for the whole. */
	fault = (struct vd_fault){ .countdown = 1, .error = EIO, .short_read = true };
	memset(buf, 0, sizeof(buf));
	if (!vd_file_read(f, 0, buf, 10))
		assert_memory_equal(buf, "0123456789", 10);
	assert_int_equal(fault.fired, 1);
	vd_ufile_free(f);
	vd_ufile_free(low);
}

/* A file that answers what it is told, and remembers whether it was asked. */
struct odd {
	struct vd_file file;
	s64 answer;
	unsigned int asked;
};

static s64 odd_read(struct vd_file *file, u64 pos, void *buf, u32 len)
{
	struct odd *odd = container_of(file, struct odd, file);

	odd->asked++;
	assert_true(pos <= INT64_MAX && pos + len <= INT64_MAX);
	memset(buf, 1, len);
	return odd->answer;
}

static int odd_write(struct vd_file *file, u64 pos, const void *buf, u32 len)
{
	struct odd *odd = container_of(file, struct odd, file);

	odd->asked++;
	return 0;
}

static const struct vd_file_ops odd_ops = { .read = odd_read, .write = odd_write };

/* Places that no file can have never reach it, and answers that cannot be are no data. */
static void impossible_places_and_answers(void **state)
{
	struct odd odd = { .file = { .ops = &odd_ops, .size = UINT64_MAX, .writable = true } };
	static const u64 far[] = { UINT64_MAX, UINT64_MAX - 63, 1ULL << 63, INT64_MAX,
				   VD_CAP_FILE_BYTES };
	u8 buf[64];
	size_t i;

	odd.answer = 64;
	for (i = 0; i < ARRAY_SIZE(far); i++) {
		assert_int_equal(vd_file_read(&odd.file, far[i], buf, 64), -EIO);
		assert_true(vd_file_write(&odd.file, far[i], buf, 64) < 0);
	}
	assert_int_equal(odd.asked, 0);
	odd.answer = 65;
	assert_int_equal(vd_file_read(&odd.file, 0, buf, 64), -EIO);
	odd.answer = -ENOMEM;
	assert_int_equal(vd_file_read(&odd.file, 0, buf, 64), -ENOMEM);
	odd.answer = 16;
	odd.asked = 0;
	assert_int_equal(vd_file_read(&odd.file, 0, buf, 64), 0);
	assert_int_equal(odd.asked, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_are_whole),
		cmocka_unit_test(tails),
		cmocka_unit_test(memory_file_grows),
		cmocka_unit_test(descriptors),
		cmocka_unit_test(directory_is_refused),
		cmocka_unit_test(recorder),
		cmocka_unit_test(injector),
		cmocka_unit_test(impossible_places_and_answers),
	};

	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
