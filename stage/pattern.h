/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How somebody reads a file, and so what they will read next. Arithmetic only: no I/O, no locks; the owner
 * of a struct pattern sees to that one thread at a time uses it.
 */
#ifndef STAGE_PATTERN_H
#define STAGE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pattern_kind {
	PATTERN_NEW,        /* nothing was read yet, or too little to tell */
	PATTERN_SEQUENTIAL, /* one read behind the other */
	PATTERN_BACKWARD,   /* one read before the other */
	PATTERN_STRIDED,    /* reads that are equally far apart, in either direction */
	PATTERN_RANDOM,
};

/* What is read, and how far ahead it pays to fetch. */
struct pattern_limits {
	uint64_t size; /* of the file, bytes */
	size_t piece;  /* bytes of one request at most */
	size_t window; /* bytes that fill the link: what may be fetched ahead of a steady reader */
	size_t trip; /* bytes that the link carries in one round trip; 0: fetching behind does not pay */
	bool fits_held; /* the whole file may be held: a random reader will find it all here */
};

struct pattern {
	enum pattern_kind kind;
	uint64_t start, end; /* of the latest read; `end` the furthest one of a sequential reader */
	int64_t stride;      /* between the last two starts */
	uint64_t furthest;   /* end of what was read */
	unsigned int near, grown; /* jumps in a row that stay near it; those that go beyond it */
	unsigned int steady;      /* reads in a row that the kind has foretold */
	unsigned int missed;      /* reads of a random reader that found nothing here */
	uint64_t ahead;           /* where fetching ahead goes on: an offset */
	size_t span;              /* bytes to be ahead of the reader, grown as it goes on */
	uint64_t
		credit; /* bytes of the rest of the file that may be fetched behind a random reader */
};

/* A read of `size` bytes. `missed`: some of them were not held. */
void pattern_note(struct pattern *pattern, const struct pattern_limits *limits, uint64_t offset,
                  size_t size, bool missed);

/*
 * The next range to fetch ahead, of at most `limits->piece` bytes; false: enough is on its way. Each range is
 * told once.
 */
bool pattern_next(struct pattern *pattern, const struct pattern_limits *limits,
                  uint64_t *ret_offset, size_t *ret_size);

#endif
