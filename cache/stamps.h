/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When did something last change, and is it changing now? A fixed table of moments and of counts,
 * hashed by folder and name.
 *
 * Moments are counted by the changes themselves, not by a clock. Two names that share a slot share their
 * moments: an answer is then dropped without need, never kept wrongly. Lock-free.
 */
#ifndef CACHE_STAMPS_H
#define CACHE_STAMPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define STAMPS_SLOTS 8192 /* 96 KiB altogether */

struct stamps {
	_Atomic uint64_t moment; /* of the latest change */
	_Atomic uint64_t floor;  /* whatever was asked for before it is void */
	_Atomic uint64_t slots[STAMPS_SLOTS];
	_Atomic uint32_t changing[STAMPS_SLOTS]; /* changes that have begun and not ended */
};

/* The moment an answer that is asked for now belongs to. */
uint64_t stamps_now(struct stamps *stamps);
/* `name` in `dir` has changed; NULL: the set of names in `dir`. */
void stamps_note(struct stamps *stamps, uint64_t dir, const char *name);
/* It is about to change, and has changed (or not): in pairs. Each notes the moment, too. */
void stamps_begin(struct stamps *stamps, uint64_t dir, const char *name);
void stamps_end(struct stamps *stamps, uint64_t dir, const char *name);
/* Every answer that is on its way is void; what has arrived is not. */
void stamps_void_all(struct stamps *stamps);
/* When it last changed, at the latest; UINT64_MAX while it is changing. */
uint64_t stamps_last(struct stamps *stamps, uint64_t dir, const char *name);
/* Is an answer about it, asked for at `moment`, void? */
bool stamps_is_void(struct stamps *stamps, uint64_t moment, uint64_t dir, const char *name);
/* The same for whoever is changing it just now: void only by what others do. */
bool stamps_is_void_but_for_us(struct stamps *stamps, uint64_t moment, uint64_t dir,
                               const char *name);

#endif
