/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes that wait for the stream, in order. Not thread-safe: used under the connection's lock, except
 * that what outqueue_peek() lent stays valid while others append.
 */
#ifndef SFTP_OUTQUEUE_H
#define SFTP_OUTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct outqueue_chunk;

struct outqueue {
	struct outqueue_chunk *head, *tail;
	size_t size; /* bytes waiting */
};

/* An all-zero struct is an empty queue. Frees what waits. */
void outqueue_done(struct outqueue *queue);

static inline bool outqueue_is_empty(const struct outqueue *queue)
{
	return queue->size == 0;
}

/* Copies the bytes behind what waits already. */
void outqueue_append(struct outqueue *queue, const struct iovec *iov, int count);
/* Copies the bytes except the first `skip` in front of what waits: the rest of a broken-off write. */
void outqueue_prepend(struct outqueue *queue, const struct iovec *iov, int count, size_t skip);

/* Lends the first bytes, until they are consumed. Returns how many of `max` iovecs were filled. */
int outqueue_peek(const struct outqueue *queue, struct iovec *iov, int max);
void outqueue_consume(struct outqueue *queue, size_t size);

#endif
