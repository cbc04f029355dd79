// SPDX-License-Identifier: GPL-2.0-or-later
/* See daemon.h. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "util.h"

/* The child's end of the pipe to the waiting parent; -1 in the foreground. Set by daemon_fork(). */
static int parent_fd = -1;

/* The child said "ready", or ended without a word: then its exit code is ours. */
static void wait_for_child(pid_t child, int fd) G_GNUC_NORETURN;
static void wait_for_child(pid_t child, int fd)
{
	char word;
	ssize_t n;
	int status;

	do {
		n = read(fd, &word, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(EXIT_SUCCESS);
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			_exit(EXIT_FAILURE);
	}
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

void daemon_open_standard_fds(void)
{
	int fd;

	/* The lowest free number is what open() gives, so the gaps fill up from below. */
	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int daemon_fork(void)
{
	int fds[2];
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child < 0) {
		int error = -errno;

		close(fds[0]);
		close(fds[1]);
		return error;
	}
	if (child > 0) {
		close(fds[1]);
		wait_for_child(child, fds[0]);
	}
	close(fds[0]);
	parent_fd = fds[1];
	return 0;
}

static void leave_terminal(void)
{
	util_autofd null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	if (null <= STDERR_FILENO)
		util_take_fd(&null);
}

void daemon_ready(void)
{
	if (parent_fd < 0)
		return;
	log_to_syslog();
	leave_terminal();
	if (chdir("/") < 0)
		log_warning("cannot change to the root folder: %s", g_strerror(errno));
	if (write(parent_fd, "", 1) != 1)
		log_note("nobody waits for this file system to be ready");
	close(util_take_fd(&parent_fd));
}
