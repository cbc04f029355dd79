/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cache's clock, for tests that must not wait: util/clock.h's by default. */
#ifndef CACHE_CLOCK_HOOK_H
#define CACHE_CLOCK_HOOK_H

#include <stdint.h>

/* Set only while no other thread uses a cache. */
extern uint64_t (*cache_now_ns)(void);

#endif
