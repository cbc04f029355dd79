/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operations of FUSE that are counted. (FORGET is not: nobody waits for it, and it asks nothing.)
 */
#ifndef CONTROL_OPERATION_H
#define CONTROL_OPERATION_H

#include <stdbool.h>

enum operation {
	OP_LOOKUP,
	OP_GETATTR,
	OP_SETATTR,
	OP_ACCESS,
	OP_READLINK,
	OP_OPENDIR,
	OP_READDIR, /* READDIRPLUS, too */
	OP_RELEASEDIR,
	OP_FSYNCDIR,
	OP_MKNOD,
	OP_MKDIR,
	OP_SYMLINK,
	OP_LINK,
	OP_UNLINK,
	OP_RMDIR,
	OP_RENAME,
	OP_OPEN,
	OP_CREATE,
	OP_READ,
	OP_WRITE,
	OP_COPY,
	OP_LSEEK,
	OP_FLUSH,
	OP_FSYNC,
	OP_RELEASE,
	OP_FALLOCATE,
	OP_STATFS,
	OP_IOCTL,

	OPERATION_COUNT
};

struct operation_info {
	const char *name; /* in the table and in JSON, for good: scripts know it */
	bool costs_trip; /* if the cache cannot answer, the server is asked: one round trip at least */
	bool moves_data; /* its bytes are counted */
};

extern const struct operation_info operation_infos[OPERATION_COUNT];

#endif
