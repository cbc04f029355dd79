// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A name is made: by mkdir, mknod, symlink, link, or open with O_CREAT.
 *
 * What the server makes of it (mode, owner, times) is asked for behind the request, in its round
 * trip, so the cache is told what there is instead of what there no longer is: the ticket is renewed when
 * the change ends (cache_end_create()).
 *
 * The name may be there although this fails: when its attributes could not be learnt, the connection
 * died, or the caller gave up. Nothing is taken back then: it may have been somebody else's by now.
 */
#include <limits.h>
#include <string.h>

#include "request.h"

/* Calls with the path of the name, and again where a folder above was renamed meanwhile. */
static int call_name(struct fs *fs, uint64_t dir, const char *name, create_fn call, void *data,
                     struct cache_ticket *ret_ticket, struct sftp_after *after)
{
	for (;;) {
		g_autofree char *path = NULL;
		int error;

		*ret_ticket = cache_take_ticket(fs->cache);
		path = node_child_path(fs->nodes, dir, name);
		if (!path)
			return -ENOENT;
		error = call(fs, path, data, after);
		if (!place_name_was_moved(fs, error, dir, name, path))
			return error;
	}
}

/* The answer that came with the name was older than the name, or about a path that it no longer has. */
static int ask_again(struct fs *fs, const char *path, void *data, struct sftp_after *after)
{
	int error = place_fetch(fs, path, &after->attrs);

	/* A dangling symlink was made, with follow_symlinks on: there is but the link to show. */
	if (error == -ENOENT && fs->settings.follow_symlinks)
		error = sftp_lstat(fs->client, path, &after->attrs);
	return error;
}

int create_name(struct fs *fs, uint64_t dir, const char *name, create_fn make, void *data,
                struct fuse_entry_param *ret_entry)
{
	struct sftp_after after = {.follow = fs->settings.follow_symlinks};
	struct cache_ticket ticket = {0};
	int error;

	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	cache_on_create(fs->cache, CACHE_BEGINS, dir, name);
	error = call_name(fs, dir, name, make, data, &ticket, &after);
	if (!error)
		error = after.error;
	if (error == -EAGAIN)
		error = call_name(fs, dir, name, ask_again, NULL, &ticket, &after);
	ticket = cache_end_create(fs->cache, ticket, dir, name);
	return error ? error : lookup_enter(fs, ticket, dir, name, &after.attrs, ret_entry);
}
