/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How often the calling thread has turned to the server: so who serves a request can tell, at its end,
 * whether the answer was known here.
 */
#ifndef SFTP_TURNS_H
#define SFTP_TURNS_H

#include <stdint.h>

/* Requests that the calling thread has sent, and replies to other threads' that it has waited for. */
uint64_t sftp_turns(void);

/* One more. Called by all that sends; to be called by who waits for what another thread has asked for. */
void sftp_turns_add(void);

/* Back to what sftp_turns() was: what was sent meanwhile is nothing that the thread waits for. */
void sftp_turns_set(uint64_t turns);

#endif
