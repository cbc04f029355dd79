// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the server has answered is put into the cache, if its ticket is still good, and the mirror is told.
 * How long it is true counts from when it was asked for.
 */
#include "cache_private.h"
#include "clock_hook.h"

#include <string.h>

#include "lock.h"

/* How long a listing that was asked for ahead waits for somebody to read it. */
#define AHEAD_NS (2 * CLOCK_NS_PER_SEC)

/* ---- the mirror --------------------------------------------------------------------------------- */

/* Attributes only if they have just come: older ones may be true no longer. */
static void mirror_name(struct cache *cache, const struct entry *entry, bool has_attr)
{
	const struct cache_mirror *mirror = &cache->mirror;

	if (entry->absent && mirror->absent)
		mirror->absent(mirror->data, entry->dir, entry->name, entry->name_end);
	else if (!entry->absent && mirror->known)
		mirror->known(mirror->data, entry->dir, entry->name, entry->id, entry->name_end,
		              has_attr ? &entry->attr : NULL, entry->attr_end);
}

static void mirror_folder(struct cache *cache, const struct folder *folder)
{
	if (cache->mirror.listed)
		cache->mirror.listed(cache->mirror.data, folder->id, folder->listing,
		                     folder->names_end, folder->attrs_end);
}

/* ---- answers ------------------------------------------------------------------------------------ */

static struct entry *make_entry_locked(struct cache *cache, struct shard *shard,
                                       struct cache_ticket ticket, uint64_t dir, const char *name)
{
	struct entry *entry = cache_true_entry_locked(cache, shard, dir, name);

	if (entry) {
		shard_use_entry_locked(shard, entry);
		return entry;
	}
	entry = shard_add_entry_locked(shard, dir, name);
	entry->since = ticket.moment;
	return entry;
}

/* True when an answer about `name` (NULL: about the names in `dir`) is still as new as its ticket. */
static bool admit_locked(struct cache *cache, struct shard *shard, struct cache_ticket ticket,
                         uint64_t dir, const char *name)
{
	if (!cache->settings.enabled || !ticket.asked_ns)
		return false;
	if (cache_is_void(cache, ticket, dir, name)) {
		shard->dropped++;
		return false;
	}
	return true;
}

/* ---- a single answer meets a listing ---- */

/* When the single answer is pushed out, what is listed must not take us back in time. */
static void outdate_attr_locked(struct shard *shard, struct folder *folder, const char *name,
                                const struct listing_entry *listed, const struct cache_attr *attr)
{
	if (attr && listed->has_attr && memcmp(attr, &listed->attr, sizeof(*attr)) != 0)
		shard_drop_listed_attr_locked(shard, folder, name);
}

/*
 * What is known now of a name is brought into its folder's listing. One that says otherwise, though nobody
 * here has changed the name, tells that the folder has changed on the server: then who knows what else in
 * it is no longer true.
 */
static void settle_listed_locked(struct cache *cache, struct shard *shard,
                                 struct cache_ticket ticket, uint64_t dir, const char *name,
                                 enum listing_state state, uint64_t id,
                                 const struct cache_attr *attr)
{
	struct folder *folder = shard_find_folder_locked(shard, dir);
	struct listing_entry listed;

	if (!folder || ticket.moment < folder->moment)
		return;
	listed = shard_find_listed(folder, name);
	if (listed.state == LISTING_DOUBTED) {
		shard_set_listed_locked(shard, folder, name, state, id);
	} else if (listed.state != state) {
		shard_drop_folder_locked(shard, folder);
		cache_mirror_doubt(cache, dir, NULL);
	} else {
		outdate_attr_locked(shard, folder, name, &listed, attr);
	}
}

static void put_name(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                     const char *name, uint64_t id, const struct cache_attr *attr)
{
	struct shard *shard = cache_shard_of(cache, dir);
	struct entry *entry;

	LOCK_SCOPE(&shard->lock);
	if (!admit_locked(cache, shard, ticket, dir, name))
		return;
	settle_listed_locked(cache, shard, ticket, dir, name, LISTING_PRESENT, id, attr);
	entry = make_entry_locked(cache, shard, ticket, dir, name);
	entry->absent = false;
	entry->moment = ticket.moment;
	entry->asked_ns = ticket.asked_ns;
	entry->arrived = entry->used;
	entry->name_end = clock_add(ticket.asked_ns, cache->settings.name_ns);
	if (id)
		entry->id = id;
	if (attr) {
		entry->attr = *attr;
		entry->attr_end = clock_add(ticket.asked_ns, cache->settings.attr_ns);
		entry->attr_moment = ticket.moment;
	}
	mirror_name(cache, entry, attr);
}

void cache_put_name(struct cache *cache, struct cache_ticket ticket, uint64_t dir, const char *name,
                    uint64_t id, const struct cache_attr *attr)
{
	put_name(cache, ticket, dir, name, id, attr);
	cache_tidy(cache);
}

static void put_absent(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                       const char *name)
{
	struct shard *shard = cache_shard_of(cache, dir);
	struct entry *entry;

	LOCK_SCOPE(&shard->lock);
	if (!admit_locked(cache, shard, ticket, dir, name))
		return;
	settle_listed_locked(cache, shard, ticket, dir, name, LISTING_REMOVED, 0, NULL);
	shard_drop_entry_locked(shard, shard_find_entry_locked(shard, dir, name));
	entry = make_entry_locked(cache, shard, ticket, dir, name);
	entry->absent = true;
	entry->moment = ticket.moment;
	entry->asked_ns = ticket.asked_ns;
	entry->arrived = entry->used;
	entry->name_end = cache_absence_end(cache, ticket.asked_ns);
	mirror_name(cache, entry, false);
}

void cache_put_absent(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                      const char *name)
{
	put_absent(cache, ticket, dir, name);
	cache_tidy(cache);
}

static void put_link(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                     const char *name, const char *target)
{
	struct shard *shard = cache_shard_of(cache, dir);
	struct entry *entry;

	LOCK_SCOPE(&shard->lock);
	if (!admit_locked(cache, shard, ticket, dir, name))
		return;
	entry = make_entry_locked(cache, shard, ticket, dir, name);
	shard_set_target_locked(shard, entry, target);
	entry->target_end = clock_add(ticket.asked_ns, cache->settings.link_ns);
}

void cache_put_link(struct cache *cache, struct cache_ticket ticket, uint64_t dir, const char *name,
                    const char *target)
{
	put_link(cache, ticket, dir, name, target);
	cache_tidy(cache);
}

/* A program has read its listing not long ago: what it sees in a newer one is no surprise. */
static bool is_trusted_locked(struct shard *shard, uint64_t dir, uint64_t now)
{
	const struct folder *folder = shard_find_folder_locked(shard, dir);

	return folder && folder->trusted && folder->names_end > now;
}

static void put_listing(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                        struct listing *listing)
{
	struct shard *shard = cache_shard_of(cache, dir);
	struct folder *folder;
	bool trusted;

	LOCK_SCOPE(&shard->lock);
	if (!admit_locked(cache, shard, ticket, dir, NULL))
		return;
	trusted = is_trusted_locked(shard, dir, cache_now_ns());
	shard_drop_folder_locked(shard, shard_find_folder_locked(shard, dir));
	/* It would push out all others, and then itself. */
	if (listing_count(listing) >= cache_max_listing(cache))
		return;
	folder = shard_add_folder_locked(shard, dir, listing);
	folder->moment = ticket.moment;
	folder->trusted = trusted;
	folder->arrived = folder->used;
	folder->names_end = clock_add(ticket.asked_ns, cache->settings.name_ns);
	folder->attrs_end = clock_add(ticket.asked_ns, cache->settings.attr_ns);
	folder->ahead_end = clock_add(ticket.asked_ns, AHEAD_NS);
	mirror_folder(cache, folder);
}

void cache_put_listing(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                       struct listing *listing)
{
	put_listing(cache, ticket, dir, listing);
	cache_tidy(cache);
}

void cache_trust_listing(struct cache *cache, uint64_t dir)
{
	struct shard *shard = cache_shard_of(cache, dir);
	struct folder *folder;

	LOCK_SCOPE(&shard->lock);
	folder = shard_find_folder_locked(shard, dir);
	if (folder)
		folder->trusted = true;
}
