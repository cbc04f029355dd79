// SPDX-License-Identifier: GPL-2.0-or-later
/* See flow.h. */
#include "flow.h"

#include <glib.h>

#include "clock.h"
#include "util.h"

/* As long as nothing is known. One READ of OpenSSH's is 255 KiB. */
#define WINDOW_START (512 * KIB)
/*
 * Near the server the round trip is next to nothing, and what counts is that the two ends are kept busy: so
 * many bytes, unless the link needs longer than this for them.
 */
#define WINDOW_LEAST    MIB
#define WINDOW_LEAST_NS (50 * CLOCK_NS_PER_MS)
/* A few requests of 32 KiB, which every server takes, however slow the link. */
#define WINDOW_FLOOR (96 * KIB)
/* Long fat links are filled up to this: 100 ms at 2.6 Gbit/s. */
#define WINDOW_MOST (32 * MIB)
/* A server is near when it answers so soon; one READ of 255 KiB takes about as long. */
#define NEAR_NS (2 * CLOCK_NS_PER_MS)
/* How long a rate counts: the best of the last one or two such spans. */
#define RATE_SPAN_NS CLOCK_NS_PER_SEC
/* No less, whatever clocks say. */
#define INTERVAL_LEAST_NS 1000

void flow_sent(struct flow *flow, size_t size, uint64_t now_ns, struct flow_mark *ret_mark)
{
	/* An idle link begins anew: the time in which nothing was asked for says nothing about it. */
	if (flow->in_flight == 0)
		flow->delivered_ns = now_ns;
	*ret_mark = (struct flow_mark){
		.sent_ns = now_ns,
		.delivered = flow->delivered,
		.delivered_ns = flow->delivered_ns,
	};
	flow->in_flight += size;
	ret_mark->is_full = flow->in_flight + size > flow_window(flow);
}

static void note_rate(struct flow *flow, uint64_t rate, bool is_full, uint64_t now_ns)
{
	if (!is_full && rate <= MAX(flow->rate, flow->old_rate))
		return;
	if (!is_full && flow->rate_since_ns == 0)
		return;
	if (now_ns - flow->rate_since_ns > RATE_SPAN_NS) {
		flow->old_rate = flow->rate;
		flow->rate = 0;
		flow->rate_since_ns = now_ns;
	}
	flow->rate = MAX(flow->rate, rate);
}

void flow_note_trip(struct flow *flow, uint64_t trip_ns)
{
	if (trip_ns > 0 && (flow->trip_ns == 0 || trip_ns < flow->trip_ns))
		flow->trip_ns = trip_ns;
}

void flow_answered(struct flow *flow, size_t size, size_t arrived, uint64_t now_ns,
                   const struct flow_mark *mark)
{
	uint64_t span_ns = MAX(now_ns - mark->delivered_ns, INTERVAL_LEAST_NS);
	uint64_t bytes;

	flow->in_flight -= MIN(flow->in_flight, size);
	flow->delivered += arrived;
	flow->delivered_ns = now_ns;
	flow_note_trip(flow, now_ns - mark->sent_ns);
	bytes = flow->delivered - mark->delivered;
	note_rate(flow, (uint64_t)((double)bytes * CLOCK_NS_PER_SEC / (double)span_ns),
	          mark->is_full, now_ns);
}

static double rate_of(const struct flow *flow)
{
	return (double)MAX(flow->rate, flow->old_rate) / CLOCK_NS_PER_SEC; /* bytes a ns */
}

size_t flow_trip_bytes(const struct flow *flow)
{
	if (flow->trip_ns < NEAR_NS)
		return 0;
	if (rate_of(flow) == 0)
		return WINDOW_START;
	return (size_t)MIN((double)WINDOW_MOST, rate_of(flow) * (double)flow->trip_ns);
}

size_t flow_window(const struct flow *flow)
{
	double rate = rate_of(flow);
	size_t least, window;

	if (rate == 0)
		return WINDOW_START;
	least = (size_t)MIN((double)WINDOW_LEAST, rate * WINDOW_LEAST_NS);
	window = (size_t)MIN((double)WINDOW_MOST, 2 * rate * (double)flow->trip_ns);
	return MAX(MAX(window, least), WINDOW_FLOOR);
}
