// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who reads: an open file, the way it is read, and one read after the other. See stage.h.
 *
 * A read gathers the extents that cover its range, asking for what is in no extent; waits until they are
 * all here; and hands them out as they are, without a copy.
 *
 * Where the file is believed to end, an extent of its own begins, so that the READ which learns the end is on
 * its way with the others. While the belief is fresh none is sent.
 */
#include <errno.h>

#include "cancel.h"
#include "lock.h"
#include "stage_private.h"

/* ---- life --------------------------------------------------------------------------------------- */

/* A state that others had open lives on for them alone: two states must not be mixed. */
static void see_state_locked(struct staged *file, const struct stage_identity *identity)
{
	if (staged_identify_locked(file, identity, clock_now_ns()))
		file->generation++;
}

struct stage_reader *stage_reader_new(struct stage *stage, uint64_t node, struct sftp_file *file,
                                      const struct stage_identity *identity)
{
	struct stage_reader *reader = NULL;
	struct staged *staged;

	LOCK_SCOPE(&stage->lock);
	flow_note_trip(&stage->flow, sftp_client_rtt_ns(stage->client));
	staged = staged_get_locked(stage, node);
	see_state_locked(staged, identity);
	if (stage->settings.buffer_size == 0 || identity->size == 0) {
		staged_unref_locked(staged);
		return NULL;
	}
	reader = g_new0(struct stage_reader, 1);
	reader->file = staged;
	reader->open = file;
	reader->generation = staged->generation;
	staged->readers++;
	return reader;
}

void stage_reader_free(struct stage_reader *reader)
{
	struct staged *file;
	struct stage *stage;

	if (!reader)
		return;
	file = reader->file;
	stage = file->stage;
	LOCK_SCOPE(&stage->lock);
	fetch_forget_reader_locked(reader);
	if (reader->whole)
		extent_unref_locked(reader->whole);
	if (--file->readers == 0)
		staged_drop_locked(file, 0, UINT64_MAX);
	staged_unref_locked(file);
	g_free(reader);
}

/* ---- the state of the file ---------------------------------------------------------------------- */

/* Something in the range has been held for longer than it may be without another look. */
static bool is_stale_locked(struct staged *file, uint64_t offset, uint64_t end)
{
	uint64_t now = clock_now_ns();

	if (stage_is_fresh(file->checked_ns, now))
		return false;
	while (offset < end) {
		uint64_t gap_end;
		struct extent *extent = staged_find_locked(file, offset, &gap_end);

		if (extent && !stage_is_fresh(extent->seen_ns, now))
			return true;
		offset = extent ? extent->offset + extent->size : gap_end;
	}
	return false;
}

/* The look. Whoever reads meanwhile looks, too, which does no harm. */
static int look_again(struct stage_reader *reader)
{
	struct staged *file = reader->file;
	struct stage_identity identity = {.settled = false};
	struct sftp_attrs attrs;
	uint64_t now = clock_now_ns();
	int error = sftp_fstat(reader->open, &attrs);

	if (error)
		return error;
	LOCK_SCOPE(&file->stage->lock);
	identity.size = attrs.size;
	identity.mtime = attrs.mtime;
	identity.settled = file->identity.settled;
	staged_identify_locked(file, &identity, now);
	return 0;
}

/* ---- one read ----------------------------------------------------------------------------------- */

/* The extents that cover a range, in order. */
struct reading {
	struct stage_reader *reader;
	uint64_t offset, end;
	GPtrArray *extents; /* of struct extent, referenced */
	bool missed;        /* some had to be asked for */
};

static void reading_done_locked(struct reading *reading)
{
	for (unsigned int i = 0; i < reading->extents->len; i++)
		extent_unref_locked(g_ptr_array_index(reading->extents, i));
	g_ptr_array_unref(reading->extents);
}

/* What is missing from `at` on: a piece that ends with the gap, or where the file is believed to. */
static struct extent *ask_for_gap_locked(struct reading *reading, uint64_t at, uint64_t gap_end)
{
	struct stage_reader *reader = reading->reader;
	uint64_t likely_end = reader->file->identity.size;
	size_t piece = sftp_max_read(reader->open);

	gap_end = MIN(gap_end, reading->end);
	if (at < likely_end)
		gap_end = MIN(gap_end, likely_end);
	reading->missed = true;
	sftp_turns_add();
	return fetch_ask_locked(reader->file, reader->open, at, MIN(gap_end - at, piece),
	                        &reader->file->stage->flow, false);
}

/* True when it is known that there is nothing from `at` on. */
static bool is_end_locked(const struct staged *file, uint64_t at)
{
	return at >= file->identity.size && stage_is_fresh(file->checked_ns, clock_now_ns());
}

/* 0 or -ENOTCONN. */
static int gather_locked(struct reading *reading)
{
	struct staged *file = reading->reader->file;
	uint64_t at = reading->offset;

	while (at < reading->end) {
		uint64_t gap_end;
		struct extent *extent = staged_find_locked(file, at, &gap_end);

		if (!extent && is_end_locked(file, at))
			return 0;
		if (!extent)
			extent = ask_for_gap_locked(reading, at, gap_end);
		if (!extent)
			return -ENOTCONN;
		g_ptr_array_add(reading->extents, extent_ref_locked(extent));
		at = extent->offset + extent->size;
	}
	return 0;
}

static bool has_landed_locked(const struct reading *reading)
{
	for (unsigned int i = 0; i < reading->extents->len; i++) {
		const struct extent *extent = g_ptr_array_index(reading->extents, i);

		if (!extent->landed)
			return false;
	}
	return true;
}

/* 0 or -EINTR. */
static int await(struct reading *reading)
{
	struct staged *file = reading->reader->file;
	struct stage *stage = file->stage;
	int error = 0;

	cancel_begin_wait(&stage->lock, &file->landed);
	pthread_mutex_lock(&stage->lock);
	if (!has_landed_locked(reading))
		sftp_turns_add();
	while (!has_landed_locked(reading) && !cancel_is_raised())
		pthread_cond_wait(&file->landed, &stage->lock);
	if (!has_landed_locked(reading))
		error = -EINTR;
	pthread_mutex_unlock(&stage->lock);
	cancel_end_wait();
	return error;
}

/*
 * 0; or the error of one that is needed. -EAGAIN: it was asked for ahead, perhaps over a connection that has died
 * meanwhile: nobody finds it any more, so ask again.
 */
static int check_landed_locked(const struct reading *reading)
{
	for (unsigned int i = 0; i < reading->extents->len; i++) {
		const struct extent *extent = g_ptr_array_index(reading->extents, i);

		if (extent->error)
			return extent->ahead ? -EAGAIN : extent->error;
		if (extent->size < extent->asked)
			return 0;
	}
	return 0;
}

/* Hands out what is there, up to the first byte that is not. */
static ssize_t show_locked(const struct reading *reading, struct stage_view *view)
{
	uint64_t at = reading->offset;

	view->pieces = g_new(struct iovec, reading->extents->len);
	for (unsigned int i = 0; i < reading->extents->len; i++) {
		struct extent *extent = g_ptr_array_index(reading->extents, i);
		uint64_t skip = at - extent->offset;
		size_t size;

		if (skip >= extent->size)
			break;
		size = MIN(extent->size - skip, reading->end - at);
		view->pieces[view->count++] =
			(struct iovec){.iov_base = extent->data + skip, .iov_len = size};
		extent->read += size;
		at += size;
		if (extent->size < extent->asked && at == extent->offset + extent->size)
			break;
	}
	return (ssize_t)(at - reading->offset);
}

/* Begins to read: what is there is found, what is not is asked for, and what comes next is fetched. */
static int begin_locked(struct reading *reading)
{
	struct stage_reader *reader = reading->reader;
	struct pattern_limits limits = fetch_limits_locked(reader);
	int error = gather_locked(reading);
	uint64_t turns = sftp_turns();

	if (error)
		return error;
	pattern_note(&reader->pattern, &limits, reading->offset, reading->end - reading->offset,
	             reading->missed);
	fetch_ahead_locked(reader);
	/* What nobody waits for is no turn of this thread's. */
	sftp_turns_set(turns);
	return 0;
}

/* Not from here: -EAGAIN; what is held has to be looked at first: 1; else 0. */
static int check_locked(const struct reading *reading)
{
	const struct stage_reader *reader = reading->reader;
	struct staged *file = reader->file;

	if (sftp_file_is_stale(reader->open))
		return -ENOTCONN;
	if (!stage_serves_locked(reader))
		return -EAGAIN;
	return is_stale_locked(file, reading->offset, reading->end);
}

static int begin(struct reading *reading)
{
	struct stage *stage = reading->reader->file->stage;

	for (;;) {
		int error;

		pthread_mutex_lock(&stage->lock);
		error = check_locked(reading);
		if (error == 0)
			error = begin_locked(reading);
		pthread_mutex_unlock(&stage->lock);
		if (error <= 0)
			return error;
		error = look_again(reading->reader);
		if (error)
			return error;
	}
}

/* Bytes; -EAGAIN: see check_landed_locked(), and *ret_again is set. */
static ssize_t read_once(struct reading *reading, struct stage_view *view, bool *ret_again)
{
	ssize_t result = begin(reading);

	if (result == 0)
		result = await(reading);
	LOCK_SCOPE(&reading->reader->file->stage->lock);
	if (result == 0) {
		result = check_landed_locked(reading);
		*ret_again = result == -EAGAIN;
	}
	if (result == 0)
		result = show_locked(reading, view);
	if (result > 0)
		view->extents = reading->extents;
	else
		reading_done_locked(reading);
	return result;
}

static ssize_t read_pieces(struct stage_reader *reader, size_t size, uint64_t offset,
                           struct stage_view *ret_view)
{
	ssize_t result;
	bool again;

	do {
		struct reading reading = {.reader = reader,
		                          .offset = offset,
		                          .end = offset + size,
		                          .extents = g_ptr_array_new()};

		*ret_view = (struct stage_view){.count = 0};
		again = false;
		result = read_once(&reading, ret_view, &again);
	} while (again);
	if (result <= 0)
		g_clear_pointer(&ret_view->pieces, g_free);
	return result;
}

ssize_t stage_read(struct stage_reader *reader, size_t size, uint64_t offset,
                   struct stage_view *ret_view)
{
	if (!reader->open)
		return whole_read(reader, size, offset, ret_view);
	return read_pieces(reader, size, offset, ret_view);
}

/* The reader may be gone: the kernel releases a file as soon as it has the reply. */
void stage_view_done(struct stage *stage, struct stage_view *view)
{
	struct reading reading = {.extents = view->extents};
	LOCK_SCOPE(&stage->lock);

	if (view->extents)
		reading_done_locked(&reading);
	g_free(view->pieces);
}
