/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where cache.c keeps what it knows: single names in one table, listings in another, each in order of
 * use. All that is known of one folder's names is in one shard, chosen by the folder's id, with one
 * lock; so threads in different folders do not meet. Inside cache/ only; what things mean is
 * cache.c's business.
 *
 * Functions in ..._locked want the shard's lock held.
 */
#ifndef CACHE_SHARD_H
#define CACHE_SHARD_H

#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>

#include "attr.h"
#include "listing.h"

/*
 * What is known of one name; protected by its shard's lock. Measured on the heap, with its share of the table:
 * 220 bytes for a name of 12 letters (test_cache prints it).
 */
struct entry {
	uint64_t dir;                            /* key, with name */
	uint64_t id;                             /* the name's node; 0: none given */
	uint64_t since;                          /* moment of the first ticket */
	uint64_t moment, asked_ns;               /* of the ticket that name and absent came with */
	uint64_t attr_moment;                    /* of the ticket that attr came with */
	uint64_t name_end, attr_end, target_end; /* valid until; 0: not known */
	struct cache_attr attr;
	char *target;     /* of a symlink, or NULL */
	GList in_use;     /* in entries.by_use */
	uint64_t used;    /* when it was used last, in counted uses */
	uint64_t arrived; /* the same of when name and absent came */
	bool absent;      /* the name is known not to exist */
	char name[];
};

/* A folder's complete listing; protected by its shard's lock. */
struct folder {
	uint64_t id;     /* key */
	uint64_t moment; /* of its ticket */
	uint64_t names_end, attrs_end;
	uint64_t ahead_end; /* while it is not trusted */
	struct listing *listing;
	size_t bytes;  /* as they were counted */
	size_t places; /* the same */
	bool trusted;  /* what it lacks does not exist */
	GList in_use;  /* in folders.by_use */
	uint64_t used, arrived;
};

/* A table, its things in order of use, and how long ago the last of them was used. */
struct shelf {
	GHashTable *set;
	GQueue by_use;           /* latest first */
	_Atomic uint64_t oldest; /* `used` of the last; UINT64_MAX: empty. Written under the lock */
};

/* What all shards of a cache hold together. */
struct shard_totals {
	_Atomic uint64_t uses; /* counts uses: the clock of "least recently used" */
	atomic_size_t entries;
	atomic_size_t folders;
	atomic_size_t
		places; /* in all listings; a folder counts as one, or there could be any number */
	atomic_size_t bytes;
};

struct shard {
	pthread_mutex_t lock;
	struct shard_totals *totals; /* set once */
	struct shelf entries, folders;
	uint64_t hits, misses, dropped; /* for cache_get_stats() */
} __attribute__((aligned(128)));        /* two cache lines, as they are fetched */

void shard_init(struct shard *shard, struct shard_totals *totals);
/* Empties it, too. */
void shard_done(struct shard *shard);

struct entry *shard_find_entry_locked(struct shard *shard, uint64_t dir, const char *name);
struct entry *shard_add_entry_locked(struct shard *shard, uint64_t dir, const char *name);
/* Accepts NULL, as all that drop. */
void shard_drop_entry_locked(struct shard *shard, struct entry *entry);
void shard_use_entry_locked(struct shard *shard, struct entry *entry);
/* Copies `target`. */
void shard_set_target_locked(struct shard *shard, struct entry *entry, const char *target);

struct folder *shard_find_folder_locked(struct shard *shard, uint64_t id);
/* What is listed of a name; one that the listing lacks is as good as one that was removed from it. */
struct listing_entry shard_find_listed(const struct folder *folder, const char *name);
/* Takes a reference of its own; there must be no such folder. */
struct folder *shard_add_folder_locked(struct shard *shard, uint64_t id, struct listing *listing);
void shard_drop_folder_locked(struct shard *shard, struct folder *folder);
void shard_use_folder_locked(struct shard *shard, struct folder *folder);
/* The folder's listing is changed at one name: see listing_set(). */
void shard_set_listed_locked(struct shard *shard, struct folder *folder, const char *name,
                             enum listing_state state, uint64_t id);

/* The same at one place: the attributes there are outdated. */
void shard_drop_listed_attr_locked(struct shard *shard, struct folder *folder, const char *name);

/* Drops the last entry (folder) in order of use, if there is one. */
void shard_drop_oldest_entry_locked(struct shard *shard);
void shard_drop_oldest_folder_locked(struct shard *shard);
/* Drops what has expired at `now`. */
void shard_sweep_locked(struct shard *shard, uint64_t now);
void shard_clear_locked(struct shard *shard);

#endif
