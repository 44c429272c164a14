// SPDX-License-Identifier: GPL-2.0-only
/* What vdctl check has found, as text and as JSON. */
#include <json-c/json.h>
#include "check.h"
#include "netlink.h"

static const char *const kinds[] = {
	[VD_FINDING_NOTE] = "note",
	[VD_FINDING_LEAK] = "leak",
	[VD_FINDING_UNCLEAN] = "unclean",
	[VD_FINDING_CORRUPT] = "corrupt",
};

/**
 * struct totals - over all extents, as they are now
 */
struct totals {
	u64 units;
	u64 used;
	u64 leaked;
	u64 leaked_units;
	u64 end;
	u64 failed;
};

static void add_up(const struct check_report *r, struct totals *t)
{
	u32 i;

	memset(t, 0, sizeof(*t));
	for (i = 0; i < r->nr; i++) {
		const struct vd_check *c = &r->extents[i].last;

		t->units += c->units;
		t->used += c->used_units;
		t->leaked += c->leaked;
		t->leaked_units += c->unit ? c->leaked / c->unit : 0;
		t->end = max(t->end, c->end);
		t->failed += !!r->extents[i].failed;
	}
}

/* --- text --- */

#define MAX_CHANGES 20	/* lines for one extent */

/* What a user wants to look at after a repair: one line for each part of the disk. */
static void print_changes(const struct check_report *r, const struct check_extent *e)
{
	const char *would = r->wrote ? "" : "would be ";
	u32 i;

	for (i = 0; i < e->nr_changes && i < MAX_CHANGES; i++) {
		const struct check_change *c = &e->changes[i];

		printf("  %s%s: bytes %llu to %llu of the disk; %s\n", would,
		       c->how == VD_CHANGE_COPIED ? "copied" : "changed",
		       (unsigned long long)c->start, (unsigned long long)(c->start + c->len - 1),
		       c->how == VD_CHANGE_COPIED ?
		       "they read as before, but may be another part's data" :
		       "they read other than before");
	}
	if (e->nr_changes > MAX_CHANGES)
		printf("  and %u more such lines\n", e->nr_changes - MAX_CHANGES);
}

static void print_extent(const struct check_report *r, const struct check_extent *e)
{
	u64 told[ARRAY_SIZE(kinds)] = { 0 };
	u32 i, kind;

	if (!e->nr && !e->failed)
		return;
	text_escape(stdout, e->path);
	printf(":\n");
	for (i = 0; i < e->nr; i++) {
		told[e->list[i].kind]++;
		printf("  %s: ", kinds[e->list[i].kind]);
		text_escape(stdout, e->list[i].text);
		putchar('\n');
	}
	for (kind = 0; kind < ARRAY_SIZE(kinds); kind++)
		if (e->first.found[kind] > told[kind])
			printf("  %s: %llu more\n", kinds[kind],
			       (unsigned long long)(e->first.found[kind] - told[kind]));
	print_changes(r, e);
	if (e->failed) {
		printf("  not checked to its end: ");
		text_escape(stdout, e->failed);
		putchar('\n');
	}
}

static void print_count(const struct check_report *r, enum vd_finding kind, const char *what)
{
	unsigned long long found = check_found(r, kind, false);
	unsigned long long fix = check_repairable(r, kind);

	if (!found)
		return;
	printf("%-18s %llu", what, found);
	if (r->wrote)
		printf(", %llu left", (unsigned long long)check_found(r, kind, true));
	else if (fix || kind >= VD_FINDING_UNCLEAN)
		printf(", %llu can be repaired by --repair%s", fix,
		       r->mode == CHECK_MERGE ? "=merge" : "");
	putchar('\n');
}

static bool nothing_found(const struct check_report *r)
{
	return !check_found(r, VD_FINDING_CORRUPT, false) &&
	       !check_found(r, VD_FINDING_UNCLEAN, false) &&
	       !check_found(r, VD_FINDING_LEAK, false);
}

void check_print(const struct check_report *r)
{
	struct totals t;
	char size[32];
	u32 i;

	for (i = 0; i < r->nr; i++)
		print_extent(r, &r->extents[i]);
	add_up(r, &t);
	if (nothing_found(r) && !t.failed && !ctl.quiet)
		printf("no errors found\n");
	print_count(r, VD_FINDING_CORRUPT, "corrupt:");
	print_count(r, VD_FINDING_UNCLEAN, "unclean:");
	print_count(r, VD_FINDING_LEAK, "leaks:");
	if (ctl.quiet)
		return;
	if (t.units)
		printf("%-18s %llu of %llu units (%.1f%%)\n", "allocated:",
		       (unsigned long long)t.used, (unsigned long long)t.units,
		       (double)t.used * 100 / (double)t.units);
	if (t.leaked) {
		format_size(t.leaked, size, sizeof(size));
		printf("%-18s %s (%llu bytes)\n", "leaked:", size, (unsigned long long)t.leaked);
	}
	printf("%-18s %llu\n", "highest reference:", (unsigned long long)t.end);
}

/* --- JSON --- */

static void add_text(struct json_object *o, const char *key, const char *s)
{
	if (s)
		json_object_object_add(o, key, json_text(s));
}

static void add_u64(struct json_object *o, const char *key, u64 n)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)n));
}

static struct json_object *json_findings(const struct check_extent *e)
{
	struct json_object *list = json_object_new_array();
	u32 i;

	for (i = 0; i < e->nr; i++) {
		struct json_object *o = json_object_new_object();

		add_text(o, "kind", kinds[e->list[i].kind]);
		add_text(o, "text", e->list[i].text);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *json_changes(const struct check_extent *e)
{
	struct json_object *list = json_object_new_array();
	u32 i;

	for (i = 0; i < e->nr_changes; i++) {
		struct json_object *o = json_object_new_object();

		add_text(o, "what", e->changes[i].how == VD_CHANGE_COPIED ? "copied" : "changed");
		add_u64(o, "start", e->changes[i].start);
		add_u64(o, "length", e->changes[i].len);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *json_extent(const struct check_report *r, const struct check_extent *e)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "filename", e->path);
	add_text(o, "image", r->set->images[e->image].path);
	if (e->seg) {
		add_u64(o, "start", e->seg->start);
		add_u64(o, "length", e->seg->len);
		add_u64(o, "unit", e->last.unit);
		add_u64(o, "total-units", e->last.units);
		add_u64(o, "allocated-units", e->last.used_units);
		add_u64(o, "leaked-bytes", e->last.leaked);
		add_u64(o, "end-offset", e->last.end);
	}
	add_text(o, "error", e->failed);
	json_object_object_add(o, "findings", json_findings(e));
	if (r->wrote || r->dry_run)
		json_object_object_add(o, "changes", json_changes(e));
	return o;
}

/* Clearing one fault may uncover another, so this is no plain difference. */
static u64 fixed(const struct check_report *r, enum vd_finding kind)
{
	u64 first = check_found(r, kind, false), last = check_found(r, kind, true);

	return first > last ? first - last : 0;
}

static void json_counts(struct json_object *o, const struct check_report *r)
{
	add_u64(o, "corruptions", check_found(r, VD_FINDING_CORRUPT, true));
	add_u64(o, "unclean", check_found(r, VD_FINDING_UNCLEAN, true));
	add_u64(o, "notes", check_found(r, VD_FINDING_NOTE, true));
	if (r->wrote) {
		add_u64(o, "corruptions-fixed", fixed(r, VD_FINDING_CORRUPT));
		add_u64(o, "unclean-fixed", fixed(r, VD_FINDING_UNCLEAN));
	} else {
		add_u64(o, "corruptions-repairable", check_repairable(r, VD_FINDING_CORRUPT));
		add_u64(o, "unclean-repairable", check_repairable(r, VD_FINDING_UNCLEAN));
	}
}

/* Keys that qemu-img check has too are spelled as there. */
void check_print_json(const struct check_report *r)
{
	const struct set_image *top = &r->set->images[0];
	struct json_object *o = json_top();
	struct json_object *list = json_object_new_array();
	struct totals t;
	u32 i;

	add_up(r, &t);
	add_text(o, "filename", top->path);
	add_text(o, "format", vd_format_name(top->format));
	add_u64(o, "check-errors", t.failed);
	json_counts(o, r);
	add_u64(o, "leaks", t.leaked_units);
	add_u64(o, "leaked-bytes", t.leaked);
	add_u64(o, "total-clusters", t.units);
	add_u64(o, "allocated-clusters", t.used);
	add_u64(o, "image-end-offset", t.end);
	for (i = 0; i < r->nr; i++)
		json_object_array_add(list, json_extent(r, &r->extents[i]));
	json_object_object_add(o, "extents", list);
	json_print(o);
}
