/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes streams of the kind that the settings name. Keeps a copy of the settings, so that a
 * reconnect finds them as they were; nothing in it changes but `taken` and what login.c learns.
 */
#include "transport.h"

#include <errno.h>
#include <string.h>

#include "askpass.h"
#include "login.h"
#include "openssh.h"
#include "socket.h"
#include "stdpair.h"

struct connector {
	struct transport_settings settings; /* set once before start; the strings are ours */
	struct askpass *askpass;            /* set once before start; NULL without password_stdin */
	struct login *login;                /* set once before start; owned */
	int taken;                          /* atomic: stdin and stdout became a stream */
};

/* A command by path is meant from where the user stands; we and the child soon stand in "/". */
static void make_absolute(char **command)
{
	char *path;

	if (!strchr(*command, '/'))
		return;
	path = g_canonicalize_filename(*command, NULL);
	g_free(*command);
	*command = path;
}

static struct transport_settings copy_settings(const struct transport_settings *settings)
{
	struct transport_settings copy = *settings;

	copy.host = g_strdup(settings->host);
	copy.ssh_command = g_strdupv(settings->ssh_command);
	if (copy.ssh_command && copy.ssh_command[0])
		make_absolute(&copy.ssh_command[0]);
	copy.ssh_args = g_strdupv(settings->ssh_args);
	copy.sftp_server = g_strdup(settings->sftp_server);
	copy.port = g_strdup(settings->port);
	return copy;
}

int connector_new(const struct transport_settings *settings, struct connector **ret_connector,
                  char **ret_why)
{
	struct askpass *askpass = NULL;
	struct connector *connector;

	g_assert(settings->kind != TRANSPORT_OPENSSH ||
	         (settings->ssh_command && settings->ssh_command[0] && settings->sftp_server));
	if (settings->kind == TRANSPORT_OPENSSH && settings->password_stdin) {
		int ret = askpass_new(settings->keep_password, &askpass, ret_why);

		if (ret < 0)
			return ret;
	}
	connector = g_new0(struct connector, 1);
	connector->settings = copy_settings(settings);
	connector->askpass = askpass;
	connector->login = login_new(&connector->settings);
	*ret_connector = connector;
	return 0;
}

static int take_stdpair(struct connector *connector, struct transport **ret_transport,
                        char **ret_why)
{
	if (__atomic_exchange_n(&connector->taken, 1, __ATOMIC_ACQ_REL)) {
		*ret_why = g_strdup("stdin and stdout carry one connection only");
		return -EALREADY;
	}
	return stdpair_new(ret_transport, ret_why);
}

enum connector_way connector_more_way(struct connector *connector)
{
	return login_more_way(connector->login);
}

bool connector_other_way(struct connector *connector, enum connector_way *way)
{
	return login_other_way(connector->login, way);
}

void connector_note_way(struct connector *connector, enum connector_way way)
{
	login_note_way(connector->login, way);
}

int connector_connect(struct connector *connector, enum connector_way way,
                      struct transport **ret_transport, char **ret_why)
{
	switch (connector->settings.kind) {
	case TRANSPORT_OPENSSH:
		return openssh_connect(&connector->settings, connector->login, way,
		                       connector->askpass, ret_transport, ret_why);
	case TRANSPORT_TCP:
		return socket_connect_tcp(&connector->settings, ret_transport, ret_why);
	case TRANSPORT_VSOCK:
		return socket_connect_vsock(&connector->settings, ret_transport, ret_why);
	case TRANSPORT_STDIO:
		return take_stdpair(connector, ret_transport, ret_why);
	}
	g_assert_not_reached();
}

bool connector_can_reconnect(const struct connector *connector)
{
	return connector->settings.kind != TRANSPORT_STDIO;
}

void connector_free(struct connector *connector)
{
	if (!connector)
		return;
	askpass_unref(connector->askpass);
	login_free(connector->login);
	g_free(connector->settings.host);
	g_strfreev(connector->settings.ssh_command);
	g_strfreev(connector->settings.ssh_args);
	g_free(connector->settings.sftp_server);
	g_free(connector->settings.port);
	g_free(connector);
}
