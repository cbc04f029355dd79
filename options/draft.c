// SPDX-License-Identifier: GPL-2.0-or-later
/* See draft.h. */
#include "draft.h"

#include <stdarg.h>

bool draft_is_about_a_mount(const struct draft *draft)
{
	return draft->options->action == OPTIONS_STATS || draft->options->action == OPTIONS_REFRESH;
}

void draft_note(struct draft *draft, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_ptr_array_add(draft->notes, g_strdup_vprintf(format, args));
	va_end(args);
}

void draft_add_ssh_arg(struct draft *draft, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_ptr_array_add(draft->ssh_args, g_strdup_vprintf(format, args));
	va_end(args);
}
