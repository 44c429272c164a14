/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two readers, one image: vdisk, opened as vdctl opens it, and qemu-img. Where
 * they differ, a third one, written from the format's description, has to say
 * why, byte for byte: see model.h and verdict.c.
 */
#ifndef DIFFER_H
#define DIFFER_H

#include "mutate.h"
#include "vdisk/extent.h"

#define DF_SECTOR	512ULL
#define DF_NAME		32
#define DF_TEXT		400
#define DF_MUTATIONS	3
#define DF_ROOM		(6ULL << 20)	/* no file of an image grows beyond */

/*
 * What is compared of a disk: its first DF_HEAD bytes and, of a larger one, its
 * last DF_TAIL. A file that QEMU writes may not be larger.
 */
#define DF_HEAD		(8ULL << 20)
#define DF_TAIL		(256ULL << 10)

#define TOP_NAME	"image0.vmdk"

/**
 * struct df_image - an image as files in memory
 * @view: file 0 is the one that is opened
 * @raw: both are told that it is raw
 */
struct df_image {
	struct fz_view view;
	char name[FZ_FILES][DF_NAME];
	bool raw;
};

/* bases.c, bases-qemu.c: valid images of every kind. */
struct df_kind {
	const char *name;
	void (*make)(struct df_image *img, struct ut_rng *rng);
};

extern const struct df_kind df_kinds[];
u32 df_nr_kinds(void);
void df_image_reset(struct df_image *img);
void df_image_free(struct df_image *img);
/* Takes a copy; zeros behind it up to the file's room. */
void df_image_add(struct df_image *img, const char *name, const void *data, u64 len);
/* Make them in the current directory, once. False: qemu-img does not. */
bool df_qemu_bases(void);
void df_qemu_base(struct df_image *img, u32 which);
#define DF_QEMU_BASES 6

/* A piece of a disk. @bad: for each sector, whether it cannot be read. */
struct df_piece {
	u64 pos;
	u64 len;
	u8 *data;
	u8 *bad;
};

/* One line of a map. @zero, @data as QEMU means it. */
struct df_range {
	u64 start, len, offset;
	u32 depth;
	bool zero, data, has_offset;
};

/**
 * struct df_answer - what a reader made of an image
 * @opened: the rest is about a disk; else @text says why not
 * @size: bytes; ~0: large
 * @pieces: head, and tail of a larger disk
 * @map: of the head, as far as it could be made
 * @map_failed: not to the end
 * @map_text: what it said then
 * @broken: crashed, hung, or hit a limit; @text says what
 */
struct df_answer {
	bool opened;
	bool broken;
	bool map_failed;
	char text[DF_TEXT];
	char map_text[DF_TEXT];
	u64 size;
	u32 nr_pieces;
	struct df_piece pieces[2];
	struct df_range *map;
	u32 nr_map;
	u32 max_map;
};

void df_answer_reset(struct df_answer *a);
void df_answer_free(struct df_answer *a);
/* Head and tail of a disk of @size bytes, as zeros. */
void df_answer_pieces(struct df_answer *a, u64 size);
void df_answer_range(struct df_answer *a, const struct df_range *r);

/* ours.c, qemu.c: the files are in the current directory. */
void df_ours(const struct df_image *img, struct df_answer *a);
void df_qemu(const struct df_image *img, const struct df_answer *ours, struct df_answer *a);
/* A reader that is wrong on purpose, for the controls. */
enum df_wrong { DF_RIGHT, DF_WRONG_CONTENT, DF_WRONG_MAP, DF_WRONG_REFUSAL,
		DF_WRONG_CRASH };
extern enum df_wrong df_ours_wrong;

/* run.c: qemu-img in the current directory, confined. */
struct df_run {
	int status;	/* of waitpid() */
	bool late;	/* killed: took too long */
};
bool df_no_network(void);
bool df_run(const char *const *argv, const char *out, const char *err, struct df_run *run);

/* compare.c */
#define DF_FOUND	64

/**
 * struct df_found - what came out of one image
 * @class: index of enum df_class
 * @verdict: bits, index in df_verdicts[]
 * @unexplained: sentences about what no verdict covers; "": none
 */
enum df_class {
	DF_SAME, DF_BOTH_REFUSE, DF_WE_REFUSE, DF_QEMU_REFUSES, DF_CONTENT, DF_MAP, DF_QEMU_BROKEN,
	DF_CLASSES,
};

struct df_found {
	enum df_class class;
	u64 verdicts[2];
	char unexplained[DF_TEXT * 2];
};

void df_compare(const struct df_image *img, const struct df_answer *ours,
		const struct df_answer *qemu, struct df_found *found);

/* verdict.c */
u32 df_nr_verdicts(void);
const char *df_verdict_text(u32 i);
enum df_class df_verdict_class(u32 i);

#endif /* DIFFER_H */
