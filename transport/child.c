/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting and minding a child process. Knows nothing of ssh.
 *
 * fork(2) may run while other threads hold any lock, so between fork and exec only async-signal-safe
 * calls are made, on what was prepared before. All our descriptors are close-on-exec; those that
 * our caller left open on purpose (sshpass -d, bash's <(...)) reach the child.
 *
 * Process group and terminal. ssh asks for passwords on /dev/tty, and a process of a background
 * group that reads there is stopped (SIGTTIN): as long as we have a terminal, the child must stay
 * in our group. But then ^C in that terminal hits it as well: of a mount in the foreground, ssh
 * would die before the last data went through it, and of a mount that a script made and which went
 * to the background long ago, ssh would die with the script. So with a terminal the child stays in
 * our group with the keyboard's signals (and the hang-up) ignored; ssh keeps ignored what it finds
 * ignored, except while it prompts, where ^C works. It always ends when its stream closes. Without
 * a terminal nobody can be asked, and the child gets a group of its own and default signals.
 *
 * The minder thread is the only one to call waitpid(2), under the lock, so a signal is never sent
 * to a process id that was given away again.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <termios.h>

#include "clock.h"
#include "lock.h"
#include "util.h"

/* How much of the child's stderr is remembered, and the longest line that is shown in one piece. */
#define WORDS_MAX (4 * KIB)

/* At most this many reads in a row, so that a chatterer cannot hold the minder; 64 KiB, a pipe. */
#define READS_MAX 16

/* How long child_end() waits for each of: leaving by itself, SIGTERM, SIGKILL. */
#define PATIENCE_NS CLOCK_NS_PER_SEC

/* How often to look for the exit on a kernel without pidfd_open(2) (before 5.3). */
#define NO_PIDFD_MS 50

enum place {
	PLACE_OUR_GROUP,   /* we have a terminal; ignore the keyboard's signals */
	PLACE_OWN_GROUP,   /* nobody to ask */
	PLACE_OWN_SESSION, /* with the terminal of the spec */
};

struct child {
	pid_t pid;        /* set once before start */
	bool leads_group; /* set once before start */
	bool show_stderr; /* set once before start */
	int exit_fd;      /* pidfd or -1; set once before start; owned */
	int wake_fd;      /* eventfd: the minder shall look again; owned */
	pthread_t minder; /* set once by child_spawn() */

	int stderr_fd; /* minder thread only; owned; -1 after its end */
	GString *line; /* minder thread only: an unfinished line to be shown */

	pthread_mutex_t lock;   /* innermost: nothing is taken under it */
	pthread_cond_t changed; /* `ended` became true */
	GString *words;         /* protected by lock */
	int master, slave;      /* the adopted terminal or -1; protected by lock; owned */
	bool reaped;            /* pid is no longer ours; protected by lock */
	int status;             /* of waitpid, once reaped; protected by lock */
	bool ended;             /* reaped, and stderr read to its end; protected by lock */
	bool abandoned;         /* child_end() went: the minder frees; protected by lock */
};

static void child_free(struct child *child)
{
	util_close_fd(&child->exit_fd);
	util_close_fd(&child->wake_fd);
	util_close_fd(&child->stderr_fd);
	util_close_fd(&child->master);
	util_close_fd(&child->slave);
	g_string_free(child->line, TRUE);
	g_string_free(child->words, TRUE);
	pthread_cond_destroy(&child->changed);
	pthread_mutex_destroy(&child->lock);
	g_free(child);
}

static struct child *child_alloc(void)
{
	struct child *child = g_new0(struct child, 1);

	child->exit_fd = child->wake_fd = child->stderr_fd = child->master = child->slave = -1;
	child->line = g_string_new(NULL);
	child->words = g_string_new(NULL);
	pthread_mutex_init(&child->lock, NULL);
	lock_cond_init(&child->changed);
	return child;
}

/* ---- minding --------------------------------------------------------------------------------- */

static void remember(struct child *child, const char *text, size_t size)
{
	LOCK_SCOPE(&child->lock);

	g_string_append_len(child->words, text, (gssize)size);
	if (child->words->len > WORDS_MAX)
		g_string_erase(child->words, 0, (gssize)(child->words->len - WORDS_MAX));
}

static void write_stderr(const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(STDERR_FILENO, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		size -= (size_t)n;
	}
}

/* Shows whole lines, so that they do not mix with ours. */
static void show(struct child *child, const char *text, size_t size)
{
	const char *last;
	size_t whole;

	g_string_append_len(child->line, text, (gssize)size);
	last = memrchr(child->line->str, '\n', child->line->len);
	whole = last ? (size_t)(last - child->line->str) + 1 : 0;
	if (child->line->len - whole > WORDS_MAX)
		whole = child->line->len;
	write_stderr(child->line->str, whole);
	g_string_erase(child->line, 0, (gssize)whole);
}

static void drain_stderr(struct child *child)
{
	char buf[WORDS_MAX];

	for (int i = 0; i < READS_MAX && child->stderr_fd >= 0; i++) {
		ssize_t got = read(child->stderr_fd, buf, sizeof(buf));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			util_close_fd(&child->stderr_fd);
			child->stderr_fd = -1;
			return;
		}
		remember(child, buf, (size_t)got);
		if (child->show_stderr)
			show(child, buf, (size_t)got);
	}
}

/* Throws away what the terminal holds; a terminal that is gone is closed. */
static void drain_terminal(struct child *child, short revents)
{
	char buf[512];
	ssize_t got;

	if (!revents)
		return;
	got = read(child->master, buf, sizeof(buf));
	explicit_bzero(buf, sizeof(buf));
	if (got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN)))
		return;
	LOCK_SCOPE(&child->lock);
	util_close_fd(&child->master);
	util_close_fd(&child->slave);
	child->master = child->slave = -1;
}

static bool reap(struct child *child)
{
	pid_t pid;

	LOCK_SCOPE(&child->lock);
	do
		pid = waitpid(child->pid, &child->status, WNOHANG);
	while (pid < 0 && errno == EINTR);
	/* Were SIGCHLD ignored by whoever started us, the kernel would have reaped it. */
	if (pid < 0)
		child->status = -1;
	child->reaped = pid != 0;
	return child->reaped;
}

static int terminal_of(struct child *child)
{
	LOCK_SCOPE(&child->lock);

	return child->master;
}

static void *mind(void *arg)
{
	struct child *child = arg;
	uint64_t woken;
	bool gone, abandoned;

	do {
		struct pollfd fds[] = {
			{.fd = child->stderr_fd, .events = POLLIN},
			{.fd = child->exit_fd, .events = POLLIN},
			{.fd = child->wake_fd, .events = POLLIN},
			{.fd = terminal_of(child), .events = POLLIN},
		};

		if (poll(fds, G_N_ELEMENTS(fds), child->exit_fd < 0 ? NO_PIDFD_MS : -1) < 0)
			continue;
		eventfd_read(child->wake_fd, &woken);
		/* Looked at first: all that it printed is in the pipe once it is gone. */
		gone = reap(child);
		drain_stderr(child);
		drain_terminal(child, fds[3].revents);
	} while (!gone);
	if (child->line->len > 0) {
		g_string_append_c(child->line, '\n');
		write_stderr(child->line->str, child->line->len);
	}

	pthread_mutex_lock(&child->lock);
	child->ended = true;
	abandoned = child->abandoned;
	pthread_cond_broadcast(&child->changed);
	pthread_mutex_unlock(&child->lock);
	if (abandoned)
		child_free(child);
	return NULL;
}

/* ---- starting: the child's side, async-signal-safe calls only -------------------------------- */

/* The keyboard's signals and the hang-up of a terminal. */
static const int terminal_signals[] = {SIGINT, SIGQUIT, SIGTSTP, SIGHUP};

static void set_signals(enum place place)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL);
	action.sa_handler = SIG_IGN;
	for (size_t i = 0; place == PLACE_OUR_GROUP && i < G_N_ELEMENTS(terminal_signals); i++)
		sigaction(terminal_signals[i], &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int take_place(enum place place, int terminal)
{
	switch (place) {
	case PLACE_OUR_GROUP:
		return 0;
	case PLACE_OWN_GROUP:
		return setpgid(0, 0);
	case PLACE_OWN_SESSION:
		if (setsid() < 0)
			return -1;
		return ioctl(terminal, TIOCSCTTY, 0);
	}
	return -1;
}

/* Never returns; writes errno to `report` when it could not become the program. */
static G_NORETURN void become(const struct child_spec *spec, enum place place, int errors,
                              int report)
{
	int error;

	/* Out of the way of 0, 1 and 2, which our caller may have closed. */
	int stream = fcntl(spec->stream, F_DUPFD_CLOEXEC, 3);
	int complaints = fcntl(errors, F_DUPFD_CLOEXEC, 3);

	report = fcntl(report, F_DUPFD_CLOEXEC, 3);
	set_signals(place);
	/* Whatever fails is reported like a failing exec. */
	if (take_place(place, spec->terminal) == 0 && chdir("/") == 0 &&
	    dup2(stream, STDIN_FILENO) >= 0 && dup2(stream, STDOUT_FILENO) >= 0 &&
	    dup2(complaints, STDERR_FILENO) >= 0)
		execvpe(spec->file, spec->argv, spec->envp);
	error = errno;
	if (write(report, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

/* ---- starting: our side ---------------------------------------------------------------------- */

static enum place choose_place(const struct child_spec *spec)
{
	util_autofd tty = -1;

	if (spec->terminal >= 0)
		return PLACE_OWN_SESSION;
	tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	return tty >= 0 ? PLACE_OUR_GROUP : PLACE_OWN_GROUP;
}

/* Waits until the program runs (the pipe closes by exec): 0 or -errno of what went wrong. */
static int read_report(int report)
{
	int error;
	ssize_t got;

	do
		got = read(report, &error, sizeof(error));
	while (got < 0 && errno == EINTR);
	return got == sizeof(error) ? -error : 0;
}

/* Forks and becomes; the caller has all signals blocked. Returns 0 or -errno; no zombie is left. */
static int start(struct child *child, const struct child_spec *spec, enum place place, int errors)
{
	int report[2], ret;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	child->pid = fork();
	if (child->pid == 0)
		become(spec, place, errors, report[1]);
	ret = child->pid < 0 ? -errno : 0;
	close(report[1]);
	if (ret == 0) {
		ret = read_report(report[0]);
		if (ret < 0)
			waitpid(child->pid, NULL, 0);
	}
	close(report[0]);
	return ret;
}

static int start_minder(struct child *child)
{
	int ret;

	child->exit_fd = pidfd_open(child->pid, 0);
	ret = pthread_create(&child->minder, NULL, mind, child);
	if (ret == 0)
		return 0;
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	return -ret;
}

static int prepare(struct child *child, int *ret_errors)
{
	int errors[2];

	child->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (child->wake_fd < 0 || pipe2(errors, O_CLOEXEC) < 0)
		return -errno;
	child->stderr_fd = errors[0];
	*ret_errors = errors[1];
	/* Only our end: the child's is another open file. */
	return fcntl(child->stderr_fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int child_spawn(const struct child_spec *spec, struct child **ret_child)
{
	enum place place = choose_place(spec);
	struct child *child = child_alloc();
	util_autofd errors = -1;
	sigset_t all, old;
	int ret;

	child->show_stderr = spec->show_stderr;
	child->leads_group = place != PLACE_OUR_GROUP;
	ret = prepare(child, &errors);
	if (ret == 0) {
		/* No handler of ours runs in the child, and none in the minder. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		ret = start(child, spec, place, errors);
		if (ret == 0)
			ret = start_minder(child);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	if (ret < 0) {
		child_free(child);
		return ret;
	}
	*ret_child = child;
	return 0;
}

/* ---- the running child ----------------------------------------------------------------------- */

int child_exit_fd(const struct child *child)
{
	return child->exit_fd;
}

void child_adopt_terminal(struct child *child, int master, int slave)
{
	LOCK_SCOPE(&child->lock);

	child->master = master;
	child->slave = slave;
	eventfd_write(child->wake_fd, 1);
}

static bool wait_ended_locked(struct child *child, uint64_t span_ns)
{
	uint64_t end = clock_add(clock_now_ns(), span_ns);
	uint64_t now;

	while (!child->ended && (now = clock_now_ns()) < end)
		lock_cond_wait_for(&child->changed, &child->lock, end - now);
	return child->ended;
}

bool child_wait(struct child *child, uint64_t span_ns, int *ret_status)
{
	LOCK_SCOPE(&child->lock);

	if (!wait_ended_locked(child, span_ns))
		return false;
	*ret_status = child->status;
	return true;
}

char *child_last_words(struct child *child)
{
	LOCK_SCOPE(&child->lock);

	return g_strndup(child->words->str, child->words->len);
}

static void send_signal_locked(struct child *child, int number)
{
	if (!child->reaped)
		kill(child->leads_group ? -child->pid : child->pid, number);
}

void child_end(struct child *child)
{
	bool ended;

	pthread_mutex_lock(&child->lock);
	ended = wait_ended_locked(child, PATIENCE_NS);
	if (!ended) {
		send_signal_locked(child, SIGTERM);
		ended = wait_ended_locked(child, PATIENCE_NS);
	}
	if (!ended) {
		send_signal_locked(child, SIGKILL);
		ended = wait_ended_locked(child, PATIENCE_NS);
	}
	child->abandoned = !ended;
	if (!ended)
		pthread_detach(child->minder);
	pthread_mutex_unlock(&child->lock);
	if (ended) {
		pthread_join(child->minder, NULL);
		child_free(child);
	}
}
