/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory for file contents. Large blocks do not go through malloc(3), which keeps what was freed for its own
 * use, in holes: after a copy of many gigabytes the process shall be as small as before. A few are kept
 * spare, since a fresh one costs a page fault every 4 KiB.
 *
 * The owner's lock protects it.
 */
#ifndef STAGE_MEMORY_H
#define STAGE_MEMORY_H

#include <stddef.h>

/* Bytes of a large block: one READ of OpenSSH's, 255 KiB, and what is missing to whole pages. */
#define MEMORY_BLOCK ((size_t)256 * 1024)
#define MEMORY_SPARE 32

struct memory {
	void *spare[MEMORY_SPARE];
	unsigned int spare_count;
};

/* Never NULL. Of at least `size` bytes. */
void *memory_take(struct memory *memory, size_t size);
/* With the same size. */
void memory_give(struct memory *memory, void *block, size_t size);
/* Gives the spare blocks back to the system. */
void memory_trim(struct memory *memory);

#endif
