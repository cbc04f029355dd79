// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See cache.h. Single names in one table, complete listings in another (cache/shard.h). This is the cache's life
 * and what events do to it; questions and answers have files of their own (cache/question.c, answer.c).
 *
 * What an event makes us forget (x), and whose tickets it voids (those taken before it):
 *
 *	event	  name	attributes  target  the name	attributes	what is	 tickets
 *					    in the	of the folder	below	 voided
 *					    listing
 *	create	   x	    x	      x	      x (*)	      x		  -	 name, folder
 *	remove	   x	    x	      x	      x (*)	      x		  x	 name, folder, below
 *	rename	   x	    x	      x	      x (*)	      x		  -	 all	(both ends)
 *	change	   -	    x	      -	      - (**)	      -		  -	 name
 *	surprise   x	    x	      x	      whole	      x		  x	 name, folder, below
 *	reconnect  x	    x	      x	      whole	      x		  x	 all
 *
 * Create is mknod, mkdir, symlink, link and open with O_CREAT; remove is unlink and rmdir; change is
 * setattr, write, truncate, copy, and open with O_TRUNC. Exchange is refused before it comes here. Open for
 * write and flush change nothing by themselves: the writes do. A change on the server that is seen is a
 * surprise, and so is an answer that contradicts a listing: then that is dropped (answer.c).
 *
 * (*) The listing stays complete: the name in it is in doubt from the event's beginning until its end
 * tells what has become of it (cache_end_...()), or somebody asks.
 * (**) A listing keeps its names; attributes in it that are older than the change are not used.
 * The attributes of the folder (its mtime, and size on some servers) are those of another name, which the
 * event does not tell. So a folder's attributes, wherever they are kept, count only while the set of
 * names under its id has not changed since they were asked for (attr_is_true()).
 *
 * "Below" is what is known of names in the folder itself, of which the event tells the id: those known
 * since before it are not used any more (cache_true_entry_locked()), and its listing is dropped. Further down, each
 * folder has an id that is reached only through the one above.
 *
 * A rename voids all tickets because whatever is below a renamed folder may have been asked for by a
 * path that was no longer true. What is below a renamed folder stays known: its folder's id stays.
 *
 * Each event is told twice, before its request leaves and when its reply is there. An answer asked for
 * in between may be of the time before the change, whenever it comes (the server's connections are not in
 * step with each other): it is neither kept nor used.
 */
#include "cache_private.h"

#include "clock_hook.h"
#include "lock.h"

/* Names kept in listings, for each single name that is allowed (dcache_max_size): a listing is cheaper. */
#define LISTED_PER_ENTRY 10

/* Between two searches for expired entries, whatever dcache_clean_interval says: they look at all. */
#define SWEEP_MIN_NS CLOCK_NS_PER_SEC

uint64_t (*cache_now_ns)(void) = clock_now_ns;

/* ---- bounds ------------------------------------------------------------------------------------- */

/* Places in all listings together. */
static size_t max_listed(const struct cache *cache)
{
	size_t max_entries = cache->settings.max_entries;

	return max_entries > SIZE_MAX / LISTED_PER_ENTRY ? SIZE_MAX
	                                                 : max_entries * LISTED_PER_ENTRY;
}

/* The shard whose last entry (folder) was used longest ago; NULL: there is none. */
static struct shard *find_oldest(struct cache *cache, bool folders)
{
	struct shard *oldest = NULL;
	uint64_t used = UINT64_MAX;

	for (size_t i = 0; i < CACHE_SHARDS; i++) {
		struct shard *shard = &cache->shards[i];
		uint64_t its = folders ? shard->folders.oldest : shard->entries.oldest;

		if (its < used) {
			used = its;
			oldest = shard;
		}
	}
	return oldest;
}

/* Once in dcache_clean_interval, so that memory is given back though nothing pushes it out. */
static void sweep(struct cache *cache)
{
	uint64_t now = cache_now_ns(), swept = cache->swept_ns;

	if (now < clock_add(swept, MAX(cache->settings.clean_ns, SWEEP_MIN_NS)) ||
	    !atomic_compare_exchange_strong(&cache->swept_ns, &swept, now))
		return;
	for (size_t i = 0; i < CACHE_SHARDS; i++) {
		LOCK_SCOPE(&cache->shards[i].lock);
		shard_sweep_locked(&cache->shards[i], now);
	}
}

/* What goes is wherever it was used least. */
void cache_tidy(struct cache *cache)
{
	struct shard *shard;

	sweep(cache);
	while (cache->totals.entries > cache->settings.max_entries &&
	       (shard = find_oldest(cache, false))) {
		LOCK_SCOPE(&shard->lock);
		shard_drop_oldest_entry_locked(shard);
	}
	while (cache->totals.places > max_listed(cache) && (shard = find_oldest(cache, true))) {
		LOCK_SCOPE(&shard->lock);
		shard_drop_oldest_folder_locked(shard);
	}
}

/* ---- life --------------------------------------------------------------------------------------- */

struct cache *cache_new(const struct cache_settings *settings)
{
	struct cache *cache = g_aligned_alloc0(1, sizeof(*cache), _Alignof(struct cache));

	cache->settings = *settings;
	cache->swept_ns = cache_now_ns();
	for (size_t i = 0; i < CACHE_SHARDS; i++)
		shard_init(&cache->shards[i], &cache->totals);
	return cache;
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < CACHE_SHARDS; i++)
		shard_done(&cache->shards[i]);
	g_aligned_free(cache);
}

void cache_set_mirror(struct cache *cache, const struct cache_mirror *mirror)
{
	cache->mirror = *mirror;
}

bool cache_is_enabled(const struct cache *cache)
{
	return cache->settings.enabled;
}

size_t cache_max_listing(const struct cache *cache)
{
	return cache->settings.enabled ? max_listed(cache) : 0;
}

/* ---- tickets ------------------------------------------------------------------------------------ */

struct cache_ticket cache_take_ticket(struct cache *cache)
{
	return (struct cache_ticket){
		.moment = stamps_now(&cache->stamps),
		.asked_ns = cache_now_ns(),
	};
}

bool cache_ticket_holds(struct cache *cache, struct cache_ticket ticket, uint64_t dir)
{
	return !cache_is_void(cache, ticket, dir, NULL);
}

void cache_mirror_doubt(struct cache *cache, uint64_t dir, const char *name)
{
	if (cache->mirror.doubted)
		cache->mirror.doubted(cache->mirror.data, dir, name);
}

/* ---- events: the rows of the table at the top --------------------------------------------------- */

/* How an event is noted: it begins, it ends, or it was not ours and has just been found out. */
typedef void (*note_fn)(struct stamps *stamps, uint64_t dir, const char *name);

static note_fn note_of(enum cache_when when)
{
	return when == CACHE_BEGINS ? stamps_begin : stamps_end;
}

static void doubt_name_locked(struct cache *cache, struct shard *shard, note_fn note, uint64_t dir,
                              const char *name)
{
	struct folder *folder = shard_find_folder_locked(shard, dir);

	note(&cache->stamps, dir, name);
	note(&cache->stamps, dir, NULL);
	shard_drop_entry_locked(shard, shard_find_entry_locked(shard, dir, name));
	if (folder)
		shard_set_listed_locked(shard, folder, name, LISTING_DOUBTED, 0);
	cache_mirror_doubt(cache, dir, name);
}

static void forget_below(struct cache *cache, uint64_t id)
{
	struct shard *shard = cache_shard_of(cache, id);

	if (!id)
		return;
	LOCK_SCOPE(&shard->lock);
	stamps_note(&cache->stamps, id, CACHE_BELOW);
	shard_drop_folder_locked(shard, shard_find_folder_locked(shard, id));
	cache_mirror_doubt(cache, id, NULL);
}

/* A name that is not in the listing yet takes a place in it. */
static void doubt_name(struct cache *cache, note_fn note, uint64_t dir, const char *name)
{
	struct shard *shard = cache_shard_of(cache, dir);

	pthread_mutex_lock(&shard->lock);
	doubt_name_locked(cache, shard, note, dir, name);
	pthread_mutex_unlock(&shard->lock);
	cache_tidy(cache);
}

void cache_on_create(struct cache *cache, enum cache_when when, uint64_t dir, const char *name)
{
	doubt_name(cache, note_of(when), dir, name);
}

void cache_on_remove(struct cache *cache, enum cache_when when, uint64_t dir, const char *name,
                     uint64_t id)
{
	doubt_name(cache, note_of(when), dir, name);
	forget_below(cache, id);
}

/* ---- both ends of a rename ---- */

/* In the order of their places, so that two threads never wait for each other. */
static void lock_two(struct shard *one, struct shard *other)
{
	pthread_mutex_lock(&MIN(one, other)->lock);
	if (one != other)
		pthread_mutex_lock(&MAX(one, other)->lock);
}

static void unlock_two(struct shard *one, struct shard *other)
{
	pthread_mutex_unlock(&one->lock);
	if (one != other)
		pthread_mutex_unlock(&other->lock);
}

static void rename_locked(struct cache *cache, struct shard *shard, note_fn note, uint64_t dir,
                          const char *name, struct shard *new_shard, uint64_t new_dir,
                          const char *new_name)
{
	stamps_void_all(&cache->stamps);
	doubt_name_locked(cache, shard, note, dir, name);
	doubt_name_locked(cache, new_shard, note, new_dir, new_name);
}

void cache_on_rename(struct cache *cache, enum cache_when when, uint64_t dir, const char *name,
                     uint64_t new_dir, const char *new_name)
{
	struct shard *shard = cache_shard_of(cache, dir),
		     *new_shard = cache_shard_of(cache, new_dir);

	lock_two(shard, new_shard);
	rename_locked(cache, shard, note_of(when), dir, name, new_shard, new_dir, new_name);
	unlock_two(shard, new_shard);
	cache_tidy(cache);
}

enum cache_known cache_begin_rename(struct cache *cache, uint64_t dir, const char *name,
                                    uint64_t new_dir, const char *new_name,
                                    struct cache_name *ret_name)
{
	struct shard *shard = cache_shard_of(cache, dir),
		     *new_shard = cache_shard_of(cache, new_dir);
	enum cache_known known = CACHE_UNKNOWN;

	lock_two(shard, new_shard);
	if (cache->settings.enabled)
		known = cache_get_name_locked(cache, shard, dir, name, ret_name);
	rename_locked(cache, shard, stamps_begin, dir, name, new_shard, new_dir, new_name);
	unlock_two(shard, new_shard);
	cache_tidy(cache);
	return known;
}

void cache_on_change(struct cache *cache, enum cache_when when, uint64_t dir, const char *name)
{
	struct shard *shard = cache_shard_of(cache, dir);

	LOCK_SCOPE(&shard->lock);
	note_of(when)(&cache->stamps, dir, name);
	cache_mirror_doubt(cache, dir, name);
}

/* ---- ends after which it is known what has become of the name ---- */

/* Called before the end of a change of ours is noted: is it the only thing that has happened? */
static bool is_untouched(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                         const char *name)
{
	return !stamps_is_void_but_for_us(&cache->stamps, ticket.moment, dir, name);
}

/* What is put with it comes after the change; how old it is does not change by that. */
static struct cache_ticket renew(struct cache *cache, struct cache_ticket ticket)
{
	ticket.moment = stamps_now(&cache->stamps);
	return ticket;
}

struct cache_ticket cache_end_create(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                     const char *name)
{
	struct shard *shard = cache_shard_of(cache, dir);
	bool untouched;

	LOCK_SCOPE(&shard->lock);
	untouched = is_untouched(cache, ticket, dir, name);
	doubt_name_locked(cache, shard, stamps_end, dir, name);
	return untouched ? renew(cache, ticket) : ticket;
}

struct cache_ticket cache_end_remove(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                     const char *name, uint64_t id)
{
	forget_below(cache, id);
	return cache_end_create(cache, ticket, dir, name);
}

struct cache_ticket cache_end_change(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                     const char *name)
{
	struct shard *shard = cache_shard_of(cache, dir);
	bool untouched;

	LOCK_SCOPE(&shard->lock);
	untouched = is_untouched(cache, ticket, dir, name);
	stamps_end(&cache->stamps, dir, name);
	cache_mirror_doubt(cache, dir, name);
	return untouched ? renew(cache, ticket) : ticket;
}

void cache_end_rename(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                      const char *name, uint64_t new_dir, const char *new_name,
                      struct cache_ticket *ret_ticket, struct cache_ticket *ret_new_ticket)
{
	struct shard *shard = cache_shard_of(cache, dir),
		     *new_shard = cache_shard_of(cache, new_dir);
	bool untouched, new_untouched;

	lock_two(shard, new_shard);
	untouched = is_untouched(cache, ticket, dir, name);
	new_untouched = is_untouched(cache, ticket, new_dir, new_name);
	rename_locked(cache, shard, stamps_end, dir, name, new_shard, new_dir, new_name);
	*ret_ticket = untouched ? renew(cache, ticket) : ticket;
	*ret_new_ticket = new_untouched ? renew(cache, ticket) : ticket;
	unlock_two(shard, new_shard);
}

/* ---- what was not ours ---- */

void cache_on_reconnect(struct cache *cache)
{
	stamps_void_all(&cache->stamps);
	for (size_t i = 0; i < CACHE_SHARDS; i++) {
		LOCK_SCOPE(&cache->shards[i].lock);
		shard_clear_locked(&cache->shards[i]);
	}
	if (cache->mirror.all_doubted)
		cache->mirror.all_doubted(cache->mirror.data);
}

void cache_on_surprise(struct cache *cache, uint64_t dir, const char *name, uint64_t id)
{
	struct shard *shard = cache_shard_of(cache, dir);

	pthread_mutex_lock(&shard->lock);
	shard_drop_folder_locked(shard, shard_find_folder_locked(shard, dir));
	doubt_name_locked(cache, shard, stamps_note, dir, name);
	cache_mirror_doubt(cache, dir, NULL);
	pthread_mutex_unlock(&shard->lock);
	forget_below(cache, id);
}

/* ---- statistics --------------------------------------------------------------------------------- */

void cache_get_stats(struct cache *cache, struct cache_stats *ret_stats)
{
	*ret_stats = (struct cache_stats){
		.entries = cache->totals.entries,
		.listings = cache->totals.folders,
		.bytes = cache->totals.bytes,
	};
	for (size_t i = 0; i < CACHE_SHARDS; i++) {
		struct shard *shard = &cache->shards[i];

		LOCK_SCOPE(&shard->lock);
		ret_stats->hits += shard->hits;
		ret_stats->misses += shard->misses;
		ret_stats->dropped += shard->dropped;
	}
}
