/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streams over sockets: TCP (-o directport) and vsock, and the part that ssh's socketpair shares
 * with them. Does not start processes and does not encrypt: whoever asks for directport brings a
 * network that is trusted, or a tunnel.
 *
 * Every address of a name is tried, in the order of the resolver: one that is dead must not hide
 * the next one that works, so each but the last has a bounded time.
 */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>

#include "clock.h"
#include "util.h"

/* How long an address may stay silent when there is another one to try. */
#define NEXT_ADDRESS_NS (15 * CLOCK_NS_PER_SEC)

/* A silent TCP peer is asked for a sign of life after this many seconds. */
#define KEEPALIVE_IDLE_S 60

/* ---- the stream ------------------------------------------------------------------------------ */

static struct socket_stream *stream_of(struct transport *transport)
{
	return util_container_of(transport, struct socket_stream, transport);
}

static bool is_shut(const struct socket_stream *stream)
{
	return __atomic_load_n(&stream->shut, __ATOMIC_ACQUIRE);
}

void socket_stream_init(struct socket_stream *stream, const struct transport_ops *ops, int fd)
{
	stream->transport.ops = ops;
	stream->fd = fd;
	stream->can_splice = true;
	stream->shut = false;
}

void socket_stream_done(struct socket_stream *stream)
{
	util_close_fd(&stream->fd);
	stream->fd = -1;
}

ssize_t socket_stream_read(struct transport *transport, void *buf, size_t size)
{
	struct socket_stream *stream = stream_of(transport);
	ssize_t got;

	do {
		if (is_shut(stream))
			return 0;
		got = recv(stream->fd, buf, size, 0);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return is_shut(stream) ? 0 : -errno;
	return got;
}

ssize_t socket_send(int fd, const struct iovec *iov, int count)
{
	struct msghdr msg = {
		.msg_iov = (struct iovec *)iov,
		.msg_iovlen = (size_t)MIN(count, IOV_MAX),
	};
	ssize_t sent;

	do
		sent = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

ssize_t socket_stream_write(struct transport *transport, const struct iovec *iov, int count)
{
	return socket_send(stream_of(transport)->fd, iov, count);
}

int socket_stream_wait_writable(struct transport *transport)
{
	struct socket_stream *stream = stream_of(transport);
	struct pollfd pollfd = {.fd = stream->fd, .events = POLLOUT};
	int n;

	do
		n = poll(&pollfd, 1, -1);
	while (n < 0 && errno == EINTR);
	/* After shutdown(2) poll reports a hang-up, so a thread that is just going in sees it. */
	if (n < 0 || (pollfd.revents & (POLLERR | POLLHUP | POLLNVAL)) || is_shut(stream))
		return -EPIPE;
	return 0;
}

int socket_stream_splice_fd(struct transport *transport)
{
	struct socket_stream *stream = stream_of(transport);

	return stream->can_splice ? stream->fd : -1;
}

void socket_stream_shutdown(struct transport *transport)
{
	struct socket_stream *stream = stream_of(transport);

	__atomic_store_n(&stream->shut, true, __ATOMIC_RELEASE);
	shutdown(stream->fd, SHUT_RDWR);
}

/* A socket knows no more than the errno that the reader got. */
static char *plain_why_ended(struct transport *transport)
{
	return NULL;
}

static void plain_free(struct transport *transport)
{
	struct socket_stream *stream = stream_of(transport);

	socket_stream_shutdown(transport);
	socket_stream_done(stream);
	g_free(stream);
}

static const struct transport_ops plain_ops = {
	.read = socket_stream_read,
	.write = socket_stream_write,
	.wait_writable = socket_stream_wait_writable,
	.splice_fd = socket_stream_splice_fd,
	.shutdown = socket_stream_shutdown,
	.why_ended = plain_why_ended,
	.free = plain_free,
};

static struct socket_stream *plain_stream_new(int fd)
{
	struct socket_stream *stream = g_new0(struct socket_stream, 1);

	socket_stream_init(stream, &plain_ops, fd);
	return stream;
}

/* ---- connecting ------------------------------------------------------------------------------ */

/* Waits until a connection that is under way stands; a negative `span_ms` leaves it to the kernel. */
static int finish_connect(int fd, int64_t span_ms)
{
	uint64_t end = clock_add(clock_now_ns(), (uint64_t)MAX(span_ms, 0) * CLOCK_NS_PER_MS);
	struct pollfd pollfd = {.fd = fd, .events = POLLOUT};
	socklen_t size = sizeof(int);
	int error = 0, n;

	do {
		n = poll(&pollfd, 1, (int)span_ms);
		if (span_ms >= 0)
			span_ms = (int64_t)(MAX(end, clock_now_ns()) - clock_now_ns()) / 1000000;
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return -error;
}

/* A blocking socket connected to `address`, or a negative errno. */
static int connect_to(const struct sockaddr *address, socklen_t size, int64_t span_ms)
{
	util_autofd fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, address, size) < 0) {
		if (errno != EINPROGRESS && errno != EINTR)
			return -errno;
		ret = finish_connect(fd, span_ms);
	}
	if (ret == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0)
		ret = -errno;
	return ret < 0 ? ret : util_take_fd(&fd);
}

/* Requests are small and must go at once; a peer that vanished must show, if slowly. */
static void tune_tcp(int fd)
{
	const int on = 1, idle = KEEPALIVE_IDLE_S;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
}

static int resolve(const char *host, const char *port, struct addrinfo **ret_list, char **ret_why)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	int error = getaddrinfo(host, port, &hints, ret_list);

	if (error == 0)
		return 0;
	*ret_why = g_strdup_printf("failed to resolve %s:%s: %s", host, port,
	                           error == EAI_SYSTEM ? g_strerror(errno) : gai_strerror(error));
	return -EHOSTDOWN;
}

int socket_connect_tcp(const struct transport_settings *settings, struct transport **ret_transport,
                       char **ret_why)
{
	struct addrinfo *list;
	int fd, ret;

	ret = resolve(settings->host, settings->port, &list, ret_why);
	if (ret < 0)
		return ret;
	fd = -EADDRNOTAVAIL;
	for (struct addrinfo *at = list; at && fd < 0; at = at->ai_next)
		fd = connect_to(at->ai_addr, at->ai_addrlen,
		                at->ai_next ? (int64_t)(NEXT_ADDRESS_NS / CLOCK_NS_PER_MS) : -1);
	freeaddrinfo(list);
	if (fd < 0) {
		*ret_why = g_strdup_printf("failed to connect to %s:%s: %s", settings->host,
		                           settings->port, g_strerror(-fd));
		return fd;
	}
	tune_tcp(fd);
	*ret_transport = &plain_stream_new(fd)->transport;
	return 0;
}

int socket_connect_vsock(const struct transport_settings *settings,
                         struct transport **ret_transport, char **ret_why)
{
	const struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = settings->vsock_cid,
		.svm_port = settings->vsock_port,
	};
	struct socket_stream *stream;
	int fd = connect_to((const struct sockaddr *)&address, sizeof(address), -1);

	if (fd < 0) {
		*ret_why =
			g_strdup_printf("failed to connect to vsock %u:%u: %s", settings->vsock_cid,
		                        settings->vsock_port, g_strerror(-fd));
		return fd;
	}
	stream = plain_stream_new(fd);
	/* Kernels before 6.5 cannot splice from a vsock. */
	stream->can_splice = false;
	*ret_transport = &stream->transport;
	return 0;
}
