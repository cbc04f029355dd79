// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Attributes on their way up: from the server's message to the cache's form to struct stat as it is
 * shown, with uid=, gid=, umask=, fmask= and dmask= laid over it.
 *
 * The cache keeps what the server said; what is shown is decided here, at the last moment. The kernel
 * makes an inode bad when its size is negative or its type is none it knows, so that a broken server
 * must not get such values past here. For how long it may believe them is said here, too.
 */
#include "clock.h"
#include "request.h"

#define NOT_SET UINT32_MAX /* of struct fs_settings' uid, gid and masks */

#define BLOCK_SIZE 4096 /* st_blksize; st_blocks is an estimate from the size */

static bool is_known_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	default:
		return false;
	}
}

/* A server that names no type or no permissions is taken to speak of an open file. */
static uint32_t mode_of(const struct sftp_attrs *attrs)
{
	uint32_t mode = attrs->permissions & (S_IFMT | 07777);

	if (!(attrs->flags & SFTP_ATTR_PERMISSIONS))
		return S_IFREG | 0777;
	if (!is_known_type(mode))
		return S_IFREG | (mode & 07777);
	return mode;
}

void convert_attrs_to_cache(const struct sftp_attrs *attrs, struct cache_attr *ret_attr)
{
	*ret_attr = (struct cache_attr){.mode = mode_of(attrs), .nlink = 1};

	if (attrs->flags & SFTP_ATTR_SIZE)
		ret_attr->size = MIN(attrs->size, (uint64_t)INT64_MAX);
	if (attrs->flags & SFTP_ATTR_UIDGID) {
		ret_attr->uid = attrs->uid;
		ret_attr->gid = attrs->gid;
	}
	if (attrs->flags & SFTP_ATTR_TIMES) {
		ret_attr->atime = attrs->atime;
		ret_attr->mtime = attrs->mtime;
	}
}

/* The permissions of links are never used and always shown as they are. */
static uint32_t shown_mode(const struct fs_settings *settings, uint32_t mode)
{
	uint32_t special = S_ISDIR(mode) ? settings->dmask : settings->fmask;
	uint32_t mask = special != NOT_SET ? special : settings->umask;

	if (mask == NOT_SET || S_ISLNK(mode))
		return mode;
	return (mode & S_IFMT) | (0777 & ~mask);
}

void convert_cache_to_stat(const struct fs *fs, const struct cache_attr *attr, uint64_t ino,
                           struct stat *ret_stat)
{
	const struct fs_settings *settings = &fs->settings;
	uint64_t blocks = attr->size / BLOCK_SIZE + (attr->size % BLOCK_SIZE != 0);

	*ret_stat = (struct stat){
		.st_ino = ino,
		.st_mode = shown_mode(settings, attr->mode),
		.st_nlink = attr->nlink,
		.st_uid = settings->uid != NOT_SET ? settings->uid : attr->uid,
		.st_gid = settings->gid != NOT_SET ? settings->gid : attr->gid,
		.st_size = (off_t)MIN(attr->size, (uint64_t)INT64_MAX),
		.st_blksize = BLOCK_SIZE,
		.st_blocks = (blkcnt_t)(blocks * (BLOCK_SIZE / 512)),
		.st_atime = attr->atime,
		.st_mtime = attr->mtime,
		.st_ctime = attr->mtime,
	};
}

double convert_timeout(const struct fs *fs, double setting, uint64_t left_ns)
{
	double left = (double)left_ns / CLOCK_NS_PER_SEC;

	/* Without a cache there is nothing to be in line with: the user's word counts. */
	if (!cache_is_enabled(fs->cache))
		return MAX(setting, 0);
	return setting < 0 ? left : MIN(setting, left);
}
