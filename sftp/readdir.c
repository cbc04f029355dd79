// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Listing a folder. See sftp_list() in client.h.
 *
 * READDIR continues where the last one stopped, and a server answers one handle's requests in order;
 * so several are kept in flight, and their replies are taken in the order of the requests. Those
 * that are in flight beyond the end come back as EOF and are dropped, as is the reply to CLOSE.
 */
#include "client_private.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "diagnose.h"

#define WINDOW_START 2
#define WINDOW_MAX   32

#define NAME_LONGEST 1024

/* Replies without a name, one after the other, before we stop believing in the end of the folder. */
#define EMPTY_MAX 64

struct listing {
	struct sftp_client *client;
	struct sftp_conn *conn;
	struct wire_buf handle; /* as a wire string: the body of every READDIR */
	GQueue calls;           /* struct call: READDIRs in flight, oldest first */
	unsigned int window;    /* how many there may be */
	unsigned int empty;     /* replies without a name in a row */
	sftp_entry_fn entry;
	void *data;
};

/* ---- entries ---------------------------------------------------------------------------------- */

static bool is_sane_name(const uint8_t *name, size_t size)
{
	if (size == 0 || size > NAME_LONGEST)
		return false;
	if (memchr(name, '/', size) || memchr(name, '\0', size))
		return false;
	return !(name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.')));
}

static int tell_entry(struct listing *listing, const uint8_t *bytes, size_t size,
                      struct sftp_attrs *attrs)
{
	char name[NAME_LONGEST + 1];

	if (!is_sane_name(bytes, size))
		return 0;
	memcpy(name, bytes, size);
	name[size] = '\0';
	if (attrs->flags & SFTP_ATTR_UIDGID &&
	    idmap_to_local(listing->client->idmap, &attrs->uid, &attrs->gid))
		attrs = NULL;
	return listing->entry(name, attrs, listing->data);
}

/* A count larger than the message runs the reader over its end. */
static int tell_entries(struct listing *listing, struct wire_reader *body)
{
	uint32_t count = wire_get_u32(body);

	if (!wire_reader_ok(body))
		return -EPROTO;
	listing->empty = count == 0 ? listing->empty + 1 : 0;
	if (listing->empty > EMPTY_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++) {
		struct sftp_attrs attrs = {0};
		size_t size = 0, long_size = 0;
		const uint8_t *name = wire_peek_string(body, &size);
		int error;

		/* What "ls -l" would print: not for programs. */
		wire_peek_string(body, &long_size);
		sftp_get_attrs(body, &attrs);
		if (!wire_reader_ok(body))
			return -EPROTO;
		error = tell_entry(listing, name, size, &attrs);
		if (error)
			return error;
	}
	return 0;
}

/* ---- requests --------------------------------------------------------------------------------- */

static int fill_window(struct listing *listing)
{
	while (g_queue_get_length(&listing->calls) < listing->window) {
		struct call *call;
		int error = call_start(listing->conn, SFTP_READDIR, &listing->handle, &call);

		if (error)
			return error;
		g_queue_push_tail(&listing->calls, call);
	}
	return 0;
}

/* Takes the oldest reply. *ret_end: there is no more. */
static int take_reply(struct listing *listing, bool *ret_end)
{
	AUTO_CALL call = g_queue_pop_head(&listing->calls);
	struct wire_reader body;
	int error = call_reply(call, SFTP_OP_READDIR, SFTP_NAME, &body);

	*ret_end = call_status(call) == SFTP_EOF;
	if (*ret_end)
		return 0;
	return error ? error : tell_entries(listing, &body);
}

static int read_all(struct listing *listing)
{
	unsigned int window_max = listing->client->settings.sync_readdir ? 1 : WINDOW_MAX;
	bool end = false;
	int error = 0;

	listing->window = MIN(WINDOW_START, window_max);
	while (!error && !end) {
		error = fill_window(listing);
		if (!error)
			error = take_reply(listing, &end);
		listing->window = MIN(listing->window + 1, window_max);
	}
	return error;
}

static int open_folder(struct listing *listing, const char *path)
{
	struct diagnose_case as = {.operation = SFTP_OP_OPENDIR, .path = path};
	WIRE_AUTO body = {0};
	AUTO_CALL call = NULL;
	int error;

	wire_buf_init(&body);
	wire_put_cstring(&body, path);
	error = call_start(listing->conn, SFTP_OPENDIR, &body, &call);
	if (error)
		return error;
	call_expect_handle(call);
	error = call_reply(call, SFTP_OP_OPENDIR, SFTP_HANDLE, NULL);
	if (error)
		return diagnose_path(listing->conn, call, error, &as);
	return call_take_handle(call, &listing->handle);
}

static void close_folder(struct listing *listing)
{
	struct call *call;

	while ((call = g_queue_pop_head(&listing->calls)) != NULL)
		call_end(&call);
	call_and_forget(listing->conn, SFTP_CLOSE, &listing->handle);
}

int sftp_list(struct sftp_client *client, const char *path, sftp_entry_fn entry, void *data)
{
	struct listing listing = {.client = client, .entry = entry, .data = data};
	AUTO_CONN conn = NULL;
	int error = client_get_conn(client, &conn);

	if (error)
		return error;
	listing.conn = conn;
	g_queue_init(&listing.calls);
	wire_buf_init(&listing.handle);
	error = open_folder(&listing, path);
	if (!error) {
		sftp_pool_note_handle(client->pool, conn, 1);
		error = read_all(&listing);
		close_folder(&listing);
		sftp_pool_note_handle(client->pool, conn, -1);
	}
	wire_buf_done(&listing.handle);
	return error;
}
