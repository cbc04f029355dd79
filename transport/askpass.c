// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See askpass.h. stdin is read byte by byte: what follows the first line belongs to somebody else.
 */
#include "askpass.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "lock.h"
#include "util.h"

#define PASSWORD_MAX 1023       /* bytes (compat.md 1.3) */
#define PROMPT       "assword:" /* "Password:", "user@host's password:" */

struct askpass {
	pthread_mutex_t lock;
	bool keep;        /* set once */
	char *page;       /* protected by lock; the password with its newline, NULL once wiped */
	size_t size;      /* of the password with its newline; protected by lock */
	size_t page_size; /* set once */
};

/* ---- the secret ------------------------------------------------------------------------------- */

/* Locking may be refused (RLIMIT_MEMLOCK): then the page is at least never dumped. */
static char *secret_page_new(size_t size)
{
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return NULL;
	mlock(page, size);
	madvise(page, size, MADV_DONTDUMP);
	return page;
}

static void wipe_locked(struct askpass *askpass)
{
	if (!askpass->page)
		return;
	explicit_bzero(askpass->page, askpass->page_size);
	munmap(askpass->page, askpass->page_size);
	askpass->page = NULL;
	askpass->size = 0;
}

/* One byte of stdin: 1, 0 at the end, or -errno. */
static int read_byte(char *ret_byte)
{
	ssize_t n;

	do {
		n = read(STDIN_FILENO, ret_byte, 1);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

static int read_password(struct askpass *askpass, char **ret_why)
{
	for (;;) {
		char *next = askpass->page + askpass->size;
		int n = read_byte(next);

		if (n < 0) {
			*ret_why = g_strdup_printf("failed to read the password from stdin: %s",
			                           g_strerror(-n));
			return -EIO;
		}
		if (n == 0 && askpass->size == 0) {
			*ret_why = g_strdup("failed to read the password from stdin: it is empty");
			return -ENODATA;
		}
		if (n == 0 || *next == '\n')
			break;
		if (askpass->size == PASSWORD_MAX) {
			*ret_why = g_strdup_printf("the password on stdin is too long: at most %d "
			                           "bytes are possible",
			                           PASSWORD_MAX);
			return -E2BIG;
		}
		askpass->size++;
	}
	askpass->page[askpass->size++] = '\n';
	return 0;
}

int askpass_new(bool keep, struct askpass **ret_askpass, char **ret_why)
{
	struct askpass *askpass = g_new0(struct askpass, 1);
	int error;

	pthread_mutex_init(&askpass->lock, NULL);
	askpass->keep = keep;
	askpass->page_size = (size_t)sysconf(_SC_PAGESIZE);
	askpass->page = secret_page_new(askpass->page_size);
	if (!askpass->page) {
		*ret_why = g_strdup("no memory for the password");
		error = -ENOMEM;
	} else {
		error = read_password(askpass, ret_why);
	}
	if (error) {
		askpass_free(askpass);
		return error;
	}
	*ret_askpass = askpass;
	return 0;
}

void askpass_free(struct askpass *askpass)
{
	if (!askpass)
		return;
	wipe_locked(askpass);
	pthread_mutex_destroy(&askpass->lock);
	g_free(askpass);
}

/* ---- the terminal ----------------------------------------------------------------------------- */

int askpass_open_terminal(int *ret_slave)
{
	util_autofd master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char name[64];
	int slave;

	if (master < 0)
		return -errno;
	if (grantpt(master) < 0 || unlockpt(master) < 0)
		return -errno;
	if (ptsname_r(master, name, sizeof(name)) != 0)
		return -errno;
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -errno;
	*ret_slave = slave;
	return util_take_fd(&master);
}

/* The last bytes that ssh has shown, enough to find the prompt across reads. */
struct prompt {
	char tail[512];
	size_t size;
};

static bool prompt_feed(struct prompt *prompt, const char *bytes, size_t size)
{
	size_t kept = MIN(prompt->size, sizeof(prompt->tail) / 2);

	memmove(prompt->tail, prompt->tail + prompt->size - kept, kept);
	size = MIN(size, sizeof(prompt->tail) - kept);
	memcpy(prompt->tail + kept, bytes, size);
	prompt->size = kept + size;
	return memmem(prompt->tail, prompt->size, PROMPT, strlen(PROMPT)) != NULL;
}

/* 1: the prompt is there; 0: ssh needs no password, or has ended; -ETIMEDOUT. */
static int wait_for_prompt(int master, int stream)
{
	uint64_t end = clock_now_ns() + ASKPASS_TIMEOUT_SEC * CLOCK_NS_PER_SEC;
	struct prompt prompt = {.size = 0};

	for (;;) {
		struct pollfd fds[2] = {{.fd = master, .events = POLLIN},
		                        {.fd = stream, .events = POLLIN}};
		uint64_t now = clock_now_ns();
		char buf[sizeof(prompt.tail) / 2];
		ssize_t n;

		if (now >= end)
			return -ETIMEDOUT;
		if (poll(fds, 2, (int)((end - now) / CLOCK_NS_PER_MS) + 1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (fds[0].revents) {
			n = read(master, buf, sizeof(buf));
			if (n <= 0)
				return 0; /* EIO: ssh has closed its end */
			if (prompt_feed(&prompt, buf, (size_t)n))
				return 1;
		} else if (fds[1].revents) {
			return 0;
		}
	}
}

static int answer_locked(struct askpass *askpass, int master)
{
	size_t sent = 0;

	if (!askpass->page)
		return -EACCES;
	while (sent < askpass->size) {
		ssize_t n = write(master, askpass->page + sent, askpass->size - sent);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		sent += (size_t)n;
	}
	if (!askpass->keep)
		wipe_locked(askpass);
	return 0;
}

int askpass_answer(struct askpass *askpass, int master, int stream)
{
	int ready = wait_for_prompt(master, stream);

	if (ready <= 0)
		return ready;
	LOCK_SCOPE(&askpass->lock);
	return answer_locked(askpass, master);
}
