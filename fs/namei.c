// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names change: mknod, mkdir, unlink, rmdir, rename, link.
 *
 * Each is one line: the cache is told that it begins, the server does it, the cache is told that it
 * ended, the inode table follows, and the kernel is told. An open file that is unlinked or replaced
 * lives on behind its handle, as it does on the server; nothing is renamed out of the way.
 *
 * A request whose connection died may or may not have been carried out. The cache has forgotten the
 * names either way, and the next look-up tells.
 */
#include <limits.h>
#include <string.h>

#include "request.h"

/* ---- by one name ------------------------------------------------------------------------------ */

typedef int (*name_call)(struct fs *fs, const char *path, uint32_t mode);

/* Calls with the path of the name, and again where a folder above was renamed meanwhile. */
static int call_name(struct fs *fs, uint64_t dir, const char *name, name_call call, uint32_t mode)
{
	for (;;) {
		g_autofree char *path = node_child_path(fs->nodes, dir, name);
		int error;

		if (!path)
			return -ENOENT;
		error = call(fs, path, mode);
		if (!lookup_was_moved(fs, error, dir, name, path))
			return error;
	}
}

/* Makes a name and asks for what came of it. */
static int create_name(struct fs *fs, uint64_t dir, const char *name, name_call call, uint32_t mode,
                       struct fuse_entry_param *ret_entry)
{
	int error;

	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	cache_on_create(fs->cache, CACHE_BEGINS, dir, name);
	error = call_name(fs, dir, name, call, mode);
	cache_on_create(fs->cache, CACHE_ENDED, dir, name);
	return error ? error : lookup_enter_new(fs, dir, name, ret_entry);
}

static int remove_name(struct fs *fs, uint64_t dir, const char *name, name_call call)
{
	uint64_t node = node_find(fs->nodes, dir, name);
	int error;

	cache_on_remove(fs->cache, CACHE_BEGINS, dir, name, node);
	error = call_name(fs, dir, name, call, 0);
	if (!error)
		node_remove(fs->nodes, dir, name);
	cache_on_remove(fs->cache, CACHE_ENDED, dir, name, node);
	if (error == -ENOENT)
		cache_on_surprise(fs->cache, dir, name, node);
	return error;
}

static int call_mkdir(struct fs *fs, const char *path, uint32_t mode)
{
	return sftp_mkdir(fs->client, path, mode);
}

static int call_mknod(struct fs *fs, const char *path, uint32_t mode)
{
	struct sftp_file *file;
	int error = sftp_open(fs->client, path, SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL,
	                      mode, false, &file, NULL, NULL);

	if (!error)
		sftp_file_unref(file);
	return error;
}

static int call_remove(struct fs *fs, const char *path, uint32_t mode)
{
	return sftp_remove(fs->client, path);
}

static int call_rmdir(struct fs *fs, const char *path, uint32_t mode)
{
	return sftp_rmdir(fs->client, path);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
	struct request request;
	struct fuse_entry_param entry;
	int error;

	request_begin(&request, req, OP_MKDIR);
	error = create_name(request.fs, dir, name, call_mkdir, mode & 07777, &entry);
	request_end_entry(&request, error, &entry);
}

/* SFTP makes files and folders only; of the rest it is said as mknod(2) does for those not allowed. */
static void op_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev)
{
	struct request request;
	struct fuse_entry_param entry;
	int error = -EPERM;

	request_begin(&request, req, OP_MKNOD);
	if (S_ISREG(mode) || !(mode & S_IFMT))
		error = create_name(request.fs, dir, name, call_mknod, mode & 07777, &entry);
	request_end_entry(&request, error, &entry);
}

static void op_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct request request;

	request_begin(&request, req, OP_UNLINK);
	request_end(&request, remove_name(request.fs, dir, name, call_remove));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct request request;

	request_begin(&request, req, OP_RMDIR);
	request_end(&request, remove_name(request.fs, dir, name, call_rmdir));
}

/* ---- by two names ----------------------------------------------------------------------------- */

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
		if (!lookup_was_moved(fs, error, dir, name, from) &&
		    !lookup_was_moved(fs, error, new_dir, new_name, to))
			return error;
	}
}

static int rename_work(struct fs *fs, uint64_t dir, const char *name, uint64_t new_dir,
                       const char *new_name, unsigned int flags)
{
	int error;

	if (strlen(new_name) > NAME_MAX)
		return -ENAMETOOLONG;
	cache_on_rename(fs->cache, CACHE_BEGINS, dir, name, new_dir, new_name);
	error = call_rename(fs, dir, name, new_dir, new_name, flags);
	/* First the path, then the cache: a ticket taken behind the end goes with the new path. */
	if (!error)
		node_move(fs->nodes, dir, name, new_dir, new_name);
	cache_on_rename(fs->cache, CACHE_ENDED, dir, name, new_dir, new_name);
	return error;
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

static int call_link(struct fs *fs, uint64_t node, uint64_t new_dir, const char *new_name)
{
	for (;;) {
		g_autofree char *from = node_path(fs->nodes, node);
		g_autofree char *to = node_child_path(fs->nodes, new_dir, new_name);
		int error;

		if (!from || !to)
			return -ENOENT;
		error = sftp_link(fs->client, from, to);
		if (!lookup_node_was_moved(fs, error, node, from) &&
		    !lookup_was_moved(fs, error, new_dir, new_name, to))
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
	if (strlen(new_name) > NAME_MAX)
		return -ENAMETOOLONG;
	/* The new name's size is asked for below and must be right. */
	error = handle_drain_node(fs->handles, node);
	if (error)
		return error;
	cache_on_create(fs->cache, CACHE_BEGINS, new_dir, new_name);
	error = call_link(fs, node, new_dir, new_name);
	cache_on_create(fs->cache, CACHE_ENDED, new_dir, new_name);
	if (error == -EOPNOTSUPP && !(sftp_client_extensions(fs->client) & SFTP_EXT_HARDLINK))
		return -ENOSYS;
	if (!error)
		error = lookup_enter_new(fs, new_dir, new_name, ret_entry);
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
