/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A folder's contents as one snapshot: names in the server's order, each with its attributes.
 *
 * Built by one thread (listing_new, listing_append), then frozen and shared: reference counted, read by
 * any thread. An entry's index is its place in the snapshot for good, which is what telldir(3) and
 * seekdir(3) need.
 */
#ifndef CACHE_LISTING_H
#define CACHE_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"

struct listing;

struct listing_entry {
	const char *name; /* belongs to the listing */
	uint64_t id;      /* node id that this name has or will have; 0: none given */
	bool has_attr;
	struct cache_attr attr;
};

struct listing *listing_new(void);
/* Copies the entry. Only before the listing is shared. */
void listing_append(struct listing *listing, const struct listing_entry *entry);

struct listing *listing_ref(struct listing *listing);
void listing_unref(struct listing *listing); /* accepts NULL */

size_t listing_count(const struct listing *listing);
/* Copies entry `index` (< count) to *ret_entry; its name lives as long as the listing. */
void listing_get(const struct listing *listing, size_t index, struct listing_entry *ret_entry);
/* The index of a name in *ret_index; false when it is not there. Any thread; O(1). */
bool listing_find(const struct listing *listing, const char *name, size_t *ret_index);
/* Bytes of memory it holds. */
size_t listing_bytes(const struct listing *listing);

#endif
