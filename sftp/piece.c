// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is asked of an open file and not waited for: one piece of its data. See sftp_read_async() in
 * client.h.
 *
 * A short reply is not the end of the file: the rest is asked for again, on the reader thread, until the
 * server says that there is none.
 */
#include "client_private.h"

#include <errno.h>
#include <glib.h>

#include "util.h"

struct piece {
	struct sftp_request request;
	struct sftp_file *file; /* a reference */
	uint8_t *buf;
	uint64_t offset;
	size_t size, filled;
	sftp_piece_fn done;
	void *data;
};

size_t sftp_max_read(const struct sftp_file *file)
{
	size_t wished = file->client->settings.max_read;
	size_t offered = sftp_conn_max_read(file->conn);

	return wished > 0 ? MIN(wished, offered) : offered;
}

static void piece_free(struct piece *piece)
{
	sftp_file_unref(piece->file);
	g_free(piece);
}

static void finish(struct piece *piece, ssize_t result)
{
	sftp_piece_fn done = piece->done;
	void *data = piece->data;

	piece_free(piece);
	done(data, result);
}

static void on_reply(struct sftp_request *request, int error, uint8_t type,
                     struct wire_reader *body);

/* Asks for what is not there yet. */
static int ask(struct piece *piece)
{
	struct sftp_file *file = piece->file;
	WIRE_AUTO body = {0};

	wire_buf_init(&body);
	wire_put_bytes(&body, file->handle.data, file->handle.size);
	wire_put_u64(&body, piece->offset + piece->filled);
	wire_put_u32(&body, (uint32_t)(piece->size - piece->filled));
	piece->request = (struct sftp_request){
		.done = on_reply,
		.urgent = true,
		.sink = piece->buf + piece->filled,
		.sink_size = piece->size - piece->filled,
	};
	return sftp_conn_submit(file->conn, &piece->request, SFTP_READ, &body, NULL, 0);
}

/* 0: the end of the file; else -errno. */
static int parse_status(uint8_t type, struct wire_reader *body)
{
	uint32_t status;
	bool vague;
	int error;

	if (type != SFTP_STATUS)
		return -EPROTO;
	error = call_parse_status(body, SFTP_OP_READ, &status, &vague);
	if (error != -EPROTO && status == SFTP_EOF)
		return 0;
	return error ? error : -EPROTO;
}

static void on_reply(struct sftp_request *request, int error, uint8_t type,
                     struct wire_reader *body)
{
	struct piece *piece = util_container_of(request, struct piece, request);
	size_t fresh = !error && type == SFTP_DATA ? request->sink_filled : 0;

	if (!error && type != SFTP_DATA)
		error = parse_status(type, body);
	piece->filled += fresh;
	if (fresh > 0 && piece->filled < piece->size) {
		error = ask(piece);
		if (!error)
			return;
	}
	finish(piece, error ? error : (ssize_t)piece->filled);
}

int sftp_read_async(struct sftp_file *file, void *buf, size_t size, uint64_t offset,
                    sftp_piece_fn done, void *data)
{
	struct piece *piece = g_new0(struct piece, 1);
	int error;

	piece->file = sftp_file_ref(file);
	piece->buf = buf;
	piece->offset = offset;
	piece->size = size;
	piece->done = done;
	piece->data = data;
	error = ask(piece);
	if (error)
		piece_free(piece);
	return error;
}
