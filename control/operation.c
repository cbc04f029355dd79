// SPDX-License-Identifier: GPL-2.0-or-later
/* See operation.h. */
#include "operation.h"

const struct operation_info operation_infos[OPERATION_COUNT] = {
	[OP_LOOKUP] = {"lookup", true, false},      [OP_GETATTR] = {"getattr", true, false},
	[OP_SETATTR] = {"setattr", false, false},   [OP_ACCESS] = {"access", false, false},
	[OP_READLINK] = {"readlink", true, false},  [OP_OPENDIR] = {"opendir", false, false},
	[OP_READDIR] = {"readdir", true, false},    [OP_RELEASEDIR] = {"releasedir", false, false},
	[OP_FSYNCDIR] = {"fsyncdir", false, false}, [OP_MKNOD] = {"mknod", false, false},
	[OP_MKDIR] = {"mkdir", false, false},       [OP_SYMLINK] = {"symlink", false, false},
	[OP_LINK] = {"link", false, false},         [OP_UNLINK] = {"unlink", false, false},
	[OP_RMDIR] = {"rmdir", false, false},       [OP_RENAME] = {"rename", false, false},
	[OP_OPEN] = {"open", false, false},         [OP_CREATE] = {"create", false, false},
	[OP_READ] = {"read", true, true},           [OP_WRITE] = {"write", false, true},
	[OP_COPY] = {"copy", false, true},          [OP_LSEEK] = {"lseek", true, false},
	[OP_FLUSH] = {"flush", false, false},       [OP_FSYNC] = {"fsync", false, false},
	[OP_RELEASE] = {"release", false, false},   [OP_FALLOCATE] = {"fallocate", false, false},
	[OP_STATFS] = {"statfs", false, false},     [OP_IOCTL] = {"ioctl", false, false},
};
