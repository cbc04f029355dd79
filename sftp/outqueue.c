// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The send queue of a connection: a list of chunks. See outqueue.h.
 *
 * Appending to the last chunk while the writer sends its front is safe: bytes once appended never
 * move, and the writer looks only at those that were there when it peeked.
 */
#include "outqueue.h"

#include <glib.h>
#include <stdint.h>
#include <string.h>

/* Small messages share a chunk. */
#define CHUNK_MIN ((size_t)16 * 1024)

struct outqueue_chunk {
	struct outqueue_chunk *next;
	size_t start, end, capacity;
	uint8_t data[];
};

static size_t iov_size(const struct iovec *iov, int count)
{
	size_t size = 0;

	for (int i = 0; i < count; i++)
		size += iov[i].iov_len;
	return size;
}

static struct outqueue_chunk *chunk_new(size_t size)
{
	size_t capacity = MAX(size, CHUNK_MIN);
	struct outqueue_chunk *chunk = g_malloc(sizeof(*chunk) + capacity);

	chunk->next = NULL;
	chunk->start = 0;
	chunk->end = 0;
	chunk->capacity = capacity;
	return chunk;
}

static void chunk_put(struct outqueue_chunk *chunk, const struct iovec *iov, int count, size_t skip)
{
	for (int i = 0; i < count; i++) {
		size_t skipped = MIN(skip, iov[i].iov_len);
		size_t size = iov[i].iov_len - skipped;

		skip -= skipped;
		if (size == 0)
			continue;
		memcpy(chunk->data + chunk->end, (const uint8_t *)iov[i].iov_base + skipped, size);
		chunk->end += size;
	}
}

void outqueue_append(struct outqueue *queue, const struct iovec *iov, int count)
{
	size_t size = iov_size(iov, count);
	struct outqueue_chunk *tail = queue->tail;

	if (!tail || tail->capacity - tail->end < size) {
		tail = chunk_new(size);
		if (queue->tail)
			queue->tail->next = tail;
		else
			queue->head = tail;
		queue->tail = tail;
	}
	chunk_put(tail, iov, count, 0);
	queue->size += size;
}

void outqueue_prepend(struct outqueue *queue, const struct iovec *iov, int count, size_t skip)
{
	size_t size = iov_size(iov, count) - skip;
	struct outqueue_chunk *head = chunk_new(size);

	chunk_put(head, iov, count, skip);
	head->next = queue->head;
	queue->head = head;
	if (!queue->tail)
		queue->tail = head;
	queue->size += size;
}

int outqueue_peek(const struct outqueue *queue, struct iovec *iov, int max)
{
	struct outqueue_chunk *chunk = queue->head;
	int count = 0;

	for (; chunk && count < max; chunk = chunk->next, count++) {
		iov[count].iov_base = chunk->data + chunk->start;
		iov[count].iov_len = chunk->end - chunk->start;
	}
	return count;
}

static void drop_head(struct outqueue *queue)
{
	struct outqueue_chunk *head = queue->head;

	queue->head = head->next;
	if (!queue->head)
		queue->tail = NULL;
	g_free(head);
}

void outqueue_consume(struct outqueue *queue, size_t size)
{
	g_assert(size <= queue->size);
	queue->size -= size;
	while (queue->head) {
		struct outqueue_chunk *head = queue->head;
		size_t taken = MIN(size, head->end - head->start);

		head->start += taken;
		size -= taken;
		if (head->start < head->end)
			return;
		drop_head(queue);
	}
}

void outqueue_done(struct outqueue *queue)
{
	while (queue->head)
		drop_head(queue);
	queue->size = 0;
}
