/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stream through a child ssh(1), the default. */
#ifndef TRANSPORT_OPENSSH_H
#define TRANSPORT_OPENSSH_H

#include "askpass.h"
#include "login.h"
#include "transport.h"

/*
 * Starts ssh by `way`, with the words that `login` has for that; `askpass` answers its prompt, or is NULL. The
 * settings are borrowed for the call. Results as connector_connect().
 */
int openssh_connect(const struct transport_settings *settings, struct login *login,
                    enum connector_way way, struct askpass *askpass,
                    struct transport **ret_transport, char **ret_why);

#endif
