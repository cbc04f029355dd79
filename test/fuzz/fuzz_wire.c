// SPDX-License-Identifier: GPL-2.0-or-later
/* A reader driven by its own input: each byte says what to get next. Nothing is read beyond the end. */
#include <glib.h>
#include <stdint.h>

#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void get_something(struct wire_reader *reader, uint8_t what)
{
	const uint8_t *bytes;
	size_t length = 0;

	switch (what % 5) {
	case 0:
		wire_get_u8(reader);
		break;
	case 1:
		wire_get_u32(reader);
		break;
	case 2:
		wire_get_u64(reader);
		break;
	case 3:
		bytes = wire_peek_string(reader, &length);
		if (length > 0)
			g_assert_true(bytes + length == reader->next);
		break;
	default:
		g_free(wire_get_cstring(reader));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_reader reader;
	size_t left;

	wire_reader_init(&reader, data, size);
	while ((left = wire_reader_left(&reader)) > 0 && wire_reader_ok(&reader)) {
		get_something(&reader, *reader.next);
		g_assert_true(wire_reader_left(&reader) <= left);
		if (wire_reader_left(&reader) == left)
			break;
	}
	return 0;
}
