// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is held of one file. See stage_private.h.
 *
 * Extents do not overlap: only gaps between them are asked for. One that is dropped while it is on its way,
 * or while somebody looks at it, lives on for those, but nobody else finds it.
 *
 * The race that shaped it: a range is asked for, then it is written to from here, then the old bytes
 * arrive. A change therefore drops what is on its way when it begins, nothing is kept while it lasts,
 * and it drops again when it ends.
 */
#include <errno.h>

#include "lock.h"
#include "stage_private.h"

/* ---- life --------------------------------------------------------------------------------------- */

static gint compare_offsets(gconstpointer a, gconstpointer b, gpointer data)
{
	const struct extent *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

struct staged *staged_get_locked(struct stage *stage, uint64_t node)
{
	struct staged *file = g_hash_table_lookup(stage->files, &node);

	if (file)
		return staged_ref_locked(file);
	file = g_new0(struct staged, 1);
	file->stage = stage;
	file->node = node;
	file->refs = 1;
	file->identity.mtime = INT64_MIN;
	file->extents = g_tree_new_full(compare_offsets, NULL, NULL, NULL);
	lock_cond_init(&file->landed);
	g_hash_table_insert(stage->files, &file->node, file);
	return file;
}

struct staged *staged_ref_locked(struct staged *file)
{
	file->refs++;
	return file;
}

void staged_unref_locked(struct staged *file)
{
	if (--file->refs > 0)
		return;
	g_hash_table_remove(file->stage->files, &file->node);
	lanes_close_locked(file);
	g_free(file->lanes);
	g_tree_unref(file->extents);
	pthread_cond_destroy(&file->landed);
	g_free(file);
}

/* ---- extents ------------------------------------------------------------------------------------ */

struct extent *staged_find_locked(struct staged *file, uint64_t offset, uint64_t *ret_gap_end)
{
	const struct extent key = {.offset = offset};
	GTreeNode *above = g_tree_upper_bound(file->extents, &key);
	GTreeNode *below = above ? g_tree_node_previous(above) : g_tree_node_last(file->extents);
	struct extent *extent = below ? g_tree_node_key(below) : NULL;

	if (extent && offset - extent->offset < extent->size)
		return extent;
	*ret_gap_end = above ? ((struct extent *)g_tree_node_key(above))->offset : UINT64_MAX;
	return NULL;
}

static void drop_all_locked(struct staged *file)
{
	GTreeNode *node;

	while ((node = g_tree_node_first(file->extents)) != NULL)
		extent_drop_locked(g_tree_node_key(node));
}

void staged_drop_locked(struct staged *file, uint64_t offset, uint64_t end)
{
	uint64_t at = offset;

	staged_ref_locked(file);
	if (offset == 0 && end == UINT64_MAX)
		drop_all_locked(file);
	while (at < end) {
		uint64_t gap_end;
		struct extent *extent = staged_find_locked(file, at, &gap_end);

		if (!extent) {
			at = gap_end;
			continue;
		}
		at = extent->offset + extent->size;
		extent_drop_locked(extent);
	}
	staged_unref_locked(file);
}

/* ---- states ------------------------------------------------------------------------------------- */

bool staged_identify_locked(struct staged *file, const struct stage_identity *identity,
                            uint64_t now)
{
	const struct stage_identity *known = &file->identity;
	bool other = known->size != identity->size || known->mtime != identity->mtime;

	/* With whole seconds, one that was changed again within the same looks the same. */
	if (other || !known->settled) {
		file->whole_ns = 0;
		if (other)
			lanes_close_locked(file);
		staged_drop_locked(file, 0, UINT64_MAX);
	}
	file->identity = *identity;
	file->checked_ns = now;
	return other;
}

/* ---- changes ------------------------------------------------------------------------------------ */

static uint64_t end_of(uint64_t offset, uint64_t size)
{
	return size > UINT64_MAX - offset ? UINT64_MAX : offset + size;
}

void stage_begin_change(struct stage *stage, uint64_t node, uint64_t offset, uint64_t size)
{
	struct staged *file;
	LOCK_SCOPE(&stage->lock);

	file = staged_get_locked(stage, node);
	file->changes++;
	file->version++;
	file->whole_ns = 0;
	staged_drop_locked(file, offset, end_of(offset, size));
}

/* The state it is in now is for the next look to tell. */
void stage_end_change(struct stage *stage, uint64_t node, uint64_t offset, uint64_t size)
{
	struct staged *file;
	LOCK_SCOPE(&stage->lock);

	file = g_hash_table_lookup(stage->files, &node);
	g_assert(file && file->changes > 0);
	file->changes--;
	file->checked_ns = 0;
	file->identity.mtime = INT64_MIN;
	staged_drop_locked(file, offset, end_of(offset, size));
	staged_unref_locked(file);
}

/* What is on its way is as old as what is held. */
static void forget_locked(struct staged *file)
{
	staged_ref_locked(file);
	file->version++;
	file->checked_ns = 0;
	staged_drop_locked(file, 0, UINT64_MAX);
	staged_unref_locked(file);
}

void stage_forget(struct stage *stage)
{
	g_autoptr(GList) files = NULL;
	LOCK_SCOPE(&stage->lock);

	/* One that loses its last extent leaves the table. */
	files = g_hash_table_get_values(stage->files);
	for (GList *link = files; link; link = link->next)
		forget_locked(link->data);
}
