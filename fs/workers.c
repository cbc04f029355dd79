// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See workers.h. A worker that picks up a request and leaves nobody to read the next one starts another
 * worker; one that finds too many idle around it goes.
 *
 * A worker waits in read(2) on /dev/fuse, which only a request, the unmount, or a signal ends. At the
 * end of the session they are nudged with a real-time signal whose handler does nothing. A nudge
 * between a worker's last look at the session and its read(2) is lost; so it is repeated.
 */
#include "workers.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "clock.h"
#include "lock.h"

#define IDLE_MAX   10 /* more idle workers than that are sent away: each holds a buffer of 1 MiB */
#define NUDGE_NS   (10 * CLOCK_NS_PER_MS) /* between nudges */
#define STACK_SIZE ((size_t)1024 * 1024)

struct worker {
	struct workers *workers;
	pthread_t thread;    /* protected by workers->lock */
	bool reading;        /* in read(2), or about to; protected by workers->lock */
	bool done;           /* its thread can be joined at once; protected by workers->lock */
	struct worker *next; /* protected by workers->lock */
};

struct workers {
	struct fuse_session *session;        /* set once */
	unsigned int max;                    /* set once */
	void (*left)(int error, void *data); /* set once */
	void *data;                          /* set once */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a worker has become done */
	struct worker *first;   /* protected by lock */
	unsigned int count;     /* those not done; protected by lock */
	unsigned int reading;   /* protected by lock */
	bool has_begun;         /* the first request was read; protected by lock */
};

static int nudge_signal(void)
{
	return SIGRTMIN + 1;
}

static void on_nudge(int number)
{
}

struct workers *workers_new(struct fuse_session *session, unsigned int max_threads,
                            void (*left)(int error, void *data), void *data)
{
	struct workers *workers = g_new0(struct workers, 1);
	struct sigaction action = {.sa_handler = on_nudge};

	sigemptyset(&action.sa_mask);
	sigaction(nudge_signal(), &action, NULL);
	workers->session = session;
	workers->max = MAX(max_threads, 1);
	workers->left = left;
	workers->data = data;
	pthread_mutex_init(&workers->lock, NULL);
	lock_cond_init(&workers->changed);
	return workers;
}

void workers_free(struct workers *workers)
{
	if (!workers)
		return;
	pthread_mutex_destroy(&workers->lock);
	pthread_cond_destroy(&workers->changed);
	g_free(workers);
}

/* ---- one worker ------------------------------------------------------------------------------- */

static int start_one_locked(struct workers *workers);

static void picked_up(struct worker *worker)
{
	struct workers *workers = worker->workers;
	LOCK_SCOPE(&workers->lock);

	worker->reading = false;
	workers->reading--;
	/* The first request is INIT, which settles what the session can do: nobody reads beside it. */
	if (!workers->has_begun) {
		workers->has_begun = true;
		return;
	}
	/* Without another thread the next request waits for this one: slow, but not wrong. */
	if (workers->reading == 0 && workers->count < workers->max)
		start_one_locked(workers);
}

/* False: there are enough who wait for the next request. */
static bool reads_on(struct worker *worker)
{
	struct workers *workers = worker->workers;
	LOCK_SCOPE(&workers->lock);

	if (workers->reading >= IDLE_MAX)
		return false;
	worker->reading = true;
	workers->reading++;
	return true;
}

/* Returns 0 when the session is over or the worker is one too many; -errno: /dev/fuse failed. */
static int serve(struct worker *worker, bool *ret_over)
{
	struct fuse_session *session = worker->workers->session;
	struct fuse_buf buf = {.mem = NULL};
	int result = 1;

	*ret_over = true;
	while (!fuse_session_exited(session)) {
		result = fuse_session_receive_buf(session, &buf);
		if (result == -EINTR)
			continue;
		if (result <= 0)
			break;
		picked_up(worker);
		fuse_session_process_buf(session, &buf);
		if (!reads_on(worker)) {
			*ret_over = false;
			break;
		}
	}
	free(buf.mem);
	return MIN(result, 0);
}

static void *worker_main(void *data)
{
	struct worker *worker = data;
	struct workers *workers = worker->workers;
	bool over;
	int error = serve(worker, &over);

	if (over)
		workers->left(error, workers->data);
	LOCK_SCOPE(&workers->lock);
	if (worker->reading)
		workers->reading--;
	worker->reading = false;
	worker->done = true;
	workers->count--;
	pthread_cond_broadcast(&workers->changed);
	return NULL;
}

/* ---- all of them ------------------------------------------------------------------------------ */

/* Joins those that are done; they hold no lock and wait for nothing any more. */
static void join_done_locked(struct workers *workers)
{
	struct worker **link = &workers->first;

	while (*link) {
		struct worker *worker = *link;

		if (!worker->done) {
			link = &worker->next;
			continue;
		}
		*link = worker->next;
		pthread_join(worker->thread, NULL);
		g_free(worker);
	}
}

static int start_one_locked(struct workers *workers)
{
	struct worker *worker = g_new0(struct worker, 1);
	pthread_attr_t attr;
	int error;

	join_done_locked(workers);
	worker->workers = workers;
	worker->reading = true;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	error = pthread_create(&worker->thread, &attr, worker_main, worker);
	pthread_attr_destroy(&attr);
	if (error) {
		g_free(worker);
		return -error;
	}
	worker->next = workers->first;
	workers->first = worker;
	workers->count++;
	workers->reading++;
	return 0;
}

int workers_start(struct workers *workers)
{
	LOCK_SCOPE(&workers->lock);

	return start_one_locked(workers);
}

static void nudge_locked(struct workers *workers)
{
	for (struct worker *worker = workers->first; worker; worker = worker->next) {
		if (worker->reading)
			pthread_kill(worker->thread, nudge_signal());
	}
}

bool workers_stop(struct workers *workers, uint64_t span_ns)
{
	uint64_t end = clock_add(clock_now_ns(), span_ns);
	LOCK_SCOPE(&workers->lock);

	while (workers->count > 0 && clock_now_ns() < end) {
		nudge_locked(workers);
		lock_cond_wait_for(&workers->changed, &workers->lock, NUDGE_NS);
	}
	join_done_locked(workers);
	return workers->count == 0;
}
