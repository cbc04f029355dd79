// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See options.h. Reading (options/dialect.c, options/table.c) only stores; what depends on several options
 * is decided afterwards, here, in the order in which the messages are due.
 */
#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "dialect.h"
#include "draft.h"
#include "source.h"
#include "util.h"

/* ---- defaults ----------------------------------------------------------------------------------- */

/* Enough to hold most files that are read at random, and no burden for a small machine. */
static size_t choose_buffer_size(void)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	return MIN(256 * MIB, memory / 8);
}

struct options *options_new(void)
{
	struct options *options = g_new0(struct options, 1);
	uint64_t timeout = 20 * CLOCK_NS_PER_SEC;

	options->transport.kind = TRANSPORT_OPENSSH;
	options->transport.ssh_protocol = 2;
	options->sftp.max_conns = 1;
	options->cache = (struct cache_settings){
		.enabled = true,
		.attr_ns = timeout,
		.name_ns = timeout,
		.link_ns = timeout,
		.max_entries = 10000,
		.clean_ns = 60 * CLOCK_NS_PER_SEC,
		.min_clean_ns = 5 * CLOCK_NS_PER_SEC,
		.absent_ns = 2 * CLOCK_NS_PER_SEC,
	};
	options->fs.max_threads = 64;
	options->fs.entry_timeout = options->fs.attr_timeout = options->fs.negative_timeout = -1;
	options->fs.walk_ahead = 16;
	options->fs.scan_ahead = 256;
	options->fs.stage.buffer_size = choose_buffer_size();
	options->fs.ac_attr_timeout = -1;
	options->fs.uid = options->fs.gid = UINT32_MAX;
	options->fs.umask = options->fs.fmask = options->fs.dmask = UINT32_MAX;
	options->fs.check_root = true;
	return options;
}

void options_free(struct options *options)
{
	if (!options)
		return;
	g_free(options->path);
	g_free(options->source);
	g_free(options->mountpoint);
	g_strfreev(options->notes);
	g_free(options->transport.host);
	g_strfreev(options->transport.ssh_command);
	g_strfreev(options->transport.ssh_args);
	g_free(options->transport.sftp_server);
	g_free(options->transport.port);
	g_free(options->sftp.idmap.uidfile);
	g_free(options->sftp.idmap.gidfile);
	g_free(options->fs.base_path);
	g_strfreev(options->fs.mount_args);
	g_free(options);
}

static struct draft *draft_new(void)
{
	struct draft *draft = g_new0(struct draft, 1);

	draft->options = options_new();
	draft->notes = g_ptr_array_new_with_free_func(g_free);
	draft->ssh_args = g_ptr_array_new_with_free_func(g_free);
	draft->mount_args = g_ptr_array_new_with_free_func(g_free);
	draft->unknown = g_ptr_array_new_with_free_func(g_free);
	return draft;
}

static void draft_free(struct draft *draft)
{
	options_free(draft->options);
	g_ptr_array_unref(draft->notes);
	g_ptr_array_unref(draft->ssh_args);
	g_ptr_array_unref(draft->mount_args);
	g_ptr_array_unref(draft->unknown);
	g_free(draft->fsname);
	g_free(draft->subtype);
	g_free(draft);
}

/* ---- what depends on several -------------------------------------------------------------------- */

static int fail(char **ret_why, const char *message)
{
	*ret_why = g_strdup(message);
	return -EINVAL;
}

static int check_unknown(const struct draft *draft, char **ret_why)
{
	g_autoptr(GString) words = g_string_new(NULL);

	if (draft->sloppy || draft->unknown->len == 0)
		return 0;
	for (unsigned int i = 0; i < draft->unknown->len; i++)
		g_string_append_printf(words, "%s`%s'", i ? ", " : "",
		                       (char *)g_ptr_array_index(draft->unknown, i));
	*ret_why = g_strdup_printf("unknown option(s): %s: see 'sshfs -h'", words->str);
	return -EINVAL;
}

/* A server at stdin and stdout has no name: ":" and "" will do. */
static int check_words(const struct draft *draft, const char *program, char **ret_why)
{
	if (!draft->source)
		*ret_why = g_strdup_printf("missing host\nsee `%s -h' for usage", program);
	else if (!draft->mountpoint)
		*ret_why = g_strdup_printf("error: no mountpoint specified\nsee `%s -h' for usage",
		                           program);
	return *ret_why ? -EINVAL : 0;
}

static int check_conflicts(const struct draft *draft, char **ret_why)
{
	const struct options *options = draft->options;
	const struct idmap_settings *idmap = &options->sftp.idmap;
	bool parallel = options->sftp.max_conns > 1;

	if (idmap->mode == IDMAP_FILE && !idmap->uidfile && !idmap->gidfile)
		return fail(ret_why, "need a uidfile or gidfile with idmap=file");
	if (options->transport.password_stdin && draft->passive)
		return fail(ret_why,
		            "the password_stdin and passive options cannot both be specified");
	if (options->transport.password_stdin && parallel)
		return fail(ret_why, "password_stdin option cannot be specified with parallel "
		                     "connections");
	if (options->fs.workaround_buflimit && parallel)
		return fail(ret_why, "buflimit workaround is not supported with parallel "
		                     "connections");
	if (draft->passive && parallel)
		return fail(ret_why,
		            "passive option cannot be specified with parallel connections");
	return 0;
}

/* "user@" is no host, either. */
static bool names_host(const char *host)
{
	return *host && !g_str_has_suffix(host, "@");
}

static int settle_source(struct draft *draft, char **ret_why)
{
	struct options *options = draft->options;
	g_autofree char *host = NULL;
	int error;

	error = source_parse(draft->source, &host, &options->fs.base_path, ret_why);
	if (error)
		return error;
	if (!names_host(host) && options->transport.kind == TRANSPORT_OPENSSH)
		return fail(ret_why, "missing host");
	options->source = g_strdup(draft->source);
	options->transport.host = g_steal_pointer(&host);
	return 0;
}

/* Plain TCP knows no user. */
static void settle_tcp_host(struct transport_settings *transport)
{
	char *at = transport->kind == TRANSPORT_TCP ? strrchr(transport->host, '@') : NULL;

	if (at)
		memmove(transport->host, at + 1, strlen(at + 1) + 1);
}

static bool is_fd_path(const char *mountpoint)
{
	return g_str_has_prefix(mountpoint, "/dev/fd/");
}

static int settle_mountpoint(struct draft *draft, char **ret_why)
{
	char *resolved;

	if (is_fd_path(draft->mountpoint)) {
		draft->options->mountpoint = g_strdup(draft->mountpoint);
		return 0;
	}
	resolved = realpath(draft->mountpoint, NULL);
	if (!resolved) {
		int error = -errno;

		*ret_why = g_strdup_printf("bad mount point `%s': %s", draft->mountpoint,
		                           g_strerror(errno));
		return error;
	}
	draft->options->mountpoint = g_strdup(resolved);
	free(resolved);
	return 0;
}

static void settle_transport(struct draft *draft)
{
	struct options *options = draft->options;
	struct transport_settings *transport = &options->transport;

	settle_tcp_host(transport);
	if (!transport->ssh_command)
		transport->ssh_command = g_strsplit("ssh", " ", 1);
	if (!transport->sftp_server)
		transport->sftp_server =
			g_strdup(transport->ssh_protocol == 1 ? "/usr/lib/sftp-server" : "sftp");
	transport->show_stderr = options->foreground || options->verbose;
	transport->keep_password = options->sftp.reconnect;
	transport->parallel = options->sftp.max_conns > 1;
	g_ptr_array_add(draft->ssh_args, NULL);
	transport->ssh_args = g_strdupv((char **)draft->ssh_args->pdata);
}

static char **finish_strings(GPtrArray *strings)
{
	g_ptr_array_add(strings, NULL);
	return g_strdupv((char **)strings->pdata);
}

static void settle_mount_args(struct draft *draft)
{
	const char *fsname = draft->fsname ? draft->fsname : draft->options->source;
	const char *subtype = draft->subtype ? draft->subtype : "sshfs";

	g_ptr_array_add(draft->mount_args, g_strdup_printf("fsname=%s", fsname));
	g_ptr_array_add(draft->mount_args, g_strdup_printf("subtype=%s", subtype));
	draft->options->fs.mount_args = finish_strings(draft->mount_args);
}

/* Without a cache of ours the kernel's own shows nothing old either, unless the user wants that. */
static void settle_timeouts(struct draft *draft)
{
	struct fs_settings *fs = &draft->options->fs;

	if (draft->options->cache.enabled)
		return;
	if (!draft->timeouts_given[DRAFT_ENTRY_TIMEOUT])
		fs->entry_timeout = 0;
	if (!draft->timeouts_given[DRAFT_ATTR_TIMEOUT])
		fs->attr_timeout = 0;
	if (!draft->timeouts_given[DRAFT_NEGATIVE_TIMEOUT])
		fs->negative_timeout = 0;
}

static void settle_rest(struct draft *draft)
{
	struct options *options = draft->options;

	options->fs.debug = false;
	options->fs.reconnect = options->sftp.reconnect;
	options->sftp.trace = options->debug;
	if (options->fs.transform_symlinks && draft->contain_asked &&
	    options->fs.symlinks == FS_SYMLINKS_CONTAIN)
		draft_note(draft, "transform_symlinks with contain_symlinks may reject symlinks "
		                  "that it has transformed");
	options->notes = finish_strings(draft->notes);
}

/* Of all the options only unknown ones matter. */
static int settle_path(struct draft *draft, const char *program, char **ret_why)
{
	struct options *options = draft->options;

	if (check_unknown(draft, ret_why) != 0)
		return -EINVAL;
	/* A word with a colon in it was taken for a source. */
	if (draft->source && draft->mountpoint)
		*ret_why =
			g_strdup_printf("invalid argument `%s': one path is wanted", draft->source);
	else if (!draft->source && !draft->mountpoint)
		*ret_why = g_strdup_printf("missing path\nsee `%s -h' for usage", program);
	else if (options->json && options->action != OPTIONS_STATS)
		*ret_why = g_strdup("`--json' goes with `--stats' only");
	if (*ret_why)
		return -EINVAL;
	options->path = g_strdup(draft->mountpoint ? draft->mountpoint : draft->source);
	return 0;
}

static int settle(struct draft *draft, const char *program, char **ret_why)
{
	int error = check_unknown(draft, ret_why);

	if (!error && draft->options->json)
		error = fail(ret_why, "`--json' goes with `--stats' only");
	if (!error)
		error = check_words(draft, program, ret_why);
	if (!error)
		error = settle_source(draft, ret_why);
	if (!error)
		error = check_conflicts(draft, ret_why);
	if (!error)
		error = settle_mountpoint(draft, ret_why);
	if (error)
		return error;
	settle_transport(draft);
	settle_mount_args(draft);
	settle_timeouts(draft);
	settle_rest(draft);
	return 0;
}

int options_parse(int argc, char **argv, struct options **ret_options, char **ret_why)
{
	struct draft *draft = draft_new();
	int error;

	*ret_why = NULL;
	error = dialect_read(draft, argc, argv, ret_why);
	if (!error && draft_is_about_a_mount(draft))
		error = settle_path(draft, argv[0], ret_why);
	else if (!error && draft->options->action != OPTIONS_HELP &&
	         draft->options->action != OPTIONS_VERSION)
		error = settle(draft, argv[0], ret_why);
	if (!error)
		*ret_options = g_steal_pointer(&draft->options);
	draft_free(draft);
	return error;
}
