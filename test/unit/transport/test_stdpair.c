/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stream at stdin and stdout: pipes, then one socket for both. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "transport.h"
#include "util.h"

/* A stream whose fds 0 and 1 were `in` and `out`; stdin and stdout are back afterwards. */
struct fixture {
	struct transport *transport;
	struct connector *connector;
	int to, from; /* the other side */
	int saved[2];
};

static void start(struct fixture *fixture, int in, int out)
{
	struct transport_settings settings = {.kind = TRANSPORT_STDIO};
	g_autofree char *why = NULL;

	fflush(stdout);
	for (int fd = 0; fd < 2; fd++)
		fixture->saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	dup2(in, 0);
	dup2(out, 1);
	close(in);
	if (out != in)
		close(out);
	g_assert_cmpint(connector_new(&settings, &fixture->connector, &why), ==, 0);
	g_assert_cmpint(
		connector_connect(fixture->connector, CONNECTOR_FIRST, &fixture->transport, &why),
		==, 0);
}

static void start_pipes(struct fixture *fixture, gconstpointer data)
{
	int in[2], out[2];

	g_assert_cmpint(pipe2(in, O_CLOEXEC), ==, 0);
	g_assert_cmpint(pipe2(out, O_CLOEXEC), ==, 0);
	fixture->to = in[1];
	fixture->from = out[0];
	start(fixture, in[0], out[1]);
}

static void start_socket(struct fixture *fixture, gconstpointer data)
{
	int ends[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
	fixture->to = ends[1];
	fixture->from = fcntl(ends[1], F_DUPFD_CLOEXEC, 3);
	start(fixture, ends[0], ends[0]);
}

static void stop(struct fixture *fixture, gconstpointer data)
{
	transport_free(fixture->transport);
	connector_free(fixture->connector);
	close(fixture->to);
	close(fixture->from);
	for (int fd = 0; fd < 2; fd++) {
		dup2(fixture->saved[fd], fd);
		close(fixture->saved[fd]);
	}
}

static void test_talk(struct fixture *fixture, gconstpointer data)
{
	struct iovec iov[] = {{(char *)"ab", 2}, {(char *)"", 0}, {(char *)"cde", 3}};
	char buf[8] = "";

	g_assert_cmpint(write(fixture->to, "xyz", 3), ==, 3);
	g_assert_cmpint(transport_read(fixture->transport, buf, sizeof(buf)), ==, 3);
	g_assert_cmpint(transport_write(fixture->transport, iov, 3), ==, 5);
	/* A stray print goes nowhere. */
	g_assert_cmpint(write(STDOUT_FILENO, "stray", 5), ==, 5);
	g_assert_cmpint(read(fixture->from, buf, sizeof(buf)), ==, 5);
	g_assert_cmpstr(buf, ==, "abcde");
	g_assert_cmpint(read(STDIN_FILENO, buf, 1), ==, 0);
}

static void test_flags_untouched(struct fixture *fixture, gconstpointer data)
{
	int fd = transport_splice_fd(fixture->transport);

	if (fd >= 0)
		g_assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
	g_assert_false(fcntl(fixture->from, F_GETFL) & O_NONBLOCK);
	g_assert_false(connector_can_reconnect(fixture->connector));
}

static void test_only_once(struct fixture *fixture, gconstpointer data)
{
	struct transport *transport = NULL;
	g_autofree char *why = NULL;

	g_assert_cmpint(connector_connect(fixture->connector, CONNECTOR_FIRST, &transport, &why),
	                ==, -EALREADY);
	g_assert_nonnull(why);
}

/* All that it took comes out, in order; it takes more once there is room. */
static void test_backpressure(struct fixture *fixture, gconstpointer data)
{
	unsigned char block[10007], buf[4096], expected = 0;
	struct iovec iov[] = {{block, 5}, {block + 5, sizeof(block) - 5}};
	ssize_t ret;
	size_t total = 0;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (unsigned char)(i % 251);
	while ((ret = transport_write(fixture->transport, iov, 2)) == sizeof(block))
		total += sizeof(block);
	if (ret > 0)
		total += (size_t)ret;
	while ((ret = transport_write(fixture->transport, &(struct iovec){block, 1}, 1)) == 1)
		;
	g_assert_cmpint(ret, ==, -EAGAIN);
	g_assert_cmpint(total, >, sizeof(block));
	for (size_t at = 0; at < total; at += (size_t)ret) {
		ret = read(fixture->from, buf, MIN(sizeof(buf), total - at));
		g_assert_cmpint(ret, >, 0);
		for (ssize_t i = 0; i < ret; i++) {
			expected = (unsigned char)((at + (size_t)i) % sizeof(block) % 251);
			g_assert_cmpint(buf[i], ==, expected);
		}
	}
	g_assert_cmpint(transport_wait_writable(fixture->transport), ==, 0);
	g_assert_cmpint(transport_write(fixture->transport, iov, 1), ==, 5);
}

static void *read_once(void *arg)
{
	char byte;

	return GINT_TO_POINTER((int)transport_read(arg, &byte, 1));
}

static void *wait_once(void *arg)
{
	while (transport_wait_writable(arg) == 0)
		if (transport_write(arg, &(struct iovec){(char *)"x", 1}, 1) == -EPIPE)
			break;
	return NULL;
}

static void test_shutdown_wakes(struct fixture *fixture, gconstpointer data)
{
	void *ret = GINT_TO_POINTER(1);
	pthread_t reader, writer;

	g_assert_cmpint(pthread_create(&reader, NULL, read_once, fixture->transport), ==, 0);
	g_assert_cmpint(pthread_create(&writer, NULL, wait_once, fixture->transport), ==, 0);
	transport_shutdown(fixture->transport);
	pthread_join(reader, &ret);
	pthread_join(writer, NULL);
	g_assert_cmpint(GPOINTER_TO_INT(ret), ==, 0);
	g_assert_cmpint(transport_wait_writable(fixture->transport), ==, -EPIPE);
}

static void test_peer_gone(struct fixture *fixture, gconstpointer data)
{
	char byte = 0;

	close(fixture->to);
	close(fixture->from);
	fixture->to = fixture->from = -1;
	g_assert_cmpint(transport_read(fixture->transport, &byte, 1), ==, 0);
	g_assert_cmpint(transport_write(fixture->transport, &(struct iovec){&byte, 1}, 1), ==,
	                -EPIPE);
}

static void add(const char *name, void (*test)(struct fixture *, gconstpointer))
{
	g_autofree char *pipes = g_strdup_printf("/stdpair/pipes/%s", name);
	g_autofree char *socket = g_strdup_printf("/stdpair/socket/%s", name);

	g_test_add(pipes, struct fixture, NULL, start_pipes, test, stop);
	g_test_add(socket, struct fixture, NULL, start_socket, test, stop);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add("talk", test_talk);
	add("flags-untouched", test_flags_untouched);
	add("only-once", test_only_once);
	add("backpressure", test_backpressure);
	add("shutdown-wakes", test_shutdown_wakes);
	add("peer-gone", test_peer_gone);
	return g_test_run();
}
