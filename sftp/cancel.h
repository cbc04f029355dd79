/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of giving up (see "giving up" in client.h): how a waiting function of this room lets
 * another thread's sftp_cancel_raise() wake it.
 *
 *	cancel_begin_wait(&lock, &cond);	with nothing locked
 *	pthread_mutex_lock(&lock);
 *	while (!ready && !cancel_is_raised())
 *		pthread_cond_wait(&cond, &lock);
 *	pthread_mutex_unlock(&lock);
 *	cancel_end_wait();			with nothing locked
 *
 * All three speak of the sftp_cancel bound to the calling thread; without one they do nothing.
 * Lock order: the cancel's own lock, then the lock of the wait.
 */
#ifndef SFTP_CANCEL_H
#define SFTP_CANCEL_H

#include <pthread.h>
#include <stdbool.h>

/* From now on a raise broadcasts `cond`, holding `lock`. Both must live until cancel_end_wait(). */
void cancel_begin_wait(pthread_mutex_t *lock, pthread_cond_t *cond);
void cancel_end_wait(void);

bool cancel_is_raised(void);

#endif
