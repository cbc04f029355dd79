// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which connection serves what. See pool.h; how connections come and go is opener.c's.
 *
 * Invariants: the home carries bulk only while no living connection is without; `living` counts the slots with a
 * connection, of which some may have died just now.
 *
 * The race that shaped it: a bulk file is opened while a quick request is being placed. Both are decided under
 * the lock, so the quick one is sent before the bulk, or sees that there will be some; a file counts from
 * the choice of its connection on, not from the reply to OPEN.
 */
#include "pool_private.h"

#include <errno.h>

#include "cancel.h"
#include "lock.h"

/* ---- life ------------------------------------------------------------------------------------- */

struct sftp_pool *sftp_pool_new(struct connector *connector,
                                const struct sftp_pool_settings *settings,
                                const struct sftp_pool_events *events)
{
	struct sftp_pool *pool = g_new0(struct sftp_pool, 1);

	pool->connector = connector;
	pool->settings = *settings;
	pool->events = *events;
	pool->slots = g_new0(struct slot, settings->max_conns);
	pool->buried = g_ptr_array_new();
	pthread_mutex_init(&pool->lock, NULL);
	lock_cond_init(&pool->work);
	lock_cond_init(&pool->changed);
	return pool;
}

void sftp_pool_shutdown(struct sftp_pool *pool)
{
	LOCK_SCOPE(&pool->lock);

	pool->down = true;
	for (unsigned int i = 0; i < pool->settings.max_conns; i++) {
		struct slot *slot = &pool->slots[i];

		if (slot->conn)
			sftp_conn_kill(slot->conn, "shut down");
		if (slot->starting)
			sftp_conn_kill(slot->starting, "shut down");
	}
	pthread_cond_broadcast(&pool->work);
	pthread_cond_broadcast(&pool->changed);
}

void sftp_pool_free(struct sftp_pool *pool)
{
	if (!pool)
		return;
	sftp_pool_shutdown(pool);
	pool_end_openers(pool);
	g_ptr_array_unref(pool->buried);
	g_free(pool->slots);
	g_free(pool->why);
	pthread_cond_destroy(&pool->changed);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	g_free(pool);
}

/* ---- statistics ------------------------------------------------------------------------------- */

void pool_add_stats(struct sftp_conn_stats *sum, struct sftp_conn *conn)
{
	struct sftp_conn_stats stats;

	sftp_conn_get_stats(conn, &stats);
	if (stats.received > 0 && (sum->received == 0 || stats.rtt_min_ns < sum->rtt_min_ns))
		sum->rtt_min_ns = stats.rtt_min_ns;
	sum->rtt_max_ns = MAX(sum->rtt_max_ns, stats.rtt_max_ns);
	sum->rtt_sum_ns += stats.rtt_sum_ns;
	sum->sent += stats.sent;
	sum->sent_bytes += stats.sent_bytes;
	sum->received += stats.received;
	sum->received_bytes += stats.received_bytes;
}

static void add_living_locked(struct sftp_pool *pool, struct sftp_conn_stats *sum)
{
	for (unsigned int i = 0; i < pool->settings.max_conns; i++) {
		if (pool->slots[i].conn)
			pool_add_stats(sum, pool->slots[i].conn);
	}
}

void sftp_pool_get_stats(struct sftp_pool *pool, struct sftp_conn_stats *ret_stats,
                         unsigned int *ret_connects)
{
	LOCK_SCOPE(&pool->lock);

	*ret_stats = pool->buried_stats;
	add_living_locked(pool, ret_stats);
	*ret_connects = pool->connects;
}

uint64_t sftp_pool_rtt_ns(struct sftp_pool *pool)
{
	struct sftp_conn_stats stats = {0};
	LOCK_SCOPE(&pool->lock);

	add_living_locked(pool, &stats);
	return stats.rtt_min_ns;
}

/* ---- choosing --------------------------------------------------------------------------------- */

bool pool_lives_locked(struct sftp_pool *pool)
{
	for (unsigned int i = 0; i < pool->settings.max_conns; i++) {
		if (pool_is_alive_locked(&pool->slots[i]))
			return true;
	}
	return false;
}

/* A living one that may be chosen, and how busy it is; the least busy one is the best. */
struct choice {
	struct slot *slot; /* NULL: there is none */
	unsigned int pending;
};

static bool is_better(const struct choice *best, const struct slot *slot, unsigned int pending)
{
	if (!best->slot || pending != best->pending)
		return !best->slot || pending < best->pending;
	return slot->handles < best->slot->handles;
}

/* The least busy one of those that fit. */
static struct choice choose_locked(struct sftp_pool *pool,
                                   bool (*fits)(const struct sftp_pool *pool,
                                                const struct slot *slot))
{
	struct choice best = {.slot = NULL};

	for (unsigned int i = 0; i < pool->settings.max_conns; i++) {
		struct slot *slot = &pool->slots[i];
		unsigned int pending;

		if (!pool_is_alive_locked(slot) || !fits(pool, slot))
			continue;
		pending = sftp_conn_pending(slot->conn);
		if (is_better(&best, slot, pending))
			best = (struct choice){.slot = slot, .pending = pending};
	}
	return best;
}

static bool has_no_bulk(const struct sftp_pool *pool, const struct slot *slot)
{
	return slot->bulk == 0;
}

static bool is_lane(const struct sftp_pool *pool, const struct slot *slot)
{
	return slot != &pool->slots[pool->home];
}

static bool is_any(const struct sftp_pool *pool, const struct slot *slot)
{
	return true;
}

static struct choice choose_quick_locked(struct sftp_pool *pool)
{
	struct choice choice = choose_locked(pool, has_no_bulk);

	return choice.slot ? choice : choose_locked(pool, is_any);
}

/* It has requests in flight, or files open that will have some. */
static bool is_busy(const struct choice *choice)
{
	return choice->pending > 0 || choice->slot->handles > 0;
}

/* Another connection would help, for later requests. */
static void maybe_open_another_locked(struct sftp_pool *pool)
{
	struct slot *empty = NULL;

	for (unsigned int i = 0; i < pool->settings.max_conns; i++) {
		struct slot *slot = &pool->slots[i];

		/* An opener may not yet have let go of what has already come. */
		if (pool_is_coming_locked(slot) && !pool_is_alive_locked(slot))
			return;
		if (!empty && pool_may_want_locked(pool, slot))
			empty = slot;
	}
	if (empty)
		pool_want_locked(pool, empty);
}

void pool_settle_home_locked(struct sftp_pool *pool)
{
	const struct slot *home = &pool->slots[pool->home];
	struct choice choice;

	if (pool_is_alive_locked(home) && home->bulk == 0)
		return;
	choice = choose_locked(pool, has_no_bulk);
	if (!choice.slot && !pool_is_alive_locked(home))
		choice = choose_locked(pool, is_any);
	if (choice.slot)
		pool->home = (unsigned int)(choice.slot - pool->slots);
}

/* ---- the first connection --------------------------------------------------------------------- */

/* May a new connection be made, now that none lives? 0 or -ENOTCONN. */
static int may_connect_locked(struct sftp_pool *pool, const struct slot *slot)
{
	if (pool->down)
		return -ENOTCONN;
	if (pool_is_coming_locked(slot))
		return 0;
	if (pool->connects > 0 &&
	    (!pool->settings.reconnect || !connector_can_reconnect(pool->connector)))
		return -ENOTCONN;
	return clock_now_ns() < slot->next_attempt_ns ? -ENOTCONN : 0;
}

/* Waits until an attempt to connect has ended. 0: look again. */
static int await_attempt_locked(struct sftp_pool *pool)
{
	struct slot *slot = &pool->slots[pool->home];
	unsigned int attempts = slot->attempts;
	int error = may_connect_locked(pool, slot);

	if (!error && !pool_is_coming_locked(slot))
		error = pool_want_locked(pool, slot);
	if (error)
		return error;
	while (slot->attempts == attempts && !pool_lives_locked(pool) && !pool->down &&
	       !cancel_is_raised())
		pthread_cond_wait(&pool->changed, &pool->lock);
	if (cancel_is_raised())
		return -EINTR;
	return pool->down || (slot->next_attempt_ns > 0 && pool->living == 0) ? -ENOTCONN : 0;
}

static int await_attempt(struct sftp_pool *pool)
{
	int error;

	cancel_begin_wait(&pool->lock, &pool->changed);
	pthread_mutex_lock(&pool->lock);
	error = await_attempt_locked(pool);
	pthread_mutex_unlock(&pool->lock);
	cancel_end_wait();
	return error;
}

static char *last_why(struct sftp_pool *pool)
{
	LOCK_SCOPE(&pool->lock);

	if (pool->down || !pool->why)
		return g_strdup("not connected");
	return g_strdup(pool->why);
}

/* ---- quick requests and written files --------------------------------------------------------- */

static struct sftp_conn *try_quick(struct sftp_pool *pool)
{
	struct choice choice;
	LOCK_SCOPE(&pool->lock);

	if (pool->down)
		return NULL;
	choice = choose_quick_locked(pool);
	if (!choice.slot)
		return NULL;
	if (is_busy(&choice))
		maybe_open_another_locked(pool);
	return sftp_conn_ref(choice.slot->conn);
}

int sftp_pool_get(struct sftp_pool *pool, struct sftp_conn **ret_conn, char **ret_why)
{
	for (;;) {
		struct sftp_conn *conn = try_quick(pool);
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

/* NULL: none lives. Without a lane it is the home, whichever that is at this moment. */
static struct sftp_conn *try_bulk(struct sftp_pool *pool)
{
	struct choice choice;
	LOCK_SCOPE(&pool->lock);

	if (pool->down)
		return NULL;
	choice = choose_locked(pool, is_lane);
	if (!choice.slot || is_busy(&choice))
		maybe_open_another_locked(pool);
	if (!choice.slot)
		choice = choose_locked(pool, is_any);
	return choice.slot ? sftp_conn_ref(choice.slot->conn) : NULL;
}

int sftp_pool_get_bulk(struct sftp_pool *pool, struct sftp_conn **ret_conn)
{
	*ret_conn = try_bulk(pool);
	return *ret_conn ? 0 : sftp_pool_get(pool, ret_conn, NULL);
}

void sftp_pool_note_handle(struct sftp_pool *pool, struct sftp_conn *conn, bool bulk, int delta)
{
	struct slot *slot;
	LOCK_SCOPE(&pool->lock);

	slot = pool_find_locked(pool, conn);
	if (!slot)
		return;
	slot->handles += (unsigned int)delta;
	if (bulk)
		slot->bulk += (unsigned int)delta;
	if (bulk)
		pool_settle_home_locked(pool);
}

/* ---- lanes ------------------------------------------------------------------------------------ */

unsigned int sftp_pool_lanes(const struct sftp_pool *pool)
{
	return MAX(pool->settings.max_conns - 1, 1);
}

/* The lanes are the slots in their order, without the home. */
static struct slot *slot_of_lane_locked(struct sftp_pool *pool, unsigned int lane)
{
	if (pool->settings.max_conns == 1)
		return pool->slots;
	return &pool->slots[lane < pool->home ? lane : lane + 1];
}

/* Waits until the attempt for the slot has ended: 0, or -ENOTCONN or -EINTR. */
static int await_lane_locked(struct sftp_pool *pool, struct slot *slot)
{
	uint64_t end = clock_add(clock_now_ns(), SFTP_POOL_PATIENCE_NS);
	unsigned int attempts = slot->attempts;

	while (slot->attempts == attempts && !slot->slow && !pool->down && !cancel_is_raised()) {
		uint64_t now = clock_now_ns();

		if (now >= end)
			slot->slow = true;
		else
			lock_cond_wait_for(&pool->changed, &pool->lock, end - now);
	}
	if (cancel_is_raised())
		return -EINTR;
	return slot->attempts == attempts || slot->next_attempt_ns > 0 ? -ENOTCONN : 0;
}

/* 0: a connection, or NULL: look again. */
static int try_lane_locked(struct sftp_pool *pool, unsigned int lane, struct sftp_conn **ret_conn)
{
	struct slot *slot = slot_of_lane_locked(pool, lane);
	int error = 0;

	if (pool->down)
		return -ENOTCONN;
	if (pool_is_alive_locked(slot)) {
		*ret_conn = sftp_conn_ref(slot->conn);
		return 0;
	}
	if (!pool_is_coming_locked(slot))
		error = pool_may_want_locked(pool, slot) ? pool_want_locked(pool, slot) : -ENOTCONN;
	return error ? error : await_lane_locked(pool, slot);
}

int sftp_pool_get_lane(struct sftp_pool *pool, unsigned int lane, struct sftp_conn **ret_conn)
{
	struct sftp_conn *conn = NULL;
	int error = 0;

	cancel_begin_wait(&pool->lock, &pool->changed);
	pthread_mutex_lock(&pool->lock);
	while (!conn && !error)
		error = try_lane_locked(pool, lane, &conn);
	pthread_mutex_unlock(&pool->lock);
	cancel_end_wait();
	if (!error)
		*ret_conn = conn;
	return error;
}

bool sftp_pool_is_connected(struct sftp_pool *pool)
{
	LOCK_SCOPE(&pool->lock);

	return pool_lives_locked(pool);
}
