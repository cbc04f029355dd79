// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See wire.h. Every get goes through take(), the one place that checks bounds.
 */
#include "wire.h"

#include <string.h>

/* ---- putting ---------------------------------------------------------------------------------- */

void wire_buf_init(struct wire_buf *buf)
{
	buf->data = buf->inlined;
	buf->size = 0;
	buf->capacity = sizeof(buf->inlined);
}

void wire_buf_done(struct wire_buf *buf)
{
	if (buf->data != buf->inlined)
		g_free(buf->data);
	wire_buf_init(buf);
}

/* Room for `size` more bytes, already counted in; returns where they go. */
static uint8_t *extend(struct wire_buf *buf, size_t size)
{
	size_t needed = buf->size + size;
	uint8_t *place;

	if (needed > buf->capacity) {
		size_t capacity = MAX(needed, 2 * buf->capacity);

		if (buf->data == buf->inlined) {
			buf->data = g_malloc(capacity);
			memcpy(buf->data, buf->inlined, buf->size);
		} else {
			buf->data = g_realloc(buf->data, capacity);
		}
		buf->capacity = capacity;
	}
	place = buf->data + buf->size;
	buf->size = needed;
	return place;
}

/* The `size` low bytes of `value`, most significant first. */
static void put_integer(struct wire_buf *buf, uint64_t value, size_t size)
{
	uint8_t *place = extend(buf, size);

	for (size_t i = 0; i < size; i++)
		place[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

void wire_put_u8(struct wire_buf *buf, uint8_t value)
{
	put_integer(buf, value, 1);
}

void wire_put_u32(struct wire_buf *buf, uint32_t value)
{
	put_integer(buf, value, 4);
}

void wire_put_u64(struct wire_buf *buf, uint64_t value)
{
	put_integer(buf, value, 8);
}

void wire_put_bytes(struct wire_buf *buf, const void *bytes, size_t size)
{
	if (size > 0)
		memcpy(extend(buf, size), bytes, size);
}

void wire_put_string(struct wire_buf *buf, const void *bytes, size_t size)
{
	g_assert(size <= UINT32_MAX);
	wire_put_u32(buf, (uint32_t)size);
	wire_put_bytes(buf, bytes, size);
}

void wire_put_cstring(struct wire_buf *buf, const char *string)
{
	wire_put_string(buf, string, strlen(string));
}

/* ---- getting ---------------------------------------------------------------------------------- */

void wire_reader_init(struct wire_reader *reader, const void *bytes, size_t size)
{
	/* Nothing may come as NULL, and arithmetic on NULL is undefined. */
	reader->next = bytes ? bytes : (const uint8_t *)"";
	reader->end = reader->next + size;
	reader->overrun = false;
}

/* The next `size` bytes, or NULL and overrun for good. */
static const uint8_t *take(struct wire_reader *reader, size_t size)
{
	const uint8_t *bytes = reader->next;

	if (reader->overrun || size > wire_reader_left(reader)) {
		reader->overrun = true;
		return NULL;
	}
	reader->next += size;
	return bytes;
}

static uint64_t get_integer(struct wire_reader *reader, size_t size)
{
	const uint8_t *bytes = take(reader, size);
	uint64_t value = 0;

	for (size_t i = 0; bytes && i < size; i++)
		value = value << 8 | bytes[i];
	return value;
}

uint8_t wire_get_u8(struct wire_reader *reader)
{
	return (uint8_t)get_integer(reader, 1);
}

uint32_t wire_get_u32(struct wire_reader *reader)
{
	return (uint32_t)get_integer(reader, 4);
}

uint64_t wire_get_u64(struct wire_reader *reader)
{
	return get_integer(reader, 8);
}

const uint8_t *wire_peek_string(struct wire_reader *reader, size_t *ret_size)
{
	size_t size = wire_get_u32(reader);
	const uint8_t *bytes = take(reader, size);

	*ret_size = bytes ? size : 0;
	return bytes ? bytes : (const uint8_t *)"";
}

char *wire_get_cstring(struct wire_reader *reader)
{
	size_t size;
	const uint8_t *bytes = wire_peek_string(reader, &size);

	if (reader->overrun || memchr(bytes, '\0', size)) {
		reader->overrun = true;
		return NULL;
	}
	return g_strndup((const char *)bytes, size);
}
