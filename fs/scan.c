// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See scan.h.
 *
 * A scan is seen when a second small file of a folder is opened a moment after the first: the two tell in which
 * order the files are taken (order.h), and those behind them are read ahead, ever more of them while
 * they are used. When the scan comes to another folder, and has read what is in it, the first files are
 * read at once, in the same order.
 *
 * At most `window` files are read and not opened yet. What nobody has opened when the scan has left the folder
 * is dropped, and makes the window smaller.
 *
 * What is read is compared with what the folder's listing says of it: attributes that nobody has asked for
 * change nothing that is known, and a file that is another one by now is dropped.
 */
#include "scan.h"

#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "lock.h"
#include "order.h"
#include "request.h"
#include "stage.h"
#include "thread.h"

#define SMALL_MAX   ((size_t)128 * 1024)   /* bytes of a file that is read ahead */
#define FOLDERS     16                     /* that are remembered */
#define NAMES_MAX   20000                  /* a larger folder is not looked at */
#define PAUSE_NS    (2 * CLOCK_NS_PER_SEC) /* without an opening the scan has stopped */
#define WINDOW_MIN  8
#define STREAK_MIN  3  /* openings that were foreseen make the next folder one of the scan's */
#define BUNDLE      32 /* files that are asked for together */
#define BUNDLE_SIZE ((size_t)1024 * 1024) /* bytes of those */
#define THREADS     4                     /* so many bundles are on their way */

/* A file in line. */
struct task {
	uint64_t dir; /* its node is referenced */
	char *name;
	uint64_t id;
	uint64_t size;
	int64_t mtime;
	struct cache_ticket ticket; /* taken before the listing was looked at */
};

/* A folder in which files were opened lately, or will be. All protected by the scan's lock. */
struct scanned {
	uint64_t dir;        /* its node is referenced */
	uint64_t when;       /* the latest opening, or when it was listed */
	char *first;         /* the name that was opened first; NULL: none was */
	struct order *order; /* NULL: not known yet, or none of the files is small */
	bool ordered;        /* it was chosen */
	size_t next;         /* from this place on nothing was asked for */
	GHashTable *unused;  /* ids of files that were asked for and not opened */
};

struct scan {
	struct fs *fs;        /* set once */
	unsigned int breadth; /* set once */

	pthread_mutex_t lock;
	/* All below: protected by lock. */
	pthread_cond_t changed;
	bool stopping;
	pthread_t threads[THREADS];
	unsigned int started, idle;
	GQueue tasks; /* of struct task: the next to read first */
	struct scanned folders[FOLDERS];
	size_t unused; /* in all folders together */
	size_t window;
	unsigned int streak;
	enum order_kind order; /* of the latest scan */
	struct scan_stats stats;
};

/* ---- folders ------------------------------------------------------------------------------------ */

/* What nobody has opened is not worth its room any more. */
static void forget_folder_locked(struct scan *scan, struct scanned *folder)
{
	GHashTableIter iter;
	void *id;

	if (!folder->dir)
		return;
	g_hash_table_iter_init(&iter, folder->unused);
	while (g_hash_table_iter_next(&iter, &id, NULL))
		stage_whole_drop(scan->fs->stage, *(uint64_t *)id);
	if (2 * g_hash_table_size(folder->unused) > scan->window) {
		scan->window = MAX(scan->window / 2, WINDOW_MIN);
		scan->streak = 0;
	}
	scan->unused -= g_hash_table_size(folder->unused);
	node_unref(scan->fs->nodes, folder->dir);
	g_hash_table_unref(folder->unused);
	g_free(folder->first);
	order_free(folder->order);
	*folder = (struct scanned){.dir = 0};
}

static struct scanned *find_folder_locked(struct scan *scan, uint64_t dir)
{
	for (size_t i = 0; i < FOLDERS; i++) {
		if (scan->folders[i].dir == dir)
			return &scan->folders[i];
	}
	return NULL;
}

/* In the place of the one that was used longest ago. NULL: there is no such folder any more. */
static struct scanned *add_folder_locked(struct scan *scan, uint64_t dir)
{
	struct scanned *folder = &scan->folders[0];

	if (!node_ref(scan->fs->nodes, dir))
		return NULL;
	for (size_t i = 1; i < FOLDERS; i++) {
		if (scan->folders[i].when < folder->when)
			folder = &scan->folders[i];
	}
	forget_folder_locked(scan, folder);
	*folder = (struct scanned){
		.dir = dir,
		.when = clock_now_ns(),
		.unused = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
	};
	return folder;
}

/* Those of a scan that has stopped. */
static void forget_old_folders_locked(struct scan *scan)
{
	uint64_t now = clock_now_ns();

	for (size_t i = 0; i < FOLDERS; i++) {
		if (now > scan->folders[i].when + PAUSE_NS)
			forget_folder_locked(scan, &scan->folders[i]);
	}
}

/* ---- the order ---------------------------------------------------------------------------------- */

struct ino_case {
	struct node_table *nodes;
	uint64_t dir;
};

static uint64_t ino_of(const struct listing_entry *entry, const void *data)
{
	const struct ino_case *folder = data;

	return node_child_ino(folder->nodes, folder->dir, entry->name);
}

static struct order *make_order(struct scan *scan, uint64_t dir, struct listing *listing,
                                enum order_kind kind)
{
	const struct ino_case folder = {.nodes = scan->fs->nodes, .dir = dir};

	return order_new(listing, kind, SMALL_MAX, ino_of, &folder);
}

/* How far `then` comes behind `first`; SIZE_MAX: not behind. */
static size_t distance(const struct order *order, const char *first, const char *then)
{
	size_t from, to;

	if (!order || !order_find(order, first, &from) || !order_find(order, then, &to) ||
	    to <= from)
		return SIZE_MAX;
	return to - from;
}

/* The order in which the two come closest one behind the other; the scan's latest before others. */
static struct order *choose_order_locked(struct scan *scan, uint64_t dir, struct listing *listing,
                                         const char *first, const char *then)
{
	struct order *best = make_order(scan, dir, listing, scan->order);
	enum order_kind kind = scan->order;

	for (int i = 0; i < ORDER_KINDS; i++) {
		struct order *other;

		if (distance(best, first, then) == 1)
			break;
		other = make_order(scan, dir, listing, (enum order_kind)i);
		if (distance(other, first, then) < distance(best, first, then)) {
			g_clear_pointer(&best, order_free);
			best = g_steal_pointer(&other);
			kind = (enum order_kind)i;
		}
		order_free(other);
	}
	scan->order = kind;
	return best;
}

/* ---- what comes next ---------------------------------------------------------------------------- */

static void task_free(struct scan *scan, struct task *task)
{
	node_unref(scan->fs->nodes, task->dir);
	g_free(task->name);
	g_free(task);
}

static void put_in_line_locked(struct scan *scan, struct scanned *folder,
                               const struct listing_entry *entry, struct cache_ticket ticket)
{
	uint64_t *id = g_new(uint64_t, 1);
	struct task *task;

	*id = entry->id;
	if (!g_hash_table_add(folder->unused, id))
		return;
	node_ref(scan->fs->nodes, folder->dir);
	scan->unused++;
	scan->stats.asked++;
	task = g_new(struct task, 1);
	*task = (struct task){
		.dir = folder->dir,
		.name = g_strdup(entry->name),
		.id = entry->id,
		.size = entry->attr.size,
		.mtime = entry->attr.mtime,
		.ticket = ticket,
	};
	g_queue_push_tail(&scan->tasks, task);
}

static void *thread_main(void *data);

static void wake_locked(struct scan *scan)
{
	size_t wanted = (scan->tasks.length + BUNDLE - 1) / BUNDLE;

	pthread_cond_broadcast(&scan->changed);
	while (scan->idle < wanted && scan->started < THREADS && !scan->stopping) {
		if (thread_start(&scan->threads[scan->started], thread_main, scan) != 0)
			return;
		scan->started++;
		wanted--;
	}
}

/* Fills the window. */
static void look_ahead_locked(struct scan *scan, struct scanned *folder, struct cache_ticket ticket)
{
	struct listing_entry entry;

	while (folder->next < order_count(folder->order) && scan->unused < scan->window) {
		order_get(folder->order, folder->next++, &entry);
		put_in_line_locked(scan, folder, &entry, ticket);
	}
	if (scan->tasks.length > 0)
		wake_locked(scan);
}

/* ---- what happens ------------------------------------------------------------------------------- */

/* It was read ahead: it pays to look further. */
static void note_use_locked(struct scan *scan, struct scanned *folder, uint64_t node)
{
	if (!g_hash_table_remove(folder->unused, &node))
		return;
	scan->unused--;
	scan->streak++;
	scan->stats.used++;
	scan->window = MIN(scan->window + 2, scan->breadth);
}

static void note_opening_locked(struct scan *scan, struct scanned *folder, uint64_t node,
                                const char *name, struct listing *listing,
                                struct cache_ticket ticket)
{
	size_t place;

	folder->when = clock_now_ns();
	if (!folder->first) {
		folder->first = g_strdup(name);
	} else if (!folder->ordered && strcmp(folder->first, name)) {
		folder->ordered = true;
		folder->order =
			choose_order_locked(scan, folder->dir, listing, folder->first, name);
	}
	note_use_locked(scan, folder, node);
	if (!folder->order)
		return;
	if (order_find(folder->order, name, &place))
		folder->next = MAX(folder->next, place + 1);
	look_ahead_locked(scan, folder, ticket);
}

/* What the folder held when it was last listed, referenced; NULL: unknown, or too much to look through. */
static struct listing *peek_listing(struct scan *scan, uint64_t dir)
{
	struct listing *listing = cache_peek_listing(scan->fs->cache, dir);

	if (!listing || listing_count(listing) <= NAMES_MAX)
		return listing;
	listing_unref(listing);
	return NULL;
}

void scan_opens(struct scan *scan, uint64_t node, uint64_t dir, const char *name)
{
	struct cache_ticket ticket;
	struct listing *listing;
	struct scanned *folder;

	if (scan->breadth == 0)
		return;
	ticket = cache_take_ticket(scan->fs->cache);
	listing = peek_listing(scan, dir);
	if (!listing)
		return;
	pthread_mutex_lock(&scan->lock);
	forget_old_folders_locked(scan);
	folder = find_folder_locked(scan, dir);
	if (!folder)
		folder = add_folder_locked(scan, dir);
	if (folder)
		note_opening_locked(scan, folder, node, name, listing, ticket);
	pthread_mutex_unlock(&scan->lock);
	listing_unref(listing);
}

static bool is_scanning(struct scan *scan)
{
	LOCK_SCOPE(&scan->lock);

	forget_old_folders_locked(scan);
	return scan->streak >= STREAK_MIN;
}

static void begin_folder_locked(struct scan *scan, struct scanned *folder, struct listing *listing,
                                struct cache_ticket ticket)
{
	folder->order = make_order(scan, folder->dir, listing, scan->order);
	folder->ordered = true;
	if (folder->order)
		look_ahead_locked(scan, folder, ticket);
	else
		forget_folder_locked(scan, folder);
}

void scan_lists(struct scan *scan, uint64_t dir)
{
	struct cache_ticket ticket;
	struct listing *listing;
	struct scanned *folder;

	if (scan->breadth == 0 || !is_scanning(scan))
		return;
	ticket = cache_take_ticket(scan->fs->cache);
	listing = peek_listing(scan, dir);
	if (!listing)
		return;
	pthread_mutex_lock(&scan->lock);
	folder = find_folder_locked(scan, dir) ? NULL : add_folder_locked(scan, dir);
	if (folder)
		begin_folder_locked(scan, folder, listing, ticket);
	pthread_mutex_unlock(&scan->lock);
	listing_unref(listing);
}

/* ---- reading ahead ------------------------------------------------------------------------------ */

/* Files that are asked for together. */
struct bundle {
	struct scan *scan;
	size_t count;
	struct task *tasks[BUNDLE];
	struct stage_whole *wholes[BUNDLE];
	struct sftp_bundle_file files[BUNDLE];
};

/* Nobody has opened it meanwhile, nor has the scan left the folder. */
static bool is_wanted_locked(struct scan *scan, const struct task *task)
{
	struct scanned *folder = find_folder_locked(scan, task->dir);

	return folder && g_hash_table_contains(folder->unused, &task->id);
}

static void take_tasks_locked(struct scan *scan, struct bundle *bundle)
{
	size_t bytes = 0;

	while (bundle->count < BUNDLE && bytes < BUNDLE_SIZE && scan->tasks.length > 0) {
		struct task *task = g_queue_pop_head(&scan->tasks);

		if (!is_wanted_locked(scan, task)) {
			task_free(scan, task);
			continue;
		}
		bytes += task->size;
		bundle->tasks[bundle->count++] = task;
	}
}

/* Only those that are not held, and have a path still. */
static void begin_files(struct bundle *bundle)
{
	struct fs *fs = bundle->scan->fs;
	uint64_t now = clock_now_ns();
	size_t count = 0;

	for (size_t i = 0; i < bundle->count; i++) {
		struct task *task = bundle->tasks[i];
		char *path = node_child_path(fs->nodes, task->dir, task->name);
		struct stage_whole *whole =
			path ? stage_whole_begin(fs->stage, task->id, task->size, now) : NULL;

		if (!whole) {
			task_free(bundle->scan, task);
			g_free(path);
			continue;
		}
		bundle->tasks[count] = task;
		bundle->wholes[count] = whole;
		bundle->files[count++] =
			(struct sftp_bundle_file){.path = path, .size = task->size};
	}
	bundle->count = count;
}

/* It is what the listing told of, under the same name: nothing here has been renamed since. */
static bool is_expected(const struct bundle *bundle, const struct task *task,
                        const struct sftp_attrs *attrs)
{
	return attrs->size == task->size && attrs->mtime == task->mtime &&
	       S_ISREG(attrs->permissions) &&
	       cache_ticket_holds(bundle->scan->fs->cache, task->ticket, task->dir);
}

static void tell(size_t index, int error, const uint8_t *bytes, const struct sftp_attrs *attrs,
                 void *data)
{
	struct bundle *bundle = data;
	const struct task *task = bundle->tasks[index];
	struct stage_whole *whole = g_steal_pointer(&bundle->wholes[index]);
	const struct stage_identity identity = {
		.size = task->size,
		.mtime = task->mtime,
		.settled = open_is_settled(bundle->scan->fs, task->mtime),
	};
	bool good = !error && is_expected(bundle, task, attrs);

	stage_whole_end(whole, good ? &identity : NULL, bytes);
}

static void read_bundle(struct bundle *bundle)
{
	begin_files(bundle);
	if (bundle->count > 0)
		sftp_read_files(bundle->scan->fs->client, bundle->files, bundle->count, tell,
		                bundle);
	for (size_t i = 0; i < bundle->count; i++) {
		if (bundle->wholes[i])
			stage_whole_end(bundle->wholes[i], NULL, NULL);
		g_free((char *)bundle->files[i].path);
		task_free(bundle->scan, bundle->tasks[i]);
	}
}

static bool is_idle_locked(const struct scan *scan)
{
	for (size_t i = 0; i < FOLDERS; i++) {
		if (scan->folders[i].dir)
			return false;
	}
	return true;
}

/* Until there is something to do, or to forget. */
static void await_task_locked(struct scan *scan)
{
	scan->idle++;
	if (is_idle_locked(scan))
		pthread_cond_wait(&scan->changed, &scan->lock);
	else
		lock_cond_wait_for(&scan->changed, &scan->lock, PAUSE_NS);
	scan->idle--;
	forget_old_folders_locked(scan);
}

static void *thread_main(void *data)
{
	struct scan *scan = data;

	pthread_mutex_lock(&scan->lock);
	while (!scan->stopping) {
		struct bundle bundle = {.scan = scan};

		take_tasks_locked(scan, &bundle);
		if (bundle.count == 0) {
			await_task_locked(scan);
			continue;
		}
		pthread_mutex_unlock(&scan->lock);
		read_bundle(&bundle);
		pthread_mutex_lock(&scan->lock);
	}
	pthread_mutex_unlock(&scan->lock);
	return NULL;
}

/* ---- life --------------------------------------------------------------------------------------- */

struct scan *scan_new(struct fs *fs, unsigned int breadth)
{
	struct scan *scan = g_new0(struct scan, 1);

	scan->fs = fs;
	/* What comes next is told by listings, which the cache has. */
	scan->breadth = cache_is_enabled(fs->cache) ? breadth : 0;
	scan->window = MIN(WINDOW_MIN, scan->breadth);
	pthread_mutex_init(&scan->lock, NULL);
	lock_cond_init(&scan->changed);
	g_queue_init(&scan->tasks);
	return scan;
}

void scan_stop(struct scan *scan)
{
	LOCK_SCOPE(&scan->lock);
	scan->stopping = true;
	pthread_cond_broadcast(&scan->changed);
}

void scan_free(struct scan *scan)
{
	struct task *task;

	if (!scan)
		return;
	scan_stop(scan);
	for (unsigned int i = 0; i < scan->started; i++)
		pthread_join(scan->threads[i], NULL);
	while ((task = g_queue_pop_head(&scan->tasks)) != NULL)
		task_free(scan, task);
	for (size_t i = 0; i < FOLDERS; i++)
		forget_folder_locked(scan, &scan->folders[i]);
	pthread_mutex_destroy(&scan->lock);
	pthread_cond_destroy(&scan->changed);
	g_free(scan);
}

void scan_get_stats(struct scan *scan, struct scan_stats *ret_stats)
{
	LOCK_SCOPE(&scan->lock);
	*ret_stats = scan->stats;
}
