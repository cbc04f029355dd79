/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When did something last change? A fixed table of moments, hashed by folder and name.
 *
 * Moments are counted by the changes themselves, not by a clock. Two names that share a slot share their
 * moments: an answer is then dropped without need, never kept wrongly. Lock-free.
 */
#ifndef CACHE_STAMPS_H
#define CACHE_STAMPS_H

#include <stdatomic.h>
#include <stdint.h>

#define STAMPS_SLOTS 8192 /* 64 KiB */

struct stamps {
	_Atomic uint64_t moment; /* of the latest change */
	_Atomic uint64_t floor;  /* everything counts as changed then */
	_Atomic uint64_t slots[STAMPS_SLOTS];
};

/* The moment an answer that is asked for now belongs to. */
uint64_t stamps_now(struct stamps *stamps);
/* `name` in `dir` changes; NULL: the set of names in `dir`. */
void stamps_note(struct stamps *stamps, uint64_t dir, const char *name);
/* Everything changes. */
void stamps_note_all(struct stamps *stamps);
/* When it last changed, at the latest. */
uint64_t stamps_last(struct stamps *stamps, uint64_t dir, const char *name);

#endif
