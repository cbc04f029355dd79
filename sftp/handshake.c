// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * INIT, VERSION and limits@openssh.com, before a connection has threads. See handshake.h.
 *
 * Login scripts print into the stream ("Welcome to ..."). The VERSION reply is sought behind up to
 * 64 KiB of that: its type byte followed by three zero bytes of the version does not occur in text.
 */
#include "handshake.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "log.h"
#include "message.h"
#include "util.h"

/* Bytes that may come before the VERSION reply. */
#define BANNER_MAX (64 * KIB)

/* Length, type, version: what the VERSION reply begins with. */
#define VERSION_HEAD 9

/*
 * Payload of a READ or WRITE without limits@openssh.com: draft-02 section 3, every server takes
 * packets of 34000 bytes. With it: 255 KiB, which leaves room for the rest of a 256 KiB packet.
 */
#define PAYLOAD_SAFE (32 * KIB)
#define PAYLOAD_MAX  (255 * KIB)
/* Less is nonsense. */
#define PAYLOAD_MIN 512

/* What a packet holds besides the payload: type, id, handle, offset, length; rounded up. */
#define PACKET_OVERHEAD 1024

#define LIMITS_ID 0

/* ---- sending and receiving ------------------------------------------------------------------- */

static int send_bytes(struct transport *transport, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		struct iovec iov = {.iov_base = (void *)bytes, .iov_len = size};
		ssize_t n = transport_write(transport, &iov, 1);

		if (n == -EAGAIN)
			n = transport_wait_writable(transport);
		if (n < 0)
			return (int)n;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

static int send_message(struct transport *transport, const struct wire_buf *body)
{
	WIRE_AUTO message = {0};

	wire_buf_init(&message);
	wire_put_string(&message, body->data, body->size);
	return send_bytes(transport, message.data, message.size);
}

/* The whole next message is in the input: *ret_size bytes after the length field. */
static int need_message(struct transport *transport, struct input *input, size_t *ret_size,
                        char **ret_why)
{
	uint32_t size;
	int error;

	error = input_need(input, transport, 4);
	if (error)
		return error;
	size = input_be32(input_peek(input));
	if (size < 5 || size > INPUT_MESSAGE_MAX) {
		*ret_why = g_strdup_printf("bad reply len: %u", size);
		return -EPROTO;
	}
	error = input_need(input, transport, 4 + (size_t)size);
	if (error)
		return error;
	*ret_size = size;
	return 0;
}

/* ---- VERSION ---------------------------------------------------------------------------------- */

static bool is_version_head(const uint8_t *bytes)
{
	return bytes[4] == SFTP_VERSION_REPLY && input_be32(bytes + 5) < 256;
}

/* Skips what is not SFTP. What was skipped goes to `banner`, for the message if nothing else comes. */
static int find_version(struct transport *transport, struct input *input, GString *banner)
{
	for (;;) {
		int error = input_need(input, transport, VERSION_HEAD);

		/* A last word shorter than a VERSION reply is banner, too. */
		while (error && input_left(input) > 0) {
			g_string_append_c(banner, (char)*input_peek(input));
			input_consume(input, 1);
		}
		if (error)
			return error;
		if (is_version_head(input_peek(input)))
			return 0;
		if (banner->len >= BANNER_MAX)
			return -EPROTO;
		g_string_append_c(banner, (char)*input_peek(input));
		input_consume(input, 1);
	}
}

/* Unknown extensions are none of our business; a pair that is cut off is. */
static int parse_version(struct wire_reader *reader, struct handshake *handshake)
{
	wire_get_u8(reader);
	handshake->version = wire_get_u32(reader);
	handshake->extensions = 0;
	while (wire_reader_ok(reader) && wire_reader_left(reader) > 0) {
		size_t name_size = 0, version_size = 0;
		const uint8_t *name = wire_peek_string(reader, &name_size);
		const uint8_t *version = wire_peek_string(reader, &version_size);
		g_autofree char *name_string = NULL;
		g_autofree char *version_string = NULL;

		if (!wire_reader_ok(reader))
			return -EPROTO;
		name_string = g_strndup((const char *)name, name_size);
		version_string = g_strndup((const char *)version, version_size);
		handshake->extensions |= sftp_extension_bit(name_string, version_string);
	}
	return wire_reader_ok(reader) ? 0 : -EPROTO;
}

static int exchange_versions(struct transport *transport, struct input *input, GString *banner,
                             struct handshake *handshake, char **ret_why)
{
	WIRE_AUTO init = {0};
	struct wire_reader reader;
	size_t size;
	int error;

	wire_buf_init(&init);
	wire_put_u8(&init, SFTP_INIT);
	wire_put_u32(&init, SFTP_VERSION);
	error = send_message(transport, &init);
	/* When the stream is broken already, its last words are worth reading. */
	if (error && error != -EPIPE && error != -ECONNRESET)
		return error;
	error = find_version(transport, input, banner);
	if (error)
		return error;
	error = need_message(transport, input, &size, ret_why);
	if (error)
		return error;
	wire_reader_init(&reader, input_peek(input) + 4, size);
	error = parse_version(&reader, handshake);
	input_consume(input, 4 + size);
	return error;
}

/* ---- limits ----------------------------------------------------------------------------------- */

/* `limit` of 0: none named, and then the packet's counts. */
static size_t payload_limit(uint64_t limit, uint64_t packet)
{
	if (packet > 0 && packet < PAYLOAD_MIN + PACKET_OVERHEAD)
		return PAYLOAD_SAFE;
	if (limit == 0)
		limit = packet > PACKET_OVERHEAD ? packet - PACKET_OVERHEAD : PAYLOAD_SAFE;
	if (limit < PAYLOAD_MIN)
		return PAYLOAD_SAFE;
	if (packet > 0)
		limit = MIN(limit, packet - PACKET_OVERHEAD);
	return (size_t)MIN(limit, PAYLOAD_MAX);
}

static void take_limits(struct wire_reader *reader, struct handshake *handshake)
{
	struct sftp_limits limits = {0};

	if (wire_get_u8(reader) != SFTP_EXTENDED_REPLY || wire_get_u32(reader) != LIMITS_ID)
		return;
	sftp_get_limits(reader, &limits);
	if (!wire_reader_ok(reader))
		return;
	handshake->max_read = payload_limit(limits.read, limits.packet);
	handshake->max_write = payload_limit(limits.write, limits.packet);
}

static int ask_limits(struct transport *transport, struct input *input, struct handshake *handshake,
                      char **ret_why)
{
	WIRE_AUTO request = {0};
	struct wire_reader reader;
	size_t size;
	int error;

	wire_buf_init(&request);
	wire_put_u8(&request, SFTP_EXTENDED);
	wire_put_u32(&request, LIMITS_ID);
	wire_put_cstring(&request, sftp_extension_name(SFTP_EXT_LIMITS));
	error = send_message(transport, &request);
	if (error)
		return error;
	error = need_message(transport, input, &size, ret_why);
	if (error)
		return error;
	wire_reader_init(&reader, input_peek(input) + 4, size);
	take_limits(&reader, handshake);
	input_consume(input, 4 + size);
	return 0;
}

/* ---- all of it -------------------------------------------------------------------------------- */

/* The first line that a server printed instead of speaking SFTP, fit for a terminal; or NULL. */
static char *first_words(const GString *banner)
{
	g_autofree char *text = g_strndup(banner->str, MIN(banner->len, 200));
	g_autofree char *valid = NULL;

	g_strstrip(text);
	text[strcspn(text, "\r\n")] = '\0';
	valid = g_utf8_make_valid(text, -1);
	for (char *c = valid; *c; c++) {
		if (g_ascii_iscntrl(*c))
			*c = '?';
	}
	return *valid ? g_steal_pointer(&valid) : NULL;
}

static char *explain(struct transport *transport, int error, const GString *banner)
{
	g_autofree char *words = first_words(banner);
	g_autofree char *known = NULL;

	if (error == -EPROTO && !words)
		return g_strdup("protocol error");
	if (error == -EPROTO)
		return g_strdup_printf("protocol error: the server said \"%s\"", words);
	known = transport_why_ended(transport);
	if (known)
		return g_steal_pointer(&known);
	if (words)
		return g_strdup_printf("the server said \"%s\" and disconnected", words);
	return g_strdup_printf("read: %s", g_strerror(error == -EPIPE ? ECONNRESET : -error));
}

int handshake_run(struct transport *transport, struct input *input, struct handshake *ret_handshake,
                  char **ret_why)
{
	struct handshake handshake = {.max_read = PAYLOAD_SAFE, .max_write = PAYLOAD_SAFE};
	g_autoptr(GString) banner = g_string_new(NULL);
	g_autofree char *why = NULL;
	int error;

	error = exchange_versions(transport, input, banner, &handshake, &why);
	if (!error && handshake.version > SFTP_VERSION)
		log_debug("server offers protocol version %u, version %u is used",
		          handshake.version, SFTP_VERSION);
	if (!error && handshake.extensions & SFTP_EXT_LIMITS)
		error = ask_limits(transport, input, &handshake, &why);
	if (error) {
		*ret_why = why ? g_steal_pointer(&why) : explain(transport, error, banner);
		return error == -EPROTO ? -EPROTO : -ECONNRESET;
	}
	*ret_handshake = handshake;
	return 0;
}
