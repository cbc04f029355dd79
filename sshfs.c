// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The front door. main() is the table of contents: options, connect, cache, mount, serve; tear_down()
 * is the same list read upwards. --stats and --refresh only call a mount that is there already.
 *
 * The connection is there before the mount: whatever ssh does to come up, it never meets a mountpoint
 * that nobody serves yet. The mountpoint is looked at first, so that its error comes first.
 */
#include <errno.h>
#include <glib.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache.h"
#include "client.h"
#include "clock.h"
#include "control.h"
#include "daemon.h"
#include "fs.h"
#include "log.h"
#include "options.h"
#include "transport.h"
#include "util.h"

/* What the program is made of, in the order in which it is made. */
struct program {
	struct options *options;
	struct connector *connector;
	struct sftp_client *client;
	struct cache *cache;
	struct fs *fs;
};

static void tear_down(struct program *program)
{
	fs_clear(&program->fs);
	cache_free(program->cache);
	sftp_client_free(program->client);
	connector_free(program->connector);
	options_free(program->options);
}

/* Each step returns 0 or a negative errno; its reason, lines for the user, is in `why` then. */
static int say_why(char *why)
{
	g_auto(GStrv) lines = g_strsplit(why ? why : "", "\n", -1);

	for (char **line = lines; *line; line++) {
		if (**line)
			log_error("%s", *line);
	}
	g_free(why);
	return EXIT_FAILURE;
}

static void prepare_log(const struct options *options)
{
	if (options->debug)
		log_set_level(LOG_LEVEL_DEBUG);
	for (char **note = options->notes; note && *note; note++)
		log_note("%s", *note);
}

static int connect_server(struct program *program, char **ret_why)
{
	const struct options *options = program->options;
	struct sftp_events events = fs_sftp_events;
	int error;

	events.data = &program->fs;
	error = connector_new(&options->transport, &program->connector, ret_why);
	if (!error)
		error = sftp_client_new(program->connector, &options->sftp, &events,
		                        &program->client, ret_why);
	if (!error && !options->delay_connect)
		error = sftp_client_connect(program->client, ret_why);
	return error;
}

static int mount_fs(struct program *program, char **ret_why)
{
	const struct options *options = program->options;
	int error = 0;

	program->cache = cache_new(&options->cache);
	fs_new(&options->fs, program->client, program->cache, &program->fs);
	if (!options->delay_connect)
		error = fs_check_root(program->fs, options->source, ret_why);
	if (!error)
		error = fs_mount(program->fs, options->mountpoint, ret_why);
	return error;
}

/* For -d, at the end. */
static void log_stats(const struct program *program)
{
	struct sftp_client_stats sftp;
	struct cache_stats cache;

	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	sftp_client_get_stats(program->client, &sftp);
	cache_get_stats(program->cache, &cache);
	log_debug("sent: %" G_GUINT64_FORMAT " messages, %" G_GUINT64_FORMAT " bytes", sftp.sent,
	          sftp.sent_bytes);
	log_debug("received: %" G_GUINT64_FORMAT " messages, %" G_GUINT64_FORMAT " bytes",
	          sftp.received, sftp.received_bytes);
	if (sftp.received > 0)
		log_debug("rtt min/max/avg: %.1fms/%.1fms/%.1fms",
		          (double)sftp.rtt_min_ns / CLOCK_NS_PER_MS,
		          (double)sftp.rtt_max_ns / CLOCK_NS_PER_MS,
		          (double)sftp.rtt_sum_ns / CLOCK_NS_PER_MS / (double)sftp.received);
	log_debug("num connect: %u", sftp.connects);
	log_debug("cache: %" G_GUINT64_FORMAT " hits, %" G_GUINT64_FORMAT " misses", cache.hits,
	          cache.misses);
}

/* For -o stats, at the end. */
static void log_report(const struct program *program)
{
	g_autofree char *table = NULL;
	g_auto(GStrv) lines = NULL;
	struct report report;

	if (!program->options->stats)
		return;
	fs_get_report(program->fs, &report);
	table = report_to_table(&report, program->options->mountpoint);
	lines = g_strsplit(g_strchomp(table), "\n", -1);
	for (char **line = lines; *line; line++) {
		if (**line)
			log_note("%s", *line);
	}
}

static int serve(struct program *program)
{
	enum fs_ending ending;

	daemon_ready();
	ending = fs_serve(program->fs);
	log_stats(program);
	log_report(program);
	return ending == FS_ENDED_UNMOUNTED ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run(struct program *program)
{
	const struct options *options = program->options;
	char *why = NULL;
	int error;

	prepare_log(options);
	if (fs_check_mountpoint(options->mountpoint, &why) != 0)
		return say_why(why);
	error = options->foreground ? 0 : daemon_fork();
	if (!error)
		error = fs_take_signals();
	if (error)
		return say_why(g_strdup_printf("cannot start: %s", g_strerror(-error)));
	if (connect_server(program, &why) != 0 || mount_fs(program, &why) != 0)
		return say_why(why);
	return serve(program);
}

/* ---- a mount that is there already -------------------------------------------------------------- */

static int show_stats(const struct options *options)
{
	g_autofree char *text = NULL;
	struct report report;
	char *why = NULL;

	if (control_get_report(options->path, &report, &why) != 0)
		return say_why(why);
	text = options->json ? report_to_json(&report) : report_to_table(&report, options->path);
	if (fputs(text, stdout) == EOF || fflush(stdout) == EOF)
		return say_why(g_strdup_printf("stdout: %s", g_strerror(errno)));
	return EXIT_SUCCESS;
}

static int refresh(const struct options *options)
{
	char *why = NULL;

	return control_refresh(options->path, &why) == 0 ? EXIT_SUCCESS : say_why(why);
}

/*
 * The buffers of requests, up to 255 KiB each, come and go a thousand times a second. By default each is mapped
 * and unmapped, and its pages are faulted in: a third of the CPU time of writing (80 faults a MiB). What is larger
 * is given back at once: kept, it made a long listing leave up to 16 MiB behind instead of 5.
 */
static void keep_buffers(void)
{
	mallopt(M_MMAP_THRESHOLD, 512 * KIB);
	mallopt(M_TRIM_THRESHOLD, 8 * MIB);
}

int main(int argc, char **argv)
{
	__attribute__((cleanup(tear_down))) struct program program = {.options = NULL};
	char *why = NULL;

	keep_buffers();
	daemon_open_standard_fds();
	if (options_parse(argc, argv, &program.options, &why) != 0)
		return say_why(why);
	switch (program.options->action) {
	case OPTIONS_HELP:
		options_print_usage(argv[0]);
		return EXIT_SUCCESS;
	case OPTIONS_VERSION:
		options_print_version();
		return EXIT_SUCCESS;
	case OPTIONS_STATS:
		return show_stats(program.options);
	case OPTIONS_REFRESH:
		return refresh(program.options);
	case OPTIONS_NOTHING:
		return EXIT_SUCCESS;
	case OPTIONS_MOUNT:
		break;
	}
	return run(&program);
}
