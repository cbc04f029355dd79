// SPDX-License-Identifier: GPL-2.0-or-later
/* User and group translation, and the map files that are refused. */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "idmap.h"

static char *write_file(const char *contents, mode_t mode)
{
	g_autofree char *path = NULL;
	int fd = g_file_open_tmp("idmap-XXXXXX", &path, NULL);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, contents, strlen(contents)), ==, (ssize_t)strlen(contents));
	g_assert_cmpint(fchmod(fd, mode), ==, 0);
	close(fd);
	return g_steal_pointer(&path);
}

/* root is 0 on every machine; the other names exist on none. */
static void assert_file_maps(const char *contents)
{
	g_autofree char *path = write_file(contents, 0600);
	struct idmap_settings settings = {.mode = IDMAP_FILE, .uidfile = path};
	g_autofree char *why = NULL;
	struct idmap *map = NULL;
	uint32_t uid = 1001, gid = 7;

	g_assert_cmpint(idmap_new(&settings, &map, &why), ==, 0);
	g_assert_cmpint(idmap_to_local(map, &uid, &gid), ==, 0);
	g_assert_cmpuint(uid, ==, 0);
	g_assert_cmpuint(gid, ==, 7);
	g_assert_cmpint(idmap_to_remote(map, &uid, &gid), ==, 0);
	g_assert_cmpuint(uid, ==, 1001);
	uid = 99;
	g_assert_cmpint(idmap_to_local(map, &uid, &gid), ==, -EPERM);
	g_assert_cmpuint(uid, ==, 99);
	uid = UINT32_MAX;
	gid = UINT32_MAX;
	g_assert_cmpint(idmap_to_remote(map, &uid, &gid), ==, 0);
	g_assert_cmpuint(uid, ==, UINT32_MAX);
	idmap_free(map);
	g_unlink(path);
}

static void test_file(void)
{
	assert_file_maps("root:1001\n");
	assert_file_maps("# comment\n\nno-such-user-here:5\nroot:1001");
	assert_file_maps("root:x:1001:1001:root:/root:/bin/sh\n");
}

static void test_ignore(void)
{
	g_autofree char *path = write_file("root:1001\n", 0600);
	struct idmap_settings settings = {
		.mode = IDMAP_FILE, .gidfile = path, .nomap_ignore = true};
	g_autofree char *why = NULL;
	struct idmap *map = NULL;
	uint32_t uid = 5, gid = 99;

	g_assert_cmpint(idmap_new(&settings, &map, &why), ==, 0);
	g_assert_cmpint(idmap_to_local(map, &uid, &gid), ==, 0);
	g_assert_cmpuint(uid, ==, 5);
	g_assert_cmpuint(gid, ==, 99);
	idmap_free(map);
	g_unlink(path);
}

/* Both or none: half a translation would give a file to somebody else. */
static void test_one_unmapped(void)
{
	g_autofree char *users = write_file("root:1001\n", 0600);
	g_autofree char *groups = write_file("root:1002\n", 0600);
	struct idmap_settings settings = {.mode = IDMAP_FILE, .uidfile = users, .gidfile = groups};
	g_autofree char *why = NULL;
	struct idmap *map = NULL;
	uint32_t uid = 1001, gid = 1003;

	g_assert_cmpint(idmap_new(&settings, &map, &why), ==, 0);
	g_assert_cmpint(idmap_to_local(map, &uid, &gid), ==, -EPERM);
	g_assert_cmpuint(uid, ==, 1001);
	g_assert_cmpuint(gid, ==, 1003);
	gid = 1002;
	g_assert_cmpint(idmap_to_local(map, &uid, &gid), ==, 0);
	g_assert_cmpuint(uid, ==, 0);
	g_assert_cmpuint(gid, ==, 0);
	idmap_free(map);
	g_unlink(users);
	g_unlink(groups);
}

static void test_none(void)
{
	const struct idmap_settings settings = {.mode = IDMAP_NONE};
	g_autofree char *why = NULL;
	struct idmap *map = NULL;
	uint32_t uid = 4711, gid = 4712;

	g_assert_cmpint(idmap_new(&settings, &map, &why), ==, 0);
	g_assert_false(idmap_wants_remote_user(map));
	g_assert_cmpint(idmap_to_local(map, &uid, &gid), ==, 0);
	g_assert_cmpint(idmap_to_remote(map, &uid, &gid), ==, 0);
	g_assert_cmpuint(uid, ==, 4711);
	g_assert_cmpuint(gid, ==, 4712);
	idmap_free(map);
}

static void assert_refused(const char *contents, mode_t mode, int error, const char *message)
{
	g_autofree char *path = write_file(contents, mode);
	struct idmap_settings settings = {.mode = IDMAP_FILE, .uidfile = path};
	g_autofree char *why = NULL;
	struct idmap *map = NULL;

	g_assert_cmpint(idmap_new(&settings, &map, &why), ==, error);
	g_assert_null(map);
	g_assert_nonnull(strstr(why, message));
	g_unlink(path);
}

static void test_bad_files(void)
{
	g_autofree char *line = g_strnfill(LINE_MAX + 10, 'x');

	assert_refused("root\n", 0600, -EINVAL, ":1: unknown format");
	assert_refused("root:1\nroot:abc\n", 0600, -EINVAL, ":2: unknown format");
	assert_refused("root:-1\n", 0600, -EINVAL, ":1: unknown format");
	assert_refused("root:4294967295\n", 0600, -EINVAL, ":1: unknown format");
	assert_refused(":5\n", 0600, -EINVAL, ":1: unknown format");
	assert_refused(line, 0600, -EINVAL, ":1: line too long");
	assert_refused("root:1\n", 0620, -EPERM, "is writable by other users");
	assert_refused("root:1\n", 0602, -EPERM, "is writable by other users");
}

/* A FIFO would hang whoever opens it to read. */
static void test_no_file(void)
{
	g_autofree char *folder = g_dir_make_tmp("idmap-XXXXXX", NULL);
	g_autofree char *fifo = g_build_filename(folder, "fifo", NULL);
	char *const paths[] = {folder, fifo};

	g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
		struct idmap_settings settings = {.mode = IDMAP_FILE, .gidfile = paths[i]};
		g_autofree char *why = NULL;
		struct idmap *map = NULL;

		g_assert_cmpint(idmap_new(&settings, &map, &why), ==, -EINVAL);
		g_assert_null(map);
		g_assert_nonnull(strstr(why, "not a regular file"));
	}
	g_unlink(fifo);
	g_rmdir(folder);
}

static void test_foreign_file(void)
{
	g_autofree char *path = write_file("root:1\n", 0600);
	struct idmap_settings settings = {.mode = IDMAP_FILE, .uidfile = path};
	g_autofree char *why = NULL;
	struct idmap *map = NULL;

	if (getuid() != 0) {
		g_test_skip("needs root to give a file away");
		g_unlink(path);
		return;
	}
	g_assert_cmpint(chown(path, 65534, 0), ==, 0);
	g_assert_cmpint(idmap_new(&settings, &map, &why), ==, -EPERM);
	g_assert_nonnull(strstr(why, "is not owned by uid 0"));
	g_unlink(path);
}

static void test_missing(void)
{
	char missing[] = "/nonexistent/uidfile";
	struct idmap_settings settings = {.mode = IDMAP_FILE, .uidfile = missing};
	g_autofree char *why = NULL;
	struct idmap *map = NULL;

	g_assert_cmpint(idmap_new(&settings, &map, &why), ==, -ENOENT);
	g_assert_nonnull(strstr(why, "failed to open '/nonexistent/uidfile': No such file"));
	g_clear_pointer(&why, g_free);
	settings.uidfile = NULL;
	g_assert_cmpint(idmap_new(&settings, &map, &why), ==, -EINVAL);
	g_assert_nonnull(strstr(why, "need a uidfile or gidfile with idmap=file"));
}

static void test_user(void)
{
	const struct idmap_settings settings = {.mode = IDMAP_USER};
	g_autofree char *why = NULL;
	struct idmap *map = NULL;
	uint32_t uid = 4711, gid = 4712;

	g_assert_cmpint(idmap_new(&settings, &map, &why), ==, 0);
	g_assert_true(idmap_wants_remote_user(map));
	idmap_set_remote_user(map, 4711, 4712);
	g_assert_false(idmap_wants_remote_user(map));
	g_assert_cmpint(idmap_to_local(map, &uid, &gid), ==, 0);
	g_assert_cmpuint(uid, ==, getuid());
	g_assert_cmpuint(gid, ==, getgid());
	g_assert_cmpint(idmap_to_remote(map, &uid, &gid), ==, 0);
	g_assert_cmpuint(uid, ==, 4711);
	g_assert_cmpuint(gid, ==, 4712);
	idmap_free(map);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/idmap/file", test_file);
	g_test_add_func("/idmap/ignore", test_ignore);
	g_test_add_func("/idmap/one-unmapped", test_one_unmapped);
	g_test_add_func("/idmap/none", test_none);
	g_test_add_func("/idmap/bad-files", test_bad_files);
	g_test_add_func("/idmap/no-file", test_no_file);
	g_test_add_func("/idmap/foreign-file", test_foreign_file);
	g_test_add_func("/idmap/missing", test_missing);
	g_test_add_func("/idmap/user", test_user);
	return g_test_run();
}
