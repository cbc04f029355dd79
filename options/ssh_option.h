/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which -o words are ssh_config(5)'s and go to ssh as they are. */
#ifndef OPTIONS_SSH_OPTION_H
#define OPTIONS_SSH_OPTION_H

#include <glib.h>
#include <stdbool.h>

/*
 * True for "Name=value" where Name is one of ssh_config(5)'s keywords, in any case, or looks like one
 * (starts with a capital letter): ssh itself knows best and complains.
 */
bool ssh_option_is(const char *word);

/* Calls `each` for every keyword that is known by name. */
void ssh_option_for_each(void (*each)(const char *name, void *data), void *data);

#endif
