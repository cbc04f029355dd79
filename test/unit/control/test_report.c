// SPDX-License-Identifier: GPL-2.0-or-later
/* The statistics' form: buckets, quantiles, totals, table and JSON. (That they are true: test_stats.c.) */
#include <glib.h>
#include <string.h>

#include "clock.h"
#include "report.h"

static void test_buckets(void)
{
	g_assert_cmpuint(report_bucket(0), ==, 0);
	g_assert_cmpuint(report_bucket(511), ==, 0);
	g_assert_cmpuint(report_bucket(512), ==, 1);
	g_assert_cmpuint(report_bucket(1023), ==, 1);
	g_assert_cmpuint(report_bucket(1024), ==, 2);
	g_assert_cmpuint(report_bucket((UINT64_C(1) << 39) - 1), ==, 30);
	g_assert_cmpuint(report_bucket(UINT64_C(1) << 39), ==, 31);
	g_assert_cmpuint(report_bucket(UINT64_MAX), ==, 31);
}

/* Counts `count` requests of this latency. */
static void add(struct report_operation *operation, uint64_t span_ns, uint64_t count)
{
	operation->requests += count;
	operation->buckets[report_bucket(span_ns)] += count;
	operation->sum_ns += span_ns * count;
	operation->max_ns = MAX(operation->max_ns, span_ns);
}

static void assert_within_factor_2(uint64_t value, uint64_t expected)
{
	g_assert_cmpuint(value, >=, expected / 2);
	g_assert_cmpuint(value, <=, expected * 2);
}

static void test_quantiles(void)
{
	struct report_operation operation = {0};

	g_assert_cmpuint(report_quantile(&operation, 0.5), ==, 0);
	add(&operation, 5000, 1);
	assert_within_factor_2(report_quantile(&operation, 0.5), 5000);
	g_assert_cmpuint(report_quantile(&operation, 1), ==, 5000);
	add(&operation, 5000, 899);
	add(&operation, 20 * CLOCK_NS_PER_MS, 95);
	add(&operation, 7 * CLOCK_NS_PER_SEC, 5);
	assert_within_factor_2(report_quantile(&operation, 0.5), 5000);
	assert_within_factor_2(report_quantile(&operation, 0.99), 20 * CLOCK_NS_PER_MS);
	assert_within_factor_2(report_quantile(&operation, 0.999), 7 * CLOCK_NS_PER_SEC);
	g_assert_cmpuint(report_quantile(&operation, 1), ==, 7 * CLOCK_NS_PER_SEC);
}

/* They grow with the share, also where buckets are empty, and never leave the range. */
static void test_quantiles_grow(void)
{
	struct report_operation operation = {0};
	uint64_t last = 0;

	for (uint64_t span = 100; span < CLOCK_NS_PER_SEC; span *= 7)
		add(&operation, span, span % 5 + 1);
	for (int i = 0; i <= 1000; i++) {
		uint64_t value = report_quantile(&operation, i / 1000.0);

		g_assert_cmpuint(value, >=, last);
		g_assert_cmpuint(value, <=, operation.max_ns);
		last = value;
	}
	g_assert_cmpuint(last, ==, operation.max_ns);
}

static struct report *example(void)
{
	struct report *report = g_new0(struct report, 1);

	report->version = REPORT_VERSION;
	report->size = sizeof(*report);
	report->uptime_ns = 3 * 3600 * CLOCK_NS_PER_SEC + 25 * 60 * CLOCK_NS_PER_SEC;
	report->cache.enabled = 1;
	report->cache.hits = 3;
	report->cache.misses = 1;
	report->ahead.listed = 5;
	report->ahead.used = 4;
	report->ahead.targets = 3;
	report->ahead.files = 8;
	report->ahead.files_used = 7;
	report->ahead.looks = 12;
	report->ahead.looks_used = 11;
	report->contents.held = 2048;
	report->contents.fetched = 3072;
	report->contents.ahead = 1024;
	report->contents.unused = 5;
	report->copies.running = 2;
	report->copies.position = 3 * 1024 * 1024;
	report->copies.size = 6 * 1024 * 1024;
	report->copies.bytes = 1024;
	add(&report->operations[OP_LOOKUP], 2000, 10);
	report->operations[OP_LOOKUP].from_cache = 8;
	report->operations[OP_LOOKUP].trips_saved = 8;
	add(&report->operations[OP_READ], 30 * CLOCK_NS_PER_MS, 4);
	report->operations[OP_READ].bytes = 3 * 1024 * 1024;
	report->operations[OP_READ].failed = 1;
	return report;
}

static void test_total(void)
{
	g_autofree struct report *report = example();
	struct report_operation total;

	report_total(report, &total);
	g_assert_cmpuint(total.requests, ==, 14);
	g_assert_cmpuint(total.failed, ==, 1);
	g_assert_cmpuint(total.from_cache, ==, 8);
	g_assert_cmpuint(total.trips_saved, ==, 8);
	g_assert_cmpuint(total.bytes, ==, 3 * 1024 * 1024);
	g_assert_cmpuint(total.max_ns, ==, 30 * CLOCK_NS_PER_MS);
	g_assert_cmpuint(total.buckets[report_bucket(2000)], ==, 10);
}

/* The line of the table that begins with the word, blanks run together; the caller frees it. */
static char *line_of(const char *table, const char *word)
{
	g_auto(GStrv) lines = g_strsplit(table, "\n", -1);

	for (char **line = lines; *line; line++) {
		g_autoptr(GRegex) blanks = g_regex_new(" +", 0, 0, NULL);
		g_auto(GStrv) words = g_strsplit(*line, " ", 2);

		if (words[0] && !strcmp(words[0], word))
			return g_regex_replace_literal(blanks, *line, -1, 0, " ", 0, NULL);
	}
	return NULL;
}

static void assert_line(const char *table, const char *word, const char *expected)
{
	g_autofree char *line = line_of(table, word);

	g_assert_cmpstr(line, ==, expected);
}

static void test_table(void)
{
	g_autofree struct report *report = example();
	g_autofree char *table = report_to_table(report, "/mnt/x");

	g_assert_true(g_str_has_prefix(table, "/mnt/x, mounted for 3 h 25 min\n\n"));
	assert_line(table, "lookup", "lookup 10 8 0 8 0 2.0 us 1.5 us 2.0 us 2.0 us");
	assert_line(table, "read", "read 4 0 0 0 1 30.0 ms 25.2 ms 30.0 ms 30.0 ms 3.0 MiB");
	assert_line(table, "getattr", NULL);
	assert_line(table, "cache",
	            "cache 0 names, 0 listings, 0 B; 3 hits, 1 misses (75 %), "
	            "0 late answers dropped");
	assert_line(table, "ahead", "ahead 5 folders listed, 4 of them used; 3 link targets read");
	g_assert_nonnull(strstr(table, "          8 small files read, 7 of them opened; 12 names "
	                               "looked at, 11 of them asked for\n"));
	assert_line(
		table, "contents",
		"contents 3.0 KiB fetched, 1.0 KiB of them ahead, 5 B of those in vain; 2.0 KiB "
		"held now");
	assert_line(
		table, "copies",
		"copies 1.0 KiB copied on the server; running: 2, at 3.0 MiB of 6.0 MiB (50 %)");
	g_assert_true(g_str_has_suffix(table, "\n"));
	g_assert_null(strstr(table, " \n"));
}

/* Numbers as large as can be neither crash nor tear the table apart. */
static void test_extremes(void)
{
	g_autofree struct report *report = g_malloc(sizeof(*report));
	g_autofree char *table = NULL, *json = NULL;

	memset(report, 0xFF, sizeof(*report));
	table = report_to_table(report, "x");
	json = report_to_json(report);
	g_assert_nonnull(strstr(table, "18446744073709551615"));
	g_assert_nonnull(strstr(json, "18446744073709551615"));
	g_assert_null(strstr(table, "nan"));
}

static void test_every_operation_has_a_name(void)
{
	g_autofree struct report *report = example();
	g_autofree char *json = report_to_json(report);

	for (unsigned int i = 0; i < OPERATION_COUNT; i++) {
		g_autofree char *key =
			g_strdup_printf("\"%s\": {\"requests\": ", operation_infos[i].name);

		g_assert_nonnull(operation_infos[i].name);
		g_assert_nonnull(strstr(json, key));
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/report/buckets", test_buckets);
	g_test_add_func("/report/quantiles", test_quantiles);
	g_test_add_func("/report/quantiles/grow", test_quantiles_grow);
	g_test_add_func("/report/total", test_total);
	g_test_add_func("/report/table", test_table);
	g_test_add_func("/report/extremes", test_extremes);
	g_test_add_func("/report/names", test_every_operation_has_a_name);
	return g_test_run();
}
