/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections to one server: which one serves what, opening more, reconnecting.
 *
 * Requests are of two classes. *Quick* ones are all verbs by path, listings, and files that are not known to be
 * large: somebody waits for each answer. *Bulk* are files being written, and lanes, over which a large file is
 * read: there bytes count, and requests stand in a queue. Quick requests never queue behind bulk data as
 * long as there is a connection for them: one, the *home*, carries no bulk, the others are the *lanes*. Lanes
 * without bulk serve quick requests as well, so that they are spread as far as possible.
 *
 * Which connection is the home is no property of it: when the home has to take bulk (an upload begins
 * while there is no other yet), the next one to come becomes the home; when the home dies, a living one does.
 *
 * A file that is open stays on its connection. When all that might serve are busy and fewer than max_conns
 * are open, another is opened in the background: nobody waits for a login but who asks for a lane. When all
 * are dead and `reconnect` is on, the next request opens a new one (waiting for it, with nothing locked).
 * Attempts for one place are spaced by a back-off from 0.25 to 8 seconds, and requests in between fail at once
 * with -ENOTCONN.
 *
 * Thread-safe. All opening is done by threads of the pool, several at once, so that a caller that waits can
 * be cancelled.
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
	 * Called on a thread of the pool, never twice at once, before any other request uses it; may use the
	 * connection itself (identity look-ups). An errno (with *ret_why) makes the attempt a failed one.
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
 * A living connection for something quick, referenced (the caller unrefs it). Opens the first one if there is
 * none yet. Returns 0; -ENOTCONN the server is gone and `reconnect` is off or the back-off says not yet, or
 * the attempt failed; -EINTR the calling thread's sftp_cancel was raised. *ret_why (may be NULL) gets
 * a sentence on failure, for the caller to free.
 */
int sftp_pool_get(struct sftp_pool *pool, struct sftp_conn **ret_conn, char **ret_why);

/*
 * The same for a file to be written: on the lane with the fewest requests in flight, then the fewest files.
 * On the home while there is no lane; does not wait for one.
 */
int sftp_pool_get_bulk(struct sftp_pool *pool, struct sftp_conn **ret_conn);

/* Number of lanes: all connections but the home, max_conns - 1; 1 when the home is all there is. */
unsigned int sftp_pool_lanes(const struct sftp_pool *pool);

/* So long an attempt to open a lane is waited for. */
#define SFTP_POOL_PATIENCE_NS (5 * CLOCK_NS_PER_SEC)

/*
 * The connection of lane `lane` (< sftp_pool_lanes()), opened if need be. Returns 0; -ENOTCONN it could not be opened
 * (then at once, until the back-off is over), took longer than SFTP_POOL_PATIENCE_NS so far (the
 * attempt goes on), or no connection lives at all; -EINTR as above.
 */
int sftp_pool_get_lane(struct sftp_pool *pool, unsigned int lane, struct sftp_conn **ret_conn);

/* Counts an open file or folder on a connection, so that the choice can avoid it: +1, -1; bulk or not. */
void sftp_pool_note_handle(struct sftp_pool *pool, struct sftp_conn *conn, bool bulk, int delta);

/* Ends all waiting and all connections; later requests get -ENOTCONN. For the program's end. */
void sftp_pool_shutdown(struct sftp_pool *pool);

/* True while a connection lives. */
bool sftp_pool_is_connected(struct sftp_pool *pool);

/* The least round trip of the living connections so far, in ns; 0: none is known. */
uint64_t sftp_pool_rtt_ns(struct sftp_pool *pool);

/* Sums of all connections so far, and how many there were. */
void sftp_pool_get_stats(struct sftp_pool *pool, struct sftp_conn_stats *ret_stats,
                         unsigned int *ret_connects);

#endif
