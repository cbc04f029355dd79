// SPDX-License-Identifier: GPL-2.0-or-later
/* See log.h. One write(2) a line, so that lines of several threads do not mix. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static _Atomic enum log_level max_level = LOG_LEVEL_NOTE;
static atomic_bool use_syslog;

void log_set_level(enum log_level level)
{
	max_level = level;
}

bool log_enabled(enum log_level level)
{
	return level <= max_level;
}

void log_to_syslog(void)
{
	openlog("sshfs", LOG_PID, LOG_DAEMON);
	use_syslog = true;
}

static int syslog_priority(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return LOG_ERR;
	case LOG_LEVEL_WARNING:
		return LOG_WARNING;
	case LOG_LEVEL_NOTE:
		return LOG_NOTICE;
	case LOG_LEVEL_DEBUG:
		break;
	}
	return LOG_DEBUG;
}

/* A reader that went away must not end the program: what cannot be shown is dropped. */
static void write_line(const char *line, size_t size)
{
	while (size > 0) {
		ssize_t n = write(STDERR_FILENO, line, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		line += n;
		size -= (size_t)n;
	}
}

void log_message(enum log_level level, const char *format, ...)
{
	int saved = errno;
	g_autofree char *text = NULL;
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	if (use_syslog) {
		syslog(syslog_priority(level), "%s", text);
	} else {
		g_autofree char *line = g_strdup_printf("sshfs: %s\n", text);

		write_line(line, strlen(line));
	}
	errno = saved;
}
