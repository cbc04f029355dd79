// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See report.h. Both forms are put together by printf: all there is are numbers, and names of our own.
 */
#include "report.h"

#include <string.h>

#include "clock.h"
#include "util.h"

#define FIRST_BITS 9 /* bucket 0 ends at 2^9 ns */

#define NS_PER_US 1000.0

/* ---- numbers ---------------------------------------------------------------------------------- */

unsigned int report_bucket(uint64_t span_ns)
{
	unsigned int bits = span_ns ? 64 - (unsigned int)__builtin_clzll(span_ns) : 0;

	return bits <= FIRST_BITS ? 0 : MIN(bits - FIRST_BITS, REPORT_BUCKETS - 1);
}

static uint64_t bucket_start(unsigned int bucket)
{
	return bucket ? UINT64_C(1) << (FIRST_BITS + bucket - 1) : 0;
}

static uint64_t bucket_end(unsigned int bucket)
{
	return UINT64_C(1) << (FIRST_BITS + bucket);
}

static void add(struct report_operation *total, const struct report_operation *one)
{
	total->requests += one->requests;
	total->failed += one->failed;
	total->from_cache += one->from_cache;
	total->from_server += one->from_server;
	total->trips_saved += one->trips_saved;
	total->bytes += one->bytes;
	total->sum_ns += one->sum_ns;
	total->max_ns = MAX(total->max_ns, one->max_ns);
	for (unsigned int i = 0; i < REPORT_BUCKETS; i++)
		total->buckets[i] += one->buckets[i];
}

void report_total(const struct report *report, struct report_operation *ret_total)
{
	*ret_total = (struct report_operation){0};
	for (unsigned int i = 0; i < OPERATION_COUNT; i++)
		add(ret_total, &report->operations[i]);
}

/* Within a bucket the requests are taken to be spread evenly. */
uint64_t report_quantile(const struct report_operation *operation, double share)
{
	double rank = share * (double)operation->requests, passed = 0;

	for (unsigned int i = 0; i < REPORT_BUCKETS; i++) {
		double count = (double)operation->buckets[i];
		double start = (double)bucket_start(i), end = (double)bucket_end(i);

		if (count > 0 && passed + count >= rank)
			return MIN((uint64_t)(start + (end - start) * (rank - passed) / count),
			           operation->max_ns);
		passed += count;
	}
	return operation->max_ns;
}

static uint64_t mean(uint64_t sum, uint64_t count)
{
	return count ? sum / count : 0;
}

/* ---- the table -------------------------------------------------------------------------------- */

/* "1.2 us", "15.3 ms": three digits, four at most. The caller frees it. */
static char *show_span(uint64_t ns)
{
	static const char *const units[] = {"us", "ms", "s"};
	double value = (double)ns / NS_PER_US;
	unsigned int unit = 0;

	while (value >= 999.5 && unit + 1 < G_N_ELEMENTS(units)) {
		value /= 1000;
		unit++;
	}
	return g_strdup_printf("%.*f %s", value < 99.95 ? 1 : 0, value, units[unit]);
}

/* "1.5 MiB". The caller frees it. */
static char *show_bytes(uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes / (double)KIB;
	unsigned int unit = 0;

	if (bytes < KIB)
		return g_strdup_printf("%" G_GUINT64_FORMAT " B", bytes);
	while (value >= 999.5 && unit + 1 < G_N_ELEMENTS(units)) {
		value /= (double)KIB;
		unit++;
	}
	return g_strdup_printf("%.1f %s", value, units[unit]);
}

/* "3 h 25 min". The caller frees it. */
static char *show_uptime(uint64_t ns)
{
	uint64_t seconds = ns / CLOCK_NS_PER_SEC;
	unsigned int days = (unsigned int)(seconds / 86400), hours = seconds / 3600 % 24;
	unsigned int minutes = seconds / 60 % 60;

	if (days)
		return g_strdup_printf("%u d %u h", days, hours);
	if (hours)
		return g_strdup_printf("%u h %u min", hours, minutes);
	if (minutes)
		return g_strdup_printf("%u min %u s", minutes, (unsigned int)(seconds % 60));
	return g_strdup_printf("%u s", (unsigned int)seconds);
}

static void add_row(GString *table, const char *name, const struct report_operation *one,
                    bool moves_data)
{
	g_autofree char *avg = show_span(mean(one->sum_ns, one->requests));
	g_autofree char *half = show_span(report_quantile(one, 0.5));
	g_autofree char *most = show_span(report_quantile(one, 0.99));
	g_autofree char *all = show_span(one->max_ns);
	g_autofree char *bytes = moves_data ? show_bytes(one->bytes) : NULL;

	g_string_append_printf(table,
	                       "%-10s %10" G_GUINT64_FORMAT " %10" G_GUINT64_FORMAT
	                       " %10" G_GUINT64_FORMAT " %10" G_GUINT64_FORMAT
	                       " %8" G_GUINT64_FORMAT " %9s %9s %9s %9s",
	                       name, one->requests, one->from_cache, one->from_server,
	                       one->trips_saved, one->failed, avg, half, most, all);
	if (bytes)
		g_string_append_printf(table, " %10s", bytes);
	g_string_append_c(table, '\n');
}

static void add_operations(GString *table, const struct report *report)
{
	struct report_operation total;

	g_string_append_printf(table, "%-10s %10s %10s %10s %10s %8s %9s %9s %9s %9s %10s\n",
	                       "operation", "requests", "cache", "server", "saved", "failed",
	                       "mean", "median", "99 %", "max", "bytes");
	for (unsigned int i = 0; i < OPERATION_COUNT; i++) {
		const struct report_operation *one = &report->operations[i];

		if (one->requests)
			add_row(table, operation_infos[i].name, one, operation_infos[i].moves_data);
	}
	report_total(report, &total);
	add_row(table, "all", &total, true);
}

static void add_cache(GString *table, const struct report *report)
{
	g_autofree char *bytes = show_bytes(report->cache.bytes);
	uint64_t asked = report->cache.hits + report->cache.misses;

	if (!report->cache.enabled) {
		g_string_append(table, "cache     off\n");
		return;
	}
	g_string_append_printf(table,
	                       "cache     %" G_GUINT64_FORMAT " names, %" G_GUINT64_FORMAT
	                       " listings, %s; %" G_GUINT64_FORMAT " hits, %" G_GUINT64_FORMAT
	                       " misses (%.0f %%), %" G_GUINT64_FORMAT " late answers dropped\n",
	                       report->cache.entries, report->cache.listings, bytes,
	                       report->cache.hits, report->cache.misses,
	                       asked ? 100.0 * (double)report->cache.hits / (double)asked : 0.0,
	                       report->cache.dropped);
}

static void add_ahead(GString *table, const struct report *report)
{
	g_string_append_printf(table,
	                       "ahead     %" G_GUINT64_FORMAT " folders listed, %" G_GUINT64_FORMAT
	                       " of them used; %" G_GUINT64_FORMAT " link targets read\n",
	                       report->ahead.listed, report->ahead.used, report->ahead.targets);
	g_string_append_printf(table,
	                       "          %" G_GUINT64_FORMAT
	                       " small files read, %" G_GUINT64_FORMAT
	                       " of them opened; %" G_GUINT64_FORMAT
	                       " names looked at, %" G_GUINT64_FORMAT " of them asked for\n",
	                       report->ahead.files, report->ahead.files_used, report->ahead.looks,
	                       report->ahead.looks_used);
}

static void add_contents(GString *table, const struct report *report)
{
	g_autofree char *held = show_bytes(report->contents.held);
	g_autofree char *fetched = show_bytes(report->contents.fetched);
	g_autofree char *ahead = show_bytes(report->contents.ahead);
	g_autofree char *unused = show_bytes(report->contents.unused);

	g_string_append_printf(table,
	                       "contents  %s fetched, %s of them ahead, %s of those in vain; %s "
	                       "held now\n",
	                       fetched, ahead, unused, held);
}

/* Only where there was one: it is not for every server. */
static void add_copies(GString *table, const struct report *report)
{
	g_autofree char *bytes = show_bytes(report->copies.bytes);
	g_autofree char *position = show_bytes(report->copies.position);
	g_autofree char *size = show_bytes(report->copies.size);
	uint64_t whole = report->copies.size;

	if (!report->copies.bytes && !report->copies.running)
		return;
	g_string_append_printf(table, "copies    %s copied on the server", bytes);
	if (report->copies.running)
		g_string_append_printf(
			table, "; running: %" G_GUINT64_FORMAT ", at %s of %s (%.0f %%)",
			report->copies.running, position, size,
			whole ? 100.0 * (double)report->copies.position / (double)whole : 0.0);
	g_string_append_c(table, '\n');
}

static void add_server(GString *table, const struct report *report)
{
	g_autofree char *sent = show_bytes(report->server.sent_bytes);
	g_autofree char *received = show_bytes(report->server.received_bytes);
	g_autofree char *least = show_span(report->server.rtt_min_ns);
	g_autofree char *avg = show_span(mean(report->server.rtt_sum_ns, report->server.received));
	g_autofree char *most = show_span(report->server.rtt_max_ns);

	g_string_append_printf(table,
	                       "server    %s, connects: %" G_GUINT64_FORMAT
	                       "; sent %" G_GUINT64_FORMAT " messages (%s), received "
	                       "%" G_GUINT64_FORMAT " (%s)\n",
	                       report->server.connected ? "connected" : "not connected",
	                       report->server.connects, report->server.sent, sent,
	                       report->server.received, received);
	if (report->server.received)
		g_string_append_printf(table, "          round trip %s to %s, mean %s\n", least,
		                       most, avg);
}

char *report_to_table(const struct report *report, const char *name)
{
	g_autofree char *uptime = show_uptime(report->uptime_ns);
	GString *table = g_string_new(NULL);

	g_string_append_printf(table, "%s, mounted for %s\n\n", name, uptime);
	add_operations(table, report);
	g_string_append_c(table, '\n');
	add_cache(table, report);
	add_ahead(table, report);
	add_contents(table, report);
	add_copies(table, report);
	add_server(table, report);
	g_string_append_printf(table,
	                       "kernel    %" G_GUINT64_FORMAT " nodes, %" G_GUINT64_FORMAT
	                       " look-ups; open files: %" G_GUINT64_FORMAT "\n",
	                       report->nodes.known, report->nodes.lookups,
	                       report->nodes.open_files);
	return g_string_free(table, FALSE);
}

/* ---- JSON ------------------------------------------------------------------------------------- */

/* `"name": 123`, with a comma where `more` follows. */
static void put_number(GString *json, const char *name, uint64_t value, const char *more)
{
	g_string_append_printf(json, "\"%s\": %" G_GUINT64_FORMAT "%s", name, value, more);
}

static void put_latency(GString *json, const struct report_operation *one)
{
	g_string_append(json, "\"latency_ns\": {");
	put_number(json, "mean", mean(one->sum_ns, one->requests), ", ");
	put_number(json, "median", report_quantile(one, 0.5), ", ");
	put_number(json, "p99", report_quantile(one, 0.99), ", ");
	put_number(json, "max", one->max_ns, "}, ");
	g_string_append(json, "\"histogram\": [");
	for (unsigned int i = 0; i < REPORT_BUCKETS; i++)
		g_string_append_printf(json, "%s%" G_GUINT64_FORMAT, i ? ", " : "",
		                       one->buckets[i]);
	g_string_append(json, "]");
}

static void put_operation(GString *json, const char *name, const struct report_operation *one,
                          const char *more)
{
	g_string_append_printf(json, "    \"%s\": {", name);
	put_number(json, "requests", one->requests, ", ");
	put_number(json, "failed", one->failed, ", ");
	put_number(json, "from_cache", one->from_cache, ", ");
	put_number(json, "from_server", one->from_server, ", ");
	put_number(json, "trips_saved", one->trips_saved, ", ");
	put_number(json, "bytes", one->bytes, ", ");
	put_latency(json, one);
	g_string_append_printf(json, "}%s\n", more);
}

static void put_operations(GString *json, const struct report *report)
{
	struct report_operation total;

	report_total(report, &total);
	g_string_append(json, "  \"operations\": {\n");
	for (unsigned int i = 0; i < OPERATION_COUNT; i++)
		put_operation(json, operation_infos[i].name, &report->operations[i], ",");
	put_operation(json, "all", &total, "");
	g_string_append(json, "  },\n");
}

static void put_cache(GString *json, const struct report *report)
{
	g_string_append_printf(json, "  \"cache\": {\"enabled\": %s, ",
	                       report->cache.enabled ? "true" : "false");
	put_number(json, "names", report->cache.entries, ", ");
	put_number(json, "listings", report->cache.listings, ", ");
	put_number(json, "bytes", report->cache.bytes, ", ");
	put_number(json, "hits", report->cache.hits, ", ");
	put_number(json, "misses", report->cache.misses, ", ");
	put_number(json, "dropped", report->cache.dropped, "},\n");
}

static void put_ahead(GString *json, const struct report *report)
{
	g_string_append(json, "  \"ahead\": {");
	put_number(json, "listed", report->ahead.listed, ", ");
	put_number(json, "used", report->ahead.used, ", ");
	put_number(json, "targets", report->ahead.targets, ", ");
	put_number(json, "files", report->ahead.files, ", ");
	put_number(json, "files_used", report->ahead.files_used, ", ");
	put_number(json, "looks", report->ahead.looks, ", ");
	put_number(json, "looks_used", report->ahead.looks_used, "},\n");
}

static void put_contents(GString *json, const struct report *report)
{
	g_string_append(json, "  \"contents\": {");
	put_number(json, "held", report->contents.held, ", ");
	put_number(json, "fetched", report->contents.fetched, ", ");
	put_number(json, "ahead", report->contents.ahead, ", ");
	put_number(json, "unused", report->contents.unused, "},\n");
}

static void put_copies(GString *json, const struct report *report)
{
	g_string_append(json, "  \"copies\": {");
	put_number(json, "running", report->copies.running, ", ");
	put_number(json, "position", report->copies.position, ", ");
	put_number(json, "size", report->copies.size, ", ");
	put_number(json, "bytes", report->copies.bytes, "},\n");
}

static void put_server(GString *json, const struct report *report)
{
	g_string_append_printf(json, "  \"server\": {\"connected\": %s, ",
	                       report->server.connected ? "true" : "false");
	put_number(json, "connects", report->server.connects, ", ");
	put_number(json, "sent", report->server.sent, ", ");
	put_number(json, "sent_bytes", report->server.sent_bytes, ", ");
	put_number(json, "received", report->server.received, ", ");
	put_number(json, "received_bytes", report->server.received_bytes, ", ");
	g_string_append(json, "\"round_trip_ns\": {");
	put_number(json, "min", report->server.rtt_min_ns, ", ");
	put_number(json, "mean", mean(report->server.rtt_sum_ns, report->server.received), ", ");
	put_number(json, "max", report->server.rtt_max_ns, "}},\n");
}

static void put_nodes(GString *json, const struct report *report)
{
	g_string_append(json, "  \"nodes\": {");
	put_number(json, "known", report->nodes.known, ", ");
	put_number(json, "lookups", report->nodes.lookups, ", ");
	put_number(json, "open_files", report->nodes.open_files, "}\n");
}

char *report_to_json(const struct report *report)
{
	GString *json = g_string_new("{\n  ");

	put_number(json, "version", report->version, ",\n  ");
	put_number(json, "since", report->since_s, ",\n  ");
	put_number(json, "uptime_ns", report->uptime_ns, ",\n");
	put_operations(json, report);
	put_cache(json, report);
	put_ahead(json, report);
	put_contents(json, report);
	put_copies(json, report);
	put_server(json, report);
	put_nodes(json, report);
	g_string_append(json, "}\n");
	return g_string_free(json, FALSE);
}
