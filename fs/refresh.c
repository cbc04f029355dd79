// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See refresh.h.
 *
 * First the cache and the stage forget, then the kernel: in the other order it could ask in between and be told the
 * old again. What is on its way from the server meanwhile is not kept, neither by the cache (its tickets
 * are void) nor by the kernel (which notes when it asked).
 *
 * The kernel is told in ways that do not wait: neither for a page nor for a folder that is locked while
 * its reader waits for us.
 */
#include "refresh.h"

#include <errno.h>
#include <unistd.h>

#include "ending.h"
#include "log.h"
#include "request.h"
#include "stage.h"

#define NOTIFY_INC_EPOCH 8 /* FUSE_NOTIFY_INC_EPOCH: not in libfuse 3.17; Linux 6.16 */

/* ---- the kernel ------------------------------------------------------------------------------- */

/* No name that the kernel knows counts any more; older kernels let their entry_timeout pass instead. */
static void expire_names(struct fs *fs)
{
	struct {
		uint32_t size;
		int32_t code;
		uint64_t unique;
	} message = {.size = sizeof(message), .code = NOTIFY_INC_EPOCH};

	if (write(fuse_session_fd(fs->session), &message, sizeof(message)) < 0)
		log_debug("the kernel cannot forget names: %s", g_strerror(errno));
}

/* The kernel asks for attributes again, and drops the pages of files that have changed. */
static void expire_attributes(struct fs *fs, const GArray *ids)
{
	for (guint i = 0; i < ids->len; i++)
		fuse_lowlevel_notify_inval_inode(fs->session, g_array_index(ids, uint64_t, i), -1,
		                                 0);
}

static void tell_kernel(struct fs *fs, const GArray *ids)
{
	if (!ending_is_serving(fs))
		return;
	expire_names(fs);
	expire_attributes(fs, ids);
}

/* ---- all -------------------------------------------------------------------------------------- */

void refresh_all(struct fs *fs)
{
	g_autoptr(GArray) ids = NULL;

	cache_on_reconnect(fs->cache);
	stage_forget(fs->stage);
	ids = node_table_ids(fs->nodes);
	tell_kernel(fs, ids);
}

static void forget_contents(struct fs *fs, const GArray *ids)
{
	for (guint i = 0; i < ids->len; i++)
		node_forget_contents(fs->nodes, g_array_index(ids, uint64_t, i));
}

static void refresh_root(struct fs *fs)
{
	g_autoptr(GArray) ids = node_table_ids(fs->nodes);

	forget_contents(fs, ids);
	refresh_all(fs);
}

/* ---- a part ----------------------------------------------------------------------------------- */

static void forget_names(struct fs *fs, const GArray *ids)
{
	for (guint i = 0; i < ids->len; i++) {
		uint64_t id = g_array_index(ids, uint64_t, i), dir;
		g_autofree char *name = NULL;

		if (node_name(fs->nodes, id, &dir, &name))
			cache_on_surprise(fs->cache, dir, name, id);
	}
}

static void refresh_below(struct fs *fs, uint64_t node)
{
	g_autoptr(GArray) ids = node_ids_below(fs->nodes, node);

	forget_contents(fs, ids);
	forget_names(fs, ids);
	/* Of more than was asked for: small files are held under names that have no node yet. */
	stage_forget(fs->stage);
	tell_kernel(fs, ids);
}

int refresh_node(struct fs *fs, uint64_t node)
{
	if (node == FUSE_ROOT_ID) {
		refresh_root(fs);
		return 0;
	}
	if (node_is_unlinked(fs->nodes, node) || !node_ino(fs->nodes, node))
		return -ESTALE;
	refresh_below(fs, node);
	return 0;
}

int refresh_name(struct fs *fs, uint64_t dir, const char *name)
{
	uint64_t node = node_find(fs->nodes, dir, name);

	if (node_is_unlinked(fs->nodes, dir) || !node_ino(fs->nodes, dir))
		return -ESTALE;
	cache_on_surprise(fs->cache, dir, name, node);
	refresh_below(fs, node);
	return 0;
}
