// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Listing a folder. See sftp_opendir() in client.h.
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

/* Two for a small folder and its end; then it grows by so many with each reply: fourfold a round trip. */
#define WINDOW_START 2
#define WINDOW_STEP  3
#define WINDOW_MAX   32

/* A folder that has not ended after so many replies is a large one. */
#define LARGE 3

#define NAME_LONGEST 1024

/* Replies without a name, one after the other, before we stop believing in the end of the folder. */
#define EMPTY_MAX 64

/* Its user's alone, whatever thread that is. */
struct sftp_dir {
	struct sftp_client *client; /* set once, borrowed */
	struct sftp_conn *conn;     /* set once, a reference */
	struct wire_buf handle;     /* set once: as a wire string, the body of every READDIR */
	GQueue calls;               /* struct call: READDIRs in flight, oldest first */
	unsigned int window;        /* how many there may be */
	unsigned int replies;       /* so far, LARGE at most */
	unsigned int empty;         /* replies without a name in a row */
};

/* Where the entries of a reply go. */
struct sink {
	struct sftp_dir *dir;
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

static int tell_entry(const struct sink *sink, const uint8_t *bytes, size_t size,
                      struct sftp_attrs *attrs)
{
	char name[NAME_LONGEST + 1];

	if (!is_sane_name(bytes, size))
		return 0;
	memcpy(name, bytes, size);
	name[size] = '\0';
	if (attrs->flags & SFTP_ATTR_UIDGID &&
	    idmap_to_local(sink->dir->client->idmap, &attrs->uid, &attrs->gid))
		attrs = NULL;
	return sink->entry(name, attrs, sink->data);
}

/* A count larger than the message runs the reader over its end. */
static int tell_entries(const struct sink *sink, struct wire_reader *body)
{
	struct sftp_dir *dir = sink->dir;
	uint32_t count = wire_get_u32(body);

	if (!wire_reader_ok(body))
		return -EPROTO;
	dir->empty = count == 0 ? dir->empty + 1 : 0;
	if (dir->empty > EMPTY_MAX)
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
		error = tell_entry(sink, name, size, &attrs);
		if (error)
			return error;
	}
	return 0;
}

/* ---- requests --------------------------------------------------------------------------------- */

static unsigned int window_max(const struct sftp_client *client)
{
	return client->settings.sync_readdir ? 1 : WINDOW_MAX;
}

/* A folder may be a small one: then what is in flight is its end, and is waited for first. */
static int fill_window(struct sftp_dir *dir)
{
	if (dir->replies < LARGE && dir->calls.length > 0)
		return 0;
	while (g_queue_get_length(&dir->calls) < dir->window) {
		struct call *call;
		int error = call_start(dir->conn, SFTP_READDIR, &dir->handle, &call);

		if (error)
			return error;
		g_queue_push_tail(&dir->calls, call);
	}
	return 0;
}

/* The oldest reply. *ret_end: there is no more. When the waiting is given up it stays the oldest. */
static int take_reply(const struct sink *sink, bool *ret_end)
{
	GQueue *calls = &sink->dir->calls;
	AUTO_CALL call = g_queue_peek_head(calls);
	struct wire_reader body;
	int error = call_reply(call, SFTP_OP_READDIR, SFTP_NAME, &body);

	if (error == -EINTR) {
		call = NULL;
		return error;
	}
	g_queue_pop_head(calls);
	*ret_end = call_status(call) == SFTP_EOF;
	if (*ret_end)
		return 0;
	return error ? error : tell_entries(sink, &body);
}

bool sftp_dir_is_ready(struct sftp_dir *dir)
{
	struct call *next = g_queue_peek_head(&dir->calls);

	return next && call_is_answered(next);
}

int sftp_readdir(struct sftp_dir *dir, sftp_entry_fn entry, void *data)
{
	struct sink sink = {.dir = dir, .entry = entry, .data = data};
	bool end = false;
	int error;

	error = fill_window(dir);
	if (!error)
		error = take_reply(&sink, &end);
	if (error)
		return error;
	dir->window = MIN(dir->window + WINDOW_STEP, window_max(dir->client));
	dir->replies = MIN(dir->replies + 1, LARGE);
	return !end;
}

/* ---- opening and closing ---------------------------------------------------------------------- */

static int open_folder(struct sftp_dir *dir, const char *path)
{
	struct diagnose_case as = {.operation = SFTP_OP_OPENDIR, .path = path};
	AUTO_CALL call = NULL;
	int error = call_start_path(dir->conn, SFTP_OPENDIR, path, &call);

	if (error)
		return error;
	call_expect_handle(call);
	error = call_reply(call, SFTP_OP_OPENDIR, SFTP_HANDLE, NULL);
	if (error)
		return diagnose_path(dir->conn, call, error, &as);
	return call_take_handle(call, &dir->handle);
}

static void dir_free(struct sftp_dir *dir)
{
	wire_buf_done(&dir->handle);
	sftp_conn_unref(dir->conn);
	g_free(dir);
}

int sftp_opendir(struct sftp_client *client, const char *path, struct sftp_dir **ret_dir)
{
	struct sftp_dir *dir = g_new0(struct sftp_dir, 1);
	int error = client_get_conn(client, &dir->conn);

	dir->client = client;
	dir->window = MIN(WINDOW_START, window_max(client));
	g_queue_init(&dir->calls);
	wire_buf_init(&dir->handle);
	if (!error)
		error = open_folder(dir, path);
	if (error) {
		dir_free(dir);
		return error;
	}
	sftp_pool_note_handle(client->pool, dir->conn, false, 1);
	*ret_dir = dir;
	return 0;
}

void sftp_closedir(struct sftp_dir *dir)
{
	struct call *call;

	if (!dir)
		return;
	while ((call = g_queue_pop_head(&dir->calls)) != NULL)
		call_end(&call);
	call_and_forget(dir->conn, SFTP_CLOSE, &dir->handle);
	sftp_pool_note_handle(dir->client->pool, dir->conn, false, -1);
	dir_free(dir);
}
