/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stream at our stdin and stdout. Each may be a pipe, a socket, or both may be one socket.
 *
 * O_NONBLOCK belongs to the open file, which we share with whoever started us and perhaps with the
 * server itself: it is not ours to set. So every read comes after poll(2), a socket is written with
 * MSG_DONTWAIT, and a pipe that polls writable takes PIPE_BUF bytes without waiting.
 *
 * The descriptors move away from 0 and 1, because one stray printf into the stream would be taken
 * for SFTP. A pipe cannot be shut down, hence the eventfd that wakes whoever waits.
 */
#include "stdpair.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "socket.h"
#include "util.h"

/* What of an iovec array goes into one write to a pipe: PIPE_BUF bytes in a few pieces. */
#define PIECES 8

struct stdpair {
	struct transport transport;
	int in, out;                      /* set once before start; owned */
	int shut_fd;                      /* eventfd, readable once the stream is shut; owned */
	bool in_is_socket, out_is_socket; /* set once before start */
};

static struct stdpair *stdpair_of(struct transport *transport)
{
	return util_container_of(transport, struct stdpair, transport);
}

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Waits for `events` on `fd`: 0, or -EPIPE once the stream is shut. */
static int wait_for(struct stdpair *pair, int fd, short events)
{
	struct pollfd fds[] = {
		{.fd = pair->shut_fd, .events = POLLIN},
		{.fd = fd, .events = events},
	};
	int n;

	do
		n = poll(fds, G_N_ELEMENTS(fds), -1);
	while (n < 0 && errno == EINTR);
	return n < 0 || fds[0].revents ? -EPIPE : 0;
}

static ssize_t stdpair_read(struct transport *transport, void *buf, size_t size)
{
	struct stdpair *pair = stdpair_of(transport);
	ssize_t got;

	do {
		if (wait_for(pair, pair->in, POLLIN) < 0)
			return 0;
		got = read(pair->in, buf, size);
	} while (got < 0 && (errno == EINTR || errno == EAGAIN));
	return got < 0 ? -errno : got;
}

/* The first bytes of `iov` from `skip` on, at most PIPE_BUF: fills `pieces`, returns how many. */
static int cut_pieces(const struct iovec *iov, int count, size_t skip, struct iovec *pieces)
{
	size_t room = PIPE_BUF;
	int n = 0;

	for (int i = 0; i < count && n < PIECES && room > 0; i++) {
		size_t size;

		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		size = MIN(iov[i].iov_len - skip, room);
		pieces[n].iov_base = (char *)iov[i].iov_base + skip;
		pieces[n++].iov_len = size;
		room -= size;
		skip = 0;
	}
	return n;
}

/* 0 when a pipe takes PIPE_BUF bytes without waiting, -EAGAIN when not, -EPIPE when it is broken. */
static int pipe_has_room(int fd)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLOUT};
	int n;

	do
		n = poll(&pollfd, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (pollfd.revents & (POLLERR | POLLNVAL))
		return -EPIPE;
	return pollfd.revents & POLLOUT ? 0 : -EAGAIN;
}

static ssize_t write_pipe(int fd, const struct iovec *iov, int count)
{
	struct iovec pieces[PIECES];
	size_t done = 0;
	int n, ret = -EAGAIN;

	while ((n = cut_pieces(iov, count, done, pieces)) > 0) {
		ssize_t put;

		ret = pipe_has_room(fd);
		if (ret < 0)
			break;
		put = writev(fd, pieces, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0) {
			ret = -errno;
			break;
		}
		done += (size_t)put;
	}
	return done > 0 ? (ssize_t)done : ret;
}

static ssize_t stdpair_write(struct transport *transport, const struct iovec *iov, int count)
{
	struct stdpair *pair = stdpair_of(transport);

	if (pair->out_is_socket)
		return socket_send(pair->out, iov, count);
	return write_pipe(pair->out, iov, count);
}

static int stdpair_wait_writable(struct transport *transport)
{
	struct stdpair *pair = stdpair_of(transport);

	return wait_for(pair, pair->out, POLLOUT);
}

/* A splice from a pipe could not be woken by shutdown. */
static int stdpair_splice_fd(struct transport *transport)
{
	struct stdpair *pair = stdpair_of(transport);

	return pair->in_is_socket ? pair->in : -1;
}

static void stdpair_shutdown(struct transport *transport)
{
	struct stdpair *pair = stdpair_of(transport);

	eventfd_write(pair->shut_fd, 1);
	if (pair->in_is_socket)
		shutdown(pair->in, SHUT_RD);
	if (pair->out_is_socket)
		shutdown(pair->out, SHUT_WR);
}

static char *stdpair_why_ended(struct transport *transport)
{
	return NULL;
}

static void stdpair_free(struct transport *transport)
{
	struct stdpair *pair = stdpair_of(transport);

	if (pair->shut_fd >= 0)
		stdpair_shutdown(transport);
	util_close_fd(&pair->in);
	util_close_fd(&pair->out);
	util_close_fd(&pair->shut_fd);
	g_free(pair);
}

static const struct transport_ops stdpair_ops = {
	.read = stdpair_read,
	.write = stdpair_write,
	.wait_writable = stdpair_wait_writable,
	.splice_fd = stdpair_splice_fd,
	.shutdown = stdpair_shutdown,
	.why_ended = stdpair_why_ended,
	.free = stdpair_free,
};

/* Moves fds 0 and 1 into the pair and puts /dev/null in their place. */
static int take_over(struct stdpair *pair)
{
	util_autofd null = -1;

	pair->in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (pair->in < 0)
		return -errno;
	pair->out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (pair->out < 0)
		return -errno;
	pair->shut_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pair->shut_fd < 0)
		return -errno;
	/* Opened last: were 0 or 1 closed, it would have taken their place. */
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	return 0;
}

int stdpair_new(struct transport **ret_transport, char **ret_why)
{
	struct stdpair *pair = g_new0(struct stdpair, 1);
	int ret;

	pair->transport.ops = &stdpair_ops;
	pair->in = pair->out = pair->shut_fd = -1;
	ret = take_over(pair);
	if (ret < 0) {
		*ret_why = g_strdup_printf("failed to use stdin and stdout as the connection: %s",
		                           g_strerror(-ret));
		stdpair_free(&pair->transport);
		return ret;
	}
	pair->in_is_socket = is_socket(pair->in);
	pair->out_is_socket = is_socket(pair->out);
	signal(SIGPIPE, SIG_IGN);
	*ret_transport = &pair->transport;
	return 0;
}
