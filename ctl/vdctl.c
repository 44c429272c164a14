// SPDX-License-Identifier: GPL-2.0-only
/*
 * vdctl - virtual disk images as block devices
 *
 * main() finds the verb and nothing more; each verb lives in cmd-<verb>.c
 * together with its options and its help.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "vdctl.h"

struct ctl ctl;

static const struct cmd *const verbs[] = {
	&cmd_attach, &cmd_detach, &cmd_list, &cmd_status, &cmd_set, &cmd_info, &cmd_chain,
	&cmd_map, &cmd_check, &cmd_compact, &cmd_cat, &cmd_create, &cmd_rename, &cmd_probe,
	&cmd_formats, &cmd_monitor,
};

static const struct cmd *find_verb(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

static void print_help(FILE *to)
{
	size_t i;

	fputs("Usage: vdctl [-q] [-v] VERB [OPTIONS] ARGUMENTS\n\n"
	      "Makes virtual disk images (VMDK, VDI, raw) block devices, and looks into them.\n\n"
	      "Verbs:\n", to);
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(to, "  %-9s %s\n", verbs[i]->name, verbs[i]->summary);
	fputs("  help      This text, or the help of a verb\n\n"
	      "Options:\n"
	      "  -h, --help      this text\n"
	      "  -V, --version   version of vdctl and of the loaded module\n"
	      "  -q, --quiet     errors only\n"
	      "  -v, --verbose   say more\n\n"
	      "Exit codes: 0 done, 1 failed, 2 usage, 3 not attached or not found, 4 busy or locked,\n"
	      "5 image damaged or unsupported, 6 no permission, 7 kernel module missing.\n", to);
}

static void print_version(void)
{
	char line[64] = "not loaded";
	FILE *f = fopen("/sys/module/vdisk/version", "re");

	if (f) {
		if (fgets(line, sizeof(line), f))
			line[strcspn(line, "\n")] = 0;
		fclose(f);
	} else if (!access("/sys/module/vdisk", F_OK)) {
		strcpy(line, "loaded");
	}
	printf("vdctl %s (module: ", VDCTL_VERSION);
	text_escape(stdout, line);
	printf(")\n");
}

static int run_help(int argc, char **argv)
{
	const struct cmd *cmd;
	size_t i;

	if (argc < 2) {
		print_help(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--list-verbs")) {
		for (i = 0; i < ARRAY_SIZE(verbs); i++)
			printf("%s\n", verbs[i]->name);
		printf("help\n");
		return 0;
	}
	cmd = find_verb(argv[argc - 1]);
	if (!cmd)
		return ctl_error(CTL_USAGE, "usage", NULL, "there is no verb '%s'", argv[argc - 1]);
	if (!strcmp(argv[1], "--list-options"))
		cmd_list_options(cmd);
	else
		cmd_help(cmd, stdout);
	return 0;
}

/* Options before the verb. Returns the verb's index, or -1 when all is done. */
static int global_options(int argc, char **argv, int *ret)
{
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "-q") || !strcmp(argv[i], "--quiet")) {
			ctl.quiet = true;
		} else if (!strcmp(argv[i], "-v") || !strcmp(argv[i], "--verbose")) {
			ctl.verbose++;
		} else if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help")) {
			print_help(stdout);
			*ret = 0;
			return -1;
		} else if (!strcmp(argv[i], "-V") || !strcmp(argv[i], "--version")) {
			print_version();
			*ret = 0;
			return -1;
		} else {
			*ret = ctl_error(CTL_USAGE, "usage", NULL, "unknown option '%s'", argv[i]);
			ctl_hint("vdctl --help");
			return -1;
		}
	}
	if (i == argc) {
		*ret = ctl_error(CTL_USAGE, "usage", NULL, "no verb");
		ctl_hint("vdctl --help");
		return -1;
	}
	return i;
}

static int run(int argc, char **argv)
{
	const struct cmd *cmd;
	int ret, at;

	at = global_options(argc, argv, &ret);
	if (at < 0)
		return ret;
	ctl.verb_index = at;
	if (!strcmp(argv[at], "help"))
		return run_help(argc - at, argv + at);
	cmd = find_verb(argv[at]);
	if (!cmd) {
		ret = ctl_error(CTL_USAGE, "usage", NULL, "there is no verb '%s'", argv[at]);
		ctl_hint("vdctl --help");
		return ret;
	}
	ctl.verb = cmd->name;
	return cmd->run(cmd, argc - at, argv + at);
}

/* Descriptors 0 to 2 must exist, or an image could become "stdout". */
static void fill_stdio(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	int ret;

	fill_stdio();
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	ctl.argc = argc;
	/* getopt permutes what it parses; hints repeat what was typed. */
	ctl.argv = xrealloc(NULL, (size_t)argc + 1, sizeof(*argv));
	memcpy(ctl.argv, argv, ((size_t)argc + 1) * sizeof(*argv));

	ret = run(argc, argv);
	if (fflush(stdout) && errno != EPIPE && !ret)
		ret = ctl_errno(errno, NULL, "writing the answer");
	ctl_flush();
	free(ctl.argv);
	return ret;
}
