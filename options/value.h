/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of options: strict numbers, word lists. All return false for what is not wholly a value. */
#ifndef OPTIONS_VALUE_H
#define OPTIONS_VALUE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A decimal number in [min, max]; no sign, no blanks. */
bool value_unsigned(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);
/* Bytes: a decimal number, behind it perhaps K, M or G (1024, and so on); at most `max`. */
bool value_bytes(const char *text, uint64_t max, uint64_t *ret_value);
/* An octal mode of at most 07777. */
bool value_octal(const char *text, uint32_t *ret_value);
/* Seconds, with a fraction, at least `min`; at most some 30 years. */
bool value_seconds(const char *text, double min, double *ret_value);
/* A command line: split at blanks, "\ " is a blank within a word; other backslashes stay. NULL: empty. */
char **value_command(const char *text);

#endif
