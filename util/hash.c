// SPDX-License-Identifier: GPL-2.0-or-later
/* See hash.h. The salt goes in as the first eight bytes of the message. */
#include "hash.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

struct state {
	uint64_t v0, v1, v2, v3;
};

static uint64_t key[2];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

/* Without random bytes, early at boot, the hash still works: it can only be guessed. */
static void draw_key(void)
{
	if (getrandom(key, sizeof(key), GRND_NONBLOCK) != (ssize_t)sizeof(key))
		key[0] ^= (uintptr_t)&key;
}

static inline uint64_t rotate(uint64_t value, int bits)
{
	return value << bits | value >> (64 - bits);
}

static inline void do_round(struct state *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

static inline void take_word(struct state *s, uint64_t word)
{
	s->v3 ^= word;
	do_round(s);
	s->v0 ^= word;
}

uint64_t hash_bytes(uint64_t salt, const void *bytes, size_t size)
{
	const unsigned char *next = bytes;
	struct state s;
	uint64_t word, last = (uint64_t)(size + sizeof(salt)) << 56;

	pthread_once(&key_once, draw_key);
	s.v0 = key[0] ^ UINT64_C(0x736f6d6570736575);
	s.v1 = key[1] ^ UINT64_C(0x646f72616e646f6d);
	s.v2 = key[0] ^ UINT64_C(0x6c7967656e657261);
	s.v3 = key[1] ^ UINT64_C(0x7465646279746573);
	take_word(&s, salt);
	for (; size >= sizeof(word); size -= sizeof(word), next += sizeof(word)) {
		memcpy(&word, next, sizeof(word));
		take_word(&s, word);
	}
	for (size_t i = 0; i < size; i++)
		last |= (uint64_t)next[i] << (8 * i);
	take_word(&s, last);
	s.v2 ^= 0xff;
	do_round(&s);
	do_round(&s);
	do_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t hash_string(uint64_t salt, const char *string)
{
	return hash_bytes(salt, string, strlen(string));
}
