/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writes of one open file: handed to the connection and not waited for (write-behind), in the order in which
 * they came, bounded by a window over all files.
 *
 * Small writes that adjoin are gathered while an earlier one is on its way (Nagle's algorithm, RFC 896): the
 * first goes out at once; what comes next goes out when it fills a WRITE, when all before it has been
 * answered, or when somebody wants to be sure of it (writer_push(), writer_await()).
 *
 * The first error is kept until it is taken. Thread-safe; reference counted, and what is on its way holds a
 * reference.
 */
#ifndef FS_WRITER_H
#define FS_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "window.h"

struct writer;

enum writer_kind {
	WRITER_GATHERS, /* where bytes end up is told by the offset: a WRITE may end anywhere */
	WRITER_APPENDS, /* the same, but a write that fits into a WRITE is never cut: others may append, too */
	WRITER_PLAIN, /* each write is at least one WRITE, sent at once */
};

/* Borrows the window; takes a reference to the file. One reference. */
struct writer *writer_new(struct window *window, struct sftp_file *file, enum writer_kind kind);
struct writer *writer_ref(struct writer *writer);
void writer_unref(struct writer *writer); /* accepts NULL */

/*
 * Writes `size` > 0 bytes, which are no longer needed on return. Waits for room in the window; and for the reply
 * once a write has failed: then each write tells its own error. `written(data)` is called once: when the
 * server has answered for all of the bytes, before they stop counting as on their way, or when nothing
 * was sent; on any thread, possibly before this returns, with nothing locked.
 * Returns 0, or -errno: of this write, or of an earlier one whose error has not been taken yet (it stays).
 * -EINTR: cancelled, and nothing was written. -EFBIG: it would end beyond 2^63.
 */
int writer_write(struct writer *writer, const void *buf, size_t size, uint64_t offset,
                 void (*written)(void *data), void *data);

/* Sends what is gathered; does not wait. */
void writer_push(struct writer *writer);
/* Sends what is gathered and waits until all that is on its way now has been answered. 0 or -EINTR. */
int writer_await(struct writer *writer);
/* The first error that has not been taken yet, 0 or -errno; forgets it. */
int writer_take_error(struct writer *writer);

#endif
