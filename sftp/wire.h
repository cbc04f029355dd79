/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes of the SSH wire encoding (RFC 4251 section 5): a growing buffer to put values into, and a
 * bounds-checked reader to get them from.
 *
 * The reader is sticky: once a value runs over the end, every later get fails too and yields zero or
 * an empty string, so that a message is decoded in straight lines and checked once, with
 * wire_reader_ok(). Fuzzed (test/fuzz). Not thread-safe: one owner.
 */
#ifndef SFTP_WIRE_H
#define SFTP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <glib.h>

/* ---- putting ---------------------------------------------------------------------------------- */

/* Small messages live in `inlined`; longer ones on the heap. */
struct wire_buf {
	uint8_t *data;
	size_t size;
	size_t capacity;
	uint8_t inlined[256];
};

void wire_buf_init(struct wire_buf *buf);
/* Frees what was allocated; the buffer is empty and usable again. */
void wire_buf_done(struct wire_buf *buf);
/* A buffer that ends with the block; to be initialised with {0} at least. */
#define WIRE_AUTO __attribute__((cleanup(wire_buf_done))) struct wire_buf

void wire_put_u8(struct wire_buf *buf, uint8_t value);
void wire_put_u32(struct wire_buf *buf, uint32_t value);
void wire_put_u64(struct wire_buf *buf, uint64_t value);
/* The bytes as they are. */
void wire_put_bytes(struct wire_buf *buf, const void *bytes, size_t size);
/* A length (at most UINT32_MAX) and the bytes. */
void wire_put_string(struct wire_buf *buf, const void *bytes, size_t size);
/* The same for a NUL-terminated string. */
void wire_put_cstring(struct wire_buf *buf, const char *string);

/* ---- getting ---------------------------------------------------------------------------------- */

/* Borrows the bytes it reads. */
struct wire_reader {
	const uint8_t *next;
	const uint8_t *end;
	bool overrun;
};

/* `bytes` may be NULL when `size` is 0. */
void wire_reader_init(struct wire_reader *reader, const void *bytes, size_t size);

/* True while no get has run over the end. */
static inline bool wire_reader_ok(const struct wire_reader *reader)
{
	return !reader->overrun;
}

/* Bytes not yet read. */
static inline size_t wire_reader_left(const struct wire_reader *reader)
{
	return (size_t)(reader->end - reader->next);
}

uint8_t wire_get_u8(struct wire_reader *reader);
uint32_t wire_get_u32(struct wire_reader *reader);
uint64_t wire_get_u64(struct wire_reader *reader);
/* Borrows a string from the message: its bytes, not NUL-terminated, and its length in *ret_size. */
const uint8_t *wire_peek_string(struct wire_reader *reader, size_t *ret_size);
/*
 * A copy of a string, NUL-terminated, for the caller to free. NULL (and the reader in overrun) when
 * it runs over the end or holds a NUL byte, which no path or message may.
 */
char *wire_get_cstring(struct wire_reader *reader);

#endif
