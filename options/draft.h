/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options while they are being read: what options_parse() will return, and what has to wait until
 * everything is known. Internal to options/. One thread.
 */
#ifndef OPTIONS_DRAFT_H
#define OPTIONS_DRAFT_H

#include "options.h"

struct draft {
	struct options *options;
	bool sloppy;                     /* mount -s: unknown options are no mistake */
	GPtrArray *notes;                /* of char *: remarks for the log */
	GPtrArray *ssh_args;             /* of char *: "-oPort=22" ... */
	GPtrArray *mount_args;           /* of char *: words for libfuse and the kernel */
	GPtrArray *unknown;              /* of char *: words nobody knows, as typed */
	char *source, *mountpoint;       /* as typed; borrowed from argv; NULL: not seen yet */
	char *fsname, *subtype;          /* the user's own, or NULL */
	bool passive, timeouts_given[3]; /* entry, attr, negative: set by the user */
	bool contain_asked;              /* contain_symlinks was given, not only the default */
};

enum { DRAFT_ENTRY_TIMEOUT, DRAFT_ATTR_TIMEOUT, DRAFT_NEGATIVE_TIMEOUT };

/* --stats, --refresh: nothing is to be mounted, a mount is there already. */
bool draft_is_about_a_mount(const struct draft *draft);
/* All defaults, for options_free(). */
struct options *options_new(void);

/* Remembers a remark for the log. */
void draft_note(struct draft *draft, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Adds one word for ssh's command line, made by the format. */
void draft_add_ssh_arg(struct draft *draft, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
