/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hash of bytes that strangers choose: names on a server. SipHash-1-3 (Aumasson and Bernstein, 2012)
 * under a key drawn once a process, so that nobody can prepare names that collide. Not for what
 * must stay the same over runs. Thread-safe.
 */
#ifndef UTIL_HASH_H
#define UTIL_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Of `size` bytes; `salt` tells apart equal bytes in different places, as a folder's id does. */
uint64_t hash_bytes(uint64_t salt, const void *bytes, size_t size);
/* Of a string without its NUL. */
uint64_t hash_string(uint64_t salt, const char *string);

#endif
