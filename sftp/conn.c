// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One SFTP connection: ids, sending, receiving, death. See conn.h. The handshake is handshake.c's;
 * what a message means is known to those who submit it.
 *
 * Sending. Whoever finds the stream idle (nobody writing, nothing queued) writes its message itself,
 * without the lock: `writing` says that the stream is taken. Everybody else appends to the queue. What
 * the stream did not take goes back to the front of the queue, and the writer thread sends the queue.
 * So bytes leave in the order in which ids were given, and nobody holds the lock while writing.
 *
 * Receiving. The reader thread parses messages out of the input buffer. The payload of a DATA reply
 * goes straight to the request's sink.
 *
 * Death. `dead` is set once, under the lock, with the reason; the stream is shut, which ends the reader;
 * and the reader alone ends the pending requests and tells of the death. Therefore done() is only ever
 * called on the reader thread.
 *
 * The race that shaped the sink: a caller that gives up wants its memory back at once, while the reader
 * may be storing into it, and the rest of the payload may never come. The reader pins the request only
 * while it moves bytes that have already arrived; sftp_conn_abandon() takes the sink away and waits
 * for the pin to go. A payload without sink is read and dropped.
 *
 * Lock: one a connection, innermost but for the log's.
 */
#include "conn.h"

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include "cancel.h"
#include "handshake.h"
#include "input.h"
#include "lock.h"
#include "log.h"
#include "outqueue.h"
#include "util.h"

/* Length, type, id: what every message begins with. */
#define HEADER_SIZE 9
/* ... and the payload's length, in a DATA reply. */
#define DATA_HEADER_SIZE (HEADER_SIZE + 4)

/* Body and payload of a message that we send. */
#define BODY_MAX (256 * KIB)

/* A payload with at least so much to come is read directly into its sink. */
#define DIRECT_MIN (16 * KIB)

/* Chunks the writer hands over at once. */
#define WRITE_IOVS 64

struct sftp_conn {
	struct transport *transport;    /* set once */
	struct sftp_conn_events events; /* set once */
	bool trace;                     /* set once */
	atomic_int refs;

	struct handshake server; /* set once, before the threads start */
	bool started;            /* set once: the threads run */
	pthread_t reader, writer;

	struct input input; /* the handshake's, then the reader thread's */
	bool orphaned;      /* reader thread only: the last reference went on it, it frees */

	pthread_mutex_t lock;
	atomic_bool dead;      /* written under lock */
	char *why;             /* protected by lock; set with dead */
	bool by_stream;        /* protected by lock; set with dead: the transport may know more */
	GHashTable *pending;   /* id -> struct sftp_request; protected by lock */
	uint32_t next_id;      /* protected by lock */
	struct outqueue queue; /* protected by lock */
	bool writing;          /* somebody uses the stream's sending side; protected by lock */
	pthread_cond_t work;   /* the writer's: the queue can be sent, or dead */
	pthread_cond_t room;   /* the queue has drained, or dead */
	struct sftp_request *pinned;  /* the reader is filling its sink; protected by lock */
	pthread_cond_t unpinned;      /* pinned has become NULL */
	struct sftp_conn_stats stats; /* protected by lock */
};

/* The connection whose reader thread this is. */
static __thread struct sftp_conn *reader_of;

/* ---- life ------------------------------------------------------------------------------------- */

struct sftp_conn *sftp_conn_new(struct transport *transport, const struct sftp_conn_events *events,
                                bool trace)
{
	struct sftp_conn *conn = g_new0(struct sftp_conn, 1);

	conn->transport = transport;
	conn->events = *events;
	conn->trace = trace;
	conn->refs = 1;
	conn->next_id = 1;
	conn->pending = g_hash_table_new(NULL, NULL);
	input_init(&conn->input);
	pthread_mutex_init(&conn->lock, NULL);
	lock_cond_init(&conn->work);
	lock_cond_init(&conn->room);
	lock_cond_init(&conn->unpinned);
	return conn;
}

struct sftp_conn *sftp_conn_ref(struct sftp_conn *conn)
{
	atomic_fetch_add(&conn->refs, 1);
	return conn;
}

static void conn_free(struct sftp_conn *conn)
{
	transport_free(conn->transport);
	input_done(&conn->input);
	outqueue_done(&conn->queue);
	g_hash_table_unref(conn->pending);
	pthread_cond_destroy(&conn->unpinned);
	pthread_cond_destroy(&conn->room);
	pthread_cond_destroy(&conn->work);
	pthread_mutex_destroy(&conn->lock);
	g_free(conn->why);
	g_free(conn);
}

void sftp_conn_unref(struct sftp_conn *conn)
{
	if (!conn || atomic_fetch_sub(&conn->refs, 1) != 1)
		return;
	sftp_conn_kill(conn, "connection closed");
	if (reader_of == conn) {
		conn->orphaned = true;
		return;
	}
	if (conn->started) {
		pthread_join(conn->reader, NULL);
		pthread_join(conn->writer, NULL);
	}
	conn_free(conn);
}

static void die(struct sftp_conn *conn, const char *why, bool by_stream)
{
	pthread_mutex_lock(&conn->lock);
	if (!conn->dead) {
		conn->why = g_strdup(why);
		conn->by_stream = by_stream;
		conn->dead = true;
	}
	pthread_cond_broadcast(&conn->work);
	pthread_cond_broadcast(&conn->room);
	pthread_mutex_unlock(&conn->lock);
	transport_shutdown(conn->transport);
}

void sftp_conn_kill(struct sftp_conn *conn, const char *why)
{
	die(conn, why, false);
}

bool sftp_conn_is_dead(struct sftp_conn *conn)
{
	return conn->dead;
}

/* The stream ended or broke, as seen by a read or write that returned `error`. */
static void die_by_stream(struct sftp_conn *conn, const char *verb, int error)
{
	g_autofree char *why = NULL;

	if (error == -EPIPE || error == -ECONNRESET)
		why = g_strdup("remote host has disconnected");
	else
		why = g_strdup_printf("%s: %s", verb, g_strerror(-error));
	die(conn, why, true);
}

/* The server broke the protocol. Returns -EPROTO. */
static int G_GNUC_PRINTF(2, 3) die_by_server(struct sftp_conn *conn, const char *format, ...)
{
	g_autofree char *why = NULL;
	va_list args;

	va_start(args, format);
	why = g_strdup_vprintf(format, args);
	va_end(args);
	die(conn, why, false);
	return -EPROTO;
}

/* ---- sending ---------------------------------------------------------------------------------- */

/* Ids of 32 bits come round; those still in use are skipped. */
static void register_locked(struct sftp_conn *conn, struct sftp_request *request)
{
	do {
		request->id = conn->next_id++;
	} while (g_hash_table_contains(conn->pending, GUINT_TO_POINTER(request->id)));
	request->sent_ns = clock_now_ns();
	request->sink_filled = 0;
	g_hash_table_insert(conn->pending, GUINT_TO_POINTER(request->id), request);
}

static void put_be32(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)(value >> 24);
	bytes[1] = (uint8_t)(value >> 16);
	bytes[2] = (uint8_t)(value >> 8);
	bytes[3] = (uint8_t)value;
}

static bool must_wait_for_room(struct sftp_conn *conn, const struct sftp_request *request)
{
	return conn->queue.size > SFTP_CONN_QUEUE_MAX && !conn->dead && !request->urgent &&
	       !reader_of;
}

/* Called and returns with the lock held; lets go of it meanwhile. 0 or -EINTR. */
static int wait_for_room_locked(struct sftp_conn *conn, const struct sftp_request *request)
{
	int error = 0;

	pthread_mutex_unlock(&conn->lock);
	cancel_begin_wait(&conn->lock, &conn->room);
	pthread_mutex_lock(&conn->lock);
	while (must_wait_for_room(conn, request) && !cancel_is_raised())
		pthread_cond_wait(&conn->room, &conn->lock);
	if (must_wait_for_room(conn, request))
		error = -EINTR;
	pthread_mutex_unlock(&conn->lock);
	cancel_end_wait();
	pthread_mutex_lock(&conn->lock);
	return error;
}

/* Accounts for a write of the message in `iov` that returned `n`; the rest goes to the queue. */
static void end_write_locked(struct sftp_conn *conn, const struct iovec *iov, int count,
                             size_t size, ssize_t n)
{
	size_t written = n > 0 ? (size_t)n : 0;

	if (written < size)
		outqueue_prepend(&conn->queue, iov, count, written);
	conn->writing = false;
	if (!outqueue_is_empty(&conn->queue))
		pthread_cond_signal(&conn->work);
}

/* Sends, or queues, a message whose turn it is. Called with the lock held, returns without. */
static void send_and_unlock(struct sftp_conn *conn, const struct iovec *iov, int count, size_t size)
{
	ssize_t n;

	if (conn->writing || !outqueue_is_empty(&conn->queue)) {
		outqueue_append(&conn->queue, iov, count);
		pthread_mutex_unlock(&conn->lock);
		return;
	}
	conn->writing = true;
	pthread_mutex_unlock(&conn->lock);
	n = transport_write(conn->transport, iov, count);
	pthread_mutex_lock(&conn->lock);
	end_write_locked(conn, iov, count, size, n);
	pthread_mutex_unlock(&conn->lock);
	if (n < 0 && n != -EAGAIN)
		die_by_stream(conn, "write", (int)n);
}

/*
 * From registering on, done() may be called at any moment and the request be gone; and the connection
 * stays only because the caller holds a reference.
 */
int sftp_conn_submit(struct sftp_conn *conn, struct sftp_request *request, uint8_t type,
                     const struct wire_buf *body, const void *payload, size_t payload_size)
{
	uint8_t header[HEADER_SIZE];
	struct iovec iov[3] = {
		{.iov_base = header, .iov_len = sizeof(header)},
		{.iov_base = body->data, .iov_len = body->size},
		{.iov_base = (void *)payload, .iov_len = payload_size},
	};
	size_t size = HEADER_SIZE + body->size + payload_size;
	uint32_t id;
	int error = 0;

	if (body->size > BODY_MAX || payload_size > BODY_MAX - body->size)
		return -EMSGSIZE;
	pthread_mutex_lock(&conn->lock);
	if (must_wait_for_room(conn, request))
		error = wait_for_room_locked(conn, request);
	if (conn->dead)
		error = -ENOTCONN;
	if (error) {
		pthread_mutex_unlock(&conn->lock);
		return error;
	}
	register_locked(conn, request);
	id = request->id;
	conn->stats.sent++;
	conn->stats.sent_bytes += size;
	if (conn->trace)
		log_debug("[%05u] %s", id, sftp_type_name(type));
	put_be32(header, (uint32_t)(size - 4));
	header[4] = type;
	put_be32(header + 5, id);
	send_and_unlock(conn, iov, payload_size > 0 ? 3 : 2, size);
	return 0;
}

/* Hands the front of the queue to the stream, or waits until that may work. 0 or -errno. */
static int send_queue_locked(struct sftp_conn *conn)
{
	struct iovec iov[WRITE_IOVS];
	int count = outqueue_peek(&conn->queue, iov, WRITE_IOVS);
	ssize_t n;

	conn->writing = true;
	pthread_mutex_unlock(&conn->lock);
	n = transport_write(conn->transport, iov, count);
	if (n == -EAGAIN)
		n = transport_wait_writable(conn->transport);
	pthread_mutex_lock(&conn->lock);
	conn->writing = false;
	if (n < 0)
		return (int)n;
	outqueue_consume(&conn->queue, (size_t)n);
	/* Half of it free: waiters are woken for a batch, not one by one. */
	if (conn->queue.size <= SFTP_CONN_QUEUE_MAX / 2)
		pthread_cond_broadcast(&conn->room);
	return 0;
}

static void *writer_main(void *arg)
{
	struct sftp_conn *conn = arg;
	int error = 0;

	pthread_mutex_lock(&conn->lock);
	while (!conn->dead && !error) {
		if (conn->writing || outqueue_is_empty(&conn->queue))
			pthread_cond_wait(&conn->work, &conn->lock);
		else
			error = send_queue_locked(conn);
	}
	pthread_mutex_unlock(&conn->lock);
	if (error)
		die_by_stream(conn, "write", error);
	return NULL;
}

/* ---- receiving -------------------------------------------------------------------------------- */

static uint32_t get_be32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

static void count_reply_locked(struct sftp_conn *conn, size_t size, uint64_t rtt)
{
	struct sftp_conn_stats *stats = &conn->stats;

	if (stats->received == 0 || rtt < stats->rtt_min_ns)
		stats->rtt_min_ns = rtt;
	if (rtt > stats->rtt_max_ns)
		stats->rtt_max_ns = rtt;
	stats->rtt_sum_ns += rtt;
	stats->received++;
	stats->received_bytes += size;
}

/* Takes the request `id`, answered by `size` bytes, out of the table; NULL when there is none. */
static struct sftp_request *take_request(struct sftp_conn *conn, uint32_t id, uint8_t type,
                                         size_t size)
{
	struct sftp_request *request;
	uint64_t rtt = 0;
	gpointer value;

	pthread_mutex_lock(&conn->lock);
	if (!g_hash_table_steal_extended(conn->pending, GUINT_TO_POINTER(id), NULL, &value))
		value = NULL;
	request = value;
	if (request) {
		rtt = clock_now_ns() - request->sent_ns;
		count_reply_locked(conn, size, rtt);
	}
	pthread_mutex_unlock(&conn->lock);
	if (conn->trace && request)
		log_debug("  [%05u] %14s %8zubytes (%dms)", id, sftp_type_name(type), size,
		          (int)(rtt / CLOCK_NS_PER_MS));
	return request;
}

/* The request `id` if a DATA payload is to go to its sink, else NULL. */
static struct sftp_request *peek_sink_request(struct sftp_conn *conn, uint32_t id)
{
	struct sftp_request *request;

	LOCK_SCOPE(&conn->lock);

	request = g_hash_table_lookup(conn->pending, GUINT_TO_POINTER(id));
	return request && request->sink ? request : NULL;
}

/* The sink, which stays until unpin(); NULL when its owner has given up. */
static uint8_t *pin(struct sftp_conn *conn, struct sftp_request *request)
{
	LOCK_SCOPE(&conn->lock);

	if (request->sink)
		conn->pinned = request;
	return request->sink;
}

static void unpin(struct sftp_conn *conn)
{
	LOCK_SCOPE(&conn->lock);

	conn->pinned = NULL;
	pthread_cond_broadcast(&conn->unpinned);
}

void sftp_conn_abandon(struct sftp_conn *conn, struct sftp_request *request)
{
	LOCK_SCOPE(&conn->lock);

	request->sink = NULL;
	while (conn->pinned == request)
		pthread_cond_wait(&conn->unpinned, &conn->lock);
}

/* Moves up to `size` bytes of payload that the input buffer holds. */
static size_t copy_to_sink(struct sftp_conn *conn, struct sftp_request *request, size_t filled,
                           size_t size)
{
	uint8_t *sink = pin(conn, request);

	size = MIN(size, input_left(&conn->input));
	if (sink) {
		memcpy(sink + filled, input_peek(&conn->input), size);
		unpin(conn);
	}
	input_consume(&conn->input, size);
	return size;
}

/* True when a read would not wait, as far as can be known. */
static bool stream_has_bytes(struct sftp_conn *conn)
{
	struct pollfd pfd = {.fd = transport_splice_fd(conn->transport), .events = POLLIN};

	return pfd.fd >= 0 && poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLIN);
}

/*
 * Gets more of a payload, `size` bytes at most: straight into the sink where that does not wait,
 * else into the (empty) input buffer. Returns the bytes stored in the sink, or -errno.
 */
static ssize_t read_to_sink(struct sftp_conn *conn, struct sftp_request *request, size_t filled,
                            size_t size)
{
	uint8_t *sink = NULL;
	ssize_t n;

	if (size >= DIRECT_MIN && stream_has_bytes(conn))
		sink = pin(conn, request);
	if (!sink)
		return input_more(&conn->input, conn->transport);
	n = transport_read(conn->transport, sink + filled, size);
	unpin(conn);
	return n == 0 ? -EPIPE : n;
}

static int read_payload(struct sftp_conn *conn, struct sftp_request *request, size_t size)
{
	size_t filled = 0;

	while (filled < size) {
		ssize_t n;

		if (input_left(&conn->input) > 0)
			n = (ssize_t)copy_to_sink(conn, request, filled, size - filled);
		else
			n = read_to_sink(conn, request, filled, size - filled);
		if (n < 0)
			return (int)n;
		filled += (size_t)n;
	}
	request->sink_filled = size;
	return 0;
}

static int skip_input(struct sftp_conn *conn, size_t size)
{
	int error = input_need(&conn->input, conn->transport, size);

	if (!error)
		input_consume(&conn->input, size);
	return error;
}

/* A DATA reply of `size` bytes (after the length field) for a request with a sink. */
static int receive_data(struct sftp_conn *conn, struct sftp_request *request, size_t size)
{
	uint32_t id = get_be32(input_peek(&conn->input) + 5);
	struct wire_reader empty;
	size_t payload;
	int error;

	if (size < DATA_HEADER_SIZE - 4)
		return die_by_server(conn, "bad reply len: %u", (uint32_t)size);
	error = input_need(&conn->input, conn->transport, DATA_HEADER_SIZE);
	if (error)
		return error;
	payload = get_be32(input_peek(&conn->input) + HEADER_SIZE);
	if (payload > size - (DATA_HEADER_SIZE - 4))
		return die_by_server(conn, "protocol error: DATA of %u bytes in less",
		                     (uint32_t)payload);
	if (payload > request->sink_size)
		return die_by_server(conn, "long read: %u", (uint32_t)payload);
	input_consume(&conn->input, DATA_HEADER_SIZE);
	error = read_payload(conn, request, payload);
	if (!error)
		error = skip_input(conn, size - (DATA_HEADER_SIZE - 4) - payload);
	if (error)
		return error;
	take_request(conn, id, SFTP_DATA, size + 4);
	wire_reader_init(&empty, NULL, 0);
	request->done(request, 0, SFTP_DATA, &empty);
	return 0;
}

/* Any other reply: it is borrowed from the input buffer while done() looks at it. */
static int receive_message(struct sftp_conn *conn, size_t size)
{
	int error = input_need(&conn->input, conn->transport, 4 + size);
	const uint8_t *message = input_peek(&conn->input);
	struct sftp_request *request;
	struct wire_reader body;

	if (error)
		return error;
	request = take_request(conn, get_be32(message + 5), message[4], size + 4);
	if (!request)
		return die_by_server(conn, "request %u not found", get_be32(message + 5));
	wire_reader_init(&body, message + HEADER_SIZE, size - (HEADER_SIZE - 4));
	request->done(request, 0, message[4], &body);
	input_consume(&conn->input, 4 + size);
	return 0;
}

/* Returns 0, or -errno when the connection has to end; after -EPROTO it knows the reason. */
static int receive(struct sftp_conn *conn)
{
	struct sftp_request *request = NULL;
	const uint8_t *header;
	uint32_t size;
	int error;

	error = input_need(&conn->input, conn->transport, 4);
	if (error)
		return error;
	size = get_be32(input_peek(&conn->input));
	if (size < HEADER_SIZE - 4 || size > INPUT_MESSAGE_MAX)
		return die_by_server(conn, "bad reply len: %u", size);
	error = input_need(&conn->input, conn->transport, HEADER_SIZE);
	if (error)
		return error;
	header = input_peek(&conn->input);
	if (header[4] == SFTP_DATA)
		request = peek_sink_request(conn, get_be32(header + 5));
	return request ? receive_data(conn, request, size) : receive_message(conn, size);
}

/* ---- death ------------------------------------------------------------------------------------ */

/* Dead: no request can join those that are ended here. */
static void end_requests(struct sftp_conn *conn)
{
	g_autoptr(GHashTable) pending = NULL;
	GHashTableIter iter;
	gpointer value;

	pthread_mutex_lock(&conn->lock);
	pending = conn->pending;
	conn->pending = g_hash_table_new(NULL, NULL);
	pthread_mutex_unlock(&conn->lock);
	g_hash_table_iter_init(&iter, pending);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct sftp_request *request = value;
		struct wire_reader empty;

		wire_reader_init(&empty, NULL, 0);
		request->done(request, -ENOTCONN, 0, &empty);
	}
}

/* The reason as recorded, and what the transport (ssh) has to say about it. */
static char *death_reason(struct sftp_conn *conn)
{
	g_autofree char *why = NULL;
	g_autofree char *known = NULL;
	bool by_stream;

	pthread_mutex_lock(&conn->lock);
	why = g_strdup(conn->why);
	by_stream = conn->by_stream;
	pthread_mutex_unlock(&conn->lock);
	if (by_stream)
		known = transport_why_ended(conn->transport);
	return known ? g_strdup_printf("%s: %s", why, known) : g_steal_pointer(&why);
}

static void *reader_main(void *arg)
{
	struct sftp_conn *conn = arg;
	g_autofree char *why = NULL;
	int error;

	reader_of = conn;
	do {
		error = receive(conn);
	} while (!error);
	die_by_stream(conn, "read", error);
	end_requests(conn);
	why = death_reason(conn);
	if (conn->events.died)
		conn->events.died(conn, why, conn->events.data);
	if (conn->orphaned) {
		pthread_join(conn->writer, NULL);
		pthread_detach(pthread_self());
		conn_free(conn);
	}
	return NULL;
}

/* ---- starting --------------------------------------------------------------------------------- */

static int start_threads(struct sftp_conn *conn)
{
	int error = pthread_create(&conn->writer, NULL, writer_main, conn);

	if (error)
		return -error;
	error = pthread_create(&conn->reader, NULL, reader_main, conn);
	if (error) {
		sftp_conn_kill(conn, "no thread");
		pthread_join(conn->writer, NULL);
		return -error;
	}
	conn->started = true;
	return 0;
}

int sftp_conn_start(struct sftp_conn *conn, char **ret_why)
{
	g_autofree char *why = NULL;
	int error = handshake_run(conn->transport, &conn->input, &conn->server, &why);

	if (error && conn->dead) {
		*ret_why = g_strdup("connecting was given up");
		return -ECANCELED;
	}
	if (error) {
		*ret_why = g_steal_pointer(&why);
		return error;
	}
	error = start_threads(conn);
	if (error)
		*ret_why = g_strdup_printf("cannot start a thread: %s", g_strerror(-error));
	return error;
}

/* ---- questions -------------------------------------------------------------------------------- */

uint32_t sftp_conn_extensions(const struct sftp_conn *conn)
{
	return conn->server.extensions;
}

uint32_t sftp_conn_version(const struct sftp_conn *conn)
{
	return conn->server.version;
}

size_t sftp_conn_max_read(const struct sftp_conn *conn)
{
	return conn->server.max_read;
}

size_t sftp_conn_max_write(const struct sftp_conn *conn)
{
	return conn->server.max_write;
}

unsigned int sftp_conn_pending(struct sftp_conn *conn)
{
	LOCK_SCOPE(&conn->lock);

	return g_hash_table_size(conn->pending);
}

void sftp_conn_get_stats(struct sftp_conn *conn, struct sftp_conn_stats *ret_stats)
{
	LOCK_SCOPE(&conn->lock);

	*ret_stats = conn->stats;
}
