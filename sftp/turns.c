// SPDX-License-Identifier: GPL-2.0-or-later
/* See turns.h. */
#include "turns.h"

static __thread uint64_t turns;

uint64_t sftp_turns(void)
{
	return turns;
}

void sftp_turns_add(void)
{
	turns++;
}

void sftp_turns_set(uint64_t before)
{
	turns = before;
}
