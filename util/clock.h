/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time that never jumps: nanoseconds since boot, suspend included (CLOCK_BOOTTIME), the clock that
 * BPF programs read with bpf_ktime_get_boot_ns(). Wall-clock time is used only where a user or the
 * server sees it.
 */
#ifndef UTIL_CLOCK_H
#define UTIL_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_NS_PER_SEC UINT64_C(1000000000)
#define CLOCK_NS_PER_MS  UINT64_C(1000000)

/* A moment that never comes. */
#define CLOCK_NEVER UINT64_MAX

static inline uint64_t clock_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * CLOCK_NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* moment + span, saturating at CLOCK_NEVER. */
static inline uint64_t clock_add(uint64_t moment, uint64_t span)
{
	return span > CLOCK_NEVER - moment ? CLOCK_NEVER : moment + span;
}

#endif
