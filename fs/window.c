// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See window.h. The bound is told by how long writes take: what waits in front of a byte is what makes it
 * late. Too late, and the bound shrinks in that proportion; early, while there was no room for more, and it
 * grows by what was answered, so it doubles in a round trip.
 *
 * The mistake to avoid is to shrink again and again for one cause: all that was sent before the bound shrank is
 * late, too. So only what was sent after it counts.
 */
#include "window.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>

#include "cancel.h"
#include "lock.h"
#include "turns.h"

#define TARGET_TIMES_LEAST 3

struct window {
	pthread_mutex_t lock;
	size_t limit;       /* bytes that may be on their way; protected by lock */
	size_t taken;       /* bytes that are; protected by lock */
	GQueue waiters;     /* of struct waiter, who came first in front; protected by lock */
	uint64_t least_ns;  /* the quickest answer; protected by lock */
	uint64_t shrunk_ns; /* when the limit last did; protected by lock */

	unsigned int inside;  /* protected by lock */
	pthread_cond_t empty; /* inside has become 0 */
};

/* Lives on the stack of who waits. Protected by the window's lock. */
struct waiter {
	GList link;
	struct window_share *share;
	size_t size;
	bool admitted;
	pthread_cond_t admitted_cond;
};

struct window *window_new(void)
{
	struct window *window = g_new0(struct window, 1);

	pthread_mutex_init(&window->lock, NULL);
	lock_cond_init(&window->empty);
	window->limit = WINDOW_FIRST;
	window->least_ns = UINT64_MAX;
	return window;
}

void window_free(struct window *window)
{
	if (!window)
		return;
	pthread_cond_destroy(&window->empty);
	pthread_mutex_destroy(&window->lock);
	g_free(window);
}

size_t window_limit(struct window *window)
{
	LOCK_SCOPE(&window->lock);
	return window->limit;
}

unsigned int window_waiting(struct window *window)
{
	LOCK_SCOPE(&window->lock);
	return window->waiters.length;
}

/* ---- room ------------------------------------------------------------------------------------- */

/* The last one may reach over the limit, which is less than one write on slow links, not over the maximum. */
static bool has_room_locked(const struct window *window, size_t size)
{
	return window->taken == 0 ||
	       (window->taken < window->limit && window->taken + size <= WINDOW_MAX);
}

static bool has_share_left_locked(const struct window_share *share, size_t size)
{
	return share->taken == 0 || share->taken + size <= WINDOW_SHARE_MAX;
}

static void take_locked(struct window *window, struct window_share *share, size_t size)
{
	window->taken += size;
	share->taken += size;
}

/* Who is next: the one with the least on its way, of equals the first. NULL: nobody may. */
static struct waiter *next_locked(struct window *window)
{
	struct waiter *next = NULL;

	for (GList *link = window->waiters.head; link; link = link->next) {
		struct waiter *waiter = link->data;

		if (has_share_left_locked(waiter->share, waiter->size) &&
		    (!next || waiter->share->taken < next->share->taken))
			next = waiter;
	}
	return next;
}

/* Nobody overtakes the next one because his own write would still fit in. */
static void admit_locked(struct window *window)
{
	struct waiter *next;

	while ((next = next_locked(window)) && has_room_locked(window, next->size)) {
		g_queue_unlink(&window->waiters, &next->link);
		take_locked(window, next->share, next->size);
		next->admitted = true;
		pthread_cond_signal(&next->admitted_cond);
	}
}

static bool take_at_once(struct window *window, struct window_share *share, size_t size)
{
	LOCK_SCOPE(&window->lock);

	if (window->waiters.length > 0 || !has_room_locked(window, size) ||
	    !has_share_left_locked(share, size))
		return false;
	take_locked(window, share, size);
	return true;
}

static int await_admission(struct window *window, struct waiter *waiter)
{
	LOCK_SCOPE(&window->lock);

	g_queue_push_tail_link(&window->waiters, &waiter->link);
	admit_locked(window);
	while (!waiter->admitted && !cancel_is_raised())
		pthread_cond_wait(&waiter->admitted_cond, &window->lock);
	if (waiter->admitted)
		return 0;
	g_queue_unlink(&window->waiters, &waiter->link);
	admit_locked(window);
	return -EINTR;
}

int window_take(struct window *window, struct window_share *share, size_t size)
{
	struct waiter waiter = {.share = share, .size = size};
	int error;

	if (take_at_once(window, share, size))
		return 0;
	sftp_turns_add();
	waiter.link.data = &waiter;
	lock_cond_init(&waiter.admitted_cond);
	cancel_begin_wait(&window->lock, &waiter.admitted_cond);
	error = await_admission(window, &waiter);
	cancel_end_wait();
	pthread_cond_destroy(&waiter.admitted_cond);
	return error;
}

static void adapt_locked(struct window *window, size_t size, uint64_t span_ns)
{
	uint64_t now = clock_now_ns();
	uint64_t target;

	window->least_ns = MIN(window->least_ns, span_ns);
	target = MAX(WINDOW_TARGET_NS, TARGET_TIMES_LEAST * window->least_ns);
	if (span_ns > target && now - span_ns >= window->shrunk_ns) {
		double share = (double)target / (double)span_ns;

		window->limit = MAX((size_t)((double)window->limit * share), WINDOW_MIN);
		window->shrunk_ns = now;
	} else if (span_ns < target / 2 && window->taken >= window->limit / 2) {
		window->limit = MIN(window->limit + size, WINDOW_MAX);
	}
}

void window_give(struct window *window, struct window_share *share, size_t size, uint64_t span_ns)
{
	LOCK_SCOPE(&window->lock);

	if (span_ns)
		adapt_locked(window, size, span_ns);
	window->taken -= size;
	share->taken -= size;
	admit_locked(window);
}

/* ---- who refers to it --------------------------------------------------------------------------- */

void window_enter(struct window *window)
{
	LOCK_SCOPE(&window->lock);
	window->inside++;
}

void window_leave(struct window *window)
{
	LOCK_SCOPE(&window->lock);

	if (--window->inside == 0)
		pthread_cond_broadcast(&window->empty);
}

bool window_await_empty(struct window *window, uint64_t span_ns)
{
	uint64_t end = clock_add(clock_now_ns(), span_ns);

	LOCK_SCOPE(&window->lock);
	for (;;) {
		uint64_t now = clock_now_ns();

		if (window->inside == 0 || now >= end)
			return window->inside == 0;
		lock_cond_wait_for(&window->empty, &window->lock, end - now);
	}
}
