// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See autounmount.h. libfuse leaves this to fusermount3, but since 3.17 asks it in words that older
 * ones, Debian 12's for one, do not know, and then mounts without. This works with every fusermount3.
 *
 * The guard is a forked child that waits for the end of a pipe whose other end only we hold. Then the
 * mountpoint is ours to unmount exactly if it answers as a mount does that nobody serves: an unmounted
 * folder answers, and so does whatever somebody has mounted there since.
 *
 * We may have threads already, so the child calls only what is safe in a signal handler.
 */
#include "autounmount.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

struct autounmount {
	pid_t child;
	int fd; /* our end of the pipe */
};

/* Nothing of ours may live on in the child, least of all /dev/fuse: it would keep the mount alive. */
static void close_all_but(int fd)
{
	dup2(fd, STDIN_FILENO);
	close_range(STDIN_FILENO + 1, ~0U, 0);
}

static void wait_for_end_of_file(int fd)
{
	char byte;

	while (read(fd, &byte, 1) > 0 || errno == EINTR)
		errno = 0;
}

/* The pipe may end a moment before /dev/fuse does: a question on its way then is aborted. */
static bool is_orphan_errno(int error)
{
	return error == ENOTCONN || error == ECONNABORTED;
}

static void guard_main(int fd, const char *mountpoint, const char *fusermount) G_GNUC_NORETURN;
static void guard_main(int fd, const char *mountpoint, const char *fusermount)
{
	struct stat stat_buf;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	setsid();
	if (chdir("/") < 0)
		_exit(EXIT_FAILURE);
	close_all_but(fd);
	wait_for_end_of_file(STDIN_FILENO);
	if (stat(mountpoint, &stat_buf) == 0 || !is_orphan_errno(errno))
		_exit(EXIT_SUCCESS);
	if (umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		_exit(EXIT_SUCCESS);
	if (fusermount)
		execl(fusermount, "fusermount3", "-u", "-q", "-z", "--", mountpoint, NULL);
	_exit(EXIT_FAILURE);
}

int autounmount_start(const char *mountpoint, struct autounmount **ret_guard)
{
	g_autofree char *program = g_find_program_in_path("fusermount3");
	struct autounmount *guard;
	int fds[2];
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child == 0)
		guard_main(fds[0], mountpoint, program);
	close(fds[0]);
	if (child < 0) {
		int error = -errno;

		close(fds[1]);
		return error;
	}
	guard = g_new0(struct autounmount, 1);
	guard->child = child;
	guard->fd = fds[1];
	*ret_guard = guard;
	return 0;
}

void autounmount_free(struct autounmount *guard)
{
	if (!guard)
		return;
	close(guard->fd);
	while (waitpid(guard->child, NULL, 0) < 0 && errno == EINTR)
		;
	g_free(guard);
}
