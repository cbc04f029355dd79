/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * password_stdin: answers ssh's password prompt on a pseudo-terminal that ssh takes for the user's.
 *
 * The password is in a page of its own: locked into memory, left out of core dumps, wiped when it is no
 * longer needed. It never reaches a log or an error message.
 */
#ifndef TRANSPORT_ASKPASS_H
#define TRANSPORT_ASKPASS_H

#include <stdbool.h>
#include <sys/types.h>

struct askpass;

/* How long ssh may take to ask, seconds (compat.md 1.3). */
#define ASKPASS_TIMEOUT_SEC 60

/*
 * Reads the password from stdin: up to the first newline or the end of input, at most 1023 bytes;
 * nothing behind the newline is consumed. `keep`: it is used more than once (reconnect).
 * Returns 0, or -errno and *ret_why: -E2BIG longer, -ENODATA stdin is empty, -EIO not readable.
 */
int askpass_new(bool keep, struct askpass **ret_askpass, char **ret_why);
void askpass_free(struct askpass *askpass); /* wipes; accepts NULL */

/*
 * A pseudo-terminal for ssh. Returns the master, and the slave in *ret_slave (both O_CLOEXEC, the
 * caller's to close), or -errno.
 */
int askpass_open_terminal(int *ret_slave);

/*
 * Waits until ssh asks for a password on `master` and answers. Also ends when ssh needs none: when
 * `stream` has something to read, or the terminal is closed by ssh's end.
 * Returns 0, or -ETIMEDOUT after ASKPASS_TIMEOUT_SEC, or -EACCES when the password was used up already.
 * Any thread; one at a time is served.
 */
int askpass_answer(struct askpass *askpass, int master, int stream);

#endif
