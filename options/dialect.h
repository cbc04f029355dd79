/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two ways to be called: as sshfs, and as mount(8)'s helper. */
#ifndef OPTIONS_DIALECT_H
#define OPTIONS_DIALECT_H

#include "draft.h"

/*
 * Reads argv into the draft: words, flags, and the -o lists by table.h. Strings of argv are borrowed.
 * Returns 0, or -EINVAL and *ret_why. With -h or -V it sets options->action and stops.
 */
int dialect_read(struct draft *draft, int argc, char **argv, char **ret_why);

#endif
