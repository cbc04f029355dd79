// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The client: its life, and what all verbs share. See client.h; the verbs are in path.c, rename.c,
 * readdir.c, file.c and transfer.c.
 */
#include "client_private.h"

#include <errno.h>
#include <glib.h>

/* ---- events of the pool ----------------------------------------------------------------------- */

/* idmap=user: the owner of the remote home is the remote user. */
static int learn_remote_user(struct sftp_client *client, struct sftp_conn *conn, char **ret_why)
{
	AUTO_CALL call = NULL;
	struct sftp_attrs attrs;
	int error = call_start_path(conn, SFTP_STAT, ".", &call);

	if (!error)
		error = client_get_remote_attrs(call, SFTP_OP_STAT, &attrs);
	if (!error && !(attrs.flags & SFTP_ATTR_UIDGID))
		error = -EPROTO;
	if (error) {
		*ret_why = g_strdup_printf("failed to detect the remote user (idmap=user): %s",
		                           g_strerror(-error));
		return error;
	}
	idmap_set_remote_user(client->idmap, attrs.uid, attrs.gid);
	return 0;
}

static int on_connected(struct sftp_conn *conn, bool again, void *data, char **ret_why)
{
	struct sftp_client *client = data;

	client->extensions = sftp_conn_extensions(conn);
	if (!client->knows_remote_user && idmap_wants_remote_user(client->idmap)) {
		int error = learn_remote_user(client, conn, ret_why);

		if (error)
			return error;
		client->knows_remote_user = true;
	}
	if (again && client->events.reconnected)
		client->events.reconnected(client->events.data);
	return 0;
}

static void on_lost(const char *why, void *data)
{
	struct sftp_client *client = data;

	if (client->events.lost)
		client->events.lost(why, client->events.data);
}

/* ---- life ------------------------------------------------------------------------------------- */

int sftp_client_new(struct connector *connector, const struct sftp_settings *settings,
                    const struct sftp_events *events, struct sftp_client **ret_client,
                    char **ret_why)
{
	struct sftp_pool_settings pool_settings = {
		.max_conns = settings->max_conns,
		.reconnect = settings->reconnect,
		.trace = settings->trace,
	};
	struct sftp_pool_events pool_events = {.connected = on_connected, .lost = on_lost};
	struct idmap *idmap;
	struct sftp_client *client;
	int error;

	error = idmap_new(&settings->idmap, &idmap, ret_why);
	if (error)
		return error;
	client = g_new0(struct sftp_client, 1);
	client->settings = *settings;
	if (events)
		client->events = *events;
	client->idmap = idmap;
	pool_events.data = client;
	client->pool = sftp_pool_new(connector, &pool_settings, &pool_events);
	*ret_client = client;
	return 0;
}

void sftp_client_free(struct sftp_client *client)
{
	if (!client)
		return;
	sftp_pool_free(client->pool);
	idmap_free(client->idmap);
	g_free(client);
}

int sftp_client_connect(struct sftp_client *client, char **ret_why)
{
	AUTO_CONN conn = NULL;

	return sftp_pool_get(client->pool, &conn, ret_why);
}

void sftp_client_shutdown(struct sftp_client *client)
{
	sftp_pool_shutdown(client->pool);
}

bool sftp_client_is_connected(struct sftp_client *client)
{
	return sftp_pool_is_connected(client->pool);
}

uint32_t sftp_client_extensions(struct sftp_client *client)
{
	return client->extensions;
}

uint64_t sftp_client_rtt_ns(struct sftp_client *client)
{
	return sftp_pool_rtt_ns(client->pool);
}

bool sftp_client_has_lanes(const struct sftp_client *client)
{
	return client->settings.max_conns > 1;
}

unsigned int sftp_client_lanes(struct sftp_client *client)
{
	return sftp_pool_lanes(client->pool);
}

void sftp_client_get_stats(struct sftp_client *client, struct sftp_client_stats *ret_stats)
{
	struct sftp_conn_stats stats;
	unsigned int connects;

	sftp_pool_get_stats(client->pool, &stats, &connects);
	*ret_stats = (struct sftp_client_stats){
		.sent = stats.sent,
		.sent_bytes = stats.sent_bytes,
		.received = stats.received,
		.received_bytes = stats.received_bytes,
		.rtt_min_ns = stats.rtt_min_ns,
		.rtt_max_ns = stats.rtt_max_ns,
		.rtt_sum_ns = stats.rtt_sum_ns,
		.connects = connects,
	};
}

/* ---- shared by the verbs ---------------------------------------------------------------------- */

int client_get_conn(struct sftp_client *client, struct sftp_conn **ret_conn)
{
	return sftp_pool_get(client->pool, ret_conn, NULL);
}

void client_put_extension(struct wire_buf *body, enum sftp_extension extension)
{
	wire_put_cstring(body, sftp_extension_name(extension));
}

int client_get_remote_attrs(struct call *call, enum sftp_operation operation,
                            struct sftp_attrs *ret_attrs)
{
	struct sftp_attrs attrs = {0};
	struct wire_reader body;
	int error = call_reply(call, operation, SFTP_ATTRS, &body);

	if (error)
		return error;
	sftp_get_attrs(&body, &attrs);
	if (!wire_reader_ok(&body))
		return -EPROTO;
	*ret_attrs = attrs;
	return 0;
}

int client_localize_attrs(struct sftp_client *client, struct sftp_attrs *attrs)
{
	if (!(attrs->flags & SFTP_ATTR_UIDGID))
		return 0;
	return idmap_to_local(client->idmap, &attrs->uid, &attrs->gid);
}

int client_get_attrs(struct sftp_client *client, struct call *call, enum sftp_operation operation,
                     struct sftp_attrs *ret_attrs)
{
	struct sftp_attrs attrs;
	int error = client_get_remote_attrs(call, operation, &attrs);

	if (!error)
		error = client_localize_attrs(client, &attrs);
	if (!error)
		*ret_attrs = attrs;
	return error;
}

/* Replaces an id of -1 by what the server has. */
static int complete_ids(struct sftp_conn *conn, uint8_t stat_type, const struct wire_buf *subject,
                        struct sftp_attrs *attrs)
{
	AUTO_CALL call = NULL;
	struct sftp_attrs present;
	int error;

	error = call_start(conn, stat_type, subject, &call);
	if (!error)
		error = client_get_remote_attrs(call, SFTP_OP_STAT, &present);
	if (error)
		return error;
	if (!(present.flags & SFTP_ATTR_UIDGID))
		return -EOPNOTSUPP;
	if (attrs->uid == UINT32_MAX)
		attrs->uid = present.uid;
	if (attrs->gid == UINT32_MAX)
		attrs->gid = present.gid;
	return 0;
}

int client_prepare_attrs(struct sftp_client *client, struct sftp_conn *conn, uint8_t stat_type,
                         const struct wire_buf *subject, const struct sftp_attrs *attrs,
                         struct sftp_attrs *ret_attrs)
{
	struct sftp_attrs remote = *attrs;
	int error = 0;

	remote.flags &= ~(uint32_t)SFTP_ATTR_EXTENDED;
	if (remote.uid == UINT32_MAX && remote.gid == UINT32_MAX)
		remote.flags &= ~(uint32_t)SFTP_ATTR_UIDGID;
	if (remote.flags & SFTP_ATTR_UIDGID) {
		error = idmap_to_remote(client->idmap, &remote.uid, &remote.gid);
		if (!error && (remote.uid == UINT32_MAX || remote.gid == UINT32_MAX))
			error = complete_ids(conn, stat_type, subject, &remote);
	}
	if (!error)
		*ret_attrs = remote;
	return error;
}

int client_get_statvfs(struct call *call, struct sftp_statvfs *ret_statvfs)
{
	struct sftp_statvfs statvfs = {0};
	struct wire_reader body;
	int error = call_reply(call, SFTP_OP_STATVFS, SFTP_EXTENDED_REPLY, &body);

	if (error)
		return error;
	sftp_get_statvfs(&body, &statvfs);
	if (!wire_reader_ok(&body))
		return -EPROTO;
	*ret_statvfs = statvfs;
	return 0;
}
