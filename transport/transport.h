/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A byte stream to an SFTP server. Knows nothing of SFTP.
 *
 * A `connector` makes streams to one server, as often as asked (several connections, reconnects); a
 * `transport` is one such stream. Implementations: openssh.c (a child ssh(1)), socket.c (TCP, vsock,
 * the stdin/stdout pair).
 *
 * Threads: one thread reads; any thread writes, one at a time (the caller sees to that); any thread
 * may shut down. The connector's connect() may be called by any thread, also by several at once.
 */
#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* ---- one stream ------------------------------------------------------------------------------ */

struct transport;

struct transport_ops {
	ssize_t (*read)(struct transport *transport, void *buf, size_t size);
	ssize_t (*write)(struct transport *transport, const struct iovec *iov, int count);
	int (*wait_writable)(struct transport *transport);
	int (*splice_fd)(struct transport *transport);
	void (*shutdown)(struct transport *transport);
	char *(*why_ended)(struct transport *transport);
	void (*free)(struct transport *transport);
};

/* Embedded first in each implementation's own struct. */
struct transport {
	const struct transport_ops *ops;
};

/*
 * Waits for bytes and stores up to `size` (> 0) of them.
 * Returns how many; 0 at the end of the stream (also after transport_shutdown()); -errno when the
 * stream broke (-ECONNRESET, -EPIPE, -ETIMEDOUT, -EIO).
 */
static inline ssize_t transport_read(struct transport *transport, void *buf, size_t size)
{
	return transport->ops->read(transport, buf, size);
}

/*
 * Hands over as many of the bytes as the stream takes at once; never waits, never raises SIGPIPE.
 * Returns how many (> 0); -EAGAIN when none: transport_wait_writable(), then again; another -errno
 * when the stream is broken.
 */
static inline ssize_t transport_write(struct transport *transport, const struct iovec *iov,
                                      int count)
{
	return transport->ops->write(transport, iov, count);
}

/* Waits until transport_write() may take bytes: 0, or -EPIPE once the stream is shut or broken. */
static inline int transport_wait_writable(struct transport *transport)
{
	return transport->ops->wait_writable(transport);
}

/*
 * The descriptor that splice(2) can move the server's bytes from, or -1 where there is none. It
 * stays the transport's own. Only the reading thread may take bytes from it.
 */
static inline int transport_splice_fd(struct transport *transport)
{
	return transport->ops->splice_fd(transport);
}

/* Ends the stream: reading and waiting threads return. May be called more than once. */
static inline void transport_shutdown(struct transport *transport)
{
	transport->ops->shutdown(transport);
}

/*
 * One sentence on why the stream ended, as far as it is known here (what ssh printed, its exit
 * status); NULL when nothing is known. Waits for the child's last words for a bounded time, at
 * most two seconds. The caller frees it.
 */
static inline char *transport_why_ended(struct transport *transport)
{
	return transport->ops->why_ended(transport);
}

/* Shuts down, reaps the child, frees. Accepts NULL. No other thread may use it any more. */
static inline void transport_free(struct transport *transport)
{
	if (transport)
		transport->ops->free(transport);
}

/* ---- making streams -------------------------------------------------------------------------- */

enum transport_kind {
	TRANSPORT_OPENSSH, /* the default: a child ssh(1) */
	TRANSPORT_TCP,     /* -o directport: plain TCP to an SFTP server */
	TRANSPORT_VSOCK,   /* -o vsock: to a virtual machine or its host */
	TRANSPORT_STDIO,   /* -o passive: the server is at our stdin and stdout */
};

/* -o multiplex: whether streams after the first come through its login, as ssh's ControlMaster allows. */
enum transport_multiplex {
	TRANSPORT_MULTIPLEX_AUTO, /* if a login of their own does not work without asking the user */
	TRANSPORT_MULTIPLEX_YES,
	TRANSPORT_MULTIPLEX_NO,
};

/* How to reach the server. Filled by options.c; the strings belong to it. */
struct transport_settings {
	enum transport_kind kind;
	char *host; /* "[user@]host" for ssh, the bare host for TCP; no brackets, no leading '-' */

	/* TRANSPORT_OPENSSH */
	char **ssh_command; /* argv of -o ssh_command, at least one word; [0] is sought in PATH */
	char **ssh_args; /* in the user's order: "-oPort=22", "-C" -> "-oCompression=yes", "-Fcfg" */
	int ssh_protocol;    /* 1 or 2: adds -1 or -2 */
	char *sftp_server;   /* subsystem name, or a command when it holds a '/' */
	bool show_stderr;    /* -f, -d, -v: what ssh prints also goes to our stderr as it comes */
	bool password_stdin; /* the first line of our stdin answers ssh's password prompt */
	bool keep_password;  /* it may be needed again: reconnect */
	bool parallel;       /* several streams are wanted at once: max_conns > 1 */
	enum transport_multiplex multiplex; /* with `parallel` */

	/* TRANSPORT_TCP */
	char *port; /* number or service name */

	/* TRANSPORT_VSOCK */
	unsigned int vsock_cid, vsock_port;
};

struct connector;

/*
 * A connector for these settings, which are copied. With password_stdin the password is read from
 * stdin here, once (at most 1023 bytes up to the newline), into locked memory.
 * Returns 0 and *ret_connector, or a negative errno and in *ret_why (never NULL then) a sentence for
 * the user; the caller frees both.
 */
int connector_new(const struct transport_settings *settings, struct connector **ret_connector,
                  char **ret_why);

/* How a stream comes up. Where there is no ssh, or nothing to share, all are the same. */
enum connector_way {
	CONNECTOR_FIRST,  /* no other lives: ssh may ask the user; later ones may share its login */
	CONNECTOR_ALONE,  /* one more, with a login of its own */
	CONNECTOR_SHARED, /* one more, through the login of the first; asks nothing */
};

/* How one more stream should come up: CONNECTOR_ALONE or CONNECTOR_SHARED. */
enum connector_way connector_more_way(struct connector *connector);
/*
 * A stream that came up by *way has failed before the server was heard. True: *way is now another one to be tried at
 * once, also by connector_more_way() from now on.
 */
bool connector_other_way(struct connector *connector, enum connector_way *way);
/* A stream that came up by `way` has heard the server: it works. */
void connector_note_way(struct connector *connector, enum connector_way way);

/*
 * Opens a stream: starts ssh, or connects a socket, trying every address of the host. For ssh it
 * returns as soon as the child runs; whether the login worked shows at the first read. A password is
 * typed meanwhile, when ssh asks for it within 60 seconds; else, unless the server was heard, the
 * stream ends and transport_why_ended() says "Timeout waiting for prompt".
 *
 * Returns 0 and *ret_transport; or a negative errno and *ret_why (as above):
 * -ENOENT ssh_command not found in PATH ("failed to execute 'X': ..."), -ECONNREFUSED,
 * -EHOSTUNREACH, -ETIMEDOUT ("failed to connect to h:p: ..."), -EHOSTDOWN (name not resolved:
 * "failed to resolve h:p: ..."), -EALREADY (TRANSPORT_STDIO gives one stream only), -EMFILE, -ENOMEM.
 */
int connector_connect(struct connector *connector, enum connector_way way,
                      struct transport **ret_transport, char **ret_why);

/* True when connect() may be called again after the first stream has ended: not for STDIO. */
bool connector_can_reconnect(const struct connector *connector);

/*
 * Frees; the password is wiped once no login of a stream made here still waits for it. Accepts
 * NULL. Streams made by it may live on.
 */
void connector_free(struct connector *connector);

#endif
