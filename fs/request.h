/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shell around every handler, and the only place that replies.
 *
 * A FUSE operation is two functions: `work`, a straight line that returns 0 or a negative errno, and
 * a thin op that begins a request, calls work, and ends it with one of request_end_*():
 *
 *	static void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
 *	{
 *		struct request request;
 *		struct fuse_entry_param entry;
 *
 *		request_begin(&request, req, OP_MKDIR);
 *		request_end_entry(&request, mkdir_work(&request, dir, name, mode, &entry), &entry);
 *	}
 *
 * request_begin() binds an sftp_cancel to the thread, so that a process that is about to die does not
 * wait for the server (interrupt.c). The end counts (stats.h): how long it took, and whether the thread has
 * turned to the server meanwhile; so works need not say where their answers come from.
 */
#ifndef FS_REQUEST_H
#define FS_REQUEST_H

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "cache.h"
#include "context.h"
#include "handle.h"
#include "node.h"
#include "operation.h"

struct interrupt;
struct change;

struct request {
	fuse_req_t req;
	struct fs *fs;
	struct interrupt *interrupt;
	enum operation operation;
	bool continues; /* what an earlier request began: it alone costs, or saves, a round trip */
	uint64_t begun_ns; /* clock_now_ns() */
	uint64_t turns;    /* sftp_turns() when it began */
};

void request_begin(struct request *request, fuse_req_t req, enum operation operation);

/* `error` is 0 or a negative errno, which is then the reply. */
void request_end(struct request *request, int error);
void request_end_entry(struct request *request, int error, const struct fuse_entry_param *entry);
void request_end_attr(struct request *request, int error, const struct stat *stat, double timeout);
/*
 * open, opendir and create. False: the kernel did not take the opened file, because its caller is
 * gone, and will never release it; the op does so instead.
 */
bool request_end_open(struct request *request, int error, const struct fuse_file_info *fi);
bool request_end_create(struct request *request, int error, const struct fuse_entry_param *entry,
                        const struct fuse_file_info *fi);
void request_end_write(struct request *request, ssize_t count_or_error);
void request_end_buf(struct request *request, ssize_t size_or_error, const void *buf);
/* The same in pieces, of that size together. */
void request_end_iov(struct request *request, ssize_t size_or_error, const struct iovec *pieces,
                     int count);
void request_end_link(struct request *request, int error, const char *target);
void request_end_statfs(struct request *request, int error, const struct statvfs *statvfs);
/* `buf` is for the caller. */
void request_end_ioctl(struct request *request, int error, const void *buf, size_t size);
void request_end_lseek(struct request *request, off_t offset_or_error);

/*
 * The errno of a use of an open file: a lost connection is EIO there (compat.md 2.13), now and for every
 * later use of the same descriptor.
 */
static inline int request_io_error(int error)
{
	return error == -ENOTCONN ? -EIO : error;
}

/* ---- shared by the flows ---------------------------------------------------------------------- */

/* convert.c: server and cache attributes to struct stat as it is shown: uid=, gid=, umask= applied. */
void convert_attrs_to_cache(const struct sftp_attrs *attrs, struct cache_attr *ret_attr);
void convert_cache_to_stat(const struct fs *fs, const struct cache_attr *attr, uint64_t ino,
                           struct stat *ret_stat);

/*
 * convert.c: how long the kernel may trust an answer, in seconds: the user's setting (negative: none),
 * but not longer than the cache would, if there is one.
 */
double convert_timeout(const struct fs *fs, double setting, uint64_t left_ns);

/*
 * place.c: true when `error` is -ENOENT only because `path` is no longer the path of the name (of the
 * node): a folder above was renamed while the server was asked. Then ask again.
 */
bool place_name_was_moved(struct fs *fs, int error, uint64_t dir, const char *name,
                          const char *path);
bool place_node_was_moved(struct fs *fs, int error, uint64_t node, const char *path);
/*
 * place.c: where the cache keeps what is known of a node: (folder, name); (0, "") for the root.
 * False: the node is unlinked or unknown. The caller frees *ret_name.
 */
bool place_of_node(struct fs *fs, uint64_t node, uint64_t *ret_dir, char **ret_name);
/*
 * place.c: the id for a name that was just seen on the server: its node's, or else the one that the
 * cache files its contents under, or else a fresh one.
 */
uint64_t place_choose_id(struct fs *fs, uint64_t dir, const char *name);
/* place.c: the server turned out to differ from what is known of a node: the cache is told. */
void place_note_surprise(struct fs *fs, uint64_t node);
/*
 * place.c: the error to reply with when a node was used by its path: of -ENOENT, -ESTALE, because the name
 * that the kernel believes in has vanished from the server. Told so it looks the name up again, and goes on with
 * what it finds: nothing, so that O_CREAT makes it. The cache is told. Other errors (and 0) stay.
 */
int place_error(struct fs *fs, uint64_t node, int error);
/* place.c: LSTAT, or STAT with follow_symlinks. */
int place_fetch(struct fs *fs, const char *path, struct sftp_attrs *ret_attrs);

/*
 * change.c: a change of a node's contents, `size` bytes from `offset`, from its begin to its end, whatever becomes of
 * the name meanwhile. The end frees it; any thread.
 */
struct change *change_begin(struct fs *fs, uint64_t node, off_t offset, size_t size);
void change_end(void *change);

/*
 * lookup.c: the kernel is told of a name whose attributes are known. Enters the node, puts the name
 * into the cache and fills *ret_entry with the remaining times to live. `ticket` was taken before the
 * server was asked. -ESTALE: the folder has vanished meanwhile.
 */
int lookup_enter(struct fs *fs, struct cache_ticket ticket, uint64_t dir, const char *name,
                 const struct sftp_attrs *attrs, struct fuse_entry_param *ret_entry);
/* lookup.c: a name whose attributes the cache has just told. -ESTALE: they are not of its node. */
int lookup_enter_known(struct fs *fs, uint64_t dir, const char *name,
                       const struct cache_name *known, struct fuse_entry_param *ret_entry);
/*
 * attr.c: attributes of a node: from the cache, by path, or by an open handle (always if the node
 * is unlinked or has writes on their way, which are waited for).
 */
int attr_get(struct fs *fs, uint64_t node, struct cache_attr *ret_attr, uint64_t *ret_left_ns);
/*
 * attr.c: attributes of a node, whatever the cache knows: by its path, or when it has none by an open handle.
 * *ret_ticket was taken before the server was asked; it is void when a handle was.
 */
int attr_fetch_node(struct fs *fs, uint64_t node, struct cache_ticket *ret_ticket,
                    struct sftp_attrs *ret_attrs);
/*
 * create.c: makes a name and tells the kernel of it, in one round trip. `make` is given the path and asks
 * for attributes behind what it does; it is called again when a folder above was renamed meanwhile. Returns
 * 0 or -errno, also when the name was made but its attributes could not be learnt.
 */
typedef int (*create_fn)(struct fs *fs, const char *path, void *data, struct sftp_after *after);
int create_name(struct fs *fs, uint64_t dir, const char *name, create_fn make, void *data,
                struct fuse_entry_param *ret_entry);
/* dir.c: frees what the kernel has not released, once nothing is served any more. */
void dir_free_all(struct fs *fs);
/*
 * open.c: one more handle of a node, for writing, without APPEND; to be given to handle_release().
 * -ESTALE: the node is unlinked or unknown.
 */
int open_placing(struct fs *fs, uint64_t node, struct handle **ret_handle);
/*
 * open.c: the second in which a file was changed last, `mtime`, is over on the server: what was read of it can
 * only have changed in a way that shows.
 */
bool open_is_settled(struct fs *fs, int64_t mtime);
/*
 * open.c: the handle's open file on the server (borrowed), which is opened now if it was not before. -errno as
 * open(2) would have had it.
 */
int open_late(struct fs *fs, struct handle *handle, struct sftp_file **ret_file);
/*
 * open.c: the same for all handles of the file of that name, which is about to lose it: what is open stays
 * reachable.
 */
void open_before_removal(struct fs *fs, uint64_t dir, const char *name);
/*
 * truncate.c: by `handle`, else by any writable handle of the node, else by path. `after` may be NULL;
 * *ret_ticket was taken before the server was asked.
 */
int truncate_node(struct fs *fs, uint64_t node, struct handle *handle, uint64_t size,
                  struct cache_ticket *ret_ticket, struct sftp_after *after);

/* ---- the operations, gathered by session.c into fuse_lowlevel_ops ----------------------------- */

void lookup_add_ops(struct fuse_lowlevel_ops *ops);  /* lookup, forget, forget_multi */
void attr_add_ops(struct fuse_lowlevel_ops *ops);    /* getattr, setattr, access */
void dir_add_ops(struct fuse_lowlevel_ops *ops);     /* opendir ... releasedir, fsyncdir */
void namei_add_ops(struct fuse_lowlevel_ops *ops);   /* mknod, mkdir, unlink, rmdir, rename, link */
void symlink_add_ops(struct fuse_lowlevel_ops *ops); /* symlink, readlink */
void open_add_ops(struct fuse_lowlevel_ops *ops);    /* open, create, release, flush, fsync */
void io_add_ops(struct fuse_lowlevel_ops *ops);      /* read, write_buf, lseek */
void copy_add_ops(struct fuse_lowlevel_ops *ops);    /* copy_file_range */
void space_add_ops(struct fuse_lowlevel_ops *ops);   /* statfs, fallocate */
void control_add_ops(struct fuse_lowlevel_ops *ops); /* ioctl */

#endif
