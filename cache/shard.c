// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See shard.h. "Least recently used" is meant over all shards: each use is numbered, and each shelf tells
 * the number of its oldest thing, so that the one to go is found without asking for 16 locks.
 */
#include "shard.h"

#include <string.h>

#include "hash.h"

/* ---- shelves ---------------------------------------------------------------------------------- */

static void shelf_init(struct shelf *shelf, GHashFunc hash, GEqualFunc equal)
{
	shelf->set = g_hash_table_new(hash, equal);
	g_queue_init(&shelf->by_use);
	shelf->oldest = UINT64_MAX;
}

/* ---- entries ---------------------------------------------------------------------------------- */

static guint entry_hash(const void *key)
{
	const struct entry *entry = key;

	return (guint)hash_string(entry->dir, entry->name);
}

static gboolean entry_equal(const void *a, const void *b)
{
	const struct entry *one = a, *other = b;

	return one->dir == other->dir && !strcmp(one->name, other->name);
}

/* The table's own share of an entry is three words at about half load. */
static size_t entry_bytes(const struct entry *entry)
{
	return sizeof(*entry) + strlen(entry->name) + 1 + 6 * sizeof(void *) +
	       (entry->target ? strlen(entry->target) + 1 : 0);
}

static void tell_oldest_entry(struct shard *shard)
{
	const GList *last = shard->entries.by_use.tail;

	shard->entries.oldest = last ? ((struct entry *)last->data)->used : UINT64_MAX;
}

/* The lookup key is an entry on the stack. */
struct entry *shard_find_entry_locked(struct shard *shard, uint64_t dir, const char *name)
{
	size_t size = strlen(name) + 1;
	struct entry *key = g_alloca(sizeof(*key) + size);

	key->dir = dir;
	memcpy(key->name, name, size);
	return g_hash_table_lookup(shard->entries.set, key);
}

struct entry *shard_add_entry_locked(struct shard *shard, uint64_t dir, const char *name)
{
	size_t size = strlen(name) + 1;
	struct entry *entry = g_malloc0(sizeof(*entry) + size);

	entry->dir = dir;
	memcpy(entry->name, name, size);
	entry->in_use.data = entry;
	entry->used = ++shard->totals->uses;
	g_hash_table_add(shard->entries.set, entry);
	g_queue_push_head_link(&shard->entries.by_use, &entry->in_use);
	tell_oldest_entry(shard);
	shard->totals->bytes += entry_bytes(entry);
	shard->totals->entries++;
	return entry;
}

void shard_drop_entry_locked(struct shard *shard, struct entry *entry)
{
	if (!entry)
		return;
	g_hash_table_remove(shard->entries.set, entry);
	g_queue_unlink(&shard->entries.by_use, &entry->in_use);
	tell_oldest_entry(shard);
	shard->totals->bytes -= entry_bytes(entry);
	shard->totals->entries--;
	g_free(entry->target);
	g_free(entry);
}

void shard_use_entry_locked(struct shard *shard, struct entry *entry)
{
	g_queue_unlink(&shard->entries.by_use, &entry->in_use);
	g_queue_push_head_link(&shard->entries.by_use, &entry->in_use);
	entry->used = ++shard->totals->uses;
	tell_oldest_entry(shard);
}

void shard_set_target_locked(struct shard *shard, struct entry *entry, const char *target)
{
	shard->totals->bytes -= entry_bytes(entry);
	g_free(entry->target);
	entry->target = g_strdup(target);
	shard->totals->bytes += entry_bytes(entry);
}

/* ---- folders ---------------------------------------------------------------------------------- */

static void tell_oldest_folder(struct shard *shard)
{
	const GList *last = shard->folders.by_use.tail;

	shard->folders.oldest = last ? ((struct folder *)last->data)->used : UINT64_MAX;
}

/* Counts what the listing holds now instead of what was counted last. */
static void count_folder(struct shard *shard, struct folder *folder, bool is_there)
{
	shard->totals->bytes -= folder->bytes;
	shard->totals->places -= folder->places;
	folder->bytes = is_there ? sizeof(*folder) + listing_bytes(folder->listing) : 0;
	folder->places = is_there ? listing_count(folder->listing) + 1 : 0;
	shard->totals->bytes += folder->bytes;
	shard->totals->places += folder->places;
}

struct folder *shard_find_folder_locked(struct shard *shard, uint64_t id)
{
	return g_hash_table_lookup(shard->folders.set, &id);
}

struct listing_entry shard_find_listed(const struct folder *folder, const char *name)
{
	struct listing_entry listed = {.state = LISTING_REMOVED};
	size_t index;

	if (listing_find(folder->listing, name, &index))
		listing_get(folder->listing, index, &listed);
	return listed;
}

struct folder *shard_add_folder_locked(struct shard *shard, uint64_t id, struct listing *listing)
{
	struct folder *folder = g_new0(struct folder, 1);

	folder->id = id;
	folder->listing = listing_ref(listing);
	folder->in_use.data = folder;
	folder->used = ++shard->totals->uses;
	g_hash_table_add(shard->folders.set, folder);
	g_queue_push_head_link(&shard->folders.by_use, &folder->in_use);
	tell_oldest_folder(shard);
	shard->totals->folders++;
	count_folder(shard, folder, true);
	return folder;
}

void shard_drop_folder_locked(struct shard *shard, struct folder *folder)
{
	if (!folder)
		return;
	g_hash_table_remove(shard->folders.set, folder);
	g_queue_unlink(&shard->folders.by_use, &folder->in_use);
	tell_oldest_folder(shard);
	shard->totals->folders--;
	count_folder(shard, folder, false);
	listing_unref(folder->listing);
	g_free(folder);
}

void shard_use_folder_locked(struct shard *shard, struct folder *folder)
{
	g_queue_unlink(&shard->folders.by_use, &folder->in_use);
	g_queue_push_head_link(&shard->folders.by_use, &folder->in_use);
	folder->used = ++shard->totals->uses;
	tell_oldest_folder(shard);
}

/* Whoever reads a snapshot keeps it as it was. */
void shard_set_listed_locked(struct shard *shard, struct folder *folder, const char *name,
                             enum listing_state state, uint64_t id)
{
	folder->listing = listing_unshare(folder->listing);
	listing_set(folder->listing, name, state, id);
	count_folder(shard, folder, true);
}

void shard_drop_listed_attr_locked(struct shard *shard, struct folder *folder, const char *name)
{
	size_t index;

	folder->listing = listing_unshare(folder->listing);
	if (listing_find(folder->listing, name, &index))
		listing_drop_attr(folder->listing, index);
	count_folder(shard, folder, true);
}

/* ---- the whole -------------------------------------------------------------------------------- */

void shard_init(struct shard *shard, struct shard_totals *totals)
{
	pthread_mutex_init(&shard->lock, NULL);
	shard->totals = totals;
	shelf_init(&shard->entries, entry_hash, entry_equal);
	/* A folder starts with its id. */
	shelf_init(&shard->folders, g_int64_hash, g_int64_equal);
}

void shard_done(struct shard *shard)
{
	shard_clear_locked(shard);
	g_hash_table_unref(shard->entries.set);
	g_hash_table_unref(shard->folders.set);
	pthread_mutex_destroy(&shard->lock);
}

void shard_drop_oldest_entry_locked(struct shard *shard)
{
	shard_drop_entry_locked(shard, g_queue_peek_tail(&shard->entries.by_use));
}

void shard_drop_oldest_folder_locked(struct shard *shard)
{
	shard_drop_folder_locked(shard, g_queue_peek_tail(&shard->folders.by_use));
}

static bool is_expired(const struct entry *entry, uint64_t now)
{
	return entry->name_end <= now && entry->attr_end <= now && entry->target_end <= now;
}

void shard_sweep_locked(struct shard *shard, uint64_t now)
{
	GList *next;

	for (GList *link = shard->entries.by_use.head; link; link = next) {
		next = link->next;
		if (is_expired(link->data, now))
			shard_drop_entry_locked(shard, link->data);
	}
	for (GList *link = shard->folders.by_use.head; link; link = next) {
		struct folder *folder = link->data;

		next = link->next;
		if (folder->names_end <= now)
			shard_drop_folder_locked(shard, folder);
	}
}

void shard_clear_locked(struct shard *shard)
{
	while (shard->entries.by_use.head)
		shard_drop_entry_locked(shard, shard->entries.by_use.head->data);
	while (shard->folders.by_use.head)
		shard_drop_folder_locked(shard, shard->folders.by_use.head->data);
}
