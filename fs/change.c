// SPDX-License-Identifier: GPL-2.0-or-later
/* What the cache and the stage are told while the contents of a node change. See request.h. */
#include "request.h"
#include "stage.h"

struct change {
	struct fs *fs;
	uint64_t node;
	uint64_t offset, size; /* of the range, bytes */
	uint64_t dir;
	char *name; /* NULL: the node had no name at the begin; no attributes are kept of such */
};

struct change *change_begin(struct fs *fs, uint64_t node, off_t offset, size_t size)
{
	struct change *change = g_new0(struct change, 1);

	change->fs = fs;
	change->node = node;
	change->offset = (uint64_t)offset;
	change->size = size;
	stage_begin_change(fs->stage, node, change->offset, change->size);
	if (place_of_node(fs, node, &change->dir, &change->name))
		cache_on_change(fs->cache, CACHE_BEGINS, change->dir, change->name);
	return change;
}

void change_end(void *data)
{
	struct change *change = data;

	if (change->name)
		cache_on_change(change->fs->cache, CACHE_ENDED, change->dir, change->name);
	stage_end_change(change->fs->stage, change->node, change->offset, change->size);
	g_free(change->name);
	g_free(change);
}
