/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The small files of one folder, in the order in which somebody opens them: as the folder lists them (grep), by
 * name (a shell's "*"), or by inode number (tar, cp). No locks: its owner's protects it.
 */
#ifndef FS_ORDER_H
#define FS_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "listing.h"

struct order;

enum order_kind {
	ORDER_LISTED,
	ORDER_BY_NAME,
	ORDER_BY_INODE,
	ORDER_KINDS,
};

/* `ino(entry, data)`: the number that a program sees. Keeps a reference to the listing. NULL: none of its files is small. */
struct order *order_new(struct listing *listing, enum order_kind kind, size_t max_size,
                        uint64_t (*ino)(const struct listing_entry *entry, const void *data),
                        const void *data);
void order_free(struct order *order); /* accepts NULL */

/* How many files there are. */
size_t order_count(const struct order *order);
/* The file at `place`; its name is borrowed. */
void order_get(const struct order *order, size_t place, struct listing_entry *ret_entry);
/* Where the file of that name is; false: it is not among them. O(1). */
bool order_find(const struct order *order, const char *name, size_t *ret_place);

#endif
