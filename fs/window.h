/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many written bytes may be on their way to the server: one bound over all files.
 *
 * Whoever writes takes room for the bytes and waits when there is none; the room comes back when the server has
 * answered. The bound follows the link: what is on its way shall be there within WINDOW_TARGET_NS, so that
 * closing a small file does not wait for the megabytes of another, and the link is never idle. When room
 * comes free it goes to the writer that has the least on its way, and among equals to who came first: nobody
 * starves.
 *
 * Thread-safe; the lock is a leaf.
 */
#ifndef FS_WINDOW_H
#define FS_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "util.h"

/*
 * What write-behind may hold at most, whatever the link. Its purpose is to fill links: OpenSSH's server grants
 * 2 MiB a round trip and connection, so this is 16 connections' worth; more only makes the end of a copy
 * look nearer than it is.
 */
#define WINDOW_MAX (32 * MIB)
/* Of that for one file. */
#define WINDOW_SHARE_MAX (16 * MIB)
/* To begin with: twice what OpenSSH's server grants a round trip, so that the next one is ready, too. */
#define WINDOW_FIRST (4 * MIB)
/* At least: two of the largest WRITEs, so that one is on its way while the other is answered. */
#define WINDOW_MIN (512 * KIB)

/* A write shall be answered within this, or a few times what the quickest took, if that is longer. */
#define WINDOW_TARGET_NS (250 * CLOCK_NS_PER_MS)

struct window;

/* What one writer has of it; zero to begin with. */
struct window_share {
	size_t taken; /* bytes; protected by the window's lock */
};

struct window *window_new(void);
void window_free(struct window *window); /* nobody may be in it; accepts NULL */

/*
 * Room for `size` bytes; waits for it. A single write is let in whatever its size once nothing else is on its
 * way. Returns 0, or -EINTR when it had to wait and the calling thread's sftp_cancel was raised.
 */
int window_take(struct window *window, struct window_share *share, size_t size);
/* `size` bytes were answered `span_ns` after they had been sent; 0: they never were. */
void window_give(struct window *window, struct window_share *share, size_t size, uint64_t span_ns);
/* Bytes that may be on their way now. */
size_t window_limit(struct window *window);
/* How many wait for room. */
unsigned int window_waiting(struct window *window);

/* Something that refers to the window, or to what must not end before it, comes or goes. */
void window_enter(struct window *window);
void window_leave(struct window *window);
/* Waits until all have left, or `span_ns` has passed. True when they have. */
bool window_await_empty(struct window *window, uint64_t span_ns);

#endif
