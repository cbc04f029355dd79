// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The cache: histories of events and answers, each with a question and its expected answer; a random
 * history against a model that remembers everything; threads; bounds.
 *
 * Time is the test's own (clock_hook.h): nothing waits.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cache.h"
#include "clock.h"
#include "clock_hook.h"
#include "thread.h"

#define SECOND CLOCK_NS_PER_SEC
#define DIR    UINT64_C(1)

static _Atomic uint64_t now_ns = 1000 * CLOCK_NS_PER_SEC;

static uint64_t fake_now(void)
{
	return now_ns;
}

static struct cache *make_cache(size_t max_entries)
{
	const struct cache_settings settings = {
		.enabled = true,
		.attr_ns = 20 * SECOND,
		.name_ns = 30 * SECOND,
		.link_ns = 10 * SECOND,
		.max_entries = max_entries,
		.clean_ns = 60 * SECOND,
		.min_clean_ns = 5 * SECOND,
	};

	return cache_new(&settings);
}

static struct cache_attr file_of(uint64_t size)
{
	return (struct cache_attr){.size = size, .mode = S_IFREG | 0644, .nlink = 1};
}

static struct cache_attr folder_attr(void)
{
	return (struct cache_attr){.size = 4096, .mode = S_IFDIR | 0755, .nlink = 1};
}

static void put_file(struct cache *cache, const char *name, uint64_t id, uint64_t size)
{
	struct cache_attr attr = file_of(size);

	cache_put_name(cache, cache_take_ticket(cache), DIR, name, id, &attr);
}

static struct listing *list_of(const char *const *names, size_t count)
{
	struct listing *listing = listing_new();

	for (size_t i = 0; i < count; i++) {
		struct listing_entry entry = {
			.name = names[i], .id = 100 + i, .has_attr = true, .attr = file_of(i)};

		listing_append(listing, &entry);
	}
	return listing;
}

static void put_listing(struct cache *cache, struct cache_ticket ticket, uint64_t dir,
                        const char *const *names, size_t count)
{
	struct listing *listing = list_of(names, count);

	cache_put_listing(cache, ticket, dir, listing);
	listing_unref(listing);
}

static enum cache_known ask(struct cache *cache, const char *name, struct cache_name *ret_name)
{
	return cache_get_name(cache, DIR, name, ret_name);
}

static void assert_unknown(struct cache *cache, const char *name)
{
	struct cache_name known;

	g_assert_cmpint(ask(cache, name, &known), ==, CACHE_UNKNOWN);
}

static void assert_size(struct cache *cache, const char *name, uint64_t size)
{
	struct cache_name known;

	g_assert_cmpint(ask(cache, name, &known), ==, CACHE_PRESENT);
	g_assert_true(known.has_attr);
	g_assert_cmpuint(known.attr.size, ==, size);
}

static void assert_without_attr(struct cache *cache, const char *name)
{
	struct cache_name known;

	g_assert_cmpint(ask(cache, name, &known), ==, CACHE_PRESENT);
	g_assert_false(known.has_attr);
}

static void assert_absent(struct cache *cache, const char *name)
{
	struct cache_name known;

	g_assert_cmpint(ask(cache, name, &known), ==, CACHE_ABSENT);
}

/* ---- what is known, and how long ---------------------------------------------------------------- */

static void test_put_and_get(void)
{
	struct cache *cache = make_cache(10);
	struct cache_name known;

	assert_unknown(cache, "a");
	put_file(cache, "a", 7, 5);
	g_assert_cmpint(ask(cache, "a", &known), ==, CACHE_PRESENT);
	g_assert_cmpuint(known.id, ==, 7);
	g_assert_cmpuint(known.attr.size, ==, 5);
	g_assert_cmpuint(known.name_left_ns, ==, 30 * SECOND);
	g_assert_cmpuint(known.attr_left_ns, ==, 20 * SECOND);
	g_assert_cmpint(cache_get_name(cache, DIR + 1, "a", &known), ==, CACHE_UNKNOWN);
	cache_put_absent(cache, cache_take_ticket(cache), DIR, "b");
	assert_absent(cache, "b");
	cache_free(cache);
}

static void test_expiry(void)
{
	struct cache *cache = make_cache(10);

	put_file(cache, "a", 7, 5);
	cache_put_link(cache, cache_take_ticket(cache), DIR, "l", "target");
	now_ns += 10 * SECOND - 1;
	g_free(cache_get_link(cache, DIR, "l"));
	now_ns += 1;
	g_assert_null(cache_get_link(cache, DIR, "l"));
	now_ns += 10 * SECOND - 1;
	assert_size(cache, "a", 5);
	now_ns += 1;
	assert_without_attr(cache, "a");
	now_ns += 10 * SECOND;
	assert_unknown(cache, "a");
	cache_free(cache);
}

static void test_listing_answers(void)
{
	static const char *const names[] = {"a", "b"};
	struct cache *cache = make_cache(10);
	struct cache_name known;
	struct listing *listing;

	g_assert_null(cache_get_listing(cache, DIR));
	put_listing(cache, cache_take_ticket(cache), DIR, names, 2);
	listing = cache_get_listing(cache, DIR);
	g_assert_cmpuint(listing_count(listing), ==, 2);
	listing_unref(listing);
	g_assert_cmpint(ask(cache, "b", &known), ==, CACHE_PRESENT);
	g_assert_cmpuint(known.id, ==, 101);
	assert_absent(cache, "c");
	now_ns += 20 * SECOND;
	assert_without_attr(cache, "b");
	now_ns += 10 * SECOND;
	assert_unknown(cache, "b");
	g_assert_null(cache_get_listing(cache, DIR));
	cache_free(cache);
}

/* Of two answers the one that was asked for later counts. */
static void test_later_answer_wins(void)
{
	static const char *const names[] = {"a", "b"};
	struct cache *cache = make_cache(10);

	put_file(cache, "c", 9, 1);
	cache_on_change(cache, CACHE_BEGINS, DIR, "x");
	cache_on_change(cache, CACHE_ENDED, DIR, "x");
	put_listing(cache, cache_take_ticket(cache), DIR, names, 2);
	assert_absent(cache, "c");
	put_file(cache, "c", 9, 2);
	assert_size(cache, "c", 2);
	cache_free(cache);
}

static void test_disabled(void)
{
	const struct cache_settings settings = {.enabled = false, .max_entries = 10};
	struct cache *cache = cache_new(&settings);

	g_assert_false(cache_is_enabled(cache));
	put_file(cache, "a", 7, 5);
	assert_unknown(cache, "a");
	cache_on_create(cache, CACHE_BEGINS, DIR, "a");
	cache_on_create(cache, CACHE_ENDED, DIR, "a");
	cache_free(cache);
}

/* ---- the rows of the table at the top of cache.c ------------------------------------------------- */

enum row { CREATE, REMOVE, RENAME, CHANGE, SURPRISE, RECONNECT, ROWS };

static void tell(struct cache *cache, enum row row, enum cache_when when)
{
	switch (row) {
	case CREATE:
		cache_on_create(cache, when, DIR, "a");
		break;
	case REMOVE:
		cache_on_remove(cache, when, DIR, "a", 50);
		break;
	case RENAME:
		cache_on_rename(cache, when, DIR, "a", 2, "z");
		break;
	case CHANGE:
		cache_on_change(cache, when, DIR, "a");
		break;
	case SURPRISE:
		if (when == CACHE_ENDED)
			cache_on_surprise(cache, DIR, "a", 50);
		break;
	default:
		if (when == CACHE_ENDED)
			cache_on_reconnect(cache);
		break;
	}
}

/* In DIR, whose own name is "dir" in folder 9: a (id 50, with something below) and b. */
static void fill(struct cache *cache)
{
	static const char *const names[] = {"a", "b"};
	static const char *const below[] = {"below"};
	struct cache_attr folder = folder_attr();

	put_listing(cache, cache_take_ticket(cache), DIR, names, 2);
	put_listing(cache, cache_take_ticket(cache), 50, below, 1);
	cache_put_name(cache, cache_take_ticket(cache), 9, "dir", DIR, &folder);
	put_file(cache, "a", 50, 5);
	put_file(cache, "b", 51, 6);
	cache_put_link(cache, cache_take_ticket(cache), DIR, "a", "target");
}

static void test_row(const void *data)
{
	static const struct {
		bool name, attr, target, listing, folder_attr, below, other;
	} forgotten[ROWS] = {
		[CREATE] = {true, true, true, true, true, false, false},
		[REMOVE] = {true, true, true, true, true, true, false},
		[RENAME] = {true, true, true, true, true, false, true},
		[CHANGE] = {false, true, false, false, false, false, false},
		[SURPRISE] = {true, true, true, true, true, true, false},
		[RECONNECT] = {true, true, true, true, true, true, true},
	};
	enum row row = GPOINTER_TO_INT(data);
	struct cache *cache = make_cache(100);
	struct cache_name known;
	struct listing *listing;
	char *target;

	fill(cache);
	tell(cache, row, CACHE_BEGINS);
	tell(cache, row, CACHE_ENDED);
	if (forgotten[row].name)
		assert_unknown(cache, "a");
	else
		assert_without_attr(cache, "a");
	target = cache_get_link(cache, DIR, "a");
	g_assert_true((target == NULL) == forgotten[row].target);
	g_free(target);
	listing = cache_get_listing(cache, DIR);
	g_assert_true((listing == NULL) == forgotten[row].listing);
	listing_unref(listing);
	listing = cache_get_listing(cache, 50);
	g_assert_true((listing == NULL) == forgotten[row].below);
	listing_unref(listing);
	cache_get_name(cache, 9, "dir", &known);
	if (row != RECONNECT)
		g_assert_true(known.has_attr == !forgotten[row].folder_attr);
	if (!forgotten[row].other)
		assert_size(cache, "b", 6);
	cache_free(cache);
}

/* ---- answers that come too late ------------------------------------------------------------------- */

static void assert_dropped(enum row row, bool begun, bool ended_before_put)
{
	static const char *const names[] = {"a"};
	struct cache *cache = make_cache(100);
	struct cache_attr attr = file_of(1);
	struct cache_ticket ticket = {0};
	struct listing *listing;
	struct cache_name known;

	if (!begun)
		ticket = cache_take_ticket(cache);
	tell(cache, row, CACHE_BEGINS);
	if (begun)
		ticket = cache_take_ticket(cache);
	if (ended_before_put)
		tell(cache, row, CACHE_ENDED);
	cache_put_name(cache, ticket, DIR, "a", 50, &attr);
	cache_put_link(cache, ticket, DIR, "a", "old");
	put_listing(cache, ticket, DIR, names, 1);
	if (!ended_before_put)
		tell(cache, row, CACHE_ENDED);
	if (ask(cache, "a", &known) == CACHE_PRESENT)
		g_assert_false(known.has_attr);
	g_assert_null(cache_get_link(cache, DIR, "a"));
	listing = cache_get_listing(cache, DIR);
	if (row != CHANGE)
		g_assert_null(listing);
	listing_unref(listing);
	cache_free(cache);
}

/* Asked before or during the change, answered during or after it: never kept. */
static void test_late_answers(void)
{
	for (int row = CREATE; row <= CHANGE; row++) {
		assert_dropped((enum row)row, false, false);
		assert_dropped((enum row)row, false, true);
		assert_dropped((enum row)row, true, false);
		assert_dropped((enum row)row, true, true);
	}
	assert_dropped(SURPRISE, false, true);
	assert_dropped(RECONNECT, false, true);
}

static void test_answers_of_other_names_are_kept(void)
{
	struct cache *cache = make_cache(100);
	struct cache_ticket ticket = cache_take_ticket(cache);
	struct cache_attr attr = file_of(3);

	cache_on_create(cache, CACHE_BEGINS, DIR, "a");
	cache_put_name(cache, ticket, DIR, "other", 8, &attr);
	cache_on_create(cache, CACHE_ENDED, DIR, "a");
	assert_size(cache, "other", 3);
	cache_free(cache);
}

/* Attributes that came with the reply to a creation are kept, unless somebody else was there, too. */
static void test_renewed_ticket(void)
{
	struct cache *cache = make_cache(100);
	struct cache_attr attr = file_of(3);
	struct cache_ticket ticket;

	cache_on_create(cache, CACHE_BEGINS, DIR, "a");
	ticket = cache_take_ticket(cache);
	ticket = cache_end_create(cache, ticket, DIR, "a");
	cache_put_name(cache, ticket, DIR, "a", 8, &attr);
	assert_size(cache, "a", 3);

	cache_on_change(cache, CACHE_BEGINS, DIR, "a");
	ticket = cache_take_ticket(cache);
	cache_on_change(cache, CACHE_BEGINS, DIR, "a");
	ticket = cache_end_change(cache, ticket, DIR, "a");
	cache_put_name(cache, ticket, DIR, "a", 8, &attr);
	cache_on_change(cache, CACHE_ENDED, DIR, "a");
	assert_without_attr(cache, "a");
	cache_free(cache);
}

/* ---- a random history against a model -------------------------------------------------------------- */

/* The truth: which of a few names exist, with which size. The cache must never say otherwise. */
struct model {
	bool exists[6];
	uint64_t size[6];
};

static const char *const model_names[6] = {"n0", "n1", "n2", "n3", "n4", "n5"};

/* An answer on its way: asked at `ticket`, of that state. */
struct answer {
	struct cache_ticket ticket;
	bool is_listing;
	size_t which;
	struct model state;
};

static void deliver(struct cache *cache, const struct answer *answer)
{
	const struct model *state = &answer->state;
	struct cache_attr attr = file_of(state->size[answer->which]);

	if (answer->is_listing) {
		struct listing *listing = listing_new();

		for (size_t i = 0; i < G_N_ELEMENTS(model_names); i++) {
			struct listing_entry entry = {.name = model_names[i],
			                              .has_attr = true,
			                              .attr = file_of(state->size[i])};

			if (state->exists[i])
				listing_append(listing, &entry);
		}
		cache_put_listing(cache, answer->ticket, DIR, listing);
		listing_unref(listing);
	} else if (state->exists[answer->which]) {
		cache_put_name(cache, answer->ticket, DIR, model_names[answer->which], 0, &attr);
	} else {
		cache_put_absent(cache, answer->ticket, DIR, model_names[answer->which]);
	}
}

static void compare(struct cache *cache, const struct model *model)
{
	for (size_t i = 0; i < G_N_ELEMENTS(model_names); i++) {
		struct cache_name known;
		enum cache_known answer = ask(cache, model_names[i], &known);

		if (answer == CACHE_UNKNOWN)
			continue;
		g_assert_cmpint(answer == CACHE_PRESENT, ==, model->exists[i]);
		if (answer == CACHE_PRESENT && known.has_attr)
			g_assert_cmpuint(known.attr.size, ==, model->size[i]);
	}
}

/* One change by the file system itself; answers may be asked for while it is under way. */
static void mutate(struct cache *cache, struct model *model, GQueue *answers)
{
	size_t which = (size_t)g_test_rand_int_range(0, 6);
	size_t other = (size_t)g_test_rand_int_range(0, 6);
	const char *name = model_names[which], *other_name = model_names[other];
	int kind = g_test_rand_int_range(0, 4);
	struct model before = *model;

	for (int phase = CACHE_BEGINS; phase <= CACHE_ENDED; phase++) {
		enum cache_when when = (enum cache_when)phase;

		if (when == CACHE_ENDED && kind == 0) {
			model->exists[which] = true;
			model->size[which] = 0;
		} else if (when == CACHE_ENDED && kind == 1) {
			model->exists[which] = false;
		} else if (when == CACHE_ENDED && kind == 2 && model->exists[which]) {
			model->size[which] = (uint64_t)g_test_rand_int_range(1, 1000);
		} else if (when == CACHE_ENDED && kind == 3 && model->exists[which] &&
		           which != other) {
			model->exists[which] = false;
			model->exists[other] = true;
			model->size[other] = model->size[which];
		}
		if (kind == 0)
			cache_on_create(cache, when, DIR, name);
		else if (kind == 1)
			cache_on_remove(cache, when, DIR, name, 0);
		else if (kind == 2)
			cache_on_change(cache, when, DIR, name);
		else
			cache_on_rename(cache, when, DIR, name, DIR, other_name);
		if (when == CACHE_BEGINS && g_test_rand_bit()) {
			struct answer answer = {cache_take_ticket(cache), g_test_rand_bit(), which,
			                        before};

			g_queue_push_tail(answers, g_memdup2(&answer, sizeof(answer)));
		}
	}
}

static void test_random_history(void)
{
	struct cache *cache = make_cache(4);
	struct model model = {.size = {0}};
	GQueue answers = G_QUEUE_INIT;

	for (int step = 0; step < 20000; step++) {
		int kind = g_test_rand_int_range(0, 4);

		if (kind == 0) {
			mutate(cache, &model, &answers);
		} else if (kind == 1) {
			struct answer answer = {cache_take_ticket(cache), g_test_rand_bit(),
			                        (size_t)g_test_rand_int_range(0, 6), model};

			g_queue_push_tail(&answers, g_memdup2(&answer, sizeof(answer)));
		} else if (answers.length > 0) {
			guint index = (guint)g_test_rand_int_range(0, (gint32)answers.length);
			g_autofree struct answer *answer = g_queue_pop_nth(&answers, index);

			deliver(cache, answer);
		}
		now_ns += (uint64_t)g_test_rand_int_range(0, 2) * SECOND;
		compare(cache, &model);
	}
	g_queue_clear_full(&answers, g_free);
	cache_free(cache);
}

/* ---- bounds ---------------------------------------------------------------------------------------- */

static void test_least_recently_used_goes_first(void)
{
	struct cache *cache = make_cache(3);

	put_file(cache, "a", 1, 1);
	put_file(cache, "b", 2, 2);
	put_file(cache, "c", 3, 3);
	assert_size(cache, "a", 1);
	put_file(cache, "d", 4, 4);
	assert_unknown(cache, "b");
	assert_size(cache, "a", 1);
	assert_size(cache, "c", 3);
	cache_free(cache);
}

static void test_memory(void)
{
	const size_t count = 10000;
	struct cache *cache = make_cache(count);
	struct listing *listing = listing_new();
	struct cache_stats stats;

	for (size_t i = 0; i < 3 * count; i++) {
		g_autofree char *name = g_strdup_printf("a-usual-name-%zu.txt", i);
		struct listing_entry entry = {.name = name, .id = i, .has_attr = true};

		put_file(cache, name, i, i);
		listing_append(listing, &entry);
	}
	cache_get_stats(cache, &stats);
	g_test_message("%zu bytes a name, %zu a listed one", stats.bytes / stats.entries,
	               listing_bytes(listing) / listing_count(listing));
	g_assert_cmpuint(stats.entries, ==, count);
	g_assert_cmpuint(stats.bytes, <, 260 * count);
	g_assert_cmpuint(listing_bytes(listing), <, 130 * listing_count(listing));
	listing_unref(listing);
	now_ns += 120 * SECOND;
	put_file(cache, "sweeps", 1, 1);
	cache_get_stats(cache, &stats);
	g_assert_cmpuint(stats.entries, ==, 1);
	cache_free(cache);
}

/* ---- listings --------------------------------------------------------------------------------------- */

static void test_listing(void)
{
	struct listing *listing = listing_new();
	struct listing_entry got;
	size_t index;

	for (unsigned int i = 0; i < 5000; i++) {
		g_autofree char *name = g_strdup_printf("%u", i);
		struct listing_entry entry = {.name = name, .id = i};

		listing_append(listing, &entry);
		listing_append(listing, &entry);
	}
	g_assert_cmpuint(listing_count(listing), ==, 5000);
	for (unsigned int i = 0; i < 5000; i++) {
		g_autofree char *name = g_strdup_printf("%u", i);

		g_assert_true(listing_find(listing, name, &index));
		g_assert_cmpuint(index, ==, i);
		listing_get(listing, i, &got);
		g_assert_cmpstr(got.name, ==, name);
		g_assert_cmpuint(got.id, ==, i);
	}
	g_assert_false(listing_find(listing, "5000", &index));
	g_assert_false(listing_find(listing, "", &index));
	listing_unref(listing);
}

/* ---- threads ---------------------------------------------------------------------------------------- */

static void *storm(void *data)
{
	static const char *const names[] = {"a", "b", "c"};
	struct cache *cache = data;
	g_autoptr(GRand) dice = g_rand_new();

	for (int i = 0; i < 300; i++) {
		const char *name = names[g_rand_int_range(dice, 0, 3)];
		uint64_t dir = (uint64_t)g_rand_int_range(dice, 1, 5);
		struct cache_ticket ticket = cache_take_ticket(cache);
		struct cache_attr attr = file_of(1);
		struct cache_name known;

		cache_get_name(cache, dir, name, &known);
		cache_put_name(cache, ticket, dir, name, 5, &attr);
		cache_on_rename(cache, CACHE_BEGINS, dir, name, 2, "z");
		put_listing(cache, ticket, dir, names, 3);
		cache_on_rename(cache, CACHE_ENDED, dir, name, 2, "z");
		listing_unref(cache_get_listing(cache, dir));
		cache_put_link(cache, ticket, dir, name, "t");
		g_free(cache_get_link(cache, dir, name));
		cache_on_reconnect(cache);
	}
	return NULL;
}

static void test_threads(void)
{
	struct cache *cache = make_cache(5);
	pthread_t threads[64];

	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		g_assert_cmpint(thread_start(&threads[i], storm, cache), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		pthread_join(threads[i], NULL);
	/* All that had begun has ended: answers are kept again. */
	put_file(cache, "a", 1, 9);
	assert_size(cache, "a", 9);
	cache_free(cache);
}

int main(int argc, char **argv)
{
	static const char *const rows[ROWS] = {"create", "remove",   "rename",
	                                       "change", "surprise", "reconnect"};

	g_test_init(&argc, &argv, NULL);
	cache_now_ns = fake_now;
	g_test_add_func("/cache/put-and-get", test_put_and_get);
	g_test_add_func("/cache/expiry", test_expiry);
	g_test_add_func("/cache/listing-answers", test_listing_answers);
	g_test_add_func("/cache/later-answer-wins", test_later_answer_wins);
	g_test_add_func("/cache/disabled", test_disabled);
	for (int row = 0; row < ROWS; row++) {
		g_autofree char *path = g_strdup_printf("/cache/event/%s", rows[row]);

		g_test_add_data_func(path, GINT_TO_POINTER(row), test_row);
	}
	g_test_add_func("/cache/late-answers", test_late_answers);
	g_test_add_func("/cache/answers-of-other-names", test_answers_of_other_names_are_kept);
	g_test_add_func("/cache/renewed-ticket", test_renewed_ticket);
	g_test_add_func("/cache/random-history", test_random_history);
	g_test_add_func("/cache/least-recently-used", test_least_recently_used_goes_first);
	g_test_add_func("/cache/memory", test_memory);
	g_test_add_func("/cache/listing", test_listing);
	g_test_add_func("/cache/threads", test_threads);
	return g_test_run();
}
