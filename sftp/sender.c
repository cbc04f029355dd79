// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The sending side of a connection. See conn.h.
 *
 * Whoever finds the stream idle (nobody writing, nothing queued) writes its message itself, without the
 * lock: `writing` says that the stream is taken. Everybody else appends to the queue. What the stream
 * did not take goes back to the front of the queue, and the writer thread sends the queue. So bytes
 * leave in the order in which ids were given, and nobody holds the lock while writing.
 *
 * Reader threads never wait for room in the queue: a server that waits for us to read would wait for
 * ever.
 */
#include "conn_private.h"

#include <errno.h>

#include "cancel.h"
#include "clock.h"
#include "log.h"
#include "turns.h"
#include "util.h"

/* Body and payload of a message that we send. */
#define BODY_MAX (256 * KIB)

/* Chunks the writer hands over at once. */
#define WRITE_IOVS 64

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
	       !conn_reader_of;
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
		conn_die_by_stream(conn, "write", (int)n);
}

/*
 * From registering on, done() may be called at any moment and the request be gone; and the connection
 * stays only because the caller holds a reference.
 */
int sftp_conn_submit(struct sftp_conn *conn, struct sftp_request *request, uint8_t type,
                     const struct wire_buf *body, const void *payload, size_t payload_size)
{
	uint8_t header[CONN_HEADER_SIZE];
	struct iovec iov[3] = {
		{.iov_base = header, .iov_len = sizeof(header)},
		{.iov_base = body->data, .iov_len = body->size},
		{.iov_base = (void *)payload, .iov_len = payload_size},
	};
	size_t size = CONN_HEADER_SIZE + body->size + payload_size;
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
	sftp_turns_add();
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

void *conn_writer_main(void *arg)
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
		conn_die_by_stream(conn, "write", error);
	return NULL;
}
