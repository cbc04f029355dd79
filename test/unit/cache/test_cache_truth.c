// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A long random history against the truth: a small server. Questions and changes are on their way at the
 * same time and overtake each other; the server is reached at any moment in between. What must hold:
 *
 * - While nothing is on its way that changes it, whatever the cache says of a name is the truth, down to
 *   the version of its attributes (of a folder: of its set of names, too).
 * - Where others change the server, too, behind our back: what the cache says was the truth within the
 *   time for which it believes it.
 * - An answer that nothing has disturbed is kept (with room and time enough).
 *
 * $SSHFS_TEST_SEED repeats a run.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache.h"
#include "clock.h"
#include "clock_hook.h"

#define DIRS       4 /* ids 1..4, all named in folder 1: "d2" is 2 */
#define NAMES      6
#define UNDER_WAY  8
#define TURNS      20000
#define FIRST_FILE 100

/* ---- the truth ------------------------------------------------------------------------------------ */

struct file {
	uint64_t id;      /* 0: there is none */
	uint64_t version; /* counted up with every change; the size */
	unsigned int changes_under_way;
};

/* What a name was, until when. */
struct past {
	struct file file;
	uint64_t until;
};

struct truth {
	struct file files[DIRS + 1][NAMES];
	GArray *pasts[DIRS + 1][NAMES]; /* of struct past */
	uint64_t set_version[DIRS +
	                     1]; /* of the names in a folder: its size, as its parent tells it */
	unsigned int set_changes_under_way[DIRS + 1];
	uint64_t next;
};

static uint64_t fake_now = 1000 * CLOCK_NS_PER_SEC;

static uint64_t fake_clock(void)
{
	return fake_now;
}

static void truth_init(struct truth *truth)
{
	for (uint64_t dir = 1; dir <= DIRS; dir++) {
		for (size_t name = 0; name < NAMES; name++)
			truth->pasts[dir][name] = g_array_new(FALSE, FALSE, sizeof(struct past));
	}
}

static void truth_done(struct truth *truth)
{
	for (uint64_t dir = 1; dir <= DIRS; dir++) {
		for (size_t name = 0; name < NAMES; name++)
			g_array_unref(truth->pasts[dir][name]);
	}
}

/* To be called before a name changes. */
static void keep_past(struct truth *truth, uint64_t dir, size_t name)
{
	struct past past = {.file = truth->files[dir][name], .until = fake_now};

	g_array_append_val(truth->pasts[dir][name], past);
}

/* True when the name was, within the last `span` or is, this file; in this version unless that is 0. */
static bool was_true(const struct truth *truth, uint64_t dir, size_t name, uint64_t id,
                     uint64_t version, uint64_t span)
{
	const GArray *pasts = truth->pasts[dir][name];
	const struct file *now = &truth->files[dir][name];

	if (now->id == id && (!version || now->version == version))
		return true;
	for (guint i = 0; i < pasts->len; i++) {
		const struct past *past = &g_array_index(pasts, struct past, i);

		if (past->until + span >= fake_now && past->file.id == id &&
		    (!version || past->file.version == version))
			return true;
	}
	return false;
}

static const char *const file_names[NAMES] = {"a", "b", "c", "d", "e", "f"};

static void attr_of_file(const struct file *file, struct cache_attr *ret_attr)
{
	*ret_attr = (struct cache_attr){.mode = S_IFREG | 0644, .size = file->version};
}

static void attr_of_dir(const struct truth *truth, uint64_t dir, struct cache_attr *ret_attr)
{
	*ret_attr = (struct cache_attr){.mode = S_IFDIR | 0755, .size = truth->set_version[dir]};
}

static void dir_name(uint64_t dir, char *buf)
{
	buf[0] = 'd';
	buf[1] = (char)('0' + dir);
	buf[2] = '\0';
}

/* All that a READDIR would tell. */
static struct listing *list(const struct truth *truth, uint64_t dir)
{
	struct listing *listing = listing_new();
	struct listing_entry entry;
	char name[3];

	for (size_t i = 0; i < NAMES; i++) {
		const struct file *file = &truth->files[dir][i];

		if (!file->id)
			continue;
		entry = (struct listing_entry){
			.name = file_names[i], .id = file->id, .has_attr = true};
		attr_of_file(file, &entry.attr);
		listing_append(listing, &entry);
	}
	for (uint64_t sub = 2; dir == 1 && sub <= DIRS; sub++) {
		dir_name(sub, name);
		entry = (struct listing_entry){.name = name, .id = sub, .has_attr = true};
		attr_of_dir(truth, sub, &entry.attr);
		listing_append(listing, &entry);
	}
	return listing;
}

/* ---- what is under way ---------------------------------------------------------------------------- */

enum kind {
	ASK_NAME,
	ASK_DIR, /* a folder's attributes */
	ASK_LISTING,
	CREATE,
	REMOVE,
	CHANGE,
	RENAME,
	KINDS,
};

enum stage {
	FREE,
	SENT,   /* the server has not seen it */
	SERVED, /* the reply is on its way */
};

struct request {
	enum stage stage;
	enum kind kind;
	uint64_t dir, new_dir;
	size_t name, new_name;
	struct cache_ticket ticket;
	struct file seen;        /* ASK_NAME's reply; what a change has left at its (new) name */
	bool done;               /* a change was not refused */
	struct cache_attr attr;  /* ASK_DIR's */
	struct listing *listing; /* ASK_LISTING's */
};

struct world {
	GRand *dice;
	struct cache *cache;
	struct truth truth;
	struct request requests[UNDER_WAY];
	uint64_t checked; /* answers of the cache that were compared with the truth */
	bool others;      /* change the server, too */
};

static uint64_t any_dir(struct world *world)
{
	return (uint64_t)g_rand_int_range(world->dice, 1, DIRS + 1);
}

static size_t any_name(struct world *world)
{
	return (size_t)g_rand_int_range(world->dice, 0, NAMES);
}

static void tell(struct world *world, const struct request *request, enum cache_when when)
{
	const char *name = file_names[request->name];

	if (request->kind == CREATE)
		cache_on_create(world->cache, when, request->dir, name);
	else if (request->kind == REMOVE)
		cache_on_remove(world->cache, when, request->dir, name, 0);
	else if (request->kind == CHANGE)
		cache_on_change(world->cache, when, request->dir, name);
	else if (request->kind == RENAME)
		cache_on_rename(world->cache, when, request->dir, name, request->new_dir,
		                file_names[request->new_name]);
}

static void mark(struct world *world, const struct request *request, int by)
{
	struct truth *truth = &world->truth;
	unsigned int count = (unsigned int)by;

	if (request->kind <= ASK_LISTING)
		return;
	truth->files[request->dir][request->name].changes_under_way += count;
	if (request->kind == CHANGE)
		return;
	truth->set_changes_under_way[request->dir] += count;
	if (request->kind != RENAME)
		return;
	truth->files[request->new_dir][request->new_name].changes_under_way += count;
	truth->set_changes_under_way[request->new_dir] += count;
}

static void send_request(struct world *world, struct request *request)
{
	*request = (struct request){
		.stage = SENT,
		.kind = (enum kind)g_rand_int_range(world->dice, 0, KINDS),
		.dir = any_dir(world),
		.new_dir = any_dir(world),
		.name = any_name(world),
		.new_name = any_name(world),
		.ticket = cache_take_ticket(world->cache),
	};
	mark(world, request, 1);
	tell(world, request, CACHE_BEGINS);
	if (request->kind > ASK_LISTING)
		request->ticket = cache_take_ticket(world->cache);
}

static void serve_change(struct truth *truth, struct request *request)
{
	struct file *file = &truth->files[request->dir][request->name];
	struct file *target = &truth->files[request->new_dir][request->new_name];

	if (request->kind == CREATE ? file->id != 0 : file->id == 0)
		return; /* refused */
	request->done = true;
	keep_past(truth, request->dir, request->name);
	if (request->kind == RENAME && target != file)
		keep_past(truth, request->new_dir, request->new_name);
	if (request->kind == CREATE) {
		file->id = FIRST_FILE + truth->next++;
		file->version = truth->next;
	} else if (request->kind == REMOVE) {
		file->id = 0;
	} else if (request->kind == CHANGE) {
		file->version = ++truth->next;
	} else if (target != file) {
		target->id = file->id;
		target->version = file->version;
		file->id = 0;
	}
	request->seen = request->kind == RENAME ? *target : *file;
	if (request->kind == CHANGE)
		return;
	truth->set_version[request->dir]++;
	if (request->kind == RENAME)
		truth->set_version[request->new_dir]++;
}

static void serve(struct world *world, struct request *request)
{
	struct truth *truth = &world->truth;

	request->stage = SERVED;
	if (request->kind == ASK_NAME)
		request->seen = truth->files[request->dir][request->name];
	else if (request->kind == ASK_DIR)
		attr_of_dir(truth, request->dir, &request->attr);
	else if (request->kind == ASK_LISTING)
		request->listing = list(truth, request->dir);
	else
		serve_change(truth, request);
}

static void put_answer(struct world *world, const struct request *request)
{
	const char *name = file_names[request->name];
	struct cache_attr attr;
	char dir[3];

	if (request->kind == ASK_LISTING) {
		cache_put_listing(world->cache, request->ticket, request->dir, request->listing);
		cache_trust_listing(world->cache, request->dir);
	} else if (request->kind == ASK_DIR) {
		dir_name(request->dir, dir);
		cache_put_name(world->cache, request->ticket, 1, dir, request->dir, &request->attr);
	} else if (!request->seen.id) {
		cache_put_absent(world->cache, request->ticket, request->dir, name);
	} else {
		attr_of_file(&request->seen, &attr);
		cache_put_name(world->cache, request->ticket, request->dir, name, request->seen.id,
		               &attr);
	}
}

/* What the reply to a change tells, when it came with attributes asked for behind it. */
static void put_result(struct world *world, const struct request *request,
                       struct cache_ticket ticket, uint64_t dir, size_t name)
{
	struct cache_attr attr;

	attr_of_file(&request->seen, &attr);
	if (request->done)
		cache_put_name(world->cache, ticket, dir, file_names[name], request->seen.id,
		               &attr);
}

static void finish_rename(struct world *world, const struct request *request)
{
	const char *name = file_names[request->name], *new_name = file_names[request->new_name];
	bool to_itself = request->dir == request->new_dir && request->name == request->new_name;
	struct cache_ticket ticket, new_ticket;

	cache_end_rename(world->cache, request->ticket, request->dir, name, request->new_dir,
	                 new_name, &ticket, &new_ticket);
	if (request->done && !to_itself)
		cache_put_absent(world->cache, ticket, request->dir, name);
	put_result(world, request, new_ticket, request->new_dir, request->new_name);
}

static void finish_change(struct world *world, const struct request *request)
{
	const char *name = file_names[request->name];
	struct cache *cache = world->cache;
	struct cache_ticket ticket = request->ticket;

	if (request->kind == RENAME) {
		finish_rename(world, request);
	} else if (request->kind == REMOVE) {
		ticket = cache_end_remove(cache, ticket, request->dir, name, 0);
		if (request->done)
			cache_put_absent(cache, ticket, request->dir, name);
	} else {
		ticket = request->kind == CREATE
		                 ? cache_end_create(cache, ticket, request->dir, name)
		                 : cache_end_change(cache, ticket, request->dir, name);
		put_result(world, request, ticket, request->dir, request->name);
	}
}

/* Every other change ends without a word on what has become of the name. */
static void finish(struct world *world, struct request *request)
{
	if (request->kind <= ASK_LISTING)
		put_answer(world, request);
	else if (g_rand_boolean(world->dice))
		finish_change(world, request);
	else
		tell(world, request, CACHE_ENDED);
	mark(world, request, -1);
	listing_unref(request->listing);
	*request = (struct request){.stage = FREE};
}

/* ---- what must hold ------------------------------------------------------------------------------- */

#define ATTR_NS (10 * CLOCK_NS_PER_SEC)
#define NAME_NS (20 * CLOCK_NS_PER_SEC)

/* Never staler than promised. */
static void check_age(struct world *world, uint64_t dir, size_t name, enum cache_known answer,
                      const struct cache_name *known)
{
	uint64_t id = answer == CACHE_PRESENT ? known->id : 0;

	g_assert_true(was_true(&world->truth, dir, name, id, 0, NAME_NS));
	if (answer == CACHE_PRESENT && known->has_attr)
		g_assert_true(was_true(&world->truth, dir, name, id, known->attr.size, ATTR_NS));
}

/* Names that are being changed may be told either way, others only as they are. */
static void check_name(struct world *world, uint64_t dir, size_t name)
{
	const struct file *file = &world->truth.files[dir][name];
	struct cache_name known;
	enum cache_known answer = cache_get_name(world->cache, dir, file_names[name], &known);

	if (answer == CACHE_UNKNOWN || file->changes_under_way)
		return;
	world->checked++;
	if (world->others) {
		check_age(world, dir, name, answer, &known);
		return;
	}
	g_assert_true((answer == CACHE_PRESENT) == (file->id != 0));
	if (answer != CACHE_PRESENT)
		return;
	g_assert_cmpuint(known.id, ==, file->id);
	if (known.has_attr)
		g_assert_cmpuint(known.attr.size, ==, file->version);
}

static void check_dir(struct world *world, uint64_t dir)
{
	struct cache_name known;
	char name[3];

	dir_name(dir, name);
	if (world->others)
		return;
	if (cache_get_name(world->cache, 1, name, &known) != CACHE_PRESENT || !known.has_attr ||
	    world->truth.set_changes_under_way[dir])
		return;
	world->checked++;
	g_assert_cmpuint(known.attr.size, ==, world->truth.set_version[dir]);
}

static size_t count_present(const struct listing *listing)
{
	size_t present = 0;
	struct listing_entry entry;

	for (size_t i = 0; i < listing_count(listing); i++) {
		listing_get(listing, i, &entry);
		g_assert_cmpint(entry.state, !=, LISTING_DOUBTED);
		present += entry.state == LISTING_PRESENT;
	}
	return present;
}

static void check_listing(struct world *world, uint64_t dir)
{
	struct cache_ticket ticket;
	struct listing *listing = cache_get_listing(world->cache, dir, &ticket), *right;
	struct listing_entry entry, other;
	size_t place;

	if (!listing || world->others || world->truth.set_changes_under_way[dir]) {
		listing_unref(listing);
		return;
	}
	world->checked++;
	right = list(&world->truth, dir);
	g_assert_cmpuint(count_present(listing), ==, listing_count(right));
	for (size_t i = 0; i < listing_count(right); i++) {
		listing_get(right, i, &other);
		g_assert_true(listing_find(listing, other.name, &place));
		listing_get(listing, place, &entry);
		g_assert_cmpint(entry.state, ==, LISTING_PRESENT);
		g_assert_cmpuint(entry.id, ==, other.id);
	}
	listing_unref(right);
	listing_unref(listing);
}

static void check_all(struct world *world)
{
	for (uint64_t dir = 1; dir <= DIRS; dir++) {
		for (size_t name = 0; name < NAMES; name++)
			check_name(world, dir, name);
		if (dir > 1)
			check_dir(world, dir);
		check_listing(world, dir);
	}
}

/* Nothing is under way: what is asked for now is kept, unless something unrelated has its slot. */
static void check_kept(struct world *world)
{
	struct request request = {.kind = ASK_NAME, .dir = any_dir(world), .name = any_name(world)};
	const char *name = file_names[request.name];
	struct cache_name known;

	request.ticket = cache_take_ticket(world->cache);
	serve(world, &request);
	put_answer(world, &request);
	g_assert_cmpint(cache_get_name(world->cache, request.dir, name, &known), ==,
	                request.seen.id ? CACHE_PRESENT : CACHE_ABSENT);
	if (request.seen.id)
		g_assert_true(known.has_attr);
}

static void finish_all(struct world *world)
{
	for (size_t i = 0; i < UNDER_WAY; i++) {
		if (world->requests[i].stage == SENT)
			serve(world, &world->requests[i]);
		if (world->requests[i].stage == SERVED)
			finish(world, &world->requests[i]);
	}
}

/* Somebody else makes, changes or removes a file. */
static void meddle(struct world *world)
{
	struct truth *truth = &world->truth;
	uint64_t dir = any_dir(world);
	size_t name = any_name(world);
	struct file *file = &truth->files[dir][name];

	keep_past(truth, dir, name);
	if (!file->id)
		file->id = FIRST_FILE + truth->next++;
	else if (g_rand_boolean(world->dice))
		file->id = 0;
	file->version = ++truth->next;
}

/* With others about, all the time: else hardly anything changes between a question and its answer. */
static void pass_time(struct world *world)
{
	int seldom = world->others ? 4 : 100;

	if (g_rand_int_range(world->dice, 0, seldom) == 0)
		fake_now += (uint64_t)g_rand_int_range(world->dice, 0, world->others ? 4 : 10) *
		            CLOCK_NS_PER_SEC;
}

static void turn(struct world *world)
{
	struct request *request = &world->requests[g_rand_int_range(world->dice, 0, UNDER_WAY)];

	if (request->stage == FREE)
		send_request(world, request);
	else if (request->stage == SENT)
		serve(world, request);
	else
		finish(world, request);
	pass_time(world);
	if (g_rand_int_range(world->dice, 0, 1000) == 0)
		cache_on_reconnect(world->cache);
	if (world->others && g_rand_int_range(world->dice, 0, 3) == 0)
		meddle(world);
	check_all(world);
	if (g_rand_int_range(world->dice, 0, 50) == 0) {
		finish_all(world);
		check_all(world);
		check_kept(world);
	}
}

static void play(size_t max_entries, bool others)
{
	const char *given = g_getenv("SSHFS_TEST_SEED");
	guint32 seed = given ? (guint32)strtoul(given, NULL, 10) : g_random_int();
	struct cache_settings settings = {
		.enabled = true,
		.attr_ns = ATTR_NS,
		.name_ns = NAME_NS,
		.link_ns = 20 * CLOCK_NS_PER_SEC,
		.max_entries = max_entries,
		.clean_ns = 30 * CLOCK_NS_PER_SEC,
		.absent_ns = CLOCK_NEVER,
	};
	struct world world = {.dice = g_rand_new_with_seed(seed), .cache = cache_new(&settings)};

	world.others = others;
	truth_init(&world.truth);
	g_test_message("seed %u", seed);
	for (int i = 0; i < TURNS; i++)
		turn(&world);
	finish_all(&world);
	g_test_message("%" G_GUINT64_FORMAT " answers compared with the truth", world.checked);
	/* Else the test would say nothing. */
	g_assert_cmpuint(world.checked, >, TURNS / 2);
	cache_free(world.cache);
	truth_done(&world.truth);
	g_rand_free(world.dice);
}

static void test_with_room(void)
{
	play(1000, false);
}

static void test_without_room(void)
{
	play(5, false);
}

static void test_with_others(void)
{
	play(1000, true);
}

static void test_with_others_without_room(void)
{
	play(5, true);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	cache_now_ns = fake_clock;
	g_test_add_func("/cache_truth/with_room", test_with_room);
	g_test_add_func("/cache_truth/without_room", test_without_room);
	g_test_add_func("/cache_truth/with_others", test_with_others);
	g_test_add_func("/cache_truth/with_others_without_room", test_with_others_without_room);
	return g_test_run();
}
