/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front door of sftp/: one blocking function a verb, and the asynchronous data path.
 *
 * Paths are byte strings as the server takes them (relative ones start at the remote home). Ids are
 * local ones: translation by idmap happens here. All functions are thread-safe and wait for the
 * network with nothing locked.
 *
 * Errors: 0 or a negative errno, mapped from the server's status with the operation in mind; where
 * the server says only SFTP_FAILURE the cause is looked up if that is cheap (diagnose.c). Besides
 * the errnos named below, each function returns:
 * -ENOENT, -EACCES, -EPERM, -EBADMSG..., what sftp_status_errno() says; -ENOTCONN the connection is
 * lost (or was, when the handle was opened); -EINTR the call was cancelled (sftp_cancel_raise()): the
 * server may or may not have carried it out; -EPROTO the reply made no sense; -ENAMETOOLONG the
 * request does not fit into a packet.
 */
#ifndef SFTP_CLIENT_H
#define SFTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "idmap.h"
#include "message.h"
#include "turns.h"

struct connector;
struct sftp_client;

/* ---- life ------------------------------------------------------------------------------------- */

struct sftp_settings {
	unsigned int max_conns; /* >= 1; one for what somebody waits for, the others are lanes */
	bool reconnect;
	size_t max_read, max_write; /* bytes a READ or WRITE at most; 0: what the server takes */
	bool sync_readdir;          /* one READDIR in flight instead of a window */
	bool workaround_rename, workaround_renamexdev; /* compat.md 1.4 */
	bool workaround_createmode;                    /* send no permissions when creating */
	bool trace;                                    /* -d: log every request and reply */
	struct idmap_settings idmap;
};

/* Called on threads of the client, without locks; must not wait for the network. */
struct sftp_events {
	/* After a loss the server is back (a new generation): what was known may be outdated. */
	void (*reconnected)(void *data);
	/* The last connection is lost; `why` is a sentence for the user, borrowed. */
	void (*lost)(const char *why, void *data);
	void *data;
};

/*
 * Borrows the connector; copies the settings; reads the idmap files. Does not connect.
 * Returns 0, or idmap_new()'s errors with *ret_why for the user.
 */
int sftp_client_new(struct connector *connector, const struct sftp_settings *settings,
                    const struct sftp_events *events, struct sftp_client **ret_client,
                    char **ret_why);
/* Ends all connections. No call may be running and no sftp_file be left any more. Accepts NULL. */
void sftp_client_free(struct sftp_client *client);

/* Opens the first connection now; otherwise the first request does. */
int sftp_client_connect(struct sftp_client *client, char **ret_why);

/* All waiting and later calls end with -ENOTCONN: for the program's end. Any thread. */
void sftp_client_shutdown(struct sftp_client *client);

/* True while a connection lives. */
bool sftp_client_is_connected(struct sftp_client *client);

/* What the (latest) server offers: bits of enum sftp_extension. 0 before the first connection. */
uint32_t sftp_client_extensions(struct sftp_client *client);

/* The least round trip seen on a living connection, in ns; 0: none is known. Cheap. */
uint64_t sftp_client_rtt_ns(struct sftp_client *client);

/* Messages, bytes, round-trip times, connects: for -d at exit. */
struct sftp_client_stats {
	uint64_t sent, sent_bytes, received, received_bytes;
	uint64_t rtt_min_ns, rtt_max_ns, rtt_sum_ns;
	unsigned int connects;
};
void sftp_client_get_stats(struct sftp_client *client, struct sftp_client_stats *ret_stats);

/* ---- giving up -------------------------------------------------------------------------------- */

/*
 * Lets another thread end the calls of one thread. Bound to the calling thread by sftp_cancel_bind();
 * once raised, the call that this thread waits in, and every later one until it is unbound, returns
 * -EINTR. Asynchronous writes that are in flight are not affected.
 */
struct sftp_cancel;
struct sftp_cancel *sftp_cancel_new(void);
void sftp_cancel_free(struct sftp_cancel *cancel);
void sftp_cancel_bind(struct sftp_cancel *cancel);  /* NULL unbinds */
void sftp_cancel_raise(struct sftp_cancel *cancel); /* any thread */
void sftp_cancel_reset(struct sftp_cancel *cancel); /* for reuse; the owning thread */

/* ---- what came of a change -------------------------------------------------------------------- */

/*
 * Attributes that are asked for together with a change: the look-up goes out right behind it on the
 * same connection, so that they share a round trip. Every verb that changes attributes, or makes a
 * name, takes one (NULL: nothing is asked) and has filled it when it returns 0.
 *
 * A server may work on one connection's requests in another order than they were sent: what is found
 * then is not what was just done, and `error` is -EAGAIN: the attributes are to be asked for again, once,
 * now that the change has been made.
 */
struct sftp_after {
	bool follow;             /* set by the caller: STAT instead of LSTAT */
	int error;               /* 0, -EAGAIN, or why the look-up alone has failed */
	struct sftp_attrs attrs; /* when error is 0 */
};

/* ---- by path ---------------------------------------------------------------------------------- */

/* -EPERM: an id without a local name, with nomap=error. */
int sftp_lstat(struct sftp_client *client, const char *path, struct sftp_attrs *ret_attrs);
int sftp_stat(struct sftp_client *client, const char *path, struct sftp_attrs *ret_attrs);
/* Follows symlinks, as SETSTAT does. Uid and gid of -1 are left as they are. -EISDIR, -EFBIG, -EROFS. */
int sftp_setstat(struct sftp_client *client, const char *path, const struct sftp_attrs *attrs,
                 struct sftp_after *after);
/* Does not follow; -EOPNOTSUPP without lsetstat@openssh.com. */
int sftp_lsetstat(struct sftp_client *client, const char *path, const struct sftp_attrs *attrs,
                  struct sftp_after *after);
/* The caller frees *ret_target. -EINVAL: not a symlink. -EPERM: server older than version 3. */
int sftp_readlink(struct sftp_client *client, const char *path, char **ret_target);
/* -EEXIST. Mode as asked; the server's umask applies. */
int sftp_mkdir(struct sftp_client *client, const char *path, uint32_t mode,
               struct sftp_after *after);
/* -ENOTEMPTY, -ENOTDIR, -EBUSY. */
int sftp_rmdir(struct sftp_client *client, const char *path);
/* -EISDIR. */
int sftp_remove(struct sftp_client *client, const char *path);
/*
 * POSIX rename where the server offers it, else draft-02's (which refuses to replace: then the rename
 * workaround, if on). `flags` is 0 or RENAME_NOREPLACE: -EEXIST when `to` exists (checked by LSTAT
 * first, then by draft-02's RENAME, which never replaces); RENAME_EXCHANGE and others: -EINVAL.
 * -ENOTEMPTY, -EISDIR, -ENOTDIR, -EXDEV (also by workaround renamexdev), -EINVAL `to` is below `from`.
 */
int sftp_rename(struct sftp_client *client, const char *from, const char *to, unsigned int flags);
/* -EOPNOTSUPP without hardlink@openssh.com; -EEXIST, -EXDEV. `after` is about the new name. */
int sftp_link(struct sftp_client *client, const char *from, const char *to,
              struct sftp_after *after);
/* -EEXIST. -EPERM: server older than version 3. */
int sftp_symlink(struct sftp_client *client, const char *target, const char *path,
                 struct sftp_after *after);
/* -EOPNOTSUPP without statvfs@openssh.com. */
int sftp_statvfs(struct sftp_client *client, const char *path, struct sftp_statvfs *ret_statvfs);
/* The server's absolute name of a path; the caller frees it. */
int sftp_realpath(struct sftp_client *client, const char *path, char **ret_path);
/* "~/x" and "~user/x"; -EOPNOTSUPP without expand-path@openssh.com. The caller frees it. */
int sftp_expand_path(struct sftp_client *client, const char *path, char **ret_path);

/* ---- listings --------------------------------------------------------------------------------- */

/*
 * One entry; borrowed. `attrs` is NULL when its ids are unmapped (nomap=error): ask sftp_lstat(). Names
 * are never empty, ".", "..", longer than 1,024 bytes or with a '/' or NUL in them: entries of such
 * names are dropped, they can only come from a broken or hostile server. Returns 0, or a negative
 * errno that ends the listing.
 */
typedef int (*sftp_entry_fn)(const char *name, const struct sftp_attrs *attrs, void *data);

/*
 * A folder that is being listed: OPENDIR, then READDIRs with a growing window in flight (1 with sync_readdir),
 * CLOSE not waited for. One thread at a time may use it, not always the same.
 */
struct sftp_dir;

/* -ENOTDIR. */
int sftp_opendir(struct sftp_client *client, const char *path, struct sftp_dir **ret_dir);
/*
 * Calls `entry` for each entry of the next reply, on the calling thread, in the server's order. Returns
 * 1: there may be more; 0: that was all; or -errno, after which it is over, but for -EINTR: then nothing is
 * lost and it can be called again.
 */
int sftp_readdir(struct sftp_dir *dir, sftp_entry_fn entry, void *data);
/* True when sftp_readdir() would not wait: a reply is here. */
bool sftp_dir_is_ready(struct sftp_dir *dir);
/* Accepts NULL. */
void sftp_closedir(struct sftp_dir *dir);

/* Tells one symlink's target (borrowed) or why there is none (0 or -errno). */
typedef void (*sftp_target_fn)(size_t index, int error, const char *target, void *data);
/*
 * The targets of `count` symlinks, all asked for before the first reply is waited for: one round trip.
 * Calls `tell` for each, in order, on the calling thread. Returns 0, or -errno when it could not go on
 * (-EINTR, -ENOTCONN); those before it have been told.
 */
int sftp_readlinks(struct sftp_client *client, char *const paths[], size_t count,
                   sftp_target_fn tell, void *data);

/* Tells what was found of one name: 0 and its attributes, or -errno. */
typedef void (*sftp_look_fn)(size_t index, int error, const struct sftp_attrs *attrs, void *data);
struct sftp_looks;
/*
 * Asks for the attributes of `count` names (LSTAT) and does not wait for the replies. NULL: not connected. The
 * paths are no longer needed when it returns.
 */
struct sftp_looks *sftp_looks_begin(struct sftp_client *client, char *const paths[], size_t count);
/*
 * Waits for them; calls `tell` for each, in order, on the calling thread, as long as it is not cancelled and the
 * connection lives. Accepts NULL.
 */
void sftp_looks_end(struct sftp_looks *looks, sftp_look_fn tell, void *data);

/* ---- open files ------------------------------------------------------------------------------- */

/* An open file on the server; reference counted, the last unref sends CLOSE without waiting. */
struct sftp_file;

/*
 * Opens `path` with enum sftp_open_flag bits. `mode` is sent with SFTP_OPEN_CREAT only. A file to be written is
 * put on a lane, once there is one; any other where answers come soonest.
 * -EEXIST (SFTP_OPEN_EXCL), -EISDIR, -ENOSPC, -EROFS, -EMFILE.
 */
int sftp_open(struct sftp_client *client, const char *path, uint32_t flags, uint32_t mode,
              struct sftp_file **ret_file, struct sftp_after *after);
/*
 * Opens `path` on the connection of `beside`, so that both can be used in one request; else the same, with nothing
 * asked behind. -ENOTCONN when that connection is gone.
 */
int sftp_open_beside(struct sftp_file *beside, const char *path, uint32_t flags,
                     struct sftp_file **ret_file);

/*
 * Lanes: connections for bulk data, over which one large file can be read at once. OpenSSH's client grants the
 * server 2 MiB in flight on each. With max_conns = 1 the one connection is the one lane, else there are
 * max_conns - 1, and small requests go elsewhere.
 */
unsigned int sftp_client_lanes(struct sftp_client *client);
/* False: the one lane is the one connection. */
bool sftp_client_has_lanes(const struct sftp_client *client);
/*
 * Opens `path` for reading on lane `lane` (< sftp_client_lanes()), and tells what it is: one round trip, since OPEN
 * and STAT go out together (both follow symlinks; were it a STAT of the handle it would be two). Whether that is
 * the same file as one opened before is for the caller to judge by size and mtime, as for any two openings
 * by name. The lane is connected if need be, which is waited for (cancellable, 5 s at most); nobody else is held
 * up. -ENOTCONN when it cannot be connected: then at once until its back-off (0.25 to 8 s) is over, and the
 * caller goes on with fewer lanes. A lane that dies makes its files stale, others not.
 */
int sftp_open_lane(struct sftp_client *client, unsigned int lane, const char *path,
                   struct sftp_file **ret_file, struct sftp_attrs *ret_attrs);
struct sftp_file *sftp_file_ref(struct sftp_file *file);
void sftp_file_unref(struct sftp_file *file);
/* True when the connection it was opened on is gone: every use ends with -ENOTCONN. */
bool sftp_file_is_stale(struct sftp_file *file);
/* True when the server carries out what is asked of the two in the order in which it was asked. */
bool sftp_file_shares_connection(const struct sftp_file *file, const struct sftp_file *other);

int sftp_fstat(struct sftp_file *file, struct sftp_attrs *ret_attrs);
/* `after` is about the name `path`, or about the open file when that is NULL. -EFBIG, -ENOSPC, -EROFS. */
int sftp_fsetstat(struct sftp_file *file, const struct sftp_attrs *attrs, const char *path,
                  struct sftp_after *after);
/* -EOPNOTSUPP without fsync@openssh.com. */
int sftp_fsync(struct sftp_file *file);
/*
 * Reads until `size` bytes are there or the file ends: split into READs as large as the server takes,
 * all in flight at once (at most 64), short replies continued. Returns the bytes read or -errno.
 */
ssize_t sftp_read(struct sftp_file *file, void *buf, size_t size, uint64_t offset);
/* A small file that is read whole: its size is known. */
struct sftp_bundle_file {
	const char *path;
	size_t size; /* bytes; more than the server takes as one READ: -EFBIG for that file */
};

/*
 * Tells of one file: 0, its bytes (borrowed; as many as its size) and its attributes, which are those of the open
 * file, seen after the bytes; or -errno, -EPROTO when it has not just so many bytes.
 */
typedef void (*sftp_bundle_fn)(size_t index, int error, const uint8_t *bytes,
                               const struct sftp_attrs *attrs, void *data);
/*
 * Reads `count` small files in two round trips, whatever their number. Calls `tell` for each, in order, on the
 * calling thread. Returns 0, or -errno when it could not go on (-EINTR, -ENOTCONN): then those that are
 * left are not told.
 */
int sftp_read_files(struct sftp_client *client, const struct sftp_bundle_file files[], size_t count,
                    sftp_bundle_fn tell, void *data);

/* Tells the bytes read, fewer than asked for only where the file ends, or -errno. */
typedef void (*sftp_piece_fn)(void *data, ssize_t result);

/* Bytes of one READ at most: what the server takes, or the user wants. */
size_t sftp_max_read(const struct sftp_file *file);
/*
 * Asks for `size` bytes (1 to sftp_max_read()) at `offset`, to be stored in `buf`, which must live until
 * done() is called: once, on a client thread; it must not wait for the network, but may ask for more.
 * Never waits, cannot be cancelled, and may be called with a lock held that done() takes. Returns 0, or
 * -ENOTCONN: then done() is not called.
 */
int sftp_read_async(struct sftp_file *file, void *buf, size_t size, uint64_t offset,
                    sftp_piece_fn done, void *data);
/*
 * Sends `size` bytes as WRITEs without waiting for anything: neither for the replies nor, as other requests do, for
 * the connection to take what is queued. So the caller bounds the bytes that are on their way. The buffer is no
 * longer needed on return. `done(data, error)` is called once, when all have been answered (error: 0 or the
 * first -errno, with -ENOSPC, -EDQUOT, -EFBIG told apart where possible), on a thread of the client, never the
 * caller's, possibly before this returns; it must not wait for the network, but may write more. Returns 0, or -errno and done() is not
 * called: -EFBIG the range ends beyond 2^63, -ENOTCONN.
 */
int sftp_write_async(struct sftp_file *file, const void *buf, size_t size, uint64_t offset,
                     void (*done)(void *data, int error), void *data);
/* Bytes that one WRITE may carry; what is written in multiples of that makes no small ones. */
size_t sftp_file_max_write(const struct sftp_file *file);
/*
 * Copies on the server (copy-data): `size` bytes, at most; both files on one connection.
 * `after` is about `from`. -EOPNOTSUPP without the extension, -EXDEV on different connections, -EINVAL
 * overlapping.
 */
int sftp_copy_data(struct sftp_file *from, uint64_t from_offset, struct sftp_file *to,
                   uint64_t to_offset, uint64_t size, struct sftp_after *after);

#endif
