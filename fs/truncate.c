// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A new size for a file: FSETSTAT by a handle that writes, so that it is in line with the writes of
 * that handle, else SETSTAT by path.
 *
 * Some servers cannot set sizes. With -o workaround=truncate an open with TRUNC empties the file, a
 * byte written at the end grows it, and shrinking reads what shall stay and writes it again (in memory,
 * hence bounded).
 */
#include "request.h"
#include "stage.h"

#include "util.h"

#define REWRITE_MAX  (256 * MIB) /* what the workaround reads into memory at most */
#define REWRITE_STEP (8 * MIB)   /* and has on its way to the server */

/* ---- the workaround --------------------------------------------------------------------------- */

/* Waits for one sftp_write_async(). */
struct write_wait {
	pthread_mutex_t lock;
	pthread_cond_t done_cond;
	bool done; /* protected by lock */
	int error; /* protected by lock */
};

static void on_written(void *data, int error)
{
	struct write_wait *wait = data;

	pthread_mutex_lock(&wait->lock);
	wait->done = true;
	wait->error = error;
	pthread_cond_signal(&wait->done_cond);
	pthread_mutex_unlock(&wait->lock);
}

static int write_and_wait(struct sftp_file *file, const void *buf, size_t size, uint64_t offset)
{
	struct write_wait wait = {
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.done_cond = PTHREAD_COND_INITIALIZER,
	};
	int error = sftp_write_async(file, buf, size, offset, on_written, &wait);

	if (!error) {
		pthread_mutex_lock(&wait.lock);
		while (!wait.done)
			pthread_cond_wait(&wait.done_cond, &wait.lock);
		pthread_mutex_unlock(&wait.lock);
		error = wait.error;
	}
	pthread_cond_destroy(&wait.done_cond);
	pthread_mutex_destroy(&wait.lock);
	return error;
}

static int open_path(struct fs *fs, const char *path, uint32_t flags, struct sftp_file **ret_file)
{
	return sftp_open(fs->client, path, flags, 0, ret_file, NULL);
}

static int empty(struct fs *fs, const char *path)
{
	struct sftp_file *file;
	int error = open_path(fs, path, SFTP_OPEN_WRITE | SFTP_OPEN_TRUNC, &file);

	if (!error)
		sftp_file_unref(file);
	return error;
}

static int write_path(struct fs *fs, const char *path, const void *buf, size_t size,
                      uint64_t offset)
{
	struct sftp_file *file;
	int error = open_path(fs, path, SFTP_OPEN_WRITE, &file);

	if (error)
		return error;
	for (size_t at = 0; at < size && !error; at += REWRITE_STEP)
		error = write_and_wait(file, (const char *)buf + at, MIN(size - at, REWRITE_STEP),
		                       offset + at);
	sftp_file_unref(file);
	return error;
}

static int shrink(struct fs *fs, const char *path, size_t size)
{
	g_autofree char *content = g_try_malloc(size);
	struct sftp_file *file;
	ssize_t count;
	int error;

	if (!content)
		return -ENOMEM;
	error = open_path(fs, path, SFTP_OPEN_READ, &file);
	if (error)
		return error;
	count = sftp_read(file, content, size, 0);
	sftp_file_unref(file);
	if (count < 0)
		return (int)count;
	error = empty(fs, path);
	if (error || count == 0)
		return error;
	return write_path(fs, path, content, (size_t)count, 0);
}

static int truncate_by_rewriting(struct fs *fs, const char *path, uint64_t size)
{
	struct sftp_attrs attrs;
	int error;

	if (size == 0)
		return empty(fs, path);
	error = sftp_stat(fs->client, path, &attrs);
	if (error || attrs.size == size)
		return error;
	if (attrs.size < size)
		return write_path(fs, path, "", 1, size - 1);
	return size <= REWRITE_MAX ? shrink(fs, path, size) : -EFBIG;
}

/* ---- the rule --------------------------------------------------------------------------------- */

static int truncate_path(struct fs *fs, const char *path, uint64_t size, struct sftp_after *after)
{
	struct sftp_attrs attrs = {.flags = SFTP_ATTR_SIZE, .size = size};

	if (!fs->settings.workaround_truncate)
		return sftp_setstat(fs->client, path, &attrs, after);
	if (after)
		after->error = -EAGAIN;
	return truncate_by_rewriting(fs, path, size);
}

static int truncate_by_path(struct fs *fs, uint64_t node, uint64_t size,
                            struct cache_ticket *ret_ticket, struct sftp_after *after)
{
	for (;;) {
		g_autofree char *path = NULL;
		int error;

		*ret_ticket = cache_take_ticket(fs->cache);
		path = node_path(fs->nodes, node);
		if (!path)
			return -ESTALE;
		error = truncate_path(fs, path, size, after);
		if (!place_node_was_moved(fs, error, node, path))
			return error;
	}
}

/* The name is asked for what came of it, if there still is one: it is the name that the cache knows. */
static int truncate_by_handle(struct fs *fs, uint64_t node, struct handle *handle, uint64_t size,
                              struct cache_ticket *ret_ticket, struct sftp_after *after)
{
	struct sftp_attrs attrs = {.flags = SFTP_ATTR_SIZE, .size = size};
	g_autofree char *path = NULL;

	*ret_ticket = cache_take_ticket(fs->cache);
	path = node_path(fs->nodes, node);
	if (!path)
		*ret_ticket = (struct cache_ticket){0};
	return sftp_fsetstat(handle_file(handle), &attrs, path, after);
}

static int truncate_anyhow(struct fs *fs, uint64_t node, struct handle *handle, uint64_t size,
                           struct cache_ticket *ret_ticket, struct sftp_after *after)
{
	struct handle *found = NULL;
	int error;

	if (fs->settings.workaround_truncate && !node_is_unlinked(fs->nodes, node))
		return truncate_by_path(fs, node, size, ret_ticket, after);
	if (!handle)
		handle = found = handle_find(fs->handles, node, true);
	if (!handle)
		return truncate_by_path(fs, node, size, ret_ticket, after);
	error = truncate_by_handle(fs, node, handle, size, ret_ticket, after);
	handle_unref(found);
	return error;
}

int truncate_node(struct fs *fs, uint64_t node, struct handle *handle, uint64_t size,
                  struct cache_ticket *ret_ticket, struct sftp_after *after)
{
	int error;

	stage_begin_change(fs->stage, node, 0, UINT64_MAX);
	error = truncate_anyhow(fs, node, handle, size, ret_ticket, after);
	stage_end_change(fs->stage, node, 0, UINT64_MAX);
	return error;
}
