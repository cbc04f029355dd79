/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams over TCP, against a listener on the loopback. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "transport.h"
#include "util.h"

/* A listener on 127.0.0.1 and its port as text (the caller frees). */
static int listen_here(char **ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	g_assert_cmpint(bind(fd, (struct sockaddr *)&address, size), ==, 0);
	g_assert_cmpint(listen(fd, 1), ==, 0);
	g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &size), ==, 0);
	*ret_port = g_strdup_printf("%d", ntohs(address.sin_port));
	return fd;
}

static int try_connect(const char *host, char *port, struct transport **ret_transport,
                       char **ret_why)
{
	struct transport_settings settings = {
		.kind = TRANSPORT_TCP, .host = (char *)host, .port = port};
	struct connector *connector = NULL;
	int ret;

	g_assert_cmpint(connector_new(&settings, &connector, ret_why), ==, 0);
	ret = connector_connect(connector, CONNECTOR_FIRST, ret_transport, ret_why);
	connector_free(connector);
	return ret;
}

static int option_of(int fd, int level, int name)
{
	int value = 0;
	socklen_t size = sizeof(value);

	g_assert_cmpint(getsockopt(fd, level, name, &value, &size), ==, 0);
	return value;
}

/* "localhost" may have an address (::1) that nobody listens on: the next one is tried. */
static void check_talk(const char *host)
{
	g_autofree char *port = NULL, *why = NULL;
	util_autofd listener = listen_here(&port);
	util_autofd peer = -1;
	struct transport *transport = NULL;
	char buf[16];
	int fd;

	g_assert_cmpint(try_connect(host, port, &transport, &why), ==, 0);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	g_assert_cmpint(peer, >=, 0);
	g_assert_cmpint(transport_write(transport, &(struct iovec){(char *)"abc", 3}, 1), ==, 3);
	g_assert_cmpint(recv(peer, buf, 3, MSG_WAITALL), ==, 3);
	g_assert_cmpint(send(peer, "de", 2, 0), ==, 2);
	g_assert_cmpint(transport_read(transport, buf, sizeof(buf)), >, 0);
	g_assert_cmpint(buf[0], ==, 'd');

	fd = transport_splice_fd(transport);
	g_assert_cmpint(option_of(fd, IPPROTO_TCP, TCP_NODELAY), ==, 1);
	g_assert_cmpint(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), ==, 1);
	g_assert_null(transport_why_ended(transport));
	transport_shutdown(transport);
	g_assert_cmpint(transport_wait_writable(transport), ==, -EPIPE);
	g_assert_cmpint(transport_read(transport, buf, 1), ==, 0);
	g_assert_cmpint(recv(peer, buf, 1, 0), ==, 0);
	transport_free(transport);
}

static void test_talk(void)
{
	check_talk("127.0.0.1");
	check_talk("localhost");
}

static void test_refused(void)
{
	g_autofree char *port = NULL, *why = NULL, *expected = NULL;
	struct transport *transport = NULL;

	/* Bound, but no longer there. */
	close(listen_here(&port));
	g_assert_cmpint(try_connect("127.0.0.1", port, &transport, &why), ==, -ECONNREFUSED);
	expected = g_strdup_printf("failed to connect to 127.0.0.1:%s: Connection refused", port);
	g_assert_cmpstr(why, ==, expected);
}

static void test_not_resolved(void)
{
	g_autofree char *why = NULL;
	struct transport *transport = NULL;

	g_assert_cmpint(try_connect("127.0.0.1", (char *)"no-such-service", &transport, &why), ==,
	                -EHOSTDOWN);
	g_assert_true(g_str_has_prefix(why, "failed to resolve 127.0.0.1:no-such-service: "));
}

/* Nobody serves there; what matters is an error in the right words, on any machine. */
static void test_vsock(void)
{
	struct transport_settings settings = {
		.kind = TRANSPORT_VSOCK, .vsock_cid = 1, .vsock_port = 4294967};
	struct connector *connector = NULL;
	struct transport *transport = NULL;

	for (int i = 0; i < 2; i++) {
		g_autofree char *why = NULL;

		g_assert_cmpint(connector_new(&settings, &connector, &why), ==, 0);
		g_assert_cmpint(connector_connect(connector, CONNECTOR_FIRST, &transport, &why), <,
		                0);
		g_assert_true(g_str_has_prefix(why, "failed to connect to vsock 1:4294967: "));
		connector_free(connector);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/socket/talk", test_talk);
	g_test_add_func("/socket/refused", test_refused);
	g_test_add_func("/socket/not-resolved", test_not_resolved);
	g_test_add_func("/socket/vsock", test_vsock);
	return g_test_run();
}
