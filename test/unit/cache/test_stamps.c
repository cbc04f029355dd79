// SPDX-License-Identifier: GPL-2.0-or-later
/* When things last changed: what is noted, what is changing, and what shares a slot. */
#include <glib.h>

#include "stamps.h"

#define DIR UINT64_C(7)

static void test_noted(void)
{
	g_autofree struct stamps *stamps = g_new0(struct stamps, 1);
	uint64_t before = stamps_now(stamps);

	g_assert_cmpuint(stamps_last(stamps, DIR, "a"), <=, before);
	stamps_note(stamps, DIR, "a");
	g_assert_cmpuint(stamps_last(stamps, DIR, "a"), >, before);
	/* Whoever asks from now on asks behind the change. */
	g_assert_cmpuint(stamps_last(stamps, DIR, "a"), <=, stamps_now(stamps));
	/* Others have not changed: the name, the folder's set of names, the name elsewhere. */
	g_assert_cmpuint(stamps_last(stamps, DIR, "b"), <=, before);
	g_assert_cmpuint(stamps_last(stamps, DIR, NULL), <=, before);
	g_assert_cmpuint(stamps_last(stamps, DIR + 1, "a"), <=, before);
}

static void test_changing(void)
{
	g_autofree struct stamps *stamps = g_new0(struct stamps, 1);
	uint64_t ours;

	stamps_begin(stamps, DIR, "a");
	ours = stamps_now(stamps);
	g_assert_cmpuint(stamps_last(stamps, DIR, "a"), ==, UINT64_MAX);
	g_assert_true(stamps_is_void(stamps, ours, DIR, "a"));
	g_assert_false(stamps_is_void_but_for_us(stamps, ours, DIR, "a"));

	stamps_begin(stamps, DIR, "a");
	g_assert_true(stamps_is_void_but_for_us(stamps, stamps_now(stamps), DIR, "a"));
	stamps_end(stamps, DIR, "a");
	g_assert_cmpuint(stamps_last(stamps, DIR, "a"), ==, UINT64_MAX);
	/* The other change is over, but it was one. */
	g_assert_true(stamps_is_void_but_for_us(stamps, ours, DIR, "a"));
	g_assert_false(stamps_is_void_but_for_us(stamps, stamps_now(stamps), DIR, "a"));

	stamps_end(stamps, DIR, "a");
	g_assert_cmpuint(stamps_last(stamps, DIR, "a"), <=, stamps_now(stamps));
	g_assert_cmpuint(stamps_last(stamps, DIR, "a"), >, ours);
}

static void test_all(void)
{
	g_autofree struct stamps *stamps = g_new0(struct stamps, 1);
	uint64_t before = stamps_now(stamps);

	g_assert_false(stamps_is_void(stamps, before, DIR, "a"));
	stamps_void_all(stamps);
	g_assert_true(stamps_is_void(stamps, before, DIR, "a"));
	g_assert_true(stamps_is_void_but_for_us(stamps, before, DIR, "a"));
	g_assert_false(stamps_is_void(stamps, stamps_now(stamps), DIR, "a"));
	/* What is known has not changed by that. */
	g_assert_cmpuint(stamps_last(stamps, DIR, "a"), <=, before);
}

/* More names than slots: some are thought to have changed, none that has is thought not to have. */
static void test_collisions(void)
{
	g_autofree struct stamps *stamps = g_new0(struct stamps, 1);
	uint64_t before;

	for (unsigned int i = 0; i < 2 * STAMPS_SLOTS; i++) {
		g_autofree char *name = g_strdup_printf("%u", i);

		before = stamps_now(stamps);
		stamps_note(stamps, DIR, name);
		g_assert_cmpuint(stamps_last(stamps, DIR, name), >, before);
	}
}

/* Consecutive folders and similar names must not meet in a few slots. */
static void test_spread(void)
{
	g_autofree struct stamps *stamps = g_new0(struct stamps, 1);
	unsigned int used = 0, count = STAMPS_SLOTS / 16;

	for (unsigned int i = 0; i < count; i++) {
		g_autofree char *name = g_strdup_printf("file%04u", i);

		stamps_note(stamps, DIR, name);
		stamps_note(stamps, i, NULL);
	}
	for (unsigned int i = 0; i < STAMPS_SLOTS; i++)
		used += stamps->slots[i] != 0;
	/* 1024 balls in 8192 boxes: 961 of them used, were it pure chance. */
	g_test_message("%u changes in %u slots", 2 * count, used);
	g_assert_cmpuint(used, >, 2 * count * 8 / 10);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/stamps/noted", test_noted);
	g_test_add_func("/stamps/changing", test_changing);
	g_test_add_func("/stamps/all", test_all);
	g_test_add_func("/stamps/collisions", test_collisions);
	g_test_add_func("/stamps/spread", test_spread);
	return g_test_run();
}
