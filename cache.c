// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See cache.h. Single names in one table, complete listings in another (cache/shard.h). Which of the two
 * answers for a name is decided by the moment its answer was asked for: the later one, and when nothing has
 * changed between the two, the one that came later.
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
 * surprise, and so is an answer that contradicts a listing: then that is dropped (put_name()).
 *
 * (*) The listing stays complete: the name in it is in doubt from the event's beginning until its end
 * tells what has become of it (cache_end_...()), or somebody asks.
 * (**) A listing keeps its names; attributes in it that are older than the change are not used.
 * The attributes of the folder (its mtime, and size on some servers) are those of another name, which the
 * event does not tell. So a folder's attributes, wherever they are kept, count only while the set of
 * names under its id has not changed since they were asked for (attr_is_true()).
 *
 * "Below" is what is known of names in the folder itself, of which the event tells the id: those known
 * since before it are not used any more (true_entry_locked()), and its listing is dropped. Further down, each
 * folder has an id that is reached only through the one above.
 *
 * A rename voids all tickets because whatever is below a renamed folder may have been asked for by a
 * path that was no longer true. What is below a renamed folder stays known: its folder's id stays.
 *
 * Each event is told twice, before its request leaves and when its reply is there. An answer asked for
 * in between may be of the time before the change, whenever it comes (the server's connections are not in
 * step with each other): it is neither kept nor used.
 */
#include "cache.h"

#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "clock_hook.h"
#include "lock.h"
#include "shard.h"
#include "stamps.h"

/* By the folder's id; a power of two. More than enough for the threads that serve at once (64). */
#define SHARDS 16

/* Names kept in listings, for each single name that is allowed (dcache_max_size): a listing is cheaper. */
#define LISTED_PER_ENTRY 10

/* Between two searches for expired entries, whatever dcache_clean_interval says: they look at all. */
#define SWEEP_MIN_NS CLOCK_NS_PER_SEC

/* How long a listing that was asked for ahead waits for somebody to read it. */
#define AHEAD_NS (2 * CLOCK_NS_PER_SEC)

/* Stands in the stamps for all that is directly below a folder; no name has a slash. */
#define BELOW "/"

uint64_t (*cache_now_ns)(void) = clock_now_ns;

struct cache {
	struct cache_settings settings; /* set once */
	struct cache_mirror mirror;     /* set once */
	struct stamps stamps;           /* lock-free */
	struct shard_totals totals;     /* atomic */
	_Atomic uint64_t swept_ns;      /* last search for expired entries */
	struct shard shards[SHARDS];    /* each under its own lock */
};

static struct shard *shard_of(struct cache *cache, uint64_t dir)
{
	return &cache->shards[(dir * UINT64_C(0x9e3779b97f4a7c15)) >> 60];
}

/* ---- the mirror --------------------------------------------------------------------------------- */

static void mirror_name(struct cache *cache, const struct entry *entry)
{
	const struct cache_mirror *mirror = &cache->mirror;
	bool has_attr = entry->attr_end > 0;

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

static void mirror_doubt(struct cache *cache, uint64_t dir, const char *name)
{
	if (cache->mirror.doubted)
		cache->mirror.doubted(cache->mirror.data, dir, name);
}

/* ---- what is still true ------------------------------------------------------------------------- */

/* What is known of the name, unless its folder was doubted since. */
static struct entry *true_entry_locked(struct cache *cache, struct shard *shard, uint64_t dir,
                                       const char *name)
{
	struct entry *entry = shard_find_entry_locked(shard, dir, name);

	if (entry && stamps_last(&cache->stamps, dir, BELOW) > entry->since) {
		shard_drop_entry_locked(shard, entry);
		return NULL;
	}
	return entry;
}

static struct entry *make_entry_locked(struct cache *cache, struct shard *shard,
                                       struct cache_ticket ticket, uint64_t dir, const char *name)
{
	struct entry *entry = true_entry_locked(cache, shard, dir, name);

	if (entry) {
		shard_use_entry_locked(shard, entry);
		return entry;
	}
	entry = shard_add_entry_locked(shard, dir, name);
	entry->since = ticket.moment;
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

	for (size_t i = 0; i < SHARDS; i++) {
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
	for (size_t i = 0; i < SHARDS; i++) {
		LOCK_SCOPE(&cache->shards[i].lock);
		shard_sweep_locked(&cache->shards[i], now);
	}
}

/* Called with nothing locked: what goes is wherever it was used least. */
static void tidy(struct cache *cache)
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
	for (size_t i = 0; i < SHARDS; i++)
		shard_init(&cache->shards[i], &cache->totals);
	return cache;
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < SHARDS; i++)
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

/* True when what `name` (NULL: the set of names) in `dir` was asked for has been changed since. */
static bool is_void(struct cache *cache, struct cache_ticket ticket, uint64_t dir, const char *name)
{
	return stamps_is_void(&cache->stamps, ticket.moment, dir, name) ||
	       stamps_is_void(&cache->stamps, ticket.moment, dir, BELOW);
}

bool cache_ticket_holds(struct cache *cache, struct cache_ticket ticket, uint64_t dir)
{
	return !is_void(cache, ticket, dir, NULL);
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

/* A name that the listing lacks is as good as one that was removed from it. */
static struct listing_entry find_listed(const struct folder *folder, const char *name)
{
	struct listing_entry listed = {.state = LISTING_REMOVED};
	size_t index;

	if (listing_find(folder->listing, name, &index))
		listing_get(folder->listing, index, &listed);
	return listed;
}

/* Until when something that was not there when it was asked for is believed to be missing still. */
static uint64_t absence_end(const struct cache *cache, uint64_t asked_ns)
{
	return clock_add(asked_ns, MIN(cache->settings.absent_ns, cache->settings.name_ns));
}

static enum cache_known answer_absent_locked(struct cache *cache, const struct folder *folder,
                                             uint64_t now, struct cache_name *ret_name)
{
	uint64_t end = absence_end(cache, ret_name->asked_ns);

	if (!folder->trusted || end <= now)
		return CACHE_UNKNOWN;
	ret_name->name_left_ns = time_left(end, now);
	return CACHE_ABSENT;
}

static enum cache_known answer_from_listing_locked(struct cache *cache, struct shard *shard,
                                                   struct folder *folder, const char *name,
                                                   uint64_t now, struct cache_name *ret_name)
{
	struct listing_entry listed = find_listed(folder, name);

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

static enum cache_known get_name_locked(struct cache *cache, struct shard *shard, uint64_t dir,
                                        const char *name, struct cache_name *ret_name)
{
	uint64_t now = cache_now_ns();
	struct entry *entry = true_entry_locked(cache, shard, dir, name);
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
	struct shard *shard = shard_of(cache, dir);
	enum cache_known known;

	if (!cache->settings.enabled)
		return CACHE_UNKNOWN;
	LOCK_SCOPE(&shard->lock);
	known = get_name_locked(cache, shard, dir, name, ret_name);
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
	struct entry *entry = true_entry_locked(cache, shard, dir, name);

	if (!entry || entry->name_end <= now || entry->moment < ticket.moment)
		return NULL;
	return entry->moment > ticket.moment || entry->asked_ns >= ticket.asked_ns ? entry : NULL;
}

enum cache_known cache_get_listed(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                  const struct listing_entry *listed, struct cache_name *ret_name)
{
	const struct cache_settings *settings = &cache->settings;
	struct shard *shard = shard_of(cache, dir);
	uint64_t now = cache_now_ns();
	struct entry *entry;

	LOCK_SCOPE(&shard->lock);
	entry = newer_entry_locked(cache, shard, ticket, dir, listed->name, now);
	if (entry)
		return answer_from_entry_locked(cache, shard, entry, now, ret_name);
	if (listed->state != LISTING_PRESENT || is_void(cache, ticket, dir, listed->name))
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
	struct shard *shard = shard_of(cache, dir);
	struct entry *entry;

	if (!cache->settings.enabled)
		return NULL;
	LOCK_SCOPE(&shard->lock);
	entry = true_entry_locked(cache, shard, dir, name);
	if (!entry || !entry->target || entry->target_end <= cache_now_ns())
		return NULL;
	shard_use_entry_locked(shard, entry);
	return g_strdup(entry->target);
}

struct listing *cache_get_listing(struct cache *cache, uint64_t dir,
                                  struct cache_ticket *ret_ticket)
{
	struct shard *shard = shard_of(cache, dir);
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

/* ---- answers ------------------------------------------------------------------------------------ */

/* True when an answer about `name` (NULL: about the names in `dir`) is still as new as its ticket. */
static bool admit_locked(struct cache *cache, struct shard *shard, struct cache_ticket ticket,
                         uint64_t dir, const char *name)
{
	if (!cache->settings.enabled || !ticket.asked_ns)
		return false;
	if (is_void(cache, ticket, dir, name)) {
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
	listed = find_listed(folder, name);
	if (listed.state == LISTING_DOUBTED) {
		shard_set_listed_locked(shard, folder, name, state, id);
	} else if (listed.state != state) {
		shard_drop_folder_locked(shard, folder);
		mirror_doubt(cache, dir, NULL);
	} else {
		outdate_attr_locked(shard, folder, name, &listed, attr);
	}
}

static void put_name(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                     const char *name, uint64_t id, const struct cache_attr *attr)
{
	struct shard *shard = shard_of(cache, dir);
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
	mirror_name(cache, entry);
}

void cache_put_name(struct cache *cache, struct cache_ticket ticket, uint64_t dir, const char *name,
                    uint64_t id, const struct cache_attr *attr)
{
	put_name(cache, ticket, dir, name, id, attr);
	tidy(cache);
}

static void put_absent(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                       const char *name)
{
	struct shard *shard = shard_of(cache, dir);
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
	entry->name_end = absence_end(cache, ticket.asked_ns);
	mirror_name(cache, entry);
}

void cache_put_absent(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                      const char *name)
{
	put_absent(cache, ticket, dir, name);
	tidy(cache);
}

static void put_link(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                     const char *name, const char *target)
{
	struct shard *shard = shard_of(cache, dir);
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
	tidy(cache);
}

static void put_listing(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                        struct listing *listing)
{
	struct shard *shard = shard_of(cache, dir);
	struct folder *folder;

	LOCK_SCOPE(&shard->lock);
	if (!admit_locked(cache, shard, ticket, dir, NULL))
		return;
	shard_drop_folder_locked(shard, shard_find_folder_locked(shard, dir));
	/* It would push out all others, and then itself. */
	if (listing_count(listing) >= max_listed(cache))
		return;
	folder = shard_add_folder_locked(shard, dir, listing);
	folder->moment = ticket.moment;
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
	tidy(cache);
}

void cache_trust_listing(struct cache *cache, uint64_t dir)
{
	struct shard *shard = shard_of(cache, dir);
	struct folder *folder;

	LOCK_SCOPE(&shard->lock);
	folder = shard_find_folder_locked(shard, dir);
	if (folder)
		folder->trusted = true;
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
	mirror_doubt(cache, dir, name);
}

static void forget_below(struct cache *cache, uint64_t id)
{
	struct shard *shard = shard_of(cache, id);

	if (!id)
		return;
	LOCK_SCOPE(&shard->lock);
	stamps_note(&cache->stamps, id, BELOW);
	shard_drop_folder_locked(shard, shard_find_folder_locked(shard, id));
	mirror_doubt(cache, id, NULL);
}

/* A name that is not in the listing yet takes a place in it. */
static void doubt_name(struct cache *cache, note_fn note, uint64_t dir, const char *name)
{
	struct shard *shard = shard_of(cache, dir);

	pthread_mutex_lock(&shard->lock);
	doubt_name_locked(cache, shard, note, dir, name);
	pthread_mutex_unlock(&shard->lock);
	tidy(cache);
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
	struct shard *shard = shard_of(cache, dir), *new_shard = shard_of(cache, new_dir);

	lock_two(shard, new_shard);
	rename_locked(cache, shard, note_of(when), dir, name, new_shard, new_dir, new_name);
	unlock_two(shard, new_shard);
	tidy(cache);
}

enum cache_known cache_begin_rename(struct cache *cache, uint64_t dir, const char *name,
                                    uint64_t new_dir, const char *new_name,
                                    struct cache_name *ret_name)
{
	struct shard *shard = shard_of(cache, dir), *new_shard = shard_of(cache, new_dir);
	enum cache_known known = CACHE_UNKNOWN;

	lock_two(shard, new_shard);
	if (cache->settings.enabled)
		known = get_name_locked(cache, shard, dir, name, ret_name);
	rename_locked(cache, shard, stamps_begin, dir, name, new_shard, new_dir, new_name);
	unlock_two(shard, new_shard);
	tidy(cache);
	return known;
}

void cache_on_change(struct cache *cache, enum cache_when when, uint64_t dir, const char *name)
{
	struct shard *shard = shard_of(cache, dir);

	LOCK_SCOPE(&shard->lock);
	note_of(when)(&cache->stamps, dir, name);
	mirror_doubt(cache, dir, name);
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
	struct shard *shard = shard_of(cache, dir);
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
	struct shard *shard = shard_of(cache, dir);
	bool untouched;

	LOCK_SCOPE(&shard->lock);
	untouched = is_untouched(cache, ticket, dir, name);
	stamps_end(&cache->stamps, dir, name);
	mirror_doubt(cache, dir, name);
	return untouched ? renew(cache, ticket) : ticket;
}

void cache_end_rename(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                      const char *name, uint64_t new_dir, const char *new_name,
                      struct cache_ticket *ret_ticket, struct cache_ticket *ret_new_ticket)
{
	struct shard *shard = shard_of(cache, dir), *new_shard = shard_of(cache, new_dir);
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
	for (size_t i = 0; i < SHARDS; i++) {
		LOCK_SCOPE(&cache->shards[i].lock);
		shard_clear_locked(&cache->shards[i]);
	}
	if (cache->mirror.all_doubted)
		cache->mirror.all_doubted(cache->mirror.data);
}

void cache_on_surprise(struct cache *cache, uint64_t dir, const char *name, uint64_t id)
{
	struct shard *shard = shard_of(cache, dir);

	pthread_mutex_lock(&shard->lock);
	shard_drop_folder_locked(shard, shard_find_folder_locked(shard, dir));
	doubt_name_locked(cache, shard, stamps_note, dir, name);
	mirror_doubt(cache, dir, NULL);
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
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *shard = &cache->shards[i];

		LOCK_SCOPE(&shard->lock);
		ret_stats->hits += shard->hits;
		ret_stats->misses += shard->misses;
		ret_stats->dropped += shard->dropped;
	}
}
