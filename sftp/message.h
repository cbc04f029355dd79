/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vocabulary of SFTP version 3: numbers of draft-ietf-secsh-filexfer-02 and of OpenSSH's
 * PROTOCOL file, and the C structs that messages carry.
 */
#ifndef SFTP_MESSAGE_H
#define SFTP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

#define SFTP_VERSION 3

/* Message types (draft-02 section 3). */
enum sftp_type {
	SFTP_INIT = 1,
	SFTP_VERSION_REPLY = 2,
	SFTP_OPEN = 3,
	SFTP_CLOSE = 4,
	SFTP_READ = 5,
	SFTP_WRITE = 6,
	SFTP_LSTAT = 7,
	SFTP_FSTAT = 8,
	SFTP_SETSTAT = 9,
	SFTP_FSETSTAT = 10,
	SFTP_OPENDIR = 11,
	SFTP_READDIR = 12,
	SFTP_REMOVE = 13,
	SFTP_MKDIR = 14,
	SFTP_RMDIR = 15,
	SFTP_REALPATH = 16,
	SFTP_STAT = 17,
	SFTP_RENAME = 18,
	SFTP_READLINK = 19,
	SFTP_SYMLINK = 20,
	SFTP_STATUS = 101,
	SFTP_HANDLE = 102,
	SFTP_DATA = 103,
	SFTP_NAME = 104,
	SFTP_ATTRS = 105,
	SFTP_EXTENDED = 200,
	SFTP_EXTENDED_REPLY = 201,
};

/* Status codes (draft-02 section 7). */
enum sftp_status {
	SFTP_OK = 0,
	SFTP_EOF = 1,
	SFTP_NO_SUCH_FILE = 2,
	SFTP_PERMISSION_DENIED = 3,
	SFTP_FAILURE = 4,
	SFTP_BAD_MESSAGE = 5,
	SFTP_NO_CONNECTION = 6,
	SFTP_CONNECTION_LOST = 7,
	SFTP_OP_UNSUPPORTED = 8,
};

/* pflags of SFTP_OPEN (draft-02 section 6.3). */
enum sftp_open_flag {
	SFTP_OPEN_READ = 0x01,
	SFTP_OPEN_WRITE = 0x02,
	SFTP_OPEN_APPEND = 0x04,
	SFTP_OPEN_CREAT = 0x08,
	SFTP_OPEN_TRUNC = 0x10,
	SFTP_OPEN_EXCL = 0x20,
};

/* Which of struct sftp_attrs' fields are set (draft-02 section 5). */
enum sftp_attr_flag {
	SFTP_ATTR_SIZE = 0x01,
	SFTP_ATTR_UIDGID = 0x02,
	SFTP_ATTR_PERMISSIONS = 0x04,
	SFTP_ATTR_TIMES = 0x08,
	SFTP_ATTR_EXTENDED = 0x80000000,
};

/* Times are seconds since 1970, unsigned: the wire ends in 2106. */
struct sftp_attrs {
	uint32_t flags;       /* enum sftp_attr_flag */
	uint64_t size;        /* bytes */
	uint32_t uid, gid;    /* the server's ids; local ids above client.h */
	uint32_t permissions; /* st_mode, file type included */
	uint32_t atime, mtime;
};

/* Skips extended attributes. Sets the reader's overrun on malformed input. */
void sftp_get_attrs(struct wire_reader *reader, struct sftp_attrs *attrs);
/* Puts what `flags` names; SFTP_ATTR_EXTENDED must not be set. */
void sftp_put_attrs(struct wire_buf *buf, const struct sftp_attrs *attrs);

/* Reply to statvfs@openssh.com and fstatvfs@openssh.com: the fields of statvfs(3). */
struct sftp_statvfs {
	uint64_t bsize, frsize, blocks, bfree, bavail, files, ffree, favail, fsid, flag, namemax;
};

#define SFTP_STATVFS_RDONLY 0x1
#define SFTP_STATVFS_NOSUID 0x2

void sftp_get_statvfs(struct wire_reader *reader, struct sftp_statvfs *statvfs);

/* Reply to limits@openssh.com, bytes; 0: the server names no limit. */
struct sftp_limits {
	uint64_t packet, read, write, open_handles;
};

void sftp_get_limits(struct wire_reader *reader, struct sftp_limits *limits);

/* Extensions of the VERSION reply that we know, as bits. */
enum sftp_extension {
	SFTP_EXT_POSIX_RENAME = 1 << 0,   /* posix-rename@openssh.com 1 */
	SFTP_EXT_STATVFS = 1 << 1,        /* statvfs@openssh.com 2 */
	SFTP_EXT_FSTATVFS = 1 << 2,       /* fstatvfs@openssh.com 2 */
	SFTP_EXT_HARDLINK = 1 << 3,       /* hardlink@openssh.com 1 */
	SFTP_EXT_FSYNC = 1 << 4,          /* fsync@openssh.com 1 */
	SFTP_EXT_LSETSTAT = 1 << 5,       /* lsetstat@openssh.com 1 */
	SFTP_EXT_LIMITS = 1 << 6,         /* limits@openssh.com 1 */
	SFTP_EXT_EXPAND_PATH = 1 << 7,    /* expand-path@openssh.com 1 */
	SFTP_EXT_COPY_DATA = 1 << 8,      /* copy-data 1 */
	SFTP_EXT_HOME_DIRECTORY = 1 << 9, /* home-directory 1 */
	SFTP_EXT_USERS_GROUPS = 1 << 10,  /* users-groups-by-id@openssh.com 1 */
};

/* The wire name of one extension, e.g. "statvfs@openssh.com". */
const char *sftp_extension_name(enum sftp_extension extension);
/* The bit of an extension as announced (exact name and version), 0 when we do not know it. */
uint32_t sftp_extension_bit(const char *name, const char *version);

/* What a request asked for: the same status means different things for different requests. */
enum sftp_operation {
	SFTP_OP_LSTAT,
	SFTP_OP_STAT,
	SFTP_OP_FSTAT,
	SFTP_OP_SETSTAT,
	SFTP_OP_READLINK,
	SFTP_OP_SYMLINK,
	SFTP_OP_LINK,
	SFTP_OP_MKDIR,
	SFTP_OP_RMDIR,
	SFTP_OP_REMOVE,
	SFTP_OP_RENAME,
	SFTP_OP_OPENDIR,
	SFTP_OP_READDIR,
	SFTP_OP_OPEN,
	SFTP_OP_CLOSE,
	SFTP_OP_READ,
	SFTP_OP_WRITE,
	SFTP_OP_FSYNC,
	SFTP_OP_STATVFS,
	SFTP_OP_COPY,
	SFTP_OP_REALPATH,
	SFTP_OP_OTHER,
};

/*
 * The errno (positive; 0 for SFTP_OK) that a status means for an operation, from the code and from
 * the server's message where it names the cause ("No space left on device", as several servers send
 * with SFTP_FAILURE). `message` may be NULL.
 *
 * The table: OK 0; EOF EIO (READ and READDIR look for SFTP_EOF themselves); NO_SUCH_FILE ENOENT;
 * PERMISSION_DENIED EACCES; FAILURE by message, else EPERM (RMDIR: ENOTEMPTY; WRITE, FSYNC, CLOSE,
 * READ, COPY: EIO); BAD_MESSAGE EBADMSG; NO_CONNECTION ENOTCONN; CONNECTION_LOST ECONNABORTED;
 * OP_UNSUPPORTED EOPNOTSUPP; anything else EIO.
 */
int sftp_status_errno(enum sftp_operation operation, uint32_t status, const char *message);

/* "OPEN", "statvfs@openssh.com"...: for the protocol trace. Never NULL. */
const char *sftp_type_name(uint8_t type);

#endif
