// SPDX-License-Identifier: GPL-2.0-or-later
/* sftp/pool.c with scripted servers. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "client.h"
#include "lock.h"
#include "peer.h"
#include "pool.h"
#include "util.h"

/* ---- a pool and its servers ------------------------------------------------------------------- */

struct fixture {
	struct connector *connector;
	struct sftp_pool *pool;
	struct peer_counter connected, again, lost;
	int refuse; /* what connected() returns */
	bool mute;  /* servers do not answer INIT */
	bool hold;  /* servers keep requests unanswered until released */
	struct peer_counter released;
	struct peer_counter asked; /* requests that arrived */
};

static void serve(int fd, void *data)
{
	struct fixture *fix = data;
	struct peer_message message;

	if (fix->mute) {
		if (peer_receive(fd, &message)) {
			peer_message_clear(&message);
			peer_count(&fix->asked);
			peer_receive(fd, &message);
		}
		return;
	}
	if (!peer_greet(fd, NULL))
		return;
	while (peer_receive(fd, &message)) {
		peer_count(&fix->asked);
		if (fix->hold)
			peer_await(&fix->released, 1);
		peer_send_status(fd, message.id, SFTP_OK, "");
		peer_message_clear(&message);
	}
}

static int on_connected(struct sftp_conn *conn, bool again, void *data, char **ret_why)
{
	struct fixture *fix = data;

	peer_count(again ? &fix->again : &fix->connected);
	if (fix->refuse)
		*ret_why = g_strdup("not this one");
	return fix->refuse;
}

static void on_lost(const char *why, void *data)
{
	struct fixture *fix = data;

	g_assert_nonnull(why);
	peer_count(&fix->lost);
}

static void fixture_open(struct fixture *fix, unsigned int max_conns, bool reconnect)
{
	struct sftp_pool_settings settings = {.max_conns = max_conns, .reconnect = reconnect};
	struct sftp_pool_events events = {.connected = on_connected, .lost = on_lost, .data = fix};

	*fix = (struct fixture){.connected = PEER_COUNTER_INIT,
	                        .again = PEER_COUNTER_INIT,
	                        .lost = PEER_COUNTER_INIT,
	                        .released = PEER_COUNTER_INIT,
	                        .asked = PEER_COUNTER_INIT};
	fix->connector = peer_connector_new(serve, fix);
	fix->pool = sftp_pool_new(fix->connector, &settings, &events);
}

static void fixture_close(struct fixture *fix)
{
	peer_count(&fix->released);
	sftp_pool_free(fix->pool);
	connector_free(fix->connector);
}

static struct sftp_conn *get(struct fixture *fix)
{
	struct sftp_conn *conn = NULL;
	g_autofree char *why = NULL;
	int error = sftp_pool_get(fix->pool, &conn, &why);

	if (error)
		g_error("%s: %s", g_strerror(-error), why);
	return conn;
}

static void check_refused(struct fixture *fix, int expected, const char *why_expected)
{
	struct sftp_conn *conn = NULL;
	g_autofree char *why = NULL;

	g_assert_cmpint(sftp_pool_get(fix->pool, &conn, &why), ==, expected);
	g_assert_null(conn);
	if (why_expected)
		g_assert_cmpstr(why, ==, why_expected);
}

/* ---- requests --------------------------------------------------------------------------------- */

struct asked {
	struct sftp_request request;
	struct peer_counter done;
};

static void on_done(struct sftp_request *request, int error, uint8_t type, struct wire_reader *body)
{
	peer_count(&util_container_of(request, struct asked, request)->done);
}

static void ask(struct sftp_conn *conn, struct asked *asked)
{
	struct wire_buf body;

	*asked = (struct asked){.request.done = on_done, .done = PEER_COUNTER_INIT};
	wire_buf_init(&body);
	g_assert_cmpint(sftp_conn_submit(conn, &asked->request, SFTP_LSTAT, &body, NULL, 0), ==, 0);
}

/* ---- tests ------------------------------------------------------------------------------------ */

static void test_first(void)
{
	struct sftp_conn *a, *b;
	struct fixture fix;

	fixture_open(&fix, 1, false);
	g_assert_false(sftp_pool_is_connected(fix.pool));
	g_assert_cmpuint(peer_connector_count(fix.connector), ==, 0);
	a = get(&fix);
	b = get(&fix);
	g_assert_true(a == b);
	g_assert_true(sftp_pool_is_connected(fix.pool));
	g_assert_cmpuint(peer_connector_count(fix.connector), ==, 1);
	g_assert_cmpuint(peer_counted(&fix.connected), ==, 1);
	sftp_conn_unref(a);
	sftp_conn_unref(b);
	fixture_close(&fix);
	/* Its own end is no loss. */
	g_assert_cmpuint(peer_counted(&fix.lost), ==, 0);
}

static void test_never_used(void)
{
	struct fixture fix;

	fixture_open(&fix, 3, true);
	fixture_close(&fix);
	sftp_pool_free(NULL);
}

static void test_lost(void)
{
	struct fixture fix;

	fixture_open(&fix, 1, false);
	sftp_conn_unref(get(&fix));
	peer_connector_cut(fix.connector);
	peer_await(&fix.lost, 1);
	check_refused(&fix, -ENOTCONN, "remote host has disconnected");
	check_refused(&fix, -ENOTCONN, NULL);
	g_assert_cmpuint(peer_connector_count(fix.connector), ==, 1);
	fixture_close(&fix);
	g_assert_cmpuint(peer_counted(&fix.lost), ==, 1);
}

static void test_reconnect(void)
{
	struct sftp_conn *old, *new;
	struct sftp_conn_stats stats;
	struct fixture fix;
	struct asked asked;
	unsigned int connects;

	fixture_open(&fix, 1, true);
	old = get(&fix);
	ask(old, &asked);
	peer_await(&asked.done, 1);
	for (unsigned int i = 1; i <= 3; i++) {
		peer_connector_cut(fix.connector);
		peer_await(&fix.lost, i);
		new = get(&fix);
		g_assert_true(new != old);
		g_assert_true(sftp_conn_is_dead(old));
		g_assert_false(sftp_conn_is_dead(new));
		g_assert_cmpuint(peer_counted(&fix.again), ==, i);
		sftp_conn_unref(old);
		old = new;
	}
	ask(old, &asked);
	peer_await(&asked.done, 1);
	sftp_conn_unref(old);
	g_assert_cmpuint(peer_counted(&fix.connected), ==, 1);
	/* The dead ones' counters stay in the sum. */
	sftp_pool_get_stats(fix.pool, &stats, &connects);
	g_assert_cmpuint(connects, ==, 4);
	g_assert_cmpuint(stats.sent, ==, 2);
	g_assert_cmpuint(stats.received, ==, 2);
	fixture_close(&fix);
}

/* A server that stays away is not asked again at once. */
static void test_backoff(void)
{
	struct fixture fix;

	fixture_open(&fix, 1, true);
	peer_connector_refuse(fix.connector, true);
	for (unsigned int i = 0; i < 1000; i++)
		check_refused(&fix, -ENOTCONN, "failed to connect: Connection refused");
	/* At 0.25 seconds and more apart, a hundred would take minutes. */
	g_assert_cmpuint(peer_connector_attempts(fix.connector), <, 100);
	peer_connector_refuse(fix.connector, false);
	for (;;) {
		struct sftp_conn *conn = NULL;

		if (sftp_pool_get(fix.pool, &conn, NULL) == 0) {
			sftp_conn_unref(conn);
			break;
		}
		g_usleep(1000);
	}
	g_assert_cmpuint(peer_connector_count(fix.connector), ==, 1);
	g_assert_cmpuint(peer_counted(&fix.connected), ==, 1);
	fixture_close(&fix);
}

static void test_connected_refuses(void)
{
	struct fixture fix;

	fixture_open(&fix, 1, false);
	fix.refuse = -EPERM;
	check_refused(&fix, -ENOTCONN, "not this one");
	g_assert_false(sftp_pool_is_connected(fix.pool));
	fixture_close(&fix);
	g_assert_cmpuint(peer_counted(&fix.lost), ==, 0);
}

/* When all are busy another one is opened, in the background, up to the limit; the idle one is taken. */
static void test_several(void)
{
	struct asked asked[3];
	struct sftp_conn *conns[3];
	struct fixture fix;

	fixture_open(&fix, 3, false);
	fix.hold = true;
	for (unsigned int i = 0; i < 3; i++) {
		do {
			conns[i] = get(&fix);
			if (sftp_conn_pending(conns[i]) == 0)
				break;
			sftp_conn_unref(conns[i]);
			g_usleep(1000);
		} while (true);
		ask(conns[i], &asked[i]);
	}
	peer_await(&fix.asked, 3);
	g_assert_true(conns[0] != conns[1] && conns[1] != conns[2] && conns[0] != conns[2]);
	sftp_conn_unref(get(&fix));
	g_assert_cmpuint(peer_connector_count(fix.connector), ==, 3);
	g_assert_cmpuint(peer_counted(&fix.connected), ==, 1);

	/* With one dead the others go on: nothing is lost. */
	sftp_conn_kill(conns[1], "test");
	peer_await(&asked[1].done, 1);
	for (unsigned int i = 0; i < 3; i++)
		sftp_conn_unref(conns[i]);
	sftp_conn_unref(get(&fix));
	g_assert_cmpuint(peer_counted(&fix.lost), ==, 0);
	fixture_close(&fix);
}

/* Of two idle ones, that with fewer open files. */
static void test_handles(void)
{
	struct sftp_conn *first, *second, *third;
	struct fixture fix;
	struct asked asked;

	fixture_open(&fix, 2, false);
	fix.hold = true;
	first = get(&fix);
	ask(first, &asked);
	for (;;) {
		second = get(&fix);
		if (second != first)
			break;
		sftp_conn_unref(second);
		g_usleep(1000);
	}
	peer_count(&fix.released);
	peer_await(&asked.done, 1);
	sftp_pool_note_handle(fix.pool, first, false, 1);
	third = get(&fix);
	g_assert_true(third == second);
	sftp_conn_unref(third);
	sftp_pool_note_handle(fix.pool, second, false, 2);
	third = get(&fix);
	g_assert_true(third == first);
	sftp_conn_unref(third);
	sftp_pool_note_handle(fix.pool, first, false, -1);
	sftp_pool_note_handle(fix.pool, second, false, -2);
	sftp_conn_unref(first);
	sftp_conn_unref(second);
	fixture_close(&fix);
}

/* ---- lanes ------------------------------------------------------------------------------------ */

static struct sftp_conn *get_lane(struct fixture *fix, unsigned int lane)
{
	struct sftp_conn *conn = NULL;

	g_assert_cmpint(sftp_pool_get_lane(fix->pool, lane, &conn), ==, 0);
	return conn;
}

static struct sftp_conn *get_bulk(struct fixture *fix)
{
	struct sftp_conn *conn = NULL;

	g_assert_cmpint(sftp_pool_get_bulk(fix->pool, &conn), ==, 0);
	return conn;
}

/* Whichever way a connection is asked for, it is that one. */
static void check_is(struct sftp_conn *conn, const struct sftp_conn *expected)
{
	g_assert_true(conn == expected);
	sftp_conn_unref(conn);
}

static void await_connects(struct fixture *fix, unsigned int count)
{
	struct sftp_conn_stats stats;
	unsigned int connects;

	for (;;) {
		sftp_pool_get_stats(fix->pool, &stats, &connects);
		if (connects >= count)
			return;
		g_usleep(1000);
	}
}

/* Nothing quick gets behind bulk data, however busy its own connection is. */
static void test_lanes(void)
{
	struct sftp_conn *home, *lanes[2];
	struct fixture fix;
	struct asked asked;

	fixture_open(&fix, 3, false);
	fix.hold = true;
	g_assert_cmpuint(sftp_pool_lanes(fix.pool), ==, 2);
	home = get(&fix);
	for (unsigned int i = 0; i < 2; i++) {
		lanes[i] = get_lane(&fix, i);
		check_is(get_lane(&fix, i), lanes[i]);
		sftp_pool_note_handle(fix.pool, lanes[i], true, 1);
	}
	g_assert_true(lanes[0] != home && lanes[1] != home && lanes[0] != lanes[1]);
	g_assert_cmpuint(peer_counted(&fix.connected), ==, 1);
	ask(home, &asked);
	for (unsigned int i = 0; i < 10; i++)
		check_is(get(&fix), home);
	/* Where there is no bulk any more, quick requests may go. */
	sftp_pool_note_handle(fix.pool, lanes[1], true, -1);
	check_is(get(&fix), lanes[1]);
	sftp_conn_unref(home);
	sftp_conn_unref(lanes[0]);
	sftp_conn_unref(lanes[1]);
	fixture_close(&fix);
}

static void test_lane_alone(void)
{
	struct sftp_conn *conn;
	struct fixture fix;

	fixture_open(&fix, 1, false);
	g_assert_cmpuint(sftp_pool_lanes(fix.pool), ==, 1);
	conn = get(&fix);
	check_is(get_lane(&fix, 0), conn);
	check_is(get_bulk(&fix), conn);
	sftp_pool_note_handle(fix.pool, conn, true, 1);
	check_is(get(&fix), conn);
	sftp_conn_unref(conn);
	g_assert_cmpuint(peer_connector_count(fix.connector), ==, 1);
	fixture_close(&fix);
}

/* An upload that came too early for a lane: what comes next is for what is quick. */
static void test_bulk_on_home(void)
{
	struct sftp_conn *first, *second;
	struct fixture fix;

	fixture_open(&fix, 2, false);
	first = get_bulk(&fix);
	sftp_pool_note_handle(fix.pool, first, true, 1);
	check_is(get(&fix), first);
	await_connects(&fix, 2);
	second = get(&fix);
	g_assert_true(second != first);
	check_is(get_lane(&fix, 0), first);
	for (unsigned int i = 0; i < 3; i++) {
		check_is(get_bulk(&fix), first);
		sftp_pool_note_handle(fix.pool, first, true, 1);
		check_is(get(&fix), second);
	}
	sftp_conn_unref(first);
	sftp_conn_unref(second);
	fixture_close(&fix);
}

/* Written files are spread over the lanes; more are opened as they get busy. */
static void test_bulk_is_spread(void)
{
	struct sftp_conn *home, *conns[3];
	struct fixture fix;

	fixture_open(&fix, 4, false);
	home = get(&fix);
	for (unsigned int i = 0; i < 3; i++)
		sftp_conn_unref(get_lane(&fix, i));
	for (unsigned int i = 0; i < 3; i++) {
		conns[i] = get_bulk(&fix);
		g_assert_true(conns[i] != home);
		sftp_pool_note_handle(fix.pool, conns[i], true, 1);
	}
	g_assert_true(conns[0] != conns[1] && conns[1] != conns[2] && conns[0] != conns[2]);
	for (unsigned int i = 0; i < 3; i++)
		sftp_conn_unref(conns[i]);
	sftp_conn_unref(home);
	fixture_close(&fix);
}

static void test_lane_refused(void)
{
	struct sftp_conn *conn = NULL;
	struct fixture fix;

	fixture_open(&fix, 2, false);
	g_assert_cmpint(sftp_pool_get_lane(fix.pool, 0, &conn), ==, -ENOTCONN);
	sftp_conn_unref(get(&fix));
	peer_connector_refuse(fix.connector, true);
	for (unsigned int i = 0; i < 1000; i++)
		g_assert_cmpint(sftp_pool_get_lane(fix.pool, 0, &conn), ==, -ENOTCONN);
	g_assert_cmpuint(peer_connector_attempts(fix.connector), <, 100);
	g_assert_null(conn);
	sftp_conn_unref(get(&fix));
	peer_connector_refuse(fix.connector, false);
	while (sftp_pool_get_lane(fix.pool, 0, &conn) == -ENOTCONN)
		g_usleep(1000);
	g_assert_nonnull(conn);
	sftp_conn_unref(conn);
	g_assert_cmpuint(peer_counted(&fix.lost), ==, 0);
	fixture_close(&fix);
}

/* The home dies: a lane takes its place, and the lane is opened anew. */
static void test_home_dies(void)
{
	struct sftp_conn *home, *lane, *other;
	struct fixture fix;

	fixture_open(&fix, 2, false);
	home = get(&fix);
	lane = get_lane(&fix, 0);
	sftp_conn_kill(home, "test");
	check_is(get(&fix), lane);
	sftp_conn_unref(home);
	while (!(other = get_lane(&fix, 0)) || other == lane)
		sftp_conn_unref(other);
	check_is(get_lane(&fix, 0), other);
	g_assert_cmpuint(peer_counted(&fix.connected), ==, 1);
	g_assert_cmpuint(peer_counted(&fix.again), ==, 0);
	g_assert_cmpuint(peer_counted(&fix.lost), ==, 0);
	sftp_conn_unref(lane);
	sftp_conn_unref(other);
	fixture_close(&fix);
}

static void test_rtt(void)
{
	struct sftp_conn *conn;
	struct fixture fix;
	struct asked asked;
	uint64_t rtt;

	fixture_open(&fix, 2, true);
	g_assert_cmpuint(sftp_pool_rtt_ns(fix.pool), ==, 0);
	conn = get(&fix);
	g_assert_cmpuint(sftp_pool_rtt_ns(fix.pool), ==, 0);
	ask(conn, &asked);
	peer_await(&asked.done, 1);
	rtt = sftp_pool_rtt_ns(fix.pool);
	g_assert_cmpuint(rtt, >, 0);
	sftp_conn_kill(conn, "test");
	peer_await(&fix.lost, 1);
	g_assert_cmpuint(sftp_pool_rtt_ns(fix.pool), ==, 0);
	sftp_conn_unref(conn);
	fixture_close(&fix);
}

/* ---- giving up -------------------------------------------------------------------------------- */

struct waiter {
	struct fixture *fix;
	struct sftp_cancel *cancel;
	int error;
};

static void *wait_main(void *arg)
{
	struct waiter *waiter = arg;
	struct sftp_conn *conn = NULL;

	sftp_cancel_bind(waiter->cancel);
	waiter->error = sftp_pool_get(waiter->fix->pool, &conn, NULL);
	sftp_cancel_bind(NULL);
	sftp_conn_unref(conn);
	return NULL;
}

static void test_cancel(void)
{
	struct waiter waiter;
	struct fixture fix;
	pthread_t thread;

	fixture_open(&fix, 1, false);
	fix.mute = true;
	waiter = (struct waiter){.fix = &fix, .cancel = sftp_cancel_new()};
	pthread_create(&thread, NULL, wait_main, &waiter);
	peer_await(&fix.asked, 1);
	sftp_cancel_raise(waiter.cancel);
	pthread_join(thread, NULL);
	g_assert_cmpint(waiter.error, ==, -EINTR);
	sftp_cancel_free(waiter.cancel);
	fixture_close(&fix);
}

struct lane_waiter {
	struct waiter waiter;
	unsigned int lane;
	pthread_t thread;
};

static void *wait_lane_main(void *arg)
{
	struct lane_waiter *lane = arg;
	struct sftp_conn *conn = NULL;

	sftp_cancel_bind(lane->waiter.cancel);
	lane->waiter.error = sftp_pool_get_lane(lane->waiter.fix->pool, lane->lane, &conn);
	sftp_cancel_bind(NULL);
	sftp_conn_unref(conn);
	return NULL;
}

/* Lanes come up at the same time, hold nobody up meanwhile, and waiting for one can be given up. */
static void test_lanes_while_connecting(void)
{
	struct lane_waiter lanes[3];
	struct sftp_conn *home;
	struct fixture fix;

	fixture_open(&fix, 4, false);
	home = get(&fix);
	fix.mute = true;
	for (unsigned int i = 0; i < 3; i++) {
		lanes[i] = (struct lane_waiter){.lane = i, .waiter.fix = &fix};
		lanes[i].waiter.cancel = sftp_cancel_new();
		pthread_create(&lanes[i].thread, NULL, wait_lane_main, &lanes[i]);
	}
	peer_await(&fix.asked, 3);
	check_is(get(&fix), home);
	check_is(get_bulk(&fix), home);
	sftp_cancel_raise(lanes[1].waiter.cancel);
	pthread_join(lanes[1].thread, NULL);
	g_assert_cmpint(lanes[1].waiter.error, ==, -EINTR);
	sftp_pool_shutdown(fix.pool);
	for (unsigned int i = 0; i < 3; i++) {
		if (i != 1)
			pthread_join(lanes[i].thread, NULL);
		g_assert_cmpint(lanes[i].waiter.error, ==, i == 1 ? -EINTR : -ENOTCONN);
		sftp_cancel_free(lanes[i].waiter.cancel);
	}
	sftp_conn_unref(home);
	fixture_close(&fix);
}

static void test_shutdown_while_connecting(void)
{
	struct waiter waiter;
	struct fixture fix;
	pthread_t thread;

	fixture_open(&fix, 1, true);
	fix.mute = true;
	waiter = (struct waiter){.fix = &fix, .cancel = NULL};
	pthread_create(&thread, NULL, wait_main, &waiter);
	peer_await(&fix.asked, 1);
	sftp_pool_shutdown(fix.pool);
	pthread_join(thread, NULL);
	g_assert_cmpint(waiter.error, ==, -ENOTCONN);
	check_refused(&fix, -ENOTCONN, NULL);
	fixture_close(&fix);
}

static void test_shutdown_with_pending(void)
{
	struct sftp_conn *conn;
	struct fixture fix;
	struct asked asked;

	fixture_open(&fix, 1, true);
	fix.hold = true;
	conn = get(&fix);
	ask(conn, &asked);
	sftp_pool_shutdown(fix.pool);
	peer_await(&asked.done, 1);
	check_refused(&fix, -ENOTCONN, NULL);
	sftp_conn_unref(conn);
	fixture_close(&fix);
	g_assert_cmpuint(peer_counted(&fix.lost), ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/pool/first", test_first);
	g_test_add_func("/pool/never-used", test_never_used);
	g_test_add_func("/pool/lost", test_lost);
	g_test_add_func("/pool/reconnect", test_reconnect);
	g_test_add_func("/pool/backoff", test_backoff);
	g_test_add_func("/pool/connected-refuses", test_connected_refuses);
	g_test_add_func("/pool/several", test_several);
	g_test_add_func("/pool/handles", test_handles);
	g_test_add_func("/pool/lanes", test_lanes);
	g_test_add_func("/pool/lanes/alone", test_lane_alone);
	g_test_add_func("/pool/lanes/bulk-on-home", test_bulk_on_home);
	g_test_add_func("/pool/lanes/bulk-is-spread", test_bulk_is_spread);
	g_test_add_func("/pool/lanes/refused", test_lane_refused);
	g_test_add_func("/pool/lanes/home-dies", test_home_dies);
	g_test_add_func("/pool/lanes/connecting", test_lanes_while_connecting);
	g_test_add_func("/pool/rtt", test_rtt);
	g_test_add_func("/pool/cancel", test_cancel);
	g_test_add_func("/pool/shutdown/connecting", test_shutdown_while_connecting);
	g_test_add_func("/pool/shutdown/pending", test_shutdown_with_pending);
	return g_test_run();
}
