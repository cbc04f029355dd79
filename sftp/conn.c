// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One SFTP connection: its life and death. See conn.h. Sending is sender.c's, receiving receiver.c's,
 * the first words handshake.c's; what a message means is known to those who submit it.
 *
 * Death: `dead` is set once, under the lock, with the reason; the stream is shut, which ends the reader;
 * and the reader alone ends the pending requests and tells of the death. Therefore done() is only ever
 * called on the reader thread.
 *
 * The race that shaped it: the last reference may go inside done() or died(), on the reader thread, which
 * cannot join itself. It then frees the connection as its last act (`orphaned`).
 *
 * Lock: one a connection, innermost but for the log's.
 */
#include "conn_private.h"

#include <errno.h>
#include <stdarg.h>

#include "lock.h"
#include "thread.h"

__thread struct sftp_conn *conn_reader_of;

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
	if (conn_reader_of == conn) {
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

void conn_die_by_stream(struct sftp_conn *conn, const char *verb, int error)
{
	g_autofree char *why = NULL;

	if (error == -EPIPE || error == -ECONNRESET)
		why = g_strdup("remote host has disconnected");
	else
		why = g_strdup_printf("%s: %s", verb, g_strerror(-error));
	die(conn, why, true);
}

int conn_die_by_server(struct sftp_conn *conn, const char *format, ...)
{
	g_autofree char *why = NULL;
	va_list args;

	va_start(args, format);
	why = g_strdup_vprintf(format, args);
	va_end(args);
	die(conn, why, false);
	return -EPROTO;
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

	conn_reader_of = conn;
	do {
		error = conn_receive(conn);
	} while (!error);
	conn_die_by_stream(conn, "read", error);
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
	int error = thread_start(&conn->writer, conn_writer_main, conn);

	if (error)
		return error;
	error = thread_start(&conn->reader, reader_main, conn);
	if (error) {
		sftp_conn_kill(conn, "no thread");
		pthread_join(conn->writer, NULL);
		return error;
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
