/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Large files are fetched over several connections at once, the client's lanes: on each of them the file is
 * opened once more. Inside stage/ only; all but lanes_new() and lanes_free() under the stage's lock.
 */
#ifndef STAGE_LANE_H
#define STAGE_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow.h"

struct stage;
struct staged;
struct sftp_file;
struct lane;

/* More do not make a file come faster: 16 connections of OpenSSH's carry 32 MiB a round trip. */
#define LANES_MAX 16
/* A smaller file is here before it is opened elsewhere. */
#define LANES_FILE_MIN (4 * (size_t)1024 * 1024)

/* The file on one lane. */
struct lane_file {
	enum {
		LANE_CLOSED,  /* not asked for */
		LANE_OPENING, /* asked for */
		LANE_OPEN,    /* `file` is there */
		LANE_USELESS, /* not the same file there */
	} state;
	uint64_t not_before_ns; /* it is not asked for again: there was no connection */
	struct sftp_file *file; /* a reference */
};

/* The lanes of a stage, NULL where there is one connection only. */
struct lane *lanes_new(struct stage *stage);
/* Waits for their threads: for after the client's shutdown. Accepts NULL. */
void lanes_free(struct stage *stage);

/* Opens the file on all lanes, by and by; does not wait. */
void lanes_open_locked(struct staged *file);
/* It is of no use any more: another state of it was seen. Files that are on their way keep their reference. */
void lanes_close_locked(struct staged *file);
/* Bytes that all lanes on which the file is open carry; 0: on none. */
size_t lanes_window_locked(struct staged *file);
/* The one with the most room, and in *ret_file the file on it; NULL: the file is open on none. */
struct flow *lanes_choose_locked(struct staged *file, struct sftp_file **ret_file);

#endif
