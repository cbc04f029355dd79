// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The connections to one server. See pool.h.
 *
 * The opener, a thread of the pool's own, is the only one that connects and the one that frees dead
 * connections (their threads must be joined, which a connection cannot do itself). It starts with the
 * first request for a connection. Callers leave a wish, `wanted`, and wait for the attempt to end.
 *
 * Invariants: `living` holds connections that were not dead when they were entered; a death moves them to
 * `buried`, for the opener to free. `unended` counts those started whose died() has not come yet: the
 * pool is not freed before.
 *
 * The race that shaped it: a connection may die between its start and its entering the table. Its
 * death is marked before died() is called, so entering looks at the mark under the lock: either the
 * mark is there, or died() comes later and finds the connection in the table.
 */
#include "pool.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>

#include "cancel.h"
#include "clock.h"
#include "lock.h"
#include "log.h"
#include "thread.h"

#define BACKOFF_MIN_NS (CLOCK_NS_PER_SEC / 4)
#define BACKOFF_MAX_NS (8 * CLOCK_NS_PER_SEC)

struct member {
	struct sftp_conn *conn; /* a reference */
	unsigned int handles;   /* open files and folders on it */
};

struct sftp_pool {
	struct connector *connector;        /* set once, borrowed */
	struct sftp_pool_settings settings; /* set once */
	struct sftp_pool_events events;     /* set once */

	pthread_mutex_t lock;
	/* All below: protected by lock. */
	GArray *living;             /* of struct member */
	GPtrArray *buried;          /* struct sftp_conn, referenced: to be freed by the opener */
	struct sftp_conn *starting; /* borrowed from the opener: so that a shutdown can end it */
	unsigned int unended;
	unsigned int connects; /* connections that were entered */
	unsigned int attempts; /* ended, well or badly */
	bool wanted;           /* the opener shall open one */
	bool opening;          /* it does */
	bool opener_runs;      /* there is such a thread */
	bool down;             /* shut down */
	uint64_t next_attempt_ns, backoff_ns;
	char *why;                           /* the last loss or failed attempt; NULL: none yet */
	struct sftp_conn_stats buried_stats; /* of connections that are gone */
	pthread_cond_t work;                 /* the opener's: wanted, buried, or down */
	pthread_cond_t changed;              /* an attempt or a connection has ended, or down */
	pthread_t opener;
};

static struct member *member_at(struct sftp_pool *pool, unsigned int i)
{
	return &g_array_index(pool->living, struct member, i);
}

struct sftp_pool *sftp_pool_new(struct connector *connector,
                                const struct sftp_pool_settings *settings,
                                const struct sftp_pool_events *events)
{
	struct sftp_pool *pool = g_new0(struct sftp_pool, 1);

	pool->connector = connector;
	pool->settings = *settings;
	pool->events = *events;
	pool->living = g_array_new(FALSE, TRUE, sizeof(struct member));
	pool->buried = g_ptr_array_new();
	pool->backoff_ns = BACKOFF_MIN_NS;
	pthread_mutex_init(&pool->lock, NULL);
	lock_cond_init(&pool->work);
	lock_cond_init(&pool->changed);
	return pool;
}

static struct member *find_member_locked(struct sftp_pool *pool, const struct sftp_conn *conn)
{
	for (unsigned int i = 0; i < pool->living->len; i++) {
		if (member_at(pool, i)->conn == conn)
			return member_at(pool, i);
	}
	return NULL;
}

static void set_why_locked(struct sftp_pool *pool, const char *why)
{
	g_free(pool->why);
	pool->why = g_strdup(why);
}

/* ---- statistics ------------------------------------------------------------------------------- */

static void add_stats(struct sftp_conn_stats *sum, const struct sftp_conn_stats *stats)
{
	if (stats->received > 0 && (sum->received == 0 || stats->rtt_min_ns < sum->rtt_min_ns))
		sum->rtt_min_ns = stats->rtt_min_ns;
	sum->rtt_max_ns = MAX(sum->rtt_max_ns, stats->rtt_max_ns);
	sum->rtt_sum_ns += stats->rtt_sum_ns;
	sum->sent += stats->sent;
	sum->sent_bytes += stats->sent_bytes;
	sum->received += stats->received;
	sum->received_bytes += stats->received_bytes;
}

static void add_conn_stats(struct sftp_conn_stats *sum, struct sftp_conn *conn)
{
	struct sftp_conn_stats stats;

	sftp_conn_get_stats(conn, &stats);
	add_stats(sum, &stats);
}

void sftp_pool_get_stats(struct sftp_pool *pool, struct sftp_conn_stats *ret_stats,
                         unsigned int *ret_connects)
{
	LOCK_SCOPE(&pool->lock);

	*ret_stats = pool->buried_stats;
	for (unsigned int i = 0; i < pool->living->len; i++)
		add_conn_stats(ret_stats, member_at(pool, i)->conn);
	*ret_connects = pool->connects;
}

/* ---- death of a connection -------------------------------------------------------------------- */

/* Moves a dead connection out of the table. True when it was in there. */
static bool bury_locked(struct sftp_pool *pool, struct sftp_conn *conn)
{
	struct member *member = find_member_locked(pool, conn);

	if (!member)
		return false;
	add_conn_stats(&pool->buried_stats, conn);
	g_ptr_array_add(pool->buried, conn);
	g_array_remove_index_fast(pool->living, (unsigned int)(member - member_at(pool, 0)));
	return true;
}

/* On a thread of the connection. The pool stays until `unended` has been counted down. */
static void on_died(struct sftp_conn *conn, const char *why, void *data)
{
	struct sftp_pool *pool = data;
	bool lost;

	pthread_mutex_lock(&pool->lock);
	lost = bury_locked(pool, conn) && pool->living->len == 0 && !pool->down;
	if (lost)
		set_why_locked(pool, why);
	pthread_mutex_unlock(&pool->lock);

	log_debug("connection closed: %s", why);
	if (lost && pool->events.lost)
		pool->events.lost(why, pool->events.data);

	LOCK_SCOPE(&pool->lock);

	pool->unended--;
	pthread_cond_signal(&pool->work);
	pthread_cond_broadcast(&pool->changed);
}

/* ---- the opener ------------------------------------------------------------------------------- */

/* Starts a connection whose handshake a shutdown can end. */
static int start(struct sftp_pool *pool, struct sftp_conn *conn, char **ret_why)
{
	bool down;
	int error;

	pthread_mutex_lock(&pool->lock);
	down = pool->down;
	pool->starting = conn;
	pool->unended++;
	pthread_mutex_unlock(&pool->lock);

	if (down)
		sftp_conn_kill(conn, "shut down");
	error = sftp_conn_start(conn, ret_why);

	LOCK_SCOPE(&pool->lock);

	/* What did not start does not die. */
	if (error) {
		pool->starting = NULL;
		pool->unended--;
	}
	return error;
}

/* True when no connection lives: the next is the first, or the first again. */
static bool is_first(struct sftp_pool *pool, bool *ret_again)
{
	LOCK_SCOPE(&pool->lock);

	*ret_again = pool->connects > 0;
	for (unsigned int i = 0; i < pool->living->len; i++) {
		if (!sftp_conn_is_dead(member_at(pool, i)->conn))
			return false;
	}
	return true;
}

static int announce(struct sftp_pool *pool, struct sftp_conn *conn, char **ret_why)
{
	bool again;

	if (!is_first(pool, &again) || !pool->events.connected)
		return 0;
	return pool->events.connected(conn, again, pool->events.data, ret_why);
}

/* Hands the opener's reference to the table, unless the connection is dead already. */
static int enter(struct sftp_pool *pool, struct sftp_conn *conn, char **ret_why)
{
	struct member member = {.conn = conn};

	LOCK_SCOPE(&pool->lock);

	pool->starting = NULL;
	if (sftp_conn_is_dead(conn)) {
		*ret_why = g_strdup("remote host has disconnected");
		return -ENOTCONN;
	}
	g_array_append_val(pool->living, member);
	pool->connects++;
	return 0;
}

static void forget_starting(struct sftp_pool *pool)
{
	LOCK_SCOPE(&pool->lock);

	pool->starting = NULL;
}

static int open_connection(struct sftp_pool *pool, char **ret_why)
{
	struct sftp_conn_events events = {.died = on_died, .data = pool};
	struct transport *transport;
	struct sftp_conn *conn;
	int error;

	error = connector_connect(pool->connector, &transport, ret_why);
	if (error)
		return error;
	conn = sftp_conn_new(transport, &events, pool->settings.trace);
	error = start(pool, conn, ret_why);
	if (!error)
		error = announce(pool, conn, ret_why);
	if (!error)
		error = enter(pool, conn, ret_why);
	if (error) {
		forget_starting(pool);
		sftp_conn_unref(conn);
	}
	return error;
}

static void end_attempt_locked(struct sftp_pool *pool, int error, const char *why)
{
	pool->opening = false;
	pool->attempts++;
	if (error) {
		set_why_locked(pool, why ? why : g_strerror(-error));
		pool->next_attempt_ns = clock_add(clock_now_ns(), pool->backoff_ns);
		pool->backoff_ns = MIN(2 * pool->backoff_ns, BACKOFF_MAX_NS);
	} else {
		pool->next_attempt_ns = 0;
		pool->backoff_ns = BACKOFF_MIN_NS;
	}
	pthread_cond_broadcast(&pool->changed);
}

static void attempt_locked(struct sftp_pool *pool)
{
	g_autofree char *why = NULL;
	int error;

	pool->wanted = false;
	pool->opening = true;
	pthread_mutex_unlock(&pool->lock);
	error = open_connection(pool, &why);
	if (error)
		log_debug("connecting failed: %s", why ? why : g_strerror(-error));
	pthread_mutex_lock(&pool->lock);
	end_attempt_locked(pool, error, why);
}

/* Joining a connection's threads waits for its died(), which takes the lock. */
static void free_one_buried_locked(struct sftp_pool *pool)
{
	struct sftp_conn *conn = g_ptr_array_steal_index_fast(pool->buried, 0);

	pthread_mutex_unlock(&pool->lock);
	sftp_conn_unref(conn);
	pthread_mutex_lock(&pool->lock);
}

static void *opener_main(void *arg)
{
	struct sftp_pool *pool = arg;

	LOCK_SCOPE(&pool->lock);

	for (;;) {
		if (pool->buried->len > 0)
			free_one_buried_locked(pool);
		else if (pool->down)
			return NULL;
		else if (pool->wanted)
			attempt_locked(pool);
		else
			pthread_cond_wait(&pool->work, &pool->lock);
	}
}

/* Asks the opener for a connection. 0 or -errno (no thread). */
static int want_locked(struct sftp_pool *pool)
{
	if (!pool->opener_runs) {
		int error = thread_start(&pool->opener, opener_main, pool);

		if (error)
			return error;
		pool->opener_runs = true;
	}
	pool->wanted = true;
	pthread_cond_signal(&pool->work);
	return 0;
}

/* ---- choosing --------------------------------------------------------------------------------- */

/*
 * The one with the fewest requests in flight, then the fewest open files. NULL when none lives.
 * *ret_busy: even that one has requests in flight, or files open that will have some.
 */
static struct sftp_conn *choose_locked(struct sftp_pool *pool, bool *ret_busy)
{
	struct member *best = NULL;
	unsigned int best_pending = 0;

	if (pool->settings.max_conns == 1 && pool->living->len == 1) {
		*ret_busy = false;
		best = member_at(pool, 0);
		return sftp_conn_is_dead(best->conn) ? NULL : best->conn;
	}
	for (unsigned int i = 0; i < pool->living->len; i++) {
		struct member *member = member_at(pool, i);
		unsigned int pending;

		if (sftp_conn_is_dead(member->conn))
			continue;
		pending = sftp_conn_pending(member->conn);
		if (!best || pending < best_pending ||
		    (pending == best_pending && member->handles < best->handles)) {
			best = member;
			best_pending = pending;
		}
	}
	*ret_busy = best && (best_pending > 0 || best->handles > 0);
	return best ? best->conn : NULL;
}

/* All are busy: another one would help, for later requests. */
static void maybe_open_another_locked(struct sftp_pool *pool)
{
	if (pool->living->len >= pool->settings.max_conns || pool->wanted || pool->opening)
		return;
	if (clock_now_ns() < pool->next_attempt_ns || !connector_can_reconnect(pool->connector))
		return;
	want_locked(pool);
}

/* May a new connection be made, now that none lives? 0 or -ENOTCONN. */
static int may_connect_locked(struct sftp_pool *pool)
{
	if (pool->down)
		return -ENOTCONN;
	if (pool->opening || pool->wanted)
		return 0;
	if (pool->connects > 0 &&
	    (!pool->settings.reconnect || !connector_can_reconnect(pool->connector)))
		return -ENOTCONN;
	return clock_now_ns() < pool->next_attempt_ns ? -ENOTCONN : 0;
}

/* The last attempt failed, and nothing lives from an earlier one. */
static bool has_failed_locked(struct sftp_pool *pool)
{
	return pool->next_attempt_ns > 0 && pool->living->len == 0;
}

/* Waits until an attempt to connect has ended. 0: look again. */
static int await_attempt(struct sftp_pool *pool)
{
	unsigned int attempts;
	int error;

	cancel_begin_wait(&pool->lock, &pool->changed);
	pthread_mutex_lock(&pool->lock);
	error = may_connect_locked(pool);
	if (!error && !pool->opening && !pool->wanted)
		error = want_locked(pool);
	attempts = pool->attempts;
	while (!error && pool->attempts == attempts && !pool->down && !cancel_is_raised())
		pthread_cond_wait(&pool->changed, &pool->lock);
	if (!error && cancel_is_raised())
		error = -EINTR;
	else if (!error && (pool->down || has_failed_locked(pool)))
		error = -ENOTCONN;
	pthread_mutex_unlock(&pool->lock);
	cancel_end_wait();
	return error;
}

static struct sftp_conn *try_get(struct sftp_pool *pool)
{
	struct sftp_conn *conn;
	bool busy;

	LOCK_SCOPE(&pool->lock);

	if (pool->down)
		return NULL;
	conn = choose_locked(pool, &busy);
	if (conn && busy)
		maybe_open_another_locked(pool);
	return conn ? sftp_conn_ref(conn) : NULL;
}

static char *last_why(struct sftp_pool *pool)
{
	LOCK_SCOPE(&pool->lock);

	if (pool->down || !pool->why)
		return g_strdup("not connected");
	return g_strdup(pool->why);
}

int sftp_pool_get(struct sftp_pool *pool, struct sftp_conn **ret_conn, char **ret_why)
{
	for (;;) {
		struct sftp_conn *conn = try_get(pool);
		int error;

		if (conn) {
			*ret_conn = conn;
			return 0;
		}
		error = await_attempt(pool);
		if (error) {
			if (ret_why)
				*ret_why = last_why(pool);
			return error;
		}
	}
}

void sftp_pool_note_handle(struct sftp_pool *pool, struct sftp_conn *conn, int delta)
{
	struct member *member;

	LOCK_SCOPE(&pool->lock);

	member = find_member_locked(pool, conn);
	if (member)
		member->handles += (unsigned int)delta;
}

bool sftp_pool_is_connected(struct sftp_pool *pool)
{
	bool busy;

	LOCK_SCOPE(&pool->lock);

	return choose_locked(pool, &busy) != NULL;
}

/* ---- the end ---------------------------------------------------------------------------------- */

void sftp_pool_shutdown(struct sftp_pool *pool)
{
	LOCK_SCOPE(&pool->lock);

	pool->down = true;
	for (unsigned int i = 0; i < pool->living->len; i++)
		sftp_conn_kill(member_at(pool, i)->conn, "shut down");
	if (pool->starting)
		sftp_conn_kill(pool->starting, "shut down");
	pthread_cond_broadcast(&pool->work);
	pthread_cond_broadcast(&pool->changed);
}

void sftp_pool_free(struct sftp_pool *pool)
{
	if (!pool)
		return;
	sftp_pool_shutdown(pool);
	if (pool->opener_runs)
		pthread_join(pool->opener, NULL);
	pthread_mutex_lock(&pool->lock);
	while (pool->unended > 0)
		pthread_cond_wait(&pool->changed, &pool->lock);
	while (pool->buried->len > 0)
		free_one_buried_locked(pool);
	pthread_mutex_unlock(&pool->lock);
	g_array_unref(pool->living);
	g_ptr_array_unref(pool->buried);
	g_free(pool->why);
	pthread_cond_destroy(&pool->changed);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	g_free(pool);
}
