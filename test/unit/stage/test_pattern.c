// SPDX-License-Identifier: GPL-2.0-or-later
/* What is fetched ahead of which reader. */
#include "pattern.h"

#include <glib.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

static const struct pattern_limits limits = {
	.size = 64 * 1024 * 1024,
	.piece = 256 * 1024,
	.window = 4 * 1024 * 1024,
	.trip = 2 * 1024 * 1024,
	.fits_held = true,
};

/* All that is to be fetched now: bytes, and where the first and the last piece begin. */
struct fetched {
	size_t bytes, pieces;
	uint64_t first, last;
};

static struct fetched fetch(struct pattern *pattern, const struct pattern_limits *within)
{
	struct fetched fetched = {0};
	uint64_t offset;
	size_t size;

	while (pattern_next(pattern, within, &offset, &size)) {
		g_assert_cmpuint(size, >, 0);
		g_assert_cmpuint(size, <=, within->piece);
		g_assert_cmpuint(offset + size, <=, within->size);
		if (fetched.pieces++ == 0)
			fetched.first = offset;
		fetched.last = offset;
		fetched.bytes += size;
		g_assert_cmpuint(fetched.pieces, <, 10000);
	}
	return fetched;
}

static struct fetched read_and_fetch(struct pattern *pattern, const struct pattern_limits *within,
                                     uint64_t offset, size_t size)
{
	pattern_note(pattern, within, offset, size, true);
	return fetch(pattern, within);
}

static void test_sequential_grows(void)
{
	struct pattern pattern = {.kind = PATTERN_NEW};
	uint64_t at = 128 * KIB;
	size_t bytes = read_and_fetch(&pattern, &limits, 0, 128 * KIB).bytes;
	uint64_t ahead;

	g_assert_cmpuint(bytes, ==, 128 * KIB);
	for (int i = 0; i < 10; i++, at += 128 * KIB)
		bytes += read_and_fetch(&pattern, &limits, at, 128 * KIB).bytes;
	g_assert_cmpint(pattern.kind, ==, PATTERN_SEQUENTIAL);
	ahead = 128 * KIB + bytes - at;
	g_assert_cmpuint(ahead, >=, limits.window);
	g_assert_cmpuint(ahead, <, limits.window + limits.piece);
}

static void test_sequential_ends_with_the_file(void)
{
	struct pattern_limits small = limits;
	struct pattern pattern = {.kind = PATTERN_NEW};
	size_t bytes = 0;

	small.size = 300 * KIB;
	for (uint64_t at = 0; at < small.size; at += 128 * KIB)
		bytes += read_and_fetch(&pattern, &small, at, 128 * KIB).bytes;
	g_assert_cmpuint(128 * KIB + bytes, ==, small.size);
}

/* The kernel's own requests are served by several threads. */
static void test_sequential_out_of_order(void)
{
	struct pattern pattern = {.kind = PATTERN_NEW};

	for (unsigned int i = 0; i < 64; i++)
		read_and_fetch(&pattern, &limits, (uint64_t)(i ^ 1) * 128 * KIB, 128 * KIB);
	g_assert_cmpint(pattern.kind, ==, PATTERN_SEQUENTIAL);
	g_assert_cmpuint(pattern.span, ==, limits.window);
}

static void test_sequential_tells_each_range_once(void)
{
	struct pattern pattern = {.kind = PATTERN_NEW};
	uint64_t next = 64 * KIB;

	for (uint64_t at = 0; at < 8 * MIB; at += 64 * KIB) {
		uint64_t offset;
		size_t size;

		pattern_note(&pattern, &limits, at, 64 * KIB, false);
		while (pattern_next(&pattern, &limits, &offset, &size)) {
			g_assert_cmpuint(offset, ==, next);
			next += size;
		}
	}
}

static void test_backward(void)
{
	struct pattern pattern = {.kind = PATTERN_NEW};
	uint64_t at = 32 * MIB;
	struct fetched fetched = {0};

	for (int i = 0; i < 12; i++, at -= 64 * KIB)
		fetched = read_and_fetch(&pattern, &limits, at, 64 * KIB);
	g_assert_cmpint(pattern.kind, ==, PATTERN_BACKWARD);
	g_assert_cmpuint(pattern.ahead, <=, pattern.start - limits.window);
	while (at > 0) {
		at -= 64 * KIB;
		fetched = read_and_fetch(&pattern, &limits, at, 64 * KIB);
	}
	g_assert_cmpuint(pattern.ahead, ==, 0);
	g_assert_cmpuint(fetched.bytes, ==, 0);
}

static void test_strided(gconstpointer data)
{
	int64_t stride = *(const int64_t *)data;
	struct pattern pattern = {.kind = PATTERN_NEW};
	uint64_t at = 32 * MIB;
	size_t bytes = 0, pieces = 0;
	struct pattern_limits narrow = limits;

	narrow.fits_held = false;
	narrow.window = 64 * KIB;
	for (int i = 0; i < 40; i++, at += (uint64_t)stride) {
		struct fetched fetched = read_and_fetch(&pattern, &narrow, at, 4 * KIB);

		bytes += fetched.bytes;
		pieces += fetched.pieces;
		if (fetched.pieces > 0)
			g_assert_cmpint((int64_t)(fetched.first - at) % stride, ==, 0);
	}
	g_assert_cmpint(pattern.kind, ==, PATTERN_STRIDED);
	/* Each once, and only what the reads will be of. */
	g_assert_cmpuint(bytes, ==, pieces * 4 * KIB);
	g_assert_cmpuint(pieces, >=, 40 - 5);
	g_assert_cmpuint(pieces, <=, 40 - 3 + narrow.window / (4 * KIB));
}

/* No stride at all: there is nothing to foretell. */
static void test_the_same_place(void)
{
	struct pattern pattern = {.kind = PATTERN_NEW};
	struct pattern_limits narrow = limits;

	narrow.fits_held = false;
	for (int i = 0; i < 20; i++)
		g_assert_cmpuint(read_and_fetch(&pattern, &narrow, 32 * MIB, 4 * KIB).bytes, <=,
		                 4 * KIB);
	g_assert_cmpint(pattern.kind, !=, PATTERN_STRIDED);
}

static uint64_t dice(GRand *rand)
{
	return (uint64_t)g_rand_int_range(rand, 0, (gint32)(limits.size / (4 * KIB))) * 4 * KIB;
}

static void test_random_in_a_file_that_is_too_large(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);
	struct pattern_limits large = limits;
	struct pattern pattern = {.kind = PATTERN_NEW};
	size_t bytes = 0;

	large.fits_held = false;
	for (int i = 0; i < 1000; i++)
		bytes += read_and_fetch(&pattern, &large, dice(rand), 4 * KIB).bytes;
	g_assert_cmpuint(bytes, <=, 16 * KIB);
}

static void test_random_far_away(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);
	struct pattern pattern = {.kind = PATTERN_NEW};
	size_t bytes = 0;

	for (int i = 0; i < 6; i++)
		bytes += read_and_fetch(&pattern, &limits, dice(rand), 4 * KIB).bytes;
	/* A few reads do not make it worth while. */
	g_assert_cmpuint(bytes, ==, 0);
	for (int i = 0; i < 10; i++) {
		size_t more = read_and_fetch(&pattern, &limits, dice(rand), 4 * KIB).bytes;

		g_assert_cmpuint(more, <=, limits.trip);
		bytes += more;
	}
	g_assert_cmpuint(bytes, >=, 9 * limits.trip);
	for (int i = 0; i < 100; i++)
		bytes += read_and_fetch(&pattern, &limits, dice(rand), 4 * KIB).bytes;
	g_assert_cmpuint(bytes, ==, limits.size);
}

/* Reads that find what they want pay for nothing; nor do any where a round trip costs nothing. */
static void test_random_without_need(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);
	struct pattern_limits near = limits;
	struct pattern here = {.kind = PATTERN_NEW}, held = {.kind = PATTERN_NEW};

	near.trip = 0;
	for (int i = 0; i < 100; i++) {
		uint64_t at = dice(rand);

		g_assert_cmpuint(read_and_fetch(&here, &near, at, 4 * KIB).bytes, ==, 0);
		pattern_note(&held, &limits, at, 4 * KIB, false);
		g_assert_cmpuint(fetch(&held, &limits).bytes, ==, 0);
	}
}

static void test_random_then_sequential(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);
	struct pattern pattern = {.kind = PATTERN_NEW};

	for (int i = 0; i < 4; i++)
		read_and_fetch(&pattern, &limits, dice(rand), 4 * KIB);
	g_assert_cmpint(pattern.kind, ==, PATTERN_RANDOM);
	for (uint64_t at = 10 * MIB; at < 14 * MIB; at += 128 * KIB)
		read_and_fetch(&pattern, &limits, at, 128 * KIB);
	g_assert_cmpint(pattern.kind, ==, PATTERN_SEQUENTIAL);
	g_assert_cmpuint(pattern.ahead, >, 17 * MIB);
}

/* Whatever is read, nothing beyond the file is fetched, and it ends. */
static void test_any(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(7);
	struct pattern pattern = {.kind = PATTERN_NEW};

	for (int i = 0; i < 20000; i++) {
		struct pattern_limits any = {
			.size = (uint64_t)g_rand_int_range(rand, 1, 1 << 20),
			.piece = (size_t)g_rand_int_range(rand, 1000, 1 << 18),
			.window = (size_t)g_rand_int_range(rand, 1, 1 << 22),
			.trip = (size_t)g_rand_int_range(rand, 0, 1 << 20),
			.fits_held = g_rand_boolean(rand),
		};

		read_and_fetch(&pattern, &any, (uint64_t)g_rand_int_range(rand, 0, 1 << 21),
		               (size_t)g_rand_int_range(rand, 1, 1 << 20));
	}
}

int main(int argc, char **argv)
{
	static const int64_t forward = 64 * 1024, backward = -64 * 1024;

	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/pattern/sequential/grows", test_sequential_grows);
	g_test_add_func("/pattern/sequential/ends", test_sequential_ends_with_the_file);
	g_test_add_func("/pattern/sequential/disorder", test_sequential_out_of_order);
	g_test_add_func("/pattern/sequential/once", test_sequential_tells_each_range_once);
	g_test_add_func("/pattern/backward", test_backward);
	g_test_add_func("/pattern/strided/nowhere", test_the_same_place);
	g_test_add_data_func("/pattern/strided/forward", &forward, test_strided);
	g_test_add_data_func("/pattern/strided/backward", &backward, test_strided);
	g_test_add_func("/pattern/random/large", test_random_in_a_file_that_is_too_large);
	g_test_add_func("/pattern/random/far", test_random_far_away);
	g_test_add_func("/pattern/random/no-need", test_random_without_need);
	g_test_add_func("/pattern/random/then-sequential", test_random_then_sequential);
	g_test_add_func("/pattern/any", test_any);
	return g_test_run();
}
