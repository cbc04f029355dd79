// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Room on the server: how much there is (statfs), and making a file as large as it shall be (fallocate).
 */
#include "request.h"

/* ---- statfs ------------------------------------------------------------------------------------- */

/* What a server without statvfs@openssh.com is said to have: enough (compat.md 2.11). */
static const struct statvfs plenty = {
	.f_bsize = 4096,
	.f_frsize = 4096,
	.f_blocks = 1000ULL * 1024 * 1024 * 1024 / 4096,
	.f_bfree = 1000ULL * 1024 * 1024 * 1024 / 4096,
	.f_bavail = 1000ULL * 1024 * 1024 * 1024 / 4096,
	.f_files = 1000000000,
	.f_ffree = 1000000000,
	.f_favail = 1000000000,
	.f_namemax = 255,
};

static void convert_statvfs(const struct sftp_statvfs *from, struct statvfs *to)
{
	*to = (struct statvfs){
		.f_bsize = from->bsize,
		.f_frsize = from->frsize,
		.f_blocks = from->blocks,
		.f_bfree = from->bfree,
		.f_bavail = from->bavail,
		.f_files = from->files,
		.f_ffree = from->ffree,
		.f_favail = from->favail,
		.f_namemax = from->namemax,
	};
}

static int statfs_work(struct fs *fs, uint64_t node, struct statvfs *ret_statvfs)
{
	g_autofree char *path = node_path(fs->nodes, node);
	struct sftp_statvfs remote;
	int error;

	if (!path)
		path = node_path(fs->nodes, FUSE_ROOT_ID);
	error = sftp_statvfs(fs->client, path, &remote);
	if (error == -EOPNOTSUPP)
		*ret_statvfs = plenty;
	else if (!error)
		convert_statvfs(&remote, ret_statvfs);
	return error == -EOPNOTSUPP ? 0 : error;
}

static void op_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct request request;
	struct statvfs statvfs;

	request_begin(&request, req, OP_STATFS);
	request_end_statfs(&request, statfs_work(request.fs, node, &statvfs), &statvfs);
}

/* ---- fallocate ---------------------------------------------------------------------------------- */

/* Only growing can be asked for by SFTP; other modes are refused, so that callers do without. */
static int fallocate_work(struct fs *fs, uint64_t node, int mode, off_t offset, off_t length,
                          struct handle *handle)
{
	struct sftp_attrs attrs;
	struct cache_ticket ticket;
	g_autofree char *name = NULL;
	uint64_t dir, end = (uint64_t)offset + (uint64_t)length;
	bool has_name;
	int error;

	if (mode != 0)
		return -EOPNOTSUPP;
	error = handle_drain_node(fs->handles, node);
	if (!error)
		error = sftp_fstat(handle_file(handle), &attrs);
	if (error || end <= attrs.size)
		return request_io_error(error);
	has_name = place_of_node(fs, node, &dir, &name);
	if (has_name)
		cache_on_change(fs->cache, CACHE_BEGINS, dir, name);
	error = truncate_node(fs, node, handle, end, &ticket, NULL);
	if (has_name)
		cache_on_change(fs->cache, CACHE_ENDED, dir, name);
	return request_io_error(error);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi)
{
	struct handle *handle = (struct handle *)(uintptr_t)fi->fh;
	struct request request;

	request_begin(&request, req, OP_FALLOCATE);
	request_end(&request, fallocate_work(request.fs, node, mode, offset, length, handle));
}

void space_add_ops(struct fuse_lowlevel_ops *ops)
{
	ops->statfs = op_statfs;
	ops->fallocate = op_fallocate;
}
