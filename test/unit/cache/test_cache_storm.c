// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * 64 threads that change, ask and look at the same few names. Each name's truth is a version, odd while the
 * name exists; its changes begin and end one after the other, all else happens at once. Whatever the cache
 * says between the end of one change and the beginning of the next must be of the version in between.
 * Most of all for ThreadSanitizer.
 */
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "cache.h"
#include "clock.h"
#include "lock.h"

#define THREADS 64
#define TURNS   300
#define NAMES   8
#define DIR     UINT64_C(1)

struct name {
	char name[2];
	pthread_mutex_t changing; /* held by the one who changes the name */
	_Atomic uint64_t begun;   /* versions that are on their way to the server */
	_Atomic uint64_t truth;   /* the version that the server has */
	_Atomic uint64_t done;    /* versions that were told to have ended */
};

static struct name names[NAMES];
static _Atomic uint64_t compared;

static void change(struct cache *cache, struct name *name)
{
	LOCK_SCOPE(&name->changing);
	uint64_t version = name->done + 1;

	name->begun = version;
	if (version % 2)
		cache_on_create(cache, CACHE_BEGINS, DIR, name->name);
	else
		cache_on_remove(cache, CACHE_BEGINS, DIR, name->name, 0);
	name->truth = version;
	if (version % 2)
		cache_on_create(cache, CACHE_ENDED, DIR, name->name);
	else
		cache_on_remove(cache, CACHE_ENDED, DIR, name->name, 0);
	name->done = version;
}

static void write_to(struct cache *cache, struct name *name)
{
	LOCK_SCOPE(&name->changing);
	uint64_t version = name->done + 2;

	if (version % 2 == 0)
		return;
	name->begun = version;
	cache_on_change(cache, CACHE_BEGINS, DIR, name->name);
	name->truth = version;
	cache_on_change(cache, CACHE_ENDED, DIR, name->name);
	name->done = version;
}

static void ask(struct cache *cache, struct name *name)
{
	struct cache_ticket ticket = cache_take_ticket(cache);
	struct cache_attr attr = {.mode = S_IFREG, .size = name->truth};

	if (attr.size % 2)
		cache_put_name(cache, ticket, DIR, name->name, 10 + attr.size, &attr);
	else
		cache_put_absent(cache, ticket, DIR, name->name);
}

static void ask_for_all(struct cache *cache)
{
	struct cache_ticket ticket = cache_take_ticket(cache);
	struct listing *listing = listing_new();

	for (size_t i = 0; i < NAMES; i++) {
		uint64_t version = names[i].truth;
		struct listing_entry entry = {
			.name = names[i].name,
			.id = 10 + version,
			.has_attr = true,
			.attr = {.mode = S_IFREG, .size = version},
		};

		if (version % 2)
			listing_append(listing, &entry);
	}
	cache_put_listing(cache, ticket, DIR, listing);
	listing_unref(listing);
}

static void look(struct cache *cache, struct name *name)
{
	uint64_t done = name->done;
	struct cache_name known;
	enum cache_known answer = cache_get_name(cache, DIR, name->name, &known);

	if (answer == CACHE_UNKNOWN || name->begun != done)
		return;
	compared++;
	g_assert_true((answer == CACHE_PRESENT) == (done % 2 == 1));
	if (answer == CACHE_PRESENT && known.has_attr)
		g_assert_cmpuint(known.attr.size, ==, done);
}

static void *rage(void *data)
{
	struct cache *cache = data;
	g_autoptr(GRand) dice = g_rand_new_with_seed((guint32)(uintptr_t)pthread_self());

	for (int turn = 0; turn < TURNS; turn++) {
		struct name *name = &names[g_rand_int_range(dice, 0, NAMES)];
		int chance = g_rand_int_range(dice, 0, 100);

		if (chance < 3)
			change(cache, name);
		else if (chance < 8)
			write_to(cache, name);
		else if (chance < 30)
			ask(cache, name);
		else if (chance < 40)
			ask_for_all(cache);
		else if (chance == 40)
			cache_on_reconnect(cache);
		else
			look(cache, name);
	}
	return NULL;
}

static void test_storm(void)
{
	struct cache_settings settings = {
		.enabled = true,
		.attr_ns = CLOCK_NEVER,
		.name_ns = CLOCK_NEVER,
		.link_ns = CLOCK_NEVER,
		.max_entries = NAMES - 2,
		.clean_ns = CLOCK_NS_PER_MS,
		.absent_ns = CLOCK_NEVER,
	};
	struct cache *cache = cache_new(&settings);
	pthread_t threads[THREADS];

	for (size_t i = 0; i < NAMES; i++) {
		names[i].name[0] = (char)('a' + i);
		pthread_mutex_init(&names[i].changing, NULL);
	}
	for (size_t i = 0; i < THREADS; i++)
		g_assert_cmpint(pthread_create(&threads[i], NULL, rage, cache), ==, 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	g_test_message("%" G_GUINT64_FORMAT " answers compared with the truth", (uint64_t)compared);
	g_assert_cmpuint(compared, >, 0);
	cache_free(cache);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cache_storm/64_threads", test_storm);
	return g_test_run();
}
