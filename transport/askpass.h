/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The password of -o password_stdin: read once from stdin, kept in locked memory, typed into the
 * pseudo terminal of an ssh that asks for it.
 *
 * Thread-safe.
 */
#ifndef TRANSPORT_ASKPASS_H
#define TRANSPORT_ASKPASS_H

#include <stdbool.h>

struct askpass;

/* The longest password, in bytes, without the newline. */
#define ASKPASS_MAX 1023

/*
 * Reads one line from stdin, and not a byte more. With `keep` it stays for any number of logins,
 * else it is wiped when the first askpass_answer() is over.
 * Returns 0, or -errno and a sentence in *ret_why: -ENODATA stdin is at its end, -EMSGSIZE too
 * long, -ENOMEM (and others of mlock) no memory that stays out of the swap.
 */
int askpass_new(bool keep, struct askpass **ret_askpass, char **ret_why);

/* Makes a pseudo terminal that does not echo: 0 and its two ends (close-on-exec), or -errno. */
int askpass_open_terminal(int *ret_master, int *ret_slave);

/*
 * Waits for the prompt on `master` and types the password. Also returns 0 when there is nothing to
 * type it for: `stop_fd` became readable (the server was heard, or the stream is given up), or
 * `exit_fd` (-1: none) did, which tells of ssh's exit.
 * Returns -EACCES and a sentence when no prompt came in 60 seconds or the password is wiped.
 */
int askpass_answer(struct askpass *askpass, int master, int stop_fd, int exit_fd, char **ret_why);

/* Another holder; every one calls askpass_unref(). */
struct askpass *askpass_ref(struct askpass *askpass);

/* The last one wipes and frees. Accepts NULL. */
void askpass_unref(struct askpass *askpass);

#endif
