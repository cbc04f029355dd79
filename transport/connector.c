// SPDX-License-Identifier: GPL-2.0-or-later
/* See transport.h: one connector for every kind of stream; the kinds are files of their own. */
#include <errno.h>

#include "askpass.h"
#include "openssh.h"
#include "socket.h"
#include "transport.h"

struct connector {
	struct transport_settings settings; /* deep copy; set once */
	struct askpass *askpass;            /* NULL: ssh asks the user itself; locks for itself */
	gint stdio_taken;                   /* atomic; TRANSPORT_STDIO has one stream to give */
};

static void copy_settings(struct transport_settings *copy, const struct transport_settings *from)
{
	*copy = *from;
	copy->host = g_strdup(from->host);
	copy->ssh_command = g_strdupv(from->ssh_command);
	copy->ssh_args = g_strdupv(from->ssh_args);
	copy->sftp_server = g_strdup(from->sftp_server);
	copy->port = g_strdup(from->port);
}

static void free_settings(struct transport_settings *settings)
{
	g_free(settings->host);
	g_strfreev(settings->ssh_command);
	g_strfreev(settings->ssh_args);
	g_free(settings->sftp_server);
	g_free(settings->port);
}

int connector_new(const struct transport_settings *settings, struct connector **ret_connector,
                  char **ret_why)
{
	struct connector *connector = g_new0(struct connector, 1);
	int error = 0;

	copy_settings(&connector->settings, settings);
	if (settings->kind == TRANSPORT_OPENSSH && settings->password_stdin)
		error = askpass_new(settings->keep_password, &connector->askpass, ret_why);
	if (error) {
		connector_free(connector);
		return error;
	}
	*ret_connector = connector;
	return 0;
}

static int connect_stdio(struct connector *connector, struct transport **ret_transport,
                         char **ret_why)
{
	if (!g_atomic_int_compare_and_exchange(&connector->stdio_taken, 0, 1)) {
		*ret_why = g_strdup("the stream on stdin and stdout has ended and cannot be opened "
		                    "again; start sshfs anew");
		return -EALREADY;
	}
	return socket_stdio(ret_transport, ret_why);
}

int connector_connect(struct connector *connector, struct transport **ret_transport, char **ret_why)
{
	const struct transport_settings *settings = &connector->settings;

	switch (settings->kind) {
	case TRANSPORT_OPENSSH:
		return openssh_spawn(settings, connector->askpass, ret_transport, ret_why);
	case TRANSPORT_TCP:
		return socket_tcp(settings->host, settings->port, ret_transport, ret_why);
	case TRANSPORT_VSOCK:
		return socket_vsock(settings->vsock_cid, settings->vsock_port, ret_transport,
		                    ret_why);
	case TRANSPORT_STDIO:
		break;
	}
	return connect_stdio(connector, ret_transport, ret_why);
}

bool connector_can_reconnect(const struct connector *connector)
{
	return connector->settings.kind != TRANSPORT_STDIO;
}

void connector_free(struct connector *connector)
{
	if (!connector)
		return;
	askpass_free(connector->askpass);
	free_settings(&connector->settings);
	g_free(connector);
}
