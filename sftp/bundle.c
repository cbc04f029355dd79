// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Many small files, each read whole. See sftp_read_files() in client.h.
 *
 * All OPENs go out at once; as each is answered its READ, FSTAT and CLOSE follow. So whatever their number they
 * take two round trips. Nothing is looked into when one is refused: these are asked for ahead, and
 * whoever needs one asks for it alone.
 */
#include "client_private.h"

#include <errno.h>
#include <glib.h>

/* One of the files, as far as it has come. */
struct bundled {
	struct call *open, *read, *stat;
	int error;
};

static int start_open(struct sftp_conn *conn, const struct sftp_bundle_file *file,
                      struct call **ret_call)
{
	WIRE_AUTO body = {0};
	int error;

	if (file->size > sftp_conn_max_read(conn))
		return -EFBIG;
	wire_buf_init(&body);
	wire_put_cstring(&body, file->path);
	wire_put_u32(&body, SFTP_OPEN_READ);
	wire_put_u32(&body, 0); /* no attributes */
	error = call_start(conn, SFTP_OPEN, &body, ret_call);
	if (!error)
		call_expect_handle(*ret_call);
	return error;
}

static int start_read(struct sftp_conn *conn, const struct wire_buf *handle, size_t size,
                      struct call **ret_call)
{
	WIRE_AUTO body = {0};

	wire_buf_init(&body);
	wire_put_bytes(&body, handle->data, handle->size);
	wire_put_u64(&body, 0);
	wire_put_u32(&body, (uint32_t)size);
	return call_start(conn, SFTP_READ, &body, ret_call);
}

/* Its READ, if it has any bytes, its FSTAT, which is to tell of it as it was read, and its CLOSE. */
static int go_on(struct sftp_conn *conn, struct bundled *file, size_t size)
{
	WIRE_AUTO handle = {0};
	int error = call_reply(file->open, SFTP_OP_OPEN, SFTP_HANDLE, NULL);

	if (error)
		return error;
	wire_buf_init(&handle);
	error = call_take_handle(file->open, &handle);
	if (error)
		return error;
	if (size > 0)
		error = start_read(conn, &handle, size, &file->read);
	if (!error)
		error = call_start(conn, SFTP_FSTAT, &handle, &file->stat);
	call_and_forget(conn, SFTP_CLOSE, &handle);
	return error;
}

static int take_bytes(struct call *call, size_t size, const uint8_t **ret_bytes)
{
	struct wire_reader body;
	size_t count;
	int error = call_reply(call, SFTP_OP_READ, SFTP_DATA, &body);

	if (error)
		return error;
	*ret_bytes = wire_peek_string(&body, &count);
	return wire_reader_ok(&body) && count == size ? 0 : -EPROTO;
}

static int finish(struct sftp_client *client, struct bundled *file, size_t index, size_t size,
                  sftp_bundle_fn tell, void *data)
{
	const uint8_t *bytes = NULL;
	struct sftp_attrs attrs;
	int error = file->error;

	if (!error && file->read)
		error = take_bytes(file->read, size, &bytes);
	if (!error)
		error = client_get_attrs(client, file->stat, SFTP_OP_FSTAT, &attrs);
	tell(index, error, bytes, &attrs, data);
	return error;
}

static int run(struct sftp_client *client, struct sftp_conn *conn, struct bundled *bundle,
               const struct sftp_bundle_file files[], size_t count, sftp_bundle_fn tell, void *data)
{
	int error = 0;

	for (size_t i = 0; i < count && !call_is_final(error); i++)
		error = bundle[i].error = start_open(conn, &files[i], &bundle[i].open);
	for (size_t i = 0; i < count && !call_is_final(error); i++) {
		if (!bundle[i].error)
			error = bundle[i].error = go_on(conn, &bundle[i], files[i].size);
	}
	for (size_t i = 0; i < count && !call_is_final(error); i++)
		error = finish(client, &bundle[i], i, files[i].size, tell, data);
	return call_is_final(error) ? error : 0;
}

int sftp_read_files(struct sftp_client *client, const struct sftp_bundle_file files[], size_t count,
                    sftp_bundle_fn tell, void *data)
{
	g_autofree struct bundled *bundle = g_new0(struct bundled, count);
	AUTO_CONN conn = NULL;
	int error = client_get_conn(client, &conn);

	if (!error)
		error = run(client, conn, bundle, files, count, tell, data);
	for (size_t i = 0; i < count; i++) {
		call_end(&bundle[i].open);
		call_end(&bundle[i].read);
		call_end(&bundle[i].stat);
	}
	return error;
}
