/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request and the thread that waits for its reply. Inside sftp/ only.
 *
 *	WIRE_AUTO body = {0};
 *	AUTO_CALL call = NULL;
 *
 *	wire_buf_init(&body); wire_put_cstring(&body, path);
 *	error = call_start(conn, SFTP_LSTAT, &body, &call);
 *	if (!error)
 *		error = call_reply(call, SFTP_OP_LSTAT, SFTP_ATTRS, &reply);
 *
 * Several may be started before the first is waited for: they share a round trip. A call is one
 * thread's; the connection must be referenced until it is ended.
 */
#ifndef SFTP_CALL_H
#define SFTP_CALL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "message.h"

struct call;

#define AUTO_CALL __attribute__((cleanup(call_end))) struct call *

/*
 * Sends the request. Returns 0 and *ret_call; or -ENOTCONN, -EINTR (cancelled; nothing was sent),
 * -ENAMETOOLONG (does not fit into a packet).
 */
int call_start(struct sftp_conn *conn, uint8_t type, const struct wire_buf *body,
               struct call **ret_call);

/* The same for a request whose body is a path. */
int call_start_path(struct sftp_conn *conn, uint8_t type, const char *path, struct call **ret_call);

/* The reply will be a handle: when nobody takes it (call_take_handle()), it is closed. */
void call_expect_handle(struct call *call);

/*
 * Waits for the reply, which must be of type `expected`; `operation` tells what a status means.
 * Returns 0 and in *ret_body the reply after its id (ret_body may be NULL), borrowed until the call is
 * ended; -EINTR cancelled, -ENOTCONN, -EPROTO another type of reply, or what the status means.
 */
int call_reply(struct call *call, enum sftp_operation operation, uint8_t expected,
               struct wire_reader *ret_body);

/* True when call_reply() would not wait. */
bool call_is_answered(struct call *call);

/* True when an error of call_reply() is one that all replies on the connection will have: none need be waited for. */
static inline bool call_is_final(int error)
{
	return error == -EINTR || error == -ENOTCONN;
}

/* The status code that made call_reply() fail, or SFTP_OK when it was not a status. */
uint32_t call_status(const struct call *call);
/* The status does not say what is the matter: diagnose.h may find out. */
bool call_is_vague(const struct call *call);

/* After a successful call_reply() of SFTP_HANDLE: the handle, copied. 0 or -EPROTO. */
int call_take_handle(struct call *call, struct wire_buf *handle);

/* Lets go of a call, answered or not, and sets *call to NULL; the reply is dropped. */
void call_end(struct call **call);

/* Sends a request whose reply nobody cares for. Never waits. */
void call_and_forget(struct sftp_conn *conn, uint8_t type, const struct wire_buf *body);

/*
 * The errno of a STATUS reply's body (0 for SFTP_OK), -EPROTO when malformed. *ret_status: the code;
 * *ret_vague: see call_is_vague().
 */
int call_parse_status(struct wire_reader *body, enum sftp_operation operation, uint32_t *ret_status,
                      bool *ret_vague);

#endif
