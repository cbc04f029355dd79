// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The calling end of control.h.
 *
 * It looks at as little as it can, since every look may ask a server that does not answer: no stat(2), no
 * statfs(2). Whether the path is on a mount of ours is known by who answers the ioctl.
 *
 * A file is never opened, which would be an OPEN on the server (or wait for the other end of a FIFO): it
 * is the folder that it is in which is told its name.
 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "util.h"

G_STATIC_ASSERT(sizeof(struct report) <= CONTROL_REPLY_MAX);

static int explain(const char *path, int error, char **ret_why)
{
	switch (error) {
	case -EPERM:
		*ret_why = g_strdup_printf(
			"%s: only the user who mounted it, and root, may do this", path);
		break;
	case -ENOTTY:
	case -EINVAL:
	case -EOPNOTSUPP:
		*ret_why = g_strdup_printf("%s: not on a mount of this version of sshfs", path);
		break;
	default:
		*ret_why = g_strdup_printf("%s: %s", path, g_strerror(-error));
		break;
	}
	return error;
}

static int open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : fd;
}

/* ---- statistics ------------------------------------------------------------------------------- */

int control_get_report(const char *path, struct report *ret_report, char **ret_why)
{
	g_autofree struct report *report = g_malloc0(CONTROL_REPLY_MAX);
	util_autofd fd = open_folder(path);

	if (fd < 0)
		return explain(path, fd, ret_why);
	if (ioctl(fd, CONTROL_GET_REPORT, report) < 0)
		return explain(path, -errno, ret_why);
	if (report->version != REPORT_VERSION || report->size != sizeof(*report))
		return explain(path, -ENOTTY, ret_why);
	*ret_report = *report;
	return 0;
}

/* ---- refresh ---------------------------------------------------------------------------------- */

static int call_refresh(int folder, const char *name)
{
	struct control_refresh refresh = {
		.version = CONTROL_REFRESH_VERSION,
		.size = sizeof(refresh),
	};

	if (strlen(name) >= sizeof(refresh.name))
		return -ENAMETOOLONG;
	strcpy(refresh.name, name);
	return ioctl(folder, CONTROL_REFRESH, &refresh) < 0 ? -errno : 0;
}

static int refresh_folder(const char *path)
{
	util_autofd fd = open_folder(path);

	return fd < 0 ? fd : call_refresh(fd, "");
}

static int refresh_name(const char *path)
{
	g_autofree char *parent = g_path_get_dirname(path);
	g_autofree char *name = g_path_get_basename(path);
	util_autofd fd = open_folder(parent);

	return fd < 0 ? fd : call_refresh(fd, name);
}

/* The type of what is there as the kernel knows it (S_IFMT bits), or -errno. */
static int known_type(const char *path, int flags)
{
	struct statx statx_buf;

	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | flags, STATX_TYPE, &statx_buf) < 0)
		return -errno;
	return statx_buf.stx_mode & S_IFMT;
}

/*
 * A symlink on the mount is refreshed itself, as its target may be what has changed; one that leads into a
 * mount is followed.
 */
static int refresh_symlink(const char *path)
{
	int error = refresh_name(path);

	if (error != -ENOTTY)
		return error;
	return known_type(path, 0) == S_IFDIR ? refresh_folder(path) : error;
}

int control_refresh(const char *path, char **ret_why)
{
	int type = known_type(path, AT_SYMLINK_NOFOLLOW), error;

	if (type == S_IFDIR)
		error = refresh_folder(path);
	else if (type == S_IFLNK)
		error = refresh_symlink(path);
	else if (type >= 0 || type == -ENOENT)
		error = refresh_name(path);
	else
		error = type;
	/* Missing, as it was known to be, and no parent on a mount either: that is what to say. */
	if (error == -ENOTTY && type == -ENOENT)
		error = -ENOENT;
	return error ? explain(path, error, ret_why) : 0;
}
