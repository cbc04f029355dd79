/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters of what was asked and how it was answered, always on.
 *
 * Threads count into several sets of counters, so that they are not in each other's way; nothing is
 * locked. A request is counted before its reply goes out: who has the reply finds it counted.
 */
#ifndef FS_STATS_H
#define FS_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "report.h"

struct stats;

struct stats *stats_new(void);
void stats_free(struct stats *stats); /* accepts NULL */

/* How one request was answered. */
struct stats_answer {
	uint64_t span_ns;
	uint64_t bytes;   /* moved */
	bool failed;      /* with an errno */
	bool from_server; /* something was asked of the server */
	bool saved_trip;  /* nothing was, but would have been without the cache */
};

/* Any thread. */
void stats_count(struct stats *stats, enum operation operation, const struct stats_answer *answer);

/*
 * Fills in since_s, uptime_ns and operations. The numbers of one request may be in it in part if it is
 * counted meanwhile.
 */
void stats_get(struct stats *stats, struct report *report);

#endif
