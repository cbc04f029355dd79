/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A folder's contents as one snapshot: names in the server's order, each with its attributes.
 *
 * Built by one thread (listing_new, listing_append), then shared: reference counted, read by any thread,
 * and changed no more. Who wants to change it takes a copy, unless nobody else holds it
 * (listing_unshare()). An entry's index is its place in the snapshot for good, which is what telldir(3)
 * and seekdir(3) need: so a name that is removed leaves its place behind.
 */
#ifndef CACHE_LISTING_H
#define CACHE_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"

struct listing;

enum listing_state {
	LISTING_PRESENT,
	LISTING_REMOVED, /* it was there, and is not any more */
	LISTING_DOUBTED, /* it may be there or not: somebody is changing it */
};

struct listing_entry {
	const char *name; /* belongs to the listing */
	uint64_t id;      /* node id that this name has or will have; 0: none given */
	enum listing_state state;
	bool has_attr;
	struct cache_attr attr;
};

struct listing *listing_new(void);
/*
 * Copies the entry, which is present. False, and nothing is done, when the name is there already: no folder holds two of a
 * name, only a broken server. Only while nobody else holds the listing, as all that change it.
 */
bool listing_append(struct listing *listing, const struct listing_entry *entry);
/*
 * The name, new or not, is from now on in this state, with node id `id` (0: the one it had). It loses
 * its attributes, unless it is present and stays so.
 */
void listing_set(struct listing *listing, const char *name, enum listing_state state, uint64_t id);
/* Entry `index` (< count) loses its attributes. */
void listing_drop_attr(struct listing *listing, size_t index);
/* Gives back the room that was kept for more. */
void listing_trim(struct listing *listing);

struct listing *listing_ref(struct listing *listing);
void listing_unref(struct listing *listing); /* accepts NULL */
/*
 * Takes over a reference and gives one to a listing that nobody else holds: the same, or a copy, in
 * which removed names have lost their places. The caller sees to it that nobody takes a reference
 * meanwhile.
 */
struct listing *listing_unshare(struct listing *listing);

/* How many places there are, removed names' included. */
size_t listing_count(const struct listing *listing);
/* How many names are in doubt. */
size_t listing_doubts(const struct listing *listing);
/* The same for a listing and its copies, different for all others. */
uint64_t listing_serial(const struct listing *listing);
/* Copies entry `index` (< count) to *ret_entry; its name lives as long as the listing. */
void listing_get(const struct listing *listing, size_t index, struct listing_entry *ret_entry);
/* The place of a name, whatever its state, in *ret_index; false when it has none. Any thread; O(1). */
bool listing_find(const struct listing *listing, const char *name, size_t *ret_index);
/* Bytes of memory it holds. */
size_t listing_bytes(const struct listing *listing);

#endif
