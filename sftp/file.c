// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Open files: opening, closing, and what is asked of a handle. See client.h; the data are
 * transfer.c's.
 *
 * A handle is worth something on its connection only, so a file keeps a reference to that and ends with
 * it.
 */
#include "client_private.h"

#include <errno.h>
#include <glib.h>

#include "diagnose.h"

/* ---- life ------------------------------------------------------------------------------------- */

/* Where a file is opened, and what for. */
struct opening {
	struct sftp_client *client;
	struct sftp_conn *conn;
	const char *path;
	uint32_t flags, mode;
	bool bulk; /* see pool.h */
};

/* Takes the handle out of the reply to an OPEN; the connection has been noted to have one more. */
static int file_new(const struct opening *opening, struct call *call, struct sftp_file **ret_file)
{
	struct sftp_file *file = g_new0(struct sftp_file, 1);
	int error;

	wire_buf_init(&file->handle);
	error = call_take_handle(call, &file->handle);
	if (error) {
		wire_buf_done(&file->handle);
		g_free(file);
		return error;
	}
	file->refs = 1;
	file->client = opening->client;
	file->conn = sftp_conn_ref(opening->conn);
	file->flags = opening->flags;
	file->bulk = opening->bulk;
	*ret_file = file;
	return 0;
}

struct sftp_file *sftp_file_ref(struct sftp_file *file)
{
	atomic_fetch_add(&file->refs, 1);
	return file;
}

void sftp_file_unref(struct sftp_file *file)
{
	if (!file || atomic_fetch_sub(&file->refs, 1) != 1)
		return;
	call_and_forget(file->conn, SFTP_CLOSE, &file->handle);
	sftp_pool_note_handle(file->client->pool, file->conn, file->bulk, -1);
	sftp_conn_unref(file->conn);
	wire_buf_done(&file->handle);
	g_free(file);
}

bool sftp_file_is_stale(struct sftp_file *file)
{
	return sftp_conn_is_dead(file->conn);
}

bool sftp_file_shares_connection(const struct sftp_file *file, const struct sftp_file *other)
{
	return file->conn == other->conn;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static void note_size(struct sftp_file *file, const struct sftp_attrs *attrs)
{
	if (attrs->flags & SFTP_ATTR_SIZE)
		file->size = attrs->size;
}

static void put_open(struct wire_buf *body, const struct opening *opening)
{
	struct sftp_attrs attrs = {.permissions = opening->mode & 07777};

	/* Some servers apply what is sent to an existing file: nothing is sent for a plain open. */
	if (opening->flags & SFTP_OPEN_CREAT && !opening->client->settings.workaround_createmode)
		attrs.flags = SFTP_ATTR_PERMISSIONS;
	wire_buf_init(body);
	wire_put_cstring(body, opening->path);
	wire_put_u32(body, opening->flags);
	sftp_put_attrs(body, &attrs);
}

static int start_open(const struct opening *opening, struct call **ret_call)
{
	WIRE_AUTO body = {0};
	int error;

	put_open(&body, opening);
	error = call_start(opening->conn, SFTP_OPEN, &body, ret_call);
	if (!error)
		call_expect_handle(*ret_call);
	return error;
}

static int finish_open(const struct opening *opening, struct call *call,
                       struct sftp_file **ret_file)
{
	struct diagnose_case as = {
		.operation = SFTP_OP_OPEN, .path = opening->path, .open_flags = opening->flags};
	int error = call_reply(call, SFTP_OP_OPEN, SFTP_HANDLE, NULL);

	if (error)
		return diagnose_path(opening->conn, call, error, &as);
	return file_new(opening, call, ret_file);
}

static int open_noted(const struct opening *opening, struct sftp_file **ret_file,
                      struct sftp_after *after)
{
	const struct sftp_attrs emptied = {.flags = SFTP_ATTR_SIZE, .size = 0};
	AUTO_CALL open_call = NULL;
	AUTO_CALL after_call = NULL;
	int error = start_open(opening, &open_call);

	if (error)
		return error;
	after_ask_path(after, opening->conn, opening->path, &after_call);
	error = finish_open(opening, open_call, ret_file);
	if (error)
		return error;
	after_take(after, opening->client, after_call,
	           opening->flags & SFTP_OPEN_TRUNC ? &emptied : NULL);
	if (after && !after->error)
		note_size(*ret_file, &after->attrs);
	return 0;
}

/* The connection counts the file before it is there, for those who choose one meanwhile. */
static int open_on(const struct opening *opening, struct sftp_file **ret_file,
                   struct sftp_after *after)
{
	struct sftp_pool *pool = opening->client->pool;
	int error;

	sftp_pool_note_handle(pool, opening->conn, opening->bulk, 1);
	error = open_noted(opening, ret_file, after);
	if (error)
		sftp_pool_note_handle(pool, opening->conn, opening->bulk, -1);
	return error;
}

int sftp_open(struct sftp_client *client, const char *path, uint32_t flags, uint32_t mode,
              struct sftp_file **ret_file, struct sftp_after *after)
{
	struct opening opening = {
		.client = client,
		.path = path,
		.flags = flags,
		.mode = mode,
		.bulk = flags & SFTP_OPEN_WRITE,
	};
	AUTO_CONN conn = NULL;
	int error = opening.bulk ? sftp_pool_get_bulk(client->pool, &conn)
	                         : client_get_conn(client, &conn);

	opening.conn = conn;
	return error ? error : open_on(&opening, ret_file, after);
}

int sftp_open_beside(struct sftp_file *beside, const char *path, uint32_t flags,
                     struct sftp_file **ret_file)
{
	const struct opening opening = {
		.client = beside->client,
		.conn = beside->conn,
		.path = path,
		.flags = flags,
		.bulk = beside->bulk,
	};

	return open_on(&opening, ret_file, NULL);
}

int sftp_open_lane(struct sftp_client *client, unsigned int lane, const char *path,
                   struct sftp_file **ret_file, struct sftp_attrs *ret_attrs)
{
	struct opening opening = {
		.client = client, .path = path, .flags = SFTP_OPEN_READ, .bulk = true};
	struct sftp_after after = {.follow = true};
	struct sftp_file *file = NULL;
	AUTO_CONN conn = NULL;
	int error = sftp_pool_get_lane(client->pool, lane, &conn);

	opening.conn = conn;
	if (!error)
		error = open_on(&opening, &file, &after);
	if (!error && after.error == -EAGAIN)
		after.error = sftp_fstat(file, &after.attrs);
	if (!error)
		error = after.error;
	if (error) {
		sftp_file_unref(file);
		return error;
	}
	*ret_file = file;
	*ret_attrs = after.attrs;
	return 0;
}

/* ---- asking ----------------------------------------------------------------------------------- */

int sftp_fstat(struct sftp_file *file, struct sftp_attrs *ret_attrs)
{
	AUTO_CALL call = NULL;
	int error = call_start(file->conn, SFTP_FSTAT, &file->handle, &call);

	if (!error)
		error = client_get_attrs(file->client, call, SFTP_OP_FSTAT, ret_attrs);
	if (!error)
		note_size(file, ret_attrs);
	return error;
}

/* Space left where the file is. */
static int ask_space(struct sftp_file *file, struct sftp_statvfs *ret_statvfs)
{
	WIRE_AUTO body = {0};
	AUTO_CALL call = NULL;
	int error;

	if (!(sftp_conn_extensions(file->conn) & SFTP_EXT_FSTATVFS))
		return -EOPNOTSUPP;
	wire_buf_init(&body);
	client_put_extension(&body, SFTP_EXT_FSTATVFS);
	wire_put_bytes(&body, file->handle.data, file->handle.size);
	error = call_start(file->conn, SFTP_EXTENDED, &body, &call);
	return error ? error : client_get_statvfs(call, ret_statvfs);
}

/* A vague failure to store something of `size` bytes. */
static int diagnose_store(struct sftp_file *file, const struct call *call, int error, uint64_t size)
{
	struct sftp_statvfs statvfs;
	int cause;

	if (call_status(call) != SFTP_FAILURE || !call_is_vague(call) || ask_space(file, &statvfs))
		return error;
	cause = diagnose_space(&statvfs, size);
	return cause == -EIO ? error : cause;
}

/* The size could not be set, and it is not for want of space: it is too large, if it grew. */
static int diagnose_resize(struct sftp_file *file, const struct call *call, int error,
                           const struct sftp_attrs *attrs)
{
	struct sftp_attrs present;

	error = diagnose_store(file, call, error, 0);
	if (error != -EPERM || !(attrs->flags & SFTP_ATTR_SIZE))
		return error;
	if (sftp_fstat(file, &present) == 0 && attrs->size > present.size)
		return -EFBIG;
	return error;
}

static void ask_after(struct sftp_file *file, const char *path, struct sftp_after *after,
                      struct call **call)
{
	if (path)
		after_ask_path(after, file->conn, path, call);
	else
		after_ask_handle(after, file->conn, &file->handle, call);
}

int sftp_fsetstat(struct sftp_file *file, const struct sftp_attrs *attrs, const char *path,
                  struct sftp_after *after)
{
	WIRE_AUTO body = {0};
	AUTO_CALL call = NULL;
	AUTO_CALL after_call = NULL;
	struct sftp_attrs remote;
	int error;

	error = client_prepare_attrs(file->client, file->conn, SFTP_FSTAT, &file->handle, attrs,
	                             &remote);
	if (error)
		return error;
	wire_buf_init(&body);
	wire_put_bytes(&body, file->handle.data, file->handle.size);
	sftp_put_attrs(&body, &remote);
	error = call_start(file->conn, SFTP_FSETSTAT, &body, &call);
	if (error)
		return error;
	ask_after(file, path, after, &after_call);
	error = call_reply(call, SFTP_OP_SETSTAT, SFTP_STATUS, NULL);
	if (error)
		return diagnose_resize(file, call, error, attrs);
	after_take(after, file->client, after_call, &remote);
	note_size(file, attrs);
	return 0;
}

int sftp_fsync(struct sftp_file *file)
{
	WIRE_AUTO body = {0};
	AUTO_CALL call = NULL;
	int error;

	if (!(sftp_conn_extensions(file->conn) & SFTP_EXT_FSYNC))
		return -EOPNOTSUPP;
	wire_buf_init(&body);
	client_put_extension(&body, SFTP_EXT_FSYNC);
	wire_put_bytes(&body, file->handle.data, file->handle.size);
	error = call_start(file->conn, SFTP_EXTENDED, &body, &call);
	if (error)
		return error;
	error = call_reply(call, SFTP_OP_FSYNC, SFTP_STATUS, NULL);
	return error ? diagnose_store(file, call, error, 0) : 0;
}

/* ---- copying on the server -------------------------------------------------------------------- */

static bool overlap(uint64_t a, uint64_t b, uint64_t size)
{
	return a < b ? b - a < size : a - b < size;
}

/* On the wire a size of 0 means "to the end of the file", which nobody has asked for. */
int sftp_copy_data(struct sftp_file *from, uint64_t from_offset, struct sftp_file *to,
                   uint64_t to_offset, uint64_t size, struct sftp_after *after)
{
	WIRE_AUTO body = {0};
	AUTO_CALL call = NULL;
	AUTO_CALL after_call = NULL;
	int error;

	if (from->conn != to->conn)
		return -EXDEV;
	if (!(sftp_conn_extensions(from->conn) & SFTP_EXT_COPY_DATA))
		return -EOPNOTSUPP;
	if (from == to && overlap(from_offset, to_offset, size))
		return -EINVAL;
	if (size == 0)
		return 0;
	wire_buf_init(&body);
	client_put_extension(&body, SFTP_EXT_COPY_DATA);
	wire_put_bytes(&body, from->handle.data, from->handle.size);
	wire_put_u64(&body, from_offset);
	wire_put_u64(&body, size);
	wire_put_bytes(&body, to->handle.data, to->handle.size);
	wire_put_u64(&body, to_offset);
	error = call_start(from->conn, SFTP_EXTENDED, &body, &call);
	if (error)
		return error;
	after_ask_handle(after, from->conn, &from->handle, &after_call);
	error = call_reply(call, SFTP_OP_COPY, SFTP_STATUS, NULL);
	if (error)
		return diagnose_store(to, call, error, size);
	after_take(after, from->client, after_call, NULL);
	return 0;
}
