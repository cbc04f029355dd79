// SPDX-License-Identifier: GPL-2.0-or-later
/* What becomes of the errors of written data, and which handle is found, against a scripted server. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>

#include "handle.h"
#include "lock.h"
#include "peer.h"
#include "window.h"

#define NODE 7

/* ---- a handle and its server ------------------------------------------------------------------ */

struct fixture {
	struct connector *connector;
	struct sftp_client *client;
	struct handle_table *table;
	struct peer_counter gate; /* a WRITE waits until it is 1 */
	struct peer_counter written;
	uint32_t status; /* of each WRITE; set while none is on its way */
	bool hold;       /* WRITEs are not answered before an FSTAT of that connection; set once */
};

static bool answer_write(struct fixture *fix, int fd, uint32_t id, GArray *held)
{
	if (fix->hold) {
		g_array_append_val(held, id);
		return true;
	}
	peer_await(&fix->gate, 1);
	return peer_send_status(fd, id, fix->status, "");
}

static void let_go(struct fixture *fix, int fd, GArray *held)
{
	for (unsigned int i = 0; i < held->len; i++)
		peer_send_status(fd, g_array_index(held, uint32_t, i), fix->status, "");
	g_array_set_size(held, 0);
}

static bool answer(struct fixture *fix, int fd, const struct peer_message *message, GArray *held)
{
	switch (message->type) {
	case SFTP_OPEN:
		return peer_send_handle(fd, message->id, "h");
	case SFTP_WRITE:
		return answer_write(fix, fd, message->id, held);
	case SFTP_FSTAT:
		let_go(fix, fd, held);
		return peer_send_status(fd, message->id, SFTP_OP_UNSUPPORTED, "");
	default:
		return peer_send_status(fd, message->id, SFTP_OK, "");
	}
}

static void serve(int fd, void *data)
{
	g_autoptr(GArray) held = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	struct peer_message message;
	bool more = peer_greet(fd, NULL);

	while (more && peer_receive(fd, &message)) {
		more = answer(data, fd, &message, held);
		peer_message_clear(&message);
	}
}

static void fixture_open(struct fixture *fix, uint32_t status, unsigned int max_conns)
{
	struct sftp_settings settings = {.max_conns = max_conns};
	struct sftp_events events = {0};
	g_autofree char *why = NULL;

	*fix = (struct fixture){.gate = PEER_COUNTER_INIT,
	                        .written = PEER_COUNTER_INIT,
	                        .status = status,
	                        .hold = max_conns > 1};
	fix->connector = peer_connector_new(serve, fix);
	g_assert_cmpint(sftp_client_new(fix->connector, &settings, &events, &fix->client, &why), ==,
	                0);
	fix->table = handle_table_new(true);
}

static void fixture_close(struct fixture *fix)
{
	g_assert_true(handle_table_drain(fix->table, UINT64_MAX));
	handle_table_free(fix->table);
	sftp_client_free(fix->client);
	connector_free(fix->connector);
}

static struct handle *open_handle(struct fixture *fix, int flags)
{
	struct sftp_file *file;

	g_assert_cmpint(sftp_open(fix->client, "f", SFTP_OPEN_WRITE, 0, &file, NULL), ==, 0);
	return handle_new(fix->table, NODE, file, flags);
}

static void on_written(void *data)
{
	peer_count(&((struct fixture *)data)->written);
}

static int write_some(struct fixture *fix, struct handle *handle, size_t size)
{
	g_autofree char *bytes = g_malloc0(size);

	return handle_write(handle, bytes, size, 0, on_written, fix);
}

/* ---- errors ----------------------------------------------------------------------------------- */

static void test_success(void)
{
	struct handle *handle;
	struct fixture fix;

	fixture_open(&fix, SFTP_OK, 1);
	handle = open_handle(&fix, O_WRONLY);
	g_assert_cmpint(write_some(&fix, handle, 100), ==, 0);
	g_assert_cmpuint(peer_counted(&fix.written), ==, 0);
	peer_count(&fix.gate);
	g_assert_cmpint(handle_drain(handle, true), ==, 0);
	g_assert_cmpuint(peer_counted(&fix.written), ==, 1);
	handle_release(fix.table, handle);
	fixture_close(&fix);
}

static void test_an_error_is_told_once(void)
{
	struct handle *handle;
	struct fixture fix;

	fixture_open(&fix, SFTP_PERMISSION_DENIED, 1);
	handle = open_handle(&fix, O_WRONLY);
	g_assert_cmpint(write_some(&fix, handle, 100), ==, 0);
	peer_count(&fix.gate);
	/* Others who wait for the data leave it to the owner. */
	g_assert_cmpint(handle_drain_node(fix.table, NODE), ==, 0);
	g_assert_cmpint(write_some(&fix, handle, 100), ==, -EACCES);
	g_assert_cmpint(handle_drain(handle, true), ==, -EACCES);
	g_assert_cmpint(handle_drain(handle, true), ==, 0);
	/* From now on each write tells its own. */
	g_assert_cmpint(write_some(&fix, handle, 100), ==, -EACCES);
	g_assert_cmpint(handle_drain(handle, true), ==, -EACCES);
	fix.status = SFTP_OK;
	g_assert_cmpint(write_some(&fix, handle, 100), ==, 0);
	g_assert_cmpint(handle_drain(handle, true), ==, 0);
	g_assert_cmpuint(peer_counted(&fix.written), ==, 4);
	handle_release(fix.table, handle);
	fixture_close(&fix);
}

static void test_a_cancelled_drain_keeps_the_error(void)
{
	struct sftp_cancel *cancel = sftp_cancel_new();
	struct handle *handle;
	struct fixture fix;

	fixture_open(&fix, SFTP_PERMISSION_DENIED, 1);
	handle = open_handle(&fix, O_WRONLY);
	g_assert_cmpint(write_some(&fix, handle, 100), ==, 0);
	sftp_cancel_bind(cancel);
	sftp_cancel_raise(cancel);
	g_assert_cmpint(handle_drain(handle, true), ==, -EINTR);
	sftp_cancel_bind(NULL);
	peer_count(&fix.gate);
	g_assert_cmpint(handle_drain(handle, true), ==, -EACCES);
	sftp_cancel_free(cancel);
	handle_release(fix.table, handle);
	fixture_close(&fix);
}

/* To a server that does not read, while its caller is given up: what was taken is sent all the same. */
static void test_a_write_that_was_taken_is_not_lost(void)
{
	struct sftp_cancel *cancel = sftp_cancel_new();
	struct handle *handle;
	struct fixture fix;

	fixture_open(&fix, SFTP_OK, 1);
	handle = open_handle(&fix, O_WRONLY);
	sftp_cancel_bind(cancel);
	sftp_cancel_raise(cancel);
	g_assert_cmpint(write_some(&fix, handle, WINDOW_SHARE_MAX), ==, 0);
	/* No more is taken now: who waits for room is told, and nothing of his is written. */
	g_assert_cmpint(write_some(&fix, handle, 1), ==, -EINTR);
	g_assert_cmpuint(peer_counted(&fix.written), ==, 1);
	g_assert_cmpint(handle_drain(handle, true), ==, -EINTR);
	sftp_cancel_bind(NULL);
	peer_count(&fix.gate);
	g_assert_cmpint(handle_drain(handle, true), ==, 0);
	g_assert_cmpuint(peer_counted(&fix.written), ==, 2);
	sftp_cancel_free(cancel);
	handle_release(fix.table, handle);
	fixture_close(&fix);
}

/* ---- by node ---------------------------------------------------------------------------------- */

static void check_found(struct handle *found, const struct handle *expected)
{
	g_assert_true(found == expected);
	handle_unref(found);
}

static void test_finding(void)
{
	struct handle *reader, *appender, *writer;
	struct fixture fix;

	fixture_open(&fix, SFTP_OK, 1);
	check_found(handle_find(fix.table, NODE, false), NULL);
	reader = open_handle(&fix, O_RDONLY);
	check_found(handle_find(fix.table, NODE, false), reader);
	check_found(handle_find(fix.table, NODE, true), NULL);
	appender = open_handle(&fix, O_RDWR | O_APPEND);
	check_found(handle_find(fix.table, NODE, true), appender);
	check_found(handle_find_placing(fix.table, NODE), NULL);
	writer = open_handle(&fix, O_RDWR);
	check_found(handle_find_placing(fix.table, NODE), writer);
	g_assert_cmpuint(handle_count(fix.table), ==, 3);
	handle_release(fix.table, writer);
	check_found(handle_find_placing(fix.table, NODE), NULL);
	handle_release(fix.table, appender);
	handle_release(fix.table, reader);
	check_found(handle_find(fix.table, NODE, false), NULL);
	fixture_close(&fix);
}

static void test_a_stale_handle_is_not_found(void)
{
	struct handle *writer;
	struct fixture fix;

	fixture_open(&fix, SFTP_OK, 1);
	writer = open_handle(&fix, O_WRONLY);
	check_found(handle_find_placing(fix.table, NODE), writer);
	sftp_client_shutdown(fix.client);
	check_found(handle_find_placing(fix.table, NODE), NULL);
	check_found(handle_find(fix.table, NODE, false), NULL);
	handle_release(fix.table, writer);
	fixture_close(&fix);
}

/* ---- several connections ----------------------------------------------------------------------- */

/* Opened while the first connection is busy: sooner or later that is on another. */
static struct handle *open_elsewhere(struct fixture *fix, struct handle *here)
{
	for (;;) {
		struct handle *handle = open_handle(fix, O_WRONLY);

		if (!sftp_file_shares_connection(handle_file(handle), handle_file(here)))
			return handle;
		handle_release(fix->table, handle);
	}
}

static void test_writes_by_two_connections_keep_their_order(void)
{
	struct sftp_cancel *cancel = sftp_cancel_new();
	struct handle *here, *beside, *elsewhere;
	struct sftp_attrs attrs;
	struct fixture fix;

	/* One of them is kept free of written files. */
	fixture_open(&fix, SFTP_OK, 3);
	here = open_handle(&fix, O_WRONLY);
	beside = open_handle(&fix, O_WRONLY);
	g_assert_true(sftp_file_shares_connection(handle_file(here), handle_file(beside)));
	g_assert_cmpint(write_some(&fix, here, 100), ==, 0);
	elsewhere = open_elsewhere(&fix, here);
	sftp_cancel_bind(cancel);
	sftp_cancel_raise(cancel);
	/* Who would have to wait is cancelled. */
	g_assert_cmpint(write_some(&fix, beside, 100), ==, 0);
	g_assert_cmpint(write_some(&fix, elsewhere, 100), ==, -EINTR);
	sftp_cancel_bind(NULL);
	g_assert_cmpint(sftp_fstat(handle_file(here), &attrs), ==, -EOPNOTSUPP);
	g_assert_cmpint(write_some(&fix, elsewhere, 100), ==, 0);
	g_assert_cmpint(sftp_fstat(handle_file(elsewhere), &attrs), ==, -EOPNOTSUPP);
	g_assert_cmpint(handle_drain_node(fix.table, NODE), ==, 0);
	sftp_cancel_free(cancel);
	handle_release(fix.table, elsewhere);
	handle_release(fix.table, beside);
	handle_release(fix.table, here);
	fixture_close(&fix);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/handle/errors/none", test_success);
	g_test_add_func("/handle/errors/once", test_an_error_is_told_once);
	g_test_add_func("/handle/errors/cancelled-drain", test_a_cancelled_drain_keeps_the_error);
	g_test_add_func("/handle/errors/taken", test_a_write_that_was_taken_is_not_lost);
	g_test_add_func("/handle/find/kinds", test_finding);
	g_test_add_func("/handle/find/stale", test_a_stale_handle_is_not_found);
	g_test_add_func("/handle/order/connections",
	                test_writes_by_two_connections_keep_their_order);
	return g_test_run();
}
