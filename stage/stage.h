/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File contents that are held here: what was read ahead of a reader, and small files that were fetched
 * before anybody opened them. Front door of stage/; knows the client, nothing of FUSE or of the cache.
 *
 * Held contents are of one file (a number of the caller's: the node), at one state on the server: its size and
 * mtime, as the caller has seen them when it opened the file, or as they were fetched with it. They are
 * served for STAGE_FRESH_NS without another look; then a look (FSTAT) must find them unchanged. What is
 * written, truncated or copied over from here is told by stage_begin_change() and stage_end_change(), between
 * which nothing is held of the file, so that own changes are always seen.
 *
 * All bytes that are held or on their way here count against one budget. What a reader is waiting for is
 * fetched whatever the budget says; what is ahead of it only within.
 *
 * All functions are thread-safe; they wait for the network only where it says so.
 */
#ifndef STAGE_STAGE_H
#define STAGE_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "client.h"
#include "clock.h"

/*
 * How old what was fetched may be without having been looked at again. Upstream trusts attributes for 20 s;
 * contents are more, and two seconds are what a person takes to look from one window to another.
 */
#define STAGE_FRESH_NS (2 * CLOCK_NS_PER_SEC)

struct stage;
struct stage_reader;

struct stage_settings {
	size_t buffer_size; /* the budget, bytes; 0: nothing is ever held */
	/* A file's path on the server now, for the caller to free; NULL: it has none any more. Any thread. */
	char *(*path)(uint64_t node, void *data);
	void *data; /* for path() */
};

/* Borrows the client. Never NULL. */
struct stage *stage_new(const struct stage_settings *settings, struct sftp_client *client);
/*
 * Waits for what is on its way, so it is for after the client's shutdown; all readers are freed before. Accepts
 * NULL.
 */
void stage_free(struct stage *stage);

/* Which state of a file on the server. */
struct stage_identity {
	uint64_t size; /* bytes */
	int64_t mtime; /* seconds */
	bool settled;  /* no change within the same second can have been missed */
};

/* ---- readers ------------------------------------------------------------------------------------ */

/*
 * An open file of node `node` that is read, whose state was just seen to be *identity; what is held of another
 * state is dropped. `file` is borrowed and outlives the reader. Returns NULL when nothing is to be
 * held of it (no budget, an empty file, which may be of the kind that /proc has).
 */
struct stage_reader *stage_reader_new(struct stage *stage, uint64_t node, struct sftp_file *file,
                                      const struct stage_identity *identity);
void stage_reader_free(struct stage_reader *reader); /* accepts NULL; no read may be running */

/* What was read: pieces of memory that stay until stage_view_done(), which may come after the reader's end. */
struct stage_view {
	struct iovec *pieces;
	int count;
	void *extents; /* private */
};

/*
 * Reads up to `size` bytes at `offset`; fewer only at the end of the file. Waits for what is not held. Returns
 * the bytes in *ret_view, which the caller ends by stage_view_done(), or -errno: -EAGAIN the file is being
 * changed from here, or this reader has it open at another state than the latest, or held it whole before it was
 * changed from here: read without stage;
 * -EINTR cancelled; what sftp_read() returns.
 */
ssize_t stage_read(struct stage_reader *reader, size_t size, uint64_t offset,
                   struct stage_view *ret_view);
void stage_view_done(struct stage *stage, struct stage_view *view);

/* ---- small files, held whole --------------------------------------------------------------------- */

struct stage_whole;

/*
 * A small file is about to be read whole, at `now_ns` (clock_now_ns()). Returns what stage_whole_end() takes; NULL: it
 * is held already, or being read or changed, or there is no room for `size` bytes more.
 */
struct stage_whole *stage_whole_begin(struct stage *stage, uint64_t node, size_t size,
                                      uint64_t now_ns);
/*
 * Its `size` bytes, as asked for, which are copied, at this state; NULL: they could not be had. Dropped when the file was changed
 * from here meanwhile.
 */
void stage_whole_end(struct stage_whole *whole, const struct stage_identity *identity,
                     const void *bytes);
/*
 * A reader of a file that is held whole and was read at most STAGE_FRESH_NS ago, and in *ret_identity its
 * state; waits while it is being read. It needs no open file: what is held stays for it. NULL: not held, or
 * cancelled.
 */
struct stage_reader *stage_reader_of_whole(struct stage *stage, uint64_t node,
                                           struct stage_identity *ret_identity);
/* Nobody has opened the file: what is held of it is not worth its room any more. */
void stage_whole_drop(struct stage *stage, uint64_t node);

/* ---- changes from here -------------------------------------------------------------------------- */

/* `size` bytes at `offset` are about to be changed, UINT64_MAX: all from there. Nothing is held of them then. */
void stage_begin_change(struct stage *stage, uint64_t node, uint64_t offset, uint64_t size);
/* The server has made the change, or not; once for each begin, with the same range. */
void stage_end_change(struct stage *stage, uint64_t node, uint64_t offset, uint64_t size);
/* Whatever is held is forgotten, and what is on its way is not kept: the server may have changed. */
void stage_forget(struct stage *stage);

/* For statistics. */
struct stage_stats {
	uint64_t held_bytes;    /* now, on their way included */
	uint64_t fetched_bytes; /* since the beginning */
	uint64_t ahead_bytes;   /* of those, before anybody asked */
	uint64_t unused_bytes;  /* of those, dropped without having been read */
};
void stage_get_stats(struct stage *stage, struct stage_stats *ret_stats);

#endif
