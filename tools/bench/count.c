// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TCG plugin that counts the instructions of each translated block.
 *
 *	qemu-system-x86_64 ... -plugin count.so,out=DIR
 *
 * The guest says where to begin and what to call the result (mark.h): label 0
 * sets every counter to zero, label N writes DIR/counts-N, a line "address
 * instructions" for each kernel block that ran, and "user instructions".
 *
 * Debian does not ship qemu-plugin.h, so what is used of QEMU's interface,
 * version 1 (QEMU 4.2 to 8.2), is declared here.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mark.h"

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;

enum { CB_NO_REGS };
enum { INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*cb)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *ptr,
					      uint64_t imm);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned int cpu, void *data), int flags,
					    void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
EXPORT int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc, char **argv);

EXPORT int qemu_plugin_version = 1;

#define HASH_SIZE	(1 << 16)
#define KERNEL_HALF	(1ULL << 63)

/* Blocks that begin at one address. Never freed: translated code points here. */
struct counter {
	struct counter *next;
	uint64_t addr;
	uint64_t insns;
};

static struct counter *counters[HASH_SIZE];
static uint64_t user_insns;
static const char *out_dir = ".";
static unsigned int label;

static struct counter *find_counter(uint64_t addr)
{
	struct counter **head = &counters[(addr ^ addr >> 16) % HASH_SIZE];
	struct counter *c;

	for (c = *head; c; c = c->next)
		if (c->addr == addr)
			return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->addr = addr;
	c->next = *head;
	*head = c;
	return c;
}

static void reset(void)
{
	struct counter *c;
	size_t i;

	for (i = 0; i < HASH_SIZE; i++)
		for (c = counters[i]; c; c = c->next)
			c->insns = 0;
	user_insns = 0;
}

static void write_counts(void)
{
	struct counter *c;
	char path[4096];
	FILE *file;
	size_t i;

	snprintf(path, sizeof(path), "%s/counts-%u", out_dir, label);
	file = fopen(path, "w");
	if (!file) {
		perror(path);
		return;
	}
	for (i = 0; i < HASH_SIZE; i++)
		for (c = counters[i]; c; c = c->next)
			if (c->insns)
				fprintf(file, "%" PRIx64 " %" PRIu64 "\n", c->addr, c->insns);
	fprintf(file, "user %" PRIu64 "\n", user_insns);
	fclose(file);
}

static void mark_begin(unsigned int cpu, void *data)
{
	label = 0;
}

static void mark_step(unsigned int cpu, void *data)
{
	label++;
}

static void mark_end(unsigned int cpu, void *data)
{
	if (label)
		write_counts();
	reset();
}

static void look_for_mark(struct qemu_plugin_insn *insn)
{
	static void (*const marks[])(unsigned int cpu, void *data) = {
		NULL, mark_begin, mark_step, mark_end,
	};
	const unsigned char *code = qemu_plugin_insn_data(insn);

	if (qemu_plugin_insn_size(insn) != MARK_LEN || memcmp(code, MARK_PREFIX, MARK_LEN - 1))
		return;
	if (code[MARK_LEN - 1] >= 1 && code[MARK_LEN - 1] <= 3)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, marks[code[MARK_LEN - 1]], CB_NO_REGS,
						       NULL);
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	uint64_t addr = qemu_plugin_tb_vaddr(tb);
	size_t n = qemu_plugin_tb_n_insns(tb);
	uint64_t *counter = &user_insns;
	size_t i;

	if (addr & KERNEL_HALF)
		counter = &find_counter(addr)->insns;
	else
		for (i = 0; i < n; i++)
			look_for_mark(qemu_plugin_tb_get_insn(tb, i));
	qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, counter, n);
}

int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++)
		if (!strncmp(argv[i], "out=", 4))
			out_dir = strdup(argv[i] + 4);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
