// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Attributes: shown (getattr), changed (setattr), and what access(2) may.
 *
 * Writes are handed to the server and not waited for, so the node's are drained before its attributes
 * are asked for (the size must be right) and before they are set (a later WRITE would undo a time or
 * a size). An unlinked file has no path; its open handles speak for it.
 *
 * The kernel wants to know the attributes after a change, and so does the cache: they are asked for behind
 * the change, in its round trip.
 *
 * SFTP sets both times or none, and knows no "now": where only one is to change the other is asked for
 * first, and now is our clock's. Times end with 32 bits, in 2106.
 */
#include <string.h>
#include <time.h>

#include "request.h"

/* ---- asking ----------------------------------------------------------------------------------- */

/* By any open handle: for files without a path. */
static int fetch_by_handle(struct fs *fs, uint64_t node, struct sftp_attrs *ret_attrs)
{
	struct handle *handle = handle_find(fs->handles, node, false);
	int error;

	if (!handle)
		return -ESTALE;
	error = sftp_fstat(handle_file(handle), ret_attrs);
	handle_unref(handle);
	return error;
}

/* True when an answer to a question about `path` is one about the node, still. */
static bool is_still_at(struct fs *fs, uint64_t node, const char *path)
{
	g_autofree char *now = node_path(fs->nodes, node);

	return now && strcmp(now, path) == 0;
}

int attr_fetch_node(struct fs *fs, uint64_t node, struct cache_ticket *ret_ticket,
                    struct sftp_attrs *ret_attrs)
{
	for (;;) {
		g_autofree char *path = NULL;
		int error;

		*ret_ticket = cache_take_ticket(fs->cache);
		path = node_path(fs->nodes, node);
		if (!path) {
			*ret_ticket = (struct cache_ticket){0};
			return fetch_by_handle(fs, node, ret_attrs);
		}
		error = place_fetch(fs, path, ret_attrs);
		if ((error && error != -ENOENT) || is_still_at(fs, node, path))
			return error;
	}
}

/* The kernel makes an inode bad that changes its type. */
static bool is_of_node(struct fs *fs, uint64_t node, const struct cache_attr *attr)
{
	return node_type(fs->nodes, node) == (attr->mode & S_IFMT);
}

static bool get_cached(struct fs *fs, uint64_t node, uint64_t dir, const char *name,
                       struct cache_attr *ret_attr, uint64_t *ret_left_ns)
{
	struct cache_name known;

	if (cache_get_name(fs->cache, dir, name, &known) != CACHE_PRESENT || !known.has_attr ||
	    !is_of_node(fs, node, &known.attr))
		return false;
	*ret_attr = known.attr;
	*ret_left_ns = known.attr_left_ns;
	return true;
}

/* As with a local file, who has it open keeps it, whatever has become of its name. */
static int get_by_handle(struct fs *fs, uint64_t node, struct cache_attr *ret_attr,
                         uint64_t *ret_left_ns)
{
	struct sftp_attrs attrs;
	int error = fetch_by_handle(fs, node, &attrs);

	if (error)
		return error;
	convert_attrs_to_cache(&attrs, ret_attr);
	*ret_left_ns = 0;
	return 0;
}

/* What the server said of a node, when it was asked or behind a change. */
struct answer {
	struct cache_ticket ticket; /* taken before */
	struct sftp_after found;
};

static void ask(struct fs *fs, uint64_t node, struct answer *answer)
{
	answer->found.error = attr_fetch_node(fs, node, &answer->ticket, &answer->found.attrs);
}

/* It was asked on behalf of a name: the cache is told. */
static int take_answer(struct fs *fs, uint64_t node, uint64_t dir, const char *name,
                       const struct answer *answer, struct cache_attr *ret_attr,
                       uint64_t *ret_left_ns)
{
	struct cache_attr fresh;

	if (answer->found.error) {
		int error = place_error(fs, node, answer->found.error);

		return error == -ESTALE && !get_by_handle(fs, node, ret_attr, ret_left_ns) ? 0
		                                                                           : error;
	}
	convert_attrs_to_cache(&answer->found.attrs, &fresh);
	/* Replaced by another client; the kernel, told ESTALE, looks the name up again. */
	if (!is_of_node(fs, node, &fresh)) {
		cache_on_surprise(fs->cache, dir, name, node);
		node_remove(fs->nodes, dir, name);
		return get_by_handle(fs, node, ret_attr, ret_left_ns);
	}
	cache_put_name(fs->cache, answer->ticket, dir, name, node, &fresh);
	if (!get_cached(fs, node, dir, name, ret_attr, ret_left_ns)) {
		*ret_attr = fresh;
		*ret_left_ns = 0;
	}
	return 0;
}

int attr_get(struct fs *fs, uint64_t node, struct cache_attr *ret_attr, uint64_t *ret_left_ns)
{
	g_autofree char *name = NULL;
	struct answer answer;
	uint64_t dir;
	int error = handle_drain_node(fs->handles, node);

	if (error)
		return error;
	if (!place_of_node(fs, node, &dir, &name))
		return get_by_handle(fs, node, ret_attr, ret_left_ns);
	if (get_cached(fs, node, dir, name, ret_attr, ret_left_ns))
		return 0;
	ask(fs, node, &answer);
	return take_answer(fs, node, dir, name, &answer, ret_attr, ret_left_ns);
}

/* Replies to getattr and setattr. */
static void end(struct request *request, uint64_t node, int error, const struct cache_attr *attr,
                uint64_t left_ns)
{
	const struct fs *fs = request->fs;
	struct stat stat;
	double timeout = 0;

	if (!error) {
		convert_cache_to_stat(fs, attr, node_ino(fs->nodes, node), &stat);
		node_note_told(fs->nodes, node, attr->size, attr->mtime);
		timeout = convert_timeout(fs, fs->settings.attr_timeout, left_ns);
	}
	request_end_attr(request, error, &stat, timeout);
}

static void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct request request;
	struct cache_attr attr;
	uint64_t left_ns = 0;
	int error;

	request_begin(&request, req, OP_GETATTR);
	error = attr_get(request.fs, node, &attr, &left_ns);
	end(&request, node, error, &attr, left_ns);
}

/* ---- setting ---------------------------------------------------------------------------------- */

#define SET_OWNER (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)
#define SET_TIMES (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)
#define SET_MORE  (FUSE_SET_ATTR_MODE | SET_OWNER | SET_TIMES)
#define SET_ALL   (FUSE_SET_ATTR_SIZE | SET_MORE)

static int set_by_handle(struct fs *fs, uint64_t node, const struct sftp_attrs *attrs,
                         struct sftp_after *after)
{
	struct handle *handle = handle_find(fs->handles, node, false);
	int error;

	if (!handle)
		return -ESTALE;
	error = sftp_fsetstat(handle_file(handle), attrs, NULL, after);
	handle_unref(handle);
	return error;
}

/* SETSTAT follows symlinks: better none than on the wrong file. */
static int set_by_path(struct fs *fs, uint64_t node, const char *path,
                       const struct sftp_attrs *attrs, struct sftp_after *after)
{
	if (S_ISLNK(node_type(fs->nodes, node)) && !fs->settings.follow_symlinks)
		return sftp_lsetstat(fs->client, path, attrs, after);
	return sftp_setstat(fs->client, path, attrs, after);
}

static int set_attrs(struct fs *fs, uint64_t node, const struct sftp_attrs *attrs,
                     struct answer *answer)
{
	for (;;) {
		g_autofree char *path = NULL;
		int error;

		answer->ticket = cache_take_ticket(fs->cache);
		path = node_path(fs->nodes, node);
		if (!path) {
			answer->ticket = (struct cache_ticket){0};
			return set_by_handle(fs, node, attrs, &answer->found);
		}
		error = set_by_path(fs, node, path, attrs, &answer->found);
		if (!place_node_was_moved(fs, error, node, path))
			return error;
	}
}

/* Which of the two times are to change, and to what. */
static int wanted_times(const struct stat *stat, int valid, int64_t *ret_atime, int64_t *ret_mtime)
{
	int64_t now = time(NULL);

	if (valid & FUSE_SET_ATTR_ATIME)
		*ret_atime = valid & FUSE_SET_ATTR_ATIME_NOW ? now : stat->st_atime;
	if (valid & FUSE_SET_ATTR_MTIME)
		*ret_mtime = valid & FUSE_SET_ATTR_MTIME_NOW ? now : stat->st_mtime;
	if (*ret_atime < 0 || *ret_mtime < 0)
		return -EINVAL;
	if (*ret_atime > UINT32_MAX || *ret_mtime > UINT32_MAX)
		return -EOVERFLOW;
	return 0;
}

static int add_times(struct fs *fs, uint64_t node, const struct stat *stat, int valid,
                     struct sftp_attrs *attrs)
{
	struct sftp_attrs old = {.flags = 0};
	struct cache_ticket ticket;
	int64_t atime, mtime;
	int error = 0;

	if ((valid & SET_TIMES) != SET_TIMES)
		error = attr_fetch_node(fs, node, &ticket, &old);
	if (error)
		return error;
	atime = old.atime;
	mtime = old.mtime;
	error = wanted_times(stat, valid, &atime, &mtime);
	if (error)
		return error;
	attrs->flags |= SFTP_ATTR_TIMES;
	attrs->atime = (uint32_t)atime;
	attrs->mtime = (uint32_t)mtime;
	return 0;
}

static void add_owner(const struct stat *stat, int valid, struct sftp_attrs *attrs)
{
	attrs->flags |= SFTP_ATTR_UIDGID;
	attrs->uid = valid & FUSE_SET_ATTR_UID ? stat->st_uid : (uint32_t)-1;
	attrs->gid = valid & FUSE_SET_ATTR_GID ? stat->st_gid : (uint32_t)-1;
}

/* All but the size goes to the server in one request. */
static int set_more(struct fs *fs, uint64_t node, const struct stat *stat, int valid,
                    struct answer *answer)
{
	struct sftp_attrs attrs = {.flags = 0};
	int error = 0;

	if (valid & FUSE_SET_ATTR_MODE) {
		attrs.flags |= SFTP_ATTR_PERMISSIONS;
		attrs.permissions = stat->st_mode & 07777;
	}
	if (valid & SET_OWNER)
		add_owner(stat, valid, &attrs);
	if (valid & SET_TIMES)
		error = add_times(fs, node, stat, valid, &attrs);
	return error ? error : set_attrs(fs, node, &attrs, answer);
}

/* What the last request comes back with is the answer. */
static int set_all(struct fs *fs, uint64_t node, const struct stat *stat, int valid,
                   struct handle *handle, struct answer *answer)
{
	int error = 0;

	if (valid & FUSE_SET_ATTR_SIZE)
		error = truncate_node(fs, node, handle, (uint64_t)stat->st_size, &answer->ticket,
		                      valid & SET_MORE ? NULL : &answer->found);
	if (!error && valid & SET_MORE)
		error = set_more(fs, node, stat, valid, answer);
	if (!error && answer->found.error == -EAGAIN)
		ask(fs, node, answer);
	return error;
}

/* NOW comes with or without the plain flag of the same time. */
static int with_plain_flags(int valid)
{
	if (valid & FUSE_SET_ATTR_ATIME_NOW)
		valid |= FUSE_SET_ATTR_ATIME;
	if (valid & FUSE_SET_ATTR_MTIME_NOW)
		valid |= FUSE_SET_ATTR_MTIME;
	return valid;
}

static int setattr_work(struct fs *fs, uint64_t node, const struct stat *stat, int valid,
                        struct handle *handle, struct cache_attr *ret_attr, uint64_t *ret_left_ns)
{
	struct answer answer = {.found.follow = fs->settings.follow_symlinks};
	g_autofree char *name = NULL;
	uint64_t dir;
	bool has_name = place_of_node(fs, node, &dir, &name);
	int error = handle_drain_node(fs->handles, node);

	if (error)
		return error;
	if (has_name)
		cache_on_change(fs->cache, CACHE_BEGINS, dir, name);
	error = set_all(fs, node, stat, valid, handle, &answer);
	if (has_name)
		answer.ticket = cache_end_change(fs->cache, answer.ticket, dir, name);
	if (error)
		return place_error(fs, node, error);
	if (has_name)
		return take_answer(fs, node, dir, name, &answer, ret_attr, ret_left_ns);
	if (answer.found.error)
		return answer.found.error;
	convert_attrs_to_cache(&answer.found.attrs, ret_attr);
	*ret_left_ns = 0;
	return 0;
}

static void op_setattr(fuse_req_t req, fuse_ino_t node, struct stat *stat, int valid,
                       struct fuse_file_info *fi)
{
	struct handle *handle = fi ? (struct handle *)(uintptr_t)fi->fh : NULL;
	struct request request;
	struct cache_attr attr;
	uint64_t left_ns = 0;
	int error;

	request_begin(&request, req, OP_SETATTR);
	valid = with_plain_flags(valid);
	if (valid & SET_ALL)
		error = setattr_work(request.fs, node, stat, valid, handle, &attr, &left_ns);
	else
		error = attr_get(request.fs, node, &attr, &left_ns);
	end(&request, node, error, &attr, left_ns);
}

/* ---- access ----------------------------------------------------------------------------------- */

/*
 * What may be done is known to the server alone, which says so when it is tried. Only whether a file
 * is a program is seen from here: any x bit will do, as for root, since the owner on the server
 * need not be one here.
 */
static int access_work(struct fs *fs, uint64_t node, int mask)
{
	struct cache_attr attr;
	struct stat stat;
	uint64_t left_ns;
	int error;

	/* The kernel, with default_permissions, decides by itself; it does not ask again. */
	if (fs->settings.default_permissions)
		return -ENOSYS;
	if (!(mask & X_OK) || node_type(fs->nodes, node) == S_IFDIR)
		return 0;
	error = attr_get(fs, node, &attr, &left_ns);
	if (error)
		return error;
	convert_cache_to_stat(fs, &attr, 0, &stat);
	if (S_ISREG(stat.st_mode) && !(stat.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)))
		return -EACCES;
	return 0;
}

static void op_access(fuse_req_t req, fuse_ino_t node, int mask)
{
	struct request request;

	request_begin(&request, req, OP_ACCESS);
	request_end(&request, access_work(request.fs, node, mask));
}

void attr_add_ops(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->access = op_access;
}
