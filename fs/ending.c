// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See ending.h. One thread takes the signals, with sigwait(3), so that no handler ever runs in the
 * middle of something. The first one asks for the end: what is being served may finish, for a bounded
 * time (session.c). The second one means it: all that waits for the server is given up at once.
 */
#include "ending.h"

#include <pthread.h>
#include <signal.h>

#include "lock.h"

static sigset_t ending_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return set;
}

void ending_hold_signals(void)
{
	sigset_t set = ending_signals();

	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static bool is_stopping(struct fs *fs)
{
	LOCK_SCOPE(&fs->ending.lock);

	return fs->ending.stopping;
}

static void *take_signals(void *data)
{
	struct fs *fs = data;
	sigset_t set = ending_signals();
	unsigned int taken = 0;
	int number;

	for (;;) {
		if (sigwait(&set, &number) != 0)
			continue;
		if (is_stopping(fs))
			return NULL;
		if (taken++ == 0)
			ending_ask(fs, FS_ENDED_SIGNAL);
		else
			sftp_client_shutdown(fs->client);
	}
}

int ending_start(struct fs *fs)
{
	return -pthread_create(&fs->ending.taker, NULL, take_signals, fs);
}

void ending_stop(struct fs *fs)
{
	pthread_mutex_lock(&fs->ending.lock);
	fs->ending.stopping = true;
	pthread_mutex_unlock(&fs->ending.lock);
	pthread_kill(fs->ending.taker, SIGTERM);
	pthread_join(fs->ending.taker, NULL);
}

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
