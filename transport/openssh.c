// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See openssh.h. One ssh(1) a stream, and one small thread beside it, the *minder*, that keeps the last
 * of what ssh prints (shown only when somebody looks, or when the connection fails) and reaps it.
 *
 * Terminals. ssh asks for passwords, passphrases and host keys on /dev/tty, and a process group in the
 * background that reads its terminal is stopped. So while we have a controlling terminal, ssh stays in
 * our process group; without one nothing can be asked, and ssh gets a group of its own, out of reach
 * of signals meant for us. With password_stdin it gets a terminal (and session) of its own.
 *
 * ControlPersist. A master that ssh leaves behind keeps our stderr pipe open for as long as it lives:
 * the end of stderr is therefore never waited for, the end of the child is.
 *
 * Descriptors that our caller left open reach ssh on purpose (sshpass -d, <(...)); none of ours does.
 */
#include "openssh.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "askpass.h"
#include "lock.h"
#include "socket.h"
#include "util.h"

#define WORDS_KEPT      4096                   /* bytes of ssh's last words */
#define WORDS_SHOWN     3                      /* lines of them in a message */
#define SOCKET_BUFFER   (1 * MIB)              /* asked for each way; the kernel may grant less */
#define LAST_WORDS_NS   (2 * CLOCK_NS_PER_SEC) /* why_ended() waits that long at most */
#define END_PATIENCE_NS CLOCK_NS_PER_SEC       /* after the end of input, and again after SIGTERM */
#define KILL_PATIENCE_NS \
	(5 * CLOCK_NS_PER_SEC) /* after SIGKILL: a child stuck in the kernel is left */

struct openssh {
	struct transport transport;
	char *host;       /* set once */
	bool show_stderr; /* set once */
	int sock;         /* set once; ssh's stdin and stdout are at its other end */
	int words_fd;     /* set once; ssh's stderr, read by the minder */
	int terminal;     /* set once; master of ssh's terminal with password_stdin, else -1 */
	int pidfd;        /* set once */
	int wake_fd;      /* set once; eventfd that makes the minder look at the two flags below */
	pid_t pid;        /* set once */
	pthread_t minder;

	pthread_mutex_t lock;
	pthread_cond_t ended_cond;
	bool answered; /* the prompt, if any, is over: the terminal is drained; protected by lock */
	bool leaving;  /* the minder is to end at once; protected by lock */
	bool ended;    /* ssh has been reaped; protected by lock */
	int status;    /* waitpid()'s, valid once ended; protected by lock */
	GString *words; /* the last WORDS_KEPT bytes of stderr; protected by lock */
};

static struct openssh *openssh_of(struct transport *transport)
{
	return util_container_of(transport, struct openssh, transport);
}

/* ---- argv and environment ---------------------------------------------------------------------- */

char **openssh_argv(const struct transport_settings *settings)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new();

	for (char **word = settings->ssh_command; *word; word++)
		g_ptr_array_add(argv, g_strdup(*word));
	g_ptr_array_add(argv, g_strdup("-x"));
	g_ptr_array_add(argv, g_strdup("-a"));
	g_ptr_array_add(argv, g_strdup("-oClearAllForwardings=yes"));
	for (char **word = settings->ssh_args; word && *word; word++)
		g_ptr_array_add(argv, g_strdup(*word));
	if (settings->password_stdin)
		g_ptr_array_add(argv, g_strdup("-oNumberOfPasswordPrompts=1"));
	g_ptr_array_add(argv, g_strdup_printf("-%d", settings->ssh_protocol));
	if (!strchr(settings->sftp_server, '/'))
		g_ptr_array_add(argv, g_strdup("-s"));
	g_ptr_array_add(argv, g_strdup("--"));
	g_ptr_array_add(argv, g_strdup(settings->host));
	g_ptr_array_add(argv, g_strdup(settings->sftp_server));
	g_ptr_array_add(argv, NULL);
	return (char **)g_ptr_array_free(g_steal_pointer(&argv), FALSE);
}

/* OLDPWD could be below the mountpoint, where nobody answers yet. */
static char **child_environment(void)
{
	return g_environ_unsetenv(g_get_environ(), "OLDPWD");
}

static bool has_controlling_terminal(void)
{
	util_autofd tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

	return tty >= 0;
}

/* ---- the child --------------------------------------------------------------------------------- */

/* All that the child needs, made before fork(): behind it only async-signal-safe calls are allowed. */
struct launch {
	char **argv, **envp;
	int stream;   /* its stdin and stdout */
	int words;    /* its stderr */
	int terminal; /* slave of its own terminal, or -1 */
	bool own_group;
	int report; /* errno of a failed exec goes here */
};

/* Signals that our caller ignores (nohup) stay ignored; what we block or ignore ourselves does not. */
static void reset_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int take_terminal(int slave)
{
	if (setsid() < 0)
		return -1;
	return ioctl(slave, TIOCSCTTY, 0);
}

static void child_main(const struct launch *launch) G_GNUC_NORETURN;
static void child_main(const struct launch *launch)
{
	int error;

	reset_signals();
	if (launch->terminal >= 0) {
		if (take_terminal(launch->terminal) < 0)
			goto fail;
	} else if (launch->own_group) {
		setpgid(0, 0);
	}
	if (dup2(launch->stream, STDIN_FILENO) < 0 || dup2(launch->stream, STDOUT_FILENO) < 0 ||
	    dup2(launch->words, STDERR_FILENO) < 0)
		goto fail;
	if (chdir("/") < 0)
		goto fail;
	execvpe(launch->argv[0], launch->argv, launch->envp);
fail:
	error = errno;
	if (write(launch->report, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

/* Forks with all signals blocked, so that no handler of ours runs in the child. */
static pid_t fork_child(const struct launch *launch)
{
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		child_main(launch);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid;
}

/* Starts the child; returns its pid once it runs `argv`, or the -errno of what failed. */
static pid_t start_child(struct launch *launch)
{
	int report[2], error = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	launch->report = report[1];
	pid = fork_child(launch);
	if (pid < 0)
		error = errno;
	close(report[1]);
	if (pid > 0) {
		do {
			n = read(report[0], &error, sizeof(error));
		} while (n < 0 && errno == EINTR);
		if (n != sizeof(error))
			error = 0;
		else
			waitpid(pid, NULL, 0);
	}
	close(report[0]);
	return error ? -error : pid;
}

/* ---- the minder -------------------------------------------------------------------------------- */

static void keep_words(struct openssh *ssh, const char *bytes, size_t size)
{
	LOCK_SCOPE(&ssh->lock);
	g_string_append_len(ssh->words, bytes, (gssize)size);
	if (ssh->words->len > WORDS_KEPT)
		g_string_erase(ssh->words, 0, (gssize)(ssh->words->len - WORDS_KEPT));
}

/* Reads once; false at the end of stderr, or when nothing is there. */
static bool read_words(struct openssh *ssh)
{
	char buf[1024];
	ssize_t n = read(ssh->words_fd, buf, sizeof(buf));

	if (n <= 0)
		return n < 0 && errno == EINTR;
	keep_words(ssh, buf, (size_t)n);
	/* Shown as it comes; a reader that went away is no concern of ours. */
	if (ssh->show_stderr && write(STDERR_FILENO, buf, (size_t)n) < 0)
		ssh->show_stderr = false;
	return true;
}

static void note_end(struct openssh *ssh)
{
	int status = 0;

	while (read_words(ssh))
		;
	while (waitpid(ssh->pid, &status, 0) < 0 && errno == EINTR)
		;
	LOCK_SCOPE(&ssh->lock);
	ssh->status = status;
	ssh->ended = true;
	pthread_cond_broadcast(&ssh->ended_cond);
}

/* Nobody answers a second prompt; its text is read so that ssh is not stuck behind it. */
static bool drain_terminal(int terminal)
{
	char buf[256];
	ssize_t n = read(terminal, buf, sizeof(buf));

	explicit_bzero(buf, sizeof(buf));
	return n > 0 || (n < 0 && errno == EINTR);
}

/* Sets one of the minder's flags and makes it look. */
static void tell_minder(struct openssh *ssh, bool *flag)
{
	pthread_mutex_lock(&ssh->lock);
	*flag = true;
	pthread_mutex_unlock(&ssh->lock);
	eventfd_write(ssh->wake_fd, 1);
}

enum { WORDS, TERMINAL, CHILD, WAKE, MINDED };

/* False when the minder is to leave. Until the prompt is answered, askpass reads the terminal. */
static bool look_at_flags(struct openssh *ssh, struct pollfd *fds)
{
	eventfd_t count;

	eventfd_read(ssh->wake_fd, &count);
	LOCK_SCOPE(&ssh->lock);
	if (ssh->answered)
		fds[TERMINAL].fd = ssh->terminal;
	return !ssh->leaving;
}

static void *minder_main(void *data)
{
	struct openssh *ssh = data;
	struct pollfd fds[MINDED] = {
		[WORDS] = {.fd = ssh->words_fd, .events = POLLIN},
		[TERMINAL] = {.fd = -1, .events = POLLIN},
		[CHILD] = {.fd = ssh->pidfd, .events = POLLIN},
		[WAKE] = {.fd = ssh->wake_fd, .events = POLLIN},
	};

	for (;;) {
		if (poll(fds, MINDED, -1) < 0)
			continue;
		if (fds[WORDS].revents && !read_words(ssh))
			fds[WORDS].fd = -1;
		if (fds[TERMINAL].revents && !drain_terminal(ssh->terminal))
			fds[TERMINAL].fd = -1;
		if (fds[CHILD].revents) {
			note_end(ssh);
			break;
		}
		if (fds[WAKE].revents && !look_at_flags(ssh, fds))
			break;
	}
	return NULL;
}

static int start_minder(struct openssh *ssh)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&ssh->minder, NULL, minder_main, ssh);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

/* Waits until ssh has ended, `span_ns` at most; true when it has. */
static bool wait_ended(struct openssh *ssh, uint64_t span_ns)
{
	uint64_t end = clock_add(clock_now_ns(), span_ns);

	LOCK_SCOPE(&ssh->lock);
	while (!ssh->ended) {
		uint64_t now = clock_now_ns();

		if (now >= end)
			return false;
		lock_cond_wait_for(&ssh->ended_cond, &ssh->lock, end - now);
	}
	return true;
}

/* ---- the stream -------------------------------------------------------------------------------- */

static ssize_t openssh_read(struct transport *transport, void *buf, size_t size)
{
	return socket_read(openssh_of(transport)->sock, buf, size);
}

static ssize_t openssh_write(struct transport *transport, const struct iovec *iov, int count)
{
	return socket_write(openssh_of(transport)->sock, iov, count);
}

static int openssh_wait_writable(struct transport *transport)
{
	return socket_wait_writable(openssh_of(transport)->sock);
}

static int openssh_splice_fd(struct transport *transport)
{
	return openssh_of(transport)->sock;
}

static void openssh_shutdown(struct transport *transport)
{
	socket_shutdown(openssh_of(transport)->sock);
}

static bool is_telling(const char *line)
{
	return *line && !g_str_has_prefix(line, "debug") &&
	       !g_str_has_prefix(line, "Warning: Permanently added");
}

/* The last few telling lines of stderr in one, or NULL. */
static char *last_words_locked(struct openssh *ssh)
{
	g_auto(GStrv) lines = g_strsplit_set(ssh->words->str, "\r\n", -1);
	g_autoptr(GPtrArray) telling = g_ptr_array_new();
	unsigned int first;

	for (char **line = lines; *line; line++) {
		if (is_telling(g_strstrip(*line)))
			g_ptr_array_add(telling, *line);
	}
	if (telling->len == 0)
		return NULL;
	first = telling->len > WORDS_SHOWN ? telling->len - WORDS_SHOWN : 0;
	g_ptr_array_add(telling, NULL);
	return g_strjoinv(" / ", (char **)telling->pdata + first);
}

static char *describe_status(int status)
{
	if (WIFSIGNALED(status))
		return g_strdup_printf("was ended by signal %d (%s)", WTERMSIG(status),
		                       strsignal(WTERMSIG(status)));
	return g_strdup_printf("ended with status %d", WEXITSTATUS(status));
}

static char *openssh_why_ended(struct transport *transport)
{
	struct openssh *ssh = openssh_of(transport);
	g_autofree char *words = NULL;
	g_autofree char *end = NULL;

	wait_ended(ssh, LAST_WORDS_NS);
	LOCK_SCOPE(&ssh->lock);
	words = last_words_locked(ssh);
	if (ssh->ended)
		end = describe_status(ssh->status);
	if (words)
		return g_strdup_printf("ssh to %s said: %s", ssh->host, words);
	if (end)
		return g_strdup_printf("ssh to %s %s without a word", ssh->host, end);
	return NULL;
}

static void stop_child(struct openssh *ssh)
{
	socket_shutdown(ssh->sock);
	if (wait_ended(ssh, END_PATIENCE_NS))
		return;
	kill(ssh->pid, SIGTERM);
	if (wait_ended(ssh, END_PATIENCE_NS))
		return;
	kill(ssh->pid, SIGKILL);
	if (!wait_ended(ssh, KILL_PATIENCE_NS))
		tell_minder(ssh, &ssh->leaving);
}

static void close_all(struct openssh *ssh)
{
	util_close_fd(&ssh->sock);
	util_close_fd(&ssh->words_fd);
	util_close_fd(&ssh->terminal);
	util_close_fd(&ssh->pidfd);
	util_close_fd(&ssh->wake_fd);
}

static void destroy(struct openssh *ssh)
{
	close_all(ssh);
	pthread_cond_destroy(&ssh->ended_cond);
	pthread_mutex_destroy(&ssh->lock);
	g_string_free(ssh->words, TRUE);
	g_free(ssh->host);
	g_free(ssh);
}

static void openssh_free(struct transport *transport)
{
	struct openssh *ssh = openssh_of(transport);

	stop_child(ssh);
	pthread_join(ssh->minder, NULL);
	destroy(ssh);
}

static const struct transport_ops openssh_ops = {
	.read = openssh_read,
	.write = openssh_write,
	.wait_writable = openssh_wait_writable,
	.splice_fd = openssh_splice_fd,
	.shutdown = openssh_shutdown,
	.why_ended = openssh_why_ended,
	.free = openssh_free,
};

/* ---- start ------------------------------------------------------------------------------------- */

static struct openssh *openssh_new(const struct transport_settings *settings)
{
	struct openssh *ssh = g_new0(struct openssh, 1);

	ssh->transport.ops = &openssh_ops;
	ssh->host = g_strdup(settings->host);
	ssh->show_stderr = settings->show_stderr;
	ssh->sock = ssh->words_fd = ssh->terminal = ssh->pidfd = ssh->wake_fd = -1;
	pthread_mutex_init(&ssh->lock, NULL);
	lock_cond_init(&ssh->ended_cond);
	ssh->words = g_string_new(NULL);
	return ssh;
}

static void widen(int sock)
{
	int size = SOCKET_BUFFER;

	setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/* The child's ends are in *launch, ours in *ssh. */
static int make_descriptors(struct openssh *ssh, struct launch *launch, bool own_terminal)
{
	int stream[2], words[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) < 0)
		return -errno;
	ssh->sock = stream[0];
	launch->stream = stream[1];
	widen(stream[0]);
	widen(stream[1]);
	if (pipe2(words, O_CLOEXEC) < 0)
		return -errno;
	ssh->words_fd = words[0];
	launch->words = words[1];
	fcntl(ssh->words_fd, F_SETFL, O_NONBLOCK);
	ssh->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ssh->wake_fd < 0)
		return -errno;
	if (own_terminal) {
		ssh->terminal = askpass_open_terminal(&launch->terminal);
		if (ssh->terminal < 0)
			return ssh->terminal;
	}
	return 0;
}

/* Runs the child and its minder; on success the child is ours to stop. */
static int launch_child(struct openssh *ssh, struct launch *launch)
{
	pid_t pid = start_child(launch);
	int error;

	if (pid < 0)
		return pid;
	ssh->pid = pid;
	ssh->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	error = ssh->pidfd < 0 ? -errno : start_minder(ssh);
	if (error) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return error;
}

static int launch_ssh(struct openssh *ssh, const struct transport_settings *settings,
                      bool own_terminal)
{
	g_auto(GStrv) argv = openssh_argv(settings);
	g_auto(GStrv) envp = child_environment();
	struct launch launch = {
		.argv = argv,
		.envp = envp,
		.stream = -1,
		.words = -1,
		.terminal = -1,
		.own_group = !has_controlling_terminal(),
	};
	int error = make_descriptors(ssh, &launch, own_terminal);

	if (!error)
		error = launch_child(ssh, &launch);
	util_close_fd(&launch.stream);
	util_close_fd(&launch.words);
	util_close_fd(&launch.terminal);
	return error;
}

static char *why_unanswered(int error)
{
	if (error == -ETIMEDOUT)
		return g_strdup_printf("Timeout waiting for prompt: ssh did not ask for a password "
		                       "within %d seconds",
		                       ASKPASS_TIMEOUT_SEC);
	if (error == -EACCES)
		return g_strdup(
			"ssh asks for the password again, and it is kept only with -o reconnect");
	return g_strdup_printf("failed to give ssh the password: %s", g_strerror(-error));
}

int openssh_spawn(const struct transport_settings *settings, struct askpass *askpass,
                  struct transport **ret_transport, char **ret_why)
{
	struct openssh *ssh = openssh_new(settings);
	int error = launch_ssh(ssh, settings, askpass != NULL);

	if (error) {
		*ret_why = g_strdup_printf("failed to execute '%s': %s", settings->ssh_command[0],
		                           g_strerror(-error));
		destroy(ssh);
		return error;
	}
	if (askpass)
		error = askpass_answer(askpass, ssh->terminal, ssh->sock);
	tell_minder(ssh, &ssh->answered);
	if (error) {
		*ret_why = why_unanswered(error);
		openssh_free(&ssh->transport);
		return error == -ETIMEDOUT ? -EACCES : error;
	}
	*ret_transport = &ssh->transport;
	return 0;
}
