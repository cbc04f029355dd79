// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a hostile server can put into a reply, through everything that takes replies apart. The first byte
 * chooses the kind; the rest is the reply.
 */
#include <glib.h>
#include <stdint.h>

#include "message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The names of a listing, as sftp_readdir() reads them: until the message is over, whatever its count. */
static void read_names(struct wire_reader *reader)
{
	uint32_t count = wire_get_u32(reader);

	for (uint32_t i = 0; i < count && wire_reader_ok(reader); i++) {
		struct sftp_attrs attrs;
		size_t length;

		g_free(wire_get_cstring(reader));
		wire_peek_string(reader, &length);
		sftp_get_attrs(reader, &attrs);
		g_assert_true(!(attrs.flags & SFTP_ATTR_EXTENDED));
	}
}

static void read_status(struct wire_reader *reader)
{
	uint32_t status = wire_get_u32(reader);
	g_autofree char *message = wire_get_cstring(reader);

	for (int operation = SFTP_OP_LSTAT; operation <= SFTP_OP_OTHER; operation++)
		g_assert_cmpint(sftp_status_errno((enum sftp_operation)operation, status, message),
		                >=, 0);
}

static void read_extensions(struct wire_reader *reader)
{
	wire_get_u32(reader);
	while (wire_reader_ok(reader) && wire_reader_left(reader) > 0) {
		g_autofree char *name = wire_get_cstring(reader);
		g_autofree char *version = wire_get_cstring(reader);

		if (name && version)
			sftp_extension_bit(name, version);
	}
}

/* Attributes that were understood come out as they went in. */
static void read_attrs(struct wire_reader *reader)
{
	struct sftp_attrs attrs, again;
	WIRE_AUTO first = {0};
	WIRE_AUTO second = {0};

	sftp_get_attrs(reader, &attrs);
	if (!wire_reader_ok(reader))
		return;
	wire_buf_init(&first);
	sftp_put_attrs(&first, &attrs);
	wire_reader_init(reader, first.data, first.size);
	sftp_get_attrs(reader, &again);
	g_assert_true(wire_reader_ok(reader) && wire_reader_left(reader) == 0);
	wire_buf_init(&second);
	sftp_put_attrs(&second, &again);
	g_assert_cmpmem(first.data, first.size, second.data, second.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sftp_statvfs statvfs;
	struct sftp_limits limits;
	struct wire_reader reader;

	if (size == 0)
		return 0;
	wire_reader_init(&reader, data + 1, size - 1);
	switch (data[0] % 6) {
	case 0:
		read_attrs(&reader);
		break;
	case 1:
		read_names(&reader);
		break;
	case 2:
		read_status(&reader);
		break;
	case 3:
		read_extensions(&reader);
		break;
	case 4:
		sftp_get_statvfs(&reader, &statvfs);
		break;
	default:
		sftp_get_limits(&reader, &limits);
		break;
	}
	g_assert_true(reader.next <= reader.end);
	return 0;
}
