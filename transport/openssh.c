/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stream through a child ssh(1): its command line, the socketpair that is its stdin and
 * stdout, and what its last words mean. Starting and minding the process is child.c's, the answer
 * to its prompt askpass.c's.
 *
 * The prompt cannot be waited for before the stream is used: an SFTP server says nothing before it
 * is asked, so a login by key, where no prompt comes, would look like one that is still to come.
 * Hence the typist, a thread that waits for the prompt until the first byte is read.
 *
 * Everything about keys, hosts and agents is left to ssh and its configuration.
 */
#include "openssh.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "child.h"
#include "clock.h"
#include "socket.h"
#include "thread.h"
#include "util.h"

/*
 * Room in the socketpair, each way. The default (208 KiB, of which half are bookkeeping) holds
 * fewer than four 32 KiB packets; then each side wakes the other for every one. Without privileges
 * the kernel grants what net.core.wmem_max allows.
 */
#define STREAM_ROOM ((int)MIB)

/* How long ssh's last words are waited for. */
#define LAST_WORDS_NS (2 * CLOCK_NS_PER_SEC)

/* So many of ssh's lines go into a sentence: the last one often only says that it is over. */
#define LINES_TOLD 2

struct openssh {
	struct socket_stream stream; /* first: its functions serve our ops */
	struct child *child;         /* set once before start */
	char *host;                  /* set once before start */

	/* password_stdin only */
	struct askpass *askpass; /* a reference; set once before start; NULL: all below is unused */
	int master, slave; /* ssh's terminal; typist thread only, which gives them to the child */
	int stop_fd;       /* eventfd that lets the typist go; owned */
	bool heard;        /* reader thread only: the typist was told that the server speaks */
	char *trouble;     /* atomic: why the typist gave up, or NULL */
	pthread_t typist;  /* set once before start */
};

static struct openssh *openssh_of(struct transport *transport)
{
	return util_container_of(transport, struct openssh, stream.transport);
}

/* ---- why it ended ---------------------------------------------------------------------------- */

/* Lines that ssh prints also when all is well. */
static bool says_nothing(const char *line)
{
	static const char *const prefixes[] = {
		"debug1:",  "debug2:",          "debug3:",      "Warning: Permanently added",
		"** ",      "Authenticated to", "Transferred:", "Bytes per second:",
		"OpenSSH_",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(prefixes); i++)
		if (g_str_has_prefix(line, prefixes[i]))
			return true;
	return *line == '\0';
}

/* What came from afar goes to a terminal: no control characters, valid UTF-8, no outer spaces. */
static void clean_line(char *line)
{
	for (char *at = line; *at; at++)
		if (g_ascii_iscntrl(*at))
			*at = ' ';
	g_strstrip(line);
}

/* The last lines of `words` that say something, joined by "; ". */
static char *meaning_of(const char *words)
{
	g_autofree char *valid = g_utf8_make_valid(words, -1);
	g_auto(GStrv) lines = g_strsplit(valid, "\n", -1);
	const char *told[LINES_TOLD + 1] = {NULL};
	int first = LINES_TOLD;

	for (int i = (int)g_strv_length(lines) - 1; i >= 0 && first > 0; i--) {
		clean_line(lines[i]);
		if (!says_nothing(lines[i]))
			told[--first] = lines[i];
	}
	return g_strjoinv("; ", (char **)told + first);
}

static char *describe_end(const char *host, int status)
{
	if (status != -1 && WIFEXITED(status))
		return g_strdup_printf("ssh to %s ended with exit status %d", host,
		                       WEXITSTATUS(status));
	if (status != -1 && WIFSIGNALED(status))
		return g_strdup_printf("ssh to %s was ended by signal %d (%s)", host,
		                       WTERMSIG(status), strsignal(WTERMSIG(status)));
	return g_strdup_printf("ssh to %s ended", host);
}

static char *openssh_why_ended(struct transport *transport)
{
	struct openssh *openssh = openssh_of(transport);
	g_autofree char *end = NULL, *words = NULL, *meaning = NULL;
	const char *trouble = __atomic_load_n(&openssh->trouble, __ATOMIC_ACQUIRE);
	int status;

	if (trouble)
		return g_strdup_printf("ssh to %s: %s", openssh->host, trouble);
	if (child_wait(openssh->child, LAST_WORDS_NS, &status))
		end = describe_end(openssh->host, status);
	words = child_last_words(openssh->child);
	meaning = meaning_of(words);
	if (!*meaning)
		return g_steal_pointer(&end);
	if (!end)
		end = g_strdup_printf("ssh to %s", openssh->host);
	return g_strdup_printf("%s: %s", end, meaning);
}

/* ---- the typist ------------------------------------------------------------------------------ */

static void *type_when_asked(void *arg)
{
	struct openssh *openssh = arg;
	char *why;

	if (askpass_answer(openssh->askpass, openssh->master, openssh->stop_fd,
	                   child_exit_fd(openssh->child), &why) < 0) {
		__atomic_store_n(&openssh->trouble, why, __ATOMIC_RELEASE);
		socket_stream_shutdown(&openssh->stream.transport);
	}
	child_adopt_terminal(openssh->child, util_take_fd(&openssh->master),
	                     util_take_fd(&openssh->slave));
	return NULL;
}

static int start_typist(struct openssh *openssh)
{
	return thread_start(&openssh->typist, type_when_asked, openssh);
}

static void stop_typist(struct openssh *openssh)
{
	eventfd_write(openssh->stop_fd, 1);
	pthread_join(openssh->typist, NULL);
}

/* ---- the stream ------------------------------------------------------------------------------ */

static ssize_t openssh_read(struct transport *transport, void *buf, size_t size)
{
	struct openssh *openssh = openssh_of(transport);
	ssize_t got = socket_stream_read(transport, buf, size);

	if (openssh->askpass && got > 0 && !openssh->heard) {
		openssh->heard = true;
		eventfd_write(openssh->stop_fd, 1);
	}
	return got;
}

/* What is left when neither stream nor typist are there (any more). */
static void openssh_done(struct openssh *openssh)
{
	if (openssh->child)
		child_end(openssh->child);
	util_close_fd(&openssh->master);
	util_close_fd(&openssh->slave);
	util_close_fd(&openssh->stop_fd);
	askpass_unref(openssh->askpass);
	g_free(openssh->trouble);
	g_free(openssh->host);
	g_free(openssh);
}

static void openssh_free(struct transport *transport)
{
	struct openssh *openssh = openssh_of(transport);

	/* ssh leaves at the end of its input; the socket is closed so that its output cannot block. */
	socket_stream_shutdown(transport);
	if (openssh->askpass)
		stop_typist(openssh);
	socket_stream_done(&openssh->stream);
	openssh_done(openssh);
}

static const struct transport_ops openssh_ops = {
	.read = openssh_read,
	.write = socket_stream_write,
	.wait_writable = socket_stream_wait_writable,
	.splice_fd = socket_stream_splice_fd,
	.shutdown = socket_stream_shutdown,
	.why_ended = openssh_why_ended,
	.free = openssh_free,
};

/* ---- starting ssh ---------------------------------------------------------------------------- */

static void add_words(GPtrArray *argv, char **words)
{
	for (; words && *words; words++)
		g_ptr_array_add(argv, *words);
}

static void add_word(GPtrArray *argv, const char *word)
{
	g_ptr_array_add(argv, (char *)word);
}

/* The command line; the words belong to the settings and to the caller, whose are `login_words`. */
static GPtrArray *build_argv(const struct transport_settings *settings, char **login_words)
{
	GPtrArray *argv = g_ptr_array_new();

	add_words(argv, settings->ssh_command);
	add_word(argv, "-x");
	add_word(argv, "-a");
	add_word(argv, "-oClearAllForwardings=yes");
	/* ssh goes by the first that it finds. */
	add_words(argv, login_words);
	/* We have one answer only. */
	if (settings->password_stdin)
		add_word(argv, "-oNumberOfPasswordPrompts=1");
	add_words(argv, settings->ssh_args);
	add_word(argv, settings->ssh_protocol == 1 ? "-1" : "-2");
	if (!strchr(settings->sftp_server, '/'))
		add_word(argv, "-s");
	add_word(argv, "--");
	add_word(argv, settings->host);
	add_word(argv, settings->sftp_server);
	g_ptr_array_add(argv, NULL);
	return argv;
}

static void enlarge(int fd)
{
	const int room = STREAM_ROOM;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
}

/* How ssh is to be started. */
struct start {
	const struct transport_settings *settings;
	struct askpass *askpass; /* NULL: nothing to type */
	char **login_words;
	bool trial; /* it may fail, which is nobody's concern then */
};

/* Starts ssh with the other end of the new stream; 0 or -errno. */
static int start_ssh(struct openssh *openssh, const struct start *start)
{
	const struct transport_settings *settings = start->settings;
	g_autoptr(GPtrArray) argv = build_argv(settings, start->login_words);
	g_auto(GStrv) envp = g_environ_unsetenv(g_get_environ(), "OLDPWD");
	struct child_spec spec = {
		.file = settings->ssh_command[0],
		.argv = (char *const *)argv->pdata,
		.envp = envp,
		.terminal = openssh->slave,
		.show_stderr = settings->show_stderr && !start->trial,
	};
	int ends[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	enlarge(ends[0]);
	enlarge(ends[1]);
	spec.stream = ends[1];
	ret = child_spawn(&spec, &openssh->child);
	close(ends[1]);
	if (ret < 0) {
		close(ends[0]);
		return ret;
	}
	socket_stream_init(&openssh->stream, &openssh_ops, ends[0]);
	return 0;
}

/* The terminal that ssh will ask on, and what the typist needs; 0 or -errno. */
static int prepare_prompt(struct openssh *openssh, struct askpass *askpass)
{
	openssh->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (openssh->stop_fd < 0)
		return -errno;
	openssh->askpass = askpass_ref(askpass);
	return askpass_open_terminal(&openssh->master, &openssh->slave);
}

static struct openssh *openssh_alloc(const char *host)
{
	struct openssh *openssh = g_new0(struct openssh, 1);

	openssh->stream.fd = openssh->master = openssh->slave = openssh->stop_fd = -1;
	openssh->host = g_strdup(host);
	return openssh;
}

/* Prepares, starts ssh, starts the typist: 0, or -errno and a sentence. */
static int start_all(struct openssh *openssh, const struct start *start, char **ret_why)
{
	int ret = start->askpass ? prepare_prompt(openssh, start->askpass) : 0;

	if (ret < 0) {
		*ret_why =
			g_strdup_printf("failed to open a terminal for ssh: %s", g_strerror(-ret));
		return ret;
	}
	ret = start_ssh(openssh, start);
	if (ret < 0) {
		*ret_why = g_strdup_printf("failed to execute '%s': %s",
		                           start->settings->ssh_command[0], g_strerror(-ret));
		return ret;
	}
	ret = start->askpass ? start_typist(openssh) : 0;
	if (ret < 0)
		*ret_why = g_strdup_printf("failed to start a thread: %s", g_strerror(-ret));
	return ret;
}

int openssh_connect(const struct transport_settings *settings, struct login *login,
                    enum connector_way way, struct askpass *askpass,
                    struct transport **ret_transport, char **ret_why)
{
	struct start start = {.settings = settings, .askpass = askpass};
	g_auto(GStrv) words = login_words(login, way, &start.trial);
	struct openssh *openssh = openssh_alloc(settings->host);
	int ret;

	start.login_words = words;
	ret = start_all(openssh, &start, ret_why);
	if (ret < 0) {
		socket_stream_done(&openssh->stream);
		openssh_done(openssh);
		return ret;
	}
	*ret_transport = &openssh->stream.transport;
	return 0;
}
