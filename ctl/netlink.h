/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's side: generic netlink family "vdisk". */
#ifndef VDCTL_NETLINK_H
#define VDCTL_NETLINK_H

#include <linux/vdisk.h>
#include "vdctl.h"

struct image_set;
struct nl_sock;

/**
 * struct device - one attached disk, as GET tells it
 * @paths: one for each image where the kernel lets us see them
 */
struct device {
	u32 id, flags, major, minor, openers, state, inflight, sector_size, queues;
	u64 capacity, diskseq, errors;
	char *name;
	char *uuid;
	char **paths;
	u32 nr_paths;
	struct vdisk_image_desc images[VDISK_MAX_IMAGES];
	u32 nr_images;
};

struct devices {
	struct device *list;
	u32 nr;
};

/**
 * struct klink - a connection
 * @done: the last answer to a request has come
 * @extack: the kernel's sentence about the last refusal
 */
struct klink {
	struct nl_sock *sk;
	int family;
	int error;		/* negative errno of the last answer */
	bool done;
	char extack[512];
};

enum klink_load {
	KLINK_LOAD,		/* load the module if it is missing */
	KLINK_LOADED,		/* missing means: nothing is attached */
};

/* 0, or -1 with KLINK_LOADED when the module is not there, or an exit code. */
int klink_connect(struct klink *nl, enum klink_load load);
void klink_disconnect(struct klink *nl);

struct attach_request {
	const struct image_set *set;
	u32 flags;
	u32 sector_size;	/* 0: the kernel's choice */
	u32 queues;
	bool have_id;
	u32 id;
	const char *name;
};

/* Each: 0 or negative errno, with nl->extack; no error is recorded. */
int klink_attach(struct klink *nl, const struct attach_request *req, struct device *reply);
int klink_detach(struct klink *nl, u32 id, enum vdisk_detach_mode mode, struct device *reply);
int klink_set(struct klink *nl, u32 id, u32 flags, u32 mask);
int klink_dump(struct klink *nl, struct devices *out);
/* Calls @event for each event until it fails. */
int klink_listen(struct klink *nl, void (*event)(u32 event, const struct device *dev));

int klink_error(const struct klink *nl, const char *path);

void device_clear(struct device *dev);
void devices_free(struct devices *devs);

/* module.c */
bool module_loaded(void);
int module_load(void);
/* The module of an image format, which the kernel would load at ATTACH. */
int module_load_format(const char *format);
bool have_admin(void);
int need_admin(void);

/* devices.c */
/* All devices; none if the module is not loaded. */
int devices_get(struct klink *nl, struct devices *out);
/* The one that @what means: a node, a number, a name, an image. */
int devices_find(const struct devices *devs, const char *what, const struct device **dev);
const struct device *devices_by_id(const struct devices *devs, u32 id);
const char *device_format(const struct device *dev);
struct set_member;
/* One that was attached with --lock=no has no lock. Only root is told of it. */
int device_check_unattached(const struct set_member *m);
const char *device_state(const struct device *dev);

/* node.c */
int node_wait(const struct device *dev);

/* output.c */
struct json_object;
struct column {
	const char *name;
	const char *help;
	bool right;
	char *(*text)(const struct device *dev, bool bytes);
	struct json_object *(*json)(const struct device *dev);
};

extern const struct column columns[];
extern const int nr_columns;
struct json_object *device_json(const struct device *dev, const int *cols, int nr);
struct json_object *json_text(const char *s);
struct json_object *json_top(void);
void json_print(struct json_object *o);
int json_devices(const struct device *list, u32 nr, const int *cols, int nr_cols);

#endif /* VDCTL_NETLINK_H */
