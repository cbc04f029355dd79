/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The default transport: a child ssh(1) whose stdin and stdout are one end of a socketpair. */
#ifndef TRANSPORT_OPENSSH_H
#define TRANSPORT_OPENSSH_H

#include "transport.h"

struct askpass;

/*
 * Starts ssh; connector_connect()'s contract. `askpass` (may be NULL) answers its password prompt; it
 * is borrowed for this call.
 */
int openssh_spawn(const struct transport_settings *settings, struct askpass *askpass,
                  struct transport **ret_transport, char **ret_why);

/* The argument vector that ssh is started with, for the caller to g_strfreev(). For tests, too. */
char **openssh_argv(const struct transport_settings *settings);

#endif
