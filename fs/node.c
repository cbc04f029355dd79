// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See node.h. Nodes point to their parents; a path is put together by walking up.
 *
 * Invariants, under the lock:
 * - every node is in `by_id`, its number in `inos`; exactly the nodes with a parent are in `by_name`;
 * - a node without a parent is the root or unlinked;
 * - `children` counts the nodes whose parent this is; a node dies when look-ups, children and
 *   references are all gone, which may take its parents with it;
 * - there are no cycles: a rename into the renamed folder itself, which only a broken server would
 *   allow, unlinks the node instead.
 */
#include "node.h"

#include <glib.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "lock.h"

#define ROOT_ID  UINT64_C(1)
#define ROOT_INO UINT64_C(1)

/* An st_ino in use, by one node or by hard links to one file. Protected by the table's lock. */
struct ino {
	uint64_t number; /* key of inos */
	unsigned int refs;
};

struct node {
	/* All protected by the table's lock. */
	uint64_t id; /* key of by_id */
	struct ino *ino;
	struct node *parent; /* NULL: the root, or unlinked */
	char *name;          /* with parent: key of by_name */
	uint64_t lookups;    /* what the kernel holds */
	unsigned int children, refs;
	uint32_t type;
	uint64_t
		listing; /* serial of what the kernel's pages of a folder are filled from; 0: none noted */
	uint64_t told_size; /* what the kernel was told last; told_mtime INT64_MIN: nothing */
	int64_t told_mtime;
	uint64_t contents_seen; /* when the two below were first seen; 0: nothing noted */
	bool contents_proven;
	uint64_t contents_size;
	int64_t contents_mtime;
	uint32_t opened_mode; /* when it was last opened for reading; 0: it was not */
};

struct node_table {
	pthread_mutex_t lock;
	GHashTable *by_id, *by_name, *inos; /* protected by lock */
	struct node *root;                  /* set once */
	char *base_path;      /* set once; without trailing slashes, unless it is "/" */
	char *root_path;      /* set once; the path of the root as the user typed it */
	uint64_t last_id;     /* protected by lock */
	uint64_t lookups;     /* protected by lock; sum over all nodes */
	int64_t latest_mtime; /* protected by lock */
};

/* ---- keys ------------------------------------------------------------------------------------- */

/* FNV-1a over the name, then a finalizer that spreads it over all bits. */
static uint64_t hash_name(uint64_t seed, const char *name)
{
	uint64_t hash = seed ^ UINT64_C(0xcbf29ce484222325);

	for (const char *c = name; *c; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	hash ^= hash >> 32;
	hash *= UINT64_C(0xd6e8feb86659fd93);
	hash ^= hash >> 32;
	return hash;
}

static guint by_name_hash(gconstpointer key)
{
	const struct node *node = key;

	return (guint)hash_name(node->parent->id, node->name);
}

static gboolean by_name_equal(gconstpointer a, gconstpointer b)
{
	const struct node *x = a, *y = b;

	return x->parent == y->parent && strcmp(x->name, y->name) == 0;
}

static struct node *find_id(struct node_table *table, uint64_t id)
{
	return g_hash_table_lookup(table->by_id, &id);
}

static struct node *find_child(struct node_table *table, struct node *parent, const char *name)
{
	struct node key = {.parent = parent, .name = (char *)name};

	return parent ? g_hash_table_lookup(table->by_name, &key) : NULL;
}

static struct node *find_name(struct node_table *table, uint64_t dir, const char *name)
{
	return find_child(table, find_id(table, dir), name);
}

/*
 * A hash of the parent's number and the name: the same at every mount, since the parent's is. Where
 * a living node has it already (an earlier owner of the name that was renamed), the next of the row.
 */
static uint64_t choose_ino(struct node_table *table, const struct node *parent, const char *name)
{
	uint64_t number = hash_name(parent->ino->number, name);

	while (number <= ROOT_INO || g_hash_table_contains(table->inos, &number))
		number = hash_name(number + 1, name);
	return number;
}

static struct ino *ino_new(struct node_table *table, uint64_t number)
{
	struct ino *ino = g_new0(struct ino, 1);

	ino->number = number;
	ino->refs = 1;
	g_hash_table_add(table->inos, &ino->number);
	return ino;
}

static void ino_unref(struct node_table *table, struct ino *ino)
{
	if (--ino->refs > 0)
		return;
	g_hash_table_remove(table->inos, &ino->number);
	g_free(ino);
}

/* ---- life ------------------------------------------------------------------------------------- */

static struct node *node_new(struct node_table *table, uint64_t id, struct ino *ino,
                             struct node *parent, const char *name)
{
	struct node *node = g_new0(struct node, 1);

	node->id = id;
	node->ino = ino;
	node->parent = parent;
	node->name = g_strdup(name);
	node->told_mtime = INT64_MIN;
	g_hash_table_insert(table->by_id, &node->id, node);
	if (parent) {
		parent->children++;
		g_hash_table_add(table->by_name, node);
	}
	return node;
}

static void node_free(struct node_table *table, struct node *node)
{
	ino_unref(table, node->ino);
	g_free(node->name);
	g_free(node);
}

/* Frees the node if nothing holds it any more, and then its parents likewise. */
static void drop_if_unused(struct node_table *table, struct node *node)
{
	while (node != table->root && !node->lookups && !node->children && !node->refs) {
		struct node *parent = node->parent;

		if (parent)
			g_hash_table_remove(table->by_name, node);
		g_hash_table_remove(table->by_id, &node->id);
		node_free(table, node);
		if (!parent)
			return;
		parent->children--;
		node = parent;
	}
}

static void unlink_node(struct node_table *table, struct node *node)
{
	struct node *parent = node->parent;

	g_hash_table_remove(table->by_name, node);
	node->parent = NULL;
	parent->children--;
	drop_if_unused(table, node);
	drop_if_unused(table, parent);
}

static char *without_trailing_slashes(const char *path)
{
	size_t size = strlen(path);

	while (size > 1 && path[size - 1] == '/')
		size--;
	return g_strndup(path, size);
}

struct node_table *node_table_new(const char *base_path)
{
	struct node_table *table = g_new0(struct node_table, 1);

	table->latest_mtime = INT64_MIN;
	pthread_mutex_init(&table->lock, NULL);
	table->by_id = g_hash_table_new(g_int64_hash, g_int64_equal);
	table->inos = g_hash_table_new(g_int64_hash, g_int64_equal);
	table->by_name = g_hash_table_new(by_name_hash, by_name_equal);
	table->base_path = without_trailing_slashes(base_path);
	table->root_path = g_strdup(*base_path ? base_path : ".");
	table->last_id = ROOT_ID;
	table->root = node_new(table, ROOT_ID, ino_new(table, ROOT_INO), NULL, "");
	table->root->type = S_IFDIR;
	return table;
}

void node_table_free(struct node_table *table)
{
	GHashTableIter iter;
	void *node;

	if (!table)
		return;
	g_hash_table_destroy(table->by_name);
	g_hash_table_iter_init(&iter, table->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &node)) {
		g_hash_table_iter_steal(&iter);
		node_free(table, node);
	}
	g_hash_table_destroy(table->by_id);
	g_hash_table_destroy(table->inos);
	pthread_mutex_destroy(&table->lock);
	g_free(table->base_path);
	g_free(table->root_path);
	g_free(table);
}

uint64_t node_reserve_id(struct node_table *table)
{
	LOCK_SCOPE(&table->lock);

	return ++table->last_id;
}

/* ---- paths ------------------------------------------------------------------------------------ */

static bool is_reachable(const struct node_table *table, const struct node *node)
{
	while (node->parent)
		node = node->parent;
	return node == table->root;
}

/* Puts `text` in front of `end`; returns the new beginning. */
static char *put_before(char *end, const char *text)
{
	size_t size = strlen(text);

	return memcpy(end - size, text, size);
}

/* "base/a/b/name", put together from its end. */
static char *build_path(const struct node_table *table, const struct node *dir, const char *name)
{
	const char *base = table->base_path;
	const char *slash = *base && strcmp(base, "/") != 0 ? "/" : "";
	size_t size = strlen(base) + strlen(slash) + strlen(name) + 1;
	char *path, *start;

	for (const struct node *node = dir; node->parent; node = node->parent)
		size += strlen(node->name) + 1;
	path = g_malloc(size);
	start = path + size - 1;
	*start = '\0';
	start = put_before(start, name);
	for (const struct node *node = dir; node->parent; node = node->parent)
		start = put_before(put_before(start, "/"), node->name);
	put_before(put_before(start, slash), base);
	return path;
}

char *node_path(struct node_table *table, uint64_t id)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);

	if (!node || !is_reachable(table, node))
		return NULL;
	if (node == table->root)
		return g_strdup(table->root_path);
	return build_path(table, node->parent, node->name);
}

char *node_child_path(struct node_table *table, uint64_t dir, const char *name)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, dir);

	if (!node || !is_reachable(table, node))
		return NULL;
	return build_path(table, node, name);
}

/* ---- what the kernel knows -------------------------------------------------------------------- */

uint64_t node_find(struct node_table *table, uint64_t parent, const char *name)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_name(table, parent, name);

	return node ? node->id : 0;
}

uint64_t node_enter(struct node_table *table, uint64_t parent, const char *name, uint64_t reserved)
{
	LOCK_SCOPE(&table->lock);
	struct node *dir = find_id(table, parent);
	struct node *node;

	if (!dir || !is_reachable(table, dir))
		return 0;
	node = find_child(table, dir, name);
	if (!node) {
		/* An id that went on with a renamed node is not for the next owner of the name. */
		if (!reserved || find_id(table, reserved))
			reserved = ++table->last_id;
		node = node_new(table, reserved, ino_new(table, choose_ino(table, dir, name)), dir,
		                name);
	}
	node->lookups++;
	table->lookups++;
	return node->id;
}

void node_forget(struct node_table *table, uint64_t id, uint64_t count)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);

	if (!node || node == table->root)
		return;
	count = MIN(count, node->lookups);
	node->lookups -= count;
	table->lookups -= count;
	drop_if_unused(table, node);
}

bool node_ref(struct node_table *table, uint64_t id)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);

	if (!node)
		return false;
	node->refs++;
	return true;
}

void node_unref(struct node_table *table, uint64_t id)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);

	g_return_if_fail(node && node->refs > 0);
	node->refs--;
	drop_if_unused(table, node);
}

bool node_name(struct node_table *table, uint64_t id, uint64_t *ret_parent, char **ret_name)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);

	if (!node || !node->parent)
		return false;
	*ret_parent = node->parent->id;
	*ret_name = g_strdup(node->name);
	return true;
}

uint64_t node_ino(struct node_table *table, uint64_t id)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);

	return node ? node->ino->number : 0;
}

uint64_t node_child_ino(struct node_table *table, uint64_t dir, const char *name)
{
	LOCK_SCOPE(&table->lock);
	struct node *parent = find_id(table, dir);
	struct node *node = find_child(table, parent, name);

	if (node)
		return node->ino->number;
	return parent ? choose_ino(table, parent, name) : 0;
}

void node_share_ino(struct node_table *table, uint64_t id, uint64_t other)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id), *from = find_id(table, other);

	if (!node || !from || node->ino == from->ino)
		return;
	ino_unref(table, node->ino);
	node->ino = from->ino;
	node->ino->refs++;
}

void node_set_type(struct node_table *table, uint64_t id, uint32_t type)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);

	if (node && !node->type)
		node->type = type & S_IFMT;
}

static bool has_contents(const struct node *node, uint64_t size, int64_t mtime)
{
	return node->contents_seen && node->contents_size == size && node->contents_mtime == mtime;
}

enum node_contents node_note_contents(struct node_table *table, uint64_t id, uint64_t size,
                                      int64_t mtime, bool settled, uint64_t now)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);

	if (!node)
		return NODE_CONTENTS_NEW;
	if (!has_contents(node, size, mtime)) {
		node->contents_seen = now;
		node->contents_size = size;
		node->contents_mtime = mtime;
		node->contents_proven = settled;
		return NODE_CONTENTS_NEW;
	}
	if (node->contents_proven)
		return NODE_CONTENTS_PROVEN;
	node->contents_proven = now > clock_add(node->contents_seen, NODE_RACY_NS);
	return NODE_CONTENTS_SAME;
}

void node_note_told(struct node_table *table, uint64_t id, uint64_t size, int64_t mtime)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);

	if (!node)
		return;
	node->told_size = size;
	node->told_mtime = mtime;
	table->latest_mtime = MAX(table->latest_mtime, mtime);
}

int64_t node_latest_mtime(struct node_table *table)
{
	LOCK_SCOPE(&table->lock);

	return table->latest_mtime;
}

bool node_was_told(struct node_table *table, uint64_t id, uint64_t size, int64_t mtime)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);

	return node && node->told_size == size && node->told_mtime == mtime;
}

bool node_note_listing(struct node_table *table, uint64_t id, uint64_t serial)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);
	bool same = node && node->listing == serial;

	if (node)
		node->listing = serial;
	return same;
}

bool node_can_be_read_again(struct node_table *table, uint64_t id, uint64_t size, int64_t mtime,
                            uint32_t mode)
{
	const struct node *node;
	LOCK_SCOPE(&table->lock);

	node = find_id(table, id);
	return node && has_contents(node, size, mtime) && node->contents_proven &&
	       node->opened_mode == mode;
}

void node_note_opened(struct node_table *table, uint64_t id, uint32_t mode)
{
	struct node *node;
	LOCK_SCOPE(&table->lock);

	node = find_id(table, id);
	if (node)
		node->opened_mode = mode;
}

void node_forget_contents(struct node_table *table, uint64_t id)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);

	if (node)
		node->contents_seen = 0;
}

uint32_t node_type(struct node_table *table, uint64_t id)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);

	return node ? node->type : 0;
}

/* ---- names change ----------------------------------------------------------------------------- */

void node_remove(struct node_table *table, uint64_t dir, const char *name)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_name(table, dir, name);

	if (node)
		unlink_node(table, node);
}

static bool is_below(const struct node *node, const struct node *ancestor)
{
	while (node && node != ancestor)
		node = node->parent;
	return node;
}

void node_move(struct node_table *table, uint64_t dir, const char *name, uint64_t new_dir,
               const char *new_name)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_name(table, dir, name);
	struct node *new_parent = find_id(table, new_dir);
	struct node *replaced = find_child(table, new_parent, new_name);
	struct node *old_parent;

	if (replaced && replaced == node)
		return;
	/* The new parent must outlive what was its last child. */
	if (new_parent)
		new_parent->refs++;
	if (replaced)
		unlink_node(table, replaced);
	if (node && (!new_parent || is_below(new_parent, node))) {
		unlink_node(table, node);
	} else if (node) {
		old_parent = node->parent;
		g_hash_table_remove(table->by_name, node);
		g_free(node->name);
		node->name = g_strdup(new_name);
		node->parent = new_parent;
		new_parent->children++;
		g_hash_table_add(table->by_name, node);
		old_parent->children--;
		drop_if_unused(table, old_parent);
	}
	if (new_parent) {
		new_parent->refs--;
		drop_if_unused(table, new_parent);
	}
}

bool node_is_unlinked(struct node_table *table, uint64_t id)
{
	LOCK_SCOPE(&table->lock);
	struct node *node = find_id(table, id);

	return node && !is_reachable(table, node);
}

/* ---- the table as a whole --------------------------------------------------------------------- */

GArray *node_table_ids(struct node_table *table)
{
	LOCK_SCOPE(&table->lock);
	GArray *ids =
		g_array_sized_new(FALSE, FALSE, sizeof(uint64_t), g_hash_table_size(table->by_id));
	GHashTableIter iter;
	void *id;

	g_hash_table_iter_init(&iter, table->by_id);
	while (g_hash_table_iter_next(&iter, &id, NULL))
		g_array_append_vals(ids, id, 1);
	return ids;
}

GArray *node_ids_below(struct node_table *table, uint64_t id)
{
	LOCK_SCOPE(&table->lock);
	GArray *ids = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	struct node *top = find_id(table, id);
	GHashTableIter iter;
	void *node;

	g_hash_table_iter_init(&iter, table->by_id);
	while (top && g_hash_table_iter_next(&iter, NULL, &node)) {
		if (is_below(node, top))
			g_array_append_val(ids, ((struct node *)node)->id);
	}
	return ids;
}

void node_table_counts(struct node_table *table, uint64_t *ret_nodes, uint64_t *ret_lookups)
{
	LOCK_SCOPE(&table->lock);

	*ret_nodes = g_hash_table_size(table->by_id);
	*ret_lookups = table->lookups;
}
