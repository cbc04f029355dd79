/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * struct fs: what the handlers share. Internal to fs/.
 *
 * Lock order: nodes -> node's handles -> handle; none of them is held while waiting for the network
 * or replying. cache and client lock for themselves and are called without any of ours.
 */
#ifndef FS_CONTEXT_H
#define FS_CONTEXT_H

#include <fuse_lowlevel.h>
#include <stdatomic.h>

#include "fs.h"

struct node_table;
struct handle_table;

struct fs {
	struct fs_settings settings; /* set once before start */
	struct sftp_client *client; /* borrowed */
	struct cache *cache; /* borrowed */
	struct node_table *nodes;
	struct handle_table *handles;
	struct fuse_session *session; /* set once by fs_mount() */
	char *mountpoint; /* set once by fs_mount() */
	uid_t owner_uid; /* who mounted */
	gid_t owner_gid;
	_Atomic enum fs_ending ending; /* why the session loop was asked to end */
};

#endif
