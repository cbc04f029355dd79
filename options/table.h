/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The -o options: one row an option, what it is called, what value it takes, where that goes, and what
 * the usage says about it.
 */
#ifndef OPTIONS_TABLE_H
#define OPTIONS_TABLE_H

#include "draft.h"

/*
 * Applies one word of an -o list ("reconnect", "max_read=65536"), which may also be one for ssh.
 * Returns 0, or -EINVAL and *ret_why. A word that nobody knows goes to draft->unknown: 0.
 */
int table_apply(struct draft *draft, const char *word, char **ret_why);

/*
 * Splits an -o argument at its commas and applies each word. A backslash takes the meaning from what
 * follows ("\," does not split); with three octal digits it is the character of that number ("\040").
 */
int table_apply_list(struct draft *draft, const char *list, char **ret_why);

/* Calls `each` for the name, the value's name ("N", NULL without) and the help of every option. */
void table_for_each(void (*each)(const char *name, const char *value, const char *help, void *data),
                    void *data);

#endif
