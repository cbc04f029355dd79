// SPDX-License-Identifier: GPL-2.0-or-later
/* The verbs of sftp/client.h against a scripted server. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>

#include "client.h"
#include "list.h"
#include "lock.h"
#include "peer.h"
#include "util.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE  (1 << 1)
#endif

static const char *const all_extensions[] = {"posix-rename@openssh.com",
                                             "1",
                                             "statvfs@openssh.com",
                                             "2",
                                             "fstatvfs@openssh.com",
                                             "2",
                                             "hardlink@openssh.com",
                                             "1",
                                             "fsync@openssh.com",
                                             "1",
                                             "lsetstat@openssh.com",
                                             "1",
                                             "copy-data",
                                             "1",
                                             "expand-path@openssh.com",
                                             "1",
                                             NULL};

/* ---- a client and its server ------------------------------------------------------------------ */

struct fixture;

/* Answers one request. False: hangs up. */
typedef bool (*answer_fn)(struct fixture *fix, int fd, struct peer_message *message);

struct fixture {
	struct connector *connector;
	struct sftp_client *client;
	answer_fn answer;
	const char *const *extensions;
	uint32_t version;
	struct peer_counter arrived, release, closed, reconnected;
	GString *
		log; /* what arrived: one line a request; the server thread's, read after closing */

	/* For some answers. */
	const uint8_t *content; /* of the one file */
	size_t content_size;
	size_t reply_max;            /* bytes a DATA reply, or 0 */
	unsigned int reads;          /* READs and READDIRs so far */
	uint64_t bavail, flag, fsid; /* statvfs */
	uint32_t status;             /* of what fails */
	struct sftp_attrs attrs;     /* of LSTAT, STAT, FSTAT; no flags: there is no such file */
};

static void serve(int fd, void *data)
{
	struct fixture *fix = data;
	struct peer_message message;
	bool more = true;

	if (!peer_receive(fd, &message))
		return;
	peer_message_clear(&message);
	peer_send_version(fd, fix->version, fix->extensions);
	while (more && peer_receive(fd, &message)) {
		peer_count(&fix->arrived);
		more = fix->answer(fix, fd, &message);
		peer_message_clear(&message);
	}
}

static void on_reconnected(void *data)
{
	peer_count(&((struct fixture *)data)->reconnected);
}

static void fixture_open_with(struct fixture *fix, answer_fn answer, const char *const *extensions,
                              struct sftp_settings settings)
{
	struct sftp_events events = {.reconnected = on_reconnected, .data = fix};
	g_autofree char *why = NULL;

	*fix = (struct fixture){.answer = answer,
	                        .extensions = extensions,
	                        .version = 3,
	                        .arrived = PEER_COUNTER_INIT,
	                        .release = PEER_COUNTER_INIT,
	                        .closed = PEER_COUNTER_INIT,
	                        .reconnected = PEER_COUNTER_INIT,
	                        .log = g_string_new(NULL),
	                        .status = SFTP_FAILURE};
	settings.max_conns = 1;
	fix->connector = peer_connector_new(serve, fix);
	g_assert_cmpint(sftp_client_new(fix->connector, &settings, &events, &fix->client, &why), ==,
	                0);
}

static void fixture_open(struct fixture *fix, answer_fn answer, const char *const *extensions)
{
	fixture_open_with(fix, answer, extensions, (struct sftp_settings){0});
}

static void fixture_close(struct fixture *fix)
{
	sftp_client_free(fix->client);
	connector_free(fix->connector);
	g_string_free(fix->log, TRUE);
}

/* The server's log, once it has ended. */
static void check_log(struct fixture *fix, const char *expected)
{
	sftp_client_shutdown(fix->client);
	sftp_client_free(g_steal_pointer(&fix->client));
	connector_free(fix->connector);
	g_assert_cmpstr(fix->log->str, ==, expected);
	g_string_free(fix->log, TRUE);
}

/* ---- answers ---------------------------------------------------------------------------------- */

static void answer_attrs(struct fixture *fix, int fd, uint32_t id)
{
	if (fix->attrs.flags)
		peer_send_attrs(fd, id, &fix->attrs);
	else
		peer_send_status(fd, id, SFTP_NO_SUCH_FILE, "No such file");
}

static void answer_statvfs(struct fixture *fix, int fd, uint32_t id)
{
	struct wire_buf body;
	uint64_t fields[11] = {4096, 4096, 1000,      fix->bavail, fix->bavail, 0,
	                       0,    0,    fix->fsid, fix->flag,   255};

	wire_buf_init(&body);
	for (unsigned int i = 0; i < G_N_ELEMENTS(fields); i++)
		wire_put_u64(&body, fields[i]);
	peer_send(fd, SFTP_EXTENDED_REPLY, id, &body);
	wire_buf_done(&body);
}

static bool answer_extended(struct fixture *fix, int fd, struct peer_message *message)
{
	g_autofree char *name = peer_get_string(message);

	g_string_append_printf(fix->log, "%s\n", name);
	if (strstr(name, "statvfs"))
		answer_statvfs(fix, fd, message->id);
	else
		peer_send_status(fd, message->id, fix->status, "Failure");
	return true;
}

static void answer_read(struct fixture *fix, int fd, struct peer_message *message)
{
	g_autofree char *handle = peer_get_string(message);
	uint64_t offset = wire_get_u64(&message->body);
	size_t size = wire_get_u32(&message->body);

	g_assert_cmpstr(handle, ==, "h");
	fix->reads++;
	if (offset >= fix->content_size) {
		peer_send_status(fd, message->id, SFTP_EOF, "End of file");
		return;
	}
	size = MIN(size, fix->content_size - offset);
	if (fix->reply_max > 0)
		size = MIN(size, fix->reply_max);
	peer_send_data(fd, message->id, fix->content + offset, size);
}

/* A server with one file; all that changes something fails with `status`. */
static bool answer_file(struct fixture *fix, int fd, struct peer_message *message)
{
	switch (message->type) {
	case SFTP_OPEN:
	case SFTP_OPENDIR:
		return peer_send_handle(fd, message->id, "h");
	case SFTP_CLOSE:
		peer_send_status(fd, message->id, SFTP_OK, "");
		peer_count(&fix->closed);
		return true;
	case SFTP_READ:
		answer_read(fix, fd, message);
		return true;
	case SFTP_LSTAT:
	case SFTP_STAT:
	case SFTP_FSTAT:
		g_string_append(fix->log, message->type == SFTP_FSTAT  ? "FSTAT\n"
		                          : message->type == SFTP_STAT ? "STAT\n"
		                                                       : "LSTAT\n");
		answer_attrs(fix, fd, message->id);
		return true;
	case SFTP_EXTENDED:
		return answer_extended(fix, fd, message);
	default:
		g_string_append_printf(fix->log, "%u\n", message->type);
		return peer_send_status(fd, message->id, fix->status, "Failure");
	}
}

static struct sftp_file *open_file(struct fixture *fix)
{
	struct sftp_file *file = NULL;

	g_assert_cmpint(
		sftp_open(fix->client, "f", SFTP_OPEN_READ | SFTP_OPEN_WRITE, 0, &file, NULL), ==,
		0);
	return file;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static uint8_t *new_content(size_t size)
{
	uint8_t *bytes = g_malloc(size);

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 31 + (i >> 9));
	return bytes;
}

static void check_read(struct fixture *fix, struct sftp_file *file, size_t size, uint64_t offset)
{
	size_t expected = offset >= fix->content_size ? 0 : MIN(size, fix->content_size - offset);
	g_autofree uint8_t *buf = g_malloc0(size + 1);

	g_assert_cmpint(sftp_read(file, buf, size, offset), ==, expected);
	g_assert_cmpmem(buf, expected, fix->content + offset, expected);
}

static void test_read(void)
{
	static const size_t reply_maxima[] = {0, 1000, 32768};
	g_autofree uint8_t *content = new_content(300000);
	struct fixture fix;

	for (unsigned int i = 0; i < G_N_ELEMENTS(reply_maxima); i++) {
		struct sftp_file *file;

		fixture_open(&fix, answer_file, NULL);
		fix.content = content;
		fix.content_size = 300000;
		fix.reply_max = reply_maxima[i];
		file = open_file(&fix);
		check_read(&fix, file, 0, 0);
		check_read(&fix, file, 1, 0);
		check_read(&fix, file, 300000, 0);
		check_read(&fix, file, 400000, 0);
		check_read(&fix, file, 131072, 200000);
		check_read(&fix, file, 10, 299999);
		check_read(&fix, file, 10, 300000);
		check_read(&fix, file, 10, 1000000);
		sftp_file_unref(file);
		fixture_close(&fix);
	}
}

/* More pieces than may be in flight, of a size that the user chose. */
static void test_read_many_pieces(void)
{
	g_autofree uint8_t *content = new_content(200000);
	struct sftp_file *file;
	struct fixture fix;

	fixture_open_with(&fix, answer_file, NULL, (struct sftp_settings){.max_read = 1024});
	fix.content = content;
	fix.content_size = 200000;
	file = open_file(&fix);
	check_read(&fix, file, 200000, 0);
	g_assert_cmpuint(fix.reads, ==, (200000 + 1023) / 1024);
	sftp_file_unref(file);
	fixture_close(&fix);
}

/* Up to the end as it was when the file was opened, and beyond it: grown and shrunk, too. */
static void test_read_likely_end(void)
{
	g_autofree uint8_t *content = new_content(1000);
	static const size_t sizes[] = {700, 400, 1000, 1};
	struct sftp_after after = {0};
	struct sftp_file *file;
	struct fixture fix;

	fixture_open(&fix, answer_file, NULL);
	fix.content = content;
	fix.attrs = (struct sftp_attrs){.flags = SFTP_ATTR_SIZE, .size = 700};
	g_assert_cmpint(sftp_open(fix.client, "f", SFTP_OPEN_READ, 0, &file, &after), ==, 0);
	for (unsigned int i = 0; i < G_N_ELEMENTS(sizes); i++) {
		fix.content_size = sizes[i];
		check_read(&fix, file, 4096, 0);
		check_read(&fix, file, 701, 0);
		check_read(&fix, file, 700, 0);
		check_read(&fix, file, 10, 699);
		check_read(&fix, file, 10, 700);
	}
	sftp_file_unref(file);
	fixture_close(&fix);
}

/* The first READ gets 10 bytes, then there is nothing, without anybody saying so. */
static bool answer_nothing(struct fixture *fix, int fd, struct peer_message *message)
{
	if (message->type != SFTP_READ)
		return answer_file(fix, fd, message);
	fix->reads++;
	return peer_send_data(fd, message->id, "0123456789", fix->reads == 1 ? 10 : 0);
}

static void test_read_nothing(void)
{
	struct sftp_file *file;
	struct fixture fix;
	char buf[100];

	fixture_open(&fix, answer_nothing, NULL);
	file = open_file(&fix);
	g_assert_cmpint(sftp_read(file, buf, sizeof(buf), 0), ==, 10);
	sftp_file_unref(file);
	fixture_close(&fix);
}

static bool answer_read_failure(struct fixture *fix, int fd, struct peer_message *message)
{
	if (message->type != SFTP_READ)
		return answer_file(fix, fd, message);
	if (fix->reads++ == 0)
		return peer_send_data(fd, message->id, "0123456789", 10);
	return peer_send_status(fd, message->id, fix->status, "");
}

/* An error is not the end of the file. */
static void test_read_failure(void)
{
	static const struct {
		uint32_t status;
		int error;
	} cases[] = {{SFTP_PERMISSION_DENIED, -EACCES}, {SFTP_FAILURE, -EIO}, {SFTP_OK, -EPROTO}};
	struct fixture fix;
	char buf[100];

	for (unsigned int i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct sftp_file *file;

		fixture_open(&fix, answer_read_failure, NULL);
		fix.status = cases[i].status;
		file = open_file(&fix);
		g_assert_cmpint(sftp_read(file, buf, sizeof(buf), 0), ==, cases[i].error);
		sftp_file_unref(file);
		fixture_close(&fix);
	}
}

/* ---- giving up -------------------------------------------------------------------------------- */

struct caller {
	struct fixture *fix;
	struct sftp_file *file;
	struct sftp_cancel *cancel;
	long result;
};

static void *open_main(void *arg)
{
	struct caller *caller = arg;
	struct sftp_file *file = NULL;

	sftp_cancel_bind(caller->cancel);
	caller->result = sftp_open(caller->fix->client, "f", SFTP_OPEN_READ, 0, &file, NULL);
	/* Raised is raised: the next one does not even start. */
	g_assert_cmpint(sftp_remove(caller->fix->client, "f"), ==, -EINTR);
	sftp_cancel_bind(NULL);
	g_assert_null(file);
	return NULL;
}

static bool answer_late(struct fixture *fix, int fd, struct peer_message *message)
{
	if (message->type == SFTP_OPEN)
		peer_await(&fix->release, 1);
	return answer_file(fix, fd, message);
}

static void test_cancel_open(void)
{
	struct caller caller;
	struct fixture fix;
	pthread_t thread;

	fixture_open(&fix, answer_late, NULL);
	caller = (struct caller){.fix = &fix, .cancel = sftp_cancel_new()};
	pthread_create(&thread, NULL, open_main, &caller);
	peer_await(&fix.arrived, 1);
	sftp_cancel_raise(caller.cancel);
	pthread_join(thread, NULL);
	g_assert_cmpint(caller.result, ==, -EINTR);
	peer_count(&fix.release);
	peer_await(&fix.closed, 1);
	sftp_cancel_free(caller.cancel);
	fixture_close(&fix);
}

static void *read_main(void *arg)
{
	struct caller *caller = arg;
	g_autofree uint8_t *buf = g_malloc(200000);

	sftp_cancel_bind(caller->cancel);
	caller->result = sftp_read(caller->file, buf, 200000, 0);
	sftp_cancel_bind(NULL);
	return NULL;
}

/* Half a payload, and the rest after the reader has gone (and freed its buffer). */
static bool answer_half(struct fixture *fix, int fd, struct peer_message *message)
{
	struct wire_buf whole;

	if (message->type != SFTP_READ || fix->reads++ > 0)
		return answer_file(fix, fd, message);
	wire_buf_init(&whole);
	wire_put_u32(&whole, 9 + 1024);
	wire_put_u8(&whole, SFTP_DATA);
	wire_put_u32(&whole, message->id);
	wire_put_string(&whole, fix->content, 1024);
	peer_send_raw(fd, whole.data, 500);
	peer_count(&fix->closed);
	peer_await(&fix->release, 1);
	peer_send_raw(fd, whole.data + 500, whole.size - 500);
	wire_buf_done(&whole);
	return true;
}

static void test_cancel_read(void)
{
	g_autofree uint8_t *content = new_content(200000);
	struct caller caller;
	struct fixture fix;
	pthread_t thread;

	/* More pieces than are in flight: more would be asked for, if nobody had given up. */
	fixture_open_with(&fix, answer_half, NULL, (struct sftp_settings){.max_read = 1024});
	fix.content = content;
	fix.content_size = 200000;
	caller = (struct caller){.fix = &fix, .cancel = sftp_cancel_new(), .file = open_file(&fix)};
	pthread_create(&thread, NULL, read_main, &caller);
	peer_await(&fix.closed, 1);
	sftp_cancel_raise(caller.cancel);
	pthread_join(thread, NULL);
	g_assert_cmpint(caller.result, ==, -EINTR);
	peer_count(&fix.release);
	/* The connection has kept its place in the stream. */
	check_read(&fix, caller.file, 200000, 0);
	sftp_file_unref(caller.file);
	sftp_cancel_free(caller.cancel);
	fixture_close(&fix);
}

static void test_cancel_reset(void)
{
	struct sftp_cancel *cancel = sftp_cancel_new();
	struct sftp_attrs attrs;
	struct fixture fix;

	fixture_open(&fix, answer_file, NULL);
	fix.attrs.flags = SFTP_ATTR_SIZE;
	sftp_cancel_bind(cancel);
	sftp_cancel_raise(cancel);
	g_assert_cmpint(sftp_client_connect(fix.client, NULL), ==, -EINTR);
	sftp_cancel_reset(cancel);
	g_assert_cmpint(sftp_lstat(fix.client, "f", &attrs), ==, 0);
	sftp_cancel_bind(NULL);
	sftp_cancel_free(cancel);
	fixture_close(&fix);
}

/* ---- writing ---------------------------------------------------------------------------------- */

struct written {
	struct peer_counter count;
	int error;
};

static void on_written(void *data, int error)
{
	struct written *written = data;

	written->error = error;
	peer_count(&written->count);
}

static int write_and_wait(struct sftp_file *file, size_t size, uint64_t offset)
{
	struct written written = {.count = PEER_COUNTER_INIT};
	g_autofree uint8_t *bytes = new_content(MAX(size, 1));
	int error = sftp_write_async(file, bytes, size, offset, on_written, &written);

	if (error)
		return error;
	peer_await(&written.count, 1);
	return written.error;
}

static void test_write(void)
{
	struct sftp_file *file;
	struct fixture fix;

	fixture_open_with(&fix, answer_file, all_extensions,
	                  (struct sftp_settings){.max_write = 1000});
	fix.status = SFTP_OK;
	file = open_file(&fix);
	g_assert_cmpint(write_and_wait(file, 2500, 0), ==, 0);
	g_assert_cmpint(write_and_wait(file, 10, INT64_MAX), ==, -EFBIG);
	sftp_file_unref(file);
	peer_await(&fix.closed, 1);
	check_log(&fix, "6\n6\n6\n");
}

static void check_write_failure(const char *const *extensions, uint32_t status, uint64_t bavail,
                                uint64_t flag, int expected)
{
	struct sftp_file *file;
	struct fixture fix;

	fixture_open(&fix, answer_file, extensions);
	fix.status = status;
	fix.bavail = bavail;
	fix.flag = flag;
	file = open_file(&fix);
	g_assert_cmpint(write_and_wait(file, 100000, 0), ==, expected);
	sftp_file_unref(file);
	fixture_close(&fix);
}

static void test_write_failures(void)
{
	check_write_failure(all_extensions, SFTP_FAILURE, 0, 0, -ENOSPC);
	check_write_failure(all_extensions, SFTP_FAILURE, 3, 0, -ENOSPC);
	check_write_failure(all_extensions, SFTP_FAILURE, 1000, 0, -EIO);
	check_write_failure(all_extensions, SFTP_FAILURE, 0, SFTP_STATVFS_RDONLY, -EROFS);
	check_write_failure(all_extensions, SFTP_PERMISSION_DENIED, 0, 0, -EACCES);
	check_write_failure(NULL, SFTP_FAILURE, 0, 0, -EIO);
}

static void test_fsync(void)
{
	struct sftp_file *file;
	struct fixture fix;

	fixture_open(&fix, answer_file, NULL);
	file = open_file(&fix);
	g_assert_cmpint(sftp_fsync(file), ==, -EOPNOTSUPP);
	sftp_file_unref(file);
	fixture_close(&fix);

	fixture_open(&fix, answer_file, all_extensions);
	file = open_file(&fix);
	g_assert_cmpint(sftp_fsync(file), ==, -ENOSPC);
	fix.status = SFTP_OK;
	g_assert_cmpint(sftp_fsync(file), ==, 0);
	sftp_file_unref(file);
	fixture_close(&fix);
}

static void test_copy_data(void)
{
	struct sftp_file *a, *b;
	struct fixture fix;

	fixture_open(&fix, answer_file, all_extensions);
	fix.status = SFTP_OK;
	a = open_file(&fix);
	b = open_file(&fix);
	g_assert_cmpint(sftp_copy_data(a, 0, a, 10, 11, NULL), ==, -EINVAL);
	g_assert_cmpint(sftp_copy_data(a, 10, a, 0, 11, NULL), ==, -EINVAL);
	g_assert_cmpint(sftp_copy_data(a, 0, b, 0, 0, NULL), ==, 0);
	g_assert_cmpint(sftp_copy_data(a, 0, a, 10, 10, NULL), ==, 0);
	g_assert_cmpint(sftp_copy_data(a, 0, b, 10, 100, NULL), ==, 0);
	sftp_file_unref(a);
	sftp_file_unref(b);
	check_log(&fix, "copy-data\ncopy-data\n");
}

/* ---- connections that end --------------------------------------------------------------------- */

static void test_stale(void)
{
	struct sftp_file *file, *fresh;
	struct sftp_attrs attrs;
	struct fixture fix;
	char buf[10];

	fixture_open_with(&fix, answer_file, all_extensions,
	                  (struct sftp_settings){.reconnect = true});
	fix.attrs.flags = SFTP_ATTR_SIZE;
	file = open_file(&fix);
	g_assert_false(sftp_file_is_stale(file));
	peer_connector_cut(fix.connector);
	while (!sftp_file_is_stale(file))
		g_usleep(1000);
	fresh = open_file(&fix);
	g_assert_cmpuint(peer_counted(&fix.reconnected), ==, 1);
	g_assert_false(sftp_file_is_stale(fresh));
	g_assert_cmpint(sftp_read(file, buf, sizeof(buf), 0), ==, -ENOTCONN);
	g_assert_cmpint(sftp_fstat(file, &attrs), ==, -ENOTCONN);
	g_assert_cmpint(write_and_wait(file, 10, 0), ==, -ENOTCONN);
	g_assert_cmpint(sftp_copy_data(file, 0, fresh, 0, 1, NULL), ==, -EXDEV);
	g_assert_cmpint(sftp_fstat(fresh, &attrs), ==, 0);
	sftp_file_unref(file);
	sftp_file_unref(fresh);
	fixture_close(&fix);
}

static bool hang_up(struct fixture *fix, int fd, struct peer_message *message)
{
	if (message->type == SFTP_OPEN)
		return answer_file(fix, fd, message);
	return false;
}

static void test_hang_up(void)
{
	struct sftp_file *file;
	struct fixture fix;
	char buf[10];

	fixture_open(&fix, hang_up, NULL);
	file = open_file(&fix);
	g_assert_cmpint(sftp_read(file, buf, sizeof(buf), 0), ==, -ENOTCONN);
	g_assert_cmpint(sftp_mkdir(fix.client, "d", 0755, NULL), ==, -ENOTCONN);
	g_assert_false(sftp_client_is_connected(fix.client));
	sftp_file_unref(file);
	fixture_close(&fix);
}

/* ---- attributes ------------------------------------------------------------------------------- */

/* Logs what is to be set. */
static bool answer_setstat(struct fixture *fix, int fd, struct peer_message *message)
{
	g_autofree char *subject = NULL;
	struct sftp_attrs attrs;

	if (message->type != SFTP_SETSTAT && message->type != SFTP_FSETSTAT)
		return answer_file(fix, fd, message);
	subject = peer_get_string(message);
	sftp_get_attrs(&message->body, &attrs);
	g_string_append_printf(fix->log, "SET %s %x %u:%u\n", subject, attrs.flags, attrs.uid,
	                       attrs.gid);
	return peer_send_status(fd, message->id, SFTP_OK, "");
}

static void test_setstat(void)
{
	struct sftp_attrs both = {.flags = SFTP_ATTR_UIDGID, .uid = 1, .gid = 2};
	struct sftp_attrs uid = {.flags = SFTP_ATTR_UIDGID, .uid = 1, .gid = UINT32_MAX};
	struct sftp_attrs gid = {.flags = SFTP_ATTR_UIDGID, .uid = UINT32_MAX, .gid = 2};
	struct sftp_attrs none = {.flags = SFTP_ATTR_UIDGID | SFTP_ATTR_PERMISSIONS,
	                          .uid = UINT32_MAX,
	                          .gid = UINT32_MAX};
	struct sftp_file *file;
	struct fixture fix;

	fixture_open(&fix, answer_setstat, NULL);
	fix.attrs = (struct sftp_attrs){.flags = SFTP_ATTR_UIDGID, .uid = 70, .gid = 80};
	g_assert_cmpint(sftp_setstat(fix.client, "f", &both, NULL), ==, 0);
	g_assert_cmpint(sftp_setstat(fix.client, "f", &uid, NULL), ==, 0);
	g_assert_cmpint(sftp_setstat(fix.client, "f", &gid, NULL), ==, 0);
	g_assert_cmpint(sftp_setstat(fix.client, "f", &none, NULL), ==, 0);
	g_assert_cmpint(sftp_lsetstat(fix.client, "f", &both, NULL), ==, -EOPNOTSUPP);
	file = open_file(&fix);
	g_assert_cmpint(sftp_fsetstat(file, &uid, NULL, NULL), ==, 0);
	sftp_file_unref(file);
	check_log(&fix, "SET f 2 1:2\nSTAT\nSET f 2 1:80\nSTAT\nSET f 2 70:2\nSET f 4 0:0\n"
	                "FSTAT\nSET h 2 1:80\n");
}

static bool answer_cut_attrs(struct fixture *fix, int fd, struct peer_message *message)
{
	struct wire_buf body;

	wire_buf_init(&body);
	wire_put_u32(&body, SFTP_ATTR_SIZE);
	wire_put_u32(&body, 1);
	peer_send(fd, message->type == SFTP_LSTAT ? SFTP_ATTRS : SFTP_NAME, message->id, &body);
	wire_buf_done(&body);
	return true;
}

static void test_senseless(void)
{
	struct sftp_attrs attrs;
	char *target = NULL;
	struct fixture fix;

	fixture_open(&fix, answer_cut_attrs, NULL);
	g_assert_cmpint(sftp_lstat(fix.client, "f", &attrs), ==, -EPROTO);
	g_assert_cmpint(sftp_stat(fix.client, "f", &attrs), ==, -EPROTO);
	g_assert_cmpint(sftp_readlink(fix.client, "f", &target), ==, -EPROTO);
	g_assert_cmpint(sftp_mkdir(fix.client, "f", 0, NULL), ==, -EPROTO);
	g_assert_null(target);
	fixture_close(&fix);
}

static void test_long_path(void)
{
	g_autofree char *path = g_strnfill(300 * 1024, 'x');
	struct sftp_attrs attrs;
	struct fixture fix;

	fixture_open(&fix, answer_file, NULL);
	g_assert_cmpint(sftp_lstat(fix.client, path, &attrs), ==, -ENAMETOOLONG);
	g_assert_cmpint(sftp_mkdir(fix.client, path, 0, NULL), ==, -ENAMETOOLONG);
	fixture_close(&fix);
}

/* idmap=user: asked before anything else, once. */
static void test_idmap_user(void)
{
	struct sftp_settings settings = {.idmap.mode = IDMAP_USER, .reconnect = true};
	struct sftp_attrs attrs;
	struct fixture fix;

	fixture_open_with(&fix, answer_file, NULL, settings);
	fix.attrs = (struct sftp_attrs){.flags = SFTP_ATTR_UIDGID, .uid = 70, .gid = 80};
	g_assert_cmpint(sftp_lstat(fix.client, "f", &attrs), ==, 0);
	peer_connector_cut(fix.connector);
	while (sftp_client_is_connected(fix.client))
		g_usleep(1000);
	g_assert_cmpint(sftp_lstat(fix.client, "f", &attrs), ==, 0);
	check_log(&fix, "STAT\nLSTAT\nLSTAT\n");
}

static void test_idmap_user_fails(void)
{
	struct sftp_settings settings = {.idmap.mode = IDMAP_USER};
	g_autofree char *why = NULL;
	struct fixture fix;

	fixture_open_with(&fix, answer_file, NULL, settings);
	g_assert_cmpint(sftp_client_connect(fix.client, &why), ==, -ENOTCONN);
	g_assert_nonnull(strstr(why, "remote user"));
	fixture_close(&fix);
}

/* ---- what came of a change -------------------------------------------------------------------- */

/* All that changes something succeeds, once what is asked behind it has come: they share a round trip. */
static bool answer_changes(struct fixture *fix, int fd, struct peer_message *message)
{
	struct peer_message after;

	switch (message->type) {
	case SFTP_MKDIR:
	case SFTP_SYMLINK:
	case SFTP_SETSTAT:
	case SFTP_FSETSTAT:
	case SFTP_EXTENDED:
		break;
	default:
		return answer_file(fix, fd, message);
	}
	g_string_append_printf(fix->log, "%u ", message->type);
	if (!peer_receive(fd, &after))
		return false;
	answer_file(fix, fd, &after);
	peer_message_clear(&after);
	return peer_send_status(fd, message->id, SFTP_OK, "");
}

static void test_after_each(void)
{
	struct sftp_attrs mode = {.flags = SFTP_ATTR_PERMISSIONS, .permissions = 0640};
	struct sftp_after after = {0}, follow = {.follow = true};
	struct sftp_file *file;
	struct fixture fix;

	fixture_open(&fix, answer_changes, all_extensions);
	fix.attrs = (struct sftp_attrs){.flags = SFTP_ATTR_SIZE | SFTP_ATTR_PERMISSIONS,
	                                .size = 5,
	                                .permissions = S_IFREG | 0640};
	file = open_file(&fix);
	g_assert_cmpint(sftp_mkdir(fix.client, "d", 0, &after), ==, 0);
	g_assert_cmpint(after.error, ==, 0);
	g_assert_cmpuint(after.attrs.size, ==, 5);
	g_assert_cmpint(sftp_symlink(fix.client, "t", "s", &follow), ==, 0);
	g_assert_cmpint(sftp_link(fix.client, "f", "l", &after), ==, 0);
	g_assert_cmpint(sftp_setstat(fix.client, "f", &mode, &follow), ==, 0);
	g_assert_cmpint(sftp_lsetstat(fix.client, "f", &mode, &after), ==, 0);
	g_assert_cmpint(sftp_fsetstat(file, &mode, "f", &after), ==, 0);
	g_assert_cmpint(sftp_fsetstat(file, &mode, NULL, &follow), ==, 0);
	g_assert_cmpint(after.error, ==, 0);
	g_assert_cmpint(follow.error, ==, 0);
	sftp_file_unref(file);
	check_log(&fix, "14 LSTAT\n20 STAT\n200 LSTAT\n9 STAT\n200 LSTAT\n10 LSTAT\n10 FSTAT\n");
}

/* What is found is `found` when `set` has just been set. */
static void check_after(const struct sftp_attrs *set, const struct sftp_attrs *found, int expected)
{
	struct sftp_after after = {0};
	struct fixture fix;

	fixture_open(&fix, answer_changes, NULL);
	fix.attrs = *found;
	g_assert_cmpint(sftp_setstat(fix.client, "f", set, &after), ==, 0);
	g_assert_cmpint(after.error, ==, expected);
	fixture_close(&fix);
}

static void test_after_contradictions(void)
{
	const struct sftp_attrs set = {
		.flags =
			SFTP_ATTR_SIZE | SFTP_ATTR_UIDGID | SFTP_ATTR_PERMISSIONS | SFTP_ATTR_TIMES,
		.size = 1,
		.uid = 2,
		.gid = 3,
		.permissions = 0640,
		.atime = 5,
		.mtime = 6,
	};
	struct sftp_attrs found = set;

	check_after(&set, &(struct sftp_attrs){0}, -EAGAIN);
	check_after(&set, &found, 0);
	/* What is not told contradicts nothing, nor does a type. */
	found.permissions |= S_IFREG;
	check_after(&set, &found, 0);
	found.flags = SFTP_ATTR_SIZE;
	found.mtime = 7;
	check_after(&set, &found, 0);
	found.flags = set.flags;
	check_after(&set, &found, -EAGAIN);
	found = set;
	found.size++;
	check_after(&set, &found, -EAGAIN);
	found = set;
	found.gid++;
	check_after(&set, &found, -EAGAIN);
	found = set;
	found.permissions = S_IFREG | 0644;
	check_after(&set, &found, -EAGAIN);
	found = set;
	found.atime++;
	check_after(&set, &found, -EAGAIN);
}

static void test_after_truncating(void)
{
	const uint32_t flags = SFTP_OPEN_WRITE | SFTP_OPEN_TRUNC;
	struct sftp_after after = {0};
	struct sftp_file *file;
	struct fixture fix;

	fixture_open(&fix, answer_file, NULL);
	fix.attrs = (struct sftp_attrs){.flags = SFTP_ATTR_SIZE, .size = 1};
	g_assert_cmpint(sftp_open(fix.client, "f", flags, 0, &file, &after), ==, 0);
	g_assert_cmpint(after.error, ==, -EAGAIN);
	sftp_file_unref(file);
	g_assert_cmpint(sftp_open(fix.client, "f", SFTP_OPEN_WRITE, 0, &file, &after), ==, 0);
	g_assert_cmpint(after.error, ==, 0);
	sftp_file_unref(file);
	fix.attrs.size = 0;
	g_assert_cmpint(sftp_open(fix.client, "f", flags, 0, &file, &after), ==, 0);
	g_assert_cmpint(after.error, ==, 0);
	sftp_file_unref(file);
	fixture_close(&fix);
}

/* ---- names ------------------------------------------------------------------------------------ */

static bool answer_names(struct fixture *fix, int fd, struct peer_message *message)
{
	g_autofree char *a = NULL;
	g_autofree char *b = NULL;

	if (message->type != SFTP_SYMLINK && message->type != SFTP_RENAME)
		return answer_file(fix, fd, message);
	a = peer_get_string(message);
	b = peer_get_string(message);
	g_string_append_printf(fix->log, "%u %s %s\n", message->type, a, b);
	return peer_send_status(fd, message->id, SFTP_OK, "");
}

static void test_symlink_order(void)
{
	struct fixture fix;

	fixture_open(&fix, answer_names, NULL);
	g_assert_cmpint(sftp_symlink(fix.client, "target", "name", NULL), ==, 0);
	check_log(&fix, "20 target name\n");
}

static void test_old_server(void)
{
	char *target = NULL;
	struct fixture fix;

	fixture_open(&fix, answer_file, NULL);
	fix.version = 2;
	g_assert_cmpint(sftp_symlink(fix.client, "target", "name", NULL), ==, -EPERM);
	g_assert_cmpint(sftp_readlink(fix.client, "name", &target), ==, -EPERM);
	check_log(&fix, "");
}

static void test_without_extensions(void)
{
	struct sftp_statvfs statvfs;
	char *path = NULL;
	struct fixture fix;

	fixture_open(&fix, answer_file, NULL);
	g_assert_cmpint(sftp_link(fix.client, "a", "b", NULL), ==, -EOPNOTSUPP);
	g_assert_cmpint(sftp_statvfs(fix.client, "a", &statvfs), ==, -EOPNOTSUPP);
	g_assert_cmpint(sftp_expand_path(fix.client, "~", &path), ==, -EOPNOTSUPP);
	g_assert_cmphex(sftp_client_extensions(fix.client), ==, 0);
	check_log(&fix, "");
}

static void test_rename_kinds(void)
{
	struct fixture fix;

	fixture_open(&fix, answer_names, all_extensions);
	fix.status = SFTP_OK;
	g_assert_cmpint(sftp_rename(fix.client, "a", "b", 0), ==, 0);
	g_assert_cmpint(sftp_rename(fix.client, "a", "b", RENAME_NOREPLACE), ==, 0);
	g_assert_cmpint(sftp_rename(fix.client, "a", "b", RENAME_EXCHANGE), ==, -EINVAL);
	fix.attrs.flags = SFTP_ATTR_SIZE;
	g_assert_cmpint(sftp_rename(fix.client, "a", "b", RENAME_NOREPLACE), ==, -EEXIST);
	check_log(&fix, "posix-rename@openssh.com\nLSTAT\n18 a b\nLSTAT\n");
}

/* RENAME onto "to" fails until "to" has been moved; or always, with `reads` set. */
static bool answer_aside(struct fixture *fix, int fd, struct peer_message *message)
{
	g_autofree char *a = NULL;
	g_autofree char *b = NULL;
	uint32_t status = SFTP_OK;

	if (message->type == SFTP_REMOVE) {
		a = peer_get_string(message);
		g_string_append_printf(fix->log, "REMOVE %zu\n", strlen(a));
		return peer_send_status(fd, message->id, SFTP_OK, "");
	}
	if (message->type != SFTP_RENAME)
		return answer_file(fix, fd, message);
	a = peer_get_string(message);
	b = peer_get_string(message);
	if (strcmp(a, "from") == 0 && (fix->reads || !strstr(fix->log->str, "to to")))
		status = SFTP_FAILURE;
	g_string_append_printf(fix->log, "RENAME %.2s %.2s %zu\n", a, b, strlen(b));
	return peer_send_status(fd, message->id, status, "Failure");
}

static void test_workaround_rename(void)
{
	struct sftp_settings settings = {.workaround_rename = true};
	struct fixture fix;

	fixture_open_with(&fix, answer_aside, NULL, settings);
	g_assert_cmpint(sftp_rename(fix.client, "from", "to", 0), ==, 0);
	check_log(&fix, "RENAME fr to 2\nLSTAT\nLSTAT\nRENAME to to 10\nRENAME fr to 2\n"
	                "REMOVE 10\n");
}

static void test_workaround_rename_rolls_back(void)
{
	struct sftp_settings settings = {.workaround_rename = true};
	struct fixture fix;

	fixture_open_with(&fix, answer_aside, NULL, settings);
	fix.reads = 1;
	g_assert_cmpint(sftp_rename(fix.client, "from", "to", 0), ==, -EPERM);
	check_log(&fix, "RENAME fr to 2\nLSTAT\nLSTAT\nRENAME to to 10\nRENAME fr to 2\n"
	                "LSTAT\nLSTAT\nRENAME to to 2\n");
}

static void test_workaround_renamexdev(void)
{
	struct sftp_settings settings = {.workaround_renamexdev = true};
	struct fixture fix;

	fixture_open_with(&fix, answer_file, NULL, settings);
	g_assert_cmpint(sftp_rename(fix.client, "a", "b", 0), ==, -EXDEV);
	fixture_close(&fix);
}

static bool answer_mode(struct fixture *fix, int fd, struct peer_message *message)
{
	g_autofree char *path = NULL;
	struct sftp_attrs attrs;

	if (message->type != SFTP_OPEN)
		return answer_file(fix, fd, message);
	path = peer_get_string(message);
	g_string_append_printf(fix->log, "%x ", wire_get_u32(&message->body));
	sftp_get_attrs(&message->body, &attrs);
	g_string_append_printf(fix->log, "%x %o\n", attrs.flags, attrs.permissions);
	return peer_send_handle(fd, message->id, "h");
}

static void test_open_mode(void)
{
	struct sftp_after after = {.follow = true};
	struct sftp_file *file;
	struct fixture fix;

	fixture_open(&fix, answer_mode, NULL);
	g_assert_cmpint(sftp_open(fix.client, "f", SFTP_OPEN_READ, 0777, &file, NULL), ==, 0);
	sftp_file_unref(file);
	g_assert_cmpint(sftp_open(fix.client, "f", SFTP_OPEN_WRITE | SFTP_OPEN_CREAT, 0100640,
	                          &file, &after),
	                ==, 0);
	g_assert_cmpint(after.error, ==, -EAGAIN);
	sftp_file_unref(file);
	check_log(&fix, "1 0 0\na 4 640\nSTAT\n");

	fixture_open_with(&fix, answer_mode, NULL,
	                  (struct sftp_settings){.workaround_createmode = true});
	g_assert_cmpint(
		sftp_open(fix.client, "f", SFTP_OPEN_WRITE | SFTP_OPEN_CREAT, 0640, &file, NULL),
		==, 0);
	sftp_file_unref(file);
	check_log(&fix, "a 0 0\n");
}

/* ---- listings --------------------------------------------------------------------------------- */

static void put_name(struct wire_buf *body, const char *name, size_t size)
{
	wire_put_string(body, name, size);
	wire_put_cstring(body, "-rw-r--r-- 1 nobody nobody 0 Jan 1 1970 x");
	wire_put_u32(body, 0);
}

static bool answer_list(struct fixture *fix, int fd, struct peer_message *message)
{
	g_autofree char *long_name = g_strnfill(1025, 'n');
	g_autofree char *longest_name = g_strnfill(1024, 'm');
	struct wire_buf body;

	if (message->type != SFTP_READDIR)
		return answer_file(fix, fd, message);
	if (++fix->reads == 4)
		return peer_send_status(fd, message->id, SFTP_EOF, "");
	wire_buf_init(&body);
	if (fix->reads == 1) {
		wire_put_u32(&body, 9);
		put_name(&body, ".", 1);
		put_name(&body, "..", 2);
		put_name(&body, "", 0);
		put_name(&body, "a/b", 3);
		put_name(&body, "a\0b", 3);
		put_name(&body, long_name, 1025);
		put_name(&body, longest_name, 1024);
		put_name(&body, "...", 3);
		put_name(&body, "\xff\xfe", 2);
	} else if (fix->reads == 2) {
		wire_put_u32(&body, 0);
	} else {
		wire_put_u32(&body, 1);
		put_name(&body, "last", 4);
	}
	peer_send(fd, SFTP_NAME, message->id, &body);
	wire_buf_done(&body);
	return true;
}

static int collect(const char *name, const struct sftp_attrs *attrs, void *data)
{
	g_assert_nonnull(attrs);
	g_ptr_array_add(data, g_strdup(name));
	return 0;
}

static void test_list(void)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	struct fixture fix;

	fixture_open_with(&fix, answer_list, NULL, (struct sftp_settings){.sync_readdir = true});
	g_assert_cmpint(list_folder(fix.client, "d", collect, names), ==, 0);
	g_assert_cmpuint(names->len, ==, 4);
	g_assert_cmpuint(strlen(g_ptr_array_index(names, 0)), ==, 1024);
	g_assert_cmpstr(g_ptr_array_index(names, 1), ==, "...");
	g_assert_cmpstr(g_ptr_array_index(names, 2), ==, "\xff\xfe");
	g_assert_cmpstr(g_ptr_array_index(names, 3), ==, "last");
	/* One in flight: nothing was asked beyond the end. */
	peer_await(&fix.closed, 1);
	g_assert_cmpuint(fix.reads, ==, 4);
	fixture_close(&fix);
}

/* 100 replies of one name; the requests beyond the end get EOF. */
static bool answer_long_list(struct fixture *fix, int fd, struct peer_message *message)
{
	g_autofree char *name = NULL;
	struct wire_buf body;

	if (message->type != SFTP_READDIR)
		return answer_file(fix, fd, message);
	if (fix->reads >= 100) {
		fix->reads++;
		return peer_send_status(fd, message->id, SFTP_EOF, "");
	}
	name = g_strdup_printf("%u", fix->reads++);
	wire_buf_init(&body);
	wire_put_u32(&body, 1);
	put_name(&body, name, strlen(name));
	peer_send(fd, SFTP_NAME, message->id, &body);
	wire_buf_done(&body);
	return true;
}

static void test_list_window(void)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	struct fixture fix;

	fixture_open(&fix, answer_long_list, NULL);
	g_assert_cmpint(list_folder(fix.client, "d", collect, names), ==, 0);
	peer_await(&fix.closed, 1);
	g_assert_cmpuint(names->len, ==, 100);
	for (unsigned int i = 0; i < names->len; i++)
		g_assert_cmpuint(g_ascii_strtoull(names->pdata[i], NULL, 10), ==, i);
	/* Beyond the end at most a window. */
	g_assert_cmpuint(fix.reads, >, 100);
	g_assert_cmpuint(fix.reads, <=, 132);
	fixture_close(&fix);
}

static int stop(const char *name, const struct sftp_attrs *attrs, void *data)
{
	return strcmp(name, "3") == 0 ? -ENOMEM : 0;
}

static void test_list_stopped(void)
{
	struct fixture fix;

	fixture_open(&fix, answer_long_list, NULL);
	g_assert_cmpint(list_folder(fix.client, "d", stop, NULL), ==, -ENOMEM);
	peer_await(&fix.closed, 1);
	fixture_close(&fix);
}

static bool answer_hostile_list(struct fixture *fix, int fd, struct peer_message *message)
{
	struct wire_buf body;

	if (message->type != SFTP_READDIR)
		return answer_file(fix, fd, message);
	wire_buf_init(&body);
	wire_put_u32(&body, (uint32_t)fix->fsid);
	if (fix->fsid > 0)
		put_name(&body, "x", 1);
	peer_send(fd, SFTP_NAME, message->id, &body);
	wire_buf_done(&body);
	return true;
}

static void test_list_hostile(void)
{
	static const uint32_t counts[] = {2, UINT32_MAX, 0};
	struct fixture fix;

	for (unsigned int i = 0; i < G_N_ELEMENTS(counts); i++) {
		g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

		fixture_open(&fix, answer_hostile_list, NULL);
		fix.fsid = counts[i];
		g_assert_cmpint(list_folder(fix.client, "d", collect, names), ==, -EPROTO);
		fixture_close(&fix);
	}
}

/* ---- causes ----------------------------------------------------------------------------------- */

static void test_causes_by_space(void)
{
	struct fixture fix;

	fixture_open(&fix, answer_file, all_extensions);
	fix.bavail = 0;
	g_assert_cmpint(sftp_mkdir(fix.client, "d", 0, NULL), ==, -ENOSPC);
	g_assert_cmpint(sftp_symlink(fix.client, "t", "s", NULL), ==, -ENOSPC);
	g_assert_cmpint(sftp_remove(fix.client, "d"), ==, -EPERM);
	fix.flag = SFTP_STATVFS_RDONLY;
	g_assert_cmpint(sftp_mkdir(fix.client, "d", 0, NULL), ==, -EROFS);
	g_assert_cmpint(sftp_remove(fix.client, "d"), ==, -EROFS);
	g_assert_cmpint(sftp_rename(fix.client, "a", "b", 0), ==, -EROFS);
	fix.flag = 0;
	fix.bavail = 1000;
	g_assert_cmpint(sftp_mkdir(fix.client, "d", 0, NULL), ==, -EPERM);
	/* It exists after all. */
	fix.attrs.flags = SFTP_ATTR_SIZE;
	g_assert_cmpint(sftp_mkdir(fix.client, "d", 0, NULL), ==, -EEXIST);
	fixture_close(&fix);
}

static bool answer_other_fs(struct fixture *fix, int fd, struct peer_message *message)
{
	fix->fsid++;
	return answer_file(fix, fd, message);
}

static void test_causes_by_fsid(void)
{
	struct fixture fix;

	fixture_open(&fix, answer_other_fs, all_extensions);
	fix.bavail = 1000;
	g_assert_cmpint(sftp_rename(fix.client, "a/x", "b/x", 0), ==, -EXDEV);
	g_assert_cmpint(sftp_link(fix.client, "a/x", "b/x", NULL), ==, -EXDEV);
	fixture_close(&fix);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/client/read/plain", test_read);
	g_test_add_func("/client/read/many-pieces", test_read_many_pieces);
	g_test_add_func("/client/read/likely-end", test_read_likely_end);
	g_test_add_func("/client/read/nothing", test_read_nothing);
	g_test_add_func("/client/read/failure", test_read_failure);
	g_test_add_func("/client/cancel/open", test_cancel_open);
	g_test_add_func("/client/cancel/read", test_cancel_read);
	g_test_add_func("/client/cancel/reset", test_cancel_reset);
	g_test_add_func("/client/write/plain", test_write);
	g_test_add_func("/client/write/failures", test_write_failures);
	g_test_add_func("/client/fsync", test_fsync);
	g_test_add_func("/client/copy-data", test_copy_data);
	g_test_add_func("/client/stale", test_stale);
	g_test_add_func("/client/hang-up", test_hang_up);
	g_test_add_func("/client/setstat", test_setstat);
	g_test_add_func("/client/senseless", test_senseless);
	g_test_add_func("/client/long-path", test_long_path);
	g_test_add_func("/client/idmap-user", test_idmap_user);
	g_test_add_func("/client/idmap-user-fails", test_idmap_user_fails);
	g_test_add_func("/client/after/each", test_after_each);
	g_test_add_func("/client/after/contradictions", test_after_contradictions);
	g_test_add_func("/client/after/truncating", test_after_truncating);
	g_test_add_func("/client/symlink-order", test_symlink_order);
	g_test_add_func("/client/old-server", test_old_server);
	g_test_add_func("/client/without-extensions", test_without_extensions);
	g_test_add_func("/client/rename/kinds", test_rename_kinds);
	g_test_add_func("/client/rename/workaround", test_workaround_rename);
	g_test_add_func("/client/rename/rolls-back", test_workaround_rename_rolls_back);
	g_test_add_func("/client/rename/xdev", test_workaround_renamexdev);
	g_test_add_func("/client/open-mode", test_open_mode);
	g_test_add_func("/client/list/names", test_list);
	g_test_add_func("/client/list/window", test_list_window);
	g_test_add_func("/client/list/stopped", test_list_stopped);
	g_test_add_func("/client/list/hostile", test_list_hostile);
	g_test_add_func("/client/causes/space", test_causes_by_space);
	g_test_add_func("/client/causes/fsid", test_causes_by_fsid);
	return g_test_run();
}
