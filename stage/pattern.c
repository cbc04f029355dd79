// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See pattern.h.
 *
 * The kernel reads ahead by itself, a little, and its requests come on several threads: those of a
 * sequential reader arrive slightly out of order. What lies just before or behind the place where the
 * next read should begin is therefore taken for a part of the row.
 *
 * A steady reader is fetched for ever further ahead, twice as far with each read, until the link is full. A
 * random reader costs no more than it asks for, unless the file is small enough to be held as a whole: then
 * each round trip that it has to wait for pays for as much of the rest as the link carries meanwhile. Who waits little fetches little; who goes on for long soon has it all.
 */
#include "pattern.h"

#include <glib.h>

#include "util.h"

/* Reads of a row may come in another order within so many bytes. */
#define DISORDER MIB
/* As many reads in a row make a stride, or a random reader whose file is worth having. */
#define STEADY_MIN 2
#define NEAR_MIN   4
#define MISSED_MIN 6

static uint64_t clip(uint64_t offset, const struct pattern_limits *limits)
{
	return MIN(offset, limits->size);
}

static bool goes_on(const struct pattern *pattern, uint64_t offset)
{
	if (pattern->kind == PATTERN_NEW)
		return offset == 0 || offset == pattern->end;
	if (pattern->kind == PATTERN_SEQUENTIAL)
		return offset + DISORDER >= pattern->end && offset <= pattern->end + DISORDER;
	return offset == pattern->end;
}

/*
 * A reader who goes on, whose requests have come in another order from the beginning: they stay near the
 * furthest one, and every other one goes beyond it.
 */
static bool goes_on_in_disorder(const struct pattern *pattern)
{
	return pattern->near >= NEAR_MIN && 2 * pattern->grown >= pattern->near;
}

static void note_near(struct pattern *pattern, uint64_t offset, size_t size)
{
	bool near =
		offset <= pattern->furthest + DISORDER && offset + DISORDER >= pattern->furthest;

	pattern->near = near ? pattern->near + 1 : 0;
	pattern->grown = near ? pattern->grown + (offset + size > pattern->furthest) : 0;
	pattern->furthest = near ? MAX(pattern->furthest, offset + size) : offset + size;
}

static void note_sequential(struct pattern *pattern, const struct pattern_limits *limits,
                            uint64_t offset, size_t size)
{
	if (pattern->kind != PATTERN_SEQUENTIAL) {
		pattern->kind = PATTERN_SEQUENTIAL;
		pattern->end = offset;
		pattern->ahead = offset + size;
		pattern->span = size;
	} else if (offset + size > pattern->end) {
		pattern->span = MIN(2 * pattern->span, limits->window);
	}
	pattern->start = offset;
	pattern->end = MAX(pattern->end, offset + size);
	pattern->ahead = MAX(pattern->ahead, pattern->end);
}

static void note_jump(struct pattern *pattern, const struct pattern_limits *limits, uint64_t offset,
                      size_t size, bool missed)
{
	int64_t stride = (int64_t)(offset - pattern->start);
	bool same = stride == pattern->stride;
	enum pattern_kind kind = PATTERN_RANDOM;

	pattern->steady = same ? pattern->steady + 1 : 0;
	if (!same && goes_on_in_disorder(pattern)) {
		pattern->kind = PATTERN_SEQUENTIAL;
		pattern->end = pattern->ahead = pattern->furthest;
		pattern->span = size;
		return;
	}
	if (offset + size == pattern->start)
		kind = PATTERN_BACKWARD;
	else if (same && stride != 0 && pattern->steady >= STEADY_MIN)
		kind = PATTERN_STRIDED;
	if (kind != pattern->kind) {
		pattern->span = size;
		pattern->ahead = offset;
	} else if (kind != PATTERN_RANDOM) {
		pattern->span = MIN(2 * pattern->span, limits->window);
	}
	if (kind != PATTERN_RANDOM)
		pattern->missed = 0;
	else if (missed && ++pattern->missed > MISSED_MIN && limits->fits_held)
		pattern->credit = MIN(pattern->credit + limits->trip, limits->size);
	if (kind == PATTERN_RANDOM && pattern->kind != PATTERN_RANDOM)
		pattern->ahead = 0;
	pattern->kind = kind;
	pattern->stride = stride;
	pattern->start = offset;
	pattern->end = offset + size;
}

void pattern_note(struct pattern *pattern, const struct pattern_limits *limits, uint64_t offset,
                  size_t size, bool missed)
{
	note_near(pattern, offset, size);
	if (goes_on(pattern, offset))
		note_sequential(pattern, limits, offset, size);
	else
		note_jump(pattern, limits, offset, size, missed);
}

static bool next_forward(struct pattern *pattern, const struct pattern_limits *limits,
                         uint64_t *ret_offset, size_t *ret_size)
{
	uint64_t until = clip(clip(pattern->end, limits) + pattern->span, limits);

	if (pattern->ahead >= until)
		return false;
	*ret_offset = pattern->ahead;
	/* Whole pieces, unless so little is wanted: small steps shall not make small requests. */
	*ret_size = MIN(limits->piece, limits->size - pattern->ahead);
	if (pattern->span < limits->piece)
		*ret_size = MIN(*ret_size, until - pattern->ahead);
	pattern->ahead += *ret_size;
	return true;
}

static bool next_backward(struct pattern *pattern, const struct pattern_limits *limits,
                          uint64_t *ret_offset, size_t *ret_size)
{
	uint64_t until = pattern->start > pattern->span ? pattern->start - pattern->span : 0;

	pattern->ahead = MIN(pattern->ahead, pattern->start);
	if (pattern->ahead <= until)
		return false;
	*ret_size = MIN(limits->piece, pattern->ahead);
	pattern->ahead -= *ret_size;
	*ret_offset = pattern->ahead;
	return true;
}

/* `ahead` is the start of the furthest read that was foretold. */
static bool next_strided(struct pattern *pattern, const struct pattern_limits *limits,
                         uint64_t *ret_offset, size_t *ret_size)
{
	size_t size = MIN(pattern->end - pattern->start, limits->piece);
	int64_t steps = ((int64_t)pattern->ahead - (int64_t)pattern->start) / pattern->stride;
	int64_t next;

	if (steps < 0) {
		pattern->ahead = pattern->start;
		steps = 0;
	}
	next = (int64_t)pattern->ahead + pattern->stride;
	if ((uint64_t)steps * size >= pattern->span || next < 0 || (uint64_t)next >= limits->size)
		return false;
	pattern->ahead = (uint64_t)next;
	*ret_offset = pattern->ahead;
	*ret_size = MIN(size, limits->size - pattern->ahead);
	return true;
}

/* The rest of the file, from its beginning. */
static bool next_behind_random(struct pattern *pattern, const struct pattern_limits *limits,
                               uint64_t *ret_offset, size_t *ret_size)
{
	size_t size = (size_t)MIN(limits->piece, limits->size - clip(pattern->ahead, limits));

	if (!limits->fits_held || size == 0 || pattern->credit < size)
		return false;
	*ret_offset = pattern->ahead;
	*ret_size = size;
	pattern->ahead += size;
	pattern->credit -= size;
	return true;
}

bool pattern_next(struct pattern *pattern, const struct pattern_limits *limits,
                  uint64_t *ret_offset, size_t *ret_size)
{
	switch (pattern->kind) {
	case PATTERN_SEQUENTIAL:
		return next_forward(pattern, limits, ret_offset, ret_size);
	case PATTERN_BACKWARD:
		return next_backward(pattern, limits, ret_offset, ret_size);
	case PATTERN_STRIDED:
		return next_strided(pattern, limits, ret_offset, ret_size);
	case PATTERN_RANDOM:
		return next_behind_random(pattern, limits, ret_offset, ret_size);
	case PATTERN_NEW:
		break;
	}
	return false;
}
