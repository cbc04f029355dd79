// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The targets of many symlinks at once. See sftp_readlinks() in client.h. Nothing is looked into when a
 * target is refused: these are asked for ahead, and whoever needs one asks for it alone.
 */
#include "client_private.h"

#include <errno.h>
#include <glib.h>

static int get_target(struct call *call, char **ret_target)
{
	struct wire_reader body;
	int error = call_reply(call, SFTP_OP_READLINK, SFTP_NAME, &body);

	return error ? error : client_get_first_name(&body, ret_target);
}

static int take_targets(GQueue *calls, sftp_target_fn tell, void *data)
{
	for (size_t i = 0; calls->length > 0; i++) {
		AUTO_CALL call = g_queue_pop_head(calls);
		g_autofree char *target = NULL;
		int error = get_target(call, &target);

		if (call_is_final(error))
			return error;
		tell(i, error, target, data);
	}
	return 0;
}

int sftp_readlinks(struct sftp_client *client, char *const paths[], size_t count,
                   sftp_target_fn tell, void *data)
{
	GQueue calls = G_QUEUE_INIT;
	AUTO_CONN conn = NULL;
	struct call *call;
	int start_error = 0;
	int error = client_get_conn(client, &conn);

	for (size_t i = 0; !error && !start_error && i < count; i++) {
		start_error = call_start_path(conn, SFTP_READLINK, paths[i], &call);
		if (!start_error)
			g_queue_push_tail(&calls, call);
	}
	if (!error)
		error = take_targets(&calls, tell, data);
	while ((call = g_queue_pop_head(&calls)) != NULL)
		call_end(&call);
	return error ? error : start_error;
}
