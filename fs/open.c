// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Opening, creating, flushing and releasing files.
 *
 * OPEN and LSTAT go out together: one round trip tells both the handle and whether what the kernel keeps
 * of the file is still right. What was read ahead, or just seen to be unchanged, is opened without them. Data
 * is on the server when close(2) or fsync(2) returns, and the first
 * error of what was written behind is returned there.
 *
 * An open file is a handle on one connection. When that is lost the file is stale: every use ends with
 * EIO (compat.md 2.13), and opening it again helps.
 */
#include <fcntl.h>
#include <time.h>

#include "clock.h"
#include "history.h"
#include "log.h"
#include "request.h"
#include "scan.h"
#include "stage.h"

#define SETTLED_SECONDS       2
#define CLOCKS_DIFFER_SECONDS 60 /* the clocks of two machines, as a rule at most */

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

/* ---- opening ------------------------------------------------------------------------------------ */

static uint32_t sftp_flags(int flags)
{
	uint32_t result = 0;

	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		result = SFTP_OPEN_READ;
		break;
	case O_WRONLY:
		result = SFTP_OPEN_WRITE;
		break;
	default:
		result = SFTP_OPEN_READ | SFTP_OPEN_WRITE;
		break;
	}
	if (flags & O_APPEND)
		result |= SFTP_OPEN_APPEND;
	if (flags & O_TRUNC)
		result |= SFTP_OPEN_TRUNC;
	if (flags & O_CREAT)
		result |= SFTP_OPEN_CREAT;
	if (flags & O_EXCL)
		result |= SFTP_OPEN_EXCL;
	return result;
}

/* What servers say that do not know APPEND; EACCES is the commonest, and may be meant as well. */
static bool refuses_append(int error)
{
	return error == -EACCES || error == -EOPNOTSUPP || error == -EPERM || error == -EINVAL ||
	       error == -EBADMSG;
}

/* Without the server's help appending still works: the kernel sends each write to the known end. */
static int open_path(struct fs *fs, const char *path, int flags, mode_t mode,
                     struct sftp_file **ret_file, struct sftp_after *after)
{
	uint32_t wanted = sftp_flags(flags);
	int error = sftp_open(fs->client, path, wanted, mode, ret_file, after);

	if (error && wanted & SFTP_OPEN_APPEND && refuses_append(error)) {
		wanted &= ~(uint32_t)SFTP_OPEN_APPEND;
		error = sftp_open(fs->client, path, wanted, mode, ret_file, after);
	}
	return error;
}

/* Opens by the node's path, again if a folder above was renamed meanwhile. */
static int open_node(struct fs *fs, uint64_t node, int flags, struct cache_ticket *ret_ticket,
                     struct sftp_file **ret_file, struct sftp_after *after)
{
	for (;;) {
		g_autofree char *path = NULL;
		int error;

		*ret_ticket = cache_take_ticket(fs->cache);
		path = node_path(fs->nodes, node);
		if (!path)
			return -ESTALE;
		error = open_path(fs, path, flags, 0, ret_file, after);
		if (!place_node_was_moved(fs, error, node, path))
			return error;
	}
}

int open_placing(struct fs *fs, uint64_t node, struct handle **ret_handle)
{
	struct cache_ticket ticket;
	struct sftp_file *file;
	int error = open_node(fs, node, O_WRONLY, &ticket, &file, NULL);

	if (!error)
		*ret_handle = handle_new(fs->handles, node, file, O_WRONLY);
	return error;
}

int open_late(struct fs *fs, struct handle *handle, struct sftp_file **ret_file)
{
	struct cache_ticket ticket;
	int error = 0;

	if (!handle_file(handle)) {
		struct sftp_file *file;

		error = open_node(fs, handle_node(handle), O_RDONLY, &ticket, &file, NULL);
		if (!error)
			handle_set_file(handle, file);
	}
	*ret_file = handle_file(handle);
	return error;
}

void open_before_removal(struct fs *fs, uint64_t dir, const char *name)
{
	uint64_t node = node_find(fs->nodes, dir, name);
	struct handle *handle;
	int error = 0;

	while (node && !error && (handle = handle_find_held(fs->handles, node)) != NULL) {
		struct sftp_file *file;

		error = open_late(fs, handle, &file);
		handle_unref(handle);
	}
}

/*
 * The second in which the file was changed last is over on the server, by two signs, since each may mislead: the
 * server has given later times since (but somebody may have set one), and ours is far beyond (but the
 * clocks may differ).
 */
bool open_is_settled(struct fs *fs, int64_t mtime)
{
	return mtime < node_latest_mtime(fs->nodes) - SETTLED_SECONDS &&
	       mtime < time(NULL) - CLOCKS_DIFFER_SECONDS;
}

/* The pages that the kernel has of the file are still right, or the user says that they count as such. */
static bool keeps_pages(struct fs *fs, uint64_t node, uint64_t size, int64_t mtime)
{
	enum node_contents contents = node_note_contents(
		fs->nodes, node, size, mtime, open_is_settled(fs, mtime), clock_now_ns());

	if (fs->settings.kernel_cache)
		return true;
	if (fs->settings.contents == FS_CONTENTS_SAME)
		return contents != NODE_CONTENTS_NEW;
	return fs->settings.contents == FS_CONTENTS_PROVEN && contents == NODE_CONTENTS_PROVEN &&
	       cache_is_enabled(fs->cache);
}

/* How the kernel shall treat the open file. */
static void set_modes(struct fs *fs, uint64_t node, uint64_t size, int64_t mtime,
                      struct fuse_file_info *fi)
{
	fi->direct_io = fs->settings.direct_io;
	fi->parallel_direct_writes = fi->direct_io;
	fi->keep_cache = keeps_pages(fs, node, size, mtime);
	fi->noflush = fs->settings.no_rofd_flush && (fi->flags & O_ACCMODE) == O_RDONLY;
}

static struct stage_reader *new_reader(struct fs *fs, uint64_t node, struct sftp_file *file,
                                       uint64_t size, int64_t mtime, int flags)
{
	const struct stage_identity identity = {
		.size = size, .mtime = mtime, .settled = open_is_settled(fs, mtime)};

	if (!context_reads_ahead(&fs->settings) || (flags & O_ACCMODE) == O_WRONLY)
		return NULL;
	return stage_reader_new(fs->stage, node, file, &identity);
}

/*
 * The opened file as the kernel gets it. Takes over the reference to `file` (which may be NULL) and the reader (the
 * same).
 */
static void hand_out(struct fs *fs, uint64_t node, struct sftp_file *file,
                     struct stage_reader *reader, uint64_t size, int64_t mtime,
                     struct fuse_file_info *fi)
{
	struct handle *handle;

	node_ref(fs->nodes, node);
	handle = handle_new(fs->handles, node, file, fi->flags);
	handle_set_reader(handle, reader);
	fi->fh = (uintptr_t)handle;
	set_modes(fs, node, size, mtime, fi);
}

static void drop_handle(struct fs *fs, struct handle *handle)
{
	uint64_t node = handle_node(handle);

	handle_release(fs->handles, handle);
	node_unref(fs->nodes, node);
}

static void put_attrs(struct fs *fs, struct cache_ticket ticket, uint64_t node, uint64_t dir,
                      const char *name, const struct sftp_attrs *attrs)
{
	struct cache_attr attr;

	convert_attrs_to_cache(attrs, &attr);
	cache_put_name(fs->cache, ticket, dir, name, node, &attr);
}

/*
 * The kernel may trust attributes that it was told a while ago; with an old size it would read short.
 * Here it is known better, and it asks again. (Attributes alone: nothing is waited for.)
 */
static void correct_kernel(struct fs *fs, uint64_t node, uint64_t size, int64_t mtime)
{
	if (!node_was_told(fs->nodes, node, size, mtime))
		fuse_lowlevel_notify_inval_inode(fs->session, node, -1, 0);
}

static void begin_truncation(struct fs *fs, uint64_t node, uint64_t dir, const char *name)
{
	stage_begin_change(fs->stage, node, 0, UINT64_MAX);
	cache_on_change(fs->cache, CACHE_BEGINS, dir, name);
}

static struct cache_ticket end_truncation(struct fs *fs, struct cache_ticket ticket, uint64_t node,
                                          uint64_t dir, const char *name)
{
	stage_end_change(fs->stage, node, 0, UINT64_MAX);
	return cache_end_change(fs->cache, ticket, dir, name);
}

/* By the server. What is on its way of the node's writes is there already. */
static int open_there(struct fs *fs, uint64_t node, uint64_t dir, const char *name,
                      struct fuse_file_info *fi)
{
	struct sftp_after after = {.follow = fs->settings.follow_symlinks};
	struct sftp_attrs *attrs = &after.attrs;
	struct cache_ticket ticket = {0};
	struct sftp_file *file = NULL;
	int error;

	if (fi->flags & O_TRUNC)
		begin_truncation(fs, node, dir, name);
	error = open_node(fs, node, fi->flags & ~(O_CREAT | O_EXCL), &ticket, &file, &after);
	if (!error)
		error = after.error;
	if (error == -EAGAIN)
		error = attr_fetch_node(fs, node, &ticket, attrs);
	if (fi->flags & O_TRUNC)
		ticket = end_truncation(fs, ticket, node, dir, name);
	if (error) {
		sftp_file_unref(file);
		return place_error(fs, node, error);
	}
	put_attrs(fs, ticket, node, dir, name, attrs);
	correct_kernel(fs, node, attrs->size, attrs->mtime);
	if ((fi->flags & O_ACCMODE) != O_WRONLY)
		node_note_opened(fs->nodes, node, attrs->permissions & (S_IFMT | 07777));
	hand_out(fs, node, file, new_reader(fs, node, file, attrs->size, attrs->mtime, fi->flags),
	         attrs->size, attrs->mtime, fi);
	return 0;
}

/* A file that was read ahead, whole, a moment ago: the server has told all of it. */
static bool open_held(struct fs *fs, uint64_t node, struct fuse_file_info *fi)
{
	struct stage_identity identity;
	struct stage_reader *reader = stage_reader_of_whole(fs->stage, node, &identity);

	if (!reader)
		return false;
	correct_kernel(fs, node, identity.size, identity.mtime);
	hand_out(fs, node, NULL, reader, identity.size, identity.mtime, fi);
	return true;
}

/*
 * A file that was read before, of which the server has just told that it is the same: it is opened when somebody
 * reads what the kernel does not have.
 */
static bool open_unchanged(struct fs *fs, uint64_t node, uint64_t dir, const char *name,
                           struct fuse_file_info *fi)
{
	struct cache_name known;
	const struct cache_attr *attr = &known.attr;

	if (cache_get_name(fs->cache, dir, name, &known) != CACHE_PRESENT || !known.has_attr ||
	    !history_is_now(fs->history, known.asked_ns) ||
	    !node_can_be_read_again(fs->nodes, node, attr->size, attr->mtime, attr->mode))
		return false;
	correct_kernel(fs, node, attr->size, attr->mtime);
	hand_out(fs, node, NULL, NULL, attr->size, attr->mtime, fi);
	history_note(fs->history, dir, name);
	return true;
}

/* True when it was opened without asking the server. */
static bool open_here(struct fs *fs, uint64_t node, uint64_t dir, const char *name,
                      struct fuse_file_info *fi)
{
	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC ||
	    !context_reads_ahead(&fs->settings))
		return false;
	scan_opens(fs->scan, node, dir, name);
	return open_held(fs, node, fi) || open_unchanged(fs, node, dir, name, fi);
}

/* What has followed this file before is looked at in the same round trip. */
static int open_work(struct fs *fs, uint64_t node, struct fuse_file_info *fi)
{
	struct history_looks *looks;
	g_autofree char *name = NULL;
	uint64_t dir;
	int error = handle_drain_node(fs->handles, node);

	if (error)
		return error;
	if (!place_of_node(fs, node, &dir, &name))
		return -ESTALE;
	if (open_here(fs, node, dir, name, fi))
		return 0;
	looks = history_begin(fs->history, dir, name);
	error = open_there(fs, node, dir, name, fi);
	history_end(looks);
	return error;
}

static void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct request request;
	struct fs *fs;
	int error;

	request_begin(&request, req, OP_OPEN);
	fs = request.fs;
	error = open_work(fs, node, fi);
	if (!request_end_open(&request, error, fi))
		drop_handle(fs, handle_of(fi));
}

/* ---- creating ----------------------------------------------------------------------------------- */

struct creation {
	int flags;
	mode_t mode;
	struct sftp_file *file; /* once it is there */
};

static int make_open_file(struct fs *fs, const char *path, void *data, struct sftp_after *after)
{
	struct creation *creation = data;

	return open_path(fs, path, creation->flags, creation->mode, &creation->file, after);
}

static int create_work(struct fs *fs, uint64_t dir, const char *name, mode_t mode,
                       struct fuse_file_info *fi, struct fuse_entry_param *ret_entry)
{
	struct creation creation = {.flags = fi->flags | O_CREAT, .mode = mode};
	const struct stat *stat = &ret_entry->attr;
	int error = create_name(fs, dir, name, make_open_file, &creation, ret_entry);

	if (error) {
		sftp_file_unref(creation.file);
		return error;
	}
	hand_out(fs, ret_entry->ino, creation.file,
	         new_reader(fs, ret_entry->ino, creation.file, (uint64_t)stat->st_size,
	                    stat->st_mtime, fi->flags),
	         (uint64_t)stat->st_size, stat->st_mtime, fi);
	return 0;
}

static void op_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
	struct fuse_entry_param entry;
	struct request request;
	struct fs *fs;
	int error;

	request_begin(&request, req, OP_CREATE);
	fs = request.fs;
	error = create_work(fs, dir, name, mode, fi, &entry);
	if (!request_end_create(&request, error, &entry, fi))
		drop_handle(fs, handle_of(fi));
}

/* ---- on the server when close(2) or fsync(2) returns -------------------------------------------- */

static int flush_work(struct handle *handle)
{
	return request_io_error(handle_drain(handle, true));
}

static void op_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct request request;

	request_begin(&request, req, OP_FLUSH);
	request_end(&request, flush_work(handle_of(fi)));
}

/* What a server says that cannot do it, or not for this kind of file. */
static bool cannot_sync(int error)
{
	return error == -EOPNOTSUPP || error == -EBADMSG || error == -EPERM || error == -EACCES ||
	       error == -EINVAL;
}

static int fsync_work(struct fs *fs, struct handle *handle)
{
	static gint told;
	int error = handle_drain(handle, true);

	/* What was opened from here was not written to. */
	if (error || !handle_file(handle))
		return request_io_error(error);
	error = sftp_fsync(handle_file(handle));
	if (!error || !cannot_sync(error))
		return request_io_error(error);
	if (error != -EOPNOTSUPP && g_atomic_int_compare_and_exchange(&told, 0, 1))
		log_note("the server refuses fsync (%s): data is handed over to it, but whether it "
		         "is on its disk is not known",
		         g_strerror(-error));
	return 0;
}

static void op_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	struct request request;

	request_begin(&request, req, OP_FSYNC);
	request_end(&request, fsync_work(request.fs, handle_of(fi)));
}

/* Nobody hears of an error any more: it is logged. What is on its way keeps the handle. */
static void op_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct handle *handle = handle_of(fi);
	struct request request;
	int error;

	request_begin(&request, req, OP_RELEASE);
	error = handle_drain(handle, true);
	if (error && error != -EINTR) {
		g_autofree char *path = node_path(request.fs->nodes, node);

		log_error("written data of %s is lost: %s", path ? path : "a removed file",
		          g_strerror(-error));
	}
	drop_handle(request.fs, handle);
	request_end(&request, 0);
}

void open_add_ops(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->create = op_create;
	ops->flush = op_flush;
	ops->fsync = op_fsync;
	ops->release = op_release;
}
