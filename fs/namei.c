// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names change: mknod, mkdir, unlink, rmdir, rename, link.
 *
 * Each is one line and one round trip: the cache is told that it begins, the server does it, the cache
 * is told that it ended, the inode table follows, and the kernel is told. What makes a name walks that
 * line in create.c. An open file that is unlinked or replaced lives on behind its handle, as it does on the
 * server; nothing is renamed out of the way.
 *
 * A request whose connection died may or may not have been carried out. The cache has forgotten the
 * names either way, and the next look-up tells.
 */
#include <limits.h>
#include <string.h>

#include "request.h"

/* ---- made ------------------------------------------------------------------------------------- */

static int make_folder(struct fs *fs, const char *path, void *data, struct sftp_after *after)
{
	return sftp_mkdir(fs->client, path, *(const mode_t *)data, after);
}

static int make_file(struct fs *fs, const char *path, void *data, struct sftp_after *after)
{
	const uint32_t flags = SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL;
	struct sftp_file *file;
	int error = sftp_open(fs->client, path, flags, *(const mode_t *)data, &file, after);

	if (!error)
		sftp_file_unref(file);
	return error;
}

static void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
	mode_t permissions = mode & 07777;
	struct request request;
	struct fuse_entry_param entry;
	int error;

	request_begin(&request, req, OP_MKDIR);
	error = create_name(request.fs, dir, name, make_folder, &permissions, &entry);
	request_end_entry(&request, error, &entry);
}

/* SFTP makes files and folders only; of the rest it is said as mknod(2) does for those not allowed. */
static void op_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev)
{
	mode_t permissions = mode & 07777;
	struct request request;
	struct fuse_entry_param entry;
	int error = -EPERM;

	request_begin(&request, req, OP_MKNOD);
	if (S_ISREG(mode) || !(mode & S_IFMT))
		error = create_name(request.fs, dir, name, make_file, &permissions, &entry);
	request_end_entry(&request, error, &entry);
}

/* ---- removed ---------------------------------------------------------------------------------- */

typedef int (*remove_fn)(struct sftp_client *client, const char *path);

static int call_remove(struct fs *fs, uint64_t dir, const char *name, remove_fn remove)
{
	for (;;) {
		g_autofree char *path = node_child_path(fs->nodes, dir, name);
		int error;

		if (!path)
			return -ENOENT;
		error = remove(fs->client, path);
		if (!place_name_was_moved(fs, error, dir, name, path))
			return error;
	}
}

static int remove_name(struct fs *fs, uint64_t dir, const char *name, remove_fn remove)
{
	uint64_t node = node_find(fs->nodes, dir, name);
	struct cache_ticket ticket;
	int error;

	open_before_removal(fs, dir, name);
	cache_on_remove(fs->cache, CACHE_BEGINS, dir, name, node);
	ticket = cache_take_ticket(fs->cache);
	error = call_remove(fs, dir, name, remove);
	if (!error)
		node_remove(fs->nodes, dir, name);
	ticket = cache_end_remove(fs->cache, ticket, dir, name, node);
	if (!error)
		cache_put_absent(fs->cache, ticket, dir, name);
	else if (error == -ENOENT)
		cache_on_surprise(fs->cache, dir, name, node);
	return error;
}

static void op_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct request request;

	request_begin(&request, req, OP_UNLINK);
	request_end(&request, remove_name(request.fs, dir, name, sftp_remove));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct request request;

	request_begin(&request, req, OP_RMDIR);
	request_end(&request, remove_name(request.fs, dir, name, sftp_rmdir));
}

/* ---- renamed ---------------------------------------------------------------------------------- */

static int call_rename(struct fs *fs, uint64_t dir, const char *name, uint64_t new_dir,
                       const char *new_name, unsigned int flags)
{
	for (;;) {
		g_autofree char *from = node_child_path(fs->nodes, dir, name);
		g_autofree char *to = node_child_path(fs->nodes, new_dir, new_name);
		int error;

		if (!from || !to)
			return -ENOENT;
		error = sftp_rename(fs->client, from, to, flags);
		if (!place_name_was_moved(fs, error, dir, name, from) &&
		    !place_name_was_moved(fs, error, new_dir, new_name, to))
			return error;
	}
}

/* What was known of the old name: a renamed file keeps its attributes, and those their age. */
struct renamed {
	bool is_known;
	struct cache_name known;
	struct cache_ticket ticket; /* taken when the rename had begun */
};

static void put_renamed(struct fs *fs, const struct renamed *renamed, uint64_t dir,
                        const char *name, uint64_t new_dir, const char *new_name)
{
	const struct cache_name *known = &renamed->known;
	struct cache_ticket ticket, new_ticket;

	cache_end_rename(fs->cache, renamed->ticket, dir, name, new_dir, new_name, &ticket,
	                 &new_ticket);
	if (dir == new_dir && strcmp(name, new_name) == 0)
		return;
	cache_put_absent(fs->cache, ticket, dir, name);
	if (!renamed->is_known)
		return;
	new_ticket.asked_ns = MIN(known->asked_ns, new_ticket.asked_ns);
	cache_put_name(fs->cache, new_ticket, new_dir, new_name,
	               node_find(fs->nodes, new_dir, new_name),
	               known->has_attr ? &known->attr : NULL);
}

static int rename_work(struct fs *fs, uint64_t dir, const char *name, uint64_t new_dir,
                       const char *new_name, unsigned int flags)
{
	struct renamed renamed;
	int error;

	if (strlen(new_name) > NAME_MAX)
		return -ENAMETOOLONG;
	open_before_removal(fs, new_dir, new_name);
	renamed.is_known = cache_begin_rename(fs->cache, dir, name, new_dir, new_name,
	                                      &renamed.known) == CACHE_PRESENT;
	renamed.ticket = cache_take_ticket(fs->cache);
	error = call_rename(fs, dir, name, new_dir, new_name, flags);
	if (error) {
		cache_on_rename(fs->cache, CACHE_ENDED, dir, name, new_dir, new_name);
		return error;
	}
	/* First the path, then the cache: a ticket taken behind the end goes with the new path. */
	node_move(fs->nodes, dir, name, new_dir, new_name);
	put_renamed(fs, &renamed, dir, name, new_dir, new_name);
	return 0;
}

static void op_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t new_dir,
                      const char *new_name, unsigned int flags)
{
	struct request request;
	int error;

	request_begin(&request, req, OP_RENAME);
	error = rename_work(request.fs, dir, name, new_dir, new_name, flags);
	request_end(&request, error);
}

/* ---- linked ----------------------------------------------------------------------------------- */

static int make_link(struct fs *fs, const char *to, void *data, struct sftp_after *after)
{
	uint64_t node = *(const uint64_t *)data;

	for (;;) {
		g_autofree char *from = node_path(fs->nodes, node);
		int error;

		if (!from)
			return -ENOENT;
		error = sftp_link(fs->client, from, to, after);
		if (!place_node_was_moved(fs, error, node, from))
			return error;
	}
}

/* The names share a file on the server but are two nodes here, as links made elsewhere are, too. */
static int link_work(struct fs *fs, uint64_t node, uint64_t new_dir, const char *new_name,
                     struct fuse_entry_param *ret_entry)
{
	int error;

	/* The kernel makes EPERM of this and stops asking. */
	if (fs->settings.disable_hardlink)
		return -ENOSYS;
	/* The new name's size will be told and must be right. */
	error = handle_drain_node(fs->handles, node);
	if (error)
		return error;
	error = create_name(fs, new_dir, new_name, make_link, &node, ret_entry);
	if (error == -EOPNOTSUPP && !(sftp_client_extensions(fs->client) & SFTP_EXT_HARDLINK))
		return -ENOSYS;
	if (error)
		return error;
	node_share_ino(fs->nodes, ret_entry->ino, node);
	ret_entry->attr.st_ino = node_ino(fs->nodes, node);
	return 0;
}

static void op_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t new_dir, const char *new_name)
{
	struct request request;
	struct fuse_entry_param entry;
	int error;

	request_begin(&request, req, OP_LINK);
	error = link_work(request.fs, node, new_dir, new_name, &entry);
	request_end_entry(&request, error, &entry);
}

void namei_add_ops(struct fuse_lowlevel_ops *ops)
{
	ops->mknod = op_mknod;
	ops->mkdir = op_mkdir;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
	ops->link = op_link;
}
