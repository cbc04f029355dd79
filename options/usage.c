// SPDX-License-Identifier: GPL-2.0-or-later
/* What -h and -V print: see options.h. */
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "table.h"

static void print_option(const char *name, const char *value, const char *help, void *data)
{
	g_autofree char *word = NULL;

	if (!help)
		return;
	word = value ? g_strdup_printf("%s=%s", name, value) : g_strdup(name);
	printf("    -o %-27s %s\n", word, help);
}

void options_print_usage(const char *program)
{
	printf("usage: %s [user@]host:[dir] mountpoint [options]\n"
	       "       %s --stats [--json] MNT\n"
	       "       %s --refresh PATH\n"
	       "\n"
	       "    -h   --help            print help\n"
	       "    -V   --version         print version\n"
	       "    -f                     foreground operation\n"
	       "    -s                     disable multi-threaded operation\n"
	       "    -p PORT                equivalent to '-o port=PORT'\n"
	       "    -C                     equivalent to '-o compression=yes'\n"
	       "    -F ssh_configfile      specifies alternative ssh configuration file\n"
	       "    -1                     equivalent to '-o ssh_protocol=1'\n"
	       "    -d   --debug           print some debugging information (implies -f)\n"
	       "    -v   --verbose         show what ssh prints\n"
	       "    -r                     equivalent to '-o ro'\n"
	       "    -o opt,[opt...]        mount options\n"
	       "         --stats           show what the mount at MNT has done\n"
	       "         --json            with --stats: for programs\n"
	       "         --refresh         let its mount forget what it knows of PATH\n"
	       "\n",
	       program, program, program);
	table_for_each(print_option, NULL);
	printf("    -o SSHOPT=VAL                  ssh options (see man ssh_config)\n"
	       "    -o ro,nosuid,noexec,...        options of the kernel (see man mount)\n");
}

/* One line of another program's output, without its newline; NULL when it cannot be run. */
static char *first_line(const char *command)
{
	char line[256];
	FILE *stream = popen(command, "re");
	bool got;

	if (!stream)
		return NULL;
	got = fgets(line, sizeof(line), stream) != NULL;
	pclose(stream);
	return got ? g_strdup(g_strchomp(line)) : NULL;
}

void options_print_version(void)
{
	g_autofree char *fusermount = first_line("fusermount3 -V 2>/dev/null");

	printf("SSHFS version %s\n", SSHFS_VERSION);
	printf("FUSE library version %s\n", fuse_pkgversion());
	printf("using FUSE kernel interface version %d.%d\n", FUSE_KERNEL_VERSION,
	       FUSE_KERNEL_MINOR_VERSION);
	if (fusermount)
		printf("%s\n", fusermount);
}
