/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages for people: to stderr while somebody is looking (before the program goes to the
 * background, and always with -f or -d), to syslog(3) afterwards.
 *
 * Each line is "sshfs: <text>". A message says what failed, on what, why, and what to do. Secrets
 * are never handed to this module. On success nothing is printed that contains the words error,
 * warning, fatal, fault, exception, crash or abort: scripts look for them.
 *
 * Thread-safe. Only the top of the program and fs/ call this; the rooms below return errors.
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include <glib.h>
#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR,   /* something the user asked for did not happen */
	LOG_LEVEL_WARNING, /* it happened, but not quite as asked */
	LOG_LEVEL_NOTE,    /* good to know: a tier that is off, an old option that was ignored */
	LOG_LEVEL_DEBUG,   /* -d: every request and reply */
};

/* Shows messages up to and including `level`. Before the first call: LOG_LEVEL_NOTE. */
void log_set_level(enum log_level level);

/* True when a message of `level` would be shown: guards costly arguments. */
bool log_enabled(enum log_level level);

/* From now on messages go to syslog instead of stderr. */
void log_to_syslog(void);

/* Writes one line; `format` has no trailing newline. Keeps errno. */
void log_message(enum log_level level, const char *format, ...) G_GNUC_PRINTF(2, 3);

#define log_error(...)   log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_note(...)    log_message(LOG_LEVEL_NOTE, __VA_ARGS__)
#define log_debug(...)                                             \
	do {                                                       \
		if (log_enabled(LOG_LEVEL_DEBUG))                  \
			log_message(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
