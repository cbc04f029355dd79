/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why did it fail? SFTP version 3 has one status for most causes, SFTP_FAILURE. Inside sftp/ only.
 */
#ifndef SFTP_DIAGNOSE_H
#define SFTP_DIAGNOSE_H

#include <stddef.h>
#include <stdint.h>

#include "call.h"

/* What failed, as the cause depends on it. */
struct diagnose_case {
	enum sftp_operation operation;
	const char *path;               /* the one that was asked for, or `from` */
	const char *other;              /* `to` of a rename or link, else NULL */
	uint32_t open_flags;            /* OPEN: enum sftp_open_flag */
	bool no_replace;                /* RENAME: of the kind that does not replace */
	const struct sftp_attrs *attrs; /* SETSTAT: what was to be set, else NULL */
};

/*
 * Looks up the cause of the failure of `call`, for which call_reply() said `error`: one round trip for
 * a few look-ups, and only where the status is vague. Returns a negative errno: the cause, or `error`
 * when none was found (also when the look-ups fail).
 */
int diagnose_path(struct sftp_conn *conn, const struct call *call, int error,
                  const struct diagnose_case *failed);

/*
 * The errno (negative) of a vague failure to store `size` bytes, from the statvfs of the file's file
 * system: -EROFS, -ENOSPC, or -EIO.
 */
int diagnose_space(const struct sftp_statvfs *statvfs, uint64_t size);

#endif
