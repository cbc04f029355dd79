// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The command line: each option, where it goes, its default and what is no value for it; what excludes what;
 * both dialects. (What the options do is shown by test/test_options.py, on mounts.)
 */
#include <errno.h>
#include <fuse_lowlevel.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "options.h"
#include "source.h"
#include "ssh_option.h"
#include "table.h"
#include "value.h"

#define SECOND CLOCK_NS_PER_SEC

/* Parses "sshfs host:dir / WORDS..."; a word of blanks is split. NULL and *ret_why when it is refused. */
static struct options *parse_as(const char *program, const char *words, char **ret_why)
{
	g_auto(GStrv) more = g_strsplit(words, " ", -1);
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	struct options *options = NULL;
	int error;

	g_ptr_array_add(argv, (char *)program);
	g_ptr_array_add(argv, (char *)"host:dir");
	g_ptr_array_add(argv, (char *)"/");
	for (char **word = more; *word; word++) {
		if (**word)
			g_ptr_array_add(argv, *word);
	}
	g_ptr_array_add(argv, NULL);
	error = options_parse((int)argv->len - 1, (char **)argv->pdata, &options, ret_why);
	g_assert_true((error == 0) == (options != NULL));
	g_assert_true((error == 0) == (*ret_why == NULL));
	return options;
}

static struct options *parse(const char *words)
{
	g_autofree char *why = NULL;
	struct options *options = parse_as("sshfs", words, &why);

	if (!options)
		g_error("'%s' is refused: %s", words, why);
	return options;
}

static void assert_refused(const char *words, const char *message)
{
	g_autofree char *why = NULL;
	struct options *options = parse_as("sshfs", words, &why);

	if (options)
		g_error("'%s' is not refused", words);
	if (!strstr(why, message))
		g_error("'%s' is refused by \"%s\" instead of \"%s\"", words, why, message);
}

/* ---- each option ------------------------------------------------------------------------------- */

/* How a field is read: its width and kind. */
enum field { BOOL, UNSIGNED, SIZE, NS, UINT32, DOUBLE, TEXT };

/* A default that is not the same everywhere. */
#define OF_THE_MACHINE (-1e9)

static const struct {
	const char *words;
	enum field field;
	size_t offset;
	double expected, otherwise; /* with the option, and without any; TEXT: not used */
	const char *text;
} fields[] = {
#define ROW(words, field, member, expected, otherwise)                                    \
	{                                                                                 \
		words, field, offsetof(struct options, member), expected, otherwise, NULL \
	}
#define TEXT_ROW(words, member, text)                                     \
	{                                                                 \
		words, TEXT, offsetof(struct options, member), 0, 0, text \
	}
	ROW("-o reconnect", BOOL, sftp.reconnect, 1, 0),
	ROW("-o reconnect", BOOL, fs.reconnect, 1, 0),
	ROW("-o reconnect", BOOL, transport.keep_password, 1, 0),
	ROW("-o delay_connect", BOOL, delay_connect, 1, 0),
	ROW("-o sshfs_sync", BOOL, fs.sync_write, 1, 0),
	ROW("-o no_readahead", BOOL, fs.no_readahead, 1, 0),
	ROW("-o sync_readdir", BOOL, sftp.sync_readdir, 1, 0),
	ROW("-o direct_io", BOOL, fs.direct_io, 1, 0),
	ROW("-o dir_cache=no", BOOL, cache.enabled, 0, 1),
	ROW("-o cache=no", BOOL, cache.enabled, 0, 1),
	ROW("-o dir_cache=no,cache=yes", BOOL, cache.enabled, 1, 1),
	ROW("-o dcache_timeout=5", NS, cache.attr_ns, 5.0 * SECOND, 20.0 * SECOND),
	ROW("-o cache_timeout=5", NS, cache.name_ns, 5.0 * SECOND, 20.0 * SECOND),
	ROW("-o dcache_timeout=5", NS, cache.link_ns, 5.0 * SECOND, 20.0 * SECOND),
	ROW("-o dcache_timeout=5,dcache_stat_timeout=7", NS, cache.attr_ns, 7.0 * SECOND,
            20.0 * SECOND),
	ROW("-o dcache_stat_timeout=7,dcache_timeout=5", NS, cache.attr_ns, 5.0 * SECOND,
            20.0 * SECOND),
	ROW("-o cache_stat_timeout=7", NS, cache.attr_ns, 7.0 * SECOND, 20.0 * SECOND),
	ROW("-o dcache_dir_timeout=7", NS, cache.name_ns, 7.0 * SECOND, 20.0 * SECOND),
	ROW("-o cache_dir_timeout=7", NS, cache.name_ns, 7.0 * SECOND, 20.0 * SECOND),
	ROW("-o dcache_link_timeout=7", NS, cache.link_ns, 7.0 * SECOND, 20.0 * SECOND),
	ROW("-o cache_link_timeout=7", NS, cache.link_ns, 7.0 * SECOND, 20.0 * SECOND),
	ROW("-o dcache_max_size=7", SIZE, cache.max_entries, 7, 10000),
	ROW("-o cache_max_size=7", SIZE, cache.max_entries, 7, 10000),
	ROW("-o dcache_absent_timeout=3", NS, cache.absent_ns, 3.0 * SECOND, 2.0 * SECOND),
	ROW("-o scan_ahead=0", UNSIGNED, fs.scan_ahead, 0, 256),
	ROW("-o walk_ahead=0", UNSIGNED, fs.walk_ahead, 0, 16),
	ROW("-o walk_ahead=64", UNSIGNED, fs.walk_ahead, 64, 16),
	ROW("-o dcache_clean_interval=7", NS, cache.clean_ns, 7.0 * SECOND, 60.0 * SECOND),
	ROW("-o cache_clean_interval=7", NS, cache.clean_ns, 7.0 * SECOND, 60.0 * SECOND),
	ROW("-o dcache_min_clean_interval=7", NS, cache.min_clean_ns, 7.0 * SECOND, 5.0 * SECOND),
	ROW("-o cache_min_clean_interval=7", NS, cache.min_clean_ns, 7.0 * SECOND, 5.0 * SECOND),
	ROW("-o buffer_size=3M", SIZE, fs.stage.buffer_size, 3 << 20, OF_THE_MACHINE),
	ROW("-o buffer_size=5k", SIZE, fs.stage.buffer_size, 5 << 10, OF_THE_MACHINE),
	ROW("-o buffer_size=0", SIZE, fs.stage.buffer_size, 0, OF_THE_MACHINE),
	ROW("-o buffer_size=64G", SIZE, fs.stage.buffer_size, 68719476736.0, OF_THE_MACHINE),
	ROW("-o max_read=4096", SIZE, sftp.max_read, 4096, 0),
	ROW("-o max_write=4096", SIZE, sftp.max_write, 4096, 0),
	ROW("-o max_conns=4", UNSIGNED, sftp.max_conns, 4, 1),
	ROW("-o max_conns=4", BOOL, transport.parallel, 1, 0),
	ROW("-o multiplex=yes", UNSIGNED, transport.multiplex, TRANSPORT_MULTIPLEX_YES,
            TRANSPORT_MULTIPLEX_AUTO),
	ROW("-o multiplex=no", UNSIGNED, transport.multiplex, TRANSPORT_MULTIPLEX_NO,
            TRANSPORT_MULTIPLEX_AUTO),
	ROW("-o multiplex=no,multiplex=auto", UNSIGNED, transport.multiplex,
            TRANSPORT_MULTIPLEX_AUTO, TRANSPORT_MULTIPLEX_AUTO),
	ROW("-o max_threads=3", UNSIGNED, fs.max_threads, 3, 64),
	ROW("-o ssh_protocol=1", UNSIGNED, transport.ssh_protocol, 1, 2),
	ROW("-1", UNSIGNED, transport.ssh_protocol, 1, 2),
	ROW("-o directport=22", UNSIGNED, transport.kind, TRANSPORT_TCP, TRANSPORT_OPENSSH),
	TEXT_ROW("-o directport=22", transport.port, "22"),
	ROW("-o vsock=2:22", UNSIGNED, transport.kind, TRANSPORT_VSOCK, TRANSPORT_OPENSSH),
	ROW("-o vsock=2:22", UNSIGNED, transport.vsock_cid, 2, 0),
	ROW("-o vsock=2:22", UNSIGNED, transport.vsock_port, 22, 0),
	ROW("-o passive", UNSIGNED, transport.kind, TRANSPORT_STDIO, TRANSPORT_OPENSSH),
	ROW("-o slave", BOOL, foreground, 1, 0),
	ROW("-o password_stdin", BOOL, transport.password_stdin, 1, 0),
	TEXT_ROW("-o sftp_server=/usr/x", transport.sftp_server, "/usr/x"),
	TEXT_ROW("-o noauto", transport.sftp_server, "sftp"),
	TEXT_ROW("-o ssh_protocol=1", transport.sftp_server, "/usr/lib/sftp-server"),
	ROW("-o idmap=user", UNSIGNED, sftp.idmap.mode, IDMAP_USER, IDMAP_NONE),
	ROW("-o idmap=file,uidfile=u", UNSIGNED, sftp.idmap.mode, IDMAP_FILE, IDMAP_NONE),
	TEXT_ROW("-o uidfile=u", sftp.idmap.uidfile, "u"),
	TEXT_ROW("-o gidfile=g", sftp.idmap.gidfile, "g"),
	ROW("-o nomap=ignore", BOOL, sftp.idmap.nomap_ignore, 1, 0),
	ROW("-o nomap=error", BOOL, sftp.idmap.nomap_ignore, 0, 0),
	ROW("-o disable_hardlink", BOOL, fs.disable_hardlink, 1, 0),
	ROW("-o transform_symlinks", BOOL, fs.transform_symlinks, 1, 0),
	ROW("-o no_contain_symlinks", UNSIGNED, fs.symlinks, FS_SYMLINKS_RAW, FS_SYMLINKS_CONTAIN),
	ROW("-o no_contain_symlinks,contain_symlinks", UNSIGNED, fs.symlinks, FS_SYMLINKS_CONTAIN,
            FS_SYMLINKS_CONTAIN),
	ROW("-o follow_symlinks", BOOL, fs.follow_symlinks, 1, 0),
	ROW("-o no_check_root", BOOL, fs.check_root, 0, 1),
	ROW("-o uid=12", UINT32, fs.uid, 12, UINT32_MAX),
	ROW("-o gid=12", UINT32, fs.gid, 12, UINT32_MAX),
	ROW("-o umask=027", UINT32, fs.umask, 027, UINT32_MAX),
	ROW("-o fmask=0133", UINT32, fs.fmask, 0133, UINT32_MAX),
	ROW("-o dmask=0022", UINT32, fs.dmask, 0022, UINT32_MAX),
	ROW("-o kernel_cache", BOOL, fs.kernel_cache, 1, 0),
	ROW("-o auto_cache", UNSIGNED, fs.contents, FS_CONTENTS_SAME, FS_CONTENTS_PROVEN),
	ROW("-o auto_cache,noauto_cache", UNSIGNED, fs.contents, FS_CONTENTS_NONE,
            FS_CONTENTS_PROVEN),
	ROW("-o entry_timeout=2.5", DOUBLE, fs.entry_timeout, 2.5, -1),
	ROW("-o attr_timeout=2.5", DOUBLE, fs.attr_timeout, 2.5, -1),
	ROW("-o negative_timeout=2.5", DOUBLE, fs.negative_timeout, 2.5, -1),
	ROW("-o dir_cache=no", DOUBLE, fs.attr_timeout, 0, -1),
	ROW("-o dir_cache=no", DOUBLE, fs.entry_timeout, 0, -1),
	ROW("-o attr_timeout=3,dir_cache=no", DOUBLE, fs.attr_timeout, 3, -1),
	ROW("-o ac_attr_timeout=2", DOUBLE, fs.ac_attr_timeout, 2, -1),
	ROW("-o noforget", BOOL, fs.noforget, 1, 0),
	ROW("-o remember=5", DOUBLE, fs.remember, 5, 0),
	ROW("-o no_rofd_flush", BOOL, fs.no_rofd_flush, 1, 0),
	ROW("-o allow_other", BOOL, fs.allow_other, 1, 0),
	ROW("-o default_permissions", BOOL, fs.default_permissions, 1, 0),
	ROW("-o auto_unmount", BOOL, fs.auto_unmount, 1, 0),
	ROW("-o ro", BOOL, fs.read_only, 1, 0),
	ROW("-r", BOOL, fs.read_only, 1, 0),
	ROW("-o ro,rw", BOOL, fs.read_only, 0, 0),
	ROW("-o rw,ro", BOOL, fs.read_only, 1, 0),
	ROW("-s", BOOL, fs.single_threaded, 1, 0),
	ROW("-f", BOOL, foreground, 1, 0),
	ROW("-d", BOOL, debug, 1, 0),
	ROW("-d", BOOL, foreground, 1, 0),
	ROW("--debug", BOOL, debug, 1, 0),
	ROW("-o debug", BOOL, sftp.trace, 1, 0),
	ROW("-o sshfs_debug", BOOL, debug, 1, 0),
	ROW("-v", BOOL, verbose, 1, 0),
	ROW("-v", BOOL, transport.show_stderr, 1, 0),
	ROW("-f", BOOL, transport.show_stderr, 1, 0),
	ROW("--verbose", BOOL, verbose, 1, 0),
	ROW("-o stats", BOOL, stats, 1, 0),
	ROW("-o verbose", BOOL, verbose, 1, 0),
	ROW("-o sshfs_verbose", BOOL, verbose, 1, 0),
	ROW("-o workaround=rename", BOOL, sftp.workaround_rename, 1, 0),
	ROW("-o workaround=renamexdev", BOOL, sftp.workaround_renamexdev, 1, 0),
	ROW("-o workaround=createmode", BOOL, sftp.workaround_createmode, 1, 0),
	ROW("-o workaround=truncate", BOOL, fs.workaround_truncate, 1, 0),
	ROW("-o workaround=fstat:buflimit", BOOL, fs.workaround_fstat, 1, 0),
	ROW("-o workaround=fstat:buflimit", BOOL, fs.workaround_buflimit, 1, 0),
	ROW("-o workaround=rename:norename", BOOL, sftp.workaround_rename, 0, 0),
	ROW("-o workaround=rename:renamexdev:createmode:none", BOOL, sftp.workaround_renamexdev, 0,
            0),
#undef ROW
#undef TEXT_ROW
};

static double read_field(const struct options *options, size_t row)
{
	const void *place = (const char *)options + fields[row].offset;

	switch (fields[row].field) {
	case BOOL:
		return *(const bool *)place;
	case UNSIGNED:
	case UINT32:
		return *(const uint32_t *)place;
	case SIZE:
		return (double)*(const size_t *)place;
	case NS:
		return (double)*(const uint64_t *)place;
	case DOUBLE:
		return *(const double *)place;
	default:
		g_assert_not_reached();
	}
}

static void assert_default(struct options *none, size_t row)
{
	if (fields[row].otherwise == OF_THE_MACHINE)
		g_assert_cmpfloat(read_field(none, row), >, 0);
	else
		g_assert_cmpfloat(read_field(none, row), ==, fields[row].otherwise);
}

static void test_fields(void)
{
	struct options *none = parse("");

	for (size_t row = 0; row < G_N_ELEMENTS(fields); row++) {
		struct options *options = parse(fields[row].words);

		g_test_message("%s", fields[row].words);
		if (fields[row].field == TEXT) {
			g_assert_cmpstr(*(char **)((char *)options + fields[row].offset), ==,
			                fields[row].text);
		} else {
			g_assert_cmpfloat(read_field(options, row), ==, fields[row].expected);
			assert_default(none, row);
		}
		options_free(options);
	}
	options_free(none);
}

/* True when the option stands in an -o list as a whole word. */
static bool names_option(const char *words, const char *name)
{
	g_auto(GStrv) parts = g_strsplit_set(words, " ,", -1);

	for (char **part = parts; *part; part++) {
		size_t size = strcspn(*part, "=");

		if (size == strlen(name) && !strncmp(*part, name, size))
			return true;
	}
	return false;
}

/* Every row of the table is tested above, or is one that only passes through or does nothing. */
static void note_untested(const char *name, const char *value, const char *help, void *data)
{
	static const char *const elsewhere[] = {"ssh_command", "allow_root", "fsname", "subtype",
	                                        "workaround"};

	if (!help)
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(elsewhere); i++) {
		if (!strcmp(name, elsewhere[i]))
			return;
	}
	for (size_t row = 0; row < G_N_ELEMENTS(fields); row++) {
		if (names_option(fields[row].words, name))
			return;
	}
	g_error("the option '%s' has no row in this test", name);
}

static void test_every_row_is_tested(void)
{
	table_for_each(note_untested, NULL);
}

/* ---- presets ----------------------------------------------------------------------------------- */

static void assert_remembers_as_default(const char *words)
{
	struct options *options = parse(words), *defaults = parse("");

	g_assert_cmpmem(&options->cache, sizeof(options->cache), &defaults->cache,
	                sizeof(defaults->cache));
	g_assert_cmpfloat(options->fs.entry_timeout, ==, defaults->fs.entry_timeout);
	g_assert_cmpfloat(options->fs.attr_timeout, ==, defaults->fs.attr_timeout);
	g_assert_cmpfloat(options->fs.negative_timeout, ==, defaults->fs.negative_timeout);
	g_assert_false(options->fs.kernel_cache);
	g_assert_cmpint(options->fs.contents, ==, FS_CONTENTS_PROVEN);
	options_free(options);
	options_free(defaults);
}

static void assert_timeouts(const char *words, double entry, double attr, double negative)
{
	struct options *options = parse(words);

	g_assert_cmpfloat(options->fs.entry_timeout, ==, entry);
	g_assert_cmpfloat(options->fs.attr_timeout, ==, attr);
	g_assert_cmpfloat(options->fs.negative_timeout, ==, negative);
	options_free(options);
}

static void assert_cache(const char *words, bool enabled, unsigned int seconds, size_t entries)
{
	struct options *options = parse(words);

	g_assert_true(options->cache.enabled == enabled);
	g_assert_cmpuint(options->cache.name_ns, ==, seconds * SECOND);
	g_assert_cmpuint(options->cache.attr_ns, ==, seconds * SECOND);
	g_assert_cmpuint(options->cache.link_ns, ==, seconds * SECOND);
	g_assert_cmpuint(options->cache.max_entries, ==, entries);
	options_free(options);
}

static void test_presets(void)
{
	struct options *options = parse("-o kernel_cache,cache=aggressive");

	g_assert_cmpint(options->fs.contents, ==, FS_CONTENTS_SAME);
	g_assert_false(options->fs.kernel_cache);
	options_free(options);
	assert_remembers_as_default("-o cache=normal");
	assert_remembers_as_default("-o kernel_cache,auto_cache,dcache_timeout=1,dcache_max_size=1,"
	                            "entry_timeout=7,dir_cache=no,cache=normal");
	assert_cache("-o cache=strict", false, 20, 10000);
	assert_timeouts("-o entry_timeout=7,cache=strict", 0, 0, 0);
	assert_cache("-o cache=aggressive", true, 300, 200000);
	assert_cache("-o dir_cache=no,cache=strict,cache=aggressive", true, 300, 200000);
	assert_timeouts("-o cache=aggressive", -1, -1, -1);
}

static void test_later_words_win_over_presets(void)
{
	struct options *options = parse("-o cache=aggressive,noauto_cache,kernel_cache");

	g_assert_cmpint(options->fs.contents, ==, FS_CONTENTS_NONE);
	g_assert_true(options->fs.kernel_cache);
	options_free(options);
	assert_cache("-o cache=strict,cache=yes", true, 20, 10000);
	assert_cache("-o cache=aggressive,dcache_timeout=5,dcache_max_size=6", true, 5, 6);
	assert_timeouts("-o cache=strict,attr_timeout=3", 0, 3, 0);
	assert_timeouts("-o cache=aggressive,negative_timeout=3,entry_timeout=4", 4, -1, 3);
	/* The old words have their meaning still. */
	assert_cache("-o dcache_timeout=5,cache=no", false, 5, 10000);
}

/* ---- a mount that is there already -------------------------------------------------------------- */

static void assert_action(const char *const *words, enum options_action action, const char *path)
{
	g_autofree char *why = NULL;
	struct options *options = NULL;

	if (options_parse((int)g_strv_length((char **)words), (char **)words, &options, &why) != 0)
		g_error("refused: %s", why);
	g_assert_cmpint(options->action, ==, action);
	g_assert_cmpstr(options->path, ==, path);
	options_free(options);
}

static void assert_action_refused(const char *const *words, const char *message)
{
	g_autofree char *why = NULL;
	struct options *options = NULL;

	g_assert_cmpint(
		options_parse((int)g_strv_length((char **)words), (char **)words, &options, &why),
		==, -EINVAL);
	g_assert_nonnull(strstr(why, message));
}

#define WORDS(...) ((const char *const[]){"sshfs", __VA_ARGS__, NULL})

static void test_actions(void)
{
	assert_action(WORDS("--stats", "mnt"), OPTIONS_STATS, "mnt");
	assert_action(WORDS("mnt", "--json", "--stats"), OPTIONS_STATS, "mnt");
	assert_action(WORDS("--refresh", "a:b"), OPTIONS_REFRESH, "a:b");
	assert_action(WORDS("--refresh", "--", "-x"), OPTIONS_REFRESH, "-x");
	assert_action_refused(WORDS("--stats"), "missing path");
	assert_action_refused(WORDS("--stats", "a", "b"), "one path is wanted");
	assert_action_refused(WORDS("--stats", "a", "b:"), "one path is wanted");
	assert_action_refused(WORDS("--stats", "--refresh", "a"), "do not go together");
	assert_action_refused(WORDS("--refresh", "--json", "a"), "goes with `--stats' only");
	assert_action_refused(WORDS("host:", "/", "--json"), "goes with `--stats' only");
	assert_action_refused(WORDS("--stats", "a", "--surely-not"), "unknown option");
}

/* ---- words that go elsewhere ---------------------------------------------------------------------- */

static void assert_mount_arg(const char *words, const char *expected)
{
	struct options *options = parse(words);

	if (!g_strv_contains((const char *const *)options->fs.mount_args, expected))
		g_error("'%s': '%s' does not reach the kernel", words, expected);
	options_free(options);
}

static void test_mount_words(void)
{
	static const char *const words[] = {"allow_other", "allow_root", "default_permissions",
	                                    "ro",          "rw",         "suid",
	                                    "nosuid",      "dev",        "nodev",
	                                    "exec",        "noexec",     "sync",
	                                    "async",       "dirsync",    "nosymfollow",
	                                    "noatime",     "blkdev",     "context=c",
	                                    "nodiratime",  "symfollow",  "nostrictatime"};

	for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
		g_autofree char *argument = g_strdup_printf("-o %s", words[i]);

		assert_mount_arg(argument, words[i]);
	}
	assert_mount_arg("", "fsname=host:dir");
	assert_mount_arg("", "subtype=sshfs");
	assert_mount_arg("-o fsname=other\\,name", "fsname=other,name");
	assert_mount_arg("-o subtype=other", "subtype=other");
}

/* What we hand on has to be what libfuse knows: it says so without a mount. */
static bool libfuse_takes(char **words)
{
	static const struct fuse_lowlevel_ops none;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session;
	char *list = NULL;

	for (char **word = words; *word; word++)
		fuse_opt_add_opt_escaped(&list, *word);
	fuse_opt_add_arg(&args, "sshfs");
	fuse_opt_add_arg(&args, "-o");
	fuse_opt_add_arg(&args, list);
	session = fuse_session_new(&args, &none, sizeof(none), NULL);
	if (session)
		fuse_session_destroy(session);
	fuse_opt_free_args(&args);
	free(list);
	return session != NULL;
}

/* `data` counts. Words that we refuse ourselves are in test_refused(). */
static void offer_to_libfuse(const char *name, const char *value, const char *help, void *data)
{
	g_autofree char *words = g_strdup_printf(value ? "-o %s=1" : "-o %s", name);
	g_autofree char *why = NULL;
	struct options *options = parse_as("sshfs", words, &why);

	if (!options)
		return;
	if (!libfuse_takes(options->fs.mount_args))
		g_error("'%s': libfuse does not know what it became", words);
	options_free(options);
	++*(unsigned int *)data;
}

static void test_libfuse_takes_every_word(void)
{
	char *unheard[] = {(char *)"surely_not_known", NULL};
	unsigned int count = 0;

	g_assert_false(libfuse_takes(unheard));
	table_for_each(offer_to_libfuse, &count);
	g_assert_cmpuint(count, >, 100);
}

/* libfuse has no word for these: they only take back what was said before. */
static void test_words_taken_back(void)
{
	static const char *const rows[][2] = {{"-o noatime,atime", "noatime"},
	                                      {"-o nodiratime,diratime", "nodiratime"},
	                                      {"-o atime", "atime"},
	                                      {"-o diratime", "diratime"}};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct options *options = parse(rows[i][0]);
		const char *const *words = (const char *const *)options->fs.mount_args;

		if (g_strv_contains(words, rows[i][1]))
			g_error("'%s': '%s' still reaches the kernel", rows[i][0], rows[i][1]);
		options_free(options);
	}
	assert_mount_arg("-o atime,noatime", "noatime");
	assert_mount_arg("-o noatime,diratime", "noatime");
}

static void assert_ssh_args(const char *words, const char *expected)
{
	struct options *options = parse(words);
	g_autofree char *joined = g_strjoinv(" ", options->transport.ssh_args);

	g_assert_cmpstr(joined, ==, expected);
	options_free(options);
}

static void test_ssh_words(void)
{
	assert_ssh_args("", "");
	assert_ssh_args("-p 22 -C -F cfg", "-oPort=22 -oCompression=yes -Fcfg");
	assert_ssh_args("-p22 -Fcfg", "-oPort=22 -Fcfg");
	assert_ssh_args("-o Port=22,IdentityFile=/x", "-oPort=22 -oIdentityFile=/x");
	assert_ssh_args("-oport=22", "-oport=22");
	assert_ssh_args("-o PubkeyAcceptedAlgorithms=+ssh-rsa",
	                "-oPubkeyAcceptedAlgorithms=+ssh-rsa");
	assert_ssh_args("-o SomethingNew2030=yes", "-oSomethingNew2030=yes");
	assert_ssh_args("-o Ciphers=a\\,b", "-oCiphers=a,b");
	assert_ssh_args("-o User=a\\\\b", "-oUser=a\\b");
	assert_ssh_args("-o User=a\\:b\\", "-oUser=a:b\\");
	assert_ssh_args("-o IdentityFile=/a\\040\\054b", "-oIdentityFile=/a ,b");
	assert_ssh_args("-o IdentityFile=\\303\\244", "-oIdentityFile=\303\244");
	assert_ssh_args("-o IdentityFile=\\400\\09", "-oIdentityFile=40009");
	assert_ssh_args("-o IdentityFile=a\\000b", "-oIdentityFile=a000b");
	g_assert_false(ssh_option_is("port"));
	g_assert_false(ssh_option_is("=x"));
	g_assert_false(ssh_option_is("unheard_of=x"));
	g_assert_false(ssh_option_is("Not-A-Name=x"));
}

static void test_ssh_command(void)
{
	struct options *options = parse("-o ssh_command=/opt/ssh");
	g_auto(GStrv) words = value_command("a b\\ c  d\\e ");

	g_assert_cmpstr(options->transport.ssh_command[0], ==, "/opt/ssh");
	options_free(options);
	g_assert_cmpuint(g_strv_length(words), ==, 3);
	g_assert_cmpstr(words[1], ==, "b c");
	g_assert_cmpstr(words[2], ==, "d\\e");
	g_assert_null(value_command("  "));
	options = parse("");
	g_assert_cmpstr(options->transport.ssh_command[0], ==, "ssh");
	g_assert_null(options->transport.ssh_command[1]);
	options_free(options);
}

/* Accepted, and without effect: silently, or with a note. */
static void assert_ignored(const char *words, unsigned int notes)
{
	struct options *options = parse(words);
	struct options *none = parse("");

	g_assert_cmpuint(g_strv_length(options->notes), ==, notes);
	g_assert_cmpuint(g_strv_length(options->fs.mount_args), ==,
	                 g_strv_length(none->fs.mount_args));
	g_assert_cmpuint(g_strv_length(options->transport.ssh_args), ==, 0);
	options_free(options);
	options_free(none);
}

static void test_ignored_words(void)
{
	static const char *const silent[] = {"auto",
	                                     "noauto",
	                                     "user",
	                                     "nouser",
	                                     "users",
	                                     "_netdev",
	                                     "nofail",
	                                     "defaults",
	                                     "owner",
	                                     "group",
	                                     "x-gvfs",
	                                     "X-mount.mkdir",
	                                     "user=me",
	                                     "relatime",
	                                     "norelatime",
	                                     "comment=a",
	                                     "unreliable_append",
	                                     "x-systemd.automount",
	                                     "writeback_cache=no"};
	static const char *const noted[] = {
		"nonempty",          "big_writes",  "large_read",         "intr",
		"hard_remove",       "use_ino",     "max_readahead=1",    "splice_move",
		"clone_fd",          "readdir_ino", "max_idle_threads=3", "workaround=all",
		"workaround=nodelay"};

	for (size_t i = 0; i < G_N_ELEMENTS(silent); i++) {
		g_autofree char *words = g_strdup_printf("-o %s", silent[i]);

		assert_ignored(words, 0);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(noted); i++) {
		g_autofree char *words = g_strdup_printf("-o %s", noted[i]);

		assert_ignored(words, 1);
	}
	assert_ignored("-n", 0);
	assert_ignored("-o ,,noauto,", 0);
}

/* ---- what is refused -------------------------------------------------------------------------------- */

static void test_refused(void)
{
	static const struct {
		const char *words, *message;
	} rows[] = {
		{"-o buffer_size=M", "buffer_size=M"},
		{"-o buffer_size=1T", "buffer_size=1T"},
		{"-o buffer_size=-1", "buffer_size=-1"},
		{"-o buffer_size=65G", "buffer_size=65G"},
		{"-o buffer_size=99999999999999999999G", "buffer_size=99999999999999999999G"},
		{"-o buffer_size=", "buffer_size"},
		{"-o max_read=abc", "invalid parameter in option `max_read=abc'"},
		{"-o max_read=10abc", "max_read=10abc"},
		{"-o max_read=-1", "max_read=-1"},
		{"-o max_read=0", "max_read=0"},
		{"-o max_read", "option `max_read' needs a value"},
		{"-o reconnect=yes", "option `reconnect=yes' takes no value"},
		{"-o dir_cache=maybe", "`dir_cache=maybe': expected yes or no"},
		{"-o cache=maybe", "`cache=maybe': expected strict, normal, aggressive, yes or no"},
		{"-o writeback_cache=yes", "`writeback_cache=yes': expected no"},
		{"-o dcache_timeout=-5", "`dcache_timeout=-5': expected a number of seconds"},
		{"-o cache_timeout=-5", "`cache_timeout=-5': expected a number of seconds"},
		{"-o dcache_link_timeout=x",
	         "`dcache_link_timeout=x': expected a number of seconds"},
		{"-o dcache_max_size=-1", "expected a number from 0 to 1000000000"},
		{"-o dcache_timeout=1e99", "dcache_timeout=1e99"},
		{"-o entry_timeout=nan", "`entry_timeout=nan': expected a number of seconds"},
		{"-o entry_timeout=0x1", "entry_timeout=0x1"},
		{"-o attr_timeout= 1", "attr_timeout="},
		{"-o ac_attr_timeout=-2", "`ac_attr_timeout=-2': expected a number of seconds"},
		{"-o uid=99999999999", "`uid=99999999999': expected a numeric id"},
		{"-o uid=4294967295", "uid=4294967295"},
		{"-o gid=me", "`gid=me': expected a numeric id"},
		{"-o umask=8", "`umask=8': expected an octal mode"},
		{"-o fmask=9", "`fmask=9': expected an octal mode"},
		{"-o umask=-1", "umask=-1"},
		{"-o umask=17777", "umask=17777"},
		{"-o max_conns=0", "value of max_conns option must be at least 1"},
		{"-o max_conns=x", "`max_conns=x': expected a number from 1 to 1024"},
		{"-o multiplex=maybe", "`multiplex=maybe': expected auto, yes or no"},
		{"-o max_conns=1025", "`max_conns=1025': expected a number from 1 to 1024"},
		{"-o max_threads=0", "`max_threads=0': expected a number from 1 to 1024"},
		{"-o max_read=+1", "max_read=+1"},
		{"-o max_read=0x10", "max_read=0x10"},
		{"-o max_read=1000000001", "expected a number from 1 to 1000000000"},
		{"-o max_write=", "option `max_write='"},
		{"-o vsock=2", "invalid vsock, expecting CID:PORT"},
		{"-o vsock=2:3:4", "invalid vsock, expecting CID:PORT"},
		{"-o workaround=magic", "unknown workaround: 'magic'"},
		{"-o workaround=rename:", "unknown workaround: ''"},
		{"-o workaround=norenamex", "unknown workaround: 'norenamex'"},
		{"-o workaround=", "`workaround=': expected a list of those in the usage"},
		{"-o vsock=4294967296:1", "invalid vsock, expecting CID:PORT"},
		{"-o vsock=:1", "invalid vsock, expecting CID:PORT"},
		{"-o vsock=-1:1", "invalid vsock, expecting CID:PORT"},
		{"-o idmap=magic", "`idmap=magic': expected none, user or file"},
		{"-o nomap=magic", "`nomap=magic': expected ignore or error"},
		{"-o directport=", "`directport=': expected a port"},
		{"-o ssh_protocol=3", "`ssh_protocol=3': expected 1 or 2"},
		{"-o ssh_command=", "`ssh_command=': expected a command"},
		{"-o sftp_server=", "`sftp_server=': expected a text that is not empty"},
		{"-o uidfile=", "`uidfile=': expected a text that is not empty"},
		{"-o setuid=root", "'setuid=root' is a word of mount.fuse(8)"},
		{"-o drop_privileges", "'drop_privileges' is a word of mount.fuse(8)"},
		{"-o fsname=", "`fsname=': expected a name"},
		{"-o subtype=", "`subtype=': expected a name"},
		{"-F", "missing argument after `-F'"},
		{"-sf", "unknown option(s): `-sf'"},
		{"-o modules=iconv", "modules=iconv"},
		{"-o remount", "remount"},
		{"-o surely_not,nor_this", "unknown option(s): `-o surely_not', `-o nor_this'"},
		{"-y", "unknown option(s): `-y'"},
		{"-p", "missing argument after `-p'"},
		{"-o", "missing argument after `-o'"},
		{"third", "invalid argument `third'"},
		{"-o idmap=file", "need a uidfile or gidfile with idmap=file"},
		{"-o password_stdin,passive",
	         "the password_stdin and passive options cannot both be specified"},
		{"-o password_stdin,max_conns=2",
	         "password_stdin option cannot be specified with parallel connections"},
		{"-o passive,max_conns=2",
	         "passive option cannot be specified with parallel connections"},
		{"-o workaround=buflimit,max_conns=2",
	         "buflimit workaround is not supported with parallel connections"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		assert_refused(rows[i].words, rows[i].message);
}

static void assert_words_refused(const char *const *words, int count, const char *message)
{
	struct options *options = NULL;
	g_autofree char *why = NULL;

	g_assert_cmpint(options_parse(count, (char **)words, &options, &why), !=, 0);
	g_assert_nonnull(strstr(why, message));
}

static void test_missing_words(void)
{
	static const char *const none[] = {"sshfs", NULL};
	static const char *const one[] = {"sshfs", "host:", NULL};
	static const char *const nowhere[] = {"sshfs", "host:", "/nonexistent/x", NULL};
	static const char *const dash[] = {"sshfs", "--", "-oProxyCommand=x:", "/", NULL};

	assert_words_refused((const char *const[]){NULL}, 0, "missing host");
	assert_words_refused(none, 1, "missing host\nsee `sshfs -h' for usage");
	assert_words_refused(one, 2, "no mountpoint specified");
	assert_words_refused((const char *const[]){"sshfs", "host", "/", NULL}, 3,
	                     "missing host: `host' has no colon");
	assert_words_refused((const char *const[]){"sshfs", "user@:", "/", NULL}, 3,
	                     "missing host");
	assert_words_refused((const char *const[]){"sshfs", "host:", "/", "-F", "", NULL}, 5,
	                     "missing argument after `-F'");
	assert_words_refused((const char *const[]){"sshfs", "host:", "/", "-p", "", NULL}, 5,
	                     "missing argument after `-p'");
	assert_words_refused(nowhere, 3,
	                     "bad mount point `/nonexistent/x': No such file or directory");
	assert_words_refused(dash, 4, "invalid hostname '-oProxyCommand=x'");
}

/* ---- sources ------------------------------------------------------------------------------------------ */

static void assert_source(const char *source, const char *host, const char *dir)
{
	g_autofree char *got_host = NULL;
	g_autofree char *got_dir = NULL;
	g_autofree char *why = NULL;

	g_assert_cmpint(source_parse(source, &got_host, &got_dir, &why), ==, 0);
	g_assert_cmpstr(got_host, ==, host);
	g_assert_cmpstr(got_dir, ==, dir);
}

static void assert_no_source(const char *source, const char *message)
{
	g_autofree char *host = NULL;
	g_autofree char *dir = NULL;
	g_autofree char *why = NULL;

	g_assert_cmpint(source_parse(source, &host, &dir, &why), ==, -EINVAL);
	g_assert_nonnull(strstr(why, message));
}

static void test_sources(void)
{
	assert_source("host:", "host", "");
	assert_source("user@host:/a:b", "user@host", "/a:b");
	assert_source("user@[::1]:/x", "user@::1", "/x");
	assert_source("[fe80::1%eth0]:x", "fe80::1%eth0", "x");
	assert_source("sshfs#user@host:dir", "user@host", "dir");
	assert_source("host:~user/x", "host", "~user/x");
	assert_source(":/x", "", "/x");
	assert_no_source("[::1:/x", "missing ']' in hostname");
	assert_no_source("-x:/", "invalid hostname '-x'");
	assert_no_source("[-x]:/", "invalid hostname '-x'");
	assert_no_source("sshfs#-x:/", "invalid hostname '-x'");
	assert_no_source("user@-x:/", "invalid hostname 'user@-x'");
	assert_no_source("user@[-x]:/", "invalid hostname 'user@-x'");
	assert_no_source("a@b@-x:/", "invalid hostname 'a@b@-x'");
	assert_source("us-er@a-b:/-c", "us-er@a-b", "/-c");
	g_assert_true(source_is("a:"));
	g_assert_false(source_is("/mnt"));
}

/* ---- the other dialect --------------------------------------------------------------------------------- */

static struct options *parse_mount(const char *words)
{
	g_autofree char *why = NULL;
	struct options *options = parse_as("/sbin/mount.fuse.sshfs", words, &why);

	if (!options)
		g_error("mount(8)'s '%s' is refused: %s", words, why);
	return options;
}

static void test_mount_dialect(void)
{
	struct options *options = parse_mount("-n -v -o rw,nofail,x-a.b=c,reconnect -t fuse.sshfs");

	g_assert_cmpint(options->action, ==, OPTIONS_MOUNT);
	g_assert_true(options->verbose);
	g_assert_true(options->sftp.reconnect);
	g_assert_false(options->foreground);
	g_assert_false(options->fs.single_threaded);
	options_free(options);
	options = parse_mount("-f");
	g_assert_cmpint(options->action, ==, OPTIONS_NOTHING);
	options_free(options);
	options = parse_mount("-s -o surely_not_known,ro");
	g_assert_false(options->fs.single_threaded);
	g_assert_true(options->fs.read_only);
	options_free(options);
	options = parse_mount("-sfnv -t sshfs");
	g_assert_cmpint(options->action, ==, OPTIONS_NOTHING);
	g_assert_true(options->verbose);
	options_free(options);
}

static void test_mount_dialect_refuses(void)
{
	static const struct {
		const char *words, *message;
	} rows[] = {
		{"-o surely_not", "unknown option(s): `-o surely_not'"},
		{"-o max_read=x -s", "invalid parameter in option `max_read=x'"},
		{"-d", "unknown option(s): `-d'"},
		{"-fo", "unknown option(s): `-fo'"},
		{"-N", "missing argument after `-N'"},
		{"-N /proc/1/ns/mnt", "'-N' is not possible"},
		{"third", "invalid argument `third'"},
		{"-o remount", "'remount' is not possible"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *why = NULL;

		g_assert_null(parse_as("mount.sshfs", rows[i].words, &why));
		if (!strstr(why, rows[i].message))
			g_error("'%s' is refused by \"%s\"", rows[i].words, why);
	}
}

/* Flags stand anywhere, "--" ends them, and the mountpoint may come first. */
static void test_order_of_words(void)
{
	static const char *const rows[][7] = {
		{"sshfs", "-o", "ro", "host:dir", "/", NULL},
		{"sshfs", "host:dir", "-oro", "/", NULL},
		{"sshfs", "/", "host:dir", "-r", NULL},
		{"sshfs", "-r", "--", "host:dir", "/", NULL},
		{"sshfs", "-r", "host:dir", "--", "/", NULL},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		int count = (int)g_strv_length((char **)rows[i]);
		struct options *options = NULL;
		g_autofree char *why = NULL;

		g_assert_cmpint(options_parse(count, (char **)rows[i], &options, &why), ==, 0);
		g_assert_cmpstr(options->source, ==, "host:dir");
		g_assert_cmpstr(options->transport.host, ==, "host");
		g_assert_cmpstr(options->fs.base_path, ==, "dir");
		g_assert_cmpstr(options->mountpoint, ==, "/");
		g_assert_true(options->fs.read_only);
		options_free(options);
	}
}

static void test_help_and_version(void)
{
	static const char *const words[][3] = {{"sshfs", "-h", NULL},
	                                       {"sshfs", "--help", NULL},
	                                       {"sshfs", "-V", NULL},
	                                       {"sshfs", "--version", NULL}};

	for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
		struct options *options = NULL;
		g_autofree char *why = NULL;

		g_assert_cmpint(options_parse(2, (char **)words[i], &options, &why), ==, 0);
		g_assert_cmpint(options->action, ==, i < 2 ? OPTIONS_HELP : OPTIONS_VERSION);
		options_free(options);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/options/fields", test_fields);
	g_test_add_func("/options/presets", test_presets);
	g_test_add_func("/options/presets/later_words", test_later_words_win_over_presets);
	g_test_add_func("/options/actions", test_actions);
	g_test_add_func("/options/every-row-is-tested", test_every_row_is_tested);
	g_test_add_func("/options/mount-words", test_mount_words);
	g_test_add_func("/options/libfuse-takes-every-word", test_libfuse_takes_every_word);
	g_test_add_func("/options/words-taken-back", test_words_taken_back);
	g_test_add_func("/options/ssh-words", test_ssh_words);
	g_test_add_func("/options/ssh-command", test_ssh_command);
	g_test_add_func("/options/ignored-words", test_ignored_words);
	g_test_add_func("/options/refused", test_refused);
	g_test_add_func("/options/missing-words", test_missing_words);
	g_test_add_func("/options/sources", test_sources);
	g_test_add_func("/options/mount-dialect", test_mount_dialect);
	g_test_add_func("/options/mount-dialect-refuses", test_mount_dialect_refuses);
	g_test_add_func("/options/order-of-words", test_order_of_words);
	g_test_add_func("/options/help-and-version", test_help_and_version);
	return g_test_run();
}
