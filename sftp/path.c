// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The verbs by path: one request, one reply; where the reply is vague, a look at the cause. What
 * came of a change is asked for behind it (after.c). See client.h. Renaming is in rename.c, listing in
 * readdir.c.
 */
#include "client_private.h"

#include <errno.h>
#include <glib.h>

#include "diagnose.h"

static void put_path(struct wire_buf *body, const char *path)
{
	wire_buf_init(body);
	wire_put_cstring(body, path);
}

/* Where a change is sent to, and what it is. */
struct change {
	struct sftp_client *client;
	struct sftp_conn *conn; /* referenced by the caller */
	uint8_t type;
	const struct sftp_attrs *set; /* NULL but for what sets attributes; with the server's ids */
	struct diagnose_case as;
};

/*
 * Sends a change, which is answered by a status alone, and behind it the question what came of it; looks
 * for the cause when it failed.
 */
static int make_change(const struct change *change, const struct wire_buf *body,
                       struct sftp_after *after)
{
	const struct diagnose_case *as = &change->as;
	AUTO_CALL call = NULL;
	AUTO_CALL after_call = NULL;
	int error = call_start(change->conn, change->type, body, &call);

	if (error)
		return error;
	after_ask_path(after, change->conn, as->other ? as->other : as->path, &after_call);
	error = call_reply(call, as->operation, SFTP_STATUS, NULL);
	if (error)
		return diagnose_path(change->conn, call, error, as);
	after_take(after, change->client, after_call, change->set);
	return 0;
}

/* The same on any connection. */
static int request_change(struct sftp_client *client, uint8_t type, const struct wire_buf *body,
                          const struct diagnose_case *as, struct sftp_after *after)
{
	AUTO_CONN conn = NULL;
	struct change change = {.client = client, .type = type, .as = *as};
	int error = client_get_conn(client, &conn);

	change.conn = conn;
	return error ? error : make_change(&change, body, after);
}

/* ---- attributes ------------------------------------------------------------------------------- */

static int request_attrs(struct sftp_client *client, uint8_t type, enum sftp_operation operation,
                         const char *path, struct sftp_attrs *ret_attrs)
{
	AUTO_CONN conn = NULL;
	AUTO_CALL call = NULL;
	int error = client_get_conn(client, &conn);

	if (!error)
		error = call_start_path(conn, type, path, &call);
	if (error)
		return error;
	error = client_get_attrs(client, call, operation, ret_attrs);
	if (error) {
		struct diagnose_case as = {.operation = operation, .path = path};

		return call_status(call) == SFTP_BAD_MESSAGE ? diagnose_path(conn, call, error, &as)
		                                             : error;
	}
	return 0;
}

int sftp_lstat(struct sftp_client *client, const char *path, struct sftp_attrs *ret_attrs)
{
	return request_attrs(client, SFTP_LSTAT, SFTP_OP_LSTAT, path, ret_attrs);
}

int sftp_stat(struct sftp_client *client, const char *path, struct sftp_attrs *ret_attrs)
{
	return request_attrs(client, SFTP_STAT, SFTP_OP_STAT, path, ret_attrs);
}

int sftp_setstat(struct sftp_client *client, const char *path, const struct sftp_attrs *attrs,
                 struct sftp_after *after)
{
	AUTO_CONN conn = NULL;
	WIRE_AUTO body = {0};
	struct sftp_attrs remote;
	struct change change = {
		.client = client,
		.type = SFTP_SETSTAT,
		.set = &remote,
		.as = {.operation = SFTP_OP_SETSTAT, .path = path, .attrs = attrs},
	};
	int error;

	put_path(&body, path);
	error = client_get_conn(client, &conn);
	if (!error)
		error = client_prepare_attrs(client, conn, SFTP_STAT, &body, attrs, &remote);
	if (error)
		return error;
	sftp_put_attrs(&body, &remote);
	change.conn = conn;
	return make_change(&change, &body, after);
}

int sftp_lsetstat(struct sftp_client *client, const char *path, const struct sftp_attrs *attrs,
                  struct sftp_after *after)
{
	AUTO_CONN conn = NULL;
	WIRE_AUTO subject = {0};
	WIRE_AUTO body = {0};
	struct sftp_attrs remote;
	struct change change = {
		.client = client,
		.type = SFTP_EXTENDED,
		.set = &remote,
		.as = {.operation = SFTP_OP_SETSTAT, .path = path},
	};
	int error;

	put_path(&subject, path);
	error = client_get_conn(client, &conn);
	if (error)
		return error;
	if (!(sftp_conn_extensions(conn) & SFTP_EXT_LSETSTAT))
		return -EOPNOTSUPP;
	error = client_prepare_attrs(client, conn, SFTP_LSTAT, &subject, attrs, &remote);
	if (error)
		return error;
	wire_buf_init(&body);
	client_put_extension(&body, SFTP_EXT_LSETSTAT);
	wire_put_bytes(&body, subject.data, subject.size);
	sftp_put_attrs(&body, &remote);
	change.conn = conn;
	return make_change(&change, &body, after);
}

/* ---- names in replies ------------------------------------------------------------------------- */

int client_get_first_name(struct wire_reader *body, char **ret_name)
{
	uint32_t count = wire_get_u32(body);
	g_autofree char *name = NULL;

	if (!wire_reader_ok(body) || count < 1)
		return -EPROTO;
	name = wire_get_cstring(body);
	if (!wire_reader_ok(body) || !name)
		return -EPROTO;
	*ret_name = g_steal_pointer(&name);
	return 0;
}

static int ask_name(struct sftp_conn *conn, uint8_t type, const struct wire_buf *body,
                    const struct diagnose_case *as, char **ret_name)
{
	AUTO_CALL call = NULL;
	struct wire_reader reply;
	int error = call_start(conn, type, body, &call);

	if (error)
		return error;
	error = call_reply(call, as->operation, SFTP_NAME, &reply);
	if (error)
		return diagnose_path(conn, call, error, as);
	return client_get_first_name(&reply, ret_name);
}

int sftp_readlink(struct sftp_client *client, const char *path, char **ret_target)
{
	struct diagnose_case as = {.operation = SFTP_OP_READLINK, .path = path};
	AUTO_CONN conn = NULL;
	WIRE_AUTO body = {0};
	int error;

	put_path(&body, path);
	error = client_get_conn(client, &conn);
	if (error)
		return error;
	if (sftp_conn_version(conn) < 3)
		return -EPERM;
	error = ask_name(conn, SFTP_READLINK, &body, &as, ret_target);
	/* OpenSSH's word for EINVAL; what was no symlink then may be one again when it is looked at. */
	return error == -EBADMSG ? -EINVAL : error;
}

int sftp_realpath(struct sftp_client *client, const char *path, char **ret_path)
{
	struct diagnose_case as = {.operation = SFTP_OP_REALPATH, .path = path};
	AUTO_CONN conn = NULL;
	WIRE_AUTO body = {0};
	int error;

	put_path(&body, path);
	error = client_get_conn(client, &conn);
	return error ? error : ask_name(conn, SFTP_REALPATH, &body, &as, ret_path);
}

int sftp_expand_path(struct sftp_client *client, const char *path, char **ret_path)
{
	struct diagnose_case as = {.operation = SFTP_OP_REALPATH, .path = path};
	AUTO_CONN conn = NULL;
	WIRE_AUTO body = {0};
	int error = client_get_conn(client, &conn);

	if (error)
		return error;
	if (!(sftp_conn_extensions(conn) & SFTP_EXT_EXPAND_PATH))
		return -EOPNOTSUPP;
	wire_buf_init(&body);
	client_put_extension(&body, SFTP_EXT_EXPAND_PATH);
	wire_put_cstring(&body, path);
	return ask_name(conn, SFTP_EXTENDED, &body, &as, ret_path);
}

/* ---- making and removing ---------------------------------------------------------------------- */

int sftp_mkdir(struct sftp_client *client, const char *path, uint32_t mode,
               struct sftp_after *after)
{
	struct diagnose_case as = {.operation = SFTP_OP_MKDIR, .path = path};
	struct sftp_attrs attrs = {.flags = SFTP_ATTR_PERMISSIONS, .permissions = mode & 07777};
	WIRE_AUTO body = {0};

	put_path(&body, path);
	sftp_put_attrs(&body, &attrs);
	return request_change(client, SFTP_MKDIR, &body, &as, after);
}

int sftp_rmdir(struct sftp_client *client, const char *path)
{
	struct diagnose_case as = {.operation = SFTP_OP_RMDIR, .path = path};
	WIRE_AUTO body = {0};

	put_path(&body, path);
	return request_change(client, SFTP_RMDIR, &body, &as, NULL);
}

int sftp_remove(struct sftp_client *client, const char *path)
{
	struct diagnose_case as = {.operation = SFTP_OP_REMOVE, .path = path};
	WIRE_AUTO body = {0};

	put_path(&body, path);
	return request_change(client, SFTP_REMOVE, &body, &as, NULL);
}

int sftp_link(struct sftp_client *client, const char *from, const char *to,
              struct sftp_after *after)
{
	AUTO_CONN conn = NULL;
	WIRE_AUTO body = {0};
	struct change change = {
		.client = client,
		.type = SFTP_EXTENDED,
		.as = {.operation = SFTP_OP_LINK, .path = from, .other = to},
	};
	int error = client_get_conn(client, &conn);

	if (error)
		return error;
	if (!(sftp_conn_extensions(conn) & SFTP_EXT_HARDLINK))
		return -EOPNOTSUPP;
	wire_buf_init(&body);
	client_put_extension(&body, SFTP_EXT_HARDLINK);
	wire_put_cstring(&body, from);
	wire_put_cstring(&body, to);
	change.conn = conn;
	return make_change(&change, &body, after);
}

/*
 * The target goes first: draft-02 has it the other way round, but OpenSSH's server confused the two
 * early on, and everybody followed it (section 4.1 of OpenSSH's PROTOCOL).
 */
int sftp_symlink(struct sftp_client *client, const char *target, const char *path,
                 struct sftp_after *after)
{
	AUTO_CONN conn = NULL;
	WIRE_AUTO body = {0};
	struct change change = {
		.client = client,
		.type = SFTP_SYMLINK,
		.as = {.operation = SFTP_OP_SYMLINK, .path = path},
	};
	int error;

	put_path(&body, target);
	wire_put_cstring(&body, path);
	error = client_get_conn(client, &conn);
	if (error)
		return error;
	if (sftp_conn_version(conn) < 3)
		return -EPERM;
	change.conn = conn;
	return make_change(&change, &body, after);
}

/* ---- the file system -------------------------------------------------------------------------- */

int sftp_statvfs(struct sftp_client *client, const char *path, struct sftp_statvfs *ret_statvfs)
{
	AUTO_CONN conn = NULL;
	WIRE_AUTO body = {0};
	AUTO_CALL call = NULL;
	int error = client_get_conn(client, &conn);

	if (error)
		return error;
	if (!(sftp_conn_extensions(conn) & SFTP_EXT_STATVFS))
		return -EOPNOTSUPP;
	wire_buf_init(&body);
	client_put_extension(&body, SFTP_EXT_STATVFS);
	wire_put_cstring(&body, path);
	error = call_start(conn, SFTP_EXTENDED, &body, &call);
	return error ? error : client_get_statvfs(call, ret_statvfs);
}
