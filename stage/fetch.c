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

#define PIECE_MIN ((size_t)32 * 1024)   /* every server takes a READ of so much */
#define WIDE_SPAN ((size_t)1024 * 1024) /* a reader who is fetched for so far ahead goes far */

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
                                size_t size, struct flow *flow, bool ahead)
{
	struct extent *extent = extent_new_locked(file, offset, size, ahead, clock_now_ns());
	struct stage *stage = file->stage;

	extent->flow = flow;
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
	struct stage *stage = reader->file->stage;
	uint64_t size = reader->file->identity.size;
	size_t lanes = lanes_window_locked(reader->file);
	size_t window = lanes > 0 ? lanes : flow_window(&stage->flow);
	size_t share = stage->settings.buffer_size / (stage->wanting.length + 1);

	return (struct pattern_limits){
		.size = size,
		/* Small enough for a slow link to carry several at a time. */
		.piece = MIN(sftp_max_read(reader->open),
	                     MAX(flow_window(&stage->flow) / 4, PIECE_MIN)),
		.window = MIN(window, share),
		.trip = flow_trip_bytes(&stage->flow) ? window / 2 : 0,
		.fits_held = size <= stage->settings.buffer_size,
	};
}

static void stop_wanting_locked(struct stage_reader *reader)
{
	g_queue_unlink(&reader->file->stage->wanting, &reader->link);
	reader->wants = false;
}

/* What is not held of a range. False: the connection is gone. */
static bool fetch_gaps_locked(struct stage_reader *reader, struct sftp_file *open,
                              struct flow *flow, uint64_t offset, size_t size)
{
	uint64_t at = offset, end = offset + size;

	while (at < end) {
		uint64_t gap_end;
		struct extent *extent = staged_find_locked(reader->file, at, &gap_end);

		if (!extent) {
			gap_end = MIN(gap_end, end);
			extent = fetch_ask_locked(reader->file, open, at, gap_end - at, flow, true);
		}
		if (!extent)
			return false;
		at = extent->offset + extent->size;
	}
	return true;
}

static bool has_room(const struct flow *flow, size_t size)
{
	return flow->in_flight == 0 || flow_room(flow) >= size;
}

/* Where the next piece is asked for. Who goes far is worth more connections. */
static struct flow *choose_way_locked(struct stage_reader *reader, struct sftp_file **ret_open)
{
	struct flow *flow = lanes_choose_locked(reader->file, ret_open);

	if (reader->pattern.span >= WIDE_SPAN || reader->pattern.credit >= WIDE_SPAN)
		lanes_open_locked(reader->file);
	if (flow)
		return flow;
	*ret_open = reader->open;
	return &reader->file->stage->flow;
}

/* One piece for the reader at the head of the line. False: there is no room on its way. */
static bool serve_locked(struct stage *stage, struct stage_reader *reader)
{
	struct pattern_limits limits = fetch_limits_locked(reader);
	struct sftp_file *open;
	struct flow *flow = choose_way_locked(reader, &open);
	uint64_t offset;
	size_t size;

	if (!has_room(flow, limits.piece) || !stage_make_room_locked(stage, limits.piece))
		return false;
	if (!stage_serves_locked(reader) ||
	    !pattern_next(&reader->pattern, &limits, &offset, &size) ||
	    !fetch_gaps_locked(reader, open, flow, offset, size))
		stop_wanting_locked(reader);
	return true;
}

/* Each in turn, until none of them could be served. */
static void pump_locked(struct stage *stage)
{
	unsigned int in_vain = 0;

	while (in_vain < stage->wanting.length) {
		struct stage_reader *reader = g_queue_peek_head(&stage->wanting);

		in_vain = serve_locked(stage, reader) ? 0 : in_vain + 1;
		if (!reader->wants)
			continue;
		g_queue_unlink(&stage->wanting, &reader->link);
		g_queue_push_tail_link(&stage->wanting, &reader->link);
	}
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
