// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See mountpoint.h. libfuse mounts by itself (root) or through fusermount3, and tells what went wrong
 * only to its log; so the log is listened to while it mounts, and its last words are the reason.
 */
#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autounmount.h"
#include "ending.h"
#include "lock.h"
#include "log.h"

/* ---- libfuse's log ---------------------------------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	GString *line;   /* pieces of a line that is not complete yet; protected by lock */
	bool listening;  /* somebody wants the last complaint; protected by lock */
	char *complaint; /* protected by lock */
} fuse_words = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* libfuse's trace calls every answer to a request an error; scripts look for that word. */
static void log_trace(const char *line)
{
	g_auto(GStrv) pieces = g_strsplit(line, "error: ", -1);
	g_autofree char *text = g_strjoinv("errno: ", pieces);

	log_debug("%s", text);
}

static void pass_on_locked(enum fuse_log_level level, const char *line)
{
	if (level >= FUSE_LOG_NOTICE) {
		log_trace(line);
	} else if (fuse_words.listening) {
		g_free(fuse_words.complaint);
		fuse_words.complaint = g_strdup(line);
	} else {
		log_warning("%s", line);
	}
}

static void take_fuse_words(enum fuse_log_level level, const char *format, va_list args)
	G_GNUC_PRINTF(2, 0);
static void take_fuse_words(enum fuse_log_level level, const char *format, va_list args)
{
	LOCK_SCOPE(&fuse_words.lock);
	GString *line = fuse_words.line;

	g_string_append_vprintf(line, format, args);
	if (line->len == 0 || line->str[line->len - 1] != '\n')
		return;
	g_string_truncate(line, line->len - 1);
	pass_on_locked(level, line->str);
	g_string_truncate(line, 0);
}

void mountpoint_route_log(void)
{
	pthread_mutex_lock(&fuse_words.lock);
	if (!fuse_words.line)
		fuse_words.line = g_string_new(NULL);
	pthread_mutex_unlock(&fuse_words.lock);
	fuse_set_log_func(take_fuse_words);
}

static void listen_to_fuse(void)
{
	LOCK_SCOPE(&fuse_words.lock);

	fuse_words.listening = true;
}

/* Its last complaint since listen_to_fuse(), complete or not, or NULL. */
static char *heard_from_fuse(void)
{
	LOCK_SCOPE(&fuse_words.lock);
	char *complaint = g_steal_pointer(&fuse_words.complaint);

	fuse_words.listening = false;
	if (!complaint && fuse_words.line->len > 0)
		complaint = g_strdup(fuse_words.line->str);
	g_string_truncate(fuse_words.line, 0);
	return complaint;
}

/* ---- the place -------------------------------------------------------------------------------- */

static int parse_dev_fd(const char *mountpoint)
{
	int fd, end = 0;

	if (sscanf(mountpoint, "/dev/fd/%9d%n", &fd, &end) != 1 || mountpoint[end])
		return -1;
	return fd;
}

static int complain(const char *mountpoint, int error, char **ret_why)
{
	const char *hint = "";

	if (error == -ENOTCONN)
		hint = " (left behind by a program that is gone; fusermount3 -u will remove it)";
	*ret_why =
		g_strdup_printf("bad mount point `%s': %s%s", mountpoint, g_strerror(-error), hint);
	return error;
}

int fs_check_mountpoint(const char *mountpoint, char **ret_why)
{
	int fd = parse_dev_fd(mountpoint);
	struct stat stat_buf;

	if (fd >= 0) {
		/* Our children must not get it. */
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return complain(mountpoint, -errno, ret_why);
		return 0;
	}
	if (stat(mountpoint, &stat_buf) < 0)
		return complain(mountpoint, -errno, ret_why);
	if (!S_ISDIR(stat_buf.st_mode))
		return complain(mountpoint, -ENOTDIR, ret_why);
	return 0;
}

/* ---- mount and unmount ------------------------------------------------------------------------ */

/* One word becomes one option, whatever is in it. */
static void add_option(struct fuse_args *args, const char *word)
{
	g_autoptr(GString) escaped = g_string_new("-o");

	for (const char *c = word; *c; c++) {
		if (*c == ',' || *c == '\\')
			g_string_append_c(escaped, '\\');
		g_string_append_c(escaped, *c);
	}
	fuse_opt_add_arg(args, escaped->str);
}

static struct fuse_session *new_session(struct fs *fs, const struct fuse_lowlevel_ops *ops)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session;

	fuse_opt_add_arg(&args, "sshfs");
	if (fs->settings.debug)
		fuse_opt_add_arg(&args, "-d");
	for (char **word = fs->settings.mount_args; word && *word; word++) {
		/* autounmount.c does that. */
		if (strcmp(*word, "auto_unmount") != 0)
			add_option(&args, *word);
	}
	session = fuse_session_new(&args, ops, sizeof(*ops), fs);
	fuse_opt_free_args(&args);
	return session;
}

static int guard_mount(struct fs *fs, char **ret_why)
{
	int error;

	if (!fs->settings.auto_unmount || !fs->mountpoint)
		return 0;
	error = autounmount_start(fs->mountpoint, &fs->autounmount);
	if (error)
		*ret_why = g_strdup_printf("cannot set up auto_unmount: %s", g_strerror(-error));
	return error;
}

static void adopt_session(struct fs *fs, struct fuse_session *session)
{
	LOCK_SCOPE(&fs->ending.lock);

	fs->session = session;
	if (fs->ending.asked)
		fuse_session_exit(session);
}

int mountpoint_mount(struct fs *fs, const char *mountpoint, const struct fuse_lowlevel_ops *ops,
                     char **ret_why)
{
	g_autofree char *complaint = NULL;
	struct fuse_session *session;
	bool mounted;
	int error;

	ending_give_signals_to(fs);
	listen_to_fuse();
	session = new_session(fs, ops);
	mounted = session && fuse_session_mount(session, mountpoint) == 0;
	complaint = heard_from_fuse();
	if (!mounted) {
		*ret_why = g_strdup_printf("cannot mount on `%s': %s", mountpoint,
		                           complaint ? complaint : "fusermount3 refused");
		if (session)
			fuse_session_destroy(session);
		return -EIO;
	}
	adopt_session(fs, session);
	if (parse_dev_fd(mountpoint) < 0)
		fs->mountpoint = g_strdup(mountpoint);
	error = guard_mount(fs, ret_why);
	if (error)
		mountpoint_unmount(fs);
	return error;
}

/*
 * After somebody has aborted the connection (/sys/fs/fuse/connections) libfuse takes it for unmounted.
 * It is mounted still, and dead.
 */
static void remove_dead_mount(const char *mountpoint)
{
	const char *const command[] = {"fusermount3", "-u", "-q", "-z", "--", mountpoint, NULL};
	struct stat stat_buf;
	pid_t child;

	if (stat(mountpoint, &stat_buf) == 0 || errno != ENOTCONN)
		return;
	if (umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return;
	if (posix_spawnp(&child, command[0], NULL, NULL, (char *const *)command, environ) == 0)
		waitpid(child, NULL, 0);
}

void mountpoint_unmount(struct fs *fs)
{
	if (fs->session)
		fuse_session_unmount(fs->session);
	if (fs->mountpoint)
		remove_dead_mount(fs->mountpoint);
	autounmount_free(g_steal_pointer(&fs->autounmount));
}
