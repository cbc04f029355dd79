/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file system: FUSE requests answered from the cache and the server. Front door of fs/; free of
 * FUSE's own headers.
 *
 * Calling order: fs_check_mountpoint, fs_take_signals, fs_new, fs_check_root, fs_mount, fs_serve, fs_clear.
 */
#ifndef FS_FS_H
#define FS_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cache.h"
#include "client.h"
#include "stage.h"

struct fs;
struct report;

enum fs_symlinks {
	FS_SYMLINKS_CONTAIN, /* the default: targets that leave the folder by '/' or ".." are refused */
	FS_SYMLINKS_RAW,     /* no_contain_symlinks */
};

/* When the kernel keeps a file's contents over openings (without kernel_cache). */
enum fs_contents {
	FS_CONTENTS_PROVEN, /* while they are known for certain to be the same; the default */
	FS_CONTENTS_SAME,   /* auto_cache: while size and mtime are the same */
	FS_CONTENTS_NONE,   /* noauto_cache: never */
};

/* Filled by options.c. Strings belong to it. */
struct fs_settings {
	/* The mount. */
	char *base_path; /* the folder on the server; "" is the remote home */
	char **mount_args; /* "-o" words for libfuse and the kernel: fsname=..., allow_other, ro, ... */
	bool default_permissions, allow_other, auto_unmount, read_only;
	bool single_threaded;     /* -s */
	unsigned int max_threads; /* >= 1; 64 by default */
	bool debug;               /* -d: libfuse's own trace, too */

	/* How long the kernel may trust our answers; negative: as long as the cache does. */
	double entry_timeout, attr_timeout, negative_timeout, ac_attr_timeout; /* seconds */
	bool kernel_cache; /* the page cache is kept over opens */
	enum fs_contents contents;
	bool direct_io;
	bool noforget;
	double remember;    /* seconds; negative: -1 as noforget; 0: off */
	bool no_rofd_flush; /* no flush on close of a read-only descriptor */

	/* What is shown. -1 (or UINT32_MAX): as the server says. */
	uint32_t uid, gid;
	uint32_t umask, fmask, dmask;
	enum fs_symlinks symlinks;
	bool follow_symlinks, transform_symlinks;

	/* How the server is used. */
	bool disable_hardlink;
	unsigned int scan_ahead; /* small files read ahead of a scan; 0: none */
	unsigned int walk_ahead; /* folders listed ahead at the same time; 0: none */
	bool sync_write;         /* sshfs_sync: each write waits for its replies */
	bool no_readahead;       /* nothing is read before somebody asks for it */
	struct stage_settings stage;
	bool workaround_truncate, workaround_fstat, workaround_buflimit;
	bool check_root; /* LSTAT of base_path before mounting */
	bool reconnect;  /* a lost server is no reason to end; as sftp_settings has it */
};

/*
 * Borrows client and cache for its life; copies settings (strings stay borrowed). *ret_fs is where
 * fs_sftp_events look for it.
 */
void fs_new(const struct fs_settings *settings, struct sftp_client *client, struct cache *cache,
            struct fs **ret_fs);

/*
 * The checks before anything starts: that `mountpoint` exists and can be mounted on. "/dev/fd/N" is a
 * FUSE descriptor somebody has already mounted.
 * Returns 0, or a negative errno and *ret_why: "bad mount point `X': No such file or directory".
 */
int fs_check_mountpoint(const char *mountpoint, char **ret_why);

/*
 * To be called before any other thread is started. SIGTERM, SIGINT and SIGHUP are taken by a thread
 * of their own: until fs_mount() they end the program as ever, from then on they end the serving. They
 * are blocked in all other threads, which programs started from here inherit unless told otherwise.
 * SIGPIPE is ignored. Returns 0 or -errno.
 */
int fs_take_signals(void);

/*
 * Checks the remote folder (unless check_root is off) and resolves "~user" where the server can.
 * `source` is for messages. Returns 0, or -errno and *ret_why: "host:/dir: No such file or directory",
 * "host:/file: Not a directory", "... Permission denied".
 */
int fs_check_root(struct fs *fs, const char *source, char **ret_why);

/* Mounts. Returns 0, or -errno and *ret_why. */
int fs_mount(struct fs *fs, const char *mountpoint, char **ret_why);

enum fs_ending {
	FS_ENDED_UNMOUNTED, /* exit code 0 */
	FS_ENDED_SIGNAL,    /* SIGTERM, SIGINT, SIGHUP: unmounted; exit code 1 */
	FS_ENDED_LOST,      /* the server is gone and reconnect is off: unmounted; exit code 1 */
	FS_ENDED_FAILED,    /* /dev/fuse failed: exit code 1 */
};

/* Serves until the end, then unmounts what is still mounted. */
enum fs_ending fs_serve(struct fs *fs);

/*
 * To be handed to sftp_client_new(), with `data` set to the struct fs ** that is given to fs_new()
 * and fs_clear() later: what fs does when the server is lost or back. While it is NULL: nothing.
 */
extern const struct sftp_events fs_sftp_events;

/* What has been done since fs_new(), control/report.h. Any thread; does not wait for the server. */
void fs_get_report(struct fs *fs, struct report *ret_report);

/* Unmounts what is still mounted, frees *fs and sets it to NULL, which it may be already. */
void fs_clear(struct fs **fs);

#endif
