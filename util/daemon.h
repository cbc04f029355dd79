/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Going to the background early, reporting late.
 *
 * The program forks before it connects, so that everything it makes (threads, sockets, locked
 * memory) is made in the process that stays. The parent waits for one word from the child and exits
 * with its status: 0 once the file system serves, the child's exit code if it failed. The child
 * keeps the terminal until daemon_ready(), so that ssh can prompt.
 *
 * Calling order: daemon_open_standard_fds() first of all, daemon_fork(), then once daemon_ready(); an exit
 * before that is a failure.
 */
#ifndef UTIL_DAEMON_H
#define UTIL_DAEMON_H

/*
 * Puts /dev/null in the place of stdin, stdout and stderr where our caller has closed them: else the next
 * file opened would become one of them, and messages would go into a connection or /dev/fuse.
 */
void daemon_open_standard_fds(void);

/*
 * Forks. Returns 0 in the child; does not return in the parent; returns -errno when fork or pipe
 * failed (nothing has changed then).
 */
int daemon_fork(void);

/*
 * Called by the child when it serves: leaves the session and the terminal, goes to "/", points
 * stdin, stdout and stderr to /dev/null, turns the log to syslog, and lets the parent exit with 0.
 * Without a daemon_fork() before (foreground) it does nothing.
 */
void daemon_ready(void);

#endif
