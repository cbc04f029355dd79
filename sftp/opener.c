// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How the pool's connections come and go. See pool.h.
 *
 * The openers, threads of the pool's own, are the only ones that connect, and they free dead connections
 * (whose threads must be joined, which a connection cannot do itself). They start one by one, when
 * there is more to do than the others can take. Callers leave a wish in a slot, `wanted`, and may wait
 * for the attempt to end.
 *
 * Invariants: a slot holds a connection that was not dead when it was entered; a death moves it to
 * `buried`, for an opener to free. `unended` counts those started whose died() has not come yet: the
 * pool is not freed before.
 *
 * The races that shaped it: a connection may die between its start and its entering the slot. Its
 * death is marked before died() is called, so entering looks at the mark under the lock: either the
 * mark is there, or died() comes later and finds the connection in the slot. And two may come up at
 * once while none lives: only one is the first, so the other waits until that one is announced and entered.
 */
#include <errno.h>

#include "lock.h"
#include "log.h"
#include "pool_private.h"
#include "thread.h"

#define BACKOFF_MIN_NS (CLOCK_NS_PER_SEC / 4)
#define BACKOFF_MAX_NS (8 * CLOCK_NS_PER_SEC)

struct slot *pool_find_locked(struct sftp_pool *pool, const struct sftp_conn *conn)
{
	for (unsigned int i = 0; i < pool->settings.max_conns; i++) {
		if (pool->slots[i].conn == conn)
			return &pool->slots[i];
	}
	return NULL;
}

static void set_why_locked(struct sftp_pool *pool, const char *why)
{
	g_free(pool->why);
	pool->why = g_strdup(why);
}

/* ---- death of a connection -------------------------------------------------------------------- */

static void bury_locked(struct sftp_pool *pool, struct slot *slot)
{
	pool_add_stats(&pool->buried_stats, slot->conn);
	g_ptr_array_add(pool->buried, slot->conn);
	slot->conn = NULL;
	slot->handles = slot->bulk = 0;
	pool->living--;
	pool_settle_home_locked(pool);
	pthread_cond_signal(&pool->work);
}

/* Wishes for more are of no use when the first is to be made again. */
static void drop_wishes_locked(struct sftp_pool *pool)
{
	for (unsigned int i = 0; i < pool->settings.max_conns; i++) {
		struct slot *slot = &pool->slots[i];

		if (slot->wanted)
			slot->attempts++;
		slot->wanted = false;
	}
}

/* Takes a dead connection out of its slot. True when it was the last one. */
static bool leave_slot(struct sftp_pool *pool, struct sftp_conn *conn, const char *why)
{
	struct slot *slot;
	LOCK_SCOPE(&pool->lock);

	slot = pool_find_locked(pool, conn);
	if (!slot)
		return false;
	bury_locked(pool, slot);
	if (pool->living > 0 || pool->down)
		return false;
	set_why_locked(pool, why);
	drop_wishes_locked(pool);
	return true;
}

/* On a thread of the connection. The pool stays until `unended` has been counted down. */
static void on_died(struct sftp_conn *conn, const char *why, void *data)
{
	struct sftp_pool *pool = data;
	bool lost = leave_slot(pool, conn, why);

	log_debug("connection closed: %s", why);
	if (lost && pool->events.lost)
		pool->events.lost(why, pool->events.data);

	LOCK_SCOPE(&pool->lock);

	pool->unended--;
	pthread_cond_broadcast(&pool->changed);
}

/* ---- one attempt ------------------------------------------------------------------------------ */

/* Starts a connection whose handshake a shutdown can end. */
static int start(struct sftp_pool *pool, struct slot *slot, struct sftp_conn *conn, char **ret_why)
{
	bool down;
	int error;

	pthread_mutex_lock(&pool->lock);
	down = pool->down;
	slot->starting = conn;
	pool->unended++;
	pthread_mutex_unlock(&pool->lock);

	if (down)
		sftp_conn_kill(conn, "shut down");
	error = sftp_conn_start(conn, ret_why);

	LOCK_SCOPE(&pool->lock);

	/* What did not start does not die. */
	if (error) {
		slot->starting = NULL;
		pool->unended--;
	}
	return error;
}

/* True when no connection lives: the next is the first, or the first again, until end_first(). */
static bool begin_first(struct sftp_pool *pool, bool *ret_again)
{
	LOCK_SCOPE(&pool->lock);

	while (pool->announcing)
		pthread_cond_wait(&pool->changed, &pool->lock);
	*ret_again = pool->connects > 0;
	pool->announcing = !pool_lives_locked(pool);
	return pool->announcing;
}

static void end_first(struct sftp_pool *pool)
{
	LOCK_SCOPE(&pool->lock);

	pool->announcing = false;
	pthread_cond_broadcast(&pool->changed);
}

/* Hands the opener's reference to the slot, unless the connection is dead already. */
static int enter(struct sftp_pool *pool, struct slot *slot, struct sftp_conn *conn, char **ret_why)
{
	LOCK_SCOPE(&pool->lock);

	slot->starting = NULL;
	if (sftp_conn_is_dead(conn)) {
		*ret_why = g_strdup("remote host has disconnected");
		return -ENOTCONN;
	}
	/* Its predecessor is dead, and about to say so. */
	if (slot->conn)
		bury_locked(pool, slot);
	slot->conn = conn;
	pool->living++;
	pool->connects++;
	pool_settle_home_locked(pool);
	return 0;
}

/* Enters a started connection; the first one is announced before anybody can use it. */
static int introduce(struct sftp_pool *pool, struct slot *slot, struct sftp_conn *conn,
                     char **ret_why)
{
	bool again;
	bool first = begin_first(pool, &again);
	int error = 0;

	if (first && pool->events.connected)
		error = pool->events.connected(conn, again, pool->events.data, ret_why);
	if (!error)
		error = enter(pool, slot, conn, ret_why);
	if (first)
		end_first(pool);
	return error;
}

static void forget_starting(struct sftp_pool *pool, struct slot *slot)
{
	LOCK_SCOPE(&pool->lock);

	slot->starting = NULL;
}

static int open_by(struct sftp_pool *pool, struct slot *slot, enum connector_way way,
                   char **ret_why)
{
	struct sftp_conn_events events = {.died = on_died, .data = pool};
	struct transport *transport;
	struct sftp_conn *conn;
	int error;

	error = connector_connect(pool->connector, way, &transport, ret_why);
	if (error)
		return error;
	conn = sftp_conn_new(transport, &events, pool->settings.trace);
	error = start(pool, slot, conn, ret_why);
	if (!error)
		error = introduce(pool, slot, conn, ret_why);
	if (error) {
		forget_starting(pool, slot);
		sftp_conn_unref(conn);
	}
	return error;
}

static int open_slot(struct sftp_pool *pool, struct slot *slot, bool first, char **ret_why)
{
	enum connector_way way = first ? CONNECTOR_FIRST : connector_more_way(pool->connector);
	int error = open_by(pool, slot, way, ret_why);

	if (error && connector_other_way(pool->connector, &way)) {
		log_debug("a login that asks nothing failed: %s", *ret_why ? *ret_why : "");
		g_clear_pointer(ret_why, g_free);
		error = open_by(pool, slot, way, ret_why);
	}
	if (!error)
		connector_note_way(pool->connector, way);
	return error;
}

static void end_attempt_locked(struct sftp_pool *pool, struct slot *slot, int error,
                               const char *why)
{
	slot->opening = slot->slow = false;
	slot->attempts++;
	if (error) {
		set_why_locked(pool, why ? why : g_strerror(-error));
		slot->backoff_ns = CLAMP(2 * slot->backoff_ns, BACKOFF_MIN_NS, BACKOFF_MAX_NS);
		slot->next_attempt_ns = clock_add(clock_now_ns(), slot->backoff_ns);
	} else {
		slot->next_attempt_ns = slot->backoff_ns = 0;
	}
	pthread_cond_broadcast(&pool->changed);
}

static void attempt_locked(struct sftp_pool *pool, struct slot *slot)
{
	g_autofree char *why = NULL;
	bool first = !pool_lives_locked(pool);
	int error;

	slot->wanted = false;
	slot->opening = true;
	pthread_mutex_unlock(&pool->lock);
	error = open_slot(pool, slot, first, &why);
	if (error)
		log_debug("connecting failed: %s", why ? why : g_strerror(-error));
	pthread_mutex_lock(&pool->lock);
	end_attempt_locked(pool, slot, error, why);
}

/* ---- the openers ------------------------------------------------------------------------------ */

/* Joining a connection's threads waits for its died(), which takes the lock. */
static void free_one_buried_locked(struct sftp_pool *pool)
{
	struct sftp_conn *conn = g_ptr_array_steal_index_fast(pool->buried, 0);

	pthread_mutex_unlock(&pool->lock);
	sftp_conn_unref(conn);
	pthread_mutex_lock(&pool->lock);
}

static struct slot *next_wanted_locked(struct sftp_pool *pool)
{
	for (unsigned int i = 0; i < pool->settings.max_conns; i++) {
		if (pool->slots[i].wanted)
			return &pool->slots[i];
	}
	return NULL;
}

/* Wishes come first: freeing may wait for an ssh that does not want to go. */
static void *opener_main(void *arg)
{
	struct sftp_pool *pool = arg;

	LOCK_SCOPE(&pool->lock);

	for (;;) {
		struct slot *slot = pool->down ? NULL : next_wanted_locked(pool);

		if (slot) {
			attempt_locked(pool, slot);
		} else if (pool->buried->len > 0) {
			free_one_buried_locked(pool);
		} else if (pool->down) {
			return NULL;
		} else {
			pool->idle_openers++;
			pthread_cond_wait(&pool->work, &pool->lock);
			pool->idle_openers--;
		}
	}
}

/* One more opener, as long as there are few; it is no failure when others have to do. */
static int add_opener_locked(struct sftp_pool *pool)
{
	int error;

	if (pool->opener_count == OPENERS_MAX)
		return 0;
	error = thread_start(&pool->openers[pool->opener_count], opener_main, pool);
	if (!error)
		pool->opener_count++;
	return pool->opener_count > 0 ? 0 : error;
}

static unsigned int count_wanted_locked(struct sftp_pool *pool)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < pool->settings.max_conns; i++)
		count += pool->slots[i].wanted;
	return count;
}

int pool_want_locked(struct sftp_pool *pool, struct slot *slot)
{
	int error = 0;

	if (count_wanted_locked(pool) >= pool->idle_openers)
		error = add_opener_locked(pool);
	if (error)
		return error;
	slot->wanted = true;
	pthread_cond_signal(&pool->work);
	return 0;
}

bool pool_may_want_locked(struct sftp_pool *pool, const struct slot *slot)
{
	return pool->living > 0 && !pool_is_alive_locked(slot) && !pool_is_coming_locked(slot) &&
	       clock_now_ns() >= slot->next_attempt_ns && connector_can_reconnect(pool->connector);
}

void pool_end_openers(struct sftp_pool *pool)
{
	for (unsigned int i = 0; i < pool->opener_count; i++)
		pthread_join(pool->openers[i], NULL);
	pthread_mutex_lock(&pool->lock);
	while (pool->unended > 0)
		pthread_cond_wait(&pool->changed, &pool->lock);
	while (pool->buried->len > 0)
		free_one_buried_locked(pool);
	pthread_mutex_unlock(&pool->lock);
}
