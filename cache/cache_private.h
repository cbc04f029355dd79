/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files behind cache.h share: cache.c (life, bounds, tickets, events), question.c and answer.c.
 */
#ifndef CACHE_PRIVATE_H
#define CACHE_PRIVATE_H

#include "cache.h"
#include "clock.h"
#include "shard.h"
#include "stamps.h"

/* By the folder's id; a power of two. More than enough for the threads that serve at once (64). */
#define CACHE_SHARDS 16

/* Stands in the stamps for all that is directly below a folder; no name has a slash. */
#define CACHE_BELOW "/"

struct cache {
	struct cache_settings settings;    /* set once */
	struct cache_mirror mirror;        /* set once */
	struct stamps stamps;              /* lock-free */
	struct shard_totals totals;        /* atomic */
	_Atomic uint64_t swept_ns;         /* last search for expired entries */
	struct shard shards[CACHE_SHARDS]; /* each under its own lock */
};

static inline struct shard *cache_shard_of(struct cache *cache, uint64_t dir)
{
	return &cache->shards[(dir * UINT64_C(0x9e3779b97f4a7c15)) >> 60];
}

/* True when what `name` (NULL: the set of names) in `dir` was asked for has been changed since. */
static inline bool cache_is_void(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                 const char *name)
{
	return stamps_is_void(&cache->stamps, ticket.moment, dir, name) ||
	       stamps_is_void(&cache->stamps, ticket.moment, dir, CACHE_BELOW);
}

/* Until when something that was not there when it was asked for is believed to be missing still. */
static inline uint64_t cache_absence_end(const struct cache *cache, uint64_t asked_ns)
{
	return clock_add(asked_ns, MIN(cache->settings.absent_ns, cache->settings.name_ns));
}

/* Tells the mirror; see cache_mirror's doubted(). */
void cache_mirror_doubt(struct cache *cache, uint64_t dir, const char *name);
/* To be called behind all that adds something, with nothing locked: keeps the bounds. */
void cache_tidy(struct cache *cache);

/* question.c: what is known of the name, unless its folder was doubted since; or NULL. */
struct entry *cache_true_entry_locked(struct cache *cache, struct shard *shard, uint64_t dir,
                                      const char *name);
/* question.c: cache_get_name(), uncounted. */
enum cache_known cache_get_name_locked(struct cache *cache, struct shard *shard, uint64_t dir,
                                       const char *name, struct cache_name *ret_name);

#endif
