/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why and how the serving ends.
 */
#ifndef FS_ENDING_H
#define FS_ENDING_H

#include "context.h"

/* From now on signals ask for the end of this file system's serving; NULL: they end the program. */
void ending_give_signals_to(struct fs *fs);

/* The serving shall end; the first reason counts. Any thread. */
void ending_ask(struct fs *fs, enum fs_ending why);
/* Waits for that. */
enum fs_ending ending_wait(struct fs *fs);
bool ending_is_asked(struct fs *fs);
/* True from the mount until the end is asked for. */
bool ending_is_serving(struct fs *fs);

#endif
