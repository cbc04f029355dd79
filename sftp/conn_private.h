/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files behind conn.h share: conn.c (life and death), sender.c, receiver.c.
 */
#ifndef SFTP_CONN_PRIVATE_H
#define SFTP_CONN_PRIVATE_H

#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>

#include "conn.h"
#include "handshake.h"
#include "input.h"
#include "outqueue.h"

/* Length, type, id: what every message begins with. */
#define CONN_HEADER_SIZE 9

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

/* The connection whose reader thread this is; NULL on other threads. */
extern __thread struct sftp_conn *conn_reader_of;

/* The stream ended or broke, as seen by a read or write that returned `error`. */
void conn_die_by_stream(struct sftp_conn *conn, const char *verb, int error);
/* The server broke the protocol: `format` tells how. Returns -EPROTO. */
int conn_die_by_server(struct sftp_conn *conn, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The writer thread: sends the queue until the connection is dead. */
void *conn_writer_main(void *arg);

/*
 * Takes one message from the stream, on the reader thread, and ends its request. Returns 0, or -errno
 * when the connection has to end; after -EPROTO it knows the reason.
 */
int conn_receive(struct sftp_conn *conn);

#endif
