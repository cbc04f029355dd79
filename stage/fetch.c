// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is asked for, and what comes. See stage_private.h.
 *
 * What a reader waits for is asked for at once. Fetching ahead takes turns: one piece for each reader that
 * wants some, as long as the connection has room (flow.h) and the budget does; each answer makes room for more.
 * So several readers share the link, and none of them fills it with what another one waits behind.
 */
#include <errno.h>

#include "lock.h"
#include "stage_private.h"

/* ---- extents ------------------------------------------------------------------------------------ */

struct extent *extent_ref_locked(struct extent *extent)
{
	struct stage *stage = extent->file->stage;

	if (extent->link.data) {
		g_queue_unlink(&stage->idle, &extent->link);
		extent->link.data = NULL;
	}
	extent->refs++;
	return extent;
}

static void extent_free_locked(struct extent *extent)
{
	struct stage *stage = extent->file->stage;

	if (extent->ahead && extent->read < extent->size)
		stage->stats.unused_bytes += extent->size - extent->read;
	stage->bytes -= extent->asked;
	memory_give(&stage->memory, extent->data, extent->asked);
	staged_unref_locked(extent->file);
	g_free(extent);
}

void extent_unref_locked(struct extent *extent)
{
	struct stage *stage = extent->file->stage;

	if (--extent->refs == 0) {
		extent_free_locked(extent);
		return;
	}
	if (extent->refs > 1 || !extent->in_tree || !extent->landed)
		return;
	/* The kernel has what was read, as long as it needs it. (An empty file is read by being opened.) */
	if (extent->size > 0 && extent->read >= extent->size) {
		extent_drop_locked(extent);
		return;
	}
	extent->link.data = extent;
	g_queue_push_tail_link(&stage->idle, &extent->link);
}

void extent_drop_locked(struct extent *extent)
{
	struct stage *stage = extent->file->stage;

	if (!extent->in_tree)
		return;
	if (extent->link.data) {
		g_queue_unlink(&stage->idle, &extent->link);
		extent->link.data = NULL;
	}
	g_tree_remove(extent->file->extents, extent);
	extent->in_tree = false;
	extent_unref_locked(extent);
}

static struct extent *extent_new_locked(struct staged *file, uint64_t offset, size_t size,
                                        bool ahead, uint64_t now)
{
	struct extent *extent = g_new0(struct extent, 1);
	struct stage *stage = file->stage;

	extent->file = staged_ref_locked(file);
	extent->offset = offset;
	extent->asked = extent->size = size;
	extent->data = memory_take(&stage->memory, size);
	extent->refs = 1;
	extent->in_tree = true;
	extent->ahead = ahead;
	extent->seen_ns = now;
	stage->bytes += size;
	g_tree_insert(file->extents, extent, extent);
	return extent;
}

struct extent *extent_new_landed_locked(struct staged *file, size_t size, uint64_t seen_ns)
{
	struct extent *extent = extent_new_locked(file, 0, size, true, seen_ns);

	extent->landed = true;
	extent_ref_locked(extent);
	return extent;
}

/* ---- one piece ---------------------------------------------------------------------------------- */

static void pump_locked(struct stage *stage);

/*
 * It has become shorter than it was believed to be: what else is held may be of the old state, too. (At its end
 * a file is shorter than what was asked for, which says nothing.)
 */
static void note_end_locked(struct extent *extent, size_t size)
{
	struct staged *file = extent->file;
	bool shrunk = extent->offset + size < file->identity.size && extent->in_tree;

	extent->size = size;
	if (!shrunk)
		return;
	file->identity.mtime = INT64_MIN;
	file->checked_ns = 0;
	staged_drop_locked(file, 0, UINT64_MAX);
}

static void land_locked(struct extent *extent, ssize_t result)
{
	struct stage *stage = extent->file->stage;
	size_t arrived = result > 0 ? (size_t)result : 0;

	flow_answered(extent->flow, extent->asked, arrived, clock_now_ns(), &extent->mark);
	extent->landed = true;
	stage->stats.fetched_bytes += arrived;
	if (result < 0)
		extent->error = (int)result;
	else if (arrived < extent->asked)
		note_end_locked(extent, arrived);
	if (result <= 0)
		extent_drop_locked(extent);
	pthread_cond_broadcast(&extent->file->landed);
}

static void on_landed(void *data, ssize_t result)
{
	struct extent *extent = data;
	struct stage *stage = extent->file->stage;
	LOCK_SCOPE(&stage->lock);

	land_locked(extent, result);
	extent_unref_locked(extent);
	pump_locked(stage);
	if (--stage->in_flight == 0)
		pthread_cond_broadcast(&stage->calm);
}

struct extent *fetch_ask_locked(struct staged *file, struct sftp_file *open, uint64_t offset,
                                size_t size, bool ahead)
{
	struct extent *extent = extent_new_locked(file, offset, size, ahead, clock_now_ns());
	struct stage *stage = file->stage;

	extent->flow = &stage->flow;
	flow_sent(extent->flow, size, extent->seen_ns, &extent->mark);
	extent_ref_locked(extent);
	if (sftp_read_async(open, extent->data, size, offset, on_landed, extent) != 0) {
		flow_answered(extent->flow, size, 0, extent->seen_ns, &extent->mark);
		extent_drop_locked(extent);
		extent_unref_locked(extent);
		return NULL;
	}
	stage->in_flight++;
	if (ahead)
		stage->stats.ahead_bytes += size;
	return extent;
}

/* ---- ahead -------------------------------------------------------------------------------------- */

struct pattern_limits fetch_limits_locked(const struct stage_reader *reader)
{
	const struct stage *stage = reader->file->stage;
	uint64_t size = reader->file->identity.size;
	size_t window = flow_window(&stage->flow);
	size_t share = stage->settings.buffer_size / (stage->wanting.length + 1);

	return (struct pattern_limits){
		.size = size,
		/* Small enough for a slow link to carry several at a time. */
		.piece = MIN(sftp_max_read(reader->open), MAX(window / 4, 32 * (size_t)1024)),
		.window = MIN(window, share),
		.trip = flow_trip_bytes(&stage->flow),
		.fits_held = size <= stage->settings.buffer_size,
	};
}

static void stop_wanting_locked(struct stage_reader *reader)
{
	g_queue_unlink(&reader->file->stage->wanting, &reader->link);
	reader->wants = false;
}

/* What is not held of a range. False: the connection is gone. */
static bool fetch_gaps_locked(struct stage_reader *reader, uint64_t offset, size_t size)
{
	uint64_t at = offset, end = offset + size;

	while (at < end) {
		uint64_t gap_end;
		struct extent *extent = staged_find_locked(reader->file, at, &gap_end);

		if (!extent) {
			gap_end = MIN(gap_end, end);
			extent = fetch_ask_locked(reader->file, reader->open, at, gap_end - at,
			                          true);
		}
		if (!extent)
			return false;
		at = extent->offset + extent->size;
	}
	return true;
}

static bool may_be_fetched_for(const struct stage_reader *reader)
{
	return reader->file->changes == 0 && reader->generation == reader->file->generation;
}

/* One piece for the reader whose turn it is. False: there is no room. */
static bool take_turn_locked(struct stage *stage)
{
	struct stage_reader *reader = g_queue_peek_head(&stage->wanting);
	struct pattern_limits limits = fetch_limits_locked(reader);
	uint64_t offset;
	size_t size;

	if (flow_room(&stage->flow) < limits.piece && stage->flow.in_flight > 0)
		return false;
	if (!stage_make_room_locked(stage, limits.piece))
		return false;
	if (!may_be_fetched_for(reader) ||
	    !pattern_next(&reader->pattern, &limits, &offset, &size) ||
	    !fetch_gaps_locked(reader, offset, size)) {
		stop_wanting_locked(reader);
		return true;
	}
	g_queue_unlink(&stage->wanting, &reader->link);
	g_queue_push_tail_link(&stage->wanting, &reader->link);
	return true;
}

static void pump_locked(struct stage *stage)
{
	while (stage->wanting.length > 0 && take_turn_locked(stage))
		;
}

void fetch_ahead_locked(struct stage_reader *reader)
{
	struct stage *stage = reader->file->stage;

	if (!reader->wants) {
		reader->wants = true;
		reader->link.data = reader;
		g_queue_push_tail_link(&stage->wanting, &reader->link);
	}
	pump_locked(stage);
}

void fetch_forget_reader_locked(struct stage_reader *reader)
{
	if (reader->wants)
		stop_wanting_locked(reader);
}
