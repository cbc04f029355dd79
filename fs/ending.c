// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See ending.h. One thread takes the signals, with sigwait(3), so that no handler ever runs in the
 * middle of something. It is the first thread of all: signals sent to the program go to any thread that
 * does not block them, and one started before would die of them, mount or no mount.
 *
 * Before there is a mount to leave behind a signal does what it does without us. Then the first one
 * asks for the end: what is being served may finish, for a bounded time (session.c). The second
 * one means it: all that waits for the server is given up at once.
 */
#include "ending.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "lock.h"

static struct {
	pthread_mutex_t lock;
	struct fs *fs;      /* whose end is asked for; NULL: the program's; protected by lock */
	unsigned int asked; /* how often; protected by lock */
} signals = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- signals ---------------------------------------------------------------------------------- */

static sigset_t ending_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return set;
}

static void die_of(int number)
{
	sigset_t set = ending_signals();

	signal(number, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	kill(getpid(), number);
}

static void take(int number)
{
	LOCK_SCOPE(&signals.lock);

	if (!signals.fs)
		die_of(number);
	else if (signals.asked++ == 0)
		ending_ask(signals.fs, FS_ENDED_SIGNAL);
	else
		sftp_client_shutdown(signals.fs->client);
}

static void *take_signals(void *unused)
{
	sigset_t set = ending_signals();
	int number;

	for (;;) {
		if (sigwait(&set, &number) == 0)
			take(number);
	}
	return NULL;
}

int fs_take_signals(void)
{
	sigset_t set = ending_signals();
	pthread_t thread;
	int error;

	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	error = pthread_create(&thread, NULL, take_signals, NULL);
	if (error)
		return -error;
	pthread_detach(thread);
	return 0;
}

void ending_give_signals_to(struct fs *fs)
{
	LOCK_SCOPE(&signals.lock);

	signals.fs = fs;
}

/* ---- asking ----------------------------------------------------------------------------------- */

void ending_ask(struct fs *fs, enum fs_ending why)
{
	LOCK_SCOPE(&fs->ending.lock);

	if (fs->ending.asked)
		return;
	fs->ending.asked = true;
	fs->ending.why = why;
	if (fs->session)
		fuse_session_exit(fs->session);
	pthread_cond_broadcast(&fs->ending.asked_cond);
}

enum fs_ending ending_wait(struct fs *fs)
{
	LOCK_SCOPE(&fs->ending.lock);

	while (!fs->ending.asked)
		pthread_cond_wait(&fs->ending.asked_cond, &fs->ending.lock);
	return fs->ending.why;
}

bool ending_is_asked(struct fs *fs)
{
	LOCK_SCOPE(&fs->ending.lock);

	return fs->ending.asked;
}

bool ending_is_serving(struct fs *fs)
{
	LOCK_SCOPE(&fs->ending.lock);

	return fs->session && !fs->ending.asked;
}
