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
 * Time is util/clock.h's; how long an answer is true counts from when it was asked for. All functions
 * are thread-safe, never wait and never fail: an answer that does not fit is not kept. Memory is bounded by
 * max_entries (least recently used ones go first). With enabled == false every get says "unknown" and
 * every put is dropped; tickets and events still work.
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
	uint64_t absent_ns;                 /* dcache_absent_timeout; at most name_ns counts */
};

struct cache *cache_new(const struct cache_settings *settings);
void cache_free(struct cache *cache); /* accepts NULL */

/* False with dir_cache=no. */
bool cache_is_enabled(const struct cache *cache);
/* A listing of so many places or more is not kept. 0 with dir_cache=no. */
size_t cache_max_listing(const struct cache *cache);

/* ---- tickets ---------------------------------------------------------------------------------- */

/* One of all zeros is void. */
struct cache_ticket {
	uint64_t moment;   /* a point in the cache's own count of changes */
	uint64_t asked_ns; /* when the question was asked */
};

struct cache_ticket cache_take_ticket(struct cache *cache);
/*
 * True while an answer about the names in `dir` would still be admitted: nothing in it has been made,
 * removed or renamed since the ticket. Also without a cache (dir_cache=no).
 */
bool cache_ticket_holds(struct cache *cache, struct cache_ticket ticket, uint64_t dir);

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
	uint64_t asked_ns;     /* when the attributes were asked for, without them the name */
};

/* What is known of `name` in folder `dir`; fills *ret_name unless CACHE_UNKNOWN. */
enum cache_known cache_get_name(struct cache *cache, uint64_t dir, const char *name,
                                struct cache_name *ret_name);
/*
 * The same of a name that is an entry of a listing of `dir` (which may be incomplete, or have been pushed
 * out): what the cache knows that is newer, else what is listed, as far as that was asked for with
 * `ticket` and nothing has happened to the name since. Also without a cache (dir_cache=no).
 */
enum cache_known cache_get_listed(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                  const struct listing_entry *listed, struct cache_name *ret_name);
/* A copy of a symlink's target for the caller to free, or NULL: unknown. */
char *cache_get_link(struct cache *cache, uint64_t dir, const char *name);
/*
 * The complete, still valid listing of a folder, referenced, and the ticket that it came with; NULL:
 * unknown. Our own changes since are in it. Entries that are not LISTING_PRESENT are to be passed over.
 */
struct listing *cache_get_listing(struct cache *cache, uint64_t dir,
                                  struct cache_ticket *ret_ticket);

/*
 * A hint: what a folder held when it was last listed, as long as that might still be so, although it may not be
 * good enough for an answer any more (a listing that nobody has asked for, or with names in doubt).
 * Referenced, or NULL.
 */
struct listing *cache_peek_listing(struct cache *cache, uint64_t dir);

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

/*
 * A program has read the listing of `dir`: from now on a name that it lacks is taken not to exist, for as
 * long as absence is believed. One that was only asked for ahead does not tell that, and after two seconds
 * is not given any more to be read: whoever makes a file on the server and looks for it here for the first
 * time shall find it. A listing that takes the place of a trusted one is trusted as well: a program has read
 * what is in the folder not long ago.
 */
void cache_trust_listing(struct cache *cache, uint64_t dir);

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
/*
 * The same as cache_on_rename() with CACHE_BEGINS; tells what is known of the old name just before, which
 * nothing can have changed in between: as cache_get_name().
 */
enum cache_known cache_begin_rename(struct cache *cache, uint64_t dir, const char *name,
                                    uint64_t new_dir, const char *new_name,
                                    struct cache_name *ret_name);
/* setattr, write, truncate, copy into: attributes change, the name does not. */
void cache_on_change(struct cache *cache, enum cache_when when, uint64_t dir, const char *name);
/*
 * The same with CACHE_ENDED, for a change after which the caller knows what has become of the name:
 * by attributes that were asked for behind it, or because it has succeeded. `ticket`, taken after
 * CACHE_BEGINS, comes back renewed, so that this can be put, unless something else has happened to
 * the name since it was taken: then what is put with it is dropped.
 */
struct cache_ticket cache_end_create(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                     const char *name);
struct cache_ticket cache_end_remove(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                     const char *name, uint64_t id);
struct cache_ticket cache_end_change(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                     const char *name);
/* One ticket for each of the two names. */
void cache_end_rename(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                      const char *name, uint64_t new_dir, const char *new_name,
                      struct cache_ticket *ret_ticket, struct cache_ticket *ret_new_ticket);
/* The connection was lost and is back, or the user asks: all is forgotten, all tickets are void. */
void cache_on_reconnect(struct cache *cache);
/* The server turned out to differ from what was known of this name (and of what is below `id`). */
void cache_on_surprise(struct cache *cache, uint64_t dir, const char *name, uint64_t id);

/* ---- who is told ------------------------------------------------------------------------------ */

/*
 * A copy of what the cache knows, kept elsewhere: in the kernel. It is told of everything that becomes
 * known, with the moments (util/clock.h) at which that ends to be true, and of everything that becomes
 * doubtful; not of what is only pushed out for want of room. Called with a lock of the cache held:
 * must not wait nor call the cache. What is told of one folder's names is told in order.
 */
struct cache_mirror {
	/* `attr` NULL: unknown, or no longer true. */
	void (*known)(void *data, uint64_t dir, const char *name, uint64_t id, uint64_t name_end,
	              const struct cache_attr *attr, uint64_t attr_end);
	void (*absent)(void *data, uint64_t dir, const char *name, uint64_t name_end);
	/* Nothing is known of the name any more; NULL: of no name in the folder. */
	void (*doubted)(void *data, uint64_t dir, const char *name);
	/* All names of the folder are known; borrowed for the call. */
	void (*listed)(void *data, uint64_t dir, const struct listing *listing, uint64_t names_end,
	               uint64_t attrs_end);
	/* Nothing is known any more. */
	void (*all_doubted)(void *data);
	void *data;
};

/* Copies *mirror; once, before the cache is used by a second thread. */
void cache_set_mirror(struct cache *cache, const struct cache_mirror *mirror);

/* ---- for tests and -d ------------------------------------------------------------------------- */

struct cache_stats {
	size_t entries, listings; /* now */
	size_t bytes;             /* now, about */
	uint64_t hits, misses,
		dropped; /* since the start; dropped: answers whose ticket was void */
};
void cache_get_stats(struct cache *cache, struct cache_stats *ret_stats);

#endif
