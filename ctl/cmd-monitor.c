// SPDX-License-Identifier: GPL-2.0-only
/* vdctl monitor: a line for each event */
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include "netlink.h"

static const struct ctl_opt opts[] = {
	{ 'J', "json", NULL, "a JSON object a line" },
	{ 0 }
};

static const char *event_name(u32 event)
{
	static const char *const names[] = {
		[VDISK_EVENT_ATTACH] = "attach",
		[VDISK_EVENT_DETACH] = "detach",
		[VDISK_EVENT_CHANGE] = "change",
		[VDISK_EVENT_ERROR] = "error",
	};

	return event < ARRAY_SIZE(names) && names[event] ? names[event] : "unknown";
}

static void print_json(u32 event, const struct device *dev)
{
	struct json_object *o = json_object_new_object();
	char *node = xasprintf("/dev/vdisk%u", dev->id);

	json_object_object_add(o, "event", json_text(event_name(event)));
	json_object_object_add(o, "id", json_object_new_int64(dev->id));
	json_object_object_add(o, "node", json_text(node));
	json_object_object_add(o, "state", json_text(device_state(dev)));
	json_object_object_add(o, "diskseq", json_object_new_int64((int64_t)dev->diskseq));
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	free(node);
}

static void on_event(u32 event, const struct device *dev)
{
	if (ctl.json)
		print_json(event, dev);
	else
		printf("%s /dev/vdisk%u %s diskseq=%llu\n", event_name(event), dev->id,
		       device_state(dev), (unsigned long long)dev->diskseq);
	/* A reader that left ends us. */
	if (fflush(stdout))
		exit(CTL_OK);
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct klink nl;
	int id, ret;

	while ((id = ctl_getopt(cmd, argc, argv)) != CTL_OPT_END)
		if (id < 0)
			return id == CTL_OPT_BAD ? CTL_USAGE : 0;
	if (optind < argc)
		return cmd_usage(cmd, "monitor takes no argument");
	ret = klink_connect(&nl, KLINK_LOAD);
	if (ret)
		return ret;
	ret = klink_listen(&nl, on_event);
	klink_disconnect(&nl);
	return ret;
}

const struct cmd cmd_monitor = {
	.name = "monitor",
	.args = "",
	.summary = "Print events as they happen: attach, detach, change, error",
	.opts = { opts },
	.run = run,
};
