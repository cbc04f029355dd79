/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * User and group translation between the server's numbers and ours, so that everything above speaks
 * local ids.
 *
 * Immutable once connected (idmap_set_remote_user() is called before the first request is served),
 * hence thread-safe.
 */
#ifndef SFTP_IDMAP_H
#define SFTP_IDMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum idmap_mode {
	IDMAP_NONE, /* numbers pass through */
	IDMAP_USER, /* the remote user is the mounting user, both ways */
	IDMAP_FILE, /* uidfile and gidfile */
};

/* Filled by options.c; the strings belong to it. */
struct idmap_settings {
	enum idmap_mode mode;
	char *uidfile, *gidfile; /* NULL: that kind of id passes through */
	bool nomap_ignore; /* unmapped ids pass through (nomap=ignore) instead of being refused */
};

struct idmap;

/*
 * Reads the map files. A file has lines "name:remote_id" or those of passwd(5) and group(5); the
 * local id is that of the same name here; names unknown here are skipped; blank lines and lines
 * that start with '#' are, too.
 * Returns 0, or a negative errno and *ret_why (the caller frees it): -EINVAL no file given ("need a
 * uidfile or gidfile with idmap=file"), bad format ("F:N: unknown format") or a line of LINE_MAX
 * bytes and more ("F:N: line too long"); -EPERM not owned by the caller ("'F' is not owned by uid
 * N") or writable by others ("'F' is writable by other users"); -ENOENT... ("failed to open 'F':
 * ...").
 */
int idmap_new(const struct idmap_settings *settings, struct idmap **ret_map, char **ret_why);

void idmap_free(struct idmap *map);

/* IDMAP_USER: the ids the server shows for the remote user's own folder. */
void idmap_set_remote_user(struct idmap *map, uint32_t uid, uint32_t gid);

/* True when idmap_set_remote_user() is needed. */
bool idmap_wants_remote_user(const struct idmap *map);

/*
 * Translate *uid and *gid in place. Returns 0, or -EPERM when one of them is unmapped and the user
 * asked for that to be refused; *uid and *gid are then what they were.
 */
int idmap_to_local(const struct idmap *map, uint32_t *uid, uint32_t *gid);
/* (uid_t)-1 and (gid_t)-1, "leave as it is" in chown(2), stay as they are. */
int idmap_to_remote(const struct idmap *map, uint32_t *uid, uint32_t *gid);

#endif
