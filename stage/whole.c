// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Small files that are held whole, before anybody opens them. See stage.h.
 *
 * Who opens one within STAGE_FRESH_NS gets it as it was read, and keeps that until they close it, as if the answer
 * had been on its way so long. Who comes later has the server asked, and what is held is used if it is still
 * right (staged_identify_locked()).
 *
 * The race that shaped it: it is read, it is written to from here, it arrives. The file's version tells.
 */
#include <errno.h>
#include <string.h>

#include "cancel.h"
#include "lock.h"
#include "stage_private.h"

/* One that is being read. */
struct stage_whole {
	struct staged *file; /* a reference */
	uint64_t version;    /* of the file, when it was asked for */
	uint64_t asked_ns;
	size_t size;
};

/* ---- reading it --------------------------------------------------------------------------------- */

static struct extent *find_whole_locked(struct staged *file)
{
	GTreeNode *node = file->whole_ns > 0 ? g_tree_node_first(file->extents) : NULL;

	return node ? g_tree_node_key(node) : NULL;
}

struct stage_whole *stage_whole_begin(struct stage *stage, uint64_t node, size_t size,
                                      uint64_t now_ns)
{
	struct stage_whole *whole;
	struct staged *file;
	LOCK_SCOPE(&stage->lock);

	if (!stage_make_room_locked(stage, size))
		return NULL;
	file = staged_get_locked(stage, node);
	if (file->is_being_read || file->readers > 0 || file->changes > 0 ||
	    find_whole_locked(file)) {
		staged_unref_locked(file);
		return NULL;
	}
	file->is_being_read = true;
	whole = g_new(struct stage_whole, 1);
	*whole = (struct stage_whole){
		.file = file, .version = file->version, .asked_ns = now_ns, .size = size};
	return whole;
}

static void keep_locked(struct stage_whole *whole, const struct stage_identity *identity,
                        const void *bytes)
{
	struct staged *file = whole->file;
	struct extent *extent;

	if (file->version != whole->version || file->readers > 0)
		return;
	staged_drop_locked(file, 0, UINT64_MAX);
	file->identity = *identity;
	file->checked_ns = file->whole_ns = whole->asked_ns;
	extent = extent_new_landed_locked(file, whole->size, whole->asked_ns);
	if (whole->size > 0)
		memcpy(extent->data, bytes, whole->size);
	extent_unref_locked(extent);
}

void stage_whole_end(struct stage_whole *whole, const struct stage_identity *identity,
                     const void *bytes)
{
	struct staged *file = whole->file;
	struct stage *stage = file->stage;
	LOCK_SCOPE(&stage->lock);

	file->is_being_read = false;
	if (identity)
		keep_locked(whole, identity, bytes);
	pthread_cond_broadcast(&file->landed);
	staged_unref_locked(file);
	g_free(whole);
}

void stage_whole_drop(struct stage *stage, uint64_t node)
{
	struct staged *file;
	LOCK_SCOPE(&stage->lock);

	file = g_hash_table_lookup(stage->files, &node);
	if (!file || file->readers > 0 || file->whole_ns == 0)
		return;
	file->whole_ns = 0;
	staged_drop_locked(file, 0, UINT64_MAX);
}

/* ---- opening it --------------------------------------------------------------------------------- */

static bool is_fresh_locked(struct staged *file)
{
	return find_whole_locked(file) && file->changes == 0 &&
	       stage_is_fresh(file->whole_ns, clock_now_ns());
}

static struct stage_reader *reader_of_whole_locked(struct staged *file,
                                                   struct stage_identity *ret_identity)
{
	struct stage_reader *reader;

	if (!is_fresh_locked(file))
		return NULL;
	reader = g_new0(struct stage_reader, 1);
	reader->file = staged_ref_locked(file);
	reader->version = file->version;
	reader->whole = extent_ref_locked(find_whole_locked(file));
	file->readers++;
	*ret_identity = file->identity;
	return reader;
}

/* Waits while it is being read; a reference, or NULL: it is neither held nor being read. */
static struct staged *await_whole(struct stage *stage, uint64_t node)
{
	struct staged *file;

	pthread_mutex_lock(&stage->lock);
	file = g_hash_table_lookup(stage->files, &node);
	if (file)
		staged_ref_locked(file);
	pthread_mutex_unlock(&stage->lock);
	if (!file)
		return NULL;
	cancel_begin_wait(&stage->lock, &file->landed);
	pthread_mutex_lock(&stage->lock);
	if (file->is_being_read)
		sftp_turns_add();
	while (file->is_being_read && !cancel_is_raised())
		pthread_cond_wait(&file->landed, &stage->lock);
	pthread_mutex_unlock(&stage->lock);
	cancel_end_wait();
	return file;
}

struct stage_reader *stage_reader_of_whole(struct stage *stage, uint64_t node,
                                           struct stage_identity *ret_identity)
{
	struct staged *file = await_whole(stage, node);
	struct stage_reader *reader;

	if (!file)
		return NULL;
	LOCK_SCOPE(&stage->lock);
	reader = reader_of_whole_locked(file, ret_identity);
	staged_unref_locked(file);
	return reader;
}

ssize_t whole_read(struct stage_reader *reader, size_t size, uint64_t offset,
                   struct stage_view *ret_view)
{
	struct staged *file = reader->file;
	struct extent *extent = reader->whole;
	LOCK_SCOPE(&file->stage->lock);

	*ret_view = (struct stage_view){.count = 0};
	/* What was changed from here since is for the server to tell. */
	if (file->version != reader->version)
		return -EAGAIN;
	if (offset >= extent->size)
		return 0;
	size = MIN(size, extent->size - offset);
	ret_view->pieces = g_new(struct iovec, 1);
	ret_view->pieces[0] = (struct iovec){.iov_base = extent->data + offset, .iov_len = size};
	ret_view->count = 1;
	ret_view->extents = g_ptr_array_new();
	g_ptr_array_add(ret_view->extents, extent_ref_locked(extent));
	extent->read += size;
	return (ssize_t)size;
}
