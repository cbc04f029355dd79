/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections to one server: which one serves what, opening more, reconnecting.
 *
 * A file that is open stays on its connection. Everything else goes to the least busy one; when all
 * are busy and fewer than max_conns are open, another is opened in the background: nobody waits for a
 * login. When a connection dies and `reconnect` is on, the next request opens a new one (waiting for
 * it, with nothing locked); while the server stays away, attempts are spaced by a back-off from 0.25
 * to 8 seconds, and requests in between fail at once with -ENOTCONN.
 *
 * Thread-safe. All opening is done by a thread of the pool, one connection at a time, so that a caller
 * that waits can be cancelled.
 */
#ifndef SFTP_POOL_H
#define SFTP_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "conn.h"

struct sftp_pool;

struct sftp_pool_events {
	/*
	 * The first connection, or after all were dead a new one (`again`), is ready for requests.
	 * Called on the pool's thread, before any other request uses it; may use the connection itself
	 * (identity look-ups). An errno (with *ret_why) makes the attempt a failed one.
	 */
	int (*connected)(struct sftp_conn *conn, bool again, void *data, char **ret_why);
	/*
	 * The last living connection died by itself; not after sftp_pool_shutdown(). `why` is borrowed.
	 * Called on a thread of the connection; must not wait for the network.
	 */
	void (*lost)(const char *why, void *data);
	void *data;
};

struct sftp_pool_settings {
	unsigned int max_conns; /* >= 1 */
	bool reconnect;
	bool trace; /* see sftp_conn_new() */
};

/* Borrows `connector` for the pool's life. No connection is opened yet. */
struct sftp_pool *sftp_pool_new(struct connector *connector,
                                const struct sftp_pool_settings *settings,
                                const struct sftp_pool_events *events);
/*
 * Kills all connections, waits until each has ended its requests, and frees; an attempt to connect
 * that connector_connect() is busy with is waited for, too. No other call may be running, and no
 * connection may be noted about or used afterwards. Accepts NULL.
 */
void sftp_pool_free(struct sftp_pool *pool);

/*
 * A living connection, referenced (the caller unrefs it). Opens the first one if there is none yet.
 * Returns 0; -ENOTCONN the server is gone and `reconnect` is off or the back-off says not yet, or
 * the attempt failed; -EINTR the calling thread's sftp_cancel was raised. *ret_why (may be NULL) gets
 * a sentence on failure, for the caller to free.
 */
int sftp_pool_get(struct sftp_pool *pool, struct sftp_conn **ret_conn, char **ret_why);

/* Counts an open file or folder on a connection, so that the choice can avoid it: +1, -1. */
void sftp_pool_note_handle(struct sftp_pool *pool, struct sftp_conn *conn, int delta);

/* Ends all waiting and all connections; later requests get -ENOTCONN. For the program's end. */
void sftp_pool_shutdown(struct sftp_pool *pool);

/* True while a connection lives. */
bool sftp_pool_is_connected(struct sftp_pool *pool);

/* Sums of all connections so far, and how many there were. */
void sftp_pool_get_stats(struct sftp_pool *pool, struct sftp_conn_stats *ret_stats,
                         unsigned int *ret_connects);

#endif
