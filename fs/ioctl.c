// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The serving end of control/control.h: ioctl(2) on folders. Nobody's files have ioctls: SFTP knows none.
 */
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "copy.h"
#include "refresh.h"
#include "history.h"
#include "request.h"
#include "scan.h"
#include "stage.h"
#include "stats.h"
#include "walk.h"

/* ---- statistics ------------------------------------------------------------------------------- */

static void get_cache(struct fs *fs, struct report *report)
{
	struct cache_stats stats;

	cache_get_stats(fs->cache, &stats);
	report->cache.enabled = cache_is_enabled(fs->cache);
	report->cache.entries = stats.entries;
	report->cache.listings = stats.listings;
	report->cache.bytes = stats.bytes;
	report->cache.hits = stats.hits;
	report->cache.misses = stats.misses;
	report->cache.dropped = stats.dropped;
}

static void get_ahead(struct fs *fs, struct report *report)
{
	struct walk_stats stats;
	struct scan_stats files;
	struct history_stats looks;

	walk_get_stats(fs->walk, &stats);
	report->ahead.listed = stats.listed;
	report->ahead.used = stats.used;
	report->ahead.targets = stats.targets;
	scan_get_stats(fs->scan, &files);
	report->ahead.files = files.asked;
	report->ahead.files_used = files.used;
	history_get_stats(fs->history, &looks);
	report->ahead.looks = looks.asked;
	report->ahead.looks_used = looks.used;
}

static void get_contents(struct fs *fs, struct report *report)
{
	struct stage_stats stats;

	stage_get_stats(fs->stage, &stats);
	report->contents.held = stats.held_bytes;
	report->contents.fetched = stats.fetched_bytes;
	report->contents.ahead = stats.ahead_bytes;
	report->contents.unused = stats.unused_bytes;
}

static void get_copies(struct fs *fs, struct report *report)
{
	struct copy_progress progress;

	copies_get_progress(fs->copies, &progress);
	report->copies.running = progress.running;
	report->copies.position = progress.position;
	report->copies.size = progress.size;
	report->copies.bytes = progress.bytes;
}

static void get_server(struct fs *fs, struct report *report)
{
	struct sftp_client_stats stats;

	sftp_client_get_stats(fs->client, &stats);
	report->server.connected = sftp_client_is_connected(fs->client);
	report->server.connects = stats.connects;
	report->server.sent = stats.sent;
	report->server.sent_bytes = stats.sent_bytes;
	report->server.received = stats.received;
	report->server.received_bytes = stats.received_bytes;
	report->server.rtt_min_ns = stats.received ? stats.rtt_min_ns : 0;
	report->server.rtt_max_ns = stats.rtt_max_ns;
	report->server.rtt_sum_ns = stats.rtt_sum_ns;
}

void fs_get_report(struct fs *fs, struct report *ret_report)
{
	*ret_report = (struct report){.version = REPORT_VERSION, .size = sizeof(*ret_report)};
	stats_get(fs->stats, ret_report);
	node_table_counts(fs->nodes, &ret_report->nodes.known, &ret_report->nodes.lookups);
	ret_report->nodes.open_files = handle_count(fs->handles);
	get_cache(fs, ret_report);
	get_ahead(fs, ret_report);
	get_contents(fs, ret_report);
	get_copies(fs, ret_report);
	get_server(fs, ret_report);
}

/* ---- refresh ---------------------------------------------------------------------------------- */

static bool is_name(const char *name, size_t size)
{
	size_t length = strnlen(name, size);

	return length < size && !memchr(name, '/', length) && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

static int refresh(struct fs *fs, uint64_t dir, const struct control_refresh *asked)
{
	if (asked->version != CONTROL_REFRESH_VERSION || asked->size != sizeof(*asked) ||
	    !is_name(asked->name, sizeof(asked->name)))
		return -EINVAL;
	return *asked->name ? refresh_name(fs, dir, asked->name) : refresh_node(fs, dir);
}

/* ---- ioctl ------------------------------------------------------------------------------------ */

/* Others must neither see nor disturb what its owner does, though they may enter (allow_other). */
static bool is_allowed(fuse_req_t req)
{
	uid_t uid = fuse_req_ctx(req)->uid;

	return uid == 0 || uid == geteuid();
}

static bool is_ours(unsigned int command)
{
	return command == (unsigned int)CONTROL_GET_REPORT ||
	       command == (unsigned int)CONTROL_REFRESH;
}

/* The kernel has filled and will read buffers of the size that stands in the command. */
static void op_ioctl(fuse_req_t req, fuse_ino_t node, unsigned int command, void *arg,
                     struct fuse_file_info *fi, unsigned int flags, const void *in, size_t in_size,
                     size_t out_size)
{
	struct request request;
	struct report report;

	request_begin(&request, req, OP_IOCTL);
	if (!(flags & FUSE_IOCTL_DIR) || !is_ours(command)) {
		request_end(&request, -ENOTTY);
	} else if (!is_allowed(req)) {
		request_end(&request, -EPERM);
	} else if (command == (unsigned int)CONTROL_GET_REPORT) {
		fs_get_report(request.fs, &report);
		request_end_ioctl(&request, out_size < sizeof(report) ? -EINVAL : 0, &report,
		                  sizeof(report));
	} else {
		request_end_ioctl(&request,
		                  in_size < sizeof(struct control_refresh)
		                          ? -EINVAL
		                          : refresh(request.fs, node, in),
		                  NULL, 0);
	}
}

void control_add_ops(struct fuse_lowlevel_ops *ops)
{
	ops->ioctl = op_ioctl;
}
