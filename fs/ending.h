/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why and how the serving ends.
 */
#ifndef FS_ENDING_H
#define FS_ENDING_H

#include "context.h"

/*
 * SIGTERM, SIGINT and SIGHUP are held back from now on, in this thread and those that it starts, until
 * ending_start(); SIGPIPE is ignored. To be called before the mount exists: a signal in between must
 * not leave it behind.
 */
void ending_hold_signals(void);

/* A thread takes the signals from now on. Returns 0 or -errno. */
int ending_start(struct fs *fs);
void ending_stop(struct fs *fs);

/* The serving shall end; the first reason counts. Any thread. */
void ending_ask(struct fs *fs, enum fs_ending why);
/* Waits for that. */
enum fs_ending ending_wait(struct fs *fs);
bool ending_is_asked(struct fs *fs);
/* True from the mount until the end is asked for. */
bool ending_is_serving(struct fs *fs);

#endif
