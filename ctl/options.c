// SPDX-License-Identifier: GPL-2.0-only
/* Options of a verb from its tables: getopt_long, help text, completion list. */
#include <getopt.h>
#include <stdlib.h>
#include "vdctl.h"

#define MAX_OPTS 64

/* Understood by every verb, after it as well as before. */
static const struct ctl_opt global_opts[] = {
	{ 'h', "help", NULL, "this text" },
	{ 'q', "quiet", NULL, "errors only" },
	{ 'v', "verbose", NULL, "say more" },
	{ 0 }
};

static bool may_lack_value(const struct ctl_opt *o)
{
	return o->arg && o->arg[0] == '=';
}

static const struct ctl_opt *nth_table(const struct cmd *cmd, int n)
{
	return n < CTL_OPT_TABLES && cmd->opts[n] ? cmd->opts[n] : NULL;
}

static void add_table(const struct ctl_opt *o, struct option *longs, int *nr_longs, char *shorts,
		      size_t *nr_shorts)
{
	for (; o->id; o++) {
		if (o->name) {
			longs[*nr_longs].name = o->name;
			longs[*nr_longs].has_arg = may_lack_value(o) ? optional_argument :
						   o->arg ? required_argument : no_argument;
			longs[*nr_longs].val = o->id;
			(*nr_longs)++;
		}
		if (o->id < 256) {
			shorts[(*nr_shorts)++] = (char)o->id;
			if (o->arg)
				shorts[(*nr_shorts)++] = ':';
		}
	}
}

static void bad_option(const struct cmd *cmd, bool no_value, const char *arg)
{
	char letter[3] = { '-', (char)optopt, 0 };
	bool is_long = !strncmp(arg, "--", 2);

	ctl_error(CTL_USAGE, "usage", NULL, no_value ? "option %s wants a value" :
		  "there is no option %s, or it takes no value",
		  is_long || !optopt || optopt > 255 ? arg : letter);
	ctl_hint("vdctl %s --help", cmd->name);
}

int ctl_getopt(const struct cmd *cmd, int argc, char **argv)
{
	static struct option longs[MAX_OPTS];
	static char shorts[2 * MAX_OPTS];
	static bool built;
	int id, i;

	if (!built) {
		size_t nr_shorts = 1;
		int nr_longs = 0;

		shorts[0] = ':';	/* a missing value is ':', not '?' */

		for (i = 0; nth_table(cmd, i); i++)
			add_table(cmd->opts[i], longs, &nr_longs, shorts, &nr_shorts);
		add_table(global_opts, longs, &nr_longs, shorts, &nr_shorts);
		built = true;
		optind = 0;
		opterr = 0;
	}

	for (;;) {
		id = getopt_long(argc, argv, shorts, longs, NULL);
		switch (id) {
		case -1:
			return CTL_OPT_END;
		case 'q':
			ctl.quiet = true;
			continue;
		case 'v':
			ctl.verbose++;
			continue;
		case 'h':
			cmd_help(cmd, stdout);
			return CTL_OPT_HELP;
		case ':':
		case '?':
			bad_option(cmd, id == ':', argv[optind - 1]);
			return CTL_OPT_BAD;
		case 'J':
			ctl.json = true;
			return id;
		default:
			return id;
		}
	}
}

static void help_option(const struct ctl_opt *o, FILE *to)
{
	char left[64];
	int n = 0;

	if (!o->help)
		return;
	if (o->id < 256)
		n += snprintf(left + n, sizeof(left) - (size_t)n, "-%c", o->id);
	else
		n += snprintf(left + n, sizeof(left) - (size_t)n, "   ");
	if (o->name)
		n += snprintf(left + n, sizeof(left) - (size_t)n, "%s--%s",
			      o->id < 256 ? ", " : " ", o->name);
	if (may_lack_value(o))
		snprintf(left + n, sizeof(left) - (size_t)n, "[%s]", o->arg);
	else if (o->arg)
		snprintf(left + n, sizeof(left) - (size_t)n, "%c%s", o->name ? '=' : ' ', o->arg);
	fprintf(to, "  %-30s %s\n", left, o->help);
}

void cmd_help(const struct cmd *cmd, FILE *to)
{
	const struct ctl_opt *o;
	int i;

	fprintf(to, "Usage: vdctl %s [OPTIONS] %s\n\n%s.\n", cmd->name, cmd->args, cmd->summary);
	if (cmd->more)
		fprintf(to, "\n%s\n", cmd->more);
	fprintf(to, "\nOptions:\n");
	for (i = 0; nth_table(cmd, i); i++)
		for (o = cmd->opts[i]; o->id; o++)
			help_option(o, to);
	for (o = global_opts; o->id; o++)
		help_option(o, to);
}

/* For completion: one spelling a line, a value marked by a final '='. */
void cmd_list_options(const struct cmd *cmd)
{
	const struct ctl_opt *o;
	int i;

	for (i = 0; i <= CTL_OPT_TABLES; i++) {
		const struct ctl_opt *table = i < CTL_OPT_TABLES ? nth_table(cmd, i) : global_opts;

		for (o = table; o && o->id; o++) {
			if (!o->help)
				continue;
			if (o->id < 256)
				printf("-%c\n", o->id);
			if (o->name)
				printf("--%s%s\n", o->name,
				       o->arg && !may_lack_value(o) ? "=" : "");
		}
	}
}

int cmd_usage(const struct cmd *cmd, const char *fmt, ...)
{
	va_list args;
	char *text;
	int ret;

	va_start(args, fmt);
	ret = vasprintf(&text, fmt, args);
	va_end(args);
	if (ret < 0)
		return ctl_nomem();
	ret = ctl_error(CTL_USAGE, "usage", NULL, "%s", text);
	ctl_hint("vdctl %s %s; see 'vdctl %s --help'", cmd->name, cmd->args, cmd->name);
	free(text);
	return ret;
}
