// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The input buffer of a connection. See input.h.
 *
 * Consumed bytes are left in front until the room behind runs out, so that moving bytes to the
 * front is rare: mostly the buffer runs empty first.
 */
#include "input.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

void input_init(struct input *input)
{
	input->data = g_malloc(INPUT_CAPACITY);
	input->start = 0;
	input->end = 0;
}

void input_done(struct input *input)
{
	g_clear_pointer(&input->data, g_free);
}

void input_consume(struct input *input, size_t size)
{
	g_assert(size <= input_left(input));
	input->start += size;
	if (input->start == input->end) {
		input->start = 0;
		input->end = 0;
	}
}

int input_more(struct input *input, struct transport *transport)
{
	ssize_t n;

	g_assert(input->end < INPUT_CAPACITY);
	n = transport_read(transport, input->data + input->end, INPUT_CAPACITY - input->end);
	if (n < 0)
		return (int)n;
	if (n == 0)
		return -EPIPE;
	input->end += (size_t)n;
	return 0;
}

static void move_to_front(struct input *input)
{
	size_t left = input_left(input);

	memmove(input->data, input_peek(input), left);
	input->start = 0;
	input->end = left;
}

int input_need(struct input *input, struct transport *transport, size_t size)
{
	g_assert(size <= INPUT_CAPACITY);
	while (input_left(input) < size) {
		int error;

		if (INPUT_CAPACITY - input->start < size)
			move_to_front(input);
		error = input_more(input, transport);
		if (error)
			return error;
	}
	return 0;
}
