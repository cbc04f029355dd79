/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first words on a new stream: INIT and VERSION, and what the server says of its limits.
 */
#ifndef SFTP_HANDSHAKE_H
#define SFTP_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>

#include "input.h"
#include "transport.h"

/* What a server said of itself. */
struct handshake {
	uint32_t version;
	uint32_t extensions;        /* bits of enum sftp_extension */
	size_t max_read, max_write; /* bytes a READ or WRITE; see sftp_conn_max_read() */
};

/*
 * Speaks on the calling thread, waiting as long as the user takes to type a password; transport_shutdown()
 * ends it. What the server sends afterwards may already be in `input`.
 * Returns 0; or -ECONNRESET or -EPROTO with *ret_why (never NULL then), as sftp_conn_start() has it.
 */
int handshake_run(struct transport *transport, struct input *input, struct handshake *ret_handshake,
                  char **ret_why);

#endif
