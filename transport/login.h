/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One login that several ssh share (ssh's ControlMaster): the first ssh is started as master, the others
 * come through it and are asked nothing. Whether that is wanted, and which words ssh is given for it.
 *
 * Whoever has configured such sharing in ssh, by its configuration, its command or options, is left alone; so
 * are programs in the place of ssh that do not answer to `ssh -G`.
 *
 * Thread-safe.
 */
#ifndef TRANSPORT_LOGIN_H
#define TRANSPORT_LOGIN_H

#include "transport.h"

struct login;

/* Borrows the settings for its life. Never NULL. */
struct login *login_new(const struct transport_settings *settings);
/* To be called when all ssh have ended, as far as they do. Accepts NULL. */
void login_free(struct login *login);

/* For connector_more_way(), connector_other_way() and connector_note_way(). */
enum connector_way login_more_way(struct login *login);
bool login_other_way(struct login *login, enum connector_way *way);
void login_note_way(struct login *login, enum connector_way way);

/*
 * The words for an ssh that comes up by `way`, to be freed; none where nothing is shared. For CONNECTOR_FIRST a new
 * socket is named, so that one a dead master has left is in nobody's way; asks ssh for its configuration
 * the first time (5 s at most). *ret_trial: it may fail, and then another way is tried.
 */
char **login_words(struct login *login, enum connector_way way, bool *ret_trial);

#endif
