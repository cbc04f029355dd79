/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mount itself: libfuse's session is made, mounted, and unmounted.
 */
#ifndef FS_MOUNTPOINT_H
#define FS_MOUNTPOINT_H

#include "context.h"

/* What libfuse has to say goes to our log from now on. */
void mountpoint_route_log(void);
/* Sets fs->session, mountpoint and autounmount. Returns 0, or -errno and *ret_why; then nothing is
 * mounted. */
int mountpoint_mount(struct fs *fs, const char *mountpoint, const struct fuse_lowlevel_ops *ops,
                     char **ret_why);
/* Lazily, where somebody is still in it. Does nothing when it is not mounted (any more). */
void mountpoint_unmount(struct fs *fs);

#endif
