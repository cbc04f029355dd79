// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See interrupt.h. A remote file system may be slow, and programs that take signals all the time (git's
 * progress timer, debuggers, garbage collectors) must not see EINTR from stat(2). A program that was
 * killed must go, though, however long the server is silent: the kernel waits for our answer even
 * then. So a request is given up when its caller is dying; and, once it has been waiting for a second,
 * when its caller was asked to stop (^C) but catches that signal, which it cannot before we answer.
 *
 * The kernel tells us of the first signal only (FUSE_INTERRUPT); the one that kills may be the second,
 * and the telling needs a free worker. So a watcher looks at the callers, too: of interrupted
 * requests ten times a second, of all that have been waiting for a second. It sleeps while nothing
 * is served.
 *
 * The race that shaped it: between a look at /proc and the verdict the thread may have gone on to the next
 * request. Hence the serial number: the verdict only counts for the request it was passed on.
 */
#include "interrupt.h"

#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "lock.h"
#include "thread.h"
#include "util.h"

#define TICK_NS      (100 * CLOCK_NS_PER_MS) /* between looks at interrupted requests */
#define LONG_NS      (1 * CLOCK_NS_PER_SEC)  /* a request that took so long is looked at, too */
#define LINGER_TICKS 20 /* without a request, before the watcher goes to sleep */

struct interrupt {
	struct sftp_cancel *cancel;    /* set once; bound to the owning thread */
	struct interrupt *prev, *next; /* list of those that serve; protected by watch.lock */
	uint64_t serial;               /* of the request; protected by watch.lock */
	uint64_t since_ns;             /* protected by watch.lock */
	pid_t caller;                  /* protected by watch.lock */
	bool serving, interrupted;     /* protected by watch.lock */
};

/* One for the process, as libfuse's worker threads know of no session. */
static struct {
	pthread_mutex_t lock;
	pthread_once_t once;
	pthread_cond_t wake;       /* the watcher, when it is asleep */
	struct interrupt *serving; /* protected by lock */
	uint64_t last_serial;      /* protected by lock */
	bool running, asleep;      /* the watcher; protected by lock */
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

/* ---- is the caller dying? --------------------------------------------------------------------- */

/* Those that end a program with a core dump are not turned into SIGKILL. */
static const int core_signals[] = {SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS,
                                   SIGFPE,  SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS};

/* Those that ask a program to stop. */
static const int stop_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static uint64_t signal_bit(int number)
{
	return UINT64_C(1) << (number - 1);
}

static bool read_proc(pid_t thread, const char *file, char *buf, size_t size)
{
	char path[64];
	util_autofd fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)thread, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	buf[MAX(n, 0)] = '\0';
	return n > 0;
}

/* A line "Name:\t0000000000004000" of /proc/PID/status; 0 when there is none. */
static uint64_t signal_set(const char *status, const char *name)
{
	const char *line = strstr(status, name);

	return line ? strtoull(line + strlen(name), NULL, 16) : 0;
}

static uint64_t signal_mask(const int *numbers, size_t count)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < count; i++)
		mask |= signal_bit(numbers[i]);
	return mask;
}

static bool has_signal_to_stop(pid_t thread, bool even_caught)
{
	char status[4096];
	uint64_t pending, ignored, caught;

	if (!read_proc(thread, "status", status, sizeof(status)))
		return false;
	pending = signal_set(status, "\nSigPnd:") | signal_set(status, "\nShdPnd:");
	ignored = signal_set(status, "\nSigBlk:") | signal_set(status, "\nSigIgn:");
	caught = signal_set(status, "\nSigCgt:");
	if (pending & signal_bit(SIGKILL))
		return true;
	pending &= ~ignored;
	if (even_caught && pending & signal_mask(stop_signals, G_N_ELEMENTS(stop_signals)))
		return true;
	return pending & ~caught & signal_mask(core_signals, G_N_ELEMENTS(core_signals));
}

/*
 * A killed process closes its files, and waits in FLUSH, after its signals are gone. Then its exit
 * code, the last of the 52 fields of /proc/PID/stat, names the signal.
 */
static bool was_killed(pid_t thread)
{
	char stat[2048];
	const char *field;

	if (!read_proc(thread, "stat", stat, sizeof(stat)))
		return false;
	field = strrchr(stat, ')');
	for (int i = 2; field && i < 52; i++)
		field = strchr(field + 1, ' ');
	return field && (strtol(field, NULL, 10) & 0x7f) != 0;
}

/* `waits_long`: it is enough that the caller was asked to stop. */
static bool is_to_be_given_up(pid_t caller, bool waits_long)
{
	return caller > 0 && (has_signal_to_stop(caller, waits_long) || was_killed(caller));
}

/* ---- the watcher ------------------------------------------------------------------------------ */

struct suspect {
	struct interrupt *interrupt;
	uint64_t serial;
	pid_t caller;
	bool waits_long;
};

static void find_suspects_locked(GArray *suspects)
{
	uint64_t now = clock_now_ns();

	for (struct interrupt *it = watch.serving; it; it = it->next) {
		bool waits_long = now - it->since_ns >= LONG_NS;
		struct suspect suspect = {it, it->serial, it->caller, waits_long};

		if (it->interrupted || waits_long)
			g_array_append_val(suspects, suspect);
	}
}

static bool is_still_serving_locked(const struct suspect *suspect)
{
	for (struct interrupt *it = watch.serving; it; it = it->next) {
		if (it == suspect->interrupt)
			return it->serial == suspect->serial;
	}
	return false;
}

static void judge(const struct suspect *suspect)
{
	if (!is_to_be_given_up(suspect->caller, suspect->waits_long))
		return;
	LOCK_SCOPE(&watch.lock);
	if (is_still_serving_locked(suspect))
		sftp_cancel_raise(suspect->interrupt->cancel);
}

/* Returns false when nothing was served. */
static bool look_once(void)
{
	g_autoptr(GArray) suspects = g_array_new(FALSE, FALSE, sizeof(struct suspect));
	bool busy;

	pthread_mutex_lock(&watch.lock);
	busy = watch.serving;
	find_suspects_locked(suspects);
	pthread_mutex_unlock(&watch.lock);
	for (guint i = 0; i < suspects->len; i++)
		judge(&g_array_index(suspects, struct suspect, i));
	return busy;
}

static void *watcher(void *unused)
{
	unsigned int idle = 0;

	for (;;) {
		pthread_mutex_lock(&watch.lock);
		if (idle < LINGER_TICKS) {
			lock_cond_wait_for(&watch.wake, &watch.lock, TICK_NS);
		} else {
			watch.asleep = true;
			while (watch.asleep)
				pthread_cond_wait(&watch.wake, &watch.lock);
		}
		pthread_mutex_unlock(&watch.lock);
		idle = look_once() ? 0 : idle + 1;
	}
	return NULL;
}

static void start_watcher_locked(void)
{
	pthread_t thread;

	if (watch.running || thread_start(&thread, watcher, NULL) != 0)
		return;
	pthread_detach(thread);
	watch.running = true;
}

/* ---- the threads that serve ------------------------------------------------------------------- */

static void prepare_watch(void)
{
	lock_cond_init(&watch.wake);
}

static void thread_ends(void *data)
{
	struct interrupt *interrupt = data;

	sftp_cancel_bind(NULL);
	sftp_cancel_free(interrupt->cancel);
	g_free(interrupt);
}

static GPrivate mine = G_PRIVATE_INIT(thread_ends);

static struct interrupt *of_this_thread(void)
{
	struct interrupt *interrupt = g_private_get(&mine);

	if (!interrupt) {
		interrupt = g_new0(struct interrupt, 1);
		interrupt->cancel = sftp_cancel_new();
		sftp_cancel_bind(interrupt->cancel);
		g_private_set(&mine, interrupt);
	}
	return interrupt;
}

/* Called by libfuse on another worker, with the request locked: it cannot be replied to meanwhile. */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct interrupt *interrupt = data;
	bool dying = is_to_be_given_up(fuse_req_ctx(req)->pid, false);
	LOCK_SCOPE(&watch.lock);

	interrupt->interrupted = true;
	if (dying)
		sftp_cancel_raise(interrupt->cancel);
}

static void add_serving_locked(struct interrupt *interrupt, pid_t caller)
{
	interrupt->serving = true;
	interrupt->interrupted = false;
	interrupt->serial = ++watch.last_serial;
	interrupt->since_ns = clock_now_ns();
	interrupt->caller = caller;
	interrupt->prev = NULL;
	interrupt->next = watch.serving;
	if (watch.serving)
		watch.serving->prev = interrupt;
	watch.serving = interrupt;
}

static void remove_serving_locked(struct interrupt *interrupt)
{
	interrupt->serving = false;
	if (interrupt->prev)
		interrupt->prev->next = interrupt->next;
	else
		watch.serving = interrupt->next;
	if (interrupt->next)
		interrupt->next->prev = interrupt->prev;
}

struct interrupt *interrupt_begin(fuse_req_t req)
{
	struct interrupt *interrupt = of_this_thread();

	pthread_once(&watch.once, prepare_watch);
	sftp_cancel_reset(interrupt->cancel);
	pthread_mutex_lock(&watch.lock);
	add_serving_locked(interrupt, fuse_req_ctx(req)->pid);
	start_watcher_locked();
	if (watch.asleep) {
		watch.asleep = false;
		pthread_cond_signal(&watch.wake);
	}
	pthread_mutex_unlock(&watch.lock);
	fuse_req_interrupt_func(req, on_interrupt, interrupt);
	return interrupt;
}

void interrupt_end(struct interrupt *interrupt, fuse_req_t req)
{
	/* Waits for an on_interrupt() that is under way. */
	fuse_req_interrupt_func(req, NULL, NULL);
	LOCK_SCOPE(&watch.lock);
	if (interrupt->serving)
		remove_serving_locked(interrupt);
}
