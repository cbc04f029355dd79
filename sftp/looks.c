// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Looks at many names at once. See sftp_looks_begin() in client.h. Nothing is looked into when one is refused:
 * these are asked for ahead, and whoever needs one asks for it alone.
 */
#include "client_private.h"

#include <errno.h>
#include <glib.h>

struct sftp_looks {
	struct sftp_client *client;
	struct sftp_conn *conn; /* a reference */
	size_t count;           /* of those that were asked for: the first ones */
	struct call *calls[];
};

struct sftp_looks *sftp_looks_begin(struct sftp_client *client, char *const paths[], size_t count)
{
	struct sftp_looks *looks;
	struct sftp_conn *conn;

	if (client_get_conn(client, &conn) != 0)
		return NULL;
	looks = g_malloc0(sizeof(*looks) + count * sizeof(looks->calls[0]));
	looks->client = client;
	looks->conn = conn;
	while (looks->count < count && call_start_path(conn, SFTP_LSTAT, paths[looks->count],
	                                               &looks->calls[looks->count]) == 0)
		looks->count++;
	return looks;
}

void sftp_looks_end(struct sftp_looks *looks, sftp_look_fn tell, void *data)
{
	int error = 0;

	if (!looks)
		return;
	for (size_t i = 0; i < looks->count; i++) {
		struct sftp_attrs attrs;

		if (!call_is_final(error)) {
			error = client_get_attrs(looks->client, looks->calls[i], SFTP_OP_LSTAT,
			                         &attrs);
			tell(i, error, &attrs, data);
		}
		call_end(&looks->calls[i]);
	}
	sftp_conn_unref(looks->conn);
	g_free(looks);
}
