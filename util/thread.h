/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that take no signals: signals are for the one thread that waits for them (fs/ending.c), and a
 * thread made before that one must not be ended by them either.
 */
#ifndef UTIL_THREAD_H
#define UTIL_THREAD_H

#include <pthread.h>
#include <signal.h>

/* Like pthread_create() with all signals blocked; returns 0 or a negative errno. */
static inline int thread_start(pthread_t *ret_thread, void *(*body)(void *data), void *data)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(ret_thread, NULL, body, data);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

#endif
