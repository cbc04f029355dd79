/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes that came from the stream and are not yet consumed: large reads, many messages a read.
 * Not thread-safe: the reading thread's own.
 */
#ifndef SFTP_INPUT_H
#define SFTP_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "transport.h"

/*
 * Longest message we accept, its length field not counted: 256 KiB as OpenSSH has it, and some slack
 * for servers that count otherwise.
 */
#define INPUT_MESSAGE_MAX (256 * (size_t)1024 + 1024)
#define INPUT_CAPACITY    (INPUT_MESSAGE_MAX + 4)

struct input {
	uint8_t *data;     /* INPUT_CAPACITY bytes */
	size_t start, end; /* the unconsumed bytes are data[start] to data[end - 1] */
};

void input_init(struct input *input);
void input_done(struct input *input);

static inline size_t input_left(const struct input *input)
{
	return input->end - input->start;
}

/* The unconsumed bytes: input_left() of them, valid until the next input_need() or input_more(). */
static inline const uint8_t *input_peek(const struct input *input)
{
	return input->data + input->start;
}

/* A number as the wire has it. */
static inline uint32_t input_be32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

void input_consume(struct input *input, size_t size);

/*
 * Reads once, as much as there is and fits. There must be room (see input_need()).
 * Returns 0; -EPIPE at the end of the stream; another -errno when it broke.
 */
int input_more(struct input *input, struct transport *transport);

/* Reads until `size` (at most INPUT_CAPACITY) bytes are there. Returns as input_more(). */
int input_need(struct input *input, struct transport *transport, size_t size);

#endif
