// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See lane.h. Opening waits, for a login perhaps, so each lane has a thread for it, made when there is something to
 * open.
 *
 * The race that shaped it: the file is opened by its name, which may lead to another one by now. What is found
 * there must be of the size and the time that are known, as for any two openings by name, else the lane
 * is of no use for this file.
 */
#include "lane.h"

#include <errno.h>

#include "lock.h"
#include "stage_private.h"
#include "thread.h"

#define RETRY_NS CLOCK_NS_PER_SEC

struct lane {
	struct stage *stage; /* set once */
	unsigned int number; /* set once */
	/* All below: protected by the stage's lock. */
	struct flow flow;
	GQueue waiting; /* of struct staged, referenced: to be opened */
	bool has_thread;
	pthread_t thread;
	pthread_cond_t work;
};

/* ---- life --------------------------------------------------------------------------------------- */

struct lane *lanes_new(struct stage *stage)
{
	unsigned int count = stage->lane_count;
	struct lane *lanes = count > 0 ? g_new0(struct lane, count) : NULL;

	for (unsigned int i = 0; i < count; i++) {
		lanes[i].stage = stage;
		lanes[i].number = i;
		g_queue_init(&lanes[i].waiting);
		lock_cond_init(&lanes[i].work);
	}
	return lanes;
}

void lanes_free(struct stage *stage)
{
	for (unsigned int i = 0; i < stage->lane_count; i++) {
		struct lane *lane = &stage->lanes[i];

		pthread_mutex_lock(&stage->lock);
		stage->stopping = true;
		pthread_cond_signal(&lane->work);
		pthread_mutex_unlock(&stage->lock);
		if (lane->has_thread)
			pthread_join(lane->thread, NULL);
		pthread_cond_destroy(&lane->work);
	}
	g_free(stage->lanes);
}

/* ---- opening ------------------------------------------------------------------------------------ */

static int open_there(struct lane *lane, struct staged *file, struct sftp_file **ret_file,
                      struct sftp_attrs *ret_attrs)
{
	const struct stage_settings *settings = &lane->stage->settings;
	g_autofree char *path = settings->path(file->node, settings->data);

	if (!path)
		return -ENOENT;
	return sftp_open_lane(lane->stage->client, lane->number, path, ret_file, ret_attrs);
}

/* Takes over the reference to `there`. */
static void take_locked(struct lane *lane, struct staged *file, struct sftp_file *there,
                        const struct sftp_attrs *attrs)
{
	struct lane_file *slot = &file->lanes[lane->number];

	/* Closed meanwhile: the state that it was wanted for is no more. */
	if (slot->state != LANE_OPENING || attrs->size != file->identity.size ||
	    attrs->mtime != file->identity.mtime) {
		sftp_file_unref(there);
		if (slot->state == LANE_OPENING)
			slot->state = LANE_USELESS;
		return;
	}
	slot->state = LANE_OPEN;
	slot->file = there;
	flow_note_trip(&lane->flow, sftp_client_rtt_ns(lane->stage->client));
}

/* A connection that takes its time, or has died, may be there later. */
static void give_up_locked(struct lane_file *slot, int error)
{
	if (slot->state != LANE_OPENING)
		return;
	slot->state = error == -ENOTCONN ? LANE_CLOSED : LANE_USELESS;
	slot->not_before_ns = clock_add(clock_now_ns(), RETRY_NS);
}

static void open_one_locked(struct lane *lane, struct staged *file)
{
	struct sftp_file *there;
	struct sftp_attrs attrs;
	int error;

	pthread_mutex_unlock(&lane->stage->lock);
	error = open_there(lane, file, &there, &attrs);
	pthread_mutex_lock(&lane->stage->lock);
	if (!error)
		take_locked(lane, file, there, &attrs);
	else
		give_up_locked(&file->lanes[lane->number], error);
}

static void *thread_main(void *data)
{
	struct lane *lane = data;
	struct staged *file;
	LOCK_SCOPE(&lane->stage->lock);

	for (;;) {
		file = g_queue_pop_head(&lane->waiting);
		if (file && !lane->stage->stopping)
			open_one_locked(lane, file);
		if (file)
			staged_unref_locked(file);
		else if (lane->stage->stopping)
			return NULL;
		else
			pthread_cond_wait(&lane->work, &lane->stage->lock);
	}
}

static void open_on_locked(struct lane *lane, struct staged *file)
{
	if (!lane->has_thread && thread_start(&lane->thread, thread_main, lane) != 0)
		return;
	lane->has_thread = true;
	file->lanes[lane->number].state = LANE_OPENING;
	g_queue_push_tail(&lane->waiting, staged_ref_locked(file));
	pthread_cond_signal(&lane->work);
}

void lanes_open_locked(struct staged *file)
{
	struct stage *stage = file->stage;
	uint64_t now = clock_now_ns();

	if (stage->lane_count == 0 || file->identity.size < LANES_FILE_MIN || stage->stopping)
		return;
	if (!file->lanes)
		file->lanes = g_new0(struct lane_file, stage->lane_count);
	for (unsigned int i = 0; i < stage->lane_count; i++) {
		if (file->lanes[i].state == LANE_CLOSED && now >= file->lanes[i].not_before_ns)
			open_on_locked(&stage->lanes[i], file);
	}
}

void lanes_close_locked(struct staged *file)
{
	for (unsigned int i = 0; file->lanes && i < file->stage->lane_count; i++) {
		sftp_file_unref(g_steal_pointer(&file->lanes[i].file));
		file->lanes[i].state = LANE_CLOSED;
	}
}

/* ---- use ---------------------------------------------------------------------------------------- */

/* On a lane that has died it is closed. */
static bool is_open_locked(struct lane_file *slot)
{
	if (slot->state != LANE_OPEN)
		return false;
	if (!sftp_file_is_stale(slot->file))
		return true;
	sftp_file_unref(g_steal_pointer(&slot->file));
	slot->state = LANE_CLOSED;
	return false;
}

size_t lanes_window_locked(struct staged *file)
{
	size_t window = 0;

	for (unsigned int i = 0; file->lanes && i < file->stage->lane_count; i++) {
		if (is_open_locked(&file->lanes[i]))
			window += flow_window(&file->stage->lanes[i].flow);
	}
	return window;
}

struct flow *lanes_choose_locked(struct staged *file, struct sftp_file **ret_file)
{
	struct flow *best = NULL;

	for (unsigned int i = 0; file->lanes && i < file->stage->lane_count; i++) {
		struct flow *flow = &file->stage->lanes[i].flow;

		if (!is_open_locked(&file->lanes[i]) ||
		    (best && flow_room(flow) <= flow_room(best)))
			continue;
		best = flow;
		*ret_file = file->lanes[i].file;
	}
	return best;
}
