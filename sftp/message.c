// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See message.h: attributes and extension replies to C structs and back, and the one table of what a
 * server's status means.
 */
#include "message.h"

#include <errno.h>
#include <string.h>

/* ---- attributes ------------------------------------------------------------------------------- */

/* A hostile count ends with the message: each pair takes at least eight bytes of it. */
static void skip_extended(struct wire_reader *reader)
{
	uint32_t count = wire_get_u32(reader);
	size_t size;

	for (uint32_t i = 0; i < count && wire_reader_ok(reader); i++) {
		wire_peek_string(reader, &size);
		wire_peek_string(reader, &size);
	}
}

void sftp_get_attrs(struct wire_reader *reader, struct sftp_attrs *attrs)
{
	*attrs = (struct sftp_attrs){.flags = wire_get_u32(reader)};
	if (attrs->flags & SFTP_ATTR_SIZE)
		attrs->size = wire_get_u64(reader);
	if (attrs->flags & SFTP_ATTR_UIDGID) {
		attrs->uid = wire_get_u32(reader);
		attrs->gid = wire_get_u32(reader);
	}
	if (attrs->flags & SFTP_ATTR_PERMISSIONS)
		attrs->permissions = wire_get_u32(reader);
	if (attrs->flags & SFTP_ATTR_TIMES) {
		attrs->atime = wire_get_u32(reader);
		attrs->mtime = wire_get_u32(reader);
	}
	if (attrs->flags & SFTP_ATTR_EXTENDED)
		skip_extended(reader);
	attrs->flags &= SFTP_ATTR_SIZE | SFTP_ATTR_UIDGID | SFTP_ATTR_PERMISSIONS | SFTP_ATTR_TIMES;
}

void sftp_put_attrs(struct wire_buf *buf, const struct sftp_attrs *attrs)
{
	g_assert(!(attrs->flags & SFTP_ATTR_EXTENDED));
	wire_put_u32(buf, attrs->flags);
	if (attrs->flags & SFTP_ATTR_SIZE)
		wire_put_u64(buf, attrs->size);
	if (attrs->flags & SFTP_ATTR_UIDGID) {
		wire_put_u32(buf, attrs->uid);
		wire_put_u32(buf, attrs->gid);
	}
	if (attrs->flags & SFTP_ATTR_PERMISSIONS)
		wire_put_u32(buf, attrs->permissions);
	if (attrs->flags & SFTP_ATTR_TIMES) {
		wire_put_u32(buf, attrs->atime);
		wire_put_u32(buf, attrs->mtime);
	}
}

/* ---- replies of extensions -------------------------------------------------------------------- */

void sftp_get_statvfs(struct wire_reader *reader, struct sftp_statvfs *statvfs)
{
	statvfs->bsize = wire_get_u64(reader);
	statvfs->frsize = wire_get_u64(reader);
	statvfs->blocks = wire_get_u64(reader);
	statvfs->bfree = wire_get_u64(reader);
	statvfs->bavail = wire_get_u64(reader);
	statvfs->files = wire_get_u64(reader);
	statvfs->ffree = wire_get_u64(reader);
	statvfs->favail = wire_get_u64(reader);
	statvfs->fsid = wire_get_u64(reader);
	statvfs->flag = wire_get_u64(reader);
	statvfs->namemax = wire_get_u64(reader);
}

void sftp_get_limits(struct wire_reader *reader, struct sftp_limits *limits)
{
	limits->packet = wire_get_u64(reader);
	limits->read = wire_get_u64(reader);
	limits->write = wire_get_u64(reader);
	limits->open_handles = wire_get_u64(reader);
}

static const struct {
	const char *name, *version;
	enum sftp_extension bit;
} extensions[] = {
	{"posix-rename@openssh.com", "1", SFTP_EXT_POSIX_RENAME},
	{"statvfs@openssh.com", "2", SFTP_EXT_STATVFS},
	{"fstatvfs@openssh.com", "2", SFTP_EXT_FSTATVFS},
	{"hardlink@openssh.com", "1", SFTP_EXT_HARDLINK},
	{"fsync@openssh.com", "1", SFTP_EXT_FSYNC},
	{"lsetstat@openssh.com", "1", SFTP_EXT_LSETSTAT},
	{"limits@openssh.com", "1", SFTP_EXT_LIMITS},
	{"expand-path@openssh.com", "1", SFTP_EXT_EXPAND_PATH},
	{"copy-data", "1", SFTP_EXT_COPY_DATA},
	{"home-directory", "1", SFTP_EXT_HOME_DIRECTORY},
	{"users-groups-by-id@openssh.com", "1", SFTP_EXT_USERS_GROUPS},
};

const char *sftp_extension_name(enum sftp_extension extension)
{
	for (size_t i = 0; i < G_N_ELEMENTS(extensions); i++) {
		if (extensions[i].bit == extension)
			return extensions[i].name;
	}
	g_assert_not_reached();
}

uint32_t sftp_extension_bit(const char *name, const char *version)
{
	for (size_t i = 0; i < G_N_ELEMENTS(extensions); i++) {
		if (!strcmp(extensions[i].name, name) && !strcmp(extensions[i].version, version))
			return extensions[i].bit;
	}
	return 0;
}

/* ---- what a status means ---------------------------------------------------------------------- */

/*
 * What servers that are kinder than OpenSSH write into the message: strerror(3)'s texts in the C
 * locale, of glibc, musl and the BSDs (lower case is Go's), and those of later drafts of SFTP. Looked
 * for at the end, too ("mkdir x: File exists"), so that each also stands for what ends in it ("disk
 * quota exceeded", "invalid cross-device link").
 *
 * Not here: what would make the kernel or a program ask again (EINTR, EAGAIN) or never again
 * (ENOSYS).
 */
static const struct {
	const char *text;
	int error;
} causes[] = {
	{"no space left on device", ENOSPC},
	{"no space on filesystem", ENOSPC},
	{"quota exceeded", EDQUOT},
	{"file exists", EEXIST},
	{"file already exists", EEXIST},
	{"directory not empty", ENOTEMPTY},
	{"cross-device link", EXDEV},
	{"read-only file system", EROFS},
	{"is a directory", EISDIR},
	{"not a directory", ENOTDIR},
	{"too many levels of symbolic links", ELOOP},
	{"symbolic link loop", ELOOP},
	{"file too large", EFBIG},
	{"file name too long", ENAMETOOLONG},
	{"filename too long", ENAMETOOLONG},
	{"operation not permitted", EPERM},
	{"permission denied", EACCES},
	{"no such file or directory", ENOENT},
	{"no such device or address", ENXIO},
	{"invalid argument", EINVAL},
	{"bad file descriptor", EBADF},
	{"too many links", EMLINK},
	{"too many open files", EMFILE},
	{"too many open files in system", ENFILE},
	{"no file descriptors available", EMFILE},
	{"cannot allocate memory", ENOMEM},
	{"resource busy", EBUSY},
	{"text file busy", ETXTBSY},
	{"operation not supported", EOPNOTSUPP},
	{"function not implemented", EOPNOTSUPP},
	{"value too large for defined data type", EOVERFLOW},
	{"input/output error", EIO},
	{"i/o error", EIO},
};

/* The message in lower case, without what comes after the cause: a full stop, "(os error 28)". */
static char *cause_of(const char *message)
{
	char *cause = g_strchomp(g_ascii_strdown(message, -1));

	if (g_str_has_suffix(cause, ")")) {
		char *parenthesis = strrchr(cause, '(');

		if (parenthesis)
			*parenthesis = '\0';
		g_strchomp(cause);
	}
	if (g_str_has_suffix(cause, "."))
		cause[strlen(cause) - 1] = '\0';
	return cause;
}

static int message_errno(const char *message)
{
	g_autofree char *cause = NULL;

	if (!message)
		return 0;
	cause = cause_of(message);
	for (size_t i = 0; i < G_N_ELEMENTS(causes); i++) {
		if (g_str_has_suffix(cause, causes[i].text))
			return causes[i].error;
	}
	return 0;
}

/* SFTP_FAILURE without a known text: the operation's most likely cause. */
static int failure_errno(enum sftp_operation operation)
{
	switch (operation) {
	case SFTP_OP_RMDIR:
		return ENOTEMPTY;
	case SFTP_OP_WRITE:
	case SFTP_OP_FSYNC:
	case SFTP_OP_CLOSE:
	case SFTP_OP_READ:
	case SFTP_OP_COPY:
		return EIO;
	default:
		return EPERM;
	}
}

int sftp_status_errno(enum sftp_operation operation, uint32_t status, const char *message)
{
	int error;

	switch (status) {
	case SFTP_OK:
		return 0;
	case SFTP_NO_SUCH_FILE:
		return ENOENT;
	case SFTP_PERMISSION_DENIED:
		return EACCES;
	case SFTP_FAILURE:
		error = message_errno(message);
		return error ? error : failure_errno(operation);
	case SFTP_BAD_MESSAGE:
		return EBADMSG;
	case SFTP_NO_CONNECTION:
		return ENOTCONN;
	case SFTP_CONNECTION_LOST:
		return ECONNABORTED;
	case SFTP_OP_UNSUPPORTED:
		return EOPNOTSUPP;
	default:
		return EIO;
	}
}

/* ---- names for the trace ---------------------------------------------------------------------- */

const char *sftp_type_name(uint8_t type)
{
	static const char *const requests[] = {
		[SFTP_INIT] = "INIT",         [SFTP_VERSION_REPLY] = "VERSION",
		[SFTP_OPEN] = "OPEN",         [SFTP_CLOSE] = "CLOSE",
		[SFTP_READ] = "READ",         [SFTP_WRITE] = "WRITE",
		[SFTP_LSTAT] = "LSTAT",       [SFTP_FSTAT] = "FSTAT",
		[SFTP_SETSTAT] = "SETSTAT",   [SFTP_FSETSTAT] = "FSETSTAT",
		[SFTP_OPENDIR] = "OPENDIR",   [SFTP_READDIR] = "READDIR",
		[SFTP_REMOVE] = "REMOVE",     [SFTP_MKDIR] = "MKDIR",
		[SFTP_RMDIR] = "RMDIR",       [SFTP_REALPATH] = "REALPATH",
		[SFTP_STAT] = "STAT",         [SFTP_RENAME] = "RENAME",
		[SFTP_READLINK] = "READLINK", [SFTP_SYMLINK] = "SYMLINK",
	};

	switch (type) {
	case SFTP_STATUS:
		return "STATUS";
	case SFTP_HANDLE:
		return "HANDLE";
	case SFTP_DATA:
		return "DATA";
	case SFTP_NAME:
		return "NAME";
	case SFTP_ATTRS:
		return "ATTRS";
	case SFTP_EXTENDED:
		return "EXTENDED";
	case SFTP_EXTENDED_REPLY:
		return "EXTENDED_REPLY";
	default:
		if (type < G_N_ELEMENTS(requests) && requests[type])
			return requests[type];
		return "???";
	}
}
