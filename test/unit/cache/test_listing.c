// SPDX-License-Identifier: GPL-2.0-or-later
/* Snapshots of folders: order, look-up by name, what a broken server sends, memory. */
#include <glib.h>
#include <malloc.h>
#include <string.h>
#include <sys/stat.h>

#include "listing.h"

static void append(struct listing *listing, const char *name, uint64_t id)
{
	struct listing_entry entry = {
		.name = name,
		.id = id,
		.has_attr = true,
		.attr = {.size = id * 10, .mode = S_IFREG | 0644, .nlink = 1, .mtime = -1},
	};

	listing_append(listing, &entry);
}

static struct listing *make(unsigned int count)
{
	struct listing *listing = listing_new();

	for (unsigned int i = 0; i < count; i++) {
		g_autofree char *name = g_strdup_printf("file-%07u", i);

		append(listing, name, i + 1);
	}
	return listing;
}

static void test_empty(void)
{
	struct listing *listing = listing_new();
	size_t index;

	g_assert_cmpuint(listing_count(listing), ==, 0);
	g_assert_false(listing_find(listing, "a", &index));
	g_assert_false(listing_find(listing, "", &index));
	listing_unref(listing);
	listing_unref(NULL);
}

static void test_order_and_content(void)
{
	static const char *const names[] = {"z", "a", "\xff\xfe", "with space", "é", "-", "Z"};
	struct listing *listing = listing_new();
	struct listing_entry entry;

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *passing = g_strdup(names[i]);

		append(listing, passing, i + 1);
	}
	g_assert_cmpuint(listing_count(listing), ==, G_N_ELEMENTS(names));
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		listing_get(listing, i, &entry);
		g_assert_cmpstr(entry.name, ==, names[i]);
		g_assert_cmpuint(entry.id, ==, i + 1);
		g_assert_true(entry.has_attr);
		g_assert_cmpuint(entry.attr.size, ==, 10 * (i + 1));
		g_assert_cmpint(entry.attr.mtime, ==, -1);
	}
	listing_unref(listing);
}

static void test_without_attributes(void)
{
	struct listing *listing = listing_new();
	struct listing_entry entry = {.name = "bare"};

	listing_append(listing, &entry);
	append(listing, "dressed", 2);
	listing_get(listing, 0, &entry);
	g_assert_false(entry.has_attr);
	g_assert_cmpuint(entry.id, ==, 0);
	listing_get(listing, 1, &entry);
	g_assert_true(entry.has_attr);
	listing_unref(listing);
}

/* Through every growth of the index, each name is found at its place and no other is. */
static void test_find(void)
{
	for (unsigned int count = 1; count < 3000; count += count / 3 + 1) {
		struct listing *listing = make(count);
		size_t index;

		for (unsigned int i = 0; i < count; i++) {
			g_autofree char *name = g_strdup_printf("file-%07u", i);
			g_autofree char *other = g_strdup_printf("file-%07u", count + i);

			g_assert_true(listing_find(listing, name, &index));
			g_assert_cmpuint(index, ==, i);
			g_assert_false(listing_find(listing, other, &index));
		}
		listing_unref(listing);
	}
}

static void test_a_name_twice(void)
{
	struct listing *listing = listing_new();
	struct listing_entry entry;
	size_t index;

	append(listing, "a", 1);
	append(listing, "a", 2);
	append(listing, "b", 3);
	g_assert_cmpuint(listing_count(listing), ==, 2);
	g_assert_true(listing_find(listing, "a", &index));
	listing_get(listing, index, &entry);
	g_assert_cmpuint(entry.id, ==, 1);
	listing_unref(listing);
}

static void test_shared(void)
{
	struct listing *listing = make(10);
	struct listing_entry entry;

	g_assert_true(listing_ref(listing) == listing);
	listing_unref(listing);
	listing_get(listing, 9, &entry);
	g_assert_cmpstr(entry.name, ==, "file-0000009");
	listing_unref(listing);
}

static void expect_state(const struct listing *listing, const char *name, enum listing_state state,
                         bool has_attr)
{
	struct listing_entry entry;
	size_t index;

	g_assert_true(listing_find(listing, name, &index));
	listing_get(listing, index, &entry);
	g_assert_cmpint(entry.state, ==, state);
	g_assert_cmpint(entry.has_attr, ==, has_attr);
}

static void test_states(void)
{
	struct listing *listing = make(3);

	listing_set(listing, "file-0000001", LISTING_DOUBTED, 0);
	listing_set(listing, "new", LISTING_DOUBTED, 0);
	g_assert_cmpuint(listing_doubts(listing), ==, 2);
	listing_set(listing, "file-0000001", LISTING_REMOVED, 0);
	listing_set(listing, "new", LISTING_PRESENT, 77);
	listing_set(listing, "file-0000002", LISTING_PRESENT, 0);
	g_assert_cmpuint(listing_doubts(listing), ==, 0);
	g_assert_cmpuint(listing_count(listing), ==, 4);
	expect_state(listing, "file-0000000", LISTING_PRESENT, true);
	expect_state(listing, "file-0000001", LISTING_REMOVED, false);
	expect_state(listing, "file-0000002", LISTING_PRESENT, true);
	expect_state(listing, "new", LISTING_PRESENT, false);
	listing_drop_attr(listing, 0);
	expect_state(listing, "file-0000000", LISTING_PRESENT, false);
	listing_unref(listing);
}

/* Who reads a snapshot keeps it; the copy has lost the removed names' places, and is known as one. */
static void test_unshared(void)
{
	struct listing *listing = make(3), *read = listing_ref(listing);
	uint64_t serial = listing_serial(listing);

	listing = listing_unshare(listing);
	g_assert_true(listing != read);
	g_assert_true(listing == listing_unshare(listing));
	listing_set(listing, "file-0000001", LISTING_REMOVED, 0);
	expect_state(read, "file-0000001", LISTING_PRESENT, true);
	listing_unref(read);
	read = listing_ref(listing);
	listing = listing_unshare(listing);
	g_assert_cmpuint(listing_count(listing), ==, 2);
	g_assert_cmpuint(listing_count(read), ==, 3);
	g_assert_cmpuint(listing_serial(listing), ==, serial);
	listing_unref(read);
	listing_unref(listing);
}

/* Bytes of the heap in use; 0 under a sanitizer or valgrind, whose heap is another. */
static size_t heap(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void test_memory(void)
{
	static const unsigned int counts[] = {100, 1000, 10000, 90000};

	for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
		size_t before = heap(), after;
		struct listing *listing = make(counts[i]);

		listing_trim(listing);
		after = heap();
		g_test_message("%u names: %zu bytes each, %zu by its own account", counts[i],
		               (after - before) / counts[i], listing_bytes(listing) / counts[i]);
		g_assert_cmpuint(listing_bytes(listing), <=, 100 * counts[i]);
		if (after > before)
			g_assert_cmpuint(after - before, <=, 120 * counts[i]);
		listing_unref(listing);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/listing/empty", test_empty);
	g_test_add_func("/listing/order_and_content", test_order_and_content);
	g_test_add_func("/listing/without_attributes", test_without_attributes);
	g_test_add_func("/listing/find", test_find);
	g_test_add_func("/listing/a_name_twice", test_a_name_twice);
	g_test_add_func("/listing/shared", test_shared);
	g_test_add_func("/listing/states", test_states);
	g_test_add_func("/listing/unshared", test_unshared);
	g_test_add_func("/listing/memory", test_memory);
	return g_test_run();
}
