/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What GLib lacks: an owned file descriptor and a few numbers.
 *
 * Ownership in user space is written with GLib's cleanup attributes (g_autofree, g_autoptr);
 * util_autofd is their sibling for file descriptors.
 */
#ifndef UTIL_UTIL_H
#define UTIL_UTIL_H

#include <errno.h>
#include <glib.h>
#include <stddef.h>
#include <unistd.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* Closes *fd when it is open (>= 0), keeping errno. For util_autofd. */
static inline void util_close_fd(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

/* Moves the descriptor out of *fd, which no longer owns it. */
static inline int util_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* A file descriptor that is closed when the variable goes out of scope; -1 is "none". */
#define util_autofd __attribute__((cleanup(util_close_fd))) int

/* The struct of type `type` whose member `member` is at `ptr`. */
#define util_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
