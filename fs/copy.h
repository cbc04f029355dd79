/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copying on the server (copy-data), piece by piece: see copy.c. How far it has come can be asked for.
 *
 * Thread-safe.
 */
#ifndef FS_COPY_H
#define FS_COPY_H

#include <stddef.h>
#include <stdint.h>

#include "util.h"

struct copies;

struct copies *copies_new(void);
void copies_free(struct copies *copies); /* none may be running; accepts NULL */

/* The copies that are running now, and what there was of all since the start. */
struct copy_progress {
	uint64_t running;  /* how many */
	uint64_t position; /* bytes: where in their sources they are, together */
	uint64_t size;     /* bytes: of their sources, together */
	uint64_t bytes;    /* copied since the start */
};
void copies_get_progress(struct copies *copies, struct copy_progress *ret_progress);

/*
 * How much is copied at once: so much that the server is busy for 100 to 250 ms, since OpenSSH's answers nothing
 * else on that connection meanwhile.
 */
#define COPY_PIECE_MIN   (1 * MIB)
#define COPY_PIECE_MAX   (64 * MIB)
#define COPY_PIECE_FIRST (8 * MIB)

/* The size of the next piece, after one of `size` bytes has kept the server busy for `span_ns`. */
size_t copy_next_piece(size_t size, uint64_t span_ns);

#endif
