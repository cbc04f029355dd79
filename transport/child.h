/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A child process that serves a stream: started safely from a program with many threads, minded by
 * a small thread of its own that collects what it prints to stderr and reaps it at once.
 *
 * Calling order: child_spawn(), any number of the others from any thread, child_end().
 */
#ifndef TRANSPORT_CHILD_H
#define TRANSPORT_CHILD_H

#include <stdbool.h>
#include <stdint.h>

struct child;

/* What to start. Everything is borrowed for the call. */
struct child_spec {
	const char *file; /* sought in PATH unless it holds a '/' */
	char *const *argv;
	char *const *envp;
	int stream;       /* becomes the child's stdin and stdout */
	int terminal;     /* becomes its controlling terminal, in a session of its own; or -1 */
	bool show_stderr; /* what it prints goes to our stderr too, line by line */
};

/*
 * Starts the child and returns once it has become the program, or could not: 0 and *ret_child, or
 * -errno of pipe, fork or exec (-ENOENT: not found).
 */
int child_spawn(const struct child_spec *spec, struct child **ret_child);

/* A descriptor that polls readable once the child has exited; -1 where the kernel has none. */
int child_exit_fd(const struct child *child);

/*
 * Gives the child's terminal (both ends of the pty) into the minder's care: what the child prints
 * there is thrown away, so that it never waits for room. To be called once.
 */
void child_adopt_terminal(struct child *child, int master, int slave);

/*
 * Waits until the child has exited and its last words are read, for `span_ns` at most.
 * Returns true and in *ret_status what waitpid(2) said (-1: unknown), or false.
 */
bool child_wait(struct child *child, uint64_t span_ns, int *ret_status);

/* The last few KiB that the child printed to stderr so far; may be empty. The caller frees it. */
char *child_last_words(struct child *child);

/*
 * Waits for the exit of a child whose stream was closed, helps with SIGTERM and then SIGKILL, and
 * frees. Three seconds at most: a child that even then does not go (it hangs in the kernel) is
 * left to its minder.
 */
void child_end(struct child *child);

#endif
