/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * struct fs: what the handlers share. Internal to fs/.
 *
 * Lock order: streams -> stream -> nodes -> node's handles -> handle -> writer -> window; none of them is held while
 * waiting for the network or replying. cache, stage and client lock for themselves and are called without any of
 * ours, but for those of the scan and of the history. Those two, and the walk's, come before all others.
 */
#ifndef FS_CONTEXT_H
#define FS_CONTEXT_H

#include <fuse_lowlevel.h>
#include <glib.h>
#include <pthread.h>

#include "fs.h"

struct autounmount;
struct node_table;
struct handle_table;
struct stream_table;
struct walk;
struct scan;
struct history;
struct stats;
struct stage;
struct copies;

/* Why the serving shall end; ending.c. */
struct ending {
	pthread_mutex_t lock;
	pthread_cond_t asked_cond;
	bool asked;         /* protected by lock */
	enum fs_ending why; /* once asked; protected by lock */
};

/* Folders that are open, so that none is forgotten when the session ends before they are released. */
struct open_dirs {
	pthread_mutex_t lock;
	GQueue handles; /* of struct dir_handle; protected by lock */
};

struct fs {
	struct fs_settings settings; /* set once before start */
	struct sftp_client *client;  /* borrowed */
	struct cache *cache;         /* borrowed */
	struct node_table *nodes;    /* replaced by fs_check_root() only */
	char *base_path;             /* that of nodes: settings.base_path with "~" resolved */
	struct handle_table *handles;
	struct open_dirs open_dirs;
	struct stream_table *streams;
	struct walk *walk;
	struct scan *scan;
	struct history *history;
	struct stage *stage;
	struct stats *stats;
	struct copies *copies;
	struct fuse_session *session;    /* set once by fs_mount(), under ending.lock */
	char *mountpoint;                /* set once by fs_mount(); NULL for "/dev/fd/N" */
	struct autounmount *autounmount; /* set once by fs_mount() */
	struct ending ending;
};

/* Something may be read before a program asks for it. With direct_io programs want the server's data, now. */
static inline bool context_reads_ahead(const struct fs_settings *settings)
{
	return !settings->no_readahead && !settings->direct_io;
}

#endif
