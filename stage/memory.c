// SPDX-License-Identifier: GPL-2.0-or-later
/* See memory.h. */
#include "memory.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/mman.h>

/* A quarter of a block and less is malloc's business; in between, a whole block is not worth it either. */
static bool is_block(size_t size)
{
	return size > MEMORY_BLOCK / 2 && size <= MEMORY_BLOCK;
}

void *memory_take(struct memory *memory, size_t size)
{
	void *block;

	if (!is_block(size))
		return g_malloc(size);
	if (memory->spare_count > 0)
		return memory->spare[--memory->spare_count];
	block = mmap(NULL, MEMORY_BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	             0);
	if (block == MAP_FAILED)
		g_error("out of memory");
	return block;
}

void memory_give(struct memory *memory, void *block, size_t size)
{
	if (!is_block(size))
		g_free(block);
	else if (memory->spare_count < MEMORY_SPARE)
		memory->spare[memory->spare_count++] = block;
	else
		munmap(block, MEMORY_BLOCK);
}

void memory_trim(struct memory *memory)
{
	while (memory->spare_count > 0)
		munmap(memory->spare[--memory->spare_count], MEMORY_BLOCK);
}
