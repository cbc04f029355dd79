// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One login for several ssh. See login.h.
 *
 * Separate logins are better where they cost nobody anything: each has its own TCP connection and its own
 * process that encrypts. So with multiplex=auto one that must not ask (BatchMode) is tried first, and if it
 * fails, the master's login is shared from then on.
 *
 * A master serves on its own login until the last that came through it has ended, and dies with the process that
 * started it, since all streams end then.
 */
#include "login.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "child.h"
#include "clock.h"
#include "lock.h"
#include "log.h"
#include "sockdir.h"
#include "util.h"

/* How long `ssh -G` may take (it may have to look up names), and how much it may say. */
#define ASK_NS  (5 * CLOCK_NS_PER_SEC)
#define ASK_MAX (256 * KIB)

struct login {
	const struct transport_settings *settings; /* set once; borrowed */

	pthread_mutex_t lock;
	/* All below: protected by lock. */
	bool decided;        /* `dir` says whether logins may be shared */
	struct sockdir *dir; /* NULL: they are not */
	char *socket;        /* of the latest master */
	bool alone_works;    /* a login of its own has worked without asking */
	bool alone_fails;    /* it has not */
};

struct login *login_new(const struct transport_settings *settings)
{
	struct login *login = g_new0(struct login, 1);

	login->settings = settings;
	pthread_mutex_init(&login->lock, NULL);
	return login;
}

void login_free(struct login *login)
{
	if (!login)
		return;
	sockdir_free(login->dir);
	g_free(login->socket);
	pthread_mutex_destroy(&login->lock);
	g_free(login);
}

/* ---- what the user has configured ------------------------------------------------------------- */

static char **build_question(const struct transport_settings *settings)
{
	GStrvBuilder *words = g_strv_builder_new();
	char **argv;

	g_strv_builder_addv(words, (const char **)settings->ssh_command);
	if (settings->ssh_args)
		g_strv_builder_addv(words, (const char **)settings->ssh_args);
	g_strv_builder_add_many(words, "-G", "--", settings->host, NULL);
	argv = g_strv_builder_end(words);
	g_strv_builder_unref(words);
	return argv;
}

/* Reads to the end; false: it takes too long, or too much is said. */
static bool read_answer(int fd, GString *answer)
{
	uint64_t end = clock_add(clock_now_ns(), ASK_NS);
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	char buf[4096];

	while (answer->len < ASK_MAX) {
		uint64_t now = clock_now_ns();
		ssize_t got;

		if (now >= end || poll(&pfd, 1, (int)((end - now) / CLOCK_NS_PER_MS) + 1) < 0)
			return false;
		got = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (got == 0)
			return true;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		g_string_append_len(answer, buf, MAX(got, 0));
	}
	return false;
}

static bool ended_well(struct child *child)
{
	int status;

	return child_wait(child, CLOCK_NS_PER_SEC, &status) && status != -1 && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

/* What `ssh -G` says of the host; NULL: nothing that makes sense. The caller frees it. */
static char *ask_ssh(const struct transport_settings *settings)
{
	g_autoptr(GString) answer = g_string_new(NULL);
	g_auto(GStrv) argv = build_question(settings);
	g_auto(GStrv) envp = g_environ_unsetenv(g_get_environ(), "OLDPWD");
	struct child_spec spec = {.file = argv[0], .argv = argv, .envp = envp, .terminal = -1};
	util_autofd ours = -1, theirs = -1;
	struct child *child;
	int ends[2];
	bool well;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return NULL;
	ours = ends[0];
	theirs = ends[1];
	shutdown(ours, SHUT_WR);
	spec.stream = theirs;
	if (child_spawn(&spec, &child) < 0)
		return NULL;
	util_close_fd(&theirs);
	theirs = -1;
	well = read_answer(ours, answer) && ended_well(child);
	shutdown(ours, SHUT_RDWR);
	child_end(child);
	return well ? g_strdup(answer->str) : NULL;
}

/* The value of a key in the answer, or NULL. */
static const char *value_of(char **lines, const char *key)
{
	size_t length = strlen(key);

	for (; *lines; lines++) {
		if (g_str_has_prefix(*lines, key) && (*lines)[length] == ' ')
			return *lines + length + 1;
	}
	return NULL;
}

static bool is_off(const char *value)
{
	return !value || !strcmp(value, "no") || !strcmp(value, "false") || !strcmp(value, "none");
}

/* True when ssh shares nothing by itself, and may ask something that sharing would save. */
static bool is_left_to_us(const struct transport_settings *settings)
{
	g_autofree char *answer = ask_ssh(settings);
	g_auto(GStrv) lines = g_strsplit(answer ? answer : "", "\n", -1);

	return value_of(lines, "hostname") && is_off(value_of(lines, "controlmaster")) &&
	       is_off(value_of(lines, "controlpath")) && is_off(value_of(lines, "batchmode"));
}

static bool is_configured(char **args)
{
	for (; args && *args; args++) {
		if (g_ascii_strncasecmp(*args, "-oControl", strlen("-oControl")) == 0)
			return true;
	}
	return false;
}

static bool shall_share(const struct transport_settings *settings)
{
	if (!settings->parallel)
		return false;
	switch (settings->multiplex) {
	case TRANSPORT_MULTIPLEX_NO:
		return false;
	case TRANSPORT_MULTIPLEX_YES:
		return true;
	case TRANSPORT_MULTIPLEX_AUTO:
		return !is_configured(settings->ssh_args) && is_left_to_us(settings);
	}
	g_assert_not_reached();
}

/* Asking ssh takes its time, but nobody else has anything to do before there is a first stream. */
static void decide_locked(struct login *login)
{
	int error;

	if (login->decided)
		return;
	login->decided = true;
	if (!shall_share(login->settings))
		return;
	error = sockdir_new(&login->dir);
	if (error)
		log_note("one login cannot be shared by several connections: no folder for its "
		         "socket: %s",
		         g_strerror(-error));
}

/* ---- ways ------------------------------------------------------------------------------------- */

static bool is_shared_locked(const struct login *login)
{
	return login->dir && login->socket &&
	       (login->alone_fails || login->settings->multiplex == TRANSPORT_MULTIPLEX_YES);
}

enum connector_way login_more_way(struct login *login)
{
	LOCK_SCOPE(&login->lock);

	return is_shared_locked(login) ? CONNECTOR_SHARED : CONNECTOR_ALONE;
}

bool login_other_way(struct login *login, enum connector_way *way)
{
	LOCK_SCOPE(&login->lock);

	if (*way != CONNECTOR_ALONE || !login->dir || login->alone_works)
		return false;
	login->alone_fails = true;
	*way = CONNECTOR_SHARED;
	return true;
}

void login_note_way(struct login *login, enum connector_way way)
{
	LOCK_SCOPE(&login->lock);

	if (way == CONNECTOR_ALONE)
		login->alone_works = true;
}

static char **master_words_locked(struct login *login)
{
	const char *words[] = {"-oControlMaster=yes", NULL, "-oControlPersist=no", NULL};
	g_autofree char *path = NULL;

	g_free(login->socket);
	login->socket = sockdir_new_path(login->dir);
	words[1] = path = g_strdup_printf("-oControlPath=%s", login->socket);
	return g_strdupv((char **)words);
}

/* Were the master gone, this would be a login of its own: it must not ask, either. */
static char **shared_words_locked(const struct login *login)
{
	const char *words[] = {"-oControlMaster=no", NULL, "-oBatchMode=yes", NULL};
	g_autofree char *path = g_strdup_printf("-oControlPath=%s", login->socket);

	words[1] = path;
	return g_strdupv((char **)words);
}

char **login_words(struct login *login, enum connector_way way, bool *ret_trial)
{
	static const char *const none[] = {NULL};
	static const char *const alone[] = {"-oBatchMode=yes", NULL};
	LOCK_SCOPE(&login->lock);

	decide_locked(login);
	*ret_trial = login->dir && way == CONNECTOR_ALONE && !login->alone_works;
	if (!login->dir)
		return g_strdupv((char **)none);
	switch (way) {
	case CONNECTOR_FIRST:
		return master_words_locked(login);
	case CONNECTOR_ALONE:
		return g_strdupv((char **)alone);
	case CONNECTOR_SHARED:
		return shared_words_locked(login);
	}
	g_assert_not_reached();
}
