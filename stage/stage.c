// SPDX-License-Identifier: GPL-2.0-or-later
/* Life, budget and statistics of what is held. See stage.h and stage_private.h. */
#include "lock.h"
#include "stage_private.h"

struct stage *stage_new(const struct stage_settings *settings, struct sftp_client *client)
{
	struct stage *stage = g_new0(struct stage, 1);

	stage->settings = *settings;
	stage->client = client;
	if (sftp_client_has_lanes(client))
		stage->lane_count = MIN(sftp_client_lanes(client), LANES_MAX);
	stage->lanes = lanes_new(stage);
	stage->files = g_hash_table_new(g_int64_hash, g_int64_equal);
	pthread_mutex_init(&stage->lock, NULL);
	lock_cond_init(&stage->calm);
	return stage;
}

void stage_free(struct stage *stage)
{
	if (!stage)
		return;
	pthread_mutex_lock(&stage->lock);
	while (stage->in_flight > 0)
		pthread_cond_wait(&stage->calm, &stage->lock);
	pthread_mutex_unlock(&stage->lock);
	lanes_free(stage);
	stage_forget(stage);
	memory_trim(&stage->memory);
	g_hash_table_unref(stage->files);
	pthread_cond_destroy(&stage->calm);
	pthread_mutex_destroy(&stage->lock);
	g_free(stage);
}

bool stage_make_room_locked(struct stage *stage, size_t size)
{
	while (stage->bytes + size > stage->settings.buffer_size) {
		struct extent *oldest = g_queue_peek_head(&stage->idle);

		if (!oldest)
			return false;
		extent_drop_locked(oldest);
	}
	return true;
}

void stage_get_stats(struct stage *stage, struct stage_stats *ret_stats)
{
	LOCK_SCOPE(&stage->lock);

	*ret_stats = stage->stats;
	ret_stats->held_bytes = stage->bytes;
}
