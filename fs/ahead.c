// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See walk_private.h. Threads that list folders and read link targets before anybody asks for them, in the
 * order of the line. At most `budget` folders may be listed and not read yet.
 *
 * They are made when there is something to do, and wait when there is not. What they ask the server for
 * they wait for; the client's shutdown lets them go.
 */
#include "walk_private.h"

#include <sys/stat.h>

#include "lock.h"
#include "request.h"
#include "stream.h"
#include "thread.h"

#define NAMES_MAX   (size_t)10000 /* a larger folder is not listed ahead */
#define FRESH_NS    (CLOCK_NS_PER_SEC / 2)
#define TARGETS_MAX 256 /* of one folder */

/* ---- tasks ------------------------------------------------------------------------------------ */

void ahead_task_free(struct walk *walk, struct ahead_task *task)
{
	node_unref(walk->fs->nodes, task->dir);
	g_free(task);
}

struct ahead_task *ahead_task_new(struct walk *walk, enum ahead_kind kind, uint64_t dir)
{
	struct ahead_task *task;

	if (!node_ref(walk->fs->nodes, dir))
		return NULL;
	task = g_new0(struct ahead_task, 1);
	task->kind = kind;
	task->dir = dir;
	task->link.data = task;
	return task;
}

struct ahead_task *ahead_task_new_for_child(struct walk *walk, uint64_t dir,
                                            const struct listing_entry *child)
{
	struct node_table *nodes = walk->fs->nodes;
	uint64_t id = node_enter(nodes, dir, child->name, child->id);
	struct ahead_task *task;

	if (!id)
		return NULL;
	task = ahead_task_new(walk, AHEAD_LIST, id);
	node_forget(nodes, id, 1);
	return task;
}

uint64_t *ahead_new_id(uint64_t dir)
{
	uint64_t *id = g_new(uint64_t, 1);

	*id = dir;
	return id;
}

/* The next one that nobody is doing. At most as many as there are threads are passed over. */
static struct ahead_task *peek_locked(struct walk *walk)
{
	for (GList *link = walk->tasks.head; link; link = link->next) {
		struct ahead_task *task = link->data;

		if (!task->running)
			return task;
	}
	return NULL;
}

static void drop_task_locked(struct walk *walk, struct ahead_task *task)
{
	g_queue_unlink(&walk->tasks, &task->link);
	ahead_task_free(walk, task);
}

void ahead_clear_locked(struct walk *walk)
{
	struct ahead_task *task;

	while ((task = peek_locked(walk)) != NULL)
		drop_task_locked(walk, task);
}

static void note_unread_locked(struct walk *walk, uint64_t dir)
{
	struct ahead_unread *unread = g_new(struct ahead_unread, 1);

	unread->dir = dir;
	unread->when = clock_now_ns();
	g_hash_table_add(walk->ahead, unread);
}

static gboolean is_old(void *key, void *value, void *now)
{
	const struct ahead_unread *unread = key;

	return *(const uint64_t *)now > unread->when + WALK_PAUSE_NS;
}

/* What nobody has read for so long nobody will: it has not been worth it, and is in the way. */
static bool has_budget_locked(struct walk *walk)
{
	uint64_t now = clock_now_ns();

	if (g_hash_table_size(walk->ahead) < walk->budget)
		return true;
	if (g_hash_table_foreach_remove(walk->ahead, is_old, &now) > walk->budget / 2)
		walk->budget = MAX(walk->budget / 2, WALK_BUDGET_MIN);
	return g_hash_table_size(walk->ahead) < walk->budget;
}

static void begin_locked(struct walk *walk, struct ahead_task *task)
{
	task->running = true;
	walk->running++;
	if (task->kind != AHEAD_LIST)
		return;
	note_unread_locked(walk, task->dir);
	g_hash_table_replace(walk->listing, &task->dir, task);
	walk->stats.listed++;
}

static void end_locked(struct walk *walk, struct ahead_task *task)
{
	walk->running--;
	if (g_hash_table_lookup(walk->listing, &task->dir) == task)
		g_hash_table_remove(walk->listing, &task->dir);
	drop_task_locked(walk, task);
}

/* ---- doing them ------------------------------------------------------------------------------- */

/* Names are asked for in it one by one: what is known cannot tell any more that they are missing. */
static struct stream *get_fresh_stream(struct fs *fs, uint64_t dir)
{
	struct stream *stream = stream_get(fs, dir);

	if (clock_now_ns() - stream_ticket(stream).asked_ns <= FRESH_NS)
		return stream;
	stream_unref(stream);
	return stream_new(fs, dir);
}

static void list_folder(struct walk *walk, uint64_t dir, bool demanded)
{
	struct stream *stream =
		demanded ? get_fresh_stream(walk->fs, dir) : stream_get(walk->fs, dir);

	stream_complete(stream, MIN(NAMES_MAX, cache_max_listing(walk->fs->cache)));
	walk_takes_news(walk, stream);
	stream_unref(stream);
}

struct targets {
	struct fs *fs;
	uint64_t dir;
	struct cache_ticket ticket;
	GPtrArray *names, *paths;
};

static void collect_links(struct targets *targets, struct listing *listing)
{
	struct listing_entry entry;
	char *path;

	for (size_t i = 0; i < listing_count(listing) && targets->names->len < TARGETS_MAX; i++) {
		g_autofree char *known = NULL;

		listing_get(listing, i, &entry);
		if (entry.state != LISTING_PRESENT || !entry.has_attr || !S_ISLNK(entry.attr.mode))
			continue;
		known = cache_get_link(targets->fs->cache, targets->dir, entry.name);
		path = known ? NULL : node_child_path(targets->fs->nodes, targets->dir, entry.name);
		if (!path)
			continue;
		g_ptr_array_add(targets->names, g_strdup(entry.name));
		g_ptr_array_add(targets->paths, path);
	}
}

static void put_target(size_t index, int error, const char *target, void *data)
{
	const struct targets *targets = data;

	if (!error)
		cache_put_link(targets->fs->cache, targets->ticket, targets->dir,
		               g_ptr_array_index(targets->names, index), target);
}

static void read_targets(struct walk *walk, uint64_t dir)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
	struct targets targets = {.fs = walk->fs, .dir = dir, .names = names, .paths = paths};
	struct cache_ticket ticket;
	struct listing *listing = cache_get_listing(walk->fs->cache, dir, &ticket);

	if (!listing)
		return;
	targets.ticket = cache_take_ticket(walk->fs->cache);
	collect_links(&targets, listing);
	listing_unref(listing);
	if (names->len == 0)
		return;
	sftp_readlinks(walk->fs->client, (char **)paths->pdata, paths->len, put_target, &targets);
	LOCK_SCOPE(&walk->lock);
	walk->stats.targets += names->len;
	walk->credit -= MIN(walk->credit, names->len);
}

static void do_task(struct walk *walk, const struct ahead_task *task)
{
	if (task->kind == AHEAD_LIST)
		list_folder(walk, task->dir, task->demanded);
	else
		read_targets(walk, task->dir);
}

/* ---- threads ---------------------------------------------------------------------------------- */

/* The next task if there is one that may be done now. */
static struct ahead_task *next_task_locked(struct walk *walk)
{
	struct ahead_task *first = peek_locked(walk);

	if (first && walk_is_paused_locked(walk))
		walk_give_up_locked(walk);
	else if (first && (first->kind != AHEAD_LIST || first->demanded || has_budget_locked(walk)))
		return first;
	return NULL;
}

static void await_task_locked(struct walk *walk)
{
	walk->idle++;
	if (walk->tasks.length > walk->running)
		lock_cond_wait_for(&walk->changed, &walk->lock, WALK_PAUSE_NS);
	else
		pthread_cond_wait(&walk->changed, &walk->lock);
	walk->idle--;
}

static void *thread_main(void *data)
{
	struct walk *walk = data;

	pthread_mutex_lock(&walk->lock);
	while (!walk->stopping) {
		struct ahead_task *task = next_task_locked(walk);

		if (!task) {
			await_task_locked(walk);
			continue;
		}
		begin_locked(walk, task);
		pthread_mutex_unlock(&walk->lock);
		do_task(walk, task);
		pthread_mutex_lock(&walk->lock);
		end_locked(walk, task);
	}
	pthread_mutex_unlock(&walk->lock);
	return NULL;
}

void ahead_wake_locked(struct walk *walk)
{
	pthread_cond_broadcast(&walk->changed);
	for (unsigned int i = walk->idle; i < walk->tasks.length - walk->running; i++) {
		if (walk->started == walk->breadth || walk->stopping ||
		    thread_start(&walk->threads[walk->started], thread_main, walk) != 0)
			return;
		walk->started++;
	}
}

void ahead_insert_locked(struct walk *walk, GList *place, struct ahead_task *task)
{
	if (place)
		g_queue_insert_after_link(&walk->tasks, place, &task->link);
	else
		g_queue_push_head_link(&walk->tasks, &task->link);
}

void ahead_join(struct walk *walk)
{
	for (unsigned int i = 0; i < walk->started; i++)
		pthread_join(walk->threads[i], NULL);
}
