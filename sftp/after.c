// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Attributes asked for right behind a change, in its round trip. See struct sftp_after in client.h.
 *
 * Most servers work on the requests of a connection one after the other, as draft-02 has it for those
 * that speak of one file (section 6.1). Some do it side by side, and the look-up may be done first. That
 * shows when the name is still missing, or when what was set is not what is found; such an answer is
 * older than the change, and is not believed.
 */
#include "client_private.h"

#include <errno.h>
#include <sys/stat.h>

/* ---- asking ----------------------------------------------------------------------------------- */

void after_ask_path(struct sftp_after *after, struct sftp_conn *conn, const char *path,
                    struct call **call)
{
	if (after)
		after->error =
			call_start_path(conn, after->follow ? SFTP_STAT : SFTP_LSTAT, path, call);
}

void after_ask_handle(struct sftp_after *after, struct sftp_conn *conn,
                      const struct wire_buf *handle, struct call **call)
{
	if (after)
		after->error = call_start(conn, SFTP_FSTAT, handle, call);
}

/* ---- judging ---------------------------------------------------------------------------------- */

static bool is_other_id(uint32_t found, uint32_t set)
{
	return set != UINT32_MAX && found != set;
}

/* True when what was found cannot be of after the change. */
static bool is_older(const struct sftp_attrs *found, const struct sftp_attrs *set)
{
	uint32_t both = found->flags & set->flags;

	if (both & SFTP_ATTR_SIZE && found->size != set->size)
		return true;
	if (both & SFTP_ATTR_UIDGID &&
	    (is_other_id(found->uid, set->uid) || is_other_id(found->gid, set->gid)))
		return true;
	if (both & SFTP_ATTR_PERMISSIONS && (found->permissions ^ set->permissions) & 07777)
		return true;
	return both & SFTP_ATTR_TIMES && (found->atime != set->atime || found->mtime != set->mtime);
}

void after_take(struct sftp_after *after, struct sftp_client *client, struct call *call,
                const struct sftp_attrs *set)
{
	struct sftp_attrs found;

	if (!call)
		return;
	after->error = client_get_remote_attrs(call, SFTP_OP_LSTAT, &found);
	if (after->error == -ENOENT || (!after->error && set && is_older(&found, set)))
		after->error = -EAGAIN;
	if (!after->error)
		after->error = client_localize_attrs(client, &found);
	if (!after->error)
		after->attrs = found;
}
