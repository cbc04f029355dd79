// SPDX-License-Identifier: GPL-2.0-or-later
/* sftp/conn.c, handshake.c, input.c and outqueue.c over a socket pair with a scripted peer. */
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "conn.h"
#include "lock.h"
#include "peer.h"
#include "util.h"

static const char *const no_extensions[] = {NULL};
static const char *const limits_extension[] = {"limits@openssh.com", "1", NULL};

/* ---- a connection and its peer ---------------------------------------------------------------- */

struct fixture {
	struct sftp_conn *conn;
	int fd; /* the peer's end */
	struct peer_counter died;
	char *why; /* of the death */
};

static void on_died(struct sftp_conn *conn, const char *why, void *data)
{
	struct fixture *fix = data;

	fix->why = g_strdup(why);
	peer_count(&fix->died);
}

static void fixture_open(struct fixture *fix)
{
	struct sftp_conn_events events = {.died = on_died, .data = fix};

	*fix = (struct fixture){.died = PEER_COUNTER_INIT};
	fix->conn = sftp_conn_new(peer_transport_new(&fix->fd), &events, false);
}

static void fixture_start(struct fixture *fix)
{
	struct peer_message init;
	g_autofree char *why = NULL;

	fixture_open(fix);
	g_assert_true(peer_send_version(fix->fd, 3, no_extensions));
	g_assert_cmpint(sftp_conn_start(fix->conn, &why), ==, 0);
	g_assert_true(peer_receive(fix->fd, &init));
	g_assert_cmpuint(init.type, ==, SFTP_INIT);
	peer_message_clear(&init);
}

static void fixture_close(struct fixture *fix)
{
	sftp_conn_unref(fix->conn);
	close(fix->fd);
	g_free(fix->why);
}

/* ---- requests --------------------------------------------------------------------------------- */

struct asked {
	struct sftp_request request;
	struct peer_counter *count;
	unsigned int times; /* done() was called */
	int error;
	uint8_t type;
	uint32_t first; /* word of the body */
	size_t left;    /* bytes of the body */
};

static void on_done(struct sftp_request *request, int error, uint8_t type, struct wire_reader *body)
{
	struct asked *asked = util_container_of(request, struct asked, request);

	asked->times++;
	asked->error = error;
	asked->type = type;
	asked->left = wire_reader_left(body);
	if (type == SFTP_STATUS)
		asked->first = wire_get_u32(body);
	peer_count(asked->count);
}

static int ask(struct sftp_conn *conn, struct asked *asked, struct peer_counter *count,
               uint32_t number)
{
	struct wire_buf body;
	int error;

	asked->request.done = on_done;
	asked->count = count;
	wire_buf_init(&body);
	wire_put_u32(&body, number);
	error = sftp_conn_submit(conn, &asked->request, SFTP_READ, &body, NULL, 0);
	wire_buf_done(&body);
	return error;
}

/* ---- handshake -------------------------------------------------------------------------------- */

static void check_start_failure(const void *bytes, size_t size, int expected, const char *pattern)
{
	g_autofree char *why = NULL;
	struct fixture fix;

	fixture_open(&fix);
	g_assert_true(peer_send_raw(fix.fd, bytes, size));
	shutdown(fix.fd, SHUT_WR);
	g_assert_cmpint(sftp_conn_start(fix.conn, &why), ==, expected);
	if (!g_pattern_match_simple(pattern, why))
		g_error("\"%s\" is not like \"%s\"", why, pattern);
	/* It goes to a terminal. */
	for (const char *c = why; *c; c++)
		g_assert_false(g_ascii_iscntrl(*c));
	g_assert_cmpuint(peer_counted(&fix.died), ==, 0);
	fixture_close(&fix);
}

static void test_handshake_failures(void)
{
	g_autofree char *garbage = g_strnfill(70 * 1024, 'x');

	check_start_failure("", 0, -ECONNRESET, "read: Connection reset by peer");
	check_start_failure("This account is closed.\r\nBye\n", 27, -ECONNRESET,
	                    "*\"This account is closed.\"*");
	check_start_failure("bad \033[31m\n", 10, -ECONNRESET, "*\"bad ?[31m\"*");
	check_start_failure("\0\0\0\x02\x02\0\0\0\x03", 9, -EPROTO, "bad reply len: 2");
	check_start_failure("\x7f\0\0\0\x02\0\0\0\x03", 9, -EPROTO, "bad reply len: 2130706432");
	check_start_failure("\0\0\0\x0b\x02\0\0\0\x03\0\0\0\x09xx", 15, -EPROTO, "protocol error*");
	check_start_failure(garbage, 70 * 1024, -EPROTO, "protocol error*xxx*");
}

static void test_handshake_banner(void)
{
	g_autofree char *banner = g_strnfill(60 * 1024, '\n');
	g_autofree char *why = NULL;
	struct fixture fix;

	fixture_open(&fix);
	g_assert_true(peer_send_raw(fix.fd, banner, strlen(banner)));
	g_assert_true(peer_send_raw(fix.fd, "Welcome!\n", 9));
	g_assert_true(peer_send_version(fix.fd, 3, no_extensions));
	g_assert_cmpint(sftp_conn_start(fix.conn, &why), ==, 0);
	g_assert_cmpuint(sftp_conn_version(fix.conn), ==, 3);
	fixture_close(&fix);
}

static void test_handshake_extensions(void)
{
	static const char *const extensions[] = {"unknown@example.org",
	                                         "\x01\x02",
	                                         "posix-rename@openssh.com",
	                                         "1",
	                                         "statvfs@openssh.com",
	                                         "9",
	                                         "fsync@openssh.com",
	                                         "1",
	                                         NULL};
	g_autofree char *why = NULL;
	struct fixture fix;

	fixture_open(&fix);
	g_assert_true(peer_send_version(fix.fd, 6, extensions));
	g_assert_cmpint(sftp_conn_start(fix.conn, &why), ==, 0);
	g_assert_cmpuint(sftp_conn_version(fix.conn), ==, 6);
	g_assert_cmphex(sftp_conn_extensions(fix.conn), ==, SFTP_EXT_POSIX_RENAME | SFTP_EXT_FSYNC);
	g_assert_cmpuint(sftp_conn_max_read(fix.conn), ==, 32 * KIB);
	g_assert_cmpuint(sftp_conn_max_write(fix.conn), ==, 32 * KIB);
	fixture_close(&fix);
}

static void check_limits(uint64_t packet, uint64_t read, uint64_t write, size_t expected_read,
                         size_t expected_write)
{
	g_autofree char *why = NULL;
	struct wire_buf body;
	struct fixture fix;

	fixture_open(&fix);
	g_assert_true(peer_send_version(fix.fd, 3, limits_extension));
	wire_buf_init(&body);
	wire_put_u64(&body, packet);
	wire_put_u64(&body, read);
	wire_put_u64(&body, write);
	wire_put_u64(&body, 100);
	g_assert_true(peer_send(fix.fd, SFTP_EXTENDED_REPLY, 0, &body));
	wire_buf_done(&body);
	g_assert_cmpint(sftp_conn_start(fix.conn, &why), ==, 0);
	g_assert_cmpuint(sftp_conn_max_read(fix.conn), ==, expected_read);
	g_assert_cmpuint(sftp_conn_max_write(fix.conn), ==, expected_write);
	fixture_close(&fix);
}

static void test_limits(void)
{
	check_limits(262144, 261120, 261120, 261120, 261120);
	check_limits(1 << 30, 1 << 29, 1 << 29, 255 * KIB, 255 * KIB);
	check_limits(UINT64_MAX, UINT64_MAX, UINT64_MAX, 255 * KIB, 255 * KIB);
	check_limits(0, 0, 0, 32 * KIB, 32 * KIB);
	check_limits(262144, 0, 0, 255 * KIB, 255 * KIB);
	check_limits(262144, 1, 65536, 32 * KIB, 65536);
	check_limits(7, 65536, 65536, 32 * KIB, 32 * KIB);
	check_limits(34000, 65536, 16384, 34000 - 1024, 16384);
}

static void test_limits_refused(void)
{
	g_autofree char *why = NULL;
	struct fixture fix;

	fixture_open(&fix);
	g_assert_true(peer_send_version(fix.fd, 3, limits_extension));
	g_assert_true(peer_send_status(fix.fd, 0, SFTP_OP_UNSUPPORTED, "no"));
	g_assert_cmpint(sftp_conn_start(fix.conn, &why), ==, 0);
	g_assert_cmpuint(sftp_conn_max_read(fix.conn), ==, 32 * KIB);
	fixture_close(&fix);
}

static void *kill_main(void *arg)
{
	struct fixture *fix = arg;
	struct peer_message init;

	g_assert_true(peer_receive(fix->fd, &init));
	peer_message_clear(&init);
	sftp_conn_kill(fix->conn, "enough");
	return NULL;
}

static void test_handshake_killed(void)
{
	g_autofree char *why = NULL;
	struct fixture fix;
	pthread_t killer;

	fixture_open(&fix);
	pthread_create(&killer, NULL, kill_main, &fix);
	g_assert_cmpint(sftp_conn_start(fix.conn, &why), ==, -ECANCELED);
	g_assert_nonnull(why);
	pthread_join(killer, NULL);
	g_assert_cmpuint(peer_counted(&fix.died), ==, 0);
	fixture_close(&fix);
}

/* ---- many in flight --------------------------------------------------------------------------- */

#define MANY 1000

static void shuffle(uint32_t *ids, unsigned int count)
{
	for (unsigned int i = count - 1; i > 0; i--) {
		unsigned int j = (unsigned int)g_test_rand_int_range(0, (gint32)i + 1);
		uint32_t id = ids[i];

		ids[i] = ids[j];
		ids[j] = id;
	}
}

/* Each reply says the id it is for; the order of sending is kept, that of answering is not. */
static void test_out_of_order(void)
{
	struct peer_counter count = PEER_COUNTER_INIT;
	g_autofree struct asked *asked = g_new0(struct asked, MANY);
	g_autofree uint32_t *ids = g_new0(uint32_t, MANY);
	struct fixture fix;

	fixture_start(&fix);
	for (unsigned int i = 0; i < MANY; i++)
		g_assert_cmpint(ask(fix.conn, &asked[i], &count, i), ==, 0);
	g_assert_cmpuint(sftp_conn_pending(fix.conn), ==, MANY);
	for (unsigned int i = 0; i < MANY; i++) {
		struct peer_message message;

		g_assert_true(peer_receive(fix.fd, &message));
		g_assert_cmpuint(wire_get_u32(&message.body), ==, i);
		ids[i] = message.id;
		peer_message_clear(&message);
	}
	shuffle(ids, MANY);
	for (unsigned int i = 0; i < MANY; i++)
		g_assert_true(peer_send_status(fix.fd, ids[i], ids[i], ""));
	peer_await(&count, MANY);
	for (unsigned int i = 0; i < MANY; i++) {
		g_assert_cmpuint(asked[i].times, ==, 1);
		g_assert_cmpint(asked[i].error, ==, 0);
		g_assert_cmpuint(asked[i].first, ==, asked[i].request.id);
	}
	g_assert_cmpuint(sftp_conn_pending(fix.conn), ==, 0);
	fixture_close(&fix);
}

static void test_stats(void)
{
	struct peer_counter count = PEER_COUNTER_INIT;
	struct asked asked = {0};
	struct peer_message message;
	struct sftp_conn_stats stats;
	struct fixture fix;

	fixture_start(&fix);
	g_assert_cmpint(ask(fix.conn, &asked, &count, 1), ==, 0);
	g_assert_true(peer_receive(fix.fd, &message));
	g_assert_true(peer_send_status(fix.fd, message.id, 0, ""));
	peer_message_clear(&message);
	peer_await(&count, 1);
	sftp_conn_get_stats(fix.conn, &stats);
	g_assert_cmpuint(stats.sent, ==, 1);
	g_assert_cmpuint(stats.sent_bytes, ==, 13);
	g_assert_cmpuint(stats.received, ==, 1);
	g_assert_cmpuint(stats.received_bytes, ==, 9 + 4 + 4 + 4 + 2);
	g_assert_cmpuint(stats.rtt_min_ns, <=, stats.rtt_max_ns);
	fixture_close(&fix);
}

/* ---- sinks ------------------------------------------------------------------------------------ */

static void fill(uint8_t *bytes, size_t size, unsigned int seed)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 8) + seed);
}

/* Sends a DATA reply broken off after `first` bytes of the message. */
static void send_data_head(int fd, uint32_t id, const uint8_t *bytes, size_t size, size_t first)
{
	struct wire_buf message;

	wire_buf_init(&message);
	wire_put_u32(&message, (uint32_t)(size + 9));
	wire_put_u8(&message, SFTP_DATA);
	wire_put_u32(&message, id);
	wire_put_string(&message, bytes, size);
	g_assert_true(peer_send_raw(fd, message.data, first));
	wire_buf_done(&message);
}

static void check_sink(struct fixture *fix, size_t sink_size, size_t size)
{
	struct peer_counter count = PEER_COUNTER_INIT;
	g_autofree uint8_t *sink = g_malloc0(sink_size + 1);
	g_autofree uint8_t *bytes = g_malloc(size + 1);
	struct asked asked = {.request = {.sink = sink, .sink_size = sink_size}};
	struct peer_message message;

	fill(bytes, size, (unsigned int)size);
	g_assert_cmpint(ask(fix->conn, &asked, &count, 1), ==, 0);
	g_assert_true(peer_receive(fix->fd, &message));
	send_data_head(fix->fd, message.id, bytes, size, 13 + size / 3);
	g_assert_true(peer_send_raw(fix->fd, bytes + size / 3, size - size / 3));
	peer_await(&count, 1);
	g_assert_cmpint(asked.error, ==, 0);
	g_assert_cmpuint(asked.type, ==, SFTP_DATA);
	g_assert_cmpuint(asked.left, ==, 0);
	g_assert_cmpuint(asked.request.sink_filled, ==, size);
	g_assert_cmpmem(sink, size, bytes, size);
	for (size_t i = size; i <= sink_size; i++)
		g_assert_cmpuint(sink[i], ==, 0);
	peer_message_clear(&message);
}

static void test_sink(void)
{
	struct fixture fix;

	fixture_start(&fix);
	check_sink(&fix, 10, 10);
	check_sink(&fix, 10, 0);
	check_sink(&fix, 4096, 1);
	check_sink(&fix, 32768, 32768);
	check_sink(&fix, 256 * KIB, 200 * KIB + 1);
	fixture_close(&fix);
}

/* The payload stalls; its taker leaves; what comes later is dropped, and the stream goes on. */
static void check_abandon(size_t size, size_t first)
{
	struct peer_counter count = PEER_COUNTER_INIT;
	g_autofree uint8_t *sink = g_malloc0(size);
	g_autofree uint8_t *bytes = g_malloc(size);
	struct asked asked = {.request = {.sink = sink, .sink_size = size}};
	struct asked other = {0};
	struct peer_message message;
	struct fixture fix;

	fill(bytes, size, 1);
	fixture_start(&fix);
	g_assert_cmpint(ask(fix.conn, &asked, &count, 1), ==, 0);
	g_assert_true(peer_receive(fix.fd, &message));
	send_data_head(fix.fd, message.id, bytes, size, first);
	sftp_conn_abandon(fix.conn, &asked.request);
	/* From here on the memory is ours again: the sanitizers see who touches it. */
	memset(sink, 0xee, size);
	g_clear_pointer(&sink, g_free);
	if (first > 13)
		g_assert_true(peer_send_raw(fix.fd, bytes + first - 13, size - (first - 13)));
	else
		g_assert_true(peer_send_status(fix.fd, message.id, SFTP_EOF, ""));
	peer_message_clear(&message);
	peer_await(&count, 1);
	g_assert_cmpint(asked.error, ==, 0);

	g_assert_cmpint(ask(fix.conn, &other, &count, 2), ==, 0);
	g_assert_true(peer_receive(fix.fd, &message));
	g_assert_true(peer_send_status(fix.fd, message.id, 77, ""));
	peer_message_clear(&message);
	peer_await(&count, 2);
	g_assert_cmpuint(other.first, ==, 77);
	fixture_close(&fix);
}

static void test_abandon(void)
{
	check_abandon(1000, 0);
	check_abandon(1000, 14);
	check_abandon(1000, 500);
	check_abandon(200 * KIB, 100 * KIB);
}

/* ---- hostile replies -------------------------------------------------------------------------- */

static void check_death(const void *bytes, size_t size, const char *pattern)
{
	struct peer_counter count = PEER_COUNTER_INIT;
	uint8_t sink[16];
	struct asked asked = {.request = {.sink = sink, .sink_size = sizeof(sink)}};
	struct fixture fix;

	fixture_start(&fix);
	g_assert_cmpint(ask(fix.conn, &asked, &count, 1), ==, 0);
	g_assert_true(peer_send_raw(fix.fd, bytes, size));
	shutdown(fix.fd, SHUT_WR);
	peer_await(&fix.died, 1);
	g_assert_cmpuint(asked.times, ==, 1);
	g_assert_cmpint(asked.error, ==, -ENOTCONN);
	g_assert_cmpuint(asked.left, ==, 0);
	if (!g_pattern_match_simple(pattern, fix.why))
		g_error("\"%s\" is not like \"%s\"", fix.why, pattern);
	g_assert_true(sftp_conn_is_dead(fix.conn));
	g_assert_cmpint(ask(fix.conn, &asked, &count, 1), ==, -ENOTCONN);
	fixture_close(&fix);
}

/* The first request has the id 1. */
static void test_hostile(void)
{
	check_death("", 0, "remote host has disconnected");
	check_death("\0\0\0\4\x65\0\0\0\1", 9, "bad reply len: 4");
	check_death("\0\0\0\0\0\0\0\0\0", 9, "bad reply len: 0");
	check_death("\0\4\4\1\x65\0\0\0\1", 9, "bad reply len: 263169");
	check_death("\xff\xff\xff\xff\x65\0\0\0\1", 9, "bad reply len: 4294967295");
	check_death("\0\0\0\5\x65\0\0\0\7", 9, "request 7 not found");
	check_death("\0\0\0\x1a\x67\0\0\0\1\0\0\0\x11xxxxxxxxxxxxxxxxx", 30, "long read*");
	check_death("\0\0\0\x0a\x67\0\0\0\1\0\0\0\x09xxxxxxxxxxxxxxxxx", 30, "protocol error*");
	check_death("\0\0\0\7\x67\0\0\0\1\0\0", 11, "bad reply len: 7");
	/* Broken off: in the header, in a body, in a payload. */
	check_death("\0\0\0", 3, "remote host has disconnected");
	check_death("\0\0\0\x20\x65\0\0\0\1xx", 11, "remote host has disconnected");
	check_death("\0\0\0\x0d\x67\0\0\0\1\0\0\0\4x", 14, "remote host has disconnected");
}

static void test_too_big(void)
{
	g_autofree char *big = g_malloc0(256 * KIB);
	struct asked asked = {0};
	struct wire_buf body;
	struct fixture fix;

	fixture_start(&fix);
	wire_buf_init(&body);
	wire_put_u32(&body, 1);
	g_assert_cmpint(
		sftp_conn_submit(fix.conn, &asked.request, SFTP_WRITE, &body, big, 256 * KIB), ==,
		-EMSGSIZE);
	wire_buf_done(&body);
	fixture_close(&fix);
}

/* ---- death ------------------------------------------------------------------------------------ */

static void test_death_with_pending(void)
{
	struct peer_counter count = PEER_COUNTER_INIT;
	g_autofree struct asked *asked = g_new0(struct asked, MANY);
	struct fixture fix;

	fixture_start(&fix);
	for (unsigned int i = 0; i < MANY; i++)
		g_assert_cmpint(ask(fix.conn, &asked[i], &count, i), ==, 0);
	sftp_conn_kill(fix.conn, "first");
	sftp_conn_kill(fix.conn, "second");
	peer_await(&fix.died, 1);
	g_assert_cmpstr(fix.why, ==, "first");
	g_assert_cmpuint(peer_counted(&count), ==, MANY);
	for (unsigned int i = 0; i < MANY; i++) {
		g_assert_cmpuint(asked[i].times, ==, 1);
		g_assert_cmpint(asked[i].error, ==, -ENOTCONN);
	}
	fixture_close(&fix);
	g_assert_cmpuint(peer_counted(&fix.died), ==, 1);
}

static void on_done_unref(struct sftp_request *request, int error, uint8_t type,
                          struct wire_reader *body)
{
	struct asked *asked = util_container_of(request, struct asked, request);

	sftp_conn_unref((struct sftp_conn *)request->sink);
	peer_count(asked->count);
}

/* The last reference goes on the reader thread itself. */
static void test_unref_by_reader(void)
{
	struct peer_counter count = PEER_COUNTER_INIT;
	struct asked asked = {.count = &count};
	struct peer_message message;
	struct wire_buf body;
	struct fixture fix;

	fixture_start(&fix);
	wire_buf_init(&body);
	asked.request.done = on_done_unref;
	asked.request.sink = fix.conn;
	g_assert_cmpint(sftp_conn_submit(fix.conn, &asked.request, SFTP_READ, &body, NULL, 0), ==,
	                0);
	g_assert_true(peer_receive(fix.fd, &message));
	g_assert_true(peer_send_status(fix.fd, message.id, 0, ""));
	peer_message_clear(&message);
	peer_await(&count, 1);
	peer_await(&fix.died, 1);
	/* The end of the stream tells that it was freed. */
	g_assert_false(peer_receive(fix.fd, &message));
	fix.conn = NULL;
	fixture_close(&fix);
}

/* ---- back-pressure ---------------------------------------------------------------------------- */

#define PIECE (64 * KIB)

struct flood {
	struct sftp_conn *conn;
	struct sftp_cancel *cancel;
	struct peer_counter submitted, answered;
	unsigned int count; /* of messages to be submitted */
	int error;          /* that ended it */
	struct asked *asked;
};

static void *flood_main(void *arg)
{
	struct flood *flood = arg;
	g_autofree uint8_t *payload = g_malloc0(PIECE);

	sftp_cancel_bind(flood->cancel);
	for (unsigned int i = 0; i < flood->count && !flood->error; i++) {
		struct wire_buf body;

		flood->asked[i].request.done = on_done;
		flood->asked[i].count = &flood->answered;
		wire_buf_init(&body);
		wire_put_u32(&body, i);
		flood->error = sftp_conn_submit(flood->conn, &flood->asked[i].request, SFTP_WRITE,
		                                &body, payload, PIECE);
		wire_buf_done(&body);
		if (!flood->error)
			peer_count(&flood->submitted);
	}
	sftp_cancel_bind(NULL);
	return NULL;
}

static void flood_start(struct flood *flood, struct sftp_conn *conn, unsigned int count,
                        pthread_t *thread)
{
	*flood = (struct flood){.conn = conn,
	                        .submitted = PEER_COUNTER_INIT,
	                        .answered = PEER_COUNTER_INIT,
	                        .count = count,
	                        .cancel = sftp_cancel_new(),
	                        .asked = g_new0(struct asked, count)};
	pthread_create(thread, NULL, flood_main, flood);
}

static void flood_done(struct flood *flood)
{
	sftp_cancel_free(flood->cancel);
	g_free(flood->asked);
}

/* Everything arrives, in order, although the peer reads late. */
static void test_backpressure_drains(void)
{
	struct flood flood;
	struct fixture fix;
	pthread_t thread;

	fixture_start(&fix);
	flood_start(&flood, fix.conn, 300, &thread);
	peer_await(&flood.submitted, (unsigned int)(SFTP_CONN_QUEUE_MAX / PIECE));
	for (unsigned int i = 0; i < 300; i++) {
		struct peer_message message;

		g_assert_true(peer_receive(fix.fd, &message));
		g_assert_cmpuint(wire_get_u32(&message.body), ==, i);
		g_assert_cmpuint(wire_reader_left(&message.body), ==, PIECE);
		g_assert_true(peer_send_status(fix.fd, message.id, 0, ""));
		peer_message_clear(&message);
	}
	pthread_join(thread, NULL);
	g_assert_cmpint(flood.error, ==, 0);
	peer_await(&flood.answered, 300);
	fixture_close(&fix);
	flood_done(&flood);
}

/* Nobody reads: the submitter waits, with bounded memory, until the connection dies. */
static void test_backpressure_death(void)
{
	struct flood flood;
	struct fixture fix;
	pthread_t thread;

	fixture_start(&fix);
	flood_start(&flood, fix.conn, 2000, &thread);
	peer_await(&flood.submitted, (unsigned int)(SFTP_CONN_QUEUE_MAX / PIECE));
	sftp_conn_kill(fix.conn, "enough");
	pthread_join(thread, NULL);
	g_assert_cmpint(flood.error, ==, -ENOTCONN);
	g_assert_cmpuint(peer_counted(&flood.submitted), <, 100);
	peer_await(&flood.answered, peer_counted(&flood.submitted));
	fixture_close(&fix);
	flood_done(&flood);
}

static void test_backpressure_cancel(void)
{
	struct peer_counter count = PEER_COUNTER_INIT;
	struct asked urgent = {.request = {.urgent = true}};
	struct flood flood;
	struct fixture fix;
	pthread_t thread;

	fixture_start(&fix);
	flood_start(&flood, fix.conn, 2000, &thread);
	peer_await(&flood.submitted, (unsigned int)(SFTP_CONN_QUEUE_MAX / PIECE));
	sftp_cancel_raise(flood.cancel);
	pthread_join(thread, NULL);
	g_assert_cmpint(flood.error, ==, -EINTR);
	/* Full, but small things that must not wait do not. */
	g_assert_cmpint(ask(fix.conn, &urgent, &count, 1), ==, 0);
	sftp_conn_kill(fix.conn, "enough");
	peer_await(&flood.answered, peer_counted(&flood.submitted));
	peer_await(&count, 1);
	fixture_close(&fix);
	flood_done(&flood);
}

/* ---- many threads ----------------------------------------------------------------------------- */

#define THREADS 16
#define ROUNDS  200

static void *echo_main(void *arg)
{
	struct fixture *fix = arg;
	struct peer_message message;

	while (peer_receive(fix->fd, &message)) {
		peer_send_status(fix->fd, message.id, wire_get_u32(&message.body), "");
		peer_message_clear(&message);
	}
	return NULL;
}

static void *storm_main(void *arg)
{
	struct fixture *fix = arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct peer_counter count = PEER_COUNTER_INIT;
		struct asked asked = {0};

		g_assert_cmpint(ask(fix->conn, &asked, &count, i), ==, 0);
		peer_await(&count, 1);
		g_assert_cmpint(asked.error, ==, 0);
		g_assert_cmpuint(asked.first, ==, i);
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t echo, threads[THREADS];
	struct fixture fix;

	fixture_start(&fix);
	pthread_create(&echo, NULL, echo_main, &fix);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, storm_main, &fix);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	sftp_conn_kill(fix.conn, "done");
	pthread_join(echo, NULL);
	fixture_close(&fix);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/conn/handshake/failures", test_handshake_failures);
	g_test_add_func("/conn/handshake/banner", test_handshake_banner);
	g_test_add_func("/conn/handshake/extensions", test_handshake_extensions);
	g_test_add_func("/conn/handshake/limits", test_limits);
	g_test_add_func("/conn/handshake/limits-refused", test_limits_refused);
	g_test_add_func("/conn/handshake/killed", test_handshake_killed);
	g_test_add_func("/conn/out-of-order", test_out_of_order);
	g_test_add_func("/conn/stats", test_stats);
	g_test_add_func("/conn/sink", test_sink);
	g_test_add_func("/conn/abandon", test_abandon);
	g_test_add_func("/conn/hostile", test_hostile);
	g_test_add_func("/conn/too-big", test_too_big);
	g_test_add_func("/conn/death/pending", test_death_with_pending);
	g_test_add_func("/conn/death/unref-by-reader", test_unref_by_reader);
	g_test_add_func("/conn/backpressure/drains", test_backpressure_drains);
	g_test_add_func("/conn/backpressure/death", test_backpressure_death);
	g_test_add_func("/conn/backpressure/cancel", test_backpressure_cancel);
	g_test_add_func("/conn/threads", test_threads);
	return g_test_run();
}
