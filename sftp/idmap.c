// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See idmap.h. Two maps a kind of id, one each way. Map files decide who may do what, so one that
 * others could have written is refused.
 */
#include "idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

#define ID_NONE UINT32_MAX /* "leave as it is" in chown(2) */

/* Longest entry of the local databases that is read; a group can have very many members. */
#define ENTRY_MAX (16 * MIB)

/* One kind of id; both tables NULL: numbers pass through. */
struct id_table {
	GHashTable *to_local, *to_remote; /* GUINT_TO_POINTER both ways */
};

struct idmap {
	enum idmap_mode mode;
	bool ignore_unmapped;
	struct id_table users, groups; /* IDMAP_FILE; set once */
	bool has_remote;               /* IDMAP_USER: the two below are set */
	uint32_t remote_uid, remote_gid;
	uint32_t local_uid, local_gid;
};

/* Looks a name up in the local database: 0 and *ret_id, or -ENOENT. */
typedef int (*local_id_fn)(const char *name, uint32_t *ret_id);

static int local_user_id(const char *name, uint32_t *ret_id)
{
	struct passwd pwd, *found = NULL;
	int error = ERANGE;

	for (size_t size = 4 * KIB; error == ERANGE && size <= ENTRY_MAX; size *= 4) {
		g_autofree char *buf = g_malloc(size);

		error = getpwnam_r(name, &pwd, buf, size, &found);
	}
	if (error || !found)
		return -ENOENT;
	*ret_id = pwd.pw_uid;
	return 0;
}

static int local_group_id(const char *name, uint32_t *ret_id)
{
	struct group grp, *found = NULL;
	int error = ERANGE;

	for (size_t size = 4 * KIB; error == ERANGE && size <= ENTRY_MAX; size *= 4) {
		g_autofree char *buf = g_malloc(size);

		error = getgrnam_r(name, &grp, buf, size, &found);
	}
	if (error || !found)
		return -ENOENT;
	*ret_id = grp.gr_gid;
	return 0;
}

/* ---- the map files ---------------------------------------------------------------------------- */

static int open_map_file(const char *path, FILE **ret_file, char **ret_why)
{
	util_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		int error = -errno;

		*ret_why = g_strdup_printf("failed to open '%s': %s", path, g_strerror(errno));
		return error;
	}
	if (!S_ISREG(st.st_mode)) {
		*ret_why = g_strdup_printf("failed to open '%s': not a regular file", path);
		return -EINVAL;
	}
	if (st.st_uid != getuid()) {
		*ret_why = g_strdup_printf("'%s' is not owned by uid %u", path, getuid());
		return -EPERM;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		*ret_why = g_strdup_printf("'%s' is writable by other users", path);
		return -EPERM;
	}
	*ret_file = fdopen(fd, "re");
	if (!*ret_file)
		return -ENOMEM;
	util_take_fd(&fd);
	return 0;
}

/* A decimal number below 2^32 - 1 that fills the whole string. */
static bool parse_id(const char *text, uint32_t *ret_id)
{
	guint64 value;

	if (!g_ascii_string_to_unsigned(text, 10, 0, ID_NONE - 1, &value, NULL))
		return false;
	*ret_id = (uint32_t)value;
	return true;
}

/* "name:id" or "name:x:id:...". Borrows the name from `line`, which is cut up. */
static bool parse_line(char *line, const char **ret_name, uint32_t *ret_id)
{
	g_auto(GStrv) fields = g_strsplit(line, ":", 4);
	unsigned int count = g_strv_length(fields);

	if (count < 2 || !fields[0][0])
		return false;
	if (!parse_id(fields[count == 2 ? 1 : 2], ret_id))
		return false;
	*strchr(line, ':') = '\0';
	*ret_name = line;
	return true;
}

static void table_add(struct id_table *table, uint32_t local, uint32_t remote)
{
	g_hash_table_insert(table->to_local, GUINT_TO_POINTER(remote), GUINT_TO_POINTER(local));
	g_hash_table_insert(table->to_remote, GUINT_TO_POINTER(local), GUINT_TO_POINTER(remote));
}

static bool is_blank_or_comment(const char *line)
{
	return !*line || *line == '#';
}

static int read_lines(FILE *file, const char *path, local_id_fn local_id, struct id_table *table,
                      char **ret_why)
{
	char line[LINE_MAX];

	for (unsigned int number = 1; fgets(line, sizeof(line), file); number++) {
		uint32_t local, remote;
		const char *name;

		if (strlen(line) == sizeof(line) - 1 && line[sizeof(line) - 2] != '\n') {
			*ret_why = g_strdup_printf("%s:%u: line too long", path, number);
			return -EINVAL;
		}
		g_strstrip(line);
		if (is_blank_or_comment(line))
			continue;
		if (!parse_line(line, &name, &remote)) {
			*ret_why = g_strdup_printf(
				"%s:%u: unknown format: expected 'name:id' or 'name:x:id:...'",
				path, number);
			return -EINVAL;
		}
		if (local_id(name, &local) == 0)
			table_add(table, local, remote);
	}
	if (ferror(file)) {
		*ret_why = g_strdup_printf("failed to read '%s'", path);
		return -EIO;
	}
	return 0;
}

static int table_load(struct id_table *table, const char *path, local_id_fn local_id,
                      char **ret_why)
{
	FILE *file = NULL;
	int error;

	if (!path)
		return 0;
	error = open_map_file(path, &file, ret_why);
	if (error) {
		if (!*ret_why)
			*ret_why = g_strdup_printf("failed to open '%s': %s", path,
			                           g_strerror(-error));
		return error;
	}
	table->to_local = g_hash_table_new(NULL, NULL);
	table->to_remote = g_hash_table_new(NULL, NULL);
	error = read_lines(file, path, local_id, table, ret_why);
	fclose(file);
	return error;
}

static void table_done(struct id_table *table)
{
	g_clear_pointer(&table->to_local, g_hash_table_unref);
	g_clear_pointer(&table->to_remote, g_hash_table_unref);
}

/* ---- life ------------------------------------------------------------------------------------- */

static int load_files(struct idmap *map, const struct idmap_settings *settings, char **ret_why)
{
	int error;

	if (!settings->uidfile && !settings->gidfile) {
		*ret_why = g_strdup("need a uidfile or gidfile with idmap=file");
		return -EINVAL;
	}
	error = table_load(&map->users, settings->uidfile, local_user_id, ret_why);
	if (!error)
		error = table_load(&map->groups, settings->gidfile, local_group_id, ret_why);
	return error;
}

int idmap_new(const struct idmap_settings *settings, struct idmap **ret_map, char **ret_why)
{
	struct idmap *map = g_new0(struct idmap, 1);
	int error = 0;

	*ret_why = NULL;
	map->mode = settings->mode;
	map->ignore_unmapped = settings->nomap_ignore;
	map->local_uid = getuid();
	map->local_gid = getgid();
	if (map->mode == IDMAP_FILE)
		error = load_files(map, settings, ret_why);
	if (error) {
		idmap_free(map);
		return error;
	}
	*ret_map = map;
	return 0;
}

void idmap_free(struct idmap *map)
{
	if (!map)
		return;
	table_done(&map->users);
	table_done(&map->groups);
	g_free(map);
}

void idmap_set_remote_user(struct idmap *map, uint32_t uid, uint32_t gid)
{
	map->remote_uid = uid;
	map->remote_gid = gid;
	map->has_remote = true;
}

bool idmap_wants_remote_user(const struct idmap *map)
{
	return map->mode == IDMAP_USER && !map->has_remote;
}

/* ---- translation ------------------------------------------------------------------------------ */

/* Translates through one table; an id without an entry stays, or is refused. */
static int translate(const struct idmap *map, GHashTable *table, uint32_t *id)
{
	void *found;

	if (!table || *id == ID_NONE)
		return 0;
	if (g_hash_table_lookup_extended(table, GUINT_TO_POINTER(*id), NULL, &found)) {
		*id = GPOINTER_TO_UINT(found);
		return 0;
	}
	return map->ignore_unmapped ? 0 : -EPERM;
}

static int translate_both(const struct idmap *map, GHashTable *users, GHashTable *groups,
                          uint32_t *uid, uint32_t *gid)
{
	uint32_t new_uid = *uid, new_gid = *gid;

	if (translate(map, users, &new_uid) < 0 || translate(map, groups, &new_gid) < 0)
		return -EPERM;
	*uid = new_uid;
	*gid = new_gid;
	return 0;
}

static void replace(uint32_t *id, uint32_t from, uint32_t to)
{
	if (*id == from && *id != ID_NONE)
		*id = to;
}

int idmap_to_local(const struct idmap *map, uint32_t *uid, uint32_t *gid)
{
	if (map->mode == IDMAP_USER && map->has_remote) {
		replace(uid, map->remote_uid, map->local_uid);
		replace(gid, map->remote_gid, map->local_gid);
	}
	return translate_both(map, map->users.to_local, map->groups.to_local, uid, gid);
}

int idmap_to_remote(const struct idmap *map, uint32_t *uid, uint32_t *gid)
{
	if (map->mode == IDMAP_USER && map->has_remote) {
		replace(uid, map->local_uid, map->remote_uid);
		replace(gid, map->local_gid, map->remote_gid);
	}
	return translate_both(map, map->users.to_remote, map->groups.to_remote, uid, gid);
}
