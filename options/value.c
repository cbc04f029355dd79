// SPDX-License-Identifier: GPL-2.0-or-later
/* See value.h. */
#include "value.h"

#include <string.h>

#include <math.h>

#define SECONDS_MAX 1e9

bool value_unsigned(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	guint64 value;

	if (!g_ascii_isdigit(text[0]) ||
	    !g_ascii_string_to_unsigned(text, 10, min, max, &value, NULL))
		return false;
	*ret_value = value;
	return true;
}

static const char units[] = "KMG";

bool value_bytes(const char *text, uint64_t max, uint64_t *ret_value)
{
	size_t length = strlen(text);
	const char *unit = length ? strchr(units, g_ascii_toupper(text[length - 1])) : NULL;
	unsigned int shift = unit ? 10 * (unsigned int)(unit - units + 1) : 0;
	g_autofree char *number = g_strndup(text, length - !!unit);
	uint64_t value;

	if (!value_unsigned(number, 0, max >> shift, &value))
		return false;
	*ret_value = value << shift;
	return true;
}

bool value_octal(const char *text, uint32_t *ret_value)
{
	guint64 value;

	if (!g_ascii_isdigit(text[0]) ||
	    !g_ascii_string_to_unsigned(text, 8, 0, 07777, &value, NULL))
		return false;
	*ret_value = (uint32_t)value;
	return true;
}

bool value_seconds(const char *text, double min, double *ret_value)
{
	char *end = NULL;
	double value;

	if (!g_ascii_isdigit(text[0]) && text[0] != '.' && text[0] != '-')
		return false;
	if (g_ascii_strncasecmp(text, "0x", 2) == 0)
		return false;
	value = g_ascii_strtod(text, &end);
	if (end == text || *end || !isfinite(value) || value < min || value > SECONDS_MAX)
		return false;
	*ret_value = value;
	return true;
}

char **value_command(const char *text)
{
	g_autoptr(GPtrArray) words = g_ptr_array_new();
	g_autoptr(GString) word = g_string_new(NULL);

	for (const char *c = text;; c++) {
		if (*c == '\\' && c[1] == ' ') {
			g_string_append_c(word, *++c);
		} else if (*c && *c != ' ') {
			g_string_append_c(word, *c);
		} else if (word->len > 0) {
			g_ptr_array_add(words, g_strdup(word->str));
			g_string_truncate(word, 0);
		}
		if (!*c)
			break;
	}
	if (words->len == 0)
		return NULL;
	g_ptr_array_add(words, NULL);
	return (char **)g_ptr_array_free(g_steal_pointer(&words), FALSE);
}
