/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way into a running mount: ioctl(2) on its mountpoint, or on any folder below it that is open. Here
 * are the contract of both ends and the calling one; fs/ioctl.c serves.
 *
 * Only the user who mounted and root may (else EPERM), whoever else may enter the mount. Nothing waits for
 * the server: neither opening the mountpoint nor what is asked here. On open files, and for other
 * commands, ENOTTY.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <linux/ioctl.h>
#include <stdbool.h>
#include <stdint.h>

#include "report.h"

#define CONTROL_TYPE 0xE6

/*
 * The most that an ioctl's number can say, whatever the report's size: a caller of another version gets an
 * answer, too, and reads its version.
 */
#define CONTROL_REPLY_MAX ((1 << _IOC_SIZEBITS) - 1)

/* Fills a buffer of CONTROL_REPLY_MAX bytes with a struct report. */
#define CONTROL_GET_REPORT _IOC(_IOC_READ, CONTROL_TYPE, 1, CONTROL_REPLY_MAX)

#define CONTROL_REFRESH_VERSION 1

struct control_refresh {
	uint32_t version, size; /* CONTROL_REFRESH_VERSION, sizeof(struct control_refresh) */
	char name[256];         /* in the folder; "": the folder itself; ended by NUL */
};

/*
 * What is known of the name, and of all that is below it, is forgotten, here and in the kernel. On
 * the mountpoint itself: all. EINVAL: another version, or no name. ESTALE: the folder is gone.
 */
#define CONTROL_REFRESH _IOW(CONTROL_TYPE, 2, struct control_refresh)

/* ---- the calling end -------------------------------------------------------------------------- */

/*
 * sshfs --stats: the report of the mount at `path`. Returns 0, or -errno and *ret_why for the user.
 */
int control_get_report(const char *path, struct report *ret_report, char **ret_why);

/* sshfs --refresh: `path` need not exist, as far as it is known here. Returns as above. */
int control_refresh(const char *path, char **ret_why);

#endif
