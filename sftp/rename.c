// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Renaming. See client.h.
 *
 * Two requests rename: posix-rename@openssh.com replaces the new name like rename(2); draft-02's
 * RENAME never does. Where only the latter exists and the user asked for it (workaround=rename), an
 * existing target is moved aside first and removed afterwards, which is not atomic.
 */
#include "client_private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>

#include "diagnose.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#endif

/* Renames by one of the two requests. */
static int rename_once(struct sftp_conn *conn, bool posix, const char *from, const char *to)
{
	struct diagnose_case as = {
		.operation = SFTP_OP_RENAME, .path = from, .other = to, .no_replace = !posix};
	WIRE_AUTO body = {0};
	AUTO_CALL call = NULL;
	int error;

	wire_buf_init(&body);
	if (posix)
		client_put_extension(&body, SFTP_EXT_POSIX_RENAME);
	wire_put_cstring(&body, from);
	wire_put_cstring(&body, to);
	error = call_start(conn, posix ? SFTP_EXTENDED : SFTP_RENAME, &body, &call);
	if (error)
		return error;
	error = call_reply(call, SFTP_OP_RENAME, SFTP_STATUS, NULL);
	return error ? diagnose_path(conn, call, error, &as) : 0;
}

static int exists(struct sftp_conn *conn, const char *path)
{
	AUTO_CALL call = NULL;
	struct sftp_attrs attrs;
	int error = call_start_path(conn, SFTP_LSTAT, path, &call);

	return error ? error : client_get_remote_attrs(call, SFTP_OP_LSTAT, &attrs);
}

/* Draft-02's RENAME may replace on sloppy servers: a look first. */
static int rename_no_replace(struct sftp_conn *conn, const char *from, const char *to)
{
	int error = exists(conn, to);

	if (!error)
		return -EEXIST;
	return error == -ENOENT ? rename_once(conn, false, from, to) : error;
}

static int remove_aside(struct sftp_conn *conn, const char *path)
{
	AUTO_CALL call = NULL;
	int error = call_start_path(conn, SFTP_REMOVE, path, &call);

	return error ? error : call_reply(call, SFTP_OP_REMOVE, SFTP_STATUS, NULL);
}

/* workaround=rename: the old target is moved aside, and back if the rename still fails. */
static int rename_with_aside(struct sftp_conn *conn, const char *from, const char *to)
{
	g_autofree char *aside =
		g_strdup_printf("%s%08u", to, (unsigned int)g_random_int_range(0, 100000000));
	int error = rename_once(conn, false, to, aside);

	if (error)
		return error;
	error = rename_once(conn, false, from, to);
	if (error)
		rename_once(conn, false, aside, to);
	else
		remove_aside(conn, aside);
	return error;
}

static int rename_plain(struct sftp_client *client, struct sftp_conn *conn, const char *from,
                        const char *to)
{
	int error;

	if (sftp_conn_extensions(conn) & SFTP_EXT_POSIX_RENAME)
		return rename_once(conn, true, from, to);
	error = rename_once(conn, false, from, to);
	if ((error == -EPERM || error == -EEXIST) && client->settings.workaround_rename) {
		if (rename_with_aside(conn, from, to) == 0)
			return 0;
	}
	return error;
}

int sftp_rename(struct sftp_client *client, const char *from, const char *to, unsigned int flags)
{
	AUTO_CONN conn = NULL;
	int error;

	if (flags & ~(unsigned int)RENAME_NOREPLACE)
		return -EINVAL;
	error = client_get_conn(client, &conn);
	if (error)
		return error;
	if (flags & RENAME_NOREPLACE)
		error = rename_no_replace(conn, from, to);
	else
		error = rename_plain(client, conn, from, to);
	if (error == -EPERM && client->settings.workaround_renamexdev)
		error = -EXDEV;
	return error;
}
