// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The file system as a whole: made, checked, mounted, served, ended. See fs.h.
 *
 * The end has an order of its own. Once it is asked for (unmounted, a signal, the server lost), the
 * workers may finish what they serve, for a moment; then the client is shut down, which ends every
 * waiting for the server; then what is still mounted is unmounted. So nothing that hangs, neither
 * a dead link nor a program inside the mount, can keep this one.
 *
 * The client's events come from its threads, also while we are coming or going. They reach a struct fs
 * through a pointer that is only followed and only changed under events_lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "copy.h"
#include "ending.h"
#include "lock.h"
#include "log.h"
#include "history.h"
#include "mountpoint.h"
#include "refresh.h"
#include "request.h"
#include "scan.h"
#include "stage.h"
#include "stats.h"
#include "stream.h"
#include "walk.h"
#include "workers.h"

#define GRACE_NS (2 * CLOCK_NS_PER_SEC) /* for requests that are being served at the end */
#define AFTER_NS \
	(10 * CLOCK_NS_PER_SEC) /* after the client is shut down nothing should take long */

#define MAX_BACKGROUND 64 /* of the kernel's read-ahead requests; its own default is 12 */

static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- what the kernel can ask for --------------------------------------------------------------- */

static void op_init(void *data, struct fuse_conn_info *conn)
{
	fuse_set_feature_flag(conn, FUSE_CAP_PARALLEL_DIROPS);
	fuse_set_feature_flag(conn, FUSE_CAP_NO_EXPORT_SUPPORT);
	/* Written data is put into packets anyway: read(2) costs less than two pipes. */
	fuse_unset_feature_flag(conn, FUSE_CAP_SPLICE_READ);
	fuse_unset_feature_flag(conn, FUSE_CAP_SPLICE_WRITE);
	/* What close(2) returned for must be on the server: no write-back by the kernel. */
	fuse_unset_feature_flag(conn, FUSE_CAP_WRITEBACK_CACHE);
	conn->max_background = MAX_BACKGROUND;
	conn->time_gran = CLOCK_NS_PER_SEC;
}

/*
 * Not here, so that the kernel stops asking: extended attributes, which SFTP does not know, and locks,
 * which it then keeps by itself, among the programs of this machine.
 */
static struct fuse_lowlevel_ops gather_ops(void)
{
	struct fuse_lowlevel_ops ops = {.init = op_init};

	lookup_add_ops(&ops);
	attr_add_ops(&ops);
	dir_add_ops(&ops);
	namei_add_ops(&ops);
	symlink_add_ops(&ops);
	open_add_ops(&ops);
	io_add_ops(&ops);
	copy_add_ops(&ops);
	space_add_ops(&ops);
	control_add_ops(&ops);
	return ops;
}

/* ---- life ------------------------------------------------------------------------------------- */

static char *path_of_node(uint64_t node, void *data)
{
	struct fs *fs = data;

	return node_path(fs->nodes, node);
}

void fs_new(const struct fs_settings *settings, struct sftp_client *client, struct cache *cache,
            struct fs **ret_fs)
{
	struct fs *fs = g_new0(struct fs, 1);

	mountpoint_route_log();
	fs->settings = *settings;
	fs->client = client;
	fs->cache = cache;
	fs->base_path = g_strdup(settings->base_path);
	fs->nodes = node_table_new(fs->base_path);
	fs->handles = handle_table_new(!settings->sync_write);
	fs->streams = stream_table_new();
	fs->walk = walk_new(fs, settings->walk_ahead);
	fs->settings.stage.path = path_of_node;
	fs->settings.stage.data = fs;
	fs->stage = stage_new(&fs->settings.stage, client);
	fs->scan = scan_new(fs, context_reads_ahead(settings) ? settings->scan_ahead : 0);
	fs->history = history_new(fs, settings->walk_ahead > 0);
	fs->stats = stats_new();
	fs->copies = copies_new();
	pthread_mutex_init(&fs->open_dirs.lock, NULL);
	pthread_mutex_init(&fs->ending.lock, NULL);
	pthread_cond_init(&fs->ending.asked_cond, NULL);
	pthread_mutex_lock(&events_lock);
	*ret_fs = fs;
	pthread_mutex_unlock(&events_lock);
}

void fs_clear(struct fs **fs_pointer)
{
	struct fs *fs;

	pthread_mutex_lock(&events_lock);
	fs = g_steal_pointer(fs_pointer);
	pthread_mutex_unlock(&events_lock);
	if (!fs)
		return;
	mountpoint_unmount(fs);
	ending_give_signals_to(NULL);
	if (fs->session)
		fuse_session_destroy(fs->session);
	walk_free(fs->walk);
	scan_free(fs->scan);
	history_free(fs->history);
	handle_table_free(fs->handles);
	stage_free(fs->stage);
	copies_free(fs->copies);
	dir_free_all(fs);
	stream_table_free(fs->streams);
	pthread_mutex_destroy(&fs->open_dirs.lock);
	node_table_free(fs->nodes);
	stats_free(fs->stats);
	pthread_mutex_destroy(&fs->ending.lock);
	pthread_cond_destroy(&fs->ending.asked_cond);
	g_free(fs->base_path);
	g_free(fs->mountpoint);
	g_free(fs);
}

/* ---- the remote folder ------------------------------------------------------------------------- */

static int explain(const char *source, int error, char **ret_why)
{
	*ret_why = g_strdup_printf("%s: %s", source, g_strerror(-error));
	return error;
}

/*
 * "~" is the remote home, where relative paths start; only "~user" needs the server's help. *ret_path
 * is for the caller to free.
 */
static int expand_home(struct fs *fs, const char *path, char **ret_path)
{
	int error = sftp_expand_path(fs->client, path, ret_path);

	if (error != -EOPNOTSUPP || (path[1] && path[1] != '/'))
		return error;
	path++;
	while (*path == '/')
		path++;
	*ret_path = g_strdup(path);
	return 0;
}

static int resolve_base(struct fs *fs)
{
	char *path;
	int error;

	if (*fs->base_path != '~')
		return 0;
	error = expand_home(fs, fs->base_path, &path);
	if (error)
		return error;
	g_free(fs->base_path);
	fs->base_path = path;
	node_table_free(fs->nodes);
	fs->nodes = node_table_new(path);
	return 0;
}

int fs_check_root(struct fs *fs, const char *source, char **ret_why)
{
	g_autofree char *path = NULL;
	struct sftp_attrs attrs;
	int error = resolve_base(fs);

	if (error == -EOPNOTSUPP) {
		*ret_why =
			g_strdup_printf("%s: the server cannot look up other users' homes", source);
		return error;
	}
	if (error)
		return explain(source, error, ret_why);
	if (!fs->settings.check_root)
		return 0;
	path = node_path(fs->nodes, FUSE_ROOT_ID);
	error = sftp_lstat(fs->client, path, &attrs);
	if (error)
		return explain(source, error, ret_why);
	if (attrs.flags & SFTP_ATTR_PERMISSIONS && !S_ISDIR(attrs.permissions))
		return explain(source, -ENOTDIR, ret_why);
	return 0;
}

/* ---- mount and serve --------------------------------------------------------------------------- */

int fs_mount(struct fs *fs, const char *mountpoint, char **ret_why)
{
	struct fuse_lowlevel_ops ops = gather_ops();
	int error = mountpoint_mount(fs, mountpoint, &ops, ret_why);

	if (!error && fs->settings.allow_other && !fs->settings.default_permissions)
		log_note("allow_other without default_permissions: every user of this machine acts "
		         "with your rights on the server");
	return error;
}

static void on_worker_left(int error, void *data)
{
	struct fs *fs = data;

	if (error)
		log_error("/dev/fuse: %s", g_strerror(-error));
	ending_ask(fs, error ? FS_ENDED_FAILED : FS_ENDED_UNMOUNTED);
}

/* The server may have been lost between the connect and fs_new(), when nobody could be told. */
static bool is_lost_already(struct fs *fs)
{
	struct sftp_client_stats stats;

	sftp_client_get_stats(fs->client, &stats);
	return stats.connects > 0 && !sftp_client_is_connected(fs->client);
}

/* Not while an event is told to the kernel through the session. */
static void unmount(struct fs *fs)
{
	LOCK_SCOPE(&events_lock);

	mountpoint_unmount(fs);
}

/*
 * What is being served, and what has been written and is on its way, may finish for a moment; then
 * the client lets go of all that waits. Returns false when something is stuck for good.
 */
static bool finish(struct fs *fs, struct workers *workers)
{
	uint64_t end = clock_now_ns() + GRACE_NS;
	bool finished;
	uint64_t now;

	walk_stop(fs->walk);
	scan_stop(fs->scan);
	finished = workers_stop(workers, GRACE_NS);
	now = clock_now_ns();
	if (!handle_table_drain(fs->handles, end > now ? end - now : 0))
		log_error("data that was written is not on the server: it did not answer in time");
	sftp_client_shutdown(fs->client);
	return (finished || workers_stop(workers, AFTER_NS)) &&
	       handle_table_drain(fs->handles, AFTER_NS);
}

static enum fs_ending serve_until_end(struct fs *fs, struct workers *workers)
{
	int error = workers_start(workers);

	if (error) {
		log_error("cannot start a thread: %s", g_strerror(-error));
		return FS_ENDED_FAILED;
	}
	if (!fs->settings.reconnect && is_lost_already(fs))
		ending_ask(fs, FS_ENDED_LOST);
	return ending_wait(fs);
}

enum fs_ending fs_serve(struct fs *fs)
{
	unsigned int threads = fs->settings.single_threaded ? 1 : fs->settings.max_threads;
	struct workers *workers = workers_new(fs->session, threads, on_worker_left, fs);
	enum fs_ending ending = serve_until_end(fs, workers);

	if (!finish(fs, workers)) {
		unmount(fs);
		log_error("a request does not come to its end; leaving without it");
		_exit(EXIT_FAILURE);
	}
	unmount(fs);
	workers_free(workers);
	return ending;
}

/* ---- what the client tells us ------------------------------------------------------------------ */

static void on_reconnected(void *data)
{
	LOCK_SCOPE(&events_lock);
	struct fs *fs = *(struct fs **)data;

	if (fs)
		refresh_all(fs);
}

static void on_lost(const char *why, void *data)
{
	LOCK_SCOPE(&events_lock);
	struct fs *fs = *(struct fs **)data;

	if (!fs || ending_is_asked(fs))
		return;
	if (fs->settings.reconnect) {
		log_note("the connection is lost (%s); the next access makes a new one", why);
		return;
	}
	log_error("%s", why);
	ending_ask(fs, FS_ENDED_LOST);
}

const struct sftp_events fs_sftp_events = {
	.reconnected = on_reconnected,
	.lost = on_lost,
};
