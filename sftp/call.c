// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Blocking calls. See call.h.
 *
 * A call has two owners: the thread that waits and the connection, which holds it until done(). A
 * thread that is cancelled leaves at once; the reply, should it come, finds nobody and is dropped -
 * except that a handle in it is given back to the server, which would otherwise keep the file open.
 */
#include "call.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <string.h>

#include "cancel.h"
#include "lock.h"
#include "util.h"

/* Draft-02 section 6.2. */
#define HANDLE_LONGEST 256

struct call {
	struct sftp_request request;
	struct sftp_conn *conn; /* set once; referenced by the caller, or we are on its reader */

	pthread_mutex_t lock;
	pthread_cond_t answered; /* done has become true */
	unsigned int refs;       /* protected by lock */
	bool expects_handle;     /* protected by lock */
	bool left;               /* the caller has ended it; protected by lock */
	bool done; /* protected by lock; what follows is the caller's once it is set */

	int error;
	uint8_t type;
	uint8_t *body; /* the reply after its id: `inlined`, or allocated */
	size_t body_size;
	uint8_t inlined[128]; /* attributes, handles and most statuses fit */

	uint32_t status; /* the caller's */
	bool vague;      /* the caller's */
};

static void call_free(struct call *call)
{
	if (call->body != call->inlined)
		g_free(call->body);
	pthread_cond_destroy(&call->answered);
	pthread_mutex_destroy(&call->lock);
	g_free(call);
}

/* ---- the connection's side -------------------------------------------------------------------- */

/* Gives a handle back that nobody takes. `body` is that of the HANDLE reply. */
static void close_handle(struct sftp_conn *conn, struct wire_reader *body)
{
	size_t size = 0;
	const uint8_t *handle = wire_peek_string(body, &size);
	WIRE_AUTO close = {0};

	if (!wire_reader_ok(body))
		return;
	wire_buf_init(&close);
	wire_put_string(&close, handle, size);
	call_and_forget(conn, SFTP_CLOSE, &close);
}

static void keep_reply_locked(struct call *call, int error, uint8_t type,
                              const struct wire_reader *body)
{
	size_t size = wire_reader_left(body);

	call->error = error;
	call->type = type;
	call->body = size <= sizeof(call->inlined) ? call->inlined : g_malloc(size);
	call->body_size = size;
	if (size > 0)
		memcpy(call->body, body->next, size);
}

static void on_reply(struct sftp_request *request, int error, uint8_t type,
                     struct wire_reader *body)
{
	struct call *call = util_container_of(request, struct call, request);
	struct sftp_conn *conn = call->conn;
	bool last, unwanted_handle;

	pthread_mutex_lock(&call->lock);
	unwanted_handle = call->left && call->expects_handle && type == SFTP_HANDLE;
	if (!call->left)
		keep_reply_locked(call, error, type, body);
	call->done = true;
	last = --call->refs == 0;
	pthread_cond_broadcast(&call->answered);
	pthread_mutex_unlock(&call->lock);
	if (last)
		call_free(call);
	if (unwanted_handle)
		close_handle(conn, body);
}

/* ---- the caller's side ------------------------------------------------------------------------ */

int call_start(struct sftp_conn *conn, uint8_t type, const struct wire_buf *body,
               struct call **ret_call)
{
	struct call *call;
	int error;

	if (cancel_is_raised())
		return -EINTR;
	call = g_new0(struct call, 1);
	call->request.done = on_reply;
	call->conn = conn;
	call->refs = 2;
	pthread_mutex_init(&call->lock, NULL);
	lock_cond_init(&call->answered);
	error = sftp_conn_submit(conn, &call->request, type, body, NULL, 0);
	if (error) {
		call_free(call);
		return error == -EMSGSIZE ? -ENAMETOOLONG : error;
	}
	*ret_call = call;
	return 0;
}

int call_start_path(struct sftp_conn *conn, uint8_t type, const char *path, struct call **ret_call)
{
	WIRE_AUTO body = {0};

	wire_buf_init(&body);
	wire_put_cstring(&body, path);
	return call_start(conn, type, &body, ret_call);
}

void call_expect_handle(struct call *call)
{
	LOCK_SCOPE(&call->lock);

	call->expects_handle = true;
}

static int wait_for_reply(struct call *call)
{
	bool done;

	cancel_begin_wait(&call->lock, &call->answered);
	pthread_mutex_lock(&call->lock);
	while (!call->done && !cancel_is_raised())
		pthread_cond_wait(&call->answered, &call->lock);
	done = call->done;
	pthread_mutex_unlock(&call->lock);
	cancel_end_wait();
	return done ? call->error : -EINTR;
}

int call_parse_status(struct wire_reader *body, enum sftp_operation operation, uint32_t *ret_status,
                      bool *ret_vague)
{
	uint32_t status = wire_get_u32(body);
	g_autofree char *message = NULL;
	int error;

	if (!wire_reader_ok(body))
		return -EPROTO;
	/* Draft-02 has a message and a language behind the code; not all servers do. */
	if (wire_reader_left(body) > 0)
		message = wire_get_cstring(body);
	error = sftp_status_errno(operation, status, message);
	*ret_status = status;
	*ret_vague = (status == SFTP_FAILURE || status == SFTP_BAD_MESSAGE ||
	              status == SFTP_NO_SUCH_FILE) &&
	             error == sftp_status_errno(operation, status, NULL);
	return -error;
}

int call_reply(struct call *call, enum sftp_operation operation, uint8_t expected,
               struct wire_reader *ret_body)
{
	struct wire_reader body;
	int error = wait_for_reply(call);

	if (error)
		return error;
	wire_reader_init(&body, call->body, call->body_size);
	if (ret_body)
		*ret_body = body;
	if (call->type == SFTP_STATUS) {
		error = call_parse_status(&body, operation, &call->status, &call->vague);
		/* "OK" where something else was asked for makes no sense. */
		return error || expected == SFTP_STATUS ? error : -EPROTO;
	}
	return call->type == expected ? 0 : -EPROTO;
}

bool call_is_answered(struct call *call)
{
	LOCK_SCOPE(&call->lock);

	return call->done;
}

uint32_t call_status(const struct call *call)
{
	return call->status;
}

bool call_is_vague(const struct call *call)
{
	return call->vague;
}

int call_take_handle(struct call *call, struct wire_buf *handle)
{
	struct wire_reader body;
	const uint8_t *bytes;
	size_t size = 0;

	wire_reader_init(&body, call->body, call->body_size);
	bytes = wire_peek_string(&body, &size);
	if (!wire_reader_ok(&body) || size > HANDLE_LONGEST)
		return -EPROTO;
	wire_put_string(handle, bytes, size);

	LOCK_SCOPE(&call->lock);

	call->expects_handle = false;
	return 0;
}

void call_end(struct call **call_pointer)
{
	struct call *call = *call_pointer;
	bool last, unwanted_handle;

	*call_pointer = NULL;
	if (!call)
		return;
	pthread_mutex_lock(&call->lock);
	call->left = true;
	unwanted_handle = call->done && call->expects_handle && call->type == SFTP_HANDLE;
	last = --call->refs == 0;
	pthread_mutex_unlock(&call->lock);
	if (unwanted_handle) {
		struct wire_reader body;

		wire_reader_init(&body, call->body, call->body_size);
		close_handle(call->conn, &body);
	}
	if (last)
		call_free(call);
}

/* ---- without waiting -------------------------------------------------------------------------- */

static void free_request(struct sftp_request *request, int error, uint8_t type,
                         struct wire_reader *body)
{
	g_free(request);
}

void call_and_forget(struct sftp_conn *conn, uint8_t type, const struct wire_buf *body)
{
	struct sftp_request *request = g_new0(struct sftp_request, 1);

	request->done = free_request;
	request->urgent = true;
	if (sftp_conn_submit(conn, request, type, body, NULL, 0))
		g_free(request);
}
