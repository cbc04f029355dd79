/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file's attributes as the cache keeps them: what SFTP can tell, in local ids, in 40 bytes.
 */
#ifndef CACHE_ATTR_H
#define CACHE_ATTR_H

#include <stdint.h>

struct cache_attr {
	uint64_t size;     /* bytes */
	uint32_t mode;     /* st_mode, file type included */
	uint32_t uid, gid; /* local ids */
	uint32_t nlink;
	int64_t atime, mtime; /* seconds since 1970 */
};

#endif
