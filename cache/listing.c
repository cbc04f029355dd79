// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See listing.h. Three arrays that grow by doubling: the entries, their names (one arena, NUL-terminated)
 * and an open-addressing hash index of entry numbers, kept at most two thirds full.
 *
 * 56 bytes an entry, its name, and 6 to 12 bytes of index: 75 to 80 for names of 12 letters, and 90 to 130
 * measured on the heap, where arrays keep room to grow (test_listing prints it).
 */
#include "listing.h"

#include <glib.h>
#include <string.h>

#define SLOT_FREE UINT32_MAX

struct slim_entry {
	uint64_t id;
	struct cache_attr attr;
	uint32_t name; /* offset in the arena */
	bool has_attr;
};

struct listing {
	gint refs;         /* atomic */
	GArray *entries;   /* of struct slim_entry; written only before the listing is shared */
	GByteArray *names; /* the same */
	uint32_t *index;   /* the same; entry numbers, SLOT_FREE where there is none */
	size_t index_size; /* a power of two */
};

static const struct slim_entry *entry_at(const struct listing *listing, size_t i)
{
	return &g_array_index(listing->entries, struct slim_entry, i);
}

static const char *name_at(const struct listing *listing, size_t i)
{
	return (const char *)listing->names->data + entry_at(listing, i)->name;
}

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
	size_t slot = g_str_hash(name) * 2654435761u;

	for (;; slot++) {
		uint32_t *place = &listing->index[slot & mask];

		if (*place == SLOT_FREE || !strcmp(name_at(listing, *place), name))
			return place;
	}
}

static void grow_index(struct listing *listing)
{
	if (3 * (size_t)(listing->entries->len + 1) <= 2 * listing->index_size)
		return;
	make_index(listing, 2 * listing->index_size);
	for (uint32_t i = 0; i < listing->entries->len; i++)
		*find_slot(listing, name_at(listing, i)) = i;
}

struct listing *listing_new(void)
{
	struct listing *listing = g_new0(struct listing, 1);

	listing->refs = 1;
	listing->entries = g_array_new(FALSE, FALSE, sizeof(struct slim_entry));
	listing->names = g_byte_array_new();
	make_index(listing, 8);
	return listing;
}

/* A name that is there already is dropped: no folder holds two of a name, only a broken server. */
void listing_append(struct listing *listing, const struct listing_entry *entry)
{
	struct slim_entry slim = {
		.id = entry->id,
		.attr = entry->attr,
		.name = listing->names->len,
		.has_attr = entry->has_attr,
	};
	uint32_t *slot;

	grow_index(listing);
	slot = find_slot(listing, entry->name);
	if (*slot != SLOT_FREE)
		return;
	*slot = listing->entries->len;
	g_byte_array_append(listing->names, (const guint8 *)entry->name,
	                    (guint)strlen(entry->name) + 1);
	g_array_append_val(listing->entries, slim);
}

struct listing *listing_ref(struct listing *listing)
{
	g_atomic_int_inc(&listing->refs);
	return listing;
}

void listing_unref(struct listing *listing)
{
	if (!listing || !g_atomic_int_dec_and_test(&listing->refs))
		return;
	g_array_unref(listing->entries);
	g_byte_array_unref(listing->names);
	g_free(listing->index);
	g_free(listing);
}

size_t listing_count(const struct listing *listing)
{
	return listing->entries->len;
}

void listing_get(const struct listing *listing, size_t index, struct listing_entry *ret_entry)
{
	const struct slim_entry *slim = entry_at(listing, index);

	g_assert(index < listing->entries->len);
	*ret_entry = (struct listing_entry){
		.name = name_at(listing, index),
		.id = slim->id,
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
	return sizeof(*listing) + listing->entries->len * sizeof(struct slim_entry) +
	       listing->names->len + listing->index_size * sizeof(*listing->index);
}
