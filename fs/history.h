/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What programs have asked for, one thing after the other: names that were looked up, files that were opened.
 * Many do the same again and again (git, make, a shell's prompt, an interpreter that looks for its modules), so
 * when one thing is asked for that was asked for before, what has followed it then is looked at with it, in
 * the same round trip. Only where the server is far away.
 *
 * All functions are thread-safe.
 */
#ifndef FS_HISTORY_H
#define FS_HISTORY_H

#include "context.h"

struct history;
struct history_looks;

/* `enabled`: false: nothing is ever looked at. */
struct history *history_new(struct fs *fs, bool enabled);
void history_free(struct history *history); /* accepts NULL */

/* A name is asked for that is known. What is asked for of a server next door is not remembered. */
void history_note(struct history *history, uint64_t dir, const char *name);
/*
 * The same of a name, or an open file's name, for which the server is about to be asked: begins to look at what
 * has followed. NULL: nothing. Ended by history_end(), after the caller's own question was answered. Does not
 * wait for replies.
 */
struct history_looks *history_begin(struct history *history, uint64_t dir, const char *name);
/* Puts what was found into the cache; waits for it. Accepts NULL. */
void history_end(struct history_looks *looks);

/*
 * True when attributes that were asked for at `asked_ns` are as good as if they were asked for now: they left less
 * than three round trips ago. What has changed since can hardly be known here by any other way: word of it
 * takes as long. Never where the server is near.
 */
bool history_is_now(struct history *history, uint64_t asked_ns);

/* For statistics: names that were looked at, and how many of them were then asked for. */
struct history_stats {
	uint64_t asked, used;
};
void history_get_stats(struct history *history, struct history_stats *ret_stats);

#endif
