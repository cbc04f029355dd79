// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See listing.h. Three arrays that grow by doubling: the entries, their names (one arena, NUL-terminated)
 * and an open-addressing hash index of entry numbers, kept at most two thirds full.
 *
 * 56 bytes an entry, its name, and 6 to 12 bytes of index: 75 to 80 for names of 12 letters, on the heap as
 * well once it is trimmed (test_listing prints it).
 */
#include "listing.h"

#include <glib.h>
#include <stdatomic.h>
#include <string.h>

#include "hash.h"

#define SLOT_FREE UINT32_MAX

struct slim_entry {
	uint64_t id;
	struct cache_attr attr;
	uint32_t name; /* offset in the arena */
	bool has_attr;
	uint8_t state; /* enum listing_state */
};

/* All but refs is written only while one thread alone holds the listing. */
struct listing {
	atomic_int refs;
	uint64_t serial; /* also of its copies */
	struct slim_entry *entries;
	size_t count, room; /* of entries */
	char *names;
	size_t names_size,
		names_room; /* bytes; offsets have 32 bits, and count limits them far below */
	uint32_t *index;    /* entry numbers, SLOT_FREE where there is none */
	size_t index_size;  /* a power of two */
	size_t doubts, removed;
};

static const char *name_at(const struct listing *listing, size_t i)
{
	return listing->names + listing->entries[i].name;
}

/* ---- the index -------------------------------------------------------------------------------- */

static void make_index(struct listing *listing, size_t size)
{
	g_free(listing->index);
	listing->index = g_new(uint32_t, size);
	memset(listing->index, 0xff, size * sizeof(*listing->index));
	listing->index_size = size;
}

/* Where `name` is in the index, or the free slot where it would go. */
static uint32_t *find_slot(const struct listing *listing, const char *name)
{
	size_t mask = listing->index_size - 1;
	size_t slot = hash_string(0, name);

	for (;; slot++) {
		uint32_t *place = &listing->index[slot & mask];

		if (*place == SLOT_FREE || !strcmp(name_at(listing, *place), name))
			return place;
	}
}

static void grow_index(struct listing *listing)
{
	if (3 * (listing->count + 1) <= 2 * listing->index_size)
		return;
	make_index(listing, 2 * listing->index_size);
	for (size_t i = 0; i < listing->count; i++)
		*find_slot(listing, name_at(listing, i)) = (uint32_t)i;
}

/* ---- building --------------------------------------------------------------------------------- */

struct listing *listing_new(void)
{
	static _Atomic uint64_t serials;
	struct listing *listing = g_new0(struct listing, 1);

	listing->refs = 1;
	listing->serial = ++serials;
	make_index(listing, 8);
	return listing;
}

static uint32_t append_name(struct listing *listing, const char *name)
{
	size_t size = strlen(name) + 1, offset = listing->names_size;

	if (listing->names_room - offset < size) {
		listing->names_room = MAX(2 * listing->names_room, offset + size);
		listing->names = g_realloc(listing->names, listing->names_room);
	}
	memcpy(listing->names + offset, name, size);
	listing->names_size += size;
	return (uint32_t)offset;
}

static void append_slim(struct listing *listing, const struct slim_entry *slim)
{
	if (listing->count == listing->room) {
		listing->room = MAX(2 * listing->room, 4);
		listing->entries = g_renew(struct slim_entry, listing->entries, listing->room);
	}
	listing->entries[listing->count++] = *slim;
}

bool listing_append(struct listing *listing, const struct listing_entry *entry)
{
	struct slim_entry slim = {
		.id = entry->id,
		.attr = entry->attr,
		.has_attr = entry->has_attr,
		.state = LISTING_PRESENT,
	};
	uint32_t *slot;

	grow_index(listing);
	slot = find_slot(listing, entry->name);
	if (*slot != SLOT_FREE)
		return false;
	*slot = (uint32_t)listing->count;
	slim.name = append_name(listing, entry->name);
	append_slim(listing, &slim);
	return true;
}

static void count_state(struct listing *listing, uint8_t state, size_t by)
{
	if (state == LISTING_DOUBTED)
		listing->doubts += by;
	else if (state == LISTING_REMOVED)
		listing->removed += by;
}

void listing_set(struct listing *listing, const char *name, enum listing_state state, uint64_t id)
{
	struct slim_entry *slim;
	uint32_t *slot = find_slot(listing, name);

	if (*slot == SLOT_FREE) {
		listing_append(listing, &(struct listing_entry){.name = name});
		slot = find_slot(listing, name);
	}
	slim = &listing->entries[*slot];
	if (slim->state != LISTING_PRESENT || state != LISTING_PRESENT)
		slim->has_attr = false;
	count_state(listing, slim->state, (size_t)-1);
	count_state(listing, state, 1);
	slim->state = (uint8_t)state;
	if (id)
		slim->id = id;
}

void listing_drop_attr(struct listing *listing, size_t index)
{
	g_assert(index < listing->count);
	listing->entries[index].has_attr = false;
}

void listing_trim(struct listing *listing)
{
	listing->room = listing->count;
	listing->entries = g_renew(struct slim_entry, listing->entries, listing->room);
	listing->names_room = listing->names_size;
	listing->names = g_realloc(listing->names, listing->names_room);
}

/* ---- sharing ---------------------------------------------------------------------------------- */

struct listing *listing_ref(struct listing *listing)
{
	atomic_fetch_add(&listing->refs, 1);
	return listing;
}

void listing_unref(struct listing *listing)
{
	if (!listing || atomic_fetch_sub(&listing->refs, 1) != 1)
		return;
	g_free(listing->entries);
	g_free(listing->names);
	g_free(listing->index);
	g_free(listing);
}

/* Without the places of removed names. */
static struct listing *copy(const struct listing *listing)
{
	struct listing *fresh = listing_new();
	struct listing_entry entry;

	fresh->serial = listing->serial;
	for (size_t i = 0; i < listing->count; i++) {
		listing_get(listing, i, &entry);
		if (entry.state == LISTING_REMOVED)
			continue;
		listing_append(fresh, &entry);
		if (entry.state == LISTING_DOUBTED)
			listing_set(fresh, entry.name, LISTING_DOUBTED, entry.id);
	}
	return fresh;
}

/* Where half of the places are those of removed names it is time to tidy up, too. */
struct listing *listing_unshare(struct listing *listing)
{
	struct listing *fresh;

	if (listing->refs == 1 && listing->removed <= 16 + listing->count / 2)
		return listing;
	fresh = copy(listing);
	listing_unref(listing);
	return fresh;
}

/* ---- reading ---------------------------------------------------------------------------------- */

size_t listing_count(const struct listing *listing)
{
	return listing->count;
}

size_t listing_doubts(const struct listing *listing)
{
	return listing->doubts;
}

uint64_t listing_serial(const struct listing *listing)
{
	return listing->serial;
}

void listing_get(const struct listing *listing, size_t index, struct listing_entry *ret_entry)
{
	const struct slim_entry *slim;

	g_assert(index < listing->count);
	slim = &listing->entries[index];
	*ret_entry = (struct listing_entry){
		.name = name_at(listing, index),
		.id = slim->id,
		.state = (enum listing_state)slim->state,
		.has_attr = slim->has_attr,
		.attr = slim->attr,
	};
}

bool listing_find(const struct listing *listing, const char *name, size_t *ret_index)
{
	uint32_t *slot = find_slot(listing, name);

	if (*slot == SLOT_FREE)
		return false;
	*ret_index = *slot;
	return true;
}

size_t listing_bytes(const struct listing *listing)
{
	return sizeof(*listing) + listing->room * sizeof(struct slim_entry) + listing->names_room +
	       listing->index_size * sizeof(*listing->index);
}
