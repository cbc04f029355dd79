/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known is forgotten, in the cache and in the kernel, since it may be outdated: the user says so,
 * or the connection was lost meanwhile. Nothing here waits for the server. Thread-safe.
 *
 * Linux before 6.16 lets no name expire: it asks again when its entry_timeout is over.
 */
#ifndef FS_REFRESH_H
#define FS_REFRESH_H

#include "context.h"

/* All. Contents that the kernel has kept are looked at when their attributes are asked for again. */
void refresh_all(struct fs *fs);

/*
 * The user asks for what a node shows, and all that is below it. Contents are read anew after the next
 * open, unless kernel_cache says otherwise. -ESTALE: it is unlinked or unknown.
 */
int refresh_node(struct fs *fs, uint64_t node);
/* The same of a name in a folder, which may be known not to exist. */
int refresh_name(struct fs *fs, uint64_t dir, const char *name);

#endif
