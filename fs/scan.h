/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small files read ahead of whoever reads one after the other in a folder (grep -r, tar, cp -r, compilers). What
 * is read is held by the stage, whole, for a moment; nobody has to wait for it, and none of it is wrong to
 * have read.
 *
 * All functions are cheap, thread-safe, and never wait for the network but scan_free(), which is for after the
 * client's shutdown.
 */
#ifndef FS_SCAN_H
#define FS_SCAN_H

#include "context.h"

struct scan;

/* `breadth`: how many files at most are read and not opened yet; 0: none ever. */
struct scan *scan_new(struct fs *fs, unsigned int breadth);
/* Waits for its threads. Accepts NULL. */
void scan_free(struct scan *scan);
/* Begins nothing any more. */
void scan_stop(struct scan *scan);

/* A program opens a file for reading: `node`, which is `name` in folder `dir`. */
void scan_opens(struct scan *scan, uint64_t node, uint64_t dir, const char *name);
/* A program has read all of folder `dir`. */
void scan_lists(struct scan *scan, uint64_t dir);

/* For statistics: files read ahead, and how many of them were then opened. */
struct scan_stats {
	uint64_t asked, used;
};
void scan_get_stats(struct scan *scan, struct scan_stats *ret_stats);

#endif
