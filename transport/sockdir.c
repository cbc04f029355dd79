// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A private folder for sockets. See sockdir.h.
 *
 * Whoever lives holds a lock (flock) on its folder; the kernel drops it with the process, however that ends. A
 * folder that can be locked is therefore nobody's, and is removed. Nothing is removed but folders of our name,
 * owner and mode, and sockets in them.
 *
 * The race that shaped it: between making a folder and locking it, it looks abandoned to another process.
 * So after locking it is looked at again: if it has gone, another one is made.
 */
#include "sockdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "util.h"

#define NAME_PREFIX ".sshfs-mux-"
#define NAME_RANDOM "XXXXXX"

/* Bytes of the folder that ours is made in: there is room for our name and for a number. */
#define BASE_MAX (SOCKDIR_PATH_MAX - sizeof("/" NAME_PREFIX NAME_RANDOM "/") - 10)

#define TRIES_MAX 16

struct sockdir {
	char *path;          /* set once */
	int fd;              /* set once; owned, and locked */
	unsigned int number; /* of the last path; one thread at a time */
};

/* ---- where ------------------------------------------------------------------------------------ */

/* ssh takes some characters of a path for its own (%, ~, ${}, blanks, quotes). */
static bool is_plain(const char *path)
{
	return path[strspn(path, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                         "0123456789/._-")] == '\0';
}

static bool is_ours(const struct stat *stat)
{
	return S_ISDIR(stat->st_mode) && stat->st_uid == geteuid() &&
	       (stat->st_mode & 07777) == 0700;
}

static const char *choose_base(void)
{
	const char *dir = g_getenv("XDG_RUNTIME_DIR");
	struct stat stat;

	if (dir && *dir == '/' && strlen(dir) <= BASE_MAX && is_plain(dir) &&
	    lstat(dir, &stat) == 0 && is_ours(&stat) && access(dir, W_OK | X_OK) == 0)
		return dir;
	return "/tmp";
}

/* ---- removing --------------------------------------------------------------------------------- */

static void remove_socket(int dir_fd, const char *name)
{
	struct stat stat;

	if (fstatat(dir_fd, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(stat.st_mode))
		unlinkat(dir_fd, name, 0);
}

static void remove_sockets(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		util_close_fd(&fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		remove_socket(fd, entry->d_name);
	closedir(dir);
}

/* Removes a folder of our kind if nobody lives in it. */
static void remove_abandoned(int base_fd, const char *name)
{
	util_autofd fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) != 0 || !is_ours(&stat) || flock(fd, LOCK_EX | LOCK_NB) != 0)
		return;
	remove_sockets(fd);
	unlinkat(base_fd, name, AT_REMOVEDIR);
}

static bool is_our_name(const char *name)
{
	return g_str_has_prefix(name, NAME_PREFIX) &&
	       strlen(name) == strlen(NAME_PREFIX NAME_RANDOM);
}

static void sweep(const char *base)
{
	DIR *dir = opendir(base);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (is_our_name(entry->d_name))
			remove_abandoned(dirfd(dir), entry->d_name);
	}
	closedir(dir);
}

/* ---- life ------------------------------------------------------------------------------------- */

static bool is_still_there(const char *path, int fd)
{
	struct stat named, open;

	return lstat(path, &named) == 0 && fstat(fd, &open) == 0 && named.st_ino == open.st_ino &&
	       named.st_dev == open.st_dev;
}

/* 0, -EAGAIN taken for abandoned and removed meanwhile, or another -errno. */
static int make_locked(char *path, int *ret_fd)
{
	util_autofd fd = -1;

	if (!g_mkdtemp_full(path, 0700))
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -EAGAIN : -errno;
	if (flock(fd, LOCK_EX) != 0)
		return -errno;
	if (!is_still_there(path, fd))
		return -EAGAIN;
	*ret_fd = util_take_fd(&fd);
	return 0;
}

int sockdir_new(struct sockdir **ret_dir)
{
	const char *base = choose_base();
	int error = -EAGAIN;

	sweep(base);
	for (int i = 0; i < TRIES_MAX && error == -EAGAIN; i++) {
		g_autofree char *path = g_strdup_printf("%s/" NAME_PREFIX NAME_RANDOM, base);
		int fd = -1;

		error = make_locked(path, &fd);
		if (error)
			continue;
		*ret_dir = g_new0(struct sockdir, 1);
		(*ret_dir)->path = g_steal_pointer(&path);
		(*ret_dir)->fd = fd;
	}
	return error;
}

void sockdir_free(struct sockdir *dir)
{
	if (!dir)
		return;
	remove_sockets(dir->fd);
	rmdir(dir->path);
	close(dir->fd);
	g_free(dir->path);
	g_free(dir);
}

char *sockdir_new_path(struct sockdir *dir)
{
	remove_sockets(dir->fd);
	return g_strdup_printf("%s/%u", dir->path, ++dir->number);
}
