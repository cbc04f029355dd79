/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transports on plain sockets, and on our own stdin and stdout. connector_connect()'s contract. */
#ifndef TRANSPORT_SOCKET_H
#define TRANSPORT_SOCKET_H

#include "transport.h"

/* Tries every address of `host`; `port` is a number or a service name. */
int socket_tcp(const char *host, const char *port, struct transport **ret_transport,
               char **ret_why);
int socket_vsock(unsigned int cid, unsigned int port, struct transport **ret_transport,
                 char **ret_why);
/*
 * Takes over descriptors 0 and 1 (pipes, sockets or one socket twice) and leaves /dev/null in their
 * place, so that nothing printed by mistake gets into the stream.
 */
int socket_stdio(struct transport **ret_transport, char **ret_why);

/* ---- for openssh.c: a stream on one connected, blocking stream socket --------------------------- */

/* recv(2) of up to `size` bytes; 0 at the end; -errno. */
ssize_t socket_read(int fd, void *buf, size_t size);
/* sendmsg(2) of what goes at once; -EAGAIN when nothing does. */
ssize_t socket_write(int fd, const struct iovec *iov, int count);
/* Until socket_write() may go on: 0; -EPIPE once shut down or broken. */
int socket_wait_writable(int fd);
/* Both directions end: readers, writers and waiters return. */
void socket_shutdown(int fd);

#endif
