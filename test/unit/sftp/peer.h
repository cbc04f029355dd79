/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other end for tests of sftp/: a connector over socket pairs, whose servers are a function of the
 * test's (a scripted peer) or a real sftp-server.
 *
 * Takes the place of transport's connector: a test linked with this has no other.
 */
#ifndef TEST_PEER_H
#define TEST_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "message.h"
#include "transport.h"
#include "wire.h"

/* ---- connectors ------------------------------------------------------------------------------- */

/* A scripted server: talks on `fd`, which it does not close. Runs on a thread of its own. */
typedef void (*peer_fn)(int fd, void *data);

struct connector *peer_connector_new(peer_fn serve, void *data);
/* Each stream is an sftp-server process of its own, its home `folder`. */
struct connector *peer_connector_new_server(const char *folder);
/* How often connector_connect() succeeded. */
unsigned int peer_connector_count(struct connector *connector);
/* How often it was called. */
unsigned int peer_connector_attempts(struct connector *connector);
/* From now on connector_connect() fails with -ECONNREFUSED, or not any more. */
void peer_connector_refuse(struct connector *connector, bool refuse);
/* Cuts all streams, as if the server had died. */
void peer_connector_cut(struct connector *connector);

/* NULL where there is none: the test is skipped, and says so. */
const char *peer_server_path(void);

/* A transport on one end of a socket pair; *ret_fd is the other. */
struct transport *peer_transport_new(int *ret_fd);

/* ---- the scripted peer's words ---------------------------------------------------------------- */

/* A request as it came. */
struct peer_message {
	uint8_t type;
	uint32_t id;
	GBytes *bytes;           /* after the id */
	struct wire_reader body; /* of bytes */
};

/* False at the end of the stream. The message is cleared by peer_message_clear(). */
bool peer_receive(int fd, struct peer_message *message);
void peer_message_clear(struct peer_message *message);
/* The next string of the body; the caller frees it. */
char *peer_get_string(struct peer_message *message);

/* Bytes as they are. False: the stream is gone. */
bool peer_send_raw(int fd, const void *bytes, size_t size);
bool peer_send(int fd, uint8_t type, uint32_t id, const struct wire_buf *body);
/* VERSION, with extensions as a list of names and versions that NULL ends (or NULL: none). */
bool peer_send_version(int fd, uint32_t version, const char *const *extensions);
/* Takes INIT, sends VERSION. */
bool peer_greet(int fd, const char *const *extensions);
bool peer_send_status(int fd, uint32_t id, uint32_t status, const char *text);
bool peer_send_handle(int fd, uint32_t id, const char *handle);
bool peer_send_data(int fd, uint32_t id, const void *bytes, size_t size);
bool peer_send_attrs(int fd, uint32_t id, const struct sftp_attrs *attrs);

/* ---- waiting ---------------------------------------------------------------------------------- */

/* A number that other threads count up, and a test waits for. */
struct peer_counter {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int value; /* protected by lock */
};

#define PEER_COUNTER_INIT                                                              \
	{                                                                              \
		.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
	}

void peer_count(struct peer_counter *counter);
void peer_await(struct peer_counter *counter, unsigned int value);
unsigned int peer_counted(struct peer_counter *counter);

#endif
