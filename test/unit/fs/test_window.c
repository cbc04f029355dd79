// SPDX-License-Identifier: GPL-2.0-or-later
/* The window of written bytes: how large it becomes, and who gets what comes free; and pieces of copies. */
#include <errno.h>
#include <glib.h>

#include "client.h"
#include "copy.h"
#include "window.h"

#define QUICK_NS CLOCK_NS_PER_MS
#define SLOW_NS  (2 * CLOCK_NS_PER_SEC)

/* As a writer does that always has as much on its way as there is room for. */
static void fill_and_empty(struct window *window, uint64_t span_ns)
{
	struct window_share share = {0};
	size_t taken = 0, limit = window_limit(window);

	for (; taken + WINDOW_MIN / 2 <= MIN(limit, WINDOW_SHARE_MAX); taken += WINDOW_MIN / 2)
		g_assert_cmpint(window_take(window, &share, WINDOW_MIN / 2), ==, 0);
	for (; taken > 0; taken -= WINDOW_MIN / 2)
		window_give(window, &share, WINDOW_MIN / 2, span_ns);
	g_assert_cmpuint(share.taken, ==, 0);
}

static void test_growing(void)
{
	struct window *window = window_new();

	g_assert_cmpuint(window_limit(window), ==, WINDOW_FIRST);
	fill_and_empty(window, QUICK_NS);
	g_assert_cmpuint(window_limit(window), >, WINDOW_FIRST * 5 / 4);
	for (int i = 0; i < 20; i++)
		fill_and_empty(window, QUICK_NS);
	g_assert_cmpuint(window_limit(window), ==, WINDOW_MAX);
	window_free(window);
}

/* Who writes little learns nothing about the link. */
static void test_not_growing(void)
{
	struct window *window = window_new();
	struct window_share share = {0};

	for (int i = 0; i < 100; i++) {
		g_assert_cmpint(window_take(window, &share, 1000), ==, 0);
		window_give(window, &share, 1000, QUICK_NS);
	}
	g_assert_cmpuint(window_limit(window), ==, WINDOW_FIRST);
	window_free(window);
}

static void test_shrinking(void)
{
	struct window *window = window_new();
	struct window_share share = {0};

	/* How quick it is when nothing is in front. */
	g_assert_cmpint(window_take(window, &share, 1000), ==, 0);
	window_give(window, &share, 1000, QUICK_NS);
	/* All were sent before it shrank, so it shrinks once, in proportion. */
	fill_and_empty(window, SLOW_NS);
	g_assert_cmpuint(window_limit(window), ==, WINDOW_FIRST / (SLOW_NS / WINDOW_TARGET_NS));
	window_free(window);
}

/* An answer that never comes quicker is no reason to leave the link idle. */
static void test_a_long_way(void)
{
	struct window *window = window_new();

	for (int i = 0; i < 5; i++)
		fill_and_empty(window, SLOW_NS);
	g_assert_cmpuint(window_limit(window), >=, WINDOW_FIRST);
	window_free(window);
}

/* ---- who waits ----------------------------------------------------------------------------------- */

struct waiter {
	struct window *window;
	struct window_share *share;
	size_t size;
	pthread_t thread;
	gint order;
};

static gint admitted; /* atomic: how many were */

static void *wait_for_room(void *data)
{
	struct waiter *waiter = data;

	g_assert_cmpint(window_take(waiter->window, waiter->share, waiter->size), ==, 0);
	waiter->order = g_atomic_int_add(&admitted, 1);
	return NULL;
}

static void start(struct waiter *waiter, unsigned int waiting)
{
	pthread_create(&waiter->thread, NULL, wait_for_room, waiter);
	while (window_waiting(waiter->window) < waiting)
		g_thread_yield();
}

/* Room goes to who has the least on its way, although the other has asked before. */
static void test_fairness(void)
{
	struct window *window = window_new();
	struct window_share greedy = {0}, modest = {0};
	struct waiter first = {.window = window, .share = &greedy, .size = MIB};
	struct waiter second = {.window = window, .share = &modest, .size = MIB};

	admitted = 0;
	for (size_t taken = 0; taken < WINDOW_FIRST; taken += MIB)
		g_assert_cmpint(window_take(window, &greedy, MIB), ==, 0);
	start(&first, 1);
	start(&second, 2);
	window_give(window, &greedy, MIB, 0);
	pthread_join(second.thread, NULL);
	g_assert_cmpuint(window_waiting(window), ==, 1);
	window_give(window, &greedy, MIB, 0);
	pthread_join(first.thread, NULL);
	g_assert_cmpint(second.order, ==, 0);
	g_assert_cmpuint(greedy.taken, ==, WINDOW_FIRST - MIB);
	g_assert_cmpuint(modest.taken, ==, MIB);
	window_free(window);
}

/* One file alone does not take all there is. */
static void test_a_share(void)
{
	struct window *window = window_new();
	struct sftp_cancel *cancel = sftp_cancel_new();
	struct window_share share = {0}, other = {0};

	for (int i = 0; i < 20; i++)
		fill_and_empty(window, QUICK_NS);
	for (size_t taken = 0; taken < WINDOW_SHARE_MAX; taken += MIB)
		g_assert_cmpint(window_take(window, &share, MIB), ==, 0);
	sftp_cancel_bind(cancel);
	sftp_cancel_raise(cancel);
	g_assert_cmpint(window_take(window, &share, 1), ==, -EINTR);
	for (size_t taken = WINDOW_SHARE_MAX; taken < WINDOW_MAX; taken += MIB)
		g_assert_cmpint(window_take(window, &other, MIB), ==, 0);
	g_assert_cmpint(window_take(window, &other, 1), ==, -EINTR);
	g_assert_cmpuint(window_waiting(window), ==, 0);
	sftp_cancel_bind(NULL);
	sftp_cancel_free(cancel);
	window_free(window);
}

/* ---- pieces of copies --------------------------------------------------------------------------- */

static void test_pieces(void)
{
	g_assert_cmpuint(copy_next_piece(8 * MIB, 150 * CLOCK_NS_PER_MS), ==, 8 * MIB);
	g_assert_cmpuint(copy_next_piece(8 * MIB, 0), ==, 32 * MIB);
	g_assert_cmpuint(copy_next_piece(32 * MIB, 1), ==, COPY_PIECE_MAX);
	g_assert_cmpuint(copy_next_piece(8 * MIB, 340 * CLOCK_NS_PER_MS), ==, 4 * MIB);
	g_assert_cmpuint(copy_next_piece(8 * MIB, 3600 * CLOCK_NS_PER_SEC), ==, COPY_PIECE_MIN);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/window/size/growing", test_growing);
	g_test_add_func("/window/size/not-growing", test_not_growing);
	g_test_add_func("/window/size/shrinking", test_shrinking);
	g_test_add_func("/window/size/long-way", test_a_long_way);
	g_test_add_func("/window/room/fairness", test_fairness);
	g_test_add_func("/window/room/share", test_a_share);
	g_test_add_func("/copy/pieces", test_pieces);
	return g_test_run();
}
