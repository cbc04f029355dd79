// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See stamps.h. The race that shaped it: a change counts its moment first and stores it in its slot afterwards;
 * a ticket taken in between is as new as the change, though its question may reach the server earlier.
 * That is why a change is noted at both ends, and counted as under way in between: the beginning's
 * ticket of that kind is voided by the end, and at the end the server has the change already.
 */
#include "stamps.h"

#include "hash.h"

static size_t slot_of(uint64_t dir, const char *name)
{
	uint64_t hash = dir * UINT64_C(0x9e3779b97f4a7c15);

	if (name)
		return hash_string(hash, name) % STAMPS_SLOTS;
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

void stamps_void_all(struct stamps *stamps)
{
	raise_to(&stamps->floor, ++stamps->moment);
}

static uint64_t last_unless_changing(struct stamps *stamps, uint64_t dir, const char *name,
                                     uint32_t allowed)
{
	size_t slot = slot_of(dir, name);

	if (stamps->changing[slot] > allowed)
		return UINT64_MAX;
	return stamps->slots[slot];
}

uint64_t stamps_last(struct stamps *stamps, uint64_t dir, const char *name)
{
	return last_unless_changing(stamps, dir, name, 0);
}

bool stamps_is_void(struct stamps *stamps, uint64_t moment, uint64_t dir, const char *name)
{
	return stamps->floor > moment || last_unless_changing(stamps, dir, name, 0) > moment;
}

bool stamps_is_void_but_for_us(struct stamps *stamps, uint64_t moment, uint64_t dir,
                               const char *name)
{
	return stamps->floor > moment || last_unless_changing(stamps, dir, name, 1) > moment;
}
