// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See dialect.h. mount(8) calls `mount.sshfs SPEC DIR [-sfnv] [-N ns] [-o options] [-t type]` and means
 * other things by -s (sloppy), -f (fake) and -v than sshfs does; argv[0] tells who is calling.
 */
#include "dialect.h"

#include <errno.h>
#include <string.h>

#include "source.h"
#include "table.h"

struct flag;

/* `value` is NULL for flags that take none. 0, or -EINVAL and *ret_why. */
typedef int (*flag_fn)(struct draft *draft, const char *value, char **ret_why);

struct flag {
	const char *name;
	bool takes_value; /* "-p 22" or "-p22" */
	flag_fn apply;
};

/* ---- flags that both know ----------------------------------------------------------------------- */

static int flag_options(struct draft *draft, const char *value, char **ret_why)
{
	return table_apply_list(draft, value, ret_why);
}

static int flag_help(struct draft *draft, const char *value, char **ret_why)
{
	draft->options->action = OPTIONS_HELP;
	return 0;
}

static int flag_version(struct draft *draft, const char *value, char **ret_why)
{
	draft->options->action = OPTIONS_VERSION;
	return 0;
}

static int flag_verbose(struct draft *draft, const char *value, char **ret_why)
{
	draft->options->verbose = true;
	return 0;
}

static int flag_nothing(struct draft *draft, const char *value, char **ret_why)
{
	return 0;
}

static int flag_read_only(struct draft *draft, const char *value, char **ret_why)
{
	return table_apply(draft, "ro", ret_why);
}

/* ---- sshfs's own -------------------------------------------------------------------------------- */

static int flag_debug(struct draft *draft, const char *value, char **ret_why)
{
	return table_apply(draft, "debug", ret_why);
}

static int flag_foreground(struct draft *draft, const char *value, char **ret_why)
{
	draft->options->foreground = true;
	return 0;
}

static int flag_single(struct draft *draft, const char *value, char **ret_why)
{
	draft->options->fs.single_threaded = true;
	return 0;
}

static int flag_port(struct draft *draft, const char *value, char **ret_why)
{
	draft_add_ssh_arg(draft, "-oPort=%s", value);
	return 0;
}

static int flag_compress(struct draft *draft, const char *value, char **ret_why)
{
	draft_add_ssh_arg(draft, "-oCompression=yes");
	return 0;
}

static int flag_config(struct draft *draft, const char *value, char **ret_why)
{
	draft_add_ssh_arg(draft, "-F%s", value);
	return 0;
}

static int flag_protocol_1(struct draft *draft, const char *value, char **ret_why)
{
	return table_apply(draft, "ssh_protocol=1", ret_why);
}

static int set_action(struct draft *draft, enum options_action action, char **ret_why)
{
	if (draft->options->action != OPTIONS_MOUNT && draft->options->action != action) {
		*ret_why = g_strdup("`--stats' and `--refresh' do not go together");
		return -EINVAL;
	}
	draft->options->action = action;
	return 0;
}

static int flag_stats(struct draft *draft, const char *value, char **ret_why)
{
	return set_action(draft, OPTIONS_STATS, ret_why);
}

static int flag_refresh(struct draft *draft, const char *value, char **ret_why)
{
	return set_action(draft, OPTIONS_REFRESH, ret_why);
}

static int flag_json(struct draft *draft, const char *value, char **ret_why)
{
	draft->options->json = true;
	return 0;
}

static const struct flag sshfs_flags[] = {
	{"-h", false, flag_help},
	{"--help", false, flag_help},
	{"-V", false, flag_version},
	{"--version", false, flag_version},
	{"-o", true, flag_options},
	{"-d", false, flag_debug},
	{"--debug", false, flag_debug},
	{"-f", false, flag_foreground},
	{"-s", false, flag_single},
	{"-p", true, flag_port},
	{"-C", false, flag_compress},
	{"-F", true, flag_config},
	{"-1", false, flag_protocol_1},
	{"-v", false, flag_verbose},
	{"--verbose", false, flag_verbose},
	{"-r", false, flag_read_only},
	{"-n", false, flag_nothing},
	{"--stats", false, flag_stats},
	{"--json", false, flag_json},
	{"--refresh", false, flag_refresh},
	{NULL, false, NULL},
};

/* ---- mount(8)'s ---------------------------------------------------------------------------------- */

static int flag_sloppy(struct draft *draft, const char *value, char **ret_why)
{
	draft->sloppy = true;
	return 0;
}

static int flag_fake(struct draft *draft, const char *value, char **ret_why)
{
	draft->options->action = OPTIONS_NOTHING;
	return 0;
}

/* mount(8) leaves the change of namespace to us. To mount in another one than asked for is no answer. */
static int flag_namespace(struct draft *draft, const char *value, char **ret_why)
{
	*ret_why = g_strdup("'-N' is not possible: enter the namespace to mount there, by "
	                    "`nsenter --mount=NAMESPACE mount ...'");
	return -EINVAL;
}

static const struct flag mount_flags[] = {
	{"-h", false, flag_help},     {"--help", false, flag_help},
	{"-V", false, flag_version},  {"--version", false, flag_version},
	{"-o", true, flag_options},   {"-s", false, flag_sloppy},
	{"-f", false, flag_fake},     {"-n", false, flag_nothing},
	{"-v", false, flag_verbose},  {"-r", false, flag_read_only},
	{"-w", false, flag_nothing},  {"-t", true, flag_nothing},
	{"-N", true, flag_namespace}, {NULL, false, NULL},
};

/* ---- words --------------------------------------------------------------------------------------- */

static const struct flag *dialect_of(const char *program)
{
	/* Before Linux 5.18 a program may be started without even a name. */
	g_autofree char *name = g_path_get_basename(program ? program : "");

	return g_str_has_prefix(name, "mount.") ? mount_flags : sshfs_flags;
}

static const struct flag *find_flag(const struct flag *flags, const char *word)
{
	for (const struct flag *flag = flags; flag->name; flag++) {
		if (!strcmp(word, flag->name))
			return flag;
		if (flag->takes_value && g_str_has_prefix(word, flag->name))
			return flag;
	}
	return NULL;
}

/* "-sfnv" is "-s -f -n -v" in mount(8)'s dialect. */
static bool is_bundle(const struct flag *flags, const char *word)
{
	if (flags != mount_flags || strlen(word) < 3 || word[1] == '-')
		return false;
	for (const char *c = word + 1; *c; c++) {
		char single[] = {'-', *c, '\0'};
		const struct flag *flag = find_flag(flags, single);

		if (!flag || flag->takes_value)
			return false;
	}
	return true;
}

static int apply_bundle(struct draft *draft, const char *word, char **ret_why)
{
	int error = 0;

	for (const char *c = word + 1; *c && !error; c++) {
		char single[] = {'-', *c, '\0'};

		error = find_flag(mount_flags, single)->apply(draft, NULL, ret_why);
	}
	return error;
}

/* A word that is no flag. The mountpoint may stand in front of the source, as libfuse allows. */
static int take_word(struct draft *draft, const char *word, char **ret_why)
{
	if (draft_is_about_a_mount(draft) && (draft->source || draft->mountpoint)) {
		*ret_why = g_strdup_printf("invalid argument `%s': one path is wanted", word);
		return -EINVAL;
	}
	if (!draft->source && source_is(word)) {
		draft->source = (char *)word;
	} else if (!draft->source && !strchr(word, ':') && strchr(word, '[')) {
		draft->source = (char *)word;
	} else if (!draft->mountpoint) {
		draft->mountpoint = (char *)word;
	} else if (!draft->source) {
		*ret_why = g_strdup_printf("missing host: `%s' has no colon, as in `HOST:DIR'",
		                           draft->mountpoint);
		return -EINVAL;
	} else {
		*ret_why = g_strdup_printf("invalid argument `%s'", word);
		return -EINVAL;
	}
	return 0;
}

/* Applies the flag at argv[*index], which moves over its value. */
static int take_flag(struct draft *draft, const struct flag *flags, char **argv, int *index,
                     char **ret_why)
{
	const char *word = argv[*index];
	const struct flag *flag = find_flag(flags, word);
	const char *value = NULL;

	if (!flag && is_bundle(flags, word))
		return apply_bundle(draft, word, ret_why);
	if (!flag) {
		g_ptr_array_add(draft->unknown, g_strdup(word));
		return 0;
	}
	if (flag->takes_value) {
		value = word + strlen(flag->name);
		if (!*value)
			value = argv[*index + 1] ? argv[++*index] : NULL;
		/* ssh would take its next argument for the value of "-F". */
		if (!value || (!*value && flag->apply != flag_options)) {
			*ret_why = g_strdup_printf("missing argument after `%s'", word);
			return -EINVAL;
		}
	}
	return flag->apply(draft, value, ret_why);
}

int dialect_read(struct draft *draft, int argc, char **argv, char **ret_why)
{
	const struct flag *flags = dialect_of(argv[0]);
	bool flags_over = false;

	for (int i = 1; i < argc; i++) {
		bool is_flag = !flags_over && argv[i][0] == '-' && argv[i][1];
		int error;

		if (is_flag && !strcmp(argv[i], "--")) {
			flags_over = true;
			continue;
		}
		error = is_flag ? take_flag(draft, flags, argv, &i, ret_why)
		                : take_word(draft, argv[i], ret_why);
		if (error)
			return error;
		if (draft->options->action == OPTIONS_HELP ||
		    draft->options->action == OPTIONS_VERSION)
			return 0;
	}
	return 0;
}
