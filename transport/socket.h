/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream over a connected stream socket: what plain TCP, vsock and the socketpair to ssh(1) have
 * in common. The socket stays blocking: reads wait in recv(2), writes ask for MSG_DONTWAIT, and
 * shutdown(2) wakes both sides from any thread.
 */
#ifndef TRANSPORT_SOCKET_H
#define TRANSPORT_SOCKET_H

#include "transport.h"

struct socket_stream {
	struct transport transport;
	int fd;          /* set once before start; owned */
	bool can_splice; /* set once before start */
	bool shut;       /* atomic: transport_shutdown() was called */
};

/* A stream on `fd`, which it takes over. */
void socket_stream_init(struct socket_stream *stream, const struct transport_ops *ops, int fd);

/* Closes the socket. */
void socket_stream_done(struct socket_stream *stream);

/* Entries for a transport_ops whose transport is the first member of a struct socket_stream. */
ssize_t socket_stream_read(struct transport *transport, void *buf, size_t size);
ssize_t socket_stream_write(struct transport *transport, const struct iovec *iov, int count);
int socket_stream_wait_writable(struct transport *transport);
int socket_stream_splice_fd(struct transport *transport);
void socket_stream_shutdown(struct transport *transport);

/*
 * What a write to socket `fd` takes at once: bytes (> 0), or -errno as transport_write(). Also for
 * the socket ends of stdpair.c.
 */
ssize_t socket_send(int fd, const struct iovec *iov, int count);

/* A connection to settings->host and port over TCP; results as connector_connect(). */
int socket_connect_tcp(const struct transport_settings *settings, struct transport **ret_transport,
                       char **ret_why);

/* A connection to settings->vsock_cid and vsock_port; results as connector_connect(). */
int socket_connect_vsock(const struct transport_settings *settings,
                         struct transport **ret_transport, char **ret_why);

#endif
