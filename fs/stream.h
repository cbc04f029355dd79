/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A folder's contents while they arrive: read by any number of readers, each at its own place, from the
 * first reply on.
 *
 * Places count from 0 in the server's order and stay what they are, for telldir(3) and seekdir(3). Nobody's
 * thread is behind a stream: whoever needs an entry that is not there yet takes the next reply from the
 * server himself, or waits for the one who does. When the last entry is there, the cache is told.
 *
 * The entries of a folder that is too large to be remembered are let go of behind the readers, so that
 * memory stays bounded; who goes back to them is told to begin anew.
 */
#ifndef FS_STREAM_H
#define FS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "context.h"
#include "listing.h"

struct stream;

/* The streams that are arriving, by folder, so that nobody asks for what is on its way already. */
struct stream_table;
struct stream_table *stream_table_new(void);
/* No stream may be left. Accepts NULL. */
void stream_table_free(struct stream_table *table);

/*
 * The contents of folder `dir`, referenced: what the cache knows, else what is on its way already and
 * still good enough, else a new stream, of which nothing has been asked for yet.
 */
struct stream *stream_get(struct fs *fs, uint64_t dir);
/* A new stream in any case, that nobody else will be given. */
struct stream *stream_new(struct fs *fs, uint64_t dir);
/* What the cache knows, or NULL. */
struct stream *stream_get_cached(struct fs *fs, uint64_t dir);
struct stream *stream_ref(struct stream *stream);
void stream_unref(struct stream *stream); /* accepts NULL */

/* A program reads it: see cache_trust_listing(). */
void stream_want(struct stream *stream);
/*
 * Waits until the entry at `place` is there. Returns 1: it is; 0: there are no more; -ESTALE: it was there, and
 * has been let go of: begin anew; -EINTR: the wait was given up; else why the listing failed, which it
 * then has for all.
 */
int stream_await(struct stream *stream, size_t place);
/*
 * Takes replies from the server until the end, or until there are more than `max` entries, or something
 * fails.
 */
void stream_complete(struct stream *stream, size_t max);

/*
 * The whole listing, referenced, if it has arrived from the server and nobody has taken this news yet;
 * else NULL.
 */
struct listing *stream_take_news(struct stream *stream);

/*
 * Calls `tell` for each entry from `place` on that is there, `next` being the place behind it, until it
 * returns false. The stream is locked meanwhile: `tell` must not wait nor call it.
 */
void stream_each(struct stream *stream, size_t place,
                 bool (*tell)(const struct listing_entry *entry, size_t next, void *data),
                 void *data);

/* When it was asked for: what it tells is as old as that. */
struct cache_ticket stream_ticket(struct stream *stream);
/* listing_serial() of the first entries. */
uint64_t stream_serial(const struct stream *stream);
uint64_t stream_dir(const struct stream *stream);

#endif
