// SPDX-License-Identifier: GPL-2.0-or-later
/* The window, on links that are played: so many bytes a second, so long a round trip. */
#include "flow.h"

#include <glib.h>

#include "clock.h"

#define KIB    ((size_t)1024)
#define MIB    (1024 * KIB)
#define PIECE  (32 * KIB)
#define PIECES 4096

/* Requests are answered one after the other: each takes its time on the link, and half a trip each way. */
struct link {
	double rate; /* bytes a ns */
	uint64_t trip_ns, free_ns;
	struct {
		uint64_t due_ns;
		size_t size;
		struct flow_mark mark;
	} asked[PIECES];
	unsigned int first, count;
	uint64_t longest_ns; /* that one was under way */
};

static void ask(struct link *link, struct flow *flow, size_t size, uint64_t now)
{
	unsigned int slot = (link->first + link->count++) % PIECES;
	uint64_t begin = MAX(now + link->trip_ns / 2, link->free_ns);

	link->free_ns = begin + (uint64_t)((double)size / link->rate);
	link->asked[slot].due_ns = link->free_ns + link->trip_ns / 2;
	link->asked[slot].size = size;
	flow_sent(flow, size, now, &link->asked[slot].mark);
}

/* Keeps the window full for `span_ns`; returns the bytes that came. */
static uint64_t run(struct link *link, struct flow *flow, uint64_t *now, uint64_t span_ns)
{
	uint64_t end = *now + span_ns, begin = flow->delivered;

	link->longest_ns = 0;
	while (*now < end) {
		unsigned int slot = link->first % PIECES;

		while (flow_room(flow) >= PIECE && link->count < PIECES)
			ask(link, flow, PIECE, *now);
		*now = MAX(*now, link->asked[slot].due_ns);
		link->longest_ns = MAX(link->longest_ns, *now - link->asked[slot].mark.sent_ns);
		flow_answered(flow, PIECE, PIECE, *now, &link->asked[slot].mark);
		link->first++;
		link->count--;
	}
	return flow->delivered - begin;
}

struct played {
	double mib_a_second;
	uint64_t trip_ms;
};

/* It fills the link, and no request waits for much longer than it must. */
static void test_fills(gconstpointer data)
{
	const struct played *played = data;
	struct link *link = g_new0(struct link, 1);
	struct flow flow = {.in_flight = 0};
	uint64_t now = CLOCK_NS_PER_SEC, bytes;

	link->rate = played->mib_a_second * MIB / CLOCK_NS_PER_SEC;
	link->trip_ns = played->trip_ms * CLOCK_NS_PER_MS;
	flow_note_trip(&flow, link->trip_ns);
	run(link, &flow, &now, 3 * CLOCK_NS_PER_SEC);
	bytes = run(link, &flow, &now, 3 * CLOCK_NS_PER_SEC);
	g_assert_cmpfloat((double)bytes, >=, 0.9 * 3 * played->mib_a_second * MIB);
	g_assert_cmpuint(link->longest_ns, <=, 3 * link->trip_ns + 400 * CLOCK_NS_PER_MS);
	g_free(link);
}

static void test_begins_quickly(void)
{
	struct link *link = g_new0(struct link, 1);
	struct flow flow = {.in_flight = 0};
	uint64_t now = CLOCK_NS_PER_SEC;

	link->rate = 100.0 * MIB / CLOCK_NS_PER_SEC;
	link->trip_ns = 100 * CLOCK_NS_PER_MS;
	flow_note_trip(&flow, link->trip_ns);
	run(link, &flow, &now, 8 * link->trip_ns);
	g_assert_cmpuint(flow_window(&flow), >=, 10 * MIB);
	g_free(link);
}

/* A reader that asks for little, slowly, does not make the link look slow. */
static void test_little_says_nothing(void)
{
	struct link *link = g_new0(struct link, 1);
	struct flow flow = {.in_flight = 0};
	uint64_t now = CLOCK_NS_PER_SEC;
	size_t before;

	link->rate = 100.0 * MIB / CLOCK_NS_PER_SEC;
	link->trip_ns = 20 * CLOCK_NS_PER_MS;
	flow_note_trip(&flow, link->trip_ns);
	g_assert_cmpuint(flow_window(&flow), ==, 512 * KIB);
	run(link, &flow, &now, CLOCK_NS_PER_SEC);
	while (link->count > 0) {
		unsigned int slot = link->first++ % PIECES;

		link->count--;
		now = link->asked[slot].due_ns;
		flow_answered(&flow, PIECE, PIECE, now, &link->asked[slot].mark);
	}
	before = flow_window(&flow);
	for (int i = 0; i < 100; i++) {
		struct flow_mark mark;

		now += 3 * CLOCK_NS_PER_SEC;
		flow_sent(&flow, 4 * KIB, now, &mark);
		now += link->trip_ns;
		flow_answered(&flow, 4 * KIB, 4 * KIB, now, &mark);
	}
	g_assert_cmpuint(flow_window(&flow), ==, before);
	g_free(link);
}

static void test_slower_link(void)
{
	struct link *link = g_new0(struct link, 1);
	struct flow flow = {.in_flight = 0};
	uint64_t now = CLOCK_NS_PER_SEC;

	link->rate = 100.0 * MIB / CLOCK_NS_PER_SEC;
	link->trip_ns = 20 * CLOCK_NS_PER_MS;
	flow_note_trip(&flow, link->trip_ns);
	run(link, &flow, &now, CLOCK_NS_PER_SEC);
	g_assert_cmpuint(flow_window(&flow), >=, 3 * MIB);
	link->rate = 2.0 * MIB / CLOCK_NS_PER_SEC;
	run(link, &flow, &now, 10 * CLOCK_NS_PER_SEC);
	g_assert_cmpuint(flow_window(&flow), <=, 512 * KIB);
	g_free(link);
}

static void test_failed_requests(void)
{
	struct flow flow = {.in_flight = 0};
	struct flow_mark mark;

	flow_sent(&flow, 1000, 5, &mark);
	flow_answered(&flow, 1000, 0, 5, &mark);
	g_assert_cmpuint(flow.in_flight, ==, 0);
	g_assert_cmpuint(flow_room(&flow), >, 0);
}

static void test_trip_bytes(void)
{
	struct flow near = {.trip_ns = CLOCK_NS_PER_MS / 2, .rate = 200 * MIB};
	struct flow far = {.trip_ns = 20 * CLOCK_NS_PER_MS, .rate = 100 * MIB};

	g_assert_cmpuint(flow_trip_bytes(&near), ==, 0);
	g_assert_cmpuint(flow_trip_bytes(&far), ==, 2 * MIB);
}

int main(int argc, char **argv)
{
	static const struct played links[] = {
		{200, 1}, {100, 20}, {20, 100}, {100, 100}, {1, 50}, {0.5, 200}, {10, 5},
	};

	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(links); i++) {
		g_autofree char *name = g_strdup_printf("/flow/fills/%g-%u", links[i].mib_a_second,
		                                        (unsigned int)links[i].trip_ms);

		g_test_add_data_func(name, &links[i], test_fills);
	}
	g_test_add_func("/flow/begins-quickly", test_begins_quickly);
	g_test_add_func("/flow/little", test_little_says_nothing);
	g_test_add_func("/flow/slower", test_slower_link);
	g_test_add_func("/flow/failed", test_failed_requests);
	g_test_add_func("/flow/trip-bytes", test_trip_bytes);
	return g_test_run();
}
