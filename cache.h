/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What we know of the server's names, attributes, link targets and listings, and for how long it is
 * true. Front door of cache/.
 *
 * Names are keyed by (folder's node id, name); node ids are fs/node.c's, never reused, and stay with a
 * file or folder when it is renamed. So a renamed folder keeps all that is known below it.
 *
 * Two rules keep it right:
 * 1. *Tickets.* An answer from the server is only as new as the question. Before asking, the caller
 *    takes a ticket (before it even puts the path together: a path outdated by a rename is a stale
 *    question too); an answer is dropped if anything it speaks of has changed since its ticket.
 * 2. *Events.* Callers say what happens (cache_on_...), twice: CACHE_BEGINS before the request leaves,
 *    CACHE_ENDED when its reply, good or bad, is there. What must be forgotten is decided by the table
 *    at the top of cache.c, not by callers.
 *
 * Time is util/clock.h's. All functions are thread-safe, never wait and never fail: an answer that does
 * not fit is not kept. Memory is bounded by max_entries (least recently used ones go first).
 * With enabled == false every get says "unknown" and every put is dropped; tickets and events still work.
 */
#ifndef CACHE_H
#define CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "listing.h"

struct cache;

/* Filled by options.c (compat.md 1.3, dcache_*). */
struct cache_settings {
	bool enabled;                       /* dir_cache */
	uint64_t attr_ns, name_ns, link_ns; /* dcache_stat, _dir and _link_timeout */
	size_t max_entries;                 /* dcache_max_size */
	uint64_t clean_ns, min_clean_ns;    /* dcache_clean_interval, dcache_min_clean_interval */
};

struct cache *cache_new(const struct cache_settings *settings);
void cache_free(struct cache *cache); /* accepts NULL */

/* False with dir_cache=no. */
bool cache_is_enabled(const struct cache *cache);

/* ---- tickets ---------------------------------------------------------------------------------- */

/* A point in the cache's own count of changes. */
struct cache_ticket {
	uint64_t moment;
};

struct cache_ticket cache_take_ticket(struct cache *cache);

/* ---- questions -------------------------------------------------------------------------------- */

enum cache_known {
	CACHE_UNKNOWN, /* ask the server */
	CACHE_PRESENT, /* the name exists */
	CACHE_ABSENT,  /* it does not (seen missing, or not in a complete listing) */
};

struct cache_name {
	uint64_t id;   /* node id given to the name when it was put; 0: none */
	bool has_attr; /* attributes are known and still valid */
	struct cache_attr attr;
	uint64_t name_left_ns; /* how long the name, or its absence, stays valid */
	uint64_t attr_left_ns; /* how long the attributes do; 0 without */
};

/* What is known of `name` in folder `dir`; fills *ret_name unless CACHE_UNKNOWN. */
enum cache_known cache_get_name(struct cache *cache, uint64_t dir, const char *name,
                                struct cache_name *ret_name);
/* A copy of a symlink's target for the caller to free, or NULL: unknown. */
char *cache_get_link(struct cache *cache, uint64_t dir, const char *name);
/* The complete, still valid listing of a folder, referenced, or NULL: unknown. */
struct listing *cache_get_listing(struct cache *cache, uint64_t dir);

/* ---- answers ---------------------------------------------------------------------------------- */

/* The name exists, with node id `id` (0: none yet) and these attributes (NULL: unknown). */
void cache_put_name(struct cache *cache, struct cache_ticket ticket, uint64_t dir, const char *name,
                    uint64_t id, const struct cache_attr *attr);
/* The name does not exist. */
void cache_put_absent(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                      const char *name);
void cache_put_link(struct cache *cache, struct cache_ticket ticket, uint64_t dir, const char *name,
                    const char *target);
/* The complete contents of a folder; takes a reference of its own. Its names and attributes count too. */
void cache_put_listing(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                       struct listing *listing);

/* ---- events ----------------------------------------------------------------------------------- */

enum cache_when {
	CACHE_BEGINS,
	CACHE_ENDED,
};

/* open with O_CREAT, mknod, mkdir, symlink, and link's new name. */
void cache_on_create(struct cache *cache, enum cache_when when, uint64_t dir, const char *name);
/* unlink and rmdir. `id` is the node's, for what is known below it; 0: not known. */
void cache_on_remove(struct cache *cache, enum cache_when when, uint64_t dir, const char *name,
                     uint64_t id);
void cache_on_rename(struct cache *cache, enum cache_when when, uint64_t dir, const char *name,
                     uint64_t new_dir, const char *new_name);
/* setattr, write, truncate, copy into: attributes change, the name does not. */
void cache_on_change(struct cache *cache, enum cache_when when, uint64_t dir, const char *name);
/*
 * cache_on_create() and cache_on_change() with CACHE_ENDED, for a reply that came with attributes asked for
 * behind the change: `ticket`, taken after CACHE_BEGINS, comes back renewed, so that they can be put,
 * unless something else has happened to the name since it was taken.
 */
struct cache_ticket cache_end_create(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                     const char *name);
struct cache_ticket cache_end_change(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                     const char *name);
/* The connection was lost and is back, or the user asks: all is forgotten, all tickets are void. */
void cache_on_reconnect(struct cache *cache);
/* The server turned out to differ from what was known of this name (and of what is below `id`). */
void cache_on_surprise(struct cache *cache, uint64_t dir, const char *name, uint64_t id);

/* ---- for tests and -d ------------------------------------------------------------------------- */

struct cache_stats {
	size_t entries, listings; /* now */
	size_t bytes;             /* now, about */
	uint64_t hits, misses,
		dropped; /* since the start; dropped: answers whose ticket was void */
};
void cache_get_stats(struct cache *cache, struct cache_stats *ret_stats);

#endif
