/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests whose caller is about to die, or was asked to stop and hangs, are given up; others are not
 * disturbed by signals.
 *
 * Each thread that serves requests has one struct interrupt, made at its first request and freed when
 * the thread ends.
 */
#ifndef FS_INTERRUPT_H
#define FS_INTERRUPT_H

#include <fuse_lowlevel.h>

struct interrupt;

/* The calling thread begins to serve `req`: from now on its waiting can be ended. */
struct interrupt *interrupt_begin(fuse_req_t req);
/* ... and is about to reply to it. */
void interrupt_end(struct interrupt *interrupt, fuse_req_t req);

#endif
