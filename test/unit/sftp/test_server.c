// SPDX-License-Identifier: GPL-2.0-or-later
/* The verbs of sftp/client.h against OpenSSH's sftp-server; skipped, with a word, where there is none. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "client.h"
#include "list.h"
#include "lock.h"
#include "peer.h"
#include "util.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#endif

/* ---- a client on a folder of its own ---------------------------------------------------------- */

struct fixture {
	char *folder;
	struct connector *connector;
	struct sftp_client *client;
};

static bool fixture_open(struct fixture *fix, struct sftp_settings settings)
{
	g_autofree char *why = NULL;

	if (!peer_server_path()) {
		g_test_skip("no sftp-server on this machine");
		return false;
	}
	fix->folder = g_dir_make_tmp("sftp-test-XXXXXX", NULL);
	g_assert_nonnull(fix->folder);
	settings.max_conns = MAX(settings.max_conns, 1);
	fix->connector = peer_connector_new_server(fix->folder);
	g_assert_cmpint(sftp_client_new(fix->connector, &settings, NULL, &fix->client, &why), ==,
	                0);
	g_assert_cmpint(sftp_client_connect(fix->client, &why), ==, 0);
	return true;
}

static void remove_tree(const char *folder)
{
	const char *argv[] = {"rm", "-rf", "--", folder, NULL};

	g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
	                           NULL, NULL, NULL));
}

static void fixture_close(struct fixture *fix)
{
	sftp_client_free(fix->client);
	connector_free(fix->connector);
	remove_tree(fix->folder);
	g_free(fix->folder);
}

static void make_file(struct fixture *fix, const char *path, uint32_t mode)
{
	struct sftp_file *file;

	g_assert_cmpint(sftp_open(fix->client, path,
	                          SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL, mode, &file,
	                          NULL),
	                ==, 0);
	sftp_file_unref(file);
}

/* ---- names ------------------------------------------------------------------------------------ */

static void test_names(void)
{
	struct sftp_attrs attrs;
	char *target = NULL;
	char *path = NULL;
	struct fixture fix;

	if (!fixture_open(&fix, (struct sftp_settings){0}))
		return;
	g_assert_cmpint(sftp_mkdir(fix.client, "d", 0700, NULL), ==, 0);
	make_file(&fix, "d/f", 0640);
	g_assert_cmpint(sftp_lstat(fix.client, "d/f", &attrs), ==, 0);
	g_assert_cmphex(attrs.permissions, ==, S_IFREG | 0640);
	g_assert_cmpint(sftp_symlink(fix.client, "d/f", "s", NULL), ==, 0);
	g_assert_cmpint(sftp_readlink(fix.client, "s", &target), ==, 0);
	g_assert_cmpstr(target, ==, "d/f");
	g_assert_cmpint(sftp_lstat(fix.client, "s", &attrs), ==, 0);
	g_assert_true(S_ISLNK(attrs.permissions));
	g_assert_cmpint(sftp_stat(fix.client, "s", &attrs), ==, 0);
	g_assert_true(S_ISREG(attrs.permissions));
	g_assert_cmpint(sftp_link(fix.client, "d/f", "d/g", NULL), ==, 0);
	g_assert_cmpint(sftp_rename(fix.client, "d/g", "d/h", RENAME_NOREPLACE), ==, 0);
	make_file(&fix, "e", 0600);
	g_assert_cmpint(sftp_rename(fix.client, "d/h", "e", 0), ==, 0);
	g_assert_cmpint(sftp_lstat(fix.client, "e", &attrs), ==, 0);
	g_assert_cmphex(attrs.permissions, ==, S_IFREG | 0640);
	g_assert_cmpint(sftp_remove(fix.client, "d/f"), ==, 0);
	g_assert_cmpint(sftp_rmdir(fix.client, "d"), ==, 0);
	g_assert_cmpint(sftp_lstat(fix.client, "d", &attrs), ==, -ENOENT);
	g_assert_cmpint(sftp_realpath(fix.client, ".", &path), ==, 0);
	g_assert_cmpstr(path, ==, fix.folder);
	g_free(path);
	g_free(target);
	fixture_close(&fix);
}

static void test_attributes(void)
{
	struct sftp_attrs set = {.flags = SFTP_ATTR_SIZE | SFTP_ATTR_PERMISSIONS | SFTP_ATTR_TIMES,
	                         .size = 12345,
	                         .permissions = 0604,
	                         .atime = 1,
	                         .mtime = 0};
	struct sftp_attrs owner = {.flags = SFTP_ATTR_UIDGID, .uid = UINT32_MAX, .gid = getgid()};
	struct sftp_statvfs statvfs;
	struct sftp_attrs attrs;
	struct fixture fix;

	if (!fixture_open(&fix, (struct sftp_settings){0}))
		return;
	make_file(&fix, "f", 0600);
	g_assert_cmpint(sftp_setstat(fix.client, "f", &set, NULL), ==, 0);
	g_assert_cmpint(sftp_setstat(fix.client, "f", &owner, NULL), ==, 0);
	g_assert_cmpint(sftp_lstat(fix.client, "f", &attrs), ==, 0);
	g_assert_cmpuint(attrs.size, ==, 12345);
	g_assert_cmphex(attrs.permissions, ==, S_IFREG | 0604);
	g_assert_cmpuint(attrs.atime, ==, 1);
	g_assert_cmpuint(attrs.mtime, ==, 0);
	g_assert_cmpuint(attrs.uid, ==, geteuid());
	g_assert_cmpint(sftp_symlink(fix.client, "f", "s", NULL), ==, 0);
	if (sftp_client_extensions(fix.client) & SFTP_EXT_LSETSTAT) {
		set.flags = SFTP_ATTR_TIMES;
		set.mtime = 77;
		g_assert_cmpint(sftp_lsetstat(fix.client, "s", &set, NULL), ==, 0);
		g_assert_cmpint(sftp_lstat(fix.client, "s", &attrs), ==, 0);
		g_assert_cmpuint(attrs.mtime, ==, 77);
		g_assert_cmpint(sftp_lstat(fix.client, "f", &attrs), ==, 0);
		g_assert_cmpuint(attrs.mtime, ==, 0);
	}
	g_assert_cmpint(sftp_statvfs(fix.client, ".", &statvfs), ==, 0);
	g_assert_cmpuint(statvfs.namemax, ==, 255);
	fixture_close(&fix);
}

/* ---- causes of failures: the same errno as a local call gives ------------------------------------- */

static void test_causes(void)
{
	g_autofree char *long_name = g_strnfill(256, 'n');
	struct sftp_attrs huge = {.flags = SFTP_ATTR_SIZE, .size = INT64_MAX};
	struct sftp_attrs attrs;
	struct sftp_file *file = NULL;
	char *target = NULL;
	struct fixture fix;

	if (!fixture_open(&fix, (struct sftp_settings){0}))
		return;
	make_file(&fix, "f", 0600);
	g_assert_cmpint(sftp_mkdir(fix.client, "d", 0755, NULL), ==, 0);
	g_assert_cmpint(sftp_mkdir(fix.client, "d/e", 0755, NULL), ==, 0);

	g_assert_cmpint(sftp_mkdir(fix.client, "d", 0755, NULL), ==, -EEXIST);
	g_assert_cmpint(sftp_mkdir(fix.client, "f", 0755, NULL), ==, -EEXIST);
	g_assert_cmpint(sftp_mkdir(fix.client, "n/n", 0755, NULL), ==, -ENOENT);
	g_assert_cmpint(sftp_symlink(fix.client, "x", "f", NULL), ==, -EEXIST);
	g_assert_cmpint(sftp_link(fix.client, "f", "d", NULL), ==, -EEXIST);
	g_assert_cmpint(sftp_link(fix.client, "n", "m", NULL), ==, -ENOENT);
	g_assert_cmpint(sftp_rmdir(fix.client, "d"), ==, -ENOTEMPTY);
	g_assert_cmpint(sftp_rmdir(fix.client, "f"), ==, -ENOTDIR);
	g_assert_cmpint(sftp_rmdir(fix.client, "n"), ==, -ENOENT);
	g_assert_cmpint(sftp_remove(fix.client, "d"), ==, -EISDIR);
	g_assert_cmpint(sftp_readlink(fix.client, "f", &target), ==, -EINVAL);
	g_assert_cmpint(list_folder(fix.client, "f", NULL, NULL), ==, -ENOTDIR);
	g_assert_cmpint(list_folder(fix.client, "n", NULL, NULL), ==, -ENOENT);
	g_assert_cmpint(sftp_rename(fix.client, "f", "d", 0), ==, -EISDIR);
	g_assert_cmpint(sftp_rename(fix.client, "d", "f", 0), ==, -ENOTDIR);
	g_assert_cmpint(sftp_rename(fix.client, "d", "d/e/x", 0), ==, -EINVAL);
	g_assert_cmpint(sftp_rename(fix.client, "n", "m", 0), ==, -ENOENT);
	g_assert_cmpint(sftp_rename(fix.client, "f", "d", RENAME_NOREPLACE), ==, -EEXIST);
	g_assert_cmpint(sftp_mkdir(fix.client, "o", 0755, NULL), ==, 0);
	g_assert_cmpint(sftp_rename(fix.client, "o", "d", 0), ==, -ENOTEMPTY);
	g_assert_cmpint(sftp_mkdir(fix.client, long_name, 0755, NULL), ==, -ENAMETOOLONG);
	g_assert_cmpint(sftp_lstat(fix.client, long_name, &attrs), ==, -ENAMETOOLONG);
	g_assert_cmpint(sftp_open(fix.client, "f",
	                          SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL, 0600, &file,
	                          NULL),
	                ==, -EEXIST);
	g_assert_cmpint(sftp_open(fix.client, "d", SFTP_OPEN_WRITE, 0, &file, NULL), ==, -EISDIR);
	g_assert_cmpint(sftp_setstat(fix.client, "f", &huge, NULL), ==, -EFBIG);
	g_assert_null(file);
	g_assert_null(target);
	fixture_close(&fix);
}

static void test_other_file_system(void)
{
	struct statvfs here, there;
	g_autofree char *path = NULL;
	struct fixture fix;

	if (!fixture_open(&fix, (struct sftp_settings){0}))
		return;
	path = g_strdup_printf("/dev/shm/sftp-test-%d", (int)getpid());
	if (statvfs(fix.folder, &here) || statvfs("/dev/shm", &there) ||
	    here.f_fsid == there.f_fsid || access("/dev/shm", W_OK)) {
		g_test_skip("no second file system at /dev/shm");
	} else {
		make_file(&fix, "f", 0600);
		g_assert_cmpint(sftp_rename(fix.client, "f", path, 0), ==, -EXDEV);
		g_assert_cmpint(sftp_link(fix.client, "f", path, NULL), ==, -EXDEV);
	}
	fixture_close(&fix);
}

/* ---- listings --------------------------------------------------------------------------------- */

static int count_entry(const char *name, const struct sftp_attrs *attrs, void *data)
{
	GHashTable *names = data;

	g_assert_nonnull(attrs);
	g_assert_true(S_ISREG(attrs->permissions));
	g_assert_true(g_hash_table_add(names, g_strdup(name)));
	return 0;
}

static void test_list(void)
{
	struct fixture fix;

	if (!fixture_open(&fix, (struct sftp_settings){0}))
		return;
	g_assert_cmpint(sftp_mkdir(fix.client, "d", 0755, NULL), ==, 0);
	for (unsigned int i = 0; i < 1000; i++) {
		g_autofree char *path = g_strdup_printf("%s/d/%u", fix.folder, i);

		g_assert_true(g_file_set_contents(path, "", 0, NULL));
	}
	for (unsigned int i = 0; i < 2; i++) {
		g_autoptr(GHashTable) names =
			g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

		g_assert_cmpint(list_folder(fix.client, "d", count_entry, names), ==, 0);
		g_assert_cmpuint(g_hash_table_size(names), ==, 1000);
	}
	fixture_close(&fix);
}

/* ---- data ------------------------------------------------------------------------------------- */

static void on_written(void *data, int error)
{
	g_assert_cmpint(error, ==, 0);
	peer_count(data);
}

static void fill(uint8_t *bytes, size_t size, uint32_t seed)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)((i + seed) * 2654435761u >> 13);
}

static struct sftp_file *open_new(struct fixture *fix, const char *path)
{
	struct sftp_file *file = NULL;

	g_assert_cmpint(
		sftp_open(fix->client, path,
	                  SFTP_OPEN_READ | SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_TRUNC,
	                  0600, &file, NULL),
		==, 0);
	return file;
}

/* 24 MiB: past the send queue's bound and the READs in flight. */
static void test_data(void)
{
	struct peer_counter written = PEER_COUNTER_INIT;
	size_t size = 24 * MIB + 17;
	g_autofree uint8_t *bytes = g_malloc(size);
	g_autofree uint8_t *back = g_malloc(size + 1);
	struct sftp_file *file;
	struct sftp_attrs attrs;
	struct fixture fix;
	unsigned int parts = 0;

	if (!fixture_open(&fix, (struct sftp_settings){0}))
		return;
	fill(bytes, size, 1);
	file = open_new(&fix, "f");
	for (size_t at = 0; at < size; at += MIB, parts++)
		g_assert_cmpint(sftp_write_async(file, bytes + at, MIN(MIB, size - at), at,
		                                 on_written, &written),
		                ==, 0);
	peer_await(&written, parts);
	g_assert_cmpint(sftp_fstat(file, &attrs), ==, 0);
	g_assert_cmpuint(attrs.size, ==, size);
	g_assert_cmpint(sftp_read(file, back, size + 1, 0), ==, size);
	g_assert_true(memcmp(back, bytes, size) == 0);
	if (sftp_client_extensions(fix.client) & SFTP_EXT_FSYNC)
		g_assert_cmpint(sftp_fsync(file), ==, 0);
	sftp_file_unref(file);
	fixture_close(&fix);
}

static void test_copy_data(void)
{
	struct peer_counter written = PEER_COUNTER_INIT;
	struct sftp_file *a, *b;
	struct fixture fix;
	char buf[20];

	if (!fixture_open(&fix, (struct sftp_settings){0}))
		return;
	if (sftp_client_extensions(fix.client) & SFTP_EXT_COPY_DATA) {
		a = open_new(&fix, "a");
		b = open_new(&fix, "b");
		g_assert_cmpint(sftp_write_async(a, "0123456789", 10, 0, on_written, &written), ==,
		                0);
		peer_await(&written, 1);
		g_assert_cmpint(sftp_copy_data(a, 2, b, 1, 5, NULL), ==, 0);
		g_assert_cmpint(sftp_read(b, buf, sizeof(buf), 0), ==, 6);
		g_assert_cmpmem(buf, 6, "\00023456", 6);
		sftp_file_unref(a);
		sftp_file_unref(b);
	} else {
		g_test_skip("this sftp-server has no copy-data");
	}
	fixture_close(&fix);
}

/* One file over all lanes at once, each handle on a connection of its own. */
static void test_lanes(void)
{
	struct peer_counter written = PEER_COUNTER_INIT;
	struct sftp_file *written_to, *lanes[3], *beside;
	struct sftp_attrs attrs;
	struct fixture fix;
	char buf[4];

	if (!fixture_open(&fix, (struct sftp_settings){.max_conns = 4}))
		return;
	g_assert_cmpuint(sftp_client_lanes(fix.client), ==, 3);
	g_assert_cmpuint(sftp_client_rtt_ns(fix.client), ==, 0);
	written_to = open_new(&fix, "f");
	g_assert_cmpint(sftp_write_async(written_to, "0123456789ab", 12, 0, on_written, &written),
	                ==, 0);
	peer_await(&written, 1);
	g_assert_cmpuint(sftp_client_rtt_ns(fix.client), >, 0);
	for (unsigned int i = 0; i < 3; i++) {
		g_assert_cmpint(sftp_open_lane(fix.client, i, "missing", &lanes[i], &attrs), ==,
		                -ENOENT);
		g_assert_cmpint(sftp_open_lane(fix.client, i, "f", &lanes[i], &attrs), ==, 0);
		g_assert_cmpuint(attrs.size, ==, 12);
		g_assert_cmpint(sftp_read(lanes[i], buf, 4, 4 * i), ==, 4);
		g_assert_cmpmem(buf, 4, &"0123456789ab"[4 * i], 4);
	}
	g_assert_false(sftp_file_shares_connection(lanes[0], lanes[1]));
	g_assert_false(sftp_file_shares_connection(lanes[1], lanes[2]));
	g_assert_false(sftp_file_shares_connection(lanes[0], lanes[2]));
	g_assert_cmpint(sftp_open_beside(lanes[1], "f", SFTP_OPEN_READ, &beside), ==, 0);
	g_assert_true(sftp_file_shares_connection(lanes[1], beside));
	g_assert_cmpint(sftp_read(beside, buf, 4, 8), ==, 4);
	g_assert_cmpmem(buf, 4, "89ab", 4);
	for (unsigned int i = 0; i < 3; i++)
		sftp_file_unref(lanes[i]);
	sftp_file_unref(beside);
	sftp_file_unref(written_to);
	fixture_close(&fix);
}

/* ---- a storm ---------------------------------------------------------------------------------- */

#define STORM_THREADS 64
#define STORM_ROUNDS  10

struct stormer {
	struct fixture *fix;
	unsigned int number;
};

static void storm_file(struct fixture *fix, const char *path, uint32_t seed)
{
	struct peer_counter written = PEER_COUNTER_INIT;
	g_autofree uint8_t *bytes = g_malloc(100000);
	g_autofree uint8_t *back = g_malloc(100000);
	struct sftp_file *file = open_new(fix, path);
	struct sftp_attrs attrs;

	fill(bytes, 100000, seed);
	g_assert_cmpint(sftp_write_async(file, bytes, 60000, 0, on_written, &written), ==, 0);
	g_assert_cmpint(sftp_write_async(file, bytes + 60000, 40000, 60000, on_written, &written),
	                ==, 0);
	peer_await(&written, 2);
	g_assert_cmpint(sftp_read(file, back, 100000, 0), ==, 100000);
	g_assert_true(memcmp(back, bytes, 100000) == 0);
	g_assert_cmpint(sftp_fstat(file, &attrs), ==, 0);
	g_assert_cmpuint(attrs.size, ==, 100000);
	sftp_file_unref(file);
}

static int ignore_entry(const char *name, const struct sftp_attrs *attrs, void *data)
{
	return 0;
}

static void *storm_main(void *arg)
{
	struct stormer *stormer = arg;
	struct fixture *fix = stormer->fix;
	g_autofree char *folder = g_strdup_printf("d%u", stormer->number);
	g_autofree char *path = g_strdup_printf("d%u/f", stormer->number);
	g_autofree char *moved = g_strdup_printf("d%u/g", stormer->number);
	struct sftp_attrs attrs;

	for (unsigned int i = 0; i < STORM_ROUNDS; i++) {
		g_assert_cmpint(sftp_mkdir(fix->client, folder, 0755, NULL), ==, 0);
		g_assert_cmpint(sftp_lstat(fix->client, path, &attrs), ==, -ENOENT);
		storm_file(fix, path, stormer->number + i);
		g_assert_cmpint(sftp_rename(fix->client, path, moved, 0), ==, 0);
		g_assert_cmpint(list_folder(fix->client, folder, ignore_entry, NULL), ==, 0);
		g_assert_cmpint(sftp_remove(fix->client, moved), ==, 0);
		g_assert_cmpint(sftp_rmdir(fix->client, folder), ==, 0);
	}
	return NULL;
}

static void check_storm(unsigned int max_conns)
{
	struct stormer stormers[STORM_THREADS];
	pthread_t threads[STORM_THREADS];
	struct sftp_client_stats stats;
	struct fixture fix;

	if (!fixture_open(&fix, (struct sftp_settings){.max_conns = max_conns}))
		return;
	for (unsigned int i = 0; i < STORM_THREADS; i++) {
		stormers[i] = (struct stormer){.fix = &fix, .number = i};
		pthread_create(&threads[i], NULL, storm_main, &stormers[i]);
	}
	for (unsigned int i = 0; i < STORM_THREADS; i++)
		pthread_join(threads[i], NULL);
	sftp_client_get_stats(fix.client, &stats);
	g_assert_cmpuint(stats.connects, >=, 1);
	g_assert_cmpuint(stats.connects, <=, max_conns);
	fixture_close(&fix);
}

static void test_storm(void)
{
	check_storm(1);
}

static void test_storm_several(void)
{
	check_storm(4);
}

/* The servers are cut again and again under the callers: each gets an answer, or -ENOTCONN. */
static void *churn_main(void *arg)
{
	struct stormer *stormer = arg;
	g_autofree char *path = g_strdup_printf("f%u", stormer->number);
	g_autofree uint8_t *buf = g_malloc(100000);

	for (unsigned int i = 0; i < 100; i++) {
		struct sftp_file *file = NULL;
		struct sftp_after after = {0};
		int error = sftp_open(stormer->fix->client, path,
		                      SFTP_OPEN_READ | SFTP_OPEN_WRITE | SFTP_OPEN_CREAT, 0600,
		                      &file, &after);

		g_assert_true(error == 0 || error == -ENOTCONN);
		if (!error)
			g_assert_cmpint(sftp_read(file, buf, 100000, 0), <=, 100000);
		sftp_file_unref(file);
	}
	return NULL;
}

static void test_churn(void)
{
	struct stormer stormers[16];
	pthread_t threads[16];
	struct fixture fix;

	if (!fixture_open(&fix, (struct sftp_settings){.max_conns = 2, .reconnect = true}))
		return;
	for (unsigned int i = 0; i < G_N_ELEMENTS(threads); i++) {
		stormers[i] = (struct stormer){.fix = &fix, .number = i};
		pthread_create(&threads[i], NULL, churn_main, &stormers[i]);
	}
	for (unsigned int i = 0; i < 20; i++) {
		struct sftp_attrs attrs;

		peer_connector_cut(fix.connector);
		while (sftp_stat(fix.client, ".", &attrs) != 0)
			continue;
	}
	for (unsigned int i = 0; i < G_N_ELEMENTS(threads); i++)
		pthread_join(threads[i], NULL);
	fixture_close(&fix);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/server/names", test_names);
	g_test_add_func("/server/attributes", test_attributes);
	g_test_add_func("/server/causes", test_causes);
	g_test_add_func("/server/other-file-system", test_other_file_system);
	g_test_add_func("/server/list", test_list);
	g_test_add_func("/server/data", test_data);
	g_test_add_func("/server/copy-data", test_copy_data);
	g_test_add_func("/server/lanes", test_lanes);
	g_test_add_func("/server/storm/one", test_storm);
	g_test_add_func("/server/storm/several", test_storm_several);
	g_test_add_func("/server/churn", test_churn);
	return g_test_run();
}
