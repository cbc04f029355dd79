// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Finding the cause of a vague failure. See diagnose.h.
 *
 * What OpenSSH's server (and those modelled on it) makes of an errno:
 *	SFTP_NO_SUCH_FILE	ENOENT, ENOTDIR, EBADF, ELOOP
 *	SFTP_PERMISSION_DENIED	EPERM, EACCES, EFAULT
 *	SFTP_BAD_MESSAGE	EINVAL, ENAMETOOLONG
 *	SFTP_FAILURE		everything else
 *
 * What is looked at, all in one round trip, and the conclusions in this order:
 *
 *	any		a name over 255 or a path over 4095 bytes	ENAMETOOLONG (BAD_MESSAGE only)
 *	MKDIR, SYMLINK	it exists				EEXIST
 *	OPEN		EXCL and it exists			EEXIST
 *			for writing and it is a folder		EISDIR
 *	RMDIR		it is not a folder			ENOTDIR
 *	REMOVE		it is a folder				EISDIR
 *	READLINK	it is not a symlink			EINVAL
 *	OPENDIR		it is not a folder			ENOTDIR
 *	SETSTAT		a size, and it is a folder		EISDIR
 *			a size larger than it has		EFBIG
 *	LINK		the new name exists			EEXIST
 *	RENAME		below itself				EINVAL
 *			no replacing, and the new name exists	EEXIST
 *			a folder onto something else		ENOTDIR
 *			something else onto a folder		EISDIR
 *			a folder onto a folder			ENOTEMPTY
 *	RENAME, LINK	different file systems			EXDEV
 *	changes		the file system is read-only		EROFS
 *	additions	no free block or inode for users	ENOSPC
 *
 * By then the world may have changed: a wrong guess is possible, but it is never a success.
 */
#include "diagnose.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>

/* Of Linux, and of most file systems. */
#define NAME_LONGEST 255
#define PATH_LONGEST 4095

/* What was found. */
struct facts {
	bool exists, other_exists; /* as far as is known */
	struct sftp_attrs attrs, other_attrs;
	bool has_space, other_has_space;        /* the server tells */
	struct sftp_statvfs space, other_space; /* of the folders that hold the names */
};

/* ---- names ------------------------------------------------------------------------------------ */

static bool is_too_long(const char *path)
{
	size_t name = 0;

	if (!path)
		return false;
	if (strlen(path) > PATH_LONGEST)
		return true;
	for (; *path; path++) {
		name = *path == '/' ? 0 : name + 1;
		if (name > NAME_LONGEST)
			return true;
	}
	return false;
}

static bool is_below(const char *path, const char *folder)
{
	size_t size = strlen(folder);

	return strncmp(path, folder, size) == 0 && path[size] == '/';
}

/* The folder that holds the name; the caller frees it. */
static char *parent_of(const char *path)
{
	size_t size = strlen(path);

	while (size > 1 && path[size - 1] == '/')
		size--;
	while (size > 0 && path[size - 1] != '/')
		size--;
	while (size > 1 && path[size - 1] == '/')
		size--;
	return size > 0 ? g_strndup(path, size) : g_strdup(".");
}

/* ---- looking ---------------------------------------------------------------------------------- */

static struct call *ask_attrs(struct sftp_conn *conn, uint8_t type, const char *path)
{
	struct call *call = NULL;

	return path && call_start_path(conn, type, path, &call) == 0 ? call : NULL;
}

static struct call *ask_space(struct sftp_conn *conn, const char *path)
{
	WIRE_AUTO body = {0};
	g_autofree char *parent = NULL;
	struct call *call = NULL;

	if (!path || !(sftp_conn_extensions(conn) & SFTP_EXT_STATVFS))
		return NULL;
	parent = parent_of(path);
	wire_buf_init(&body);
	wire_put_cstring(&body, sftp_extension_name(SFTP_EXT_STATVFS));
	wire_put_cstring(&body, parent);
	return call_start(conn, SFTP_EXTENDED, &body, &call) == 0 ? call : NULL;
}

static bool learn_attrs(struct call *call, struct sftp_attrs *attrs)
{
	struct wire_reader body;

	if (!call || call_reply(call, SFTP_OP_LSTAT, SFTP_ATTRS, &body))
		return false;
	sftp_get_attrs(&body, attrs);
	return wire_reader_ok(&body);
}

static bool learn_space(struct call *call, struct sftp_statvfs *space)
{
	struct wire_reader body;

	if (!call || call_reply(call, SFTP_OP_STATVFS, SFTP_EXTENDED_REPLY, &body))
		return false;
	sftp_get_statvfs(&body, space);
	return wire_reader_ok(&body);
}

/* A symlink is followed where the failed request followed it. */
static uint8_t stat_type(const struct diagnose_case *failed)
{
	switch (failed->operation) {
	case SFTP_OP_OPEN:
		return failed->open_flags & SFTP_OPEN_EXCL ? SFTP_LSTAT : SFTP_STAT;
	case SFTP_OP_OPENDIR:
	case SFTP_OP_SETSTAT:
		return SFTP_STAT;
	default:
		return SFTP_LSTAT;
	}
}

static void learn(struct sftp_conn *conn, const struct diagnose_case *failed, struct facts *facts)
{
	AUTO_CALL attrs = ask_attrs(conn, stat_type(failed), failed->path);
	AUTO_CALL other_attrs = ask_attrs(conn, SFTP_LSTAT, failed->other);
	AUTO_CALL space = ask_space(conn, failed->path);
	AUTO_CALL other_space = ask_space(conn, failed->other);

	facts->exists = learn_attrs(attrs, &facts->attrs);
	facts->other_exists = learn_attrs(other_attrs, &facts->other_attrs);
	facts->has_space = learn_space(space, &facts->space);
	facts->other_has_space = learn_space(other_space, &facts->other_space);
}

/* ---- concluding: each returns a positive errno, 0 when it has found nothing ---------------------- */

static bool has_type(bool exists, const struct sftp_attrs *attrs, mode_t type)
{
	return exists && attrs->flags & SFTP_ATTR_PERMISSIONS &&
	       (attrs->permissions & S_IFMT) == type;
}

static bool has_other_type(bool exists, const struct sftp_attrs *attrs, mode_t type)
{
	return exists && attrs->flags & SFTP_ATTR_PERMISSIONS && attrs->permissions & S_IFMT &&
	       (attrs->permissions & S_IFMT) != type;
}

static int conclude_open(const struct diagnose_case *failed, const struct facts *facts)
{
	if (failed->open_flags & SFTP_OPEN_EXCL && facts->exists)
		return EEXIST;
	if (failed->open_flags & SFTP_OPEN_WRITE && has_type(facts->exists, &facts->attrs, S_IFDIR))
		return EISDIR;
	return 0;
}

static int conclude_setstat(const struct diagnose_case *failed, const struct facts *facts)
{
	if (!failed->attrs || !(failed->attrs->flags & SFTP_ATTR_SIZE) || !facts->exists)
		return 0;
	if (has_type(true, &facts->attrs, S_IFDIR))
		return EISDIR;
	if (facts->has_space && facts->space.flag & SFTP_STATVFS_RDONLY)
		return EROFS;
	if (facts->attrs.flags & SFTP_ATTR_SIZE && failed->attrs->size > facts->attrs.size)
		return EFBIG;
	return 0;
}

static int conclude_rename(const struct diagnose_case *failed, const struct facts *facts)
{
	bool from_folder = has_type(facts->exists, &facts->attrs, S_IFDIR);
	bool to_folder = has_type(facts->other_exists, &facts->other_attrs, S_IFDIR);

	if (facts->exists && is_below(failed->other, failed->path))
		return EINVAL;
	if (failed->no_replace && facts->other_exists)
		return EEXIST;
	if (from_folder && has_other_type(facts->other_exists, &facts->other_attrs, S_IFDIR))
		return ENOTDIR;
	if (to_folder && has_other_type(facts->exists, &facts->attrs, S_IFDIR))
		return EISDIR;
	if (from_folder && to_folder)
		return ENOTEMPTY;
	return 0;
}

static int conclude_names(const struct diagnose_case *failed, const struct facts *facts)
{
	switch (failed->operation) {
	case SFTP_OP_MKDIR:
	case SFTP_OP_SYMLINK:
		return facts->exists ? EEXIST : 0;
	case SFTP_OP_LINK:
		return facts->other_exists ? EEXIST : 0;
	case SFTP_OP_OPEN:
		return conclude_open(failed, facts);
	case SFTP_OP_RMDIR:
	case SFTP_OP_OPENDIR:
		return has_other_type(facts->exists, &facts->attrs, S_IFDIR) ? ENOTDIR : 0;
	case SFTP_OP_REMOVE:
		return has_type(facts->exists, &facts->attrs, S_IFDIR) ? EISDIR : 0;
	case SFTP_OP_READLINK:
		return has_other_type(facts->exists, &facts->attrs, S_IFLNK) ? EINVAL : 0;
	case SFTP_OP_SETSTAT:
		return conclude_setstat(failed, facts);
	case SFTP_OP_RENAME:
		return conclude_rename(failed, facts);
	default:
		return 0;
	}
}

static bool changes(const struct diagnose_case *failed)
{
	if (failed->operation == SFTP_OP_OPEN)
		return failed->open_flags & (SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_TRUNC);
	return failed->operation != SFTP_OP_READLINK && failed->operation != SFTP_OP_OPENDIR;
}

static bool adds(const struct diagnose_case *failed)
{
	switch (failed->operation) {
	case SFTP_OP_OPEN:
		return failed->open_flags & SFTP_OPEN_CREAT;
	case SFTP_OP_MKDIR:
	case SFTP_OP_SYMLINK:
	case SFTP_OP_LINK:
	case SFTP_OP_RENAME:
		return true;
	default:
		return false;
	}
}

static bool is_full(const struct sftp_statvfs *space)
{
	return space->bavail == 0 || (space->files > 0 && space->favail == 0);
}

static int conclude_space(const struct diagnose_case *failed, const struct facts *facts)
{
	/* Where the new name is to be. */
	const struct sftp_statvfs *space = failed->other ? &facts->other_space : &facts->space;
	bool known = failed->other ? facts->other_has_space : facts->has_space;

	if (failed->other && facts->has_space && known && facts->space.fsid != space->fsid)
		return EXDEV;
	if (!known)
		return 0;
	if (changes(failed) && space->flag & SFTP_STATVFS_RDONLY)
		return EROFS;
	return adds(failed) && is_full(space) ? ENOSPC : 0;
}

/* ---- all of it -------------------------------------------------------------------------------- */

/* A missing name is what it says, but for those who require a folder. */
static bool may_mean_more(const struct call *call, const struct diagnose_case *failed)
{
	if (!call_is_vague(call))
		return false;
	if (call_status(call) != SFTP_NO_SUCH_FILE)
		return true;
	return failed->operation == SFTP_OP_RMDIR || failed->operation == SFTP_OP_OPENDIR ||
	       failed->operation == SFTP_OP_RENAME;
}

int diagnose_path(struct sftp_conn *conn, const struct call *call, int error,
                  const struct diagnose_case *failed)
{
	struct facts facts = {0};
	int cause;

	if (!may_mean_more(call, failed))
		return error;
	if (call_status(call) == SFTP_BAD_MESSAGE &&
	    (is_too_long(failed->path) || is_too_long(failed->other)))
		return -ENAMETOOLONG;
	learn(conn, failed, &facts);
	cause = conclude_names(failed, &facts);
	if (!cause && call_status(call) == SFTP_FAILURE)
		cause = conclude_space(failed, &facts);
	return cause ? -cause : error;
}

int diagnose_space(const struct sftp_statvfs *statvfs, uint64_t size)
{
	uint64_t block = statvfs->frsize ? statvfs->frsize : statvfs->bsize;

	if (statvfs->flag & SFTP_STATVFS_RDONLY)
		return -EROFS;
	if (statvfs->bavail == 0 || (block > 0 && statvfs->bavail < size / block))
		return -ENOSPC;
	return -EIO;
}
