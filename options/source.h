/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "[user@]host:dir": what to mount. */
#ifndef OPTIONS_SOURCE_H
#define OPTIONS_SOURCE_H

#include <stdbool.h>

/* True when a word of the command line is a source: a ':' in it, outside brackets. */
bool source_is(const char *word);

/*
 * Takes a source apart: "[::1]" loses its brackets; a legacy "sshfs#" in front is skipped. The caller
 * frees *ret_host ("user@host") and *ret_dir ("" for the remote home).
 * Returns 0, or -EINVAL and *ret_why: "missing ']' in hostname", "invalid hostname '...'" for a host
 * that ssh would take for an option.
 */
int source_parse(const char *source, char **ret_host, char **ret_dir, char **ret_why);

#endif
