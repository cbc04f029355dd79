/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line, the -o options and mount(8)'s dialect, turned into one validated, read-only
 * struct. Front door of options/.
 *
 * Each room declares the settings it needs in its own header; this module fills them, so that nothing
 * is translated twice. Called once, before any thread.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>

#include "cache.h"
#include "client.h"
#include "fs.h"
#include "transport.h"

enum options_action {
	OPTIONS_MOUNT,
	OPTIONS_HELP,    /* -h: print the usage, exit 0 */
	OPTIONS_VERSION, /* -V */
	OPTIONS_STATS,   /* --stats: show what the mount at `path` has done */
	OPTIONS_REFRESH, /* --refresh: let the mount forget what it knows of `path` */
	OPTIONS_NOTHING, /* mount -f: everything was checked, nothing is to be done; exit 0 */
};

struct options {
	enum options_action action;
	char *path; /* OPTIONS_STATS and OPTIONS_REFRESH: as typed; of all below they set `json` only */
	bool json;        /* --json: for programs */
	char *source;     /* as typed, "[user@]host:dir": shown in mtab */
	char *mountpoint; /* absolute (realpath), or "/dev/fd/N" */
	bool foreground;  /* -f, -d, passive */
	bool debug;       /* -d */
	bool verbose;     /* -v */
	bool delay_connect;
	bool stats; /* a summary is logged at the end */
	char **notes; /* NULL-terminated: remarks on the options for the log, e.g. "'nonempty' is ignored: ..." */

	struct transport_settings transport;
	struct sftp_settings sftp;
	struct cache_settings cache;
	struct fs_settings fs;
};

/*
 * Parses argv; argv[0] decides the dialect (mount.sshfs, mount.fuse.sshfs: mount(8)'s; else sshfs's).
 * Returns 0 and *ret_options for options_free(), or -EINVAL (or the errno of a file or mountpoint) and
 * *ret_why for the user: one or more whole lines, the first saying what is wrong with which option.
 */
int options_parse(int argc, char **argv, struct options **ret_options, char **ret_why);
void options_free(struct options *options);

/* -h: usage on stdout. */
void options_print_usage(const char *program);
/* -V: versions on stdout, in the lines scripts parse. */
void options_print_version(void);

#endif
