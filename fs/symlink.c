// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Symlinks: made, read, and judged.
 *
 * The kernel follows links by itself, in the local tree, with what READLINK says: a target that is
 * absolute or climbs with ".." would lead whoever uses the mount to local files of the server's
 * choice. Hence contain_symlinks, the default: such a target is answered with EPERM, which is then what
 * open(2) and stat(2) through the link say, too. The cache keeps the raw target; the rules are
 * applied at each reply.
 */
#include "symlink.h"

#include <limits.h>
#include <string.h>

#include "request.h"
#include "walk.h"

/* ---- the rules -------------------------------------------------------------------------------- */

bool symlink_is_contained(const char *target)
{
	const char *component = target;

	if (*target == '/')
		return false;
	while (component) {
		if (strncmp(component, "..", 2) == 0 && (component[2] == '/' || !component[2]))
			return false;
		component = strchr(component, '/');
		if (component)
			component++;
	}
	return true;
}

/* The components of a path, without empty ones and "."; freed by g_strfreev(). */
static char **components(const char *path)
{
	g_auto(GStrv) all = g_strsplit(path, "/", -1);
	GPtrArray *kept = g_ptr_array_new();

	for (char **component = all; *component; component++) {
		if (**component && strcmp(*component, ".") != 0)
			g_ptr_array_add(kept, g_strdup(*component));
	}
	g_ptr_array_add(kept, NULL);
	return (char **)g_ptr_array_free(kept, FALSE);
}

static size_t common_length(char **a, char **b)
{
	size_t length = 0;

	while (a[length] && b[length] && strcmp(a[length], b[length]) == 0)
		length++;
	return length;
}

char *symlink_transform(const char *base_path, const char *link_path, const char *target)
{
	g_auto(GStrv) base = NULL;
	g_auto(GStrv) from = NULL;
	g_auto(GStrv) to = NULL;
	g_autoptr(GString) relative = g_string_new(NULL);
	size_t common;

	if (*base_path != '/' || *target != '/')
		return NULL;
	base = components(base_path);
	from = components(link_path);
	to = components(target);
	if (common_length(base, to) < g_strv_length(base))
		return NULL;
	common = common_length(from, to);
	/* The last component of `from` is the link itself. */
	for (size_t i = common; i + 1 < g_strv_length(from); i++)
		g_string_append(relative, "../");
	/* A link to itself, or to a folder above it, has nothing left to name but that folder. */
	if (common == g_strv_length(from))
		common--;
	for (size_t i = common; to[i]; i++)
		g_string_append_printf(relative, "%s/", to[i]);
	if (relative->len == 0)
		return g_strdup(".");
	return g_strndup(relative->str, relative->len - 1);
}

/* ---- readlink --------------------------------------------------------------------------------- */

static int ask_server(struct fs *fs, uint64_t node, uint64_t dir, const char *name,
                      char **ret_target)
{
	for (;;) {
		struct cache_ticket ticket = cache_take_ticket(fs->cache);
		g_autofree char *path = node_path(fs->nodes, node);
		int error;

		if (!path)
			return -ESTALE;
		error = sftp_readlink(fs->client, path, ret_target);
		if (place_node_was_moved(fs, error, node, path))
			continue;
		if (!error)
			cache_put_link(fs->cache, ticket, dir, name, *ret_target);
		return place_error(fs, node, error);
	}
}

/* What the server says; *ret_target is for the caller to free. */
static int read_raw(struct fs *fs, uint64_t node, char **ret_target)
{
	g_autofree char *name = NULL;
	uint64_t dir;

	/* Replaced a moment ago: the kernel looks the name up again and comes with the new node. */
	if (!place_of_node(fs, node, &dir, &name))
		return -ESTALE;
	walk_reads_link(fs->walk);
	*ret_target = cache_get_link(fs->cache, dir, name);
	if (*ret_target)
		return 0;
	return ask_server(fs, node, dir, name, ret_target);
}

static void transform(struct fs *fs, uint64_t node, char **target)
{
	g_autofree char *path = node_path(fs->nodes, node);
	char *relative = NULL;

	if (path)
		relative = symlink_transform(fs->base_path, path, *target);
	if (!relative)
		return;
	g_free(*target);
	*target = relative;
}

static int readlink_work(struct fs *fs, uint64_t node, char **ret_target)
{
	int error = read_raw(fs, node, ret_target);

	if (error)
		return error;
	if (fs->settings.transform_symlinks)
		transform(fs, node, ret_target);
	if (fs->settings.symlinks == FS_SYMLINKS_CONTAIN && !symlink_is_contained(*ret_target))
		return -EPERM;
	if (!**ret_target)
		return -EIO;
	return strlen(*ret_target) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static void op_readlink(fuse_req_t req, fuse_ino_t node)
{
	struct request request;
	g_autofree char *target = NULL;
	int error;

	request_begin(&request, req, OP_READLINK);
	error = readlink_work(request.fs, node, &target);
	request_end_link(&request, error, target);
}

/* ---- symlink ---------------------------------------------------------------------------------- */

static int make_symlink(struct fs *fs, const char *path, void *data, struct sftp_after *after)
{
	return sftp_symlink(fs->client, data, path, after);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name)
{
	struct request request;
	struct fuse_entry_param entry;
	int error;

	request_begin(&request, req, OP_SYMLINK);
	error = create_name(request.fs, dir, name, make_symlink, (void *)target, &entry);
	request_end_entry(&request, error, &entry);
}

void symlink_add_ops(struct fuse_lowlevel_ops *ops)
{
	ops->readlink = op_readlink;
	ops->symlink = op_symlink;
}
