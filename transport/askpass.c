/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answering ssh's password prompt. Does not start ssh, and has no other answer than the password.
 *
 * The password lives in one page of its own, which is locked, left out of core dumps and not
 * inherited by fork. It goes from there to the pseudo terminal without a copy.
 */
#include "askpass.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>

#include "clock.h"
#include "lock.h"
#include "util.h"

#define PROMPT         "assword:"
#define PROMPT_SPAN_NS (60 * CLOCK_NS_PER_SEC)

/* What of the terminal's text is kept: the prompt may come in pieces, and is told if not known. */
#define TAIL_MAX 160

struct askpass {
	int refs;             /* atomic */
	bool keep;            /* set once before start */
	size_t map_size;      /* set once before start: whole pages */
	pthread_mutex_t lock; /* innermost */
	char *secret;         /* locked memory; the text is protected by lock */
	size_t size;          /* with the newline that is typed; 0: wiped; protected by lock */
};

/* ---- the password ---------------------------------------------------------------------------- */

static int map_secret(struct askpass *askpass)
{
	void *map;

	askpass->map_size = (size_t)sysconf(_SC_PAGESIZE);
	map = mmap(NULL, askpass->map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	           0);
	if (map == MAP_FAILED)
		return -errno;
	askpass->secret = map;
	if (mlock(map, askpass->map_size) < 0)
		return -errno;
	madvise(map, askpass->map_size, MADV_DONTDUMP);
	madvise(map, askpass->map_size, MADV_DONTFORK);
	return 0;
}

/* Bytewise: what follows the line on stdin belongs to somebody else. */
static int read_secret(struct askpass *askpass)
{
	for (size_t n = 0; n <= ASKPASS_MAX; n++) {
		char *at = askpass->secret + n;
		ssize_t got;

		do
			got = read(STDIN_FILENO, at, 1);
		while (got < 0 && errno == EINTR);
		if (got < 0)
			return -errno;
		if (got == 0 && n == 0)
			return -ENODATA;
		if (got == 0 || *at == '\n') {
			*at = '\n';
			askpass->size = n + 1;
			return 0;
		}
	}
	return -EMSGSIZE;
}

static char *read_failure(int ret)
{
	if (ret == -EMSGSIZE)
		return g_strdup_printf("password is longer than %d bytes", ASKPASS_MAX);
	if (ret == -ENODATA)
		return g_strdup("failed to read password from stdin: it is empty");
	return g_strdup_printf("failed to read password from stdin: %s", g_strerror(-ret));
}

int askpass_new(bool keep, struct askpass **ret_askpass, char **ret_why)
{
	struct askpass *askpass = g_new0(struct askpass, 1);
	int ret;

	pthread_mutex_init(&askpass->lock, NULL);
	askpass->refs = 1;
	askpass->keep = keep;
	ret = map_secret(askpass);
	if (ret < 0) {
		*ret_why = g_strdup_printf("failed to lock memory for the password: %s",
		                           g_strerror(-ret));
	} else {
		ret = read_secret(askpass);
		if (ret < 0)
			*ret_why = read_failure(ret);
	}
	if (ret < 0) {
		askpass_unref(askpass);
		return ret;
	}
	*ret_askpass = askpass;
	return 0;
}

static void wipe_locked(struct askpass *askpass)
{
	explicit_bzero(askpass->secret, askpass->map_size);
	askpass->size = 0;
}

struct askpass *askpass_ref(struct askpass *askpass)
{
	__atomic_add_fetch(&askpass->refs, 1, __ATOMIC_RELAXED);
	return askpass;
}

void askpass_unref(struct askpass *askpass)
{
	if (!askpass || __atomic_sub_fetch(&askpass->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (askpass->secret) {
		wipe_locked(askpass);
		munmap(askpass->secret, askpass->map_size);
	}
	pthread_mutex_destroy(&askpass->lock);
	g_free(askpass);
}

/* ---- the terminal ---------------------------------------------------------------------------- */

/* Whatever echoes, ssh switches it off only when it asks. */
static int switch_echo_off(int slave)
{
	struct termios mode;

	if (tcgetattr(slave, &mode) < 0)
		return -errno;
	mode.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	return tcsetattr(slave, TCSANOW, &mode) < 0 ? -errno : 0;
}

int askpass_open_terminal(int *ret_master, int *ret_slave)
{
	util_autofd master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	util_autofd slave = -1;
	char name[64];
	int ret;

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		return -errno;
	ret = ptsname_r(master, name, sizeof(name));
	if (ret != 0)
		return -ret;
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -errno;
	ret = switch_echo_off(slave);
	if (ret < 0)
		return ret;
	*ret_master = util_take_fd(&master);
	*ret_slave = util_take_fd(&slave);
	return 0;
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* Appends to a text of at most TAIL_MAX bytes, forgetting its beginning. */
static void keep_tail(GString *tail, const char *text, size_t size)
{
	g_string_append_len(tail, text, (gssize)size);
	if (tail->len > TAIL_MAX)
		g_string_erase(tail, 0, (gssize)(tail->len - TAIL_MAX));
}

static int type_password(struct askpass *askpass, int master, char **ret_why)
{
	size_t done = 0;

	LOCK_SCOPE(&askpass->lock);
	if (askpass->size == 0) {
		*ret_why = g_strdup("ssh asks for the password again, which is no longer known");
		return -EACCES;
	}
	while (done < askpass->size) {
		ssize_t n = write(master, askpass->secret + done, askpass->size - done);

		if (n < 0 && errno == EINTR)
			continue;
		/* The terminal is gone, and ssh with it: the stream will tell. */
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return 0;
}

/* Reads what ssh wrote to the terminal: 1 when it asks, 0 when not yet, -EIO when it is gone. */
static int look_for_prompt(int master, GString *tail)
{
	char buf[256];
	ssize_t got = read(master, buf, sizeof(buf));

	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (got <= 0)
		return -EIO;
	for (ssize_t i = 0; i < got; i++) {
		keep_tail(tail, &buf[i], 1);
		if (g_str_has_suffix(tail->str, PROMPT))
			return 1;
	}
	return 0;
}

/* Names the question that was there instead: often whether an unknown host key is trusted. */
static int no_prompt(GString *tail, char **ret_why)
{
	g_autofree char *text = g_utf8_make_valid(tail->str, (gssize)tail->len);

	g_strdelimit(text, "\r\n\t", ' ');
	g_strstrip(text);
	for (char *at = text; *at; at++)
		if (g_ascii_iscntrl(*at))
			*at = '?';
	*ret_why = *text ? g_strdup_printf("Timeout waiting for prompt; ssh wrote: %s", text)
	                 : g_strdup("Timeout waiting for prompt");
	return -EACCES;
}

static int wait_and_type(struct askpass *askpass, int master, int stop_fd, int exit_fd,
                         char **ret_why)
{
	g_autoptr(GString) tail = g_string_new(NULL);
	uint64_t now, end = clock_add(clock_now_ns(), PROMPT_SPAN_NS);

	while ((now = clock_now_ns()) < end) {
		struct pollfd fds[] = {
			{.fd = master, .events = POLLIN},
			{.fd = stop_fd, .events = POLLIN},
			{.fd = exit_fd, .events = POLLIN},
		};
		int n = poll(fds, G_N_ELEMENTS(fds), (int)((end - now) / CLOCK_NS_PER_MS) + 1);
		int ret = 0;

		if (n <= 0)
			continue;
		if (fds[0].revents)
			ret = look_for_prompt(master, tail);
		if (ret > 0)
			return type_password(askpass, master, ret_why);
		if (ret < 0 || fds[1].revents || fds[2].revents)
			return 0;
	}
	return no_prompt(tail, ret_why);
}

int askpass_answer(struct askpass *askpass, int master, int stop_fd, int exit_fd, char **ret_why)
{
	int ret = wait_and_type(askpass, master, stop_fd, exit_fd, ret_why);

	LOCK_SCOPE(&askpass->lock);
	if (!askpass->keep)
		wipe_locked(askpass);
	return ret;
}
