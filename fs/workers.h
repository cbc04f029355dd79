/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The threads that read requests from /dev/fuse and serve them.
 *
 * libfuse's own loop joins its threads without end once the session is over; here the end is ours to
 * time, so that a request that waits for a dead server cannot keep the program.
 *
 * Calling order: workers_new, workers_start, workers_stop, workers_free.
 */
#ifndef FS_WORKERS_H
#define FS_WORKERS_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

struct workers;

/*
 * `left(error, data)` is called by each worker that finds the session at its end: error 0 when it was
 * unmounted or fuse_session_exit() was called, else the -errno of /dev/fuse.
 */
struct workers *workers_new(struct fuse_session *session, unsigned int max_threads,
                            void (*left)(int error, void *data), void *data);
/* Returns 0, or -errno when not even one thread can be made. */
int workers_start(struct workers *workers);
/*
 * After fuse_session_exit(): waits for at most `span_ns` until all workers are done with what they
 * serve. True when they are; they are joined then.
 */
bool workers_stop(struct workers *workers, uint64_t span_ns);
void workers_free(struct workers *workers); /* none may be left; accepts NULL */

#endif
