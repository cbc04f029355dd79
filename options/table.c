// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See table.h. Most rows only say where a value of which kind is stored; the few that do more have a
 * function of their own. Later words win over earlier ones.
 */
#include "table.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "ssh_option.h"
#include "util.h"
#include "value.h"

struct row;

/* `value` is what stands behind '=', "" for a plain word. 0, or -EINVAL with *ret_why or without. */
typedef int (*apply_fn)(struct draft *draft, const struct row *row, const char *value,
                        char **ret_why);

enum kind {
	KIND_TRUE,     /* sets the bool at `offset` */
	KIND_FALSE,    /* clears it */
	KIND_UNSIGNED, /* unsigned int in [min, max] */
	KIND_SIZE,     /* size_t in [min, max] */
	KIND_BYTES,    /* size_t, at most `max`; K, M and G are understood */
	KIND_OCTAL,    /* uint32_t, octal */
	KIND_ID,       /* uint32_t, decimal */
	KIND_TIMEOUT,  /* uint64_t ns, given in seconds */
	KIND_SECONDS,  /* double, seconds */
	KIND_STRING,   /* char *, not empty */
	KIND_MOUNT, /* the word as it is for libfuse and the kernel, also in the bool at `offset` */
	KIND_IGNORED, /* nothing to do */
	KIND_OLD,     /* nothing to do any more, and the user is told */
	KIND_OWN,     /* `apply` does it */
};

struct row {
	const char *name;
	const char *value; /* its name in the usage; NULL: the option takes none */
	enum kind kind;
	size_t offset; /* in struct options; 0: nowhere */
	uint64_t min, max;
	apply_fn apply;
	const char *wanted; /* KIND_OWN: what a value is, for the message */
	const char *help;   /* NULL: not in the usage (an alias, an old word) */
};

#define AT(field)  offsetof(struct options, field)
#define COUNT_MAX  1000000000
#define BUFFER_MAX (64 * (uint64_t)1024 * MIB)

/* cache=aggressive. */
#define AGGRESSIVE_NS      (300 * CLOCK_NS_PER_SEC)
#define AGGRESSIVE_ENTRIES 200000

/* ---- rows that do more -------------------------------------------------------------------------- */

static int set_timeouts(struct draft *draft, const struct row *row, const char *value,
                        char **ret_why)
{
	struct cache_settings *cache = &draft->options->cache;
	double seconds;

	if (!value_seconds(value, 0, &seconds))
		return -EINVAL;
	cache->attr_ns = cache->name_ns = cache->link_ns = (uint64_t)(seconds * CLOCK_NS_PER_SEC);
	return 0;
}

static int set_dir_cache(struct draft *draft, const struct row *row, const char *value,
                         char **ret_why)
{
	if (strcmp(value, "yes") && strcmp(value, "no"))
		return -EINVAL;
	draft->options->cache.enabled = !strcmp(value, "yes");
	return 0;
}

/* Each begins from the defaults: what an earlier word has set of these options does not count. */
static void set_defaults_of_cache(struct draft *draft)
{
	struct options *options = draft->options;
	struct options *defaults = options_new();

	options->cache = defaults->cache;
	options->fs.entry_timeout = defaults->fs.entry_timeout;
	options->fs.attr_timeout = defaults->fs.attr_timeout;
	options->fs.negative_timeout = defaults->fs.negative_timeout;
	options->fs.kernel_cache = defaults->fs.kernel_cache;
	options->fs.contents = defaults->fs.contents;
	memset(draft->timeouts_given, 0, sizeof(draft->timeouts_given));
	options_free(defaults);
}

/* Others change things all the time: nothing is remembered. */
static void set_strict(struct draft *draft)
{
	struct options *options = draft->options;

	options->cache.enabled = false;
	options->fs.entry_timeout = options->fs.attr_timeout = options->fs.negative_timeout = 0;
}

/* Nobody else changes anything: all is remembered, for long, and by the kernel for as long (the default). */
static void set_aggressive(struct draft *draft)
{
	struct options *options = draft->options;
	struct cache_settings *cache = &options->cache;

	cache->attr_ns = cache->name_ns = cache->link_ns = AGGRESSIVE_NS;
	cache->absent_ns = AGGRESSIVE_NS;
	cache->max_entries = AGGRESSIVE_ENTRIES;
	options->fs.contents = FS_CONTENTS_SAME;
}

static int set_cache(struct draft *draft, const struct row *row, const char *value, char **ret_why)
{
	if (strcmp(value, "strict") && strcmp(value, "normal") && strcmp(value, "aggressive"))
		return set_dir_cache(draft, row, value, ret_why);
	set_defaults_of_cache(draft);
	if (!strcmp(value, "strict"))
		set_strict(draft);
	else if (!strcmp(value, "aggressive"))
		set_aggressive(draft);
	return 0;
}

static int set_auto_cache(struct draft *draft, const struct row *row, const char *value,
                          char **ret_why)
{
	draft->options->fs.contents = FS_CONTENTS_SAME;
	return 0;
}

static int set_noauto_cache(struct draft *draft, const struct row *row, const char *value,
                            char **ret_why)
{
	draft->options->fs.contents = FS_CONTENTS_NONE;
	return 0;
}

static int set_writeback_cache(struct draft *draft, const struct row *row, const char *value,
                               char **ret_why)
{
	return strcmp(value, "no") ? -EINVAL : 0;
}

static int set_max_conns(struct draft *draft, const struct row *row, const char *value,
                         char **ret_why)
{
	uint64_t count;

	if (!value_unsigned(value, 0, 1024, &count))
		return -EINVAL;
	if (count == 0) {
		*ret_why = g_strdup("value of max_conns option must be at least 1");
		return -EINVAL;
	}
	draft->options->sftp.max_conns = (unsigned int)count;
	return 0;
}

static int set_multiplex(struct draft *draft, const struct row *row, const char *value,
                         char **ret_why)
{
	enum transport_multiplex *multiplex = &draft->options->transport.multiplex;

	if (!strcmp(value, "auto"))
		*multiplex = TRANSPORT_MULTIPLEX_AUTO;
	else if (!strcmp(value, "yes"))
		*multiplex = TRANSPORT_MULTIPLEX_YES;
	else if (!strcmp(value, "no"))
		*multiplex = TRANSPORT_MULTIPLEX_NO;
	else
		return -EINVAL;
	return 0;
}

static int set_ssh_command(struct draft *draft, const struct row *row, const char *value,
                           char **ret_why)
{
	char **command = value_command(value);

	if (!command)
		return -EINVAL;
	g_strfreev(draft->options->transport.ssh_command);
	draft->options->transport.ssh_command = command;
	return 0;
}

static int set_ssh_protocol(struct draft *draft, const struct row *row, const char *value,
                            char **ret_why)
{
	uint64_t version;

	if (!value_unsigned(value, 1, 2, &version))
		return -EINVAL;
	draft->options->transport.ssh_protocol = (int)version;
	return 0;
}

static int set_directport(struct draft *draft, const struct row *row, const char *value,
                          char **ret_why)
{
	struct transport_settings *transport = &draft->options->transport;

	if (!*value)
		return -EINVAL;
	g_free(transport->port);
	transport->port = g_strdup(value);
	transport->kind = TRANSPORT_TCP;
	return 0;
}

static int set_vsock(struct draft *draft, const struct row *row, const char *value, char **ret_why)
{
	struct transport_settings *transport = &draft->options->transport;
	g_auto(GStrv) parts = g_strsplit(value, ":", 3);
	uint64_t cid, port;

	if (g_strv_length(parts) != 2 || !value_unsigned(parts[0], 0, UINT32_MAX, &cid) ||
	    !value_unsigned(parts[1], 0, UINT32_MAX, &port)) {
		*ret_why = g_strdup_printf("invalid vsock, expecting CID:PORT: 'vsock=%s'", value);
		return -EINVAL;
	}
	transport->kind = TRANSPORT_VSOCK;
	transport->vsock_cid = (unsigned int)cid;
	transport->vsock_port = (unsigned int)port;
	return 0;
}

static int set_passive(struct draft *draft, const struct row *row, const char *value,
                       char **ret_why)
{
	draft->passive = true;
	draft->options->transport.kind = TRANSPORT_STDIO;
	draft->options->foreground = true;
	return 0;
}

static int set_idmap(struct draft *draft, const struct row *row, const char *value, char **ret_why)
{
	struct idmap_settings *idmap = &draft->options->sftp.idmap;

	if (!strcmp(value, "none"))
		idmap->mode = IDMAP_NONE;
	else if (!strcmp(value, "user"))
		idmap->mode = IDMAP_USER;
	else if (!strcmp(value, "file"))
		idmap->mode = IDMAP_FILE;
	else
		return -EINVAL;
	return 0;
}

static int set_nomap(struct draft *draft, const struct row *row, const char *value, char **ret_why)
{
	if (strcmp(value, "ignore") && strcmp(value, "error"))
		return -EINVAL;
	draft->options->sftp.idmap.nomap_ignore = !strcmp(value, "ignore");
	return 0;
}

static int set_contain(struct draft *draft, const struct row *row, const char *value,
                       char **ret_why)
{
	draft->contain_asked = true;
	draft->options->fs.symlinks = FS_SYMLINKS_CONTAIN;
	return 0;
}

static int set_no_contain(struct draft *draft, const struct row *row, const char *value,
                          char **ret_why)
{
	draft->options->fs.symlinks = FS_SYMLINKS_RAW;
	return 0;
}

static int set_debug(struct draft *draft, const struct row *row, const char *value, char **ret_why)
{
	draft->options->debug = true;
	draft->options->foreground = true;
	return 0;
}

static int set_umask(struct draft *draft, const struct row *row, const char *value, char **ret_why)
{
	struct fs_settings *fs = &draft->options->fs;

	return value_octal(value, &fs->umask) ? 0 : -EINVAL;
}

/* One that the kernel remembers, and whether the user chose it (dir_cache=no would choose another). */
static int set_kernel_timeout(struct draft *draft, const struct row *row, const char *value,
                              char **ret_why)
{
	double *place = (double *)((char *)draft->options + row->offset);

	if (!value_seconds(value, 0, place))
		return -EINVAL;
	draft->timeouts_given[row->min] = true;
	return 0;
}

static int set_fsname(struct draft *draft, const struct row *row, const char *value, char **ret_why)
{
	if (!*value)
		return -EINVAL;
	g_free(draft->fsname);
	draft->fsname = g_strdup(value);
	return 0;
}

static int set_subtype(struct draft *draft, const struct row *row, const char *value,
                       char **ret_why)
{
	if (!*value)
		return -EINVAL;
	g_free(draft->subtype);
	draft->subtype = g_strdup(value);
	return 0;
}

static int set_read_write(struct draft *draft, const struct row *row, const char *value,
                          char **ret_why)
{
	draft->options->fs.read_only = false;
	g_ptr_array_add(draft->mount_args, g_strdup(row->name));
	return 0;
}

/* A default that libfuse has no word for ("atime"): takes an earlier "noatime" back. */
static int take_back(struct draft *draft, const struct row *row, const char *value, char **ret_why)
{
	g_autofree char *opposite = g_strdup_printf("no%s", row->name);

	for (unsigned int i = draft->mount_args->len; i-- > 0;) {
		if (!strcmp(g_ptr_array_index(draft->mount_args, i), opposite))
			g_ptr_array_remove_index(draft->mount_args, i);
	}
	return 0;
}

static int refuse_modules(struct draft *draft, const struct row *row, const char *value,
                          char **ret_why)
{
	*ret_why =
		g_strdup_printf("'modules=%s' is not possible: libfuse's stacked modules work on "
	                        "another interface; mount the sub-folder itself, and convert "
	                        "names with convmv(1)",
	                        value);
	return -EINVAL;
}

static int refuse_remount(struct draft *draft, const struct row *row, const char *value,
                          char **ret_why)
{
	*ret_why = g_strdup("'remount' is not possible: unmount, then mount with the new options");
	return -EINVAL;
}

/* Who asks for fewer rights must not get all of them. */
static int refuse_word_of_mount_fuse(struct draft *draft, const struct row *row, const char *value,
                                     char **ret_why)
{
	*ret_why = g_strdup_printf("'%s%s%s' is a word of mount.fuse(8): to have it, mount the "
	                           "source `sshfs#HOST:DIR' with the type `fuse'",
	                           row->name, row->value ? "=" : "", value);
	return -EINVAL;
}

/* ---- workaround= -------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	size_t offset; /* in struct options */
} workarounds[] = {
	{"rename", AT(sftp.workaround_rename)},
	{"renamexdev", AT(sftp.workaround_renamexdev)},
	{"createmode", AT(sftp.workaround_createmode)},
	{"truncate", AT(fs.workaround_truncate)},
	{"buflimit", AT(fs.workaround_buflimit)},
	{"fstat", AT(fs.workaround_fstat)},
};

static const char *const old_workarounds[] = {"all", "nodelay", "nodelaysrv"};

static bool set_known_workaround(struct options *options, const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(workarounds); i++) {
		bool *place = (bool *)((char *)options + workarounds[i].offset);
		bool no = g_str_has_prefix(name, "no");

		if (strcmp(no ? name + 2 : name, workarounds[i].name))
			continue;
		*place = !no;
		return true;
	}
	return false;
}

static bool set_old_workaround(struct draft *draft, const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(old_workarounds); i++) {
		if (strcmp(name, old_workarounds[i]))
			continue;
		draft_note(draft, "'workaround=%s' is ignored: it is not needed any more", name);
		return true;
	}
	return false;
}

static void clear_workarounds(struct options *options)
{
	for (size_t i = 0; i < G_N_ELEMENTS(workarounds); i++)
		*(bool *)((char *)options + workarounds[i].offset) = false;
}

static int set_workarounds(struct draft *draft, const struct row *row, const char *value,
                           char **ret_why)
{
	g_auto(GStrv) names = g_strsplit(value, ":", -1);

	if (!*value)
		return -EINVAL;
	for (char **name = names; *name; name++) {
		if (!strcmp(*name, "none")) {
			clear_workarounds(draft->options);
		} else if (!set_known_workaround(draft->options, *name) &&
		           !set_old_workaround(draft, *name)) {
			*ret_why = g_strdup_printf("unknown workaround: '%s'", *name);
			return -EINVAL;
		}
	}
	return 0;
}

/* ---- the table ---------------------------------------------------------------------------------- */

#define PLAIN(n, k, field, text)                                        \
	{                                                               \
		.name = n, .kind = k, .offset = AT(field), .help = text \
	}
#define VALUE(n, v, k, field, text)                                                 \
	{                                                                           \
		.name = n, .value = v, .kind = k, .offset = AT(field), .help = text \
	}
#define RANGE(n, v, k, field, lo, hi, text)                                                  \
	{                                                                                    \
		.name = n, .value = v, .kind = k, .offset = AT(field), .min = lo, .max = hi, \
		.help = text                                                                 \
	}
#define OWN(n, v, fn, text)                                                        \
	{                                                                          \
		.name = n, .value = v, .kind = KIND_OWN, .apply = fn, .help = text \
	}
#define OWN_VALUE(n, v, fn, what, text)                                                            \
	{                                                                                          \
		.name = n, .value = v, .kind = KIND_OWN, .apply = fn, .wanted = what, .help = text \
	}
#define MOUNT(n, v, text)                                               \
	{                                                               \
		.name = n, .value = v, .kind = KIND_MOUNT, .help = text \
	}
#define IGNORED(n)                              \
	{                                       \
		.name = n, .kind = KIND_IGNORED \
	}
#define IGNORED_VALUE(n)                                      \
	{                                                     \
		.name = n, .value = "X", .kind = KIND_IGNORED \
	}
#define OLD(n)                              \
	{                                   \
		.name = n, .kind = KIND_OLD \
	}
#define OLD_VALUE(n)                                      \
	{                                                 \
		.name = n, .value = "X", .kind = KIND_OLD \
	}
#define KERNEL_TIMEOUT(n, field, which, text)                                               \
	{                                                                                   \
		.name = n, .value = "SECONDS", .kind = KIND_OWN, .offset = AT(field),       \
		.min = which, .apply = set_kernel_timeout, .wanted = "a number of seconds", \
		.help = text                                                                \
	}

static const struct row rows[] = {
	/* The connection. */
	PLAIN("reconnect", KIND_TRUE, sftp.reconnect, "reconnect to server"),
	PLAIN("delay_connect", KIND_TRUE, delay_connect, "delay connection to server"),
	OWN_VALUE("max_conns", "N", set_max_conns, "a number from 1 to 1024",
                  "open parallel SSH connections (1)"),
	OWN_VALUE("multiplex", "WHEN", set_multiplex, "auto, yes or no",
                  "further connections share the first login: auto, yes, no (auto)"),
	OWN_VALUE("ssh_command", "CMD", set_ssh_command, "a command",
                  "execute CMD instead of 'ssh'"),
	OWN_VALUE("ssh_protocol", "N", set_ssh_protocol, "1 or 2", "ssh protocol to use (2)"),
	VALUE("sftp_server", "SERV", KIND_STRING, transport.sftp_server,
              "path to sftp server or subsystem (sftp)"),
	OWN_VALUE("directport", "PORT", set_directport, "a port",
                  "directly connect to PORT bypassing ssh"),
	OWN("vsock", "CID:PORT", set_vsock,
            "directly connect using a vsock to CID:PORT bypassing ssh"),
	OWN("passive", NULL, set_passive, "communicate over stdin and stdout bypassing network"),
	OWN("slave", NULL, set_passive, NULL),
	PLAIN("password_stdin", KIND_TRUE, transport.password_stdin,
              "read password from stdin (only for pam_mount!)"),
	RANGE("max_read", "N", KIND_SIZE, sftp.max_read, 1, COUNT_MAX,
              "largest SFTP READ in bytes (what the server takes)"),
	RANGE("max_write", "N", KIND_SIZE, sftp.max_write, 1, COUNT_MAX,
              "largest SFTP WRITE in bytes (what the server takes)"),
	OWN_VALUE("workaround", "LIST", set_workarounds, "a list of those in the usage",
                  "colon separated list of workarounds: none, [no]rename, [no]renamexdev, "
                  "[no]truncate, [no]buflimit, [no]fstat, [no]createmode"),

	/* What is remembered. */
	OWN_VALUE("dir_cache", "BOOL", set_dir_cache, "yes or no",
                  "enable caching of names and attributes (yes)"),
	OWN_VALUE("cache", "PRESET", set_cache, "strict, normal, aggressive, yes or no",
                  "strict, normal or aggressive: sets the options of what is remembered (normal)"),
	OWN_VALUE("dcache_timeout", "N", set_timeouts, "a number of seconds",
                  "sets timeout for names, attributes and links (20)"),
	OWN_VALUE("cache_timeout", "N", set_timeouts, "a number of seconds", NULL),
	VALUE("dcache_stat_timeout", "N", KIND_TIMEOUT, cache.attr_ns, "timeout for attributes"),
	VALUE("cache_stat_timeout", "N", KIND_TIMEOUT, cache.attr_ns, NULL),
	VALUE("dcache_dir_timeout", "N", KIND_TIMEOUT, cache.name_ns, "timeout for names"),
	VALUE("cache_dir_timeout", "N", KIND_TIMEOUT, cache.name_ns, NULL),
	VALUE("dcache_link_timeout", "N", KIND_TIMEOUT, cache.link_ns, "timeout for link targets"),
	VALUE("cache_link_timeout", "N", KIND_TIMEOUT, cache.link_ns, NULL),
	RANGE("dcache_max_size", "N", KIND_SIZE, cache.max_entries, 0, COUNT_MAX,
              "largest number of remembered names (10000)"),
	RANGE("cache_max_size", "N", KIND_SIZE, cache.max_entries, 0, COUNT_MAX, NULL),
	VALUE("dcache_clean_interval", "N", KIND_TIMEOUT, cache.clean_ns,
              "interval for cleaning out what has expired (60)"),
	VALUE("cache_clean_interval", "N", KIND_TIMEOUT, cache.clean_ns, NULL),
	VALUE("dcache_min_clean_interval", "N", KIND_TIMEOUT, cache.min_clean_ns,
              "interval for forced cleaning (5)"),
	VALUE("cache_min_clean_interval", "N", KIND_TIMEOUT, cache.min_clean_ns, NULL),
	VALUE("dcache_absent_timeout", "N", KIND_TIMEOUT, cache.absent_ns,
              "timeout for missing names (2)"),
	PLAIN("direct_io", KIND_TRUE, fs.direct_io,
              "no page cache: each read and write goes to the server"),
	PLAIN("kernel_cache", KIND_TRUE, fs.kernel_cache,
              "keep file contents in the page cache over opens"),
	OWN("auto_cache", NULL, set_auto_cache, "the same, while size and time have not changed"),
	OWN("noauto_cache", NULL, set_noauto_cache,
            "file contents are read anew after each opening"),
	KERNEL_TIMEOUT("entry_timeout", fs.entry_timeout, DRAFT_ENTRY_TIMEOUT,
                       "how long at most the kernel remembers names (as the cache)"),
	KERNEL_TIMEOUT("negative_timeout", fs.negative_timeout, DRAFT_NEGATIVE_TIMEOUT,
                       "the same for missing names (as the cache)"),
	KERNEL_TIMEOUT("attr_timeout", fs.attr_timeout, DRAFT_ATTR_TIMEOUT,
                       "the same for attributes (as the cache)"),
	VALUE("ac_attr_timeout", "SECONDS", KIND_SECONDS, fs.ac_attr_timeout,
              "the same for auto_cache (attr_timeout)"),
	PLAIN("noforget", KIND_TRUE, fs.noforget,
              "accepted; nodes are forgotten when the kernel says so"),
	VALUE("remember", "SECONDS", KIND_SECONDS, fs.remember, "accepted, as noforget"),

	/* How requests are answered. */
	PLAIN("sshfs_sync", KIND_TRUE, fs.sync_write, "synchronous writes"),
	PLAIN("no_readahead", KIND_TRUE, fs.no_readahead,
              "synchronous reads (no speculative readahead)"),
	RANGE("buffer_size", "BYTES", KIND_BYTES, fs.stage.buffer_size, 0, BUFFER_MAX,
              "memory for what is read ahead; 0: nothing is (256M, or an eighth of the memory)"),
	PLAIN("sync_readdir", KIND_TRUE, sftp.sync_readdir, "synchronous readdir"),
	RANGE("walk_ahead", "N", KIND_UNSIGNED, fs.walk_ahead, 0, 64,
              "folders listed ahead of a walk at the same time; 0: none (16)"),
	RANGE("scan_ahead", "N", KIND_UNSIGNED, fs.scan_ahead, 0, 4096,
              "small files read ahead of a scan and not opened yet; 0: none (256)"),
	PLAIN("no_rofd_flush", KIND_TRUE, fs.no_rofd_flush,
              "no flush on close of a read-only descriptor"),
	RANGE("max_threads", "N", KIND_UNSIGNED, fs.max_threads, 1, 1024,
              "requests served at the same time (64)"),

	/* What is shown. */
	OWN_VALUE("idmap", "TYPE", set_idmap, "none, user or file",
                  "user/group ID mapping: none, user or file (none)"),
	VALUE("uidfile", "FILE", KIND_STRING, sftp.idmap.uidfile,
              "file containing username:remote_uid mappings"),
	VALUE("gidfile", "FILE", KIND_STRING, sftp.idmap.gidfile,
              "file containing groupname:remote_gid mappings"),
	OWN_VALUE("nomap", "TYPE", set_nomap, "ignore or error",
                  "with idmap=file, how to handle missing mappings: ignore or error (error)"),
	VALUE("uid", "N", KIND_ID, fs.uid, "set file owner"),
	VALUE("gid", "N", KIND_ID, fs.gid, "set file group"),
	OWN_VALUE("umask", "M", set_umask, "an octal mode", "set file permissions (octal)"),
	VALUE("fmask", "M", KIND_OCTAL, fs.fmask, "the same for all but folders"),
	VALUE("dmask", "M", KIND_OCTAL, fs.dmask, "the same for folders"),
	PLAIN("disable_hardlink", KIND_TRUE, fs.disable_hardlink,
              "link(2) will return with errno set to ENOSYS"),
	PLAIN("transform_symlinks", KIND_TRUE, fs.transform_symlinks,
              "transform absolute symlinks to relative"),
	OWN("contain_symlinks", NULL, set_contain,
            "refuse symlinks that lead out of the mount (default)"),
	OWN("no_contain_symlinks", NULL, set_no_contain, "show symlinks as they are"),
	PLAIN("follow_symlinks", KIND_TRUE, fs.follow_symlinks, "follow symlinks on the server"),
	PLAIN("no_check_root", KIND_FALSE, fs.check_root,
              "don't check for existence of 'dir' on server"),

	/* The mount itself. */
	{.name = "allow_other",
         .kind = KIND_MOUNT,
         .offset = AT(fs.allow_other),
         .help = "allow access to all users"},
	MOUNT("allow_root", NULL, "allow access to root"),
	{.name = "auto_unmount",
         .kind = KIND_TRUE,
         .offset = AT(fs.auto_unmount),
         .help = "unmount when the program ends, however it does"},
	{.name = "default_permissions",
         .kind = KIND_MOUNT,
         .offset = AT(fs.default_permissions),
         .help = "let the kernel check permissions"},
	OWN_VALUE("fsname", "NAME", set_fsname, "a name", "name shown as the source of the mount"),
	OWN_VALUE("subtype", "NAME", set_subtype, "a name", "type shown behind 'fuse.' (sshfs)"),
	{.name = "ro", .kind = KIND_MOUNT, .offset = AT(fs.read_only), .help = "read-only"},
	OWN("rw", NULL, set_read_write, NULL),
	MOUNT("suid", NULL, NULL),
	MOUNT("nosuid", NULL, NULL),
	MOUNT("dev", NULL, NULL),
	MOUNT("nodev", NULL, NULL),
	MOUNT("exec", NULL, NULL),
	MOUNT("noexec", NULL, NULL),
	MOUNT("sync", NULL, NULL),
	MOUNT("async", NULL, NULL),
	MOUNT("dirsync", NULL, NULL),
	OWN("atime", NULL, take_back, NULL),
	MOUNT("noatime", NULL, NULL),
	OWN("diratime", NULL, take_back, NULL),
	MOUNT("nodiratime", NULL, NULL),
	MOUNT("nostrictatime", NULL, NULL),
	MOUNT("symfollow", NULL, NULL),
	MOUNT("nosymfollow", NULL, NULL),
	MOUNT("blkdev", NULL, NULL),
	MOUNT("context", "C", NULL),
	MOUNT("fscontext", "C", NULL),
	MOUNT("defcontext", "C", NULL),
	MOUNT("rootcontext", "C", NULL),

	/* The program. */
	OWN("debug", NULL, set_debug, "print some debugging information (implies -f)"),
	OWN("sshfs_debug", NULL, set_debug, NULL),
	PLAIN("stats", KIND_TRUE, stats, "log a summary of what was done at the end"),
	PLAIN("verbose", KIND_TRUE, verbose, "show what ssh prints"),
	PLAIN("sshfs_verbose", KIND_TRUE, verbose, NULL),

	/* Not possible, or not here. */
	OWN("modules", "X", refuse_modules, NULL),
	OWN("remount", NULL, refuse_remount, NULL),
	OWN("setuid", "X", refuse_word_of_mount_fuse, NULL),
	OWN("drop_privileges", NULL, refuse_word_of_mount_fuse, NULL),

	/* Words of fstab(5) and mount(8) that are not for us. */
	IGNORED("auto"),
	IGNORED("noauto"),
	IGNORED("user"),
	IGNORED("nouser"),
	IGNORED("users"),
	IGNORED("owner"),
	IGNORED("group"),
	IGNORED("_netdev"),
	IGNORED("nofail"),
	IGNORED("defaults"),
	IGNORED_VALUE("comment"),
	IGNORED("relatime"),
	IGNORED("norelatime"),
	IGNORED("strictatime"),
	IGNORED("lazytime"),
	IGNORED("nolazytime"),
	IGNORED("silent"),
	IGNORED("loud"),
	IGNORED("mand"),
	IGNORED("nomand"),
	IGNORED("iversion"),
	IGNORED("noiversion"),
	IGNORED_VALUE("user"),

	/* Words of sshfs that have lost their meaning. */
	IGNORED("unreliable_append"),
	OWN_VALUE("writeback_cache", "no", set_writeback_cache, "no", NULL),

	/* Words of libfuse 2 and of libfuse's other interface, in many old guides. */
	OLD("nonempty"),
	OLD("big_writes"),
	OLD("large_read"),
	OLD("intr"),
	OLD_VALUE("intr_signal"),
	OLD("hard_remove"),
	OLD("use_ino"),
	OLD("readdir_ino"),
	OLD_VALUE("max_readahead"),
	OLD_VALUE("max_background"),
	OLD_VALUE("congestion_threshold"),
	OLD("sync_read"),
	OLD("async_read"),
	OLD("splice_read"),
	OLD("no_splice_read"),
	OLD("splice_write"),
	OLD("no_splice_write"),
	OLD("splice_move"),
	OLD("no_splice_move"),
	OLD("no_remote_lock"),
	OLD("no_remote_flock"),
	OLD("no_remote_posix_lock"),
	OLD("clone_fd"),
	OLD("noclone_fd"),
	OLD_VALUE("max_idle_threads"),
	OLD("nopath"),
	OLD_VALUE("parallel_direct_write"),
	OLD_VALUE("parallel_direct_writes"),
	OLD("io_uring"),
	OLD_VALUE("io_uring_q_depth"),
	OLD("atomic_o_trunc"),
	OLD("no_auto_cache"),
};

/* ---- applying ----------------------------------------------------------------------------------- */

static int apply_number(void *place, const struct row *row, const char *value)
{
	uint64_t number;

	if (!value_unsigned(value, row->min, row->max, &number))
		return -EINVAL;
	if (row->kind == KIND_SIZE)
		*(size_t *)place = number;
	else
		*(unsigned int *)place = (unsigned int)number;
	return 0;
}

static int apply_bytes(void *place, const struct row *row, const char *value)
{
	uint64_t bytes;

	if (!value_bytes(value, row->max, &bytes))
		return -EINVAL;
	*(size_t *)place = bytes;
	return 0;
}

static int apply_id(void *place, const char *value)
{
	uint64_t id;

	if (!value_unsigned(value, 0, UINT32_MAX - 1, &id))
		return -EINVAL;
	*(uint32_t *)place = (uint32_t)id;
	return 0;
}

static int apply_timeout(void *place, const char *value)
{
	double seconds;

	if (!value_seconds(value, 0, &seconds))
		return -EINVAL;
	*(uint64_t *)place = (uint64_t)(seconds * CLOCK_NS_PER_SEC);
	return 0;
}

static int apply_string(char **place, const char *value)
{
	if (!*value)
		return -EINVAL;
	g_free(*place);
	*place = g_strdup(value);
	return 0;
}

static int apply_mount(struct draft *draft, const struct row *row, const char *value)
{
	g_ptr_array_add(draft->mount_args, row->value ? g_strdup_printf("%s=%s", row->name, value)
	                                              : g_strdup(row->name));
	if (row->offset)
		*(bool *)((char *)draft->options + row->offset) = true;
	return 0;
}

static int apply_row(struct draft *draft, const struct row *row, const char *value, char **ret_why)
{
	void *place = (char *)draft->options + row->offset;

	switch (row->kind) {
	case KIND_TRUE:
	case KIND_FALSE:
		*(bool *)place = row->kind == KIND_TRUE;
		return 0;
	case KIND_UNSIGNED:
	case KIND_SIZE:
		return apply_number(place, row, value);
	case KIND_BYTES:
		return apply_bytes(place, row, value);
	case KIND_OCTAL:
		return value_octal(value, place) ? 0 : -EINVAL;
	case KIND_ID:
		return apply_id(place, value);
	case KIND_TIMEOUT:
		return apply_timeout(place, value);
	case KIND_SECONDS:
		return value_seconds(value, -1, place) ? 0 : -EINVAL;
	case KIND_STRING:
		return apply_string(place, value);
	case KIND_MOUNT:
		return apply_mount(draft, row, value);
	case KIND_IGNORED:
		return 0;
	case KIND_OLD:
		draft_note(draft, "'%s' is ignored: it has no effect any more", row->name);
		return 0;
	case KIND_OWN:
		break;
	}
	return row->apply(draft, row, value, ret_why);
}

static const struct row *find_row(const char *name, size_t size, bool with_value)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		if (strlen(rows[i].name) == size && !strncmp(rows[i].name, name, size) &&
		    (rows[i].value != NULL) == with_value)
			return &rows[i];
	}
	return NULL;
}

/* What a value of this kind looks like, for the message. */
static char *expectation(const struct row *row)
{
	switch (row->kind) {
	case KIND_UNSIGNED:
	case KIND_SIZE:
		return g_strdup_printf("a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
		                       row->min, row->max);
	case KIND_ID:
		return g_strdup("a numeric id");
	case KIND_OCTAL:
		return g_strdup("an octal mode");
	case KIND_TIMEOUT:
	case KIND_SECONDS:
		return g_strdup("a number of seconds");
	case KIND_STRING:
		return g_strdup("a text that is not empty");
	default:
		return g_strdup(row->wanted ? row->wanted : "another value");
	}
}

static int apply_found(struct draft *draft, const struct row *row, const char *word,
                       const char *value, char **ret_why)
{
	int error = apply_row(draft, row, value, ret_why);

	if (error && !*ret_why) {
		g_autofree char *wanted = expectation(row);

		*ret_why = g_strdup_printf("invalid parameter in option `%s': expected %s", word,
		                           wanted);
	}
	return error;
}

/* Words for those who read fstab(5): "x-systemd.automount", "X-mount.mkdir". */
static bool is_comment(const char *word)
{
	return g_str_has_prefix(word, "x-") || g_str_has_prefix(word, "X-");
}

int table_apply(struct draft *draft, const char *word, char **ret_why)
{
	const char *equals = strchr(word, '=');
	size_t size = equals ? (size_t)(equals - word) : strlen(word);
	const struct row *row = find_row(word, size, equals != NULL);

	if (row)
		return apply_found(draft, row, word, equals ? equals + 1 : "", ret_why);
	if (find_row(word, size, equals == NULL)) {
		*ret_why = g_strdup_printf(equals ? "option `%s' takes no value"
		                                  : "option `%s' needs a value: `%s=...'",
		                           word, word);
		return -EINVAL;
	}
	if (ssh_option_is(word))
		draft_add_ssh_arg(draft, "-o%s", word);
	else if (*word && !is_comment(word))
		g_ptr_array_add(draft->unknown, g_strdup_printf("-o %s", word));
	return 0;
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* "\054": one character by its number. There is none with the number 0. */
static bool is_octal_escape(const char *c)
{
	return c[1] <= '3' && is_octal(c[1]) && is_octal(c[2]) && is_octal(c[3]) &&
	       strncmp(c + 1, "000", 3) != 0;
}

/*
 * Appends what the backslash at `c`, which is not the last character, makes of those behind it, and
 * returns the last one it took. libfuse's rules, as scripts escape by them.
 */
static const char *append_escaped(GString *word, const char *c)
{
	if (is_octal_escape(c)) {
		g_string_append_c(word,
		                  (char)((c[1] - '0') * 0100 + (c[2] - '0') * 010 + (c[3] - '0')));
		return c + 3;
	}
	/* value_command() is to see this one. */
	if (c[1] == ' ' && g_str_has_prefix(word->str, "ssh_command="))
		g_string_append_c(word, *c);
	g_string_append_c(word, c[1]);
	return c + 1;
}

int table_apply_list(struct draft *draft, const char *list, char **ret_why)
{
	g_autoptr(GString) word = g_string_new(NULL);

	for (const char *c = list;; c++) {
		int error;

		if (*c == '\\' && c[1]) {
			c = append_escaped(word, c);
			continue;
		}
		if (*c && *c != ',') {
			g_string_append_c(word, *c);
			continue;
		}
		error = table_apply(draft, word->str, ret_why);
		if (error)
			return error;
		g_string_truncate(word, 0);
		if (!*c)
			return 0;
	}
}

void table_for_each(void (*each)(const char *name, const char *value, const char *help, void *data),
                    void *data)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		each(rows[i].name, rows[i].value, rows[i].help, data);
}
