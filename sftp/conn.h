/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One SFTP connection: handshake, request ids, the reader thread, the send queue, and its death.
 *
 * Any number of requests are in flight, answered in any order. Requests are sent in the order in
 * which they were submitted. The submitter writes to the stream itself as far as that does not wait
 * (no thread switch in the common case); what the stream does not take is queued for the connection's
 * writer thread. Nobody waits for the network under a lock.
 *
 * Lifetime: reference counted. The connection dies once: end of stream, a malformed reply,
 * sftp_conn_kill(). Then every pending request ends with -ENOTCONN, and later ones are refused.
 * Requests that a caller has submitted are completed exactly once, always by done().
 */
#ifndef SFTP_CONN_H
#define SFTP_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "message.h"
#include "transport.h"

struct sftp_conn;
struct sftp_request;

/*
 * Ends a request; called once, on the reader thread, with no lock held; must not wait for the
 * network, but may submit more (which never waits there). `error` is 0 when a reply came, else -ENOTCONN
 * (`type` and `body` are then 0 and empty). `body` is the reply after its id, borrowed; for a DATA reply
 * that went to the request's sink it is empty and request->sink_filled tells the length.
 */
typedef void (*sftp_done_fn)(struct sftp_request *request, int error, uint8_t type,
                             struct wire_reader *body);

/* Embedded in the caller's own struct, which lives until done() has been called. */
struct sftp_request {
	/* Set by the caller before submitting. */
	sftp_done_fn done;
	void *sink;       /* where a DATA payload is read to, or NULL: it is in the body */
	size_t sink_size; /* bytes; a longer payload kills the connection ("long read") */
	bool urgent;      /* exempt from back-pressure: small messages that must not wait */

	/* The connection's. */
	size_t sink_filled; /* bytes; valid in done() */
	uint32_t id;        /* protected by the connection's lock */
	uint64_t sent_ns;   /* set at submission */
};

/* Something to tell about a connection; called without locks, on the reader thread. */
struct sftp_conn_events {
	/*
	 * A connection that sftp_conn_start() had started has died; all its requests have ended. `why`
	 * is a sentence for the log, borrowed.
	 */
	void (*died)(struct sftp_conn *conn, const char *why, void *data);
	void *data;
};

/*
 * A connection on `transport`, which it takes over, with one reference. Nothing is sent yet. `trace`:
 * log_debug() every request and reply. Never NULL.
 */
struct sftp_conn *sftp_conn_new(struct transport *transport, const struct sftp_conn_events *events,
                                bool trace);

/*
 * Sends INIT, waits for VERSION (skipping up to 64 KiB that a login script printed before it), asks
 * for limits@openssh.com when offered, and starts the reader and writer threads. Once; before it has
 * succeeded nothing but sftp_conn_kill() (which ends it) and unref is allowed.
 * Returns 0, or a negative errno and *ret_why (never NULL then), which includes what
 * transport_why_ended() knows: -ECONNRESET the stream ended ("read: Connection reset by peer" or
 * what ssh said), -EPROTO not SFTP ("bad reply len: N", "protocol error"), -ECANCELED killed,
 * -EAGAIN no threads.
 */
int sftp_conn_start(struct sftp_conn *conn, char **ret_why);

struct sftp_conn *sftp_conn_ref(struct sftp_conn *conn);
/*
 * The last one kills the connection, joins its threads and frees; called on one of its own threads
 * it leaves that to another. Accepts NULL.
 */
void sftp_conn_unref(struct sftp_conn *conn);

/*
 * Sends a message: `type`, an id of our own, `body`, then `payload_size` bytes of `payload` (may be
 * NULL). Body and payload are no longer needed when it returns. Waits only when more than
 * SFTP_CONN_QUEUE_MAX bytes are queued already (back-pressure), until they have drained; never on a
 * reader thread and never with request->urgent.
 * Returns 0: request->done() will be (or has already been) called; or, and then it never will be:
 * -ENOTCONN the connection is dead, -EINTR the calling thread's sftp_cancel was raised while waiting,
 * -EMSGSIZE body and payload exceed 256 KiB.
 */
int sftp_conn_submit(struct sftp_conn *conn, struct sftp_request *request, uint8_t type,
                     const struct wire_buf *body, const void *payload, size_t payload_size);

/* Bytes that may wait for the stream before submitters wait, too. */
#define SFTP_CONN_QUEUE_MAX (4 * (size_t)1024 * 1024)

/*
 * The caller gives up on a request that may be in flight: its sink will not be touched after this
 * returns; done() is still called, when the reply comes or the connection dies. Does not wait for the
 * network, also when the reply is stuck in the middle of its payload. Harmless after done().
 */
void sftp_conn_abandon(struct sftp_conn *conn, struct sftp_request *request);

/* Kills the connection; `why` as for died(). Any thread. */
void sftp_conn_kill(struct sftp_conn *conn, const char *why);
bool sftp_conn_is_dead(struct sftp_conn *conn);

/* What the server offers: bits of enum sftp_extension. */
uint32_t sftp_conn_extensions(const struct sftp_conn *conn);
/* Protocol version of the VERSION reply. */
uint32_t sftp_conn_version(const struct sftp_conn *conn);
/*
 * Largest READ and WRITE payload, bytes: from limits@openssh.com, else 32 KiB (draft-02 section 3:
 * every server takes 34000 bytes a packet), never above 255 KiB.
 */
size_t sftp_conn_max_read(const struct sftp_conn *conn);
size_t sftp_conn_max_write(const struct sftp_conn *conn);
/* Requests in flight now, for choosing a connection. */
unsigned int sftp_conn_pending(struct sftp_conn *conn);

/* For -d at exit. */
struct sftp_conn_stats {
	uint64_t sent, sent_bytes, received, received_bytes; /* messages and bytes */
	uint64_t rtt_min_ns, rtt_max_ns, rtt_sum_ns;         /* of all answered requests */
};
void sftp_conn_get_stats(struct sftp_conn *conn, struct sftp_conn_stats *ret_stats);

#endif
