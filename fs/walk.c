// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See walk.h.
 *
 * A walk is seen when a folder is read whose parent was read a moment ago. Then its sub-folders and its
 * siblings are listed ahead, and the sub-folders of those in turn. What is next depends on the walker: one
 * that goes down first wants the children of what was listed last, one that goes across first wants them
 * after everything else; the order of its own readings tells which it is.
 *
 * How far ahead is a matter of use: `budget` folders may be listed and not read yet; each that is read makes
 * it larger, and when a walk stops with most of them unread, smaller. When nobody has read a folder for a
 * while what is still to do is forgotten. Many single names asked for in one folder (a build that looks for
 * its headers, git) make it worth listing as well.
 *
 * Whatever happens meanwhile, the tickets of the cache keep wrong answers out of it (stream.c).
 */
#include "walk_private.h"

#include <sys/stat.h>

#include "lock.h"
#include "request.h"
#include "stream.h"

#define RECENT_NS    (10 * CLOCK_NS_PER_SEC) /* what was read longer ago is not remembered */
#define SEEN_MAX     65536                   /* folders that are not put in line again */
#define BUDGET_STEP  8                       /* what one that is read adds */
#define BUDGET_MAX   1024
#define FAR_NS       CLOCK_NS_PER_MS /* a round trip to a server for which guessing pays, at least */
#define MISSES_WORTH 3               /* single names in a folder that make it worth a listing */
#define CREDIT_MAX   2048            /* targets that may go unread */
#define CREDIT_READ  64              /* what one that is read is worth */

/* ---- the end of a walk ------------------------------------------------------------------------ */

bool walk_is_paused_locked(struct walk *walk)
{
	return clock_now_ns() > walk->recent[walk->latest].when + WALK_PAUSE_NS;
}

/* The walk has stopped: what is listed and was not read has not been worth it. */
void walk_give_up_locked(struct walk *walk)
{
	size_t unread = g_hash_table_size(walk->ahead);

	ahead_clear_locked(walk);
	if (2 * unread > walk->budget)
		walk->budget = MAX(walk->budget / 2, WALK_BUDGET_MIN);
	g_hash_table_remove_all(walk->ahead);
	g_hash_table_remove_all(walk->seen);
}

/* ---- what comes next -------------------------------------------------------------------------- */

static bool is_worth_listing(struct walk *walk, const struct listing_entry *entry)
{
	struct cache_ticket ticket;
	struct listing *known;

	if (entry->state != LISTING_PRESENT || !entry->has_attr || !S_ISDIR(entry->attr.mode))
		return false;
	known = cache_get_listing(walk->fs->cache, entry->id, &ticket);
	listing_unref(known);
	return !known;
}

/* Tasks for the sub-folders at these places, in order. */
static GPtrArray *make_tasks(struct walk *walk, uint64_t dir, const struct listing *listing,
                             size_t from, size_t to)
{
	GPtrArray *tasks = g_ptr_array_new();
	struct listing_entry entry;
	struct ahead_task *task;

	for (size_t i = from; i < to && tasks->len < WALK_TASKS_MAX; i++) {
		listing_get(listing, i, &entry);
		task = is_worth_listing(walk, &entry) ? ahead_task_new_for_child(walk, dir, &entry)
		                                      : NULL;
		if (task)
			g_ptr_array_add(tasks, task);
	}
	return tasks;
}

/* True when it is so for the first time since the walk began. */
static bool see_locked(struct walk *walk, uint64_t dir)
{
	if (g_hash_table_size(walk->seen) >= SEEN_MAX)
		g_hash_table_remove_all(walk->seen);
	return g_hash_table_add(walk->seen, ahead_new_id(dir));
}

/*
 * Puts the sub-folders of `dir` in line. For one who goes down first they come where `dir` itself is, before
 * its siblings, and first of all if somebody is reading it; for one who goes across first they come last.
 */
static void put_in_line_locked(struct walk *walk, uint64_t dir, GPtrArray *tasks)
{
	struct ahead_task *above = g_hash_table_lookup(walk->listing, &dir);
	GList *place = walk->across ? walk->tasks.tail : above ? &above->link : NULL;

	for (guint i = 0; i < tasks->len; i++) {
		struct ahead_task *task = g_ptr_array_index(tasks, i);

		if (walk->tasks.length >= WALK_TASKS_MAX || !see_locked(walk, task->dir)) {
			ahead_task_free(walk, task);
			continue;
		}
		ahead_insert_locked(walk, place, task);
		place = &task->link;
	}
	if (tasks->len > 0)
		ahead_wake_locked(walk);
}

static void expand(struct walk *walk, uint64_t dir, const struct listing *listing, size_t from,
                   size_t to)
{
	g_autoptr(GPtrArray) tasks = make_tasks(walk, dir, listing, from, to);

	LOCK_SCOPE(&walk->lock);
	put_in_line_locked(walk, dir, tasks);
}

/*
 * Guesses pay when the server is far. Next door a listing that nobody wants costs more (measured: a third of the
 * time of git status) than one that somebody does saves.
 */
static bool is_far(struct walk *walk)
{
	return sftp_client_rtt_ns(walk->fs->client) >= FAR_NS;
}

/* ---- who reads -------------------------------------------------------------------------------- */

static struct reading *find_reading_locked(struct walk *walk, uint64_t dir)
{
	uint64_t now = clock_now_ns();

	for (size_t i = 0; i < WALK_RECENT; i++) {
		struct reading *reading = &walk->recent[i];

		if (dir && reading->dir == dir && now < reading->when + RECENT_NS)
			return reading;
	}
	return NULL;
}

static struct reading *note_reading_locked(struct walk *walk, uint64_t dir)
{
	struct reading *reading = find_reading_locked(walk, dir);

	if (!reading) {
		walk->latest = (walk->latest + 1) % WALK_RECENT;
		reading = &walk->recent[walk->latest];
		*reading = (struct reading){.dir = dir};
	} else {
		walk->latest = (size_t)(reading - walk->recent);
	}
	reading->when = clock_now_ns();
	return reading;
}

/* It had children and another one was taken: across. One of its children was taken: down. */
static void learn_order_locked(struct walk *walk, const struct reading *last, uint64_t parent)
{
	if (last->dir == parent)
		walk->across = false;
	else if (last->has_subs)
		walk->across = true;
}

/* Its reading was foreseen: it pays to look further. */
static bool note_use_locked(struct walk *walk, uint64_t dir)
{
	if (!g_hash_table_remove(walk->ahead, &dir))
		return false;
	walk->stats.used++;
	walk->budget = MIN(walk->budget + BUDGET_STEP, BUDGET_MAX);
	pthread_cond_broadcast(&walk->changed);
	return true;
}

struct step {
	bool wants_siblings; /* the folder's siblings are to be listed, too */
	bool wants_listing; /* what it holds was not looked at lately, or its sub-folders are wanted */
};

static struct step note_step_locked(struct walk *walk, uint64_t dir, uint64_t parent)
{
	struct reading last = walk->recent[walk->latest];
	struct reading *above = find_reading_locked(walk, parent), *reading;
	bool foreseen = note_use_locked(walk, dir), is_new = !find_reading_locked(walk, dir);
	struct step step = {.wants_siblings = above && !above->expanded};

	if (above || foreseen)
		learn_order_locked(walk, &last, parent);
	if (above)
		above->expanded = true;
	reading = note_reading_locked(walk, dir);
	reading->walked = (above || foreseen) && !reading->expanded;
	step.wants_listing = is_new || reading->walked;
	see_locked(walk, dir);
	return step;
}

/* Its siblings: those behind it first. A walker that sorts them reads those before it, too. */
static void expand_siblings(struct walk *walk, uint64_t parent, const char *name)
{
	struct cache_ticket ticket;
	struct listing *listing = cache_get_listing(walk->fs->cache, parent, &ticket);
	size_t place;

	if (listing && listing_find(listing, name, &place)) {
		expand(walk, parent, listing, 0, place);
		expand(walk, parent, listing, place + 1, listing_count(listing));
	}
	listing_unref(listing);
}

/*
 * Once: its sub-folders are wanted, and its listing is here. Those of a folder that nobody has read yet
 * are a guess.
 */
static bool take_expansion(struct walk *walk, uint64_t dir, bool has_subs)
{
	bool far = is_far(walk);
	LOCK_SCOPE(&walk->lock);
	struct reading *reading = find_reading_locked(walk, dir);
	bool wanted = far && g_hash_table_contains(walk->ahead, &dir);

	if (!reading)
		return wanted;
	reading->has_subs = has_subs;
	wanted |= reading->walked;
	if (wanted) {
		reading->walked = false;
		reading->expanded = true;
	}
	return wanted;
}

/* ---- what a listing holds --------------------------------------------------------------------- */

static void look_through(const struct listing *listing, bool *ret_has_subs, bool *ret_has_links)
{
	struct listing_entry entry;

	*ret_has_subs = *ret_has_links = false;
	for (size_t i = 0; i < listing_count(listing) && !(*ret_has_subs && *ret_has_links); i++) {
		listing_get(listing, i, &entry);
		*ret_has_subs |= entry.has_attr && S_ISDIR(entry.attr.mode);
		*ret_has_links |= entry.has_attr && S_ISLNK(entry.attr.mode);
	}
}

static void want_targets(struct walk *walk, uint64_t dir)
{
	struct ahead_task *task = ahead_task_new(walk, AHEAD_TARGETS, dir);

	LOCK_SCOPE(&walk->lock);
	if (task && walk->credit > 0) {
		ahead_insert_locked(walk, NULL, task);
		ahead_wake_locked(walk);
	} else if (task) {
		ahead_task_free(walk, task);
	}
}

/* The complete listing of folder `dir` is here. */
static void take_listing(struct walk *walk, uint64_t dir, const struct listing *listing)
{
	bool has_subs, has_links;

	look_through(listing, &has_subs, &has_links);
	if (take_expansion(walk, dir, has_subs) && has_subs)
		expand(walk, dir, listing, 0, listing_count(listing));
	if (has_links)
		want_targets(walk, dir);
}

/* ---- what happens ----------------------------------------------------------------------------- */

void walk_reads(struct walk *walk, uint64_t dir)
{
	g_autofree char *name = NULL;
	struct listing *listing;
	struct cache_ticket ticket;
	uint64_t parent = 0;
	struct step step;

	if (walk->breadth == 0)
		return;
	place_of_node(walk->fs, dir, &parent, &name);
	pthread_mutex_lock(&walk->lock);
	step = note_step_locked(walk, dir, parent);
	pthread_mutex_unlock(&walk->lock);
	if (step.wants_siblings)
		expand_siblings(walk, parent, name);
	listing = step.wants_listing ? cache_get_listing(walk->fs->cache, dir, &ticket) : NULL;
	if (listing)
		take_listing(walk, dir, listing);
	listing_unref(listing);
}

void walk_takes_news(struct walk *walk, struct stream *stream)
{
	struct listing *news = walk->breadth > 0 ? stream_take_news(stream) : NULL;

	if (news)
		take_listing(walk, stream_dir(stream), news);
	listing_unref(news);
}

void walk_reads_link(struct walk *walk)
{
	LOCK_SCOPE(&walk->lock);
	walk->credit = MIN(walk->credit + CREDIT_READ, CREDIT_MAX);
}

/* ---- single names ----------------------------------------------------------------------------- */

/* How many there were lately. */
static unsigned int note_miss_locked(struct walk *walk, uint64_t key)
{
	struct missing *missing = &walk->missing[key % WALK_MISSED];
	uint64_t now = clock_now_ns();

	if (missing->key != key || now > missing->when + RECENT_NS ||
	    missing->count == MISSES_WORTH)
		*missing = (struct missing){.key = key, .when = now};
	return ++missing->count;
}

static void list_ahead(struct walk *walk, uint64_t dir)
{
	struct ahead_task *task = ahead_task_new(walk, AHEAD_LIST, dir);

	if (!task)
		return;
	LOCK_SCOPE(&walk->lock);
	/* So that it is not taken for a walk that has stopped. */
	walk->recent[walk->latest].when = clock_now_ns();
	task->demanded = true;
	ahead_insert_locked(walk, NULL, task);
	ahead_wake_locked(walk);
}

/* Names are looked for in one of its sub-folders after the other: those are wanted. */
static void list_subs_ahead(struct walk *walk, uint64_t dir)
{
	struct cache_ticket ticket;
	struct listing *listing = cache_get_listing(walk->fs->cache, dir, &ticket);

	/* Where it has to be listed itself its sub-folders follow. */
	list_ahead(walk, dir);
	if (listing)
		expand(walk, dir, listing, 0, listing_count(listing));
	listing_unref(listing);
}

void walk_missed(struct walk *walk, uint64_t dir)
{
	g_autofree char *name = NULL;
	uint64_t parent = 0;
	unsigned int misses, subs = 0;

	if (walk->breadth == 0 || !is_far(walk))
		return;
	place_of_node(walk->fs, dir, &parent, &name);
	pthread_mutex_lock(&walk->lock);
	misses = note_miss_locked(walk, KEY_OF_FOLDER(dir));
	if (misses == 1 && parent)
		subs = note_miss_locked(walk, KEY_OF_SUBS(parent));
	pthread_mutex_unlock(&walk->lock);
	if (misses == MISSES_WORTH)
		list_ahead(walk, dir);
	if (subs == MISSES_WORTH)
		list_subs_ahead(walk, parent);
}

void walk_found(struct walk *walk, uint64_t dir)
{
	if (walk->breadth == 0)
		return;
	LOCK_SCOPE(&walk->lock);
	if (g_hash_table_size(walk->ahead) > 0 && note_use_locked(walk, dir))
		walk->recent[walk->latest].when = clock_now_ns();
}

/* ---- life ------------------------------------------------------------------------------------- */

struct walk *walk_new(struct fs *fs, unsigned int breadth)
{
	struct walk *walk = g_new0(struct walk, 1);

	walk->fs = fs;
	/* Without a cache there is nothing to fill. */
	walk->breadth = cache_is_enabled(fs->cache) ? breadth : 0;
	pthread_mutex_init(&walk->lock, NULL);
	lock_cond_init(&walk->changed);
	walk->threads = g_new0(pthread_t, MAX(breadth, 1));
	g_queue_init(&walk->tasks);
	walk->ahead = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	walk->seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	walk->listing = g_hash_table_new(g_int64_hash, g_int64_equal);
	walk->budget = WALK_BUDGET_MIN;
	walk->credit = CREDIT_MAX;
	return walk;
}

void walk_stop(struct walk *walk)
{
	LOCK_SCOPE(&walk->lock);
	walk->stopping = true;
	pthread_cond_broadcast(&walk->changed);
}

void walk_free(struct walk *walk)
{
	if (!walk)
		return;
	walk_stop(walk);
	ahead_join(walk);
	ahead_clear_locked(walk);
	g_hash_table_unref(walk->ahead);
	g_hash_table_unref(walk->seen);
	g_hash_table_unref(walk->listing);
	g_free(walk->threads);
	pthread_mutex_destroy(&walk->lock);
	pthread_cond_destroy(&walk->changed);
	g_free(walk);
}

void walk_get_stats(struct walk *walk, struct walk_stats *ret_stats)
{
	LOCK_SCOPE(&walk->lock);
	*ret_stats = walk->stats;
}
