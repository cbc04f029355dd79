// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The receiving side of a connection, on its reader thread. See conn.h.
 *
 * Messages are parsed out of the input buffer and borrowed from it; the payload of a DATA reply goes
 * straight to the request's sink. Every length is checked before it is believed.
 *
 * The race that shaped it: a caller that gives up wants its memory back at once, while the reader may
 * be storing into it, and the rest of the payload may never come. The reader pins the request only
 * while it moves bytes that have already arrived; sftp_conn_abandon() takes the sink away and waits
 * for the pin to go. A payload without sink is read and dropped.
 */
#include "conn_private.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "lock.h"
#include "log.h"
#include "util.h"

/* The header and the payload's length: what a DATA reply begins with. */
#define DATA_HEADER_SIZE (CONN_HEADER_SIZE + 4)

/* A payload with at least so much to come is read directly into its sink. */
#define DIRECT_MIN (16 * KIB)

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
	uint32_t id = input_be32(input_peek(&conn->input) + 5);
	struct wire_reader empty;
	size_t payload;
	int error;

	if (size < DATA_HEADER_SIZE - 4)
		return conn_die_by_server(conn, "bad reply len: %u", (uint32_t)size);
	error = input_need(&conn->input, conn->transport, DATA_HEADER_SIZE);
	if (error)
		return error;
	payload = input_be32(input_peek(&conn->input) + CONN_HEADER_SIZE);
	if (payload > size - (DATA_HEADER_SIZE - 4))
		return conn_die_by_server(conn, "protocol error: DATA of %u bytes in less",
		                          (uint32_t)payload);
	if (payload > request->sink_size)
		return conn_die_by_server(conn, "long read: %u", (uint32_t)payload);
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
	request = take_request(conn, input_be32(message + 5), message[4], size + 4);
	if (!request)
		return conn_die_by_server(conn, "request %u not found", input_be32(message + 5));
	wire_reader_init(&body, message + CONN_HEADER_SIZE, size - (CONN_HEADER_SIZE - 4));
	request->done(request, 0, message[4], &body);
	input_consume(&conn->input, 4 + size);
	return 0;
}

int conn_receive(struct sftp_conn *conn)
{
	struct sftp_request *request = NULL;
	const uint8_t *header;
	uint32_t size;
	int error;

	error = input_need(&conn->input, conn->transport, 4);
	if (error)
		return error;
	size = input_be32(input_peek(&conn->input));
	if (size < CONN_HEADER_SIZE - 4 || size > INPUT_MESSAGE_MAX)
		return conn_die_by_server(conn, "bad reply len: %u", size);
	error = input_need(&conn->input, conn->transport, CONN_HEADER_SIZE);
	if (error)
		return error;
	header = input_peek(&conn->input);
	if (header[4] == SFTP_DATA)
		request = peek_sink_request(conn, input_be32(header + 5));
	return request ? receive_data(conn, request, size) : receive_message(conn, size);
}
