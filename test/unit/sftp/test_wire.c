// SPDX-License-Identifier: GPL-2.0-or-later
/* The SSH wire encoding: what is put is got again, and nothing is read beyond the end. */
#include <glib.h>
#include <string.h>

#include "wire.h"

static void test_round_trip(void)
{
	WIRE_AUTO buf = {0};
	struct wire_reader reader;
	const uint8_t *bytes;
	size_t size;
	g_autofree char *text = NULL;

	wire_buf_init(&buf);
	wire_put_u8(&buf, 0xab);
	wire_put_u32(&buf, 0x01020304);
	wire_put_u64(&buf, UINT64_C(0x0102030405060708));
	wire_put_string(&buf, "a\0b", 3);
	wire_put_cstring(&buf, "name");
	wire_reader_init(&reader, buf.data, buf.size);
	g_assert_cmpuint(wire_get_u8(&reader), ==, 0xab);
	g_assert_cmpuint(wire_get_u32(&reader), ==, 0x01020304);
	g_assert_cmpuint(wire_get_u64(&reader), ==, UINT64_C(0x0102030405060708));
	bytes = wire_peek_string(&reader, &size);
	g_assert_cmpmem(bytes, size, "a\0b", 3);
	text = wire_get_cstring(&reader);
	g_assert_cmpstr(text, ==, "name");
	g_assert_true(wire_reader_ok(&reader));
	g_assert_cmpuint(wire_reader_left(&reader), ==, 0);
}

static void test_most_significant_first(void)
{
	static const uint8_t expected[] = {0, 0, 1, 2};
	WIRE_AUTO buf = {0};

	wire_buf_init(&buf);
	wire_put_u32(&buf, 0x0102);
	g_assert_cmpmem(buf.data, buf.size, expected, sizeof(expected));
}

static void test_growing(void)
{
	WIRE_AUTO buf = {0};
	struct wire_reader reader;

	wire_buf_init(&buf);
	for (uint32_t i = 0; i < 100000; i++)
		wire_put_u32(&buf, i);
	g_assert_cmpuint(buf.size, ==, 400000);
	wire_reader_init(&reader, buf.data, buf.size);
	for (uint32_t i = 0; i < 100000; i++)
		g_assert_cmpuint(wire_get_u32(&reader), ==, i);
	wire_buf_done(&buf);
	wire_put_u8(&buf, 1);
	g_assert_cmpuint(buf.size, ==, 1);
}

/* Every cut of a message is seen, and every get behind it fails, too. */
static void test_cut_anywhere(void)
{
	WIRE_AUTO buf = {0};

	wire_buf_init(&buf);
	wire_put_u64(&buf, 1);
	wire_put_cstring(&buf, "text");
	wire_put_u8(&buf, 2);
	for (size_t size = 0; size < buf.size; size++) {
		g_autofree uint8_t *cut = g_memdup2(buf.data, size);
		g_autofree char *text = NULL;
		struct wire_reader reader;

		wire_reader_init(&reader, cut, size);
		wire_get_u64(&reader);
		text = wire_get_cstring(&reader);
		wire_get_u8(&reader);
		g_assert_false(wire_reader_ok(&reader));
		g_assert_cmpuint(wire_get_u8(&reader), ==, 0);
		g_assert_cmpuint(wire_get_u64(&reader), ==, 0);
	}
}

static void test_length_beyond_the_end(void)
{
	static const uint8_t message[] = {0xff, 0xff, 0xff, 0xff, 'x'};
	struct wire_reader reader;
	size_t size = 1;

	wire_reader_init(&reader, message, sizeof(message));
	wire_peek_string(&reader, &size);
	g_assert_cmpuint(size, ==, 0);
	g_assert_false(wire_reader_ok(&reader));
}

static void test_nul_in_a_path(void)
{
	WIRE_AUTO buf = {0};
	struct wire_reader reader;

	wire_buf_init(&buf);
	wire_put_string(&buf, "a\0b", 3);
	wire_reader_init(&reader, buf.data, buf.size);
	g_assert_null(wire_get_cstring(&reader));
	g_assert_false(wire_reader_ok(&reader));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/wire/round-trip", test_round_trip);
	g_test_add_func("/wire/most-significant-first", test_most_significant_first);
	g_test_add_func("/wire/growing", test_growing);
	g_test_add_func("/wire/cut-anywhere", test_cut_anywhere);
	g_test_add_func("/wire/length-beyond-the-end", test_length_beyond_the_end);
	g_test_add_func("/wire/nul-in-a-path", test_nul_in_a_path);
	return g_test_run();
}
