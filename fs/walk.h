/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Folders listed ahead of whoever walks through them (find, du, ls -R, git, rsync), and link targets ahead
 * of whoever reads a listing. It only fills the cache, by threads of its own: nobody waits for it, and
 * nothing of what it asks for is wrong to have asked.
 *
 * All functions are cheap, thread-safe, and never wait for the network but walk_free(), which is for
 * after the client's shutdown.
 */
#ifndef FS_WALK_H
#define FS_WALK_H

#include "context.h"

struct stream;
struct walk;

/* `breadth`: how many folders at most are listed ahead at the same time; 0: none ever. */
struct walk *walk_new(struct fs *fs, unsigned int breadth);
/* Waits for its threads. Accepts NULL. */
void walk_free(struct walk *walk);
/* Begins nothing any more. */
void walk_stop(struct walk *walk);

/* A program begins to read folder `dir`. */
void walk_reads(struct walk *walk, uint64_t dir);
/* More of `stream` has arrived; what counts is when its listing is complete, for whomever. */
void walk_takes_news(struct walk *walk, struct stream *stream);
/* The server had to be asked for a single name in folder `dir`. */
void walk_missed(struct walk *walk, uint64_t dir);
/* A single name in folder `dir` was known. */
void walk_found(struct walk *walk, uint64_t dir);
/* A program reads a symlink. */
void walk_reads_link(struct walk *walk);

/* For statistics: folders listed ahead, how many of them were then read, and link targets asked for ahead. */
struct walk_stats {
	uint64_t listed, used, targets;
};
void walk_get_stats(struct walk *walk, struct walk_stats *ret_stats);

#endif
