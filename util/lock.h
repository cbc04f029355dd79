/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * POSIX mutexes with a scope. GLib's own mutexes are built on bare futexes, which ThreadSanitizer
 * cannot see through; these it can.
 *
 * Condition variables wait on CLOCK_MONOTONIC (lock_cond_init()).
 */
#ifndef UTIL_LOCK_H
#define UTIL_LOCK_H

#include <glib.h>
#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "clock.h"

static inline pthread_mutex_t *lock_enter(pthread_mutex_t *mutex)
{
	pthread_mutex_lock(mutex);
	return mutex;
}

static inline void lock_leave(pthread_mutex_t **mutex)
{
	if (*mutex)
		pthread_mutex_unlock(*mutex);
}

/* Holds `mutex` from here to the end of the block. */
#define LOCK_SCOPE(mutex)                                                      \
	__attribute__((cleanup(lock_leave), unused)) pthread_mutex_t *G_PASTE( \
		lock_scope_, __LINE__) = lock_enter(mutex)

/* Like pthread_cond_init(), on the monotonic clock. */
static inline void lock_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

/*
 * Waits on a lock_cond_init() condition for at most `span_ns` nanoseconds.
 * Returns 0 when woken (or spuriously), ETIMEDOUT when the time is over.
 */
static inline int lock_cond_wait_for(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t span_ns)
{
	struct timespec ts;
	uint64_t end;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	end = clock_add((uint64_t)ts.tv_sec * CLOCK_NS_PER_SEC + (uint64_t)ts.tv_nsec, span_ns);
	ts.tv_sec = (time_t)(end / CLOCK_NS_PER_SEC);
	ts.tv_nsec = (long)(end % CLOCK_NS_PER_SEC);
	return pthread_cond_timedwait(cond, mutex, &ts);
}

#endif
