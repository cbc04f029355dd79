// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Listings. An open folder reads from one snapshot, which it takes when it is read from the start: the
 * cache's if that is still valid, else a new one from the server. Offset 0 again (rewinddir) takes
 * the snapshot anew. So offsets are places in the snapshot, listings of an unchanged folder are equal,
 * and telldir(3) and seekdir(3) work; and a listing that began before a change goes on undisturbed.
 *
 * A snapshot may be old by the time an entry of it is read. What the kernel is told for keeps, an entry
 * with attributes (readdirplus), hence comes from the cache, which has followed every change, and not
 * from the snapshot: what the cache does not know goes out as a bare name and type.
 *
 * opendir asks nothing of the server: folders are opened to be synced or as a starting point as often
 * as to be read.
 */
#include <pthread.h>

#include "listing.h"
#include "lock.h"
#include "request.h"
#include "util.h"

#define ENTRIES_MAX  (16 * MIB) /* of one folder; more is not a listing but an attack */
#define REPEATED_MAX 1024       /* names that come again, besides as many as there are */
#define REPLY_MAX    MIB        /* bytes; the kernel asks for less */
#define FIRST_OFFSET 2          /* that of the snapshot's first entry, after "." and ".." */

struct dir_handle {
	pthread_mutex_t lock;
	struct listing *listing; /* NULL: not read yet; protected by lock */
	GList link;              /* in fs->open_dirs; protected by that one's lock */
};

static struct dir_handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct dir_handle *)(uintptr_t)fi->fh;
}

/* ---- taking a snapshot ------------------------------------------------------------------------ */

struct build {
	struct fs *fs;
	uint64_t dir;
	struct listing *listing;
	size_t repeated; /* names that had come before */
};

/* Each name may come twice, where a folder changes meanwhile; a server that goes on so never ends. */
static bool is_endless(const struct build *build)
{
	return build->repeated > listing_count(build->listing) + REPEATED_MAX;
}

/*
 * Attributes without a size are not all there is to say of a file: shown, it would read as empty. And
 * those of a link are not those of what it leads to, which follow_symlinks shows.
 */
static bool are_attrs_shown(const struct fs *fs, const struct sftp_attrs *attrs)
{
	if (!attrs || !(attrs->flags & SFTP_ATTR_PERMISSIONS))
		return false;
	if (!(attrs->flags & SFTP_ATTR_SIZE) && !S_ISDIR(attrs->permissions))
		return false;
	return !(fs->settings.follow_symlinks && S_ISLNK(attrs->permissions));
}

static int append_entry(const char *name, const struct sftp_attrs *attrs, void *data)
{
	struct build *build = data;
	struct listing_entry entry = {
		.name = name,
		.id = lookup_choose_id(build->fs, build->dir, name),
		.has_attr = are_attrs_shown(build->fs, attrs),
	};
	size_t count = listing_count(build->listing);

	if (count >= ENTRIES_MAX)
		return -EOVERFLOW;
	if (entry.has_attr)
		convert_attrs_to_cache(attrs, &entry.attr);
	listing_append(build->listing, &entry);
	build->repeated += listing_count(build->listing) == count;
	return is_endless(build) ? -EPROTO : 0;
}

static int list_once(struct fs *fs, uint64_t dir, const char *path, struct listing **ret_listing)
{
	struct build build = {.fs = fs, .dir = dir, .listing = listing_new()};
	int error = sftp_list(fs->client, path, append_entry, &build);

	if (error) {
		listing_unref(build.listing);
		return error;
	}
	*ret_listing = build.listing;
	return 0;
}

static void note_surprise(struct fs *fs, uint64_t node)
{
	g_autofree char *name = NULL;
	uint64_t dir;

	if (lookup_place(fs, node, &dir, &name))
		cache_on_surprise(fs->cache, dir, name, node);
}

static int list_server(struct fs *fs, uint64_t dir, struct listing **ret_listing)
{
	for (;;) {
		struct cache_ticket ticket = cache_take_ticket(fs->cache);
		g_autofree char *path = node_path(fs->nodes, dir);
		int error;

		if (!path)
			return -ENOENT;
		error = list_once(fs, dir, path, ret_listing);
		if (lookup_node_was_moved(fs, error, dir, path))
			continue;
		if (!error)
			cache_put_listing(fs->cache, ticket, dir, *ret_listing);
		else if (error == -ENOENT || error == -ENOTDIR)
			note_surprise(fs, dir);
		return error;
	}
}

static int take_snapshot(struct fs *fs, uint64_t dir, struct listing **ret_listing)
{
	struct listing *cached = cache_get_listing(fs->cache, dir);

	if (!cached)
		return list_server(fs, dir, ret_listing);
	*ret_listing = cached;
	return 0;
}

/* The snapshot to read from, referenced: the handle's own, or from the start a new one. */
static int get_snapshot(struct fs *fs, uint64_t dir, struct dir_handle *handle, off_t offset,
                        struct listing **ret_listing)
{
	struct listing *fresh = NULL, *old;
	int error;

	if (offset > 0) {
		LOCK_SCOPE(&handle->lock);
		if (handle->listing) {
			*ret_listing = listing_ref(handle->listing);
			return 0;
		}
	}
	error = take_snapshot(fs, dir, &fresh);
	if (error)
		return error;
	pthread_mutex_lock(&handle->lock);
	old = handle->listing;
	handle->listing = listing_ref(fresh);
	pthread_mutex_unlock(&handle->lock);
	listing_unref(old);
	*ret_listing = fresh;
	return 0;
}

/* ---- cutting replies from it ------------------------------------------------------------------ */

struct reply {
	struct fs *fs;
	fuse_req_t req;
	uint64_t dir;
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

/* False: no more room. Entries that were removed since the snapshot are passed over. */
static bool add_listed(struct reply *reply, const struct listing_entry *listed, off_t next)
{
	struct fs *fs = reply->fs;
	struct fuse_entry_param entry;
	struct cache_name known;
	enum cache_known answer = cache_get_name(fs->cache, reply->dir, listed->name, &known);

	if (answer == CACHE_ABSENT)
		return true;
	if (!has_room(reply, listed->name))
		return false;
	if (!reply->plus || answer != CACHE_PRESENT || !known.has_attr ||
	    lookup_enter_known(fs, reply->dir, listed->name, &known, &entry) != 0) {
		entry = (struct fuse_entry_param){0};
		entry.attr.st_ino = node_child_ino(fs->nodes, reply->dir, listed->name);
		entry.attr.st_mode = listed->has_attr ? listed->attr.mode & S_IFMT : 0;
	}
	add_entry(reply, listed->name, &entry, next);
	return true;
}

static void fill(struct reply *reply, const struct listing *listing, off_t offset)
{
	size_t count = listing_count(listing);
	struct listing_entry listed;

	if (offset < 1 && !add_dot(reply, ".", reply->dir, 1))
		return;
	if (offset < FIRST_OFFSET &&
	    !add_dot(reply, "..", parent_of(reply->fs, reply->dir), FIRST_OFFSET))
		return;
	for (size_t i = MAX(offset, FIRST_OFFSET) - FIRST_OFFSET; i < count; i++) {
		listing_get(listing, i, &listed);
		if (!add_listed(reply, &listed, (off_t)i + FIRST_OFFSET + 1))
			return;
	}
}

static ssize_t readdir_work(struct reply *reply, struct dir_handle *handle, off_t offset)
{
	struct listing *listing;
	int error;

	if (offset < 0)
		return -EINVAL;
	error = get_snapshot(reply->fs, reply->dir, handle, offset, &listing);
	if (error)
		return error;
	reply->buf = g_malloc(reply->size);
	fill(reply, listing, offset);
	listing_unref(listing);
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
	listing_unref(handle->listing);
	pthread_mutex_destroy(&handle->lock);
	g_free(handle);
}

static void op_opendir(fuse_req_t req, fuse_ino_t dir, struct fuse_file_info *fi)
{
	struct request request;
	struct fs *fs;

	request_begin(&request, req, OP_OPENDIR);
	fs = request.fs;
	fi->fh = (uintptr_t)dir_handle_new(fs);
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
