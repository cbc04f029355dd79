// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the cache says when it is asked. Which of the two, a single name's entry or its folder's listing, answers
 * for a name is decided by the moment its answer was asked for: the later one, and when nothing has
 * changed between the two, the one that came later. Whatever is older than a change that we know of is not
 * said (stamps.h), nor what is older than the settings allow.
 */
#include "cache_private.h"

#include <sys/stat.h>

#include "clock_hook.h"
#include "lock.h"

/* ---- what is still true ------------------------------------------------------------------------- */

struct entry *cache_true_entry_locked(struct cache *cache, struct shard *shard, uint64_t dir,
                                      const char *name)
{
	struct entry *entry = shard_find_entry_locked(shard, dir, name);

	if (entry && stamps_last(&cache->stamps, dir, CACHE_BELOW) > entry->since) {
		shard_drop_entry_locked(shard, entry);
		return NULL;
	}
	return entry;
}

/* A folder's listing if its names are still valid. */
static struct folder *valid_folder_locked(struct shard *shard, uint64_t dir, uint64_t now)
{
	struct folder *folder = shard_find_folder_locked(shard, dir);

	if (folder && folder->names_end <= now) {
		shard_drop_folder_locked(shard, folder);
		return NULL;
	}
	return folder;
}

/* ---- questions ---------------------------------------------------------------------------------- */

static uint64_t time_left(uint64_t end, uint64_t now)
{
	return end > now ? end - now : 0;
}

static bool is_folder(const struct cache_attr *attr)
{
	return (attr->mode & S_IFMT) == S_IFDIR;
}

/* True when attributes asked for at `moment` are not older than a change that we know of. */
static bool attr_is_true(struct cache *cache, uint64_t moment, uint64_t dir, const char *name,
                         uint64_t id, const struct cache_attr *attr)
{
	if (stamps_last(&cache->stamps, dir, name) > moment)
		return false;
	return !is_folder(attr) || !id || stamps_last(&cache->stamps, id, NULL) <= moment;
}

/* The one of the two that knows better. */
static bool is_newer(const struct entry *entry, const struct folder *folder)
{
	if (entry->moment != folder->moment)
		return entry->moment > folder->moment;
	return entry->arrived > folder->arrived;
}

/* When an answer that is true for `span` until `end` was asked for. */
static uint64_t asked_at(uint64_t end, uint64_t span, uint64_t now)
{
	return end == CLOCK_NEVER ? now : end - span;
}

static enum cache_known answer_from_entry_locked(struct cache *cache, struct shard *shard,
                                                 struct entry *entry, uint64_t now,
                                                 struct cache_name *ret_name)
{
	const struct cache_settings *settings = &cache->settings;

	shard_use_entry_locked(shard, entry);
	*ret_name = (struct cache_name){
		.id = entry->id,
		.name_left_ns = time_left(entry->name_end, now),
		.asked_ns = entry->asked_ns,
	};
	if (entry->absent)
		return CACHE_ABSENT;
	ret_name->has_attr =
		entry->attr_end > now && attr_is_true(cache, entry->attr_moment, entry->dir,
	                                              entry->name, entry->id, &entry->attr);
	if (ret_name->has_attr) {
		ret_name->attr = entry->attr;
		ret_name->attr_left_ns = time_left(entry->attr_end, now);
		ret_name->asked_ns = asked_at(entry->attr_end, settings->attr_ns, now);
	}
	return CACHE_PRESENT;
}

/* Attributes that stand in a listing, as far as they are still true. */
static void add_listed_attr(struct cache *cache, uint64_t moment, uint64_t dir,
                            const struct listing_entry *listed, uint64_t attrs_end, uint64_t now,
                            struct cache_name *name)
{
	name->has_attr = listed->has_attr && attrs_end > now &&
	                 attr_is_true(cache, moment, dir, listed->name, listed->id, &listed->attr);
	if (!name->has_attr)
		return;
	name->attr = listed->attr;
	name->attr_left_ns = time_left(attrs_end, now);
	name->asked_ns = asked_at(attrs_end, cache->settings.attr_ns, now);
}

static enum cache_known answer_absent_locked(struct cache *cache, const struct folder *folder,
                                             uint64_t now, struct cache_name *ret_name)
{
	uint64_t end = cache_absence_end(cache, ret_name->asked_ns);

	if (!folder->trusted || end <= now)
		return CACHE_UNKNOWN;
	ret_name->name_left_ns = time_left(end, now);
	return CACHE_ABSENT;
}

static enum cache_known answer_from_listing_locked(struct cache *cache, struct shard *shard,
                                                   struct folder *folder, const char *name,
                                                   uint64_t now, struct cache_name *ret_name)
{
	struct listing_entry listed = shard_find_listed(folder, name);

	shard_use_folder_locked(shard, folder);
	*ret_name = (struct cache_name){
		.id = listed.id,
		.name_left_ns = time_left(folder->names_end, now),
		.asked_ns = asked_at(folder->names_end, cache->settings.name_ns, now),
	};
	if (listed.state == LISTING_REMOVED)
		return answer_absent_locked(cache, folder, now, ret_name);
	if (listed.state == LISTING_DOUBTED)
		return CACHE_UNKNOWN;
	add_listed_attr(cache, folder->moment, folder->id, &listed, folder->attrs_end, now,
	                ret_name);
	return CACHE_PRESENT;
}

enum cache_known cache_get_name_locked(struct cache *cache, struct shard *shard, uint64_t dir,
                                       const char *name, struct cache_name *ret_name)
{
	uint64_t now = cache_now_ns();
	struct entry *entry = cache_true_entry_locked(cache, shard, dir, name);
	struct folder *folder = valid_folder_locked(shard, dir, now);

	if (entry && entry->name_end <= now)
		entry = NULL;
	if (entry && (!folder || is_newer(entry, folder)))
		return answer_from_entry_locked(cache, shard, entry, now, ret_name);
	if (folder)
		return answer_from_listing_locked(cache, shard, folder, name, now, ret_name);
	return CACHE_UNKNOWN;
}

enum cache_known cache_get_name(struct cache *cache, uint64_t dir, const char *name,
                                struct cache_name *ret_name)
{
	struct shard *shard = cache_shard_of(cache, dir);
	enum cache_known known;

	if (!cache->settings.enabled)
		return CACHE_UNKNOWN;
	LOCK_SCOPE(&shard->lock);
	known = cache_get_name_locked(cache, shard, dir, name, ret_name);
	if (known == CACHE_UNKNOWN)
		shard->misses++;
	else
		shard->hits++;
	return known;
}

/* What the cache knows of the name by a single answer that is newer than the listing's ticket. */
static struct entry *newer_entry_locked(struct cache *cache, struct shard *shard,
                                        struct cache_ticket ticket, uint64_t dir, const char *name,
                                        uint64_t now)
{
	struct entry *entry = cache_true_entry_locked(cache, shard, dir, name);

	if (!entry || entry->name_end <= now || entry->moment < ticket.moment)
		return NULL;
	return entry->moment > ticket.moment || entry->asked_ns >= ticket.asked_ns ? entry : NULL;
}

enum cache_known cache_get_listed(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                  const struct listing_entry *listed, struct cache_name *ret_name)
{
	const struct cache_settings *settings = &cache->settings;
	struct shard *shard = cache_shard_of(cache, dir);
	uint64_t now = cache_now_ns();
	struct entry *entry;

	LOCK_SCOPE(&shard->lock);
	entry = newer_entry_locked(cache, shard, ticket, dir, listed->name, now);
	if (entry)
		return answer_from_entry_locked(cache, shard, entry, now, ret_name);
	if (listed->state != LISTING_PRESENT || cache_is_void(cache, ticket, dir, listed->name))
		return CACHE_UNKNOWN;
	*ret_name = (struct cache_name){
		.id = listed->id,
		.name_left_ns = time_left(clock_add(ticket.asked_ns, settings->name_ns), now),
		.asked_ns = ticket.asked_ns,
	};
	add_listed_attr(cache, ticket.moment, dir, listed,
	                clock_add(ticket.asked_ns, settings->attr_ns), now, ret_name);
	return CACHE_PRESENT;
}

char *cache_get_link(struct cache *cache, uint64_t dir, const char *name)
{
	struct shard *shard = cache_shard_of(cache, dir);
	struct entry *entry;

	if (!cache->settings.enabled)
		return NULL;
	LOCK_SCOPE(&shard->lock);
	entry = cache_true_entry_locked(cache, shard, dir, name);
	if (!entry || !entry->target || entry->target_end <= cache_now_ns())
		return NULL;
	shard_use_entry_locked(shard, entry);
	return g_strdup(entry->target);
}

struct listing *cache_get_listing(struct cache *cache, uint64_t dir,
                                  struct cache_ticket *ret_ticket)
{
	struct shard *shard = cache_shard_of(cache, dir);
	uint64_t now = cache_now_ns();
	struct folder *folder;

	if (!cache->settings.enabled)
		return NULL;
	LOCK_SCOPE(&shard->lock);
	folder = valid_folder_locked(shard, dir, now);
	if (!folder || listing_doubts(folder->listing) > 0)
		return NULL;
	if (!folder->trusted && folder->ahead_end <= now)
		return NULL;
	shard_use_folder_locked(shard, folder);
	*ret_ticket = (struct cache_ticket){
		.moment = folder->moment,
		.asked_ns = asked_at(folder->names_end, cache->settings.name_ns, now),
	};
	return listing_ref(folder->listing);
}

struct listing *cache_peek_listing(struct cache *cache, uint64_t dir)
{
	struct shard *shard = cache_shard_of(cache, dir);
	struct folder *folder;

	if (!cache->settings.enabled)
		return NULL;
	LOCK_SCOPE(&shard->lock);
	folder = valid_folder_locked(shard, dir, cache_now_ns());
	return folder ? listing_ref(folder->listing) : NULL;
}
