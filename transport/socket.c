// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See socket.h. Two streams: `plain`, one connected socket (TCP, vsock), and `stdio`, the descriptors
 * our caller gave us. Theirs are open file descriptions shared with others, so O_NONBLOCK is never set on
 * them: readiness is asked for, and a pipe is given no more than it must take (PIPE_BUF).
 */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vm_sockets.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "util.h"

#define CONNECT_TIMEOUT_MS 15000 /* an address, while another one is left to try */

/* ---- one connected socket ---------------------------------------------------------------------- */

ssize_t socket_read(int fd, void *buf, size_t size)
{
	ssize_t n;

	do {
		n = recv(fd, buf, size, 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t socket_write(int fd, const struct iovec *iov, int count)
{
	struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
	ssize_t n;

	do {
		n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EWOULDBLOCK)
		return -EAGAIN;
	return n < 0 ? -errno : n;
}

int socket_wait_writable(int fd)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLOUT};

	while (poll(&pollfd, 1, -1) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return pollfd.revents & (POLLERR | POLLHUP | POLLNVAL) ? -EPIPE : 0;
}

void socket_shutdown(int fd)
{
	shutdown(fd, SHUT_RDWR);
}

struct plain {
	struct transport transport;
	int fd; /* set once */
};

static int plain_fd(struct transport *transport)
{
	return util_container_of(transport, struct plain, transport)->fd;
}

static ssize_t plain_read(struct transport *transport, void *buf, size_t size)
{
	return socket_read(plain_fd(transport), buf, size);
}

static ssize_t plain_write(struct transport *transport, const struct iovec *iov, int count)
{
	return socket_write(plain_fd(transport), iov, count);
}

static int plain_wait_writable(struct transport *transport)
{
	return socket_wait_writable(plain_fd(transport));
}

static int plain_splice_fd(struct transport *transport)
{
	return plain_fd(transport);
}

static void plain_shutdown(struct transport *transport)
{
	socket_shutdown(plain_fd(transport));
}

static char *nothing_known(struct transport *transport)
{
	return NULL;
}

static void plain_free(struct transport *transport)
{
	int fd = plain_fd(transport);

	socket_shutdown(fd);
	close(fd);
	g_free(util_container_of(transport, struct plain, transport));
}

static const struct transport_ops plain_ops = {
	.read = plain_read,
	.write = plain_write,
	.wait_writable = plain_wait_writable,
	.splice_fd = plain_splice_fd,
	.shutdown = plain_shutdown,
	.why_ended = nothing_known,
	.free = plain_free,
};

static struct transport *plain_new(int fd)
{
	struct plain *plain = g_new0(struct plain, 1);

	plain->transport.ops = &plain_ops;
	plain->fd = fd;
	return &plain->transport;
}

/* ---- TCP ---------------------------------------------------------------------------------------- */

/* Waits for a connect() under way: 0 or the errno it ended with. */
static int connect_result(int fd, int timeout_ms)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLOUT};
	socklen_t size = sizeof(int);
	int n, error = 0;

	do {
		n = poll(&pollfd, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return ETIMEDOUT;
	if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return errno;
	return error;
}

/* A connected, blocking socket to one address, or -errno. */
static int connect_address(const struct addrinfo *address)
{
	util_autofd fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	                        address->ai_protocol);
	int on = 1;

	if (fd < 0)
		return -errno;
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
		int error = errno;

		if (error == EINPROGRESS)
			error = connect_result(fd, address->ai_next ? CONNECT_TIMEOUT_MS : -1);
		if (error)
			return -error;
	}
	fcntl(fd, F_SETFL, 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	return util_take_fd(&fd);
}

int socket_tcp(const char *host, const char *port, struct transport **ret_transport, char **ret_why)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *addresses = NULL;
	int fd = -EHOSTUNREACH;
	int failure = getaddrinfo(host, port, &hints, &addresses);

	if (failure) {
		*ret_why = g_strdup_printf("failed to resolve %s:%s: %s", host, port,
		                           gai_strerror(failure));
		return -EHOSTDOWN;
	}
	for (const struct addrinfo *address = addresses; address; address = address->ai_next) {
		fd = connect_address(address);
		if (fd >= 0)
			break;
	}
	freeaddrinfo(addresses);
	if (fd < 0) {
		*ret_why = g_strdup_printf("failed to connect to %s:%s: %s", host, port,
		                           g_strerror(-fd));
		return fd;
	}
	*ret_transport = plain_new(fd);
	return 0;
}

/* ---- vsock -------------------------------------------------------------------------------------- */

int socket_vsock(unsigned int cid, unsigned int port, struct transport **ret_transport,
                 char **ret_why)
{
	const struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = cid,
		.svm_port = port,
	};
	util_autofd fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = -errno;

		*ret_why = g_strdup_printf("failed to connect to vsock %u:%u: %s", cid, port,
		                           g_strerror(errno));
		return error;
	}
	*ret_transport = plain_new(util_take_fd(&fd));
	return 0;
}

/* ---- our own stdin and stdout ------------------------------------------------------------------- */

struct stdio {
	struct transport transport;
	int in, out;        /* set once */
	bool out_is_socket; /* set once */
	int end_fd;         /* set once; an eventfd that stays readable once the stream is shut */
};

static struct stdio *stdio_of(struct transport *transport)
{
	return util_container_of(transport, struct stdio, transport);
}

/* Until `fd` is ready for `events`: 1; 0 once the stream is shut; -errno. */
static int stdio_wait(struct stdio *stdio, int fd, short events, int timeout_ms)
{
	struct pollfd fds[2] = {{.fd = fd, .events = events},
	                        {.fd = stdio->end_fd, .events = POLLIN}};
	int n;

	do {
		n = poll(fds, 2, timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (fds[1].revents)
		return 0;
	return n == 0 ? -EAGAIN : 1;
}

static ssize_t stdio_read(struct transport *transport, void *buf, size_t size)
{
	struct stdio *stdio = stdio_of(transport);

	for (;;) {
		int ready = stdio_wait(stdio, stdio->in, POLLIN, -1);
		ssize_t n;

		if (ready <= 0)
			return ready;
		n = read(stdio->in, buf, size);
		if (n >= 0)
			return n;
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
}

/* A pipe that is ready takes PIPE_BUF bytes without waiting (pipe(7)). */
static ssize_t write_pipe(int fd, const struct iovec *iov, int count)
{
	ssize_t n;

	while (count > 1 && iov->iov_len == 0) {
		iov++;
		count--;
	}
	n = write(fd, iov->iov_base, MIN(iov->iov_len, PIPE_BUF));
	return n < 0 ? -errno : n;
}

static ssize_t stdio_write(struct transport *transport, const struct iovec *iov, int count)
{
	struct stdio *stdio = stdio_of(transport);
	int ready;

	if (stdio->out_is_socket)
		return socket_write(stdio->out, iov, count);
	ready = stdio_wait(stdio, stdio->out, POLLOUT, 0);
	if (ready <= 0)
		return ready ? ready : -EPIPE;
	return write_pipe(stdio->out, iov, count);
}

static int stdio_wait_writable(struct transport *transport)
{
	struct stdio *stdio = stdio_of(transport);
	int ready = stdio_wait(stdio, stdio->out, POLLOUT, -1);

	return ready == 1 ? 0 : -EPIPE;
}

static int stdio_splice_fd(struct transport *transport)
{
	return stdio_of(transport)->in;
}

static void stdio_shutdown(struct transport *transport)
{
	struct stdio *stdio = stdio_of(transport);

	eventfd_write(stdio->end_fd, 1);
	if (stdio->out_is_socket)
		socket_shutdown(stdio->out);
}

static void stdio_free(struct transport *transport)
{
	struct stdio *stdio = stdio_of(transport);

	stdio_shutdown(transport);
	close(stdio->in);
	close(stdio->out);
	close(stdio->end_fd);
	g_free(stdio);
}

static const struct transport_ops stdio_ops = {
	.read = stdio_read,
	.write = stdio_write,
	.wait_writable = stdio_wait_writable,
	.splice_fd = stdio_splice_fd,
	.shutdown = stdio_shutdown,
	.why_ended = nothing_known,
	.free = stdio_free,
};

/* Moves a standard descriptor away and puts /dev/null in its place; -errno. */
static int take_standard_fd(int fd)
{
	util_autofd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	util_autofd taken = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	if (null < 0 || taken < 0 || dup2(null, fd) < 0)
		return -errno;
	return util_take_fd(&taken);
}

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

int socket_stdio(struct transport **ret_transport, char **ret_why)
{
	util_autofd in = take_standard_fd(STDIN_FILENO);
	int in_error = in < 0 ? in : 0;
	util_autofd out = take_standard_fd(STDOUT_FILENO);
	util_autofd end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct stdio *stdio;
	int error = in_error ? in_error : out < 0 ? out : end_fd < 0 ? -errno : 0;

	if (error) {
		*ret_why = g_strdup_printf("cannot use stdin and stdout as the connection: %s",
		                           g_strerror(-error));
		return error;
	}
	stdio = g_new0(struct stdio, 1);
	stdio->transport.ops = &stdio_ops;
	stdio->out_is_socket = is_socket(out);
	stdio->in = util_take_fd(&in);
	stdio->out = util_take_fd(&out);
	stdio->end_fd = util_take_fd(&end_fd);
	*ret_transport = &stdio->transport;
	return 0;
}
