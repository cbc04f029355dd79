// SPDX-License-Identifier: GPL-2.0-or-later
/* SFTP's vocabulary: attributes, extension replies, and what a status means. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "message.h"

static const uint32_t every_flag =
	SFTP_ATTR_SIZE | SFTP_ATTR_UIDGID | SFTP_ATTR_PERMISSIONS | SFTP_ATTR_TIMES;

static void test_attrs_round_trip(void)
{
	for (uint32_t flags = 0; flags <= every_flag; flags++) {
		const struct sftp_attrs attrs = {flags, UINT64_C(1) << 40, 1, 2, 0100644, 3, 4};
		WIRE_AUTO buf = {0};
		struct wire_reader reader;
		struct sftp_attrs got;

		wire_buf_init(&buf);
		sftp_put_attrs(&buf, &attrs);
		wire_reader_init(&reader, buf.data, buf.size);
		sftp_get_attrs(&reader, &got);
		g_assert_true(wire_reader_ok(&reader));
		g_assert_cmpuint(wire_reader_left(&reader), ==, 0);
		g_assert_cmpuint(got.flags, ==, flags);
		g_assert_cmpuint(got.size, ==, flags & SFTP_ATTR_SIZE ? attrs.size : 0);
		g_assert_cmpuint(got.gid, ==, flags & SFTP_ATTR_UIDGID ? 2 : 0);
		g_assert_cmpuint(got.permissions, ==, flags & SFTP_ATTR_PERMISSIONS ? 0100644 : 0);
		g_assert_cmpuint(got.mtime, ==, flags & SFTP_ATTR_TIMES ? 4 : 0);
	}
}

static void test_extended_attrs_are_skipped(void)
{
	WIRE_AUTO buf = {0};
	struct wire_reader reader;
	struct sftp_attrs got;

	wire_buf_init(&buf);
	wire_put_u32(&buf, SFTP_ATTR_EXTENDED | SFTP_ATTR_PERMISSIONS);
	wire_put_u32(&buf, 0755);
	wire_put_u32(&buf, 1);
	wire_put_cstring(&buf, "acl@example");
	wire_put_cstring(&buf, "everything");
	wire_put_u8(&buf, 42);
	wire_reader_init(&reader, buf.data, buf.size);
	sftp_get_attrs(&reader, &got);
	g_assert_cmpuint(got.flags, ==, SFTP_ATTR_PERMISSIONS);
	g_assert_cmpuint(wire_get_u8(&reader), ==, 42);
	g_assert_true(wire_reader_ok(&reader));
}

/* A count of four thousand million costs no more than the message is long. */
static void test_hostile_count(void)
{
	WIRE_AUTO buf = {0};
	struct wire_reader reader;
	struct sftp_attrs got;

	wire_buf_init(&buf);
	wire_put_u32(&buf, SFTP_ATTR_EXTENDED);
	wire_put_u32(&buf, UINT32_MAX);
	wire_reader_init(&reader, buf.data, buf.size);
	sftp_get_attrs(&reader, &got);
	g_assert_false(wire_reader_ok(&reader));
}

static void test_statvfs_and_limits(void)
{
	WIRE_AUTO buf = {0};
	struct wire_reader reader;
	struct sftp_statvfs statvfs;
	struct sftp_limits limits;

	wire_buf_init(&buf);
	for (uint64_t i = 1; i <= 15; i++)
		wire_put_u64(&buf, i);
	wire_reader_init(&reader, buf.data, buf.size);
	sftp_get_statvfs(&reader, &statvfs);
	sftp_get_limits(&reader, &limits);
	g_assert_true(wire_reader_ok(&reader));
	g_assert_cmpuint(statvfs.bsize, ==, 1);
	g_assert_cmpuint(statvfs.bavail, ==, 5);
	g_assert_cmpuint(statvfs.namemax, ==, 11);
	g_assert_cmpuint(limits.packet, ==, 12);
	g_assert_cmpuint(limits.open_handles, ==, 15);
}

static void test_extensions(void)
{
	g_assert_cmpuint(sftp_extension_bit("statvfs@openssh.com", "2"), ==, SFTP_EXT_STATVFS);
	g_assert_cmpuint(sftp_extension_bit("statvfs@openssh.com", "1"), ==, 0);
	g_assert_cmpuint(sftp_extension_bit("statvfs@openssh.co", "2"), ==, 0);
	for (uint32_t bit = 1; bit <= SFTP_EXT_USERS_GROUPS; bit <<= 1)
		g_assert_nonnull(sftp_extension_name((enum sftp_extension)bit));
}

static void test_status(void)
{
	static const struct {
		enum sftp_operation operation;
		uint32_t status;
		const char *message;
		int error;
	} rows[] = {
		{SFTP_OP_LSTAT, SFTP_OK, NULL, 0},
		{SFTP_OP_LSTAT, SFTP_EOF, NULL, EIO},
		{SFTP_OP_LSTAT, SFTP_NO_SUCH_FILE, NULL, ENOENT},
		{SFTP_OP_LSTAT, SFTP_PERMISSION_DENIED, "x", EACCES},
		{SFTP_OP_OPEN, SFTP_FAILURE, NULL, EPERM},
		{SFTP_OP_OPEN, SFTP_FAILURE, "Failure", EPERM},
		{SFTP_OP_RMDIR, SFTP_FAILURE, "Failure", ENOTEMPTY},
		{SFTP_OP_WRITE, SFTP_FAILURE, "Failure", EIO},
		{SFTP_OP_FSYNC, SFTP_FAILURE, "", EIO},
		{SFTP_OP_WRITE, SFTP_FAILURE, "No space left on device", ENOSPC},
		{SFTP_OP_WRITE, SFTP_FAILURE, "write: disk quota exceeded.", EDQUOT},
		{SFTP_OP_MKDIR, SFTP_FAILURE, "mkdir a: File exists\n", EEXIST},
		{SFTP_OP_RMDIR, SFTP_FAILURE, "Directory not empty", ENOTEMPTY},
		{SFTP_OP_RENAME, SFTP_FAILURE, "Invalid cross-device link", EXDEV},
		{SFTP_OP_OPEN, SFTP_FAILURE, "READ-ONLY FILE SYSTEM", EROFS},
		{SFTP_OP_RMDIR, SFTP_FAILURE, "Not a directory", ENOTDIR},
		{SFTP_OP_REMOVE, SFTP_FAILURE, "Is a directory", EISDIR},
		{SFTP_OP_OPEN, SFTP_FAILURE, "open a: too many levels of symbolic links", ELOOP},
		{SFTP_OP_OPEN, SFTP_FAILURE, "Symbolic link loop", ELOOP},
		{SFTP_OP_WRITE, SFTP_FAILURE, "File too large", EFBIG},
		{SFTP_OP_MKDIR, SFTP_FAILURE, "File name too long", ENAMETOOLONG},
		{SFTP_OP_RMDIR, SFTP_FAILURE, "Operation not permitted", EPERM},
		{SFTP_OP_RMDIR, SFTP_FAILURE, "Device or resource busy", EBUSY},
		{SFTP_OP_WRITE, SFTP_FAILURE, "No space left on device (os error 28)", ENOSPC},
		{SFTP_OP_OPEN, SFTP_FAILURE, "Function not implemented", EOPNOTSUPP},
		{SFTP_OP_WRITE, SFTP_FAILURE, "Interrupted system call", EIO},
		{SFTP_OP_WRITE, SFTP_FAILURE, "No space left on device, perhaps", EIO},
		{SFTP_OP_WRITE, SFTP_FAILURE, ")", EIO},
		{SFTP_OP_WRITE, SFTP_FAILURE, "(.", EIO},
		{SFTP_OP_MKDIR, SFTP_PERMISSION_DENIED, "File exists", EACCES},
		{SFTP_OP_OPEN, SFTP_BAD_MESSAGE, NULL, EBADMSG},
		{SFTP_OP_OPEN, SFTP_NO_CONNECTION, NULL, ENOTCONN},
		{SFTP_OP_OPEN, SFTP_CONNECTION_LOST, NULL, ECONNABORTED},
		{SFTP_OP_LINK, SFTP_OP_UNSUPPORTED, NULL, EOPNOTSUPP},
		{SFTP_OP_LINK, 4711, "whatever", EIO},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_cmpint(
			sftp_status_errno(rows[i].operation, rows[i].status, rows[i].message), ==,
			rows[i].error);
}

static void test_type_names(void)
{
	for (unsigned int type = 0; type < 256; type++)
		g_assert_cmpuint(strlen(sftp_type_name((uint8_t)type)), >, 0);
	g_assert_cmpstr(sftp_type_name(SFTP_READLINK), ==, "READLINK");
	g_assert_cmpstr(sftp_type_name(SFTP_EXTENDED_REPLY), ==, "EXTENDED_REPLY");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/message/attrs-round-trip", test_attrs_round_trip);
	g_test_add_func("/message/extended-attrs-are-skipped", test_extended_attrs_are_skipped);
	g_test_add_func("/message/hostile-count", test_hostile_count);
	g_test_add_func("/message/statvfs-and-limits", test_statvfs_and_limits);
	g_test_add_func("/message/extensions", test_extensions);
	g_test_add_func("/message/status", test_status);
	g_test_add_func("/message/type-names", test_type_names);
	return g_test_run();
}
