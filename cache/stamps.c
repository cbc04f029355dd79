// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See stamps.h. A change counts the moment up first and stores it afterwards; whoever takes a ticket in
 * between has asked before the change was noted and gets it as newer than the ticket only if it was
 * counted after: hence stamps_note() stores the moment it counted, and a ticket is the count before it.
 */
#include "stamps.h"

#include <glib.h>

static size_t slot_of(uint64_t dir, const char *name)
{
	uint64_t hash = dir * UINT64_C(0x9e3779b97f4a7c15);

	if (name)
		hash ^= (uint64_t)g_str_hash(name) * UINT64_C(0xc2b2ae3d27d4eb4f);
	return (hash ^ hash >> 29) % STAMPS_SLOTS;
}

/* Moments only grow, whichever of two threads comes first. */
static void raise_to(_Atomic uint64_t *place, uint64_t moment)
{
	uint64_t seen = *place;

	while (seen < moment && !atomic_compare_exchange_weak(place, &seen, moment))
		;
}

uint64_t stamps_now(struct stamps *stamps)
{
	return stamps->moment;
}

void stamps_note(struct stamps *stamps, uint64_t dir, const char *name)
{
	raise_to(&stamps->slots[slot_of(dir, name)], ++stamps->moment);
}

void stamps_begin(struct stamps *stamps, uint64_t dir, const char *name)
{
	stamps->changing[slot_of(dir, name)]++;
	stamps_note(stamps, dir, name);
}

void stamps_end(struct stamps *stamps, uint64_t dir, const char *name)
{
	stamps_note(stamps, dir, name);
	stamps->changing[slot_of(dir, name)]--;
}

void stamps_note_all(struct stamps *stamps)
{
	raise_to(&stamps->floor, ++stamps->moment);
}

static uint64_t last_unless_changing(struct stamps *stamps, uint64_t dir, const char *name,
                                     uint32_t allowed)
{
	size_t slot = slot_of(dir, name);
	uint64_t last;

	if (stamps->changing[slot] > allowed)
		return UINT64_MAX;
	last = stamps->slots[slot];
	return MAX(last, stamps->floor);
}

uint64_t stamps_last(struct stamps *stamps, uint64_t dir, const char *name)
{
	return last_unless_changing(stamps, dir, name, 0);
}

uint64_t stamps_last_but_ours(struct stamps *stamps, uint64_t dir, const char *name)
{
	return last_unless_changing(stamps, dir, name, 1);
}
