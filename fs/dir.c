// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Listings. An open folder reads from one stream of entries (stream.h), which it takes when it is read from
 * the start: what the cache knows if that is still valid, else what arrives from the server. Offset 0
 * again (rewinddir) takes it anew. So offsets are places in the stream, listings of an unchanged folder
 * are equal, and telldir(3) and seekdir(3) work; and a listing that began before a change goes on undisturbed.
 *
 * What was listed may be outdated by the time an entry of it is read. What the kernel is told for keeps, an
 * entry with attributes (readdirplus), is hence what the cache makes of it, which has followed every change
 * (cache_get_listed()): what is in doubt goes out as a bare name and type.
 *
 * The kernel keeps what it has read of a folder while we know that it is still what the cache holds
 * (FOPEN_KEEP_CACHE): then READDIR does not come to us at all. Our own changes it sees by itself.
 *
 * opendir asks nothing of the server: folders are opened to be synced or as a starting point as often
 * as to be read.
 */
#include <pthread.h>

#include "lock.h"
#include "request.h"
#include "scan.h"
#include "stream.h"
#include "util.h"
#include "walk.h"

#define REPLY_MAX    MIB /* bytes; the kernel asks for less */
#define FIRST_OFFSET 2   /* that of the first entry, after "." and ".." */

struct dir_handle {
	pthread_mutex_t lock;
	struct stream *stream; /* NULL: not read yet; protected by lock */
	GList link;            /* in fs->open_dirs; protected by that one's lock */
};

static struct dir_handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct dir_handle *)(uintptr_t)fi->fh;
}

/* ---- the stream of a handle ------------------------------------------------------------------- */

/* From now on the handle reads from this one, of which it takes over the reference. */
static void set_stream(struct dir_handle *handle, struct stream *stream)
{
	struct stream *old;

	pthread_mutex_lock(&handle->lock);
	old = handle->stream;
	handle->stream = stream;
	pthread_mutex_unlock(&handle->lock);
	stream_unref(old);
}

/* The handle's own stream, referenced, or NULL. */
static struct stream *get_own_stream(struct dir_handle *handle)
{
	LOCK_SCOPE(&handle->lock);

	return handle->stream ? stream_ref(handle->stream) : NULL;
}

static struct stream *take_stream(struct fs *fs, uint64_t dir, struct dir_handle *handle,
                                  off_t offset)
{
	struct stream *stream = offset > 0 ? get_own_stream(handle) : NULL;

	if (stream)
		return stream;
	stream = stream_get(fs, dir);
	stream_want(stream);
	/* The kernel fills its pages anew from here on. */
	node_note_listing(fs->nodes, dir, stream_serial(stream));
	set_stream(handle, stream_ref(stream));
	return stream;
}

static size_t place_of(off_t offset)
{
	return (size_t)(MAX(offset, FIRST_OFFSET) - FIRST_OFFSET);
}

/*
 * The stream to read from, referenced, with the entry at the offset, unless there are no more. Where a
 * folder that is too large to be kept is read again from further back, it is asked for again.
 */
static int get_stream(struct fs *fs, uint64_t dir, struct dir_handle *handle, off_t offset,
                      struct stream **ret_stream)
{
	struct stream *stream = take_stream(fs, dir, handle, offset);
	int result = stream_await(stream, place_of(offset));

	if (result == -ESTALE) {
		stream_unref(stream);
		stream = stream_new(fs, dir);
		set_stream(handle, stream_ref(stream));
		result = stream_await(stream, place_of(offset));
	}
	if (result < 0) {
		stream_unref(stream);
		return result;
	}
	*ret_stream = stream;
	return 0;
}

/* ---- cutting replies from it ------------------------------------------------------------------ */

struct reply {
	struct fs *fs;
	fuse_req_t req;
	uint64_t dir;
	struct cache_ticket ticket; /* of what was listed */
	bool plus;
	char *buf;
	size_t size, used; /* bytes */
};

/* With plus, an entry without node id is one that the kernel is told nothing else about. */
static size_t put_entry(const struct reply *reply, char *buf, size_t size, const char *name,
                        const struct fuse_entry_param *entry, off_t next)
{
	if (reply->plus)
		return fuse_add_direntry_plus(reply->req, buf, size, name, entry, next);
	return fuse_add_direntry(reply->req, buf, size, name, &entry->attr, next);
}

static bool has_room(const struct reply *reply, const char *name)
{
	static const struct fuse_entry_param none;

	return reply->used + put_entry(reply, NULL, 0, name, &none, 0) <= reply->size;
}

static void add_entry(struct reply *reply, const char *name, const struct fuse_entry_param *entry,
                      off_t next)
{
	reply->used += put_entry(reply, reply->buf + reply->used, reply->size - reply->used, name,
	                         entry, next);
}

/* "." and "..". */
static bool add_dot(struct reply *reply, const char *name, uint64_t node, off_t next)
{
	struct fuse_entry_param entry = {
		.attr = {.st_ino = node_ino(reply->fs->nodes, node), .st_mode = S_IFDIR},
	};

	if (!has_room(reply, name))
		return false;
	add_entry(reply, name, &entry, next);
	return true;
}

static uint64_t parent_of(struct fs *fs, uint64_t node)
{
	g_autofree char *name = NULL;
	uint64_t parent;

	return node_name(fs->nodes, node, &parent, &name) ? parent : FUSE_ROOT_ID;
}

/* What the kernel is told of an entry; false: nothing, it was removed since. */
static bool describe(struct reply *reply, const struct listing_entry *listed,
                     struct fuse_entry_param *ret_entry)
{
	struct fs *fs = reply->fs;
	struct cache_name known;
	enum cache_known answer =
		cache_get_listed(fs->cache, reply->ticket, reply->dir, listed, &known);

	if (answer == CACHE_ABSENT || listed->state == LISTING_REMOVED)
		return false;
	if (reply->plus && answer == CACHE_PRESENT && known.has_attr &&
	    lookup_enter_known(fs, reply->dir, listed->name, &known, ret_entry) == 0)
		return true;
	*ret_entry = (struct fuse_entry_param){0};
	ret_entry->attr.st_ino = node_child_ino(fs->nodes, reply->dir, listed->name);
	ret_entry->attr.st_mode = listed->has_attr ? listed->attr.mode & S_IFMT : 0;
	return true;
}

/* False: no more room. */
static bool add_listed(const struct listing_entry *listed, size_t next, void *data)
{
	struct reply *reply = data;
	struct fuse_entry_param entry;

	if (!has_room(reply, listed->name))
		return false;
	if (describe(reply, listed, &entry))
		add_entry(reply, listed->name, &entry, (off_t)next + FIRST_OFFSET);
	return true;
}

static void fill(struct reply *reply, struct stream *stream, off_t offset)
{
	reply->ticket = stream_ticket(stream);
	if (offset < 1 && !add_dot(reply, ".", reply->dir, 1))
		return;
	if (offset < FIRST_OFFSET &&
	    !add_dot(reply, "..", parent_of(reply->fs, reply->dir), FIRST_OFFSET))
		return;
	stream_each(stream, place_of(offset), add_listed, reply);
}

static ssize_t readdir_work(struct reply *reply, struct dir_handle *handle, off_t offset)
{
	struct stream *stream;
	int error;

	if (offset < 0)
		return -EINVAL;
	if (offset == 0)
		walk_reads(reply->fs->walk, reply->dir);
	error = get_stream(reply->fs, reply->dir, handle, offset, &stream);
	if (error)
		return error;
	walk_takes_news(reply->fs->walk, stream);
	reply->buf = g_malloc(reply->size);
	fill(reply, stream, offset);
	stream_unref(stream);
	/* That was all: its files may be next. */
	if (reply->used == 0)
		scan_lists(reply->fs->scan, reply->dir);
	return (ssize_t)reply->used;
}

static void read_folder(fuse_req_t req, fuse_ino_t dir, size_t size, off_t offset,
                        struct fuse_file_info *fi, bool plus)
{
	struct request request;
	struct reply reply = {.req = req, .dir = dir, .plus = plus, .size = MIN(size, REPLY_MAX)};
	ssize_t used;

	request_begin(&request, req, OP_READDIR);
	request.continues = offset > 0;
	reply.fs = request.fs;
	used = readdir_work(&reply, handle_of(fi), offset);
	request_end_buf(&request, used, reply.buf);
	g_free(reply.buf);
}

static void op_readdir(fuse_req_t req, fuse_ino_t dir, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
	read_folder(req, dir, size, offset, fi, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t dir, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
	read_folder(req, dir, size, offset, fi, true);
}

/* ---- open and release ------------------------------------------------------------------------- */

static struct dir_handle *dir_handle_new(struct fs *fs)
{
	struct dir_handle *handle = g_new0(struct dir_handle, 1);

	pthread_mutex_init(&handle->lock, NULL);
	handle->link.data = handle;
	LOCK_SCOPE(&fs->open_dirs.lock);
	g_queue_push_tail_link(&fs->open_dirs.handles, &handle->link);
	return handle;
}

static void dir_handle_free(struct fs *fs, struct dir_handle *handle)
{
	pthread_mutex_lock(&fs->open_dirs.lock);
	g_queue_unlink(&fs->open_dirs.handles, &handle->link);
	pthread_mutex_unlock(&fs->open_dirs.lock);
	stream_unref(handle->stream);
	pthread_mutex_destroy(&handle->lock);
	g_free(handle);
}

/*
 * With what is known, if it is; then the kernel's pages are good if they were made of the same, and should they
 * end in the middle it goes on from there.
 */
static void set_modes(struct fs *fs, uint64_t dir, struct dir_handle *handle,
                      struct fuse_file_info *fi)
{
	struct stream *stream;

	fi->cache_readdir = cache_is_enabled(fs->cache);
	stream = stream_get_cached(fs, dir);
	if (!stream)
		return;
	fi->keep_cache = node_note_listing(fs->nodes, dir, stream_serial(stream));
	handle->stream = stream;
	if (fi->keep_cache) {
		stream_want(stream);
		walk_reads(fs->walk, dir);
		scan_lists(fs->scan, dir);
	}
}

static void op_opendir(fuse_req_t req, fuse_ino_t dir, struct fuse_file_info *fi)
{
	struct dir_handle *handle;
	struct request request;
	struct fs *fs;

	request_begin(&request, req, OP_OPENDIR);
	fs = request.fs;
	handle = dir_handle_new(fs);
	fi->fh = (uintptr_t)handle;
	set_modes(fs, dir, handle, fi);
	if (!request_end_open(&request, 0, fi))
		dir_handle_free(fs, handle_of(fi));
}

static void op_releasedir(fuse_req_t req, fuse_ino_t dir, struct fuse_file_info *fi)
{
	struct request request;

	request_begin(&request, req, OP_RELEASEDIR);
	dir_handle_free(request.fs, handle_of(fi));
	request_end(&request, 0);
}

void dir_free_all(struct fs *fs)
{
	GList *link;

	while ((link = fs->open_dirs.handles.head))
		dir_handle_free(fs, link->data);
}

/* Names are on the server when the call that made them returns; more cannot be asked for. */
static void op_fsyncdir(fuse_req_t req, fuse_ino_t dir, int datasync, struct fuse_file_info *fi)
{
	struct request request;

	request_begin(&request, req, OP_FSYNCDIR);
	request_end(&request, 0);
}

void dir_add_ops(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = op_opendir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
	ops->releasedir = op_releasedir;
	ops->fsyncdir = op_fsyncdir;
}
