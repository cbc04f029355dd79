/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stream whose server is at our stdin and stdout (-o passive). */
#ifndef TRANSPORT_STDPAIR_H
#define TRANSPORT_STDPAIR_H

#include "transport.h"

/*
 * Takes fds 0 and 1 over as the stream and leaves /dev/null in their place. SIGPIPE is ignored from
 * then on (a pipe knows no MSG_NOSIGNAL). To be called once in a process; results as
 * connector_connect().
 */
int stdpair_new(struct transport **ret_transport, char **ret_why);

#endif
