// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where things are: a node's place in the cache, and what a path leads to, if it still does.
 *
 * The race that shaped it: the path is put together, the folder is renamed by another process, the
 * server says ENOENT. The name is not missing; its path was old. So the path is put together again,
 * and if it has changed, so is the question.
 */
#include <string.h>

#include "request.h"

bool place_of_node(struct fs *fs, uint64_t node, uint64_t *ret_dir, char **ret_name)
{
	if (node != FUSE_ROOT_ID)
		return node_name(fs->nodes, node, ret_dir, ret_name);
	*ret_dir = 0;
	*ret_name = g_strdup("");
	return true;
}

bool place_name_was_moved(struct fs *fs, int error, uint64_t dir, const char *name,
                          const char *path)
{
	g_autofree char *now = NULL;

	if (error != -ENOENT)
		return false;
	now = node_child_path(fs->nodes, dir, name);
	return now && strcmp(now, path) != 0;
}

bool place_node_was_moved(struct fs *fs, int error, uint64_t node, const char *path)
{
	g_autofree char *now = NULL;

	if (error != -ENOENT)
		return false;
	now = node_path(fs->nodes, node);
	return now && strcmp(now, path) != 0;
}

void place_note_surprise(struct fs *fs, uint64_t node)
{
	g_autofree char *name = NULL;
	uint64_t dir;

	if (place_of_node(fs, node, &dir, &name))
		cache_on_surprise(fs->cache, dir, name, node);
}

int place_error(struct fs *fs, uint64_t node, int error)
{
	if (error != -ENOENT || node == FUSE_ROOT_ID)
		return error;
	place_note_surprise(fs, node);
	return -ESTALE;
}

int place_fetch(struct fs *fs, const char *path, struct sftp_attrs *ret_attrs)
{
	if (fs->settings.follow_symlinks)
		return sftp_stat(fs->client, path, ret_attrs);
	return sftp_lstat(fs->client, path, ret_attrs);
}

uint64_t place_choose_id(struct fs *fs, uint64_t dir, const char *name)
{
	uint64_t id = node_find(fs->nodes, dir, name);
	struct cache_name known;

	if (id)
		return id;
	if (cache_get_name(fs->cache, dir, name, &known) == CACHE_PRESENT && known.id)
		return known.id;
	return node_reserve_id(fs->nodes);
}
