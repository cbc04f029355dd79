// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Everything that a server can say before a connection has threads: banners, VERSION, its limits. The first
 * byte is how many bytes come at a time, so that every message is cut up in many ways.
 */
#include <errno.h>
#include <glib.h>
#include <stdint.h>
#include <string.h>

#include "handshake.h"
#include "message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A stream that says what it was given, and then ends. */
struct recital {
	struct transport transport;
	const uint8_t *next, *end;
	size_t step; /* bytes a read, at most */
};

static ssize_t recital_read(struct transport *transport, void *buf, size_t size)
{
	struct recital *recital = (struct recital *)transport;

	size = MIN(size, MIN(recital->step, (size_t)(recital->end - recital->next)));
	memcpy(buf, recital->next, size);
	recital->next += size;
	return (ssize_t)size;
}

static ssize_t recital_write(struct transport *transport, const struct iovec *iov, int count)
{
	return (ssize_t)iov[0].iov_len;
}

static int recital_wait_writable(struct transport *transport)
{
	return 0;
}

static int recital_splice_fd(struct transport *transport)
{
	return -1;
}

static void recital_shutdown(struct transport *transport)
{
}

static char *recital_why_ended(struct transport *transport)
{
	return NULL;
}

static const struct transport_ops recital_ops = {
	.read = recital_read,
	.write = recital_write,
	.wait_writable = recital_wait_writable,
	.splice_fd = recital_splice_fd,
	.shutdown = recital_shutdown,
	.why_ended = recital_why_ended,
};

/* What it said is one line for a terminal, or limits that can be worked with. */
static void check(int error, const char *why, const struct handshake *handshake)
{
	if (error) {
		g_assert_true(error == -EPROTO || error == -ECONNRESET);
		g_assert_true(why && *why && g_utf8_validate(why, -1, NULL));
		for (const char *c = why; *c; c++)
			g_assert_false(g_ascii_iscntrl(*c));
		return;
	}
	g_assert_cmpuint(handshake->version, <, 256);
	g_assert_cmpuint(handshake->max_read, >=, 512);
	g_assert_cmpuint(handshake->max_read, <=, 256 * 1024);
	g_assert_cmpuint(handshake->max_write, >=, 512);
	g_assert_cmpuint(handshake->max_write, <=, 256 * 1024);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct recital recital = {.transport.ops = &recital_ops};
	struct handshake handshake = {0};
	g_autofree char *why = NULL;
	struct input input;
	int error;

	if (size == 0)
		return 0;
	recital.step = 1 + (size_t)data[0];
	recital.next = data + 1;
	recital.end = data + size;
	input_init(&input);
	error = handshake_run(&recital.transport, &input, &handshake, &why);
	check(error, why, &handshake);
	input_done(&input);
	return 0;
}
