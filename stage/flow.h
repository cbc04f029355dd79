/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much of what one connection carries may be on its way at once: enough to fill it, and hardly more, since
 * whatever is asked for next (a name, an attribute) waits behind it.
 *
 * Measured from the replies, as TCP's BBR does it: the best rate at which bytes arrived lately, times the
 * least round trip ever seen, is what the connection holds; twice that is asked for, so that a faster link
 * shows itself. What comes slowly because little was asked for says nothing about the link. No I/O, no locks: the owner's lock protects it.
 */
#ifndef STAGE_FLOW_H
#define STAGE_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flow {
	uint64_t in_flight;    /* bytes asked for, not answered */
	uint64_t delivered;    /* bytes that have arrived since the beginning */
	uint64_t delivered_ns; /* when the latest did */
	uint64_t trip_ns;      /* the least round trip; 0: not known */
	/* The best rates, bytes a second: in this span of time, and in the one before. */
	uint64_t rate, old_rate;
	uint64_t rate_since_ns;
};

/* What has to be known again when a request is answered. Kept with the request. */
struct flow_mark {
	uint64_t sent_ns, delivered, delivered_ns;
	bool is_full; /* as much was in flight as may be: how fast it comes is for the link to say */
};

/* `size` bytes are asked for. `now_ns`: clock_now_ns(). */
void flow_sent(struct flow *flow, size_t size, uint64_t now_ns, struct flow_mark *ret_mark);
/* They have come, or (`arrived` less than `size`) not all of them. */
void flow_answered(struct flow *flow, size_t size, size_t arrived, uint64_t now_ns,
                   const struct flow_mark *mark);
/* A round trip was measured elsewhere: by something smaller. */
void flow_note_trip(struct flow *flow, uint64_t trip_ns);

/*
 * Bytes that the connection carries in the time of one round trip: what waiting for one costs. 0: next to
 * nothing, since the server is near.
 */
size_t flow_trip_bytes(const struct flow *flow);

/* Bytes that may be in flight. */
size_t flow_window(const struct flow *flow);

/* Of those, how many may be asked for now. */
static inline size_t flow_room(const struct flow *flow)
{
	size_t window = flow_window(flow);

	return window > flow->in_flight ? window - (size_t)flow->in_flight : 0;
}

#endif
