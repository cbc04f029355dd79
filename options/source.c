// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See source.h. The host ends up on ssh's command line: one that starts with '-' would be an option
 * there (CVE-2026-48711), with or without brackets around it.
 */
#include "source.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#define LEGACY_PREFIX "sshfs#" /* of old fstab lines */

static const char *skip_prefix(const char *source)
{
	return g_str_has_prefix(source, LEGACY_PREFIX) ? source + strlen(LEGACY_PREFIX) : source;
}

/* The ':' between host and folder; NULL when there is none, with *ret_open when a '[' is not closed. */
static const char *find_colon(const char *source, bool *ret_open)
{
	bool inside = false;

	for (const char *c = source; *c; c++) {
		if (*c == '[')
			inside = true;
		else if (*c == ']')
			inside = false;
		else if (*c == ':' && !inside)
			return c;
	}
	*ret_open = inside;
	return NULL;
}

bool source_is(const char *word)
{
	return strchr(skip_prefix(word), ':') != NULL;
}

/* "user@[::1]" without its brackets. */
static char *strip_brackets(const char *host, size_t size)
{
	g_autoptr(GString) stripped = g_string_new(NULL);

	for (size_t i = 0; i < size; i++) {
		if (host[i] != '[' && host[i] != ']')
			g_string_append_c(stripped, host[i]);
	}
	return g_string_free(g_steal_pointer(&stripped), FALSE);
}

/* "user@-x" is one word to ssh, but it looks at the two parts; and so may another ssh_command. */
static bool looks_like_option(const char *host)
{
	const char *at = strrchr(host, '@');

	return host[0] == '-' || (at && at[1] == '-');
}

int source_parse(const char *source, char **ret_host, char **ret_dir, char **ret_why)
{
	const char *start = skip_prefix(source);
	bool open = false;
	const char *colon = find_colon(start, &open);
	g_autofree char *host = NULL;

	if (!colon) {
		*ret_why = open ? g_strdup_printf("missing ']' in hostname: '%s'", source)
		                : g_strdup_printf("missing ':' behind the hostname: '%s'", source);
		return -EINVAL;
	}
	host = strip_brackets(start, (size_t)(colon - start));
	if (looks_like_option(host)) {
		*ret_why =
			g_strdup_printf("invalid hostname '%s': it must not start with '-'", host);
		return -EINVAL;
	}
	*ret_host = g_steal_pointer(&host);
	*ret_dir = g_strdup(colon + 1);
	return 0;
}
