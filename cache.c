// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See cache.h. Single names in one hash table, complete listings in another, one lock, two queues in
 * order of use. Which of the two answers for a name is decided by the moment its answer was asked for:
 * the later one, and when nothing has changed between the two, the one that came later.
 *
 * What an event makes us forget (x), and whose tickets it voids (those taken before it):
 *
 *	event	  name	attributes  target  listing of	attributes	what is	 tickets
 *					    the folder	of the folder	below	 voided
 *	create	   x	    x	      x		x	      x		  -	 name, folder
 *	remove	   x	    x	      x		x	      x		  x	 name, folder, below
 *	rename	   x	    x	      x		x	      x		  -	 all	(both ends)
 *	change	   -	    x	      -		- (*)	      -		  -	 name
 *	surprise   x	    x	      x		x	      x		  x	 name, folder, below
 *	reconnect  x	    x	      x		x	      x		  x	 all
 *
 * (*) A listing keeps its names; attributes in it that are older than the change are not used.
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
#include "stamps.h"

/* Names kept in listings, for each single name that is allowed (dcache_max_size): a listing is cheaper. */
#define LISTED_PER_ENTRY 10

/* Between two searches for expired entries, whatever dcache_clean_interval says: they look at all. */
#define SWEEP_MIN_NS CLOCK_NS_PER_SEC

/* Stands in the stamps for all that is directly below a folder; no name has a slash. */
#define BELOW "/"

uint64_t (*cache_now_ns)(void) = clock_now_ns;

/*
 * What is known of one name. All of it protected by the cache's lock. Measured on the heap, with its share of
 * the table: 196 bytes for a name of 12 letters (test_cache prints it).
 */
struct entry {
	uint64_t dir;                            /* key, with name */
	uint64_t id;                             /* the name's node; 0: none given */
	uint64_t since;                          /* moment of the first ticket */
	uint64_t moment;                         /* of the ticket that name and absent came with */
	uint64_t attr_moment;                    /* of the ticket that attr came with */
	uint64_t name_end, attr_end, target_end; /* valid until; 0: not known */
	struct cache_attr attr;
	char *target; /* of a symlink, or NULL */
	GList in_use; /* in cache->entries_by_use */
	bool absent;  /* the name is known not to exist */
	char name[];
};

/* A folder's complete listing. Protected by the cache's lock. */
struct folder {
	uint64_t id;     /* key */
	uint64_t moment; /* of its ticket */
	uint64_t names_end, attrs_end;
	struct listing *listing;
	GList in_use; /* in cache->folders_by_use */
};

struct cache {
	struct cache_settings settings; /* set once */
	struct stamps stamps;           /* lock-free */

	pthread_mutex_t lock;
	GHashTable *entries; /* set of struct entry; protected by lock */
	GHashTable *folders; /* set of struct folder, keyed by id; protected by lock */
	GQueue entries_by_use, folders_by_use; /* latest first; protected by lock */
	size_t listed;                         /* names in all listings; protected by lock */
	size_t bytes;                          /* protected by lock */
	uint64_t swept_ns;        /* last search for expired entries; protected by lock */
	struct cache_stats stats; /* hits, misses, dropped; protected by lock */
};

/* ---- entries and folders ------------------------------------------------------------------------ */

static guint entry_hash(const void *key)
{
	const struct entry *entry = key;

	return g_str_hash(entry->name) ^ (guint)(entry->dir * 2654435761u);
}

static gboolean entry_equal(const void *a, const void *b)
{
	const struct entry *one = a, *other = b;

	return one->dir == other->dir && !strcmp(one->name, other->name);
}

static size_t entry_bytes(const struct entry *entry)
{
	/* The table's own share of an entry is three words at about half load. */
	return sizeof(*entry) + strlen(entry->name) + 1 + 6 * sizeof(void *) +
	       (entry->target ? strlen(entry->target) + 1 : 0);
}

static struct entry *entry_new(uint64_t dir, const char *name)
{
	size_t size = strlen(name) + 1;
	struct entry *entry = g_malloc0(sizeof(*entry) + size);

	entry->dir = dir;
	memcpy(entry->name, name, size);
	entry->in_use.data = entry;
	return entry;
}

/* The lookup key: an entry on the stack for short names. */
static struct entry *find_entry_locked(struct cache *cache, uint64_t dir, const char *name)
{
	struct entry *key = g_alloca(sizeof(*key) + strlen(name) + 1);

	key->dir = dir;
	strcpy(key->name, name);
	return g_hash_table_lookup(cache->entries, key);
}

static void drop_entry_locked(struct cache *cache, struct entry *entry)
{
	if (!entry)
		return;
	g_hash_table_remove(cache->entries, entry);
	g_queue_unlink(&cache->entries_by_use, &entry->in_use);
	cache->bytes -= entry_bytes(entry);
	g_free(entry->target);
	g_free(entry);
}

/* What is known of the name, unless its folder was doubted since. */
static struct entry *true_entry_locked(struct cache *cache, uint64_t dir, const char *name)
{
	struct entry *entry = find_entry_locked(cache, dir, name);

	if (entry && stamps_last(&cache->stamps, dir, BELOW) > entry->since) {
		drop_entry_locked(cache, entry);
		return NULL;
	}
	return entry;
}

static struct entry *make_entry_locked(struct cache *cache, struct cache_ticket ticket,
                                       uint64_t dir, const char *name)
{
	struct entry *entry = true_entry_locked(cache, dir, name);

	if (!entry) {
		entry = entry_new(dir, name);
		entry->since = ticket.moment;
		g_hash_table_add(cache->entries, entry);
		g_queue_push_head_link(&cache->entries_by_use, &entry->in_use);
		cache->bytes += entry_bytes(entry);
	}
	return entry;
}

static void touch(GQueue *queue, GList *link)
{
	if (queue->head == link)
		return;
	g_queue_unlink(queue, link);
	g_queue_push_head_link(queue, link);
}

static void set_target_locked(struct cache *cache, struct entry *entry, const char *target)
{
	cache->bytes -= entry_bytes(entry);
	g_free(entry->target);
	entry->target = g_strdup(target);
	cache->bytes += entry_bytes(entry);
}

static void drop_folder_locked(struct cache *cache, struct folder *folder)
{
	if (!folder)
		return;
	g_hash_table_remove(cache->folders, &folder->id);
	g_queue_unlink(&cache->folders_by_use, &folder->in_use);
	cache->listed -= listing_count(folder->listing);
	cache->bytes -= listing_bytes(folder->listing);
	listing_unref(folder->listing);
	g_free(folder);
}

static void drop_listing_locked(struct cache *cache, uint64_t dir)
{
	drop_folder_locked(cache, g_hash_table_lookup(cache->folders, &dir));
}

/* A folder's listing if its names are still valid. */
static struct folder *valid_folder_locked(struct cache *cache, uint64_t dir, uint64_t now)
{
	struct folder *folder = g_hash_table_lookup(cache->folders, &dir);

	if (folder && folder->names_end <= now) {
		drop_folder_locked(cache, folder);
		return NULL;
	}
	return folder;
}

/* ---- bounds ------------------------------------------------------------------------------------- */

static bool is_expired(const struct entry *entry, uint64_t now)
{
	return entry->name_end <= now && entry->attr_end <= now && entry->target_end <= now;
}

/* Once in dcache_clean_interval, so that memory is given back though nothing pushes it out. */
static void sweep_locked(struct cache *cache, uint64_t now)
{
	GList *next;

	if (now < clock_add(cache->swept_ns, MAX(cache->settings.clean_ns, SWEEP_MIN_NS)))
		return;
	cache->swept_ns = now;
	for (GList *link = cache->entries_by_use.head; link; link = next) {
		next = link->next;
		if (is_expired(link->data, now))
			drop_entry_locked(cache, link->data);
	}
	for (GList *link = cache->folders_by_use.head; link; link = next) {
		struct folder *folder = link->data;

		next = link->next;
		if (folder->names_end <= now)
			drop_folder_locked(cache, folder);
	}
}

/* Names in all listings together. */
static size_t max_listed(const struct cache *cache)
{
	size_t max_entries = cache->settings.max_entries;

	return max_entries > SIZE_MAX / LISTED_PER_ENTRY ? SIZE_MAX
	                                                 : max_entries * LISTED_PER_ENTRY;
}

static void keep_bounds_locked(struct cache *cache)
{
	while (cache->entries_by_use.length > cache->settings.max_entries)
		drop_entry_locked(cache, cache->entries_by_use.tail->data);
	/* Empty ones count as one, or there could be any number of them. */
	while (cache->listed + cache->folders_by_use.length > max_listed(cache))
		drop_folder_locked(cache, cache->folders_by_use.tail->data);
}

/* ---- life --------------------------------------------------------------------------------------- */

struct cache *cache_new(const struct cache_settings *settings)
{
	struct cache *cache = g_new0(struct cache, 1);

	cache->settings = *settings;
	pthread_mutex_init(&cache->lock, NULL);
	cache->entries = g_hash_table_new(entry_hash, entry_equal);
	cache->folders = g_hash_table_new(g_int64_hash, g_int64_equal);
	cache->swept_ns = cache_now_ns();
	return cache;
}

static void forget_all_locked(struct cache *cache)
{
	while (cache->entries_by_use.length > 0)
		drop_entry_locked(cache, cache->entries_by_use.head->data);
	while (cache->folders_by_use.length > 0)
		drop_folder_locked(cache, cache->folders_by_use.head->data);
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	forget_all_locked(cache);
	g_hash_table_unref(cache->entries);
	g_hash_table_unref(cache->folders);
	pthread_mutex_destroy(&cache->lock);
	g_free(cache);
}

bool cache_is_enabled(const struct cache *cache)
{
	return cache->settings.enabled;
}

struct cache_ticket cache_take_ticket(struct cache *cache)
{
	return (struct cache_ticket){.moment = stamps_now(&cache->stamps)};
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
	return entry->name_end >= folder->names_end;
}

static enum cache_known answer_from_entry_locked(struct cache *cache, struct entry *entry,
                                                 uint64_t now, struct cache_name *ret_name)
{
	touch(&cache->entries_by_use, &entry->in_use);
	*ret_name = (struct cache_name){
		.id = entry->id,
		.name_left_ns = time_left(entry->name_end, now),
	};
	if (entry->absent)
		return CACHE_ABSENT;
	ret_name->has_attr =
		entry->attr_end > now && attr_is_true(cache, entry->attr_moment, entry->dir,
	                                              entry->name, entry->id, &entry->attr);
	if (ret_name->has_attr) {
		ret_name->attr = entry->attr;
		ret_name->attr_left_ns = time_left(entry->attr_end, now);
	}
	return CACHE_PRESENT;
}

static enum cache_known answer_from_listing_locked(struct cache *cache, struct folder *folder,
                                                   const char *name, uint64_t now,
                                                   struct cache_name *ret_name)
{
	struct listing_entry listed;
	size_t index;

	touch(&cache->folders_by_use, &folder->in_use);
	*ret_name = (struct cache_name){.name_left_ns = time_left(folder->names_end, now)};
	if (!listing_find(folder->listing, name, &index))
		return CACHE_ABSENT;
	listing_get(folder->listing, index, &listed);
	ret_name->id = listed.id;
	ret_name->has_attr =
		listed.has_attr && folder->attrs_end > now &&
		attr_is_true(cache, folder->moment, folder->id, name, listed.id, &listed.attr);
	if (ret_name->has_attr) {
		ret_name->attr = listed.attr;
		ret_name->attr_left_ns = time_left(folder->attrs_end, now);
	}
	return CACHE_PRESENT;
}

static enum cache_known get_name_locked(struct cache *cache, uint64_t dir, const char *name,
                                        struct cache_name *ret_name)
{
	uint64_t now = cache_now_ns();
	struct entry *entry = true_entry_locked(cache, dir, name);
	struct folder *folder = valid_folder_locked(cache, dir, now);

	if (entry && entry->name_end <= now)
		entry = NULL;
	if (entry && (!folder || is_newer(entry, folder)))
		return answer_from_entry_locked(cache, entry, now, ret_name);
	if (folder)
		return answer_from_listing_locked(cache, folder, name, now, ret_name);
	return CACHE_UNKNOWN;
}

enum cache_known cache_get_name(struct cache *cache, uint64_t dir, const char *name,
                                struct cache_name *ret_name)
{
	enum cache_known known;

	if (!cache->settings.enabled)
		return CACHE_UNKNOWN;
	LOCK_SCOPE(&cache->lock);
	known = get_name_locked(cache, dir, name, ret_name);
	if (known == CACHE_UNKNOWN)
		cache->stats.misses++;
	else
		cache->stats.hits++;
	return known;
}

char *cache_get_link(struct cache *cache, uint64_t dir, const char *name)
{
	struct entry *entry;

	if (!cache->settings.enabled)
		return NULL;
	LOCK_SCOPE(&cache->lock);
	entry = true_entry_locked(cache, dir, name);
	if (!entry || !entry->target || entry->target_end <= cache_now_ns())
		return NULL;
	touch(&cache->entries_by_use, &entry->in_use);
	return g_strdup(entry->target);
}

struct listing *cache_get_listing(struct cache *cache, uint64_t dir)
{
	struct folder *folder;

	if (!cache->settings.enabled)
		return NULL;
	LOCK_SCOPE(&cache->lock);
	folder = valid_folder_locked(cache, dir, cache_now_ns());
	if (!folder)
		return NULL;
	touch(&cache->folders_by_use, &folder->in_use);
	return listing_ref(folder->listing);
}

/* ---- answers ------------------------------------------------------------------------------------ */

/* True when an answer about `name` (NULL: about the names in `dir`) is still as new as its ticket. */
static bool admit_locked(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                         const char *name)
{
	if (!cache->settings.enabled)
		return false;
	if (stamps_is_void(&cache->stamps, ticket.moment, dir, name) ||
	    stamps_is_void(&cache->stamps, ticket.moment, dir, BELOW)) {
		cache->stats.dropped++;
		return false;
	}
	return true;
}

void cache_put_name(struct cache *cache, struct cache_ticket ticket, uint64_t dir, const char *name,
                    uint64_t id, const struct cache_attr *attr)
{
	struct entry *entry;
	uint64_t now;

	LOCK_SCOPE(&cache->lock);
	if (!admit_locked(cache, ticket, dir, name))
		return;
	now = cache_now_ns();
	sweep_locked(cache, now);
	entry = make_entry_locked(cache, ticket, dir, name);
	touch(&cache->entries_by_use, &entry->in_use);
	entry->absent = false;
	entry->moment = ticket.moment;
	entry->name_end = clock_add(now, cache->settings.name_ns);
	if (id)
		entry->id = id;
	if (attr) {
		entry->attr = *attr;
		entry->attr_end = clock_add(now, cache->settings.attr_ns);
		entry->attr_moment = ticket.moment;
	}
	keep_bounds_locked(cache);
}

void cache_put_absent(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                      const char *name)
{
	struct entry *entry;
	uint64_t now;

	LOCK_SCOPE(&cache->lock);
	if (!admit_locked(cache, ticket, dir, name))
		return;
	now = cache_now_ns();
	sweep_locked(cache, now);
	drop_entry_locked(cache, find_entry_locked(cache, dir, name));
	entry = make_entry_locked(cache, ticket, dir, name);
	entry->absent = true;
	entry->moment = ticket.moment;
	entry->name_end = clock_add(now, cache->settings.name_ns);
	keep_bounds_locked(cache);
}

void cache_put_link(struct cache *cache, struct cache_ticket ticket, uint64_t dir, const char *name,
                    const char *target)
{
	struct entry *entry;

	LOCK_SCOPE(&cache->lock);
	if (!admit_locked(cache, ticket, dir, name))
		return;
	entry = make_entry_locked(cache, ticket, dir, name);
	touch(&cache->entries_by_use, &entry->in_use);
	set_target_locked(cache, entry, target);
	entry->target_end = clock_add(cache_now_ns(), cache->settings.link_ns);
	keep_bounds_locked(cache);
}

void cache_put_listing(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                       struct listing *listing)
{
	struct folder *folder;
	uint64_t now;

	LOCK_SCOPE(&cache->lock);
	if (!admit_locked(cache, ticket, dir, NULL))
		return;
	now = cache_now_ns();
	sweep_locked(cache, now);
	drop_listing_locked(cache, dir);
	/* It would push out all others, and then itself. */
	if (listing_count(listing) >= max_listed(cache))
		return;
	folder = g_new0(struct folder, 1);
	folder->id = dir;
	folder->moment = ticket.moment;
	folder->names_end = clock_add(now, cache->settings.name_ns);
	folder->attrs_end = clock_add(now, cache->settings.attr_ns);
	folder->listing = listing_ref(listing);
	folder->in_use.data = folder;
	g_hash_table_insert(cache->folders, &folder->id, folder);
	g_queue_push_head_link(&cache->folders_by_use, &folder->in_use);
	cache->listed += listing_count(listing);
	cache->bytes += listing_bytes(listing);
	keep_bounds_locked(cache);
}

/* ---- events: the rows of the table at the top --------------------------------------------------- */

/* How an event is noted: it begins, it ends, or it was not ours and has just been found out. */
typedef void (*note_fn)(struct stamps *stamps, uint64_t dir, const char *name);

static note_fn note_of(enum cache_when when)
{
	return when == CACHE_BEGINS ? stamps_begin : stamps_end;
}

static void forget_name_locked(struct cache *cache, note_fn note, uint64_t dir, const char *name)
{
	note(&cache->stamps, dir, name);
	note(&cache->stamps, dir, NULL);
	drop_entry_locked(cache, find_entry_locked(cache, dir, name));
	drop_listing_locked(cache, dir);
}

static void forget_below_locked(struct cache *cache, uint64_t id)
{
	if (!id)
		return;
	stamps_note(&cache->stamps, id, BELOW);
	drop_listing_locked(cache, id);
}

void cache_on_create(struct cache *cache, enum cache_when when, uint64_t dir, const char *name)
{
	LOCK_SCOPE(&cache->lock);
	forget_name_locked(cache, note_of(when), dir, name);
}

void cache_on_remove(struct cache *cache, enum cache_when when, uint64_t dir, const char *name,
                     uint64_t id)
{
	LOCK_SCOPE(&cache->lock);
	forget_name_locked(cache, note_of(when), dir, name);
	forget_below_locked(cache, id);
}

void cache_on_rename(struct cache *cache, enum cache_when when, uint64_t dir, const char *name,
                     uint64_t new_dir, const char *new_name)
{
	LOCK_SCOPE(&cache->lock);
	stamps_void_all(&cache->stamps);
	forget_name_locked(cache, note_of(when), dir, name);
	forget_name_locked(cache, note_of(when), new_dir, new_name);
}

void cache_on_change(struct cache *cache, enum cache_when when, uint64_t dir, const char *name)
{
	LOCK_SCOPE(&cache->lock);
	note_of(when)(&cache->stamps, dir, name);
}

/* Called before the end of a change of ours is noted: is it the only thing that has happened? */
static bool is_untouched(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                         const char *name)
{
	return !stamps_is_void_but_for_us(&cache->stamps, ticket.moment, dir, name);
}

struct cache_ticket cache_end_create(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                     const char *name)
{
	bool untouched;

	LOCK_SCOPE(&cache->lock);
	untouched = is_untouched(cache, ticket, dir, name);
	forget_name_locked(cache, stamps_end, dir, name);
	return untouched ? cache_take_ticket(cache) : ticket;
}

struct cache_ticket cache_end_change(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                                     const char *name)
{
	bool untouched;

	LOCK_SCOPE(&cache->lock);
	untouched = is_untouched(cache, ticket, dir, name);
	stamps_end(&cache->stamps, dir, name);
	return untouched ? cache_take_ticket(cache) : ticket;
}

void cache_on_reconnect(struct cache *cache)
{
	LOCK_SCOPE(&cache->lock);
	stamps_void_all(&cache->stamps);
	forget_all_locked(cache);
}

void cache_on_surprise(struct cache *cache, uint64_t dir, const char *name, uint64_t id)
{
	LOCK_SCOPE(&cache->lock);
	forget_name_locked(cache, stamps_note, dir, name);
	forget_below_locked(cache, id);
}

/* ---- statistics --------------------------------------------------------------------------------- */

void cache_get_stats(struct cache *cache, struct cache_stats *ret_stats)
{
	LOCK_SCOPE(&cache->lock);
	*ret_stats = cache->stats;
	ret_stats->entries = cache->entries_by_use.length;
	ret_stats->listings = cache->folders_by_use.length;
	ret_stats->bytes = cache->bytes;
}
