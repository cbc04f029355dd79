// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lets one thread end the waiting of another. See client.h and cancel.h.
 *
 * The race that shaped it: a raise that comes between the waiter's look at the flag and its going to
 * sleep. The flag is set before the wait's own lock is taken for the broadcast, and the waiter looks
 * at it under that lock: it sees the flag, or is already asleep and is woken. The wait's lock and
 * condition stay valid meanwhile because deregistering needs the cancel's lock, too.
 */
#include "cancel.h"

#include <glib.h>
#include <stdatomic.h>

#include "client.h"
#include "lock.h"

struct sftp_cancel {
	atomic_bool raised;
	pthread_mutex_t lock;
	pthread_mutex_t *wait_lock; /* protected by lock; NULL: the thread is not waiting */
	pthread_cond_t *wait_cond;  /* protected by lock */
};

/* The calling thread's. */
static __thread struct sftp_cancel *bound;

struct sftp_cancel *sftp_cancel_new(void)
{
	struct sftp_cancel *cancel = g_new0(struct sftp_cancel, 1);

	pthread_mutex_init(&cancel->lock, NULL);
	return cancel;
}

void sftp_cancel_free(struct sftp_cancel *cancel)
{
	if (!cancel)
		return;
	pthread_mutex_destroy(&cancel->lock);
	g_free(cancel);
}

void sftp_cancel_bind(struct sftp_cancel *cancel)
{
	bound = cancel;
}

void sftp_cancel_raise(struct sftp_cancel *cancel)
{
	LOCK_SCOPE(&cancel->lock);

	cancel->raised = true;
	if (!cancel->wait_lock)
		return;
	pthread_mutex_lock(cancel->wait_lock);
	pthread_cond_broadcast(cancel->wait_cond);
	pthread_mutex_unlock(cancel->wait_lock);
}

void sftp_cancel_reset(struct sftp_cancel *cancel)
{
	cancel->raised = false;
}

void cancel_begin_wait(pthread_mutex_t *lock, pthread_cond_t *cond)
{
	if (!bound)
		return;
	LOCK_SCOPE(&bound->lock);

	bound->wait_lock = lock;
	bound->wait_cond = cond;
}

void cancel_end_wait(void)
{
	if (!bound)
		return;
	LOCK_SCOPE(&bound->lock);

	bound->wait_lock = NULL;
	bound->wait_cond = NULL;
}

bool cancel_is_raised(void)
{
	return bound && bound->raised;
}
