// SPDX-License-Identifier: GPL-2.0-or-later
/* The counters: each answer in its place, exact with many threads, and what one count costs. */
#include <glib.h>
#include <pthread.h>

#include "clock.h"
#include "stats.h"

#define THREADS 24 /* more than there are sets of counters */
#define EACH    10000

static struct report_operation get(struct stats *stats, enum operation operation)
{
	g_autofree struct report *report = g_new0(struct report, 1);

	stats_get(stats, report);
	return report->operations[operation];
}

static void test_nothing(void)
{
	struct stats *stats = stats_new();
	g_autofree struct report *report = g_new0(struct report, 1);
	struct report_operation total;

	stats_get(stats, report);
	report_total(report, &total);
	g_assert_cmpuint(total.requests, ==, 0);
	g_assert_cmpuint(report->since_s, >, 0);
	stats_free(stats);
	stats_free(NULL);
}

static void test_answers(void)
{
	struct stats *stats = stats_new();
	struct report_operation one;

	stats_count(stats, OP_LOOKUP, &(struct stats_answer){.span_ns = 600, .saved_trip = true});
	stats_count(stats, OP_LOOKUP, &(struct stats_answer){.span_ns = 5000, .from_server = true});
	stats_count(stats, OP_LOOKUP,
	            &(struct stats_answer){.span_ns = 700, .from_server = true, .failed = true});
	stats_count(stats, OP_LOOKUP, &(struct stats_answer){.span_ns = 100, .failed = true});
	stats_count(stats, OP_READ, &(struct stats_answer){.from_server = true, .bytes = 77});
	one = get(stats, OP_LOOKUP);
	g_assert_cmpuint(one.requests, ==, 4);
	g_assert_cmpuint(one.failed, ==, 2);
	g_assert_cmpuint(one.from_cache, ==, 1);
	g_assert_cmpuint(one.from_server, ==, 2);
	g_assert_cmpuint(one.trips_saved, ==, 1);
	g_assert_cmpuint(one.sum_ns, ==, 6400);
	g_assert_cmpuint(one.max_ns, ==, 5000);
	g_assert_cmpuint(one.buckets[0], ==, 1);
	g_assert_cmpuint(one.buckets[1], ==, 2);
	g_assert_cmpuint(one.buckets[report_bucket(5000)], ==, 1);
	g_assert_cmpuint(get(stats, OP_READ).bytes, ==, 77);
	g_assert_cmpuint(get(stats, OP_WRITE).requests, ==, 0);
	stats_free(stats);
}

static void *count_many(void *data)
{
	struct stats *stats = data;

	for (uint64_t i = 0; i < EACH; i++)
		stats_count(stats, (enum operation)(i % OPERATION_COUNT),
		            &(struct stats_answer){.span_ns = i, .from_server = i & 1, .bytes = 3});
	return NULL;
}

static void test_threads(void)
{
	struct stats *stats = stats_new();
	g_autofree struct report *report = g_new0(struct report, 1);
	struct report_operation total;
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		g_assert_cmpint(pthread_create(&threads[i], NULL, count_many, stats), ==, 0);
	/* Looking on meanwhile disturbs nothing. */
	stats_get(stats, report);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	stats_get(stats, report);
	report_total(report, &total);
	g_assert_cmpuint(total.requests, ==, THREADS * EACH);
	g_assert_cmpuint(total.from_server, ==, THREADS * EACH / 2);
	g_assert_cmpuint(total.from_cache, ==, THREADS * EACH / 2);
	g_assert_cmpuint(total.bytes, ==, 3 * THREADS * EACH);
	g_assert_cmpuint(total.sum_ns, ==, (uint64_t)THREADS * EACH * (EACH - 1) / 2);
	g_assert_cmpuint(total.max_ns, ==, EACH - 1);
	stats_free(stats);
}

/* Printed, not asserted. */
static void test_cost(void)
{
	struct stats *stats = stats_new();
	uint64_t begun_ns = clock_now_ns(), last_ns = begun_ns;

	for (int i = 0; i < 100000; i++) {
		uint64_t now_ns = clock_now_ns();

		stats_count(stats, OP_GETATTR,
		            &(struct stats_answer){.span_ns = clock_now_ns() - last_ns});
		last_ns = now_ns;
	}
	g_test_message("%.1f ns a request, with two looks at the clock",
	               (double)(clock_now_ns() - begun_ns) / 100000);
	g_assert_cmpuint(get(stats, OP_GETATTR).requests, ==, 100000);
	stats_free(stats);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/stats/nothing", test_nothing);
	g_test_add_func("/stats/answers", test_answers);
	g_test_add_func("/stats/threads", test_threads);
	g_test_add_func("/stats/cost", test_cost);
	return g_test_run();
}
