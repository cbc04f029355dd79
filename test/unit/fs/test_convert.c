// SPDX-License-Identifier: GPL-2.0-or-later
/* From the server's attributes to what stat(2) shows. */
#include <glib.h>

#include "request.h"

/* Nothing overridden. */
static struct fs plain_fs(void)
{
	struct fs fs = {.nodes = NULL};

	fs.settings.uid = fs.settings.gid = UINT32_MAX;
	fs.settings.umask = fs.settings.fmask = fs.settings.dmask = UINT32_MAX;
	return fs;
}

static struct sftp_attrs all_attrs(uint32_t permissions)
{
	return (struct sftp_attrs){
		.flags =
			SFTP_ATTR_SIZE | SFTP_ATTR_UIDGID | SFTP_ATTR_PERMISSIONS | SFTP_ATTR_TIMES,
		.size = 10000,
		.uid = 12,
		.gid = 34,
		.permissions = permissions,
		.atime = 1,
		.mtime = UINT32_MAX,
	};
}

static struct stat shown(const struct fs *fs, const struct sftp_attrs *attrs)
{
	struct cache_attr attr;
	struct stat stat;

	convert_attrs_to_cache(attrs, &attr);
	convert_cache_to_stat(fs, &attr, 4711, &stat);
	return stat;
}

static void test_plain(void)
{
	struct fs fs = plain_fs();
	struct sftp_attrs attrs = all_attrs(S_IFREG | 04751);
	struct stat stat = shown(&fs, &attrs);

	g_assert_cmpuint(stat.st_ino, ==, 4711);
	g_assert_cmpuint(stat.st_mode, ==, S_IFREG | 04751);
	g_assert_cmpuint(stat.st_nlink, ==, 1);
	g_assert_cmpuint(stat.st_uid, ==, 12);
	g_assert_cmpuint(stat.st_gid, ==, 34);
	g_assert_cmpint(stat.st_size, ==, 10000);
	g_assert_cmpint(stat.st_blksize, ==, 4096);
	g_assert_cmpint(stat.st_blocks, ==, 24);
	g_assert_cmpint(stat.st_atime, ==, 1);
	g_assert_cmpint(stat.st_mtime, ==, UINT32_MAX);
	g_assert_cmpint(stat.st_ctime, ==, UINT32_MAX);
}

static void test_missing_fields(void)
{
	struct fs fs = plain_fs();
	struct sftp_attrs none = {.flags = 0, .size = 5, .permissions = 3, .uid = 1, .mtime = 2};
	struct stat stat = shown(&fs, &none);

	g_assert_cmpuint(stat.st_mode, ==, S_IFREG | 0777);
	g_assert_cmpint(stat.st_size, ==, 0);
	g_assert_cmpuint(stat.st_uid, ==, 0);
	g_assert_cmpint(stat.st_mtime, ==, 0);
}

/* The kernel would make the inode bad. */
static void test_hostile_values(void)
{
	struct fs fs = plain_fs();
	struct sftp_attrs attrs = all_attrs(0170000 | 0644);
	struct stat stat;

	attrs.size = UINT64_MAX;
	stat = shown(&fs, &attrs);
	g_assert_cmpint(stat.st_size, ==, INT64_MAX);
	g_assert_cmpint(stat.st_blocks, >, 0);
	g_assert_cmpuint(stat.st_mode, ==, S_IFREG | 0644);
	attrs.permissions = 0xffff0000 | 0644;
	stat = shown(&fs, &attrs);
	g_assert_cmpuint(stat.st_mode, ==, S_IFREG | 0644);
}

static void test_types(void)
{
	static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR,
	                                 S_IFBLK, S_IFIFO, S_IFSOCK};
	struct fs fs = plain_fs();

	for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
		struct sftp_attrs attrs = all_attrs(types[i] | 0640);

		g_assert_cmpuint(shown(&fs, &attrs).st_mode, ==, types[i] | 0640);
	}
}

static void test_owner_override(void)
{
	struct fs fs = plain_fs();
	struct sftp_attrs attrs = all_attrs(S_IFREG | 0644);

	fs.settings.uid = 0;
	g_assert_cmpuint(shown(&fs, &attrs).st_uid, ==, 0);
	g_assert_cmpuint(shown(&fs, &attrs).st_gid, ==, 34);
	fs.settings.gid = 99;
	g_assert_cmpuint(shown(&fs, &attrs).st_gid, ==, 99);
}

static void test_masks(void)
{
	struct fs fs = plain_fs();
	struct sftp_attrs file = all_attrs(S_IFREG | 04600);
	struct sftp_attrs dir = all_attrs(S_IFDIR | 0700);
	struct sftp_attrs link = all_attrs(S_IFLNK | 0777);

	fs.settings.umask = 022;
	g_assert_cmpuint(shown(&fs, &file).st_mode, ==, S_IFREG | 0755);
	g_assert_cmpuint(shown(&fs, &dir).st_mode, ==, S_IFDIR | 0755);
	g_assert_cmpuint(shown(&fs, &link).st_mode, ==, S_IFLNK | 0777);
	fs.settings.fmask = 0133;
	fs.settings.dmask = 0;
	g_assert_cmpuint(shown(&fs, &file).st_mode, ==, S_IFREG | 0644);
	g_assert_cmpuint(shown(&fs, &dir).st_mode, ==, S_IFDIR | 0777);
	/* Each for itself, without umask. */
	fs.settings.umask = UINT32_MAX;
	fs.settings.dmask = UINT32_MAX;
	g_assert_cmpuint(shown(&fs, &file).st_mode, ==, S_IFREG | 0644);
	g_assert_cmpuint(shown(&fs, &dir).st_mode, ==, S_IFDIR | 0700);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/convert/plain", test_plain);
	g_test_add_func("/convert/missing-fields", test_missing_fields);
	g_test_add_func("/convert/hostile-values", test_hostile_values);
	g_test_add_func("/convert/types", test_types);
	g_test_add_func("/convert/owner-override", test_owner_override);
	g_test_add_func("/convert/masks", test_masks);
	return g_test_run();
}
