// SPDX-License-Identifier: GPL-2.0-or-later
/* See order.h. */
#include "order.h"

#include <glib.h>
#include <string.h>
#include <sys/stat.h>

#define NOWHERE UINT32_MAX

struct order {
	struct listing *listing; /* a reference */
	uint32_t *files;         /* by place: index in the listing */
	uint32_t *places;        /* by index in the listing: place, or NOWHERE */
	size_t count;
};

/* For sorting: what a file is compared by. */
struct key {
	uint32_t index;
	uint64_t ino;
	const char *name;
};

static bool is_small_file(const struct listing_entry *entry, size_t max_size)
{
	return entry->state == LISTING_PRESENT && entry->has_attr && entry->id &&
	       S_ISREG(entry->attr.mode) && entry->attr.size <= max_size;
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
	return strcmp(((const struct key *)a)->name, ((const struct key *)b)->name);
}

static gint compare_inos(gconstpointer a, gconstpointer b)
{
	uint64_t x = ((const struct key *)a)->ino, y = ((const struct key *)b)->ino;

	return x < y ? -1 : x > y;
}

static GArray *collect(struct listing *listing, size_t max_size,
                       uint64_t (*ino)(const struct listing_entry *entry, const void *data),
                       const void *data)
{
	GArray *keys = g_array_new(FALSE, FALSE, sizeof(struct key));
	struct listing_entry entry;

	for (size_t i = 0; i < listing_count(listing); i++) {
		struct key key = {.index = (uint32_t)i};

		listing_get(listing, i, &entry);
		if (!is_small_file(&entry, max_size))
			continue;
		key.name = entry.name;
		key.ino = ino ? ino(&entry, data) : 0;
		g_array_append_val(keys, key);
	}
	return keys;
}

struct order *order_new(struct listing *listing, enum order_kind kind, size_t max_size,
                        uint64_t (*ino)(const struct listing_entry *entry, const void *data),
                        const void *data)
{
	g_autoptr(GArray) keys =
		collect(listing, max_size, kind == ORDER_BY_INODE ? ino : NULL, data);
	struct order *order;

	if (keys->len == 0)
		return NULL;
	if (kind != ORDER_LISTED)
		g_array_sort(keys, kind == ORDER_BY_NAME ? compare_names : compare_inos);
	order = g_new0(struct order, 1);
	order->listing = listing_ref(listing);
	order->count = keys->len;
	order->files = g_new(uint32_t, keys->len);
	order->places = g_new(uint32_t, listing_count(listing));
	memset(order->places, 0xff, listing_count(listing) * sizeof(*order->places));
	for (size_t place = 0; place < order->count; place++) {
		order->files[place] = g_array_index(keys, struct key, place).index;
		order->places[order->files[place]] = (uint32_t)place;
	}
	return order;
}

void order_free(struct order *order)
{
	if (!order)
		return;
	listing_unref(order->listing);
	g_free(order->files);
	g_free(order->places);
	g_free(order);
}

size_t order_count(const struct order *order)
{
	return order->count;
}

void order_get(const struct order *order, size_t place, struct listing_entry *ret_entry)
{
	listing_get(order->listing, order->files[place], ret_entry);
}

bool order_find(const struct order *order, const char *name, size_t *ret_place)
{
	size_t index;

	if (!listing_find(order->listing, name, &index) || order->places[index] == NOWHERE)
		return false;
	*ret_place = order->places[index];
	return true;
}
