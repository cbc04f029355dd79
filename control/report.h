/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a mount has done since it was made: the form in which it goes through the ioctl (control.h),
 * and how it is shown. Numbers only, of fixed width: two builds of one version agree on it.
 *
 * No state; all functions are thread-safe.
 */
#ifndef CONTROL_REPORT_H
#define CONTROL_REPORT_H

#include <glib.h>
#include <stdint.h>

#include "operation.h"

/* To be counted up whenever the struct changes. */
#define REPORT_VERSION 3

/*
 * Bucket 0 counts latencies below 512 ns, each next one those up to twice as long; the last one all
 * that are longer than 549 s.
 */
#define REPORT_BUCKETS 32

struct report_operation {
	uint64_t requests;
	uint64_t failed; /* answered with an errno; a name that is missing is an answer to LOOKUP */
	uint64_t from_cache;     /* answered well, and nothing was asked of the server meanwhile */
	uint64_t from_server;    /* something was asked of the server, whatever came of it */
	uint64_t trips_saved;    /* those of from_cache that would else have cost a round trip */
	uint64_t bytes;          /* of reads, writes and copies */
	uint64_t sum_ns, max_ns; /* from when we had the request to just before the reply */
	uint64_t buckets[REPORT_BUCKETS];
};

struct report {
	uint32_t version, size; /* REPORT_VERSION, bytes */
	uint64_t since_s;       /* Unix time */
	uint64_t uptime_ns;
	struct {
		uint64_t known, lookups, open_files;
	} nodes;
	struct {
		uint64_t enabled, entries, listings, bytes, hits, misses, dropped;
	} cache; /* as struct cache_stats has it */
	struct {
		uint64_t listed, used, targets;
		uint64_t files, files_used; /* as struct scan_stats has it */
		uint64_t looks, looks_used; /* as struct history_stats has it */
	} ahead;                            /* the first three as struct walk_stats has it */
	struct {
		uint64_t held, fetched, ahead, unused; /* bytes */
	} contents;                                    /* as struct stage_stats has it */
	struct {
		uint64_t running, position, size, bytes;
	} copies; /* on the server, as struct copy_progress has it */
	struct {
		uint64_t connected, connects, sent, sent_bytes, received, received_bytes;
		uint64_t rtt_min_ns, rtt_max_ns, rtt_sum_ns;
	} server; /* as struct sftp_client_stats has it */
	struct report_operation operations[OPERATION_COUNT];
};

/* The bucket for a latency. */
unsigned int report_bucket(uint64_t span_ns);

/* All operations together. */
void report_total(const struct report *report, struct report_operation *ret_total);

/*
 * The latency in ns that `share` (0 to 1) of the requests did not exceed, as well as the buckets tell it:
 * at most a factor of two off. 0 without requests.
 */
uint64_t report_quantile(const struct report_operation *operation, double share);

/*
 * The table for people, lines without trailing blanks, the last one ended by a newline. It has none of the
 * words that log.h forbids. `name` is what it is about: the mountpoint. The caller frees it.
 */
char *report_to_table(const struct report *report, const char *name);
/* JSON as the manual has it, ended by a newline. The caller frees it. */
char *report_to_json(const struct report *report);

#endif
