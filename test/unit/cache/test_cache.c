// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Histories: what happens, one step a line, and in between what the cache is expected to say. Time stands
 * still but for "wait". The settings are those of settings() below unless a test has its own.
 *
 *	ticket                      take the ticket that the answers below come with
 *	other                       from now on that for the old name of a renewed rename
 *	put DIR NAME ID SIZE        an answer: the name exists; SIZE "-": without attributes
 *	folder DIR NAME ID SIZE     the same of a folder
 *	absent DIR NAME             an answer: it does not
 *	link DIR NAME TARGET        an answer
 *	list DIR [NAME:ID:SIZE]...  an answer; SIZE "-": without attributes, "/": a folder of size 0
 *	ahead ...                   the same, but no program has read it
 *	begin EVENT, end EVENT      create|change DIR NAME, remove DIR NAME ID, rename DIR NAME DIR NAME
 *	renew EVENT                 the same as end, and the ticket renewed (of a rename: for the new name)
 *	surprise DIR NAME ID, reconnect, wait SECONDS
 *	is DIR NAME ANSWER          expected: "unknown", "absent", or ID and SIZE ("10 5", "10 -")
 *	left DIR NAME SECONDS SECONDS  expected: how long the name and its attributes are still valid
 *	target DIR NAME TARGET, names DIR NAME,NAME,... (or "unknown")
 *	dropped COUNT               expected: how many answers were dropped so far
 */
#include <glib.h>
#include <malloc.h>
#include <string.h>
#include <sys/stat.h>

#include "cache.h"
#include "clock.h"
#include "clock_hook.h"

static uint64_t fake_now = 1000 * CLOCK_NS_PER_SEC;

static uint64_t fake_clock(void)
{
	return fake_now;
}

static struct cache_settings settings(void)
{
	return (struct cache_settings){
		.enabled = true,
		.attr_ns = 10 * CLOCK_NS_PER_SEC,
		.name_ns = 20 * CLOCK_NS_PER_SEC,
		.link_ns = 30 * CLOCK_NS_PER_SEC,
		.max_entries = 100,
		.clean_ns = 60 * CLOCK_NS_PER_SEC,
		.min_clean_ns = 5 * CLOCK_NS_PER_SEC,
		.absent_ns = CLOCK_NEVER,
	};
}

/* ---- playing a history ---------------------------------------------------------------------------- */

struct play {
	struct cache *cache;
	struct cache_ticket ticket;
	struct cache_ticket other; /* of a rename: for the old name */
	const char *step;          /* as it is written, for the messages */
	char **word;
};

static uint64_t number(const struct play *play, size_t i)
{
	return g_ascii_strtoull(play->word[i], NULL, 10);
}

static bool is(const struct play *play, size_t i, const char *word)
{
	return !strcmp(play->word[i], word);
}

static bool attr_of(const char *size, uint32_t type, struct cache_attr *ret_attr)
{
	*ret_attr = (struct cache_attr){
		.size = g_ascii_strtoull(size, NULL, 10),
		.mode = type | (type == S_IFDIR ? 0755 : 0644),
		.nlink = 1,
	};
	return strcmp(size, "-") != 0;
}

static void do_put(struct play *play, uint32_t type)
{
	struct cache_attr attr;
	bool has_attr = attr_of(play->word[4], type, &attr);

	cache_put_name(play->cache, play->ticket, number(play, 1), play->word[2], number(play, 3),
	               has_attr ? &attr : NULL);
}

static void do_list(struct play *play)
{
	struct listing *listing = listing_new();

	for (char **word = play->word + 2; *word; word++) {
		g_auto(GStrv) part = g_strsplit(*word, ":", 3);
		struct listing_entry entry = {.name = part[0]};

		entry.id = g_ascii_strtoull(part[1], NULL, 10);
		entry.has_attr =
			attr_of(part[2], !strcmp(part[2], "/") ? S_IFDIR : S_IFREG, &entry.attr);
		listing_append(listing, &entry);
	}
	cache_put_listing(play->cache, play->ticket, number(play, 1), listing);
	if (is(play, 0, "list"))
		cache_trust_listing(play->cache, number(play, 1));
	listing_unref(listing);
}

static void do_event(struct play *play, enum cache_when when)
{
	uint64_t dir = number(play, 2);
	const char *name = play->word[3];

	if (is(play, 1, "create"))
		cache_on_create(play->cache, when, dir, name);
	else if (is(play, 1, "change"))
		cache_on_change(play->cache, when, dir, name);
	else if (is(play, 1, "remove"))
		cache_on_remove(play->cache, when, dir, name, number(play, 4));
	else if (is(play, 1, "rename"))
		cache_on_rename(play->cache, when, dir, name, number(play, 4), play->word[5]);
	else
		g_error("no such event: %s", play->step);
}

static void do_renew(struct play *play)
{
	struct cache *cache = play->cache;
	struct cache_ticket old = play->ticket;
	uint64_t dir = number(play, 2);
	const char *name = play->word[3];

	if (is(play, 1, "create"))
		play->ticket = cache_end_create(cache, old, dir, name);
	else if (is(play, 1, "change"))
		play->ticket = cache_end_change(cache, old, dir, name);
	else if (is(play, 1, "remove"))
		play->ticket = cache_end_remove(cache, old, dir, name, number(play, 4));
	else
		cache_end_rename(cache, old, dir, name, number(play, 4), play->word[5],
		                 &play->other, &play->ticket);
}

static void expect(const struct play *play, const char *got, const char *expected)
{
	if (strcmp(got, expected) != 0)
		g_error("\"%s\": the cache says \"%s\"", play->step, got);
}

static char *answer(struct play *play)
{
	struct cache_name known;

	switch (cache_get_name(play->cache, number(play, 1), play->word[2], &known)) {
	case CACHE_ABSENT:
		return g_strdup("absent");
	case CACHE_PRESENT:
		/* What is told to the kernel must not outlive what is known. */
		g_assert_cmpuint(known.name_left_ns, >, 0);
		g_assert_true(known.has_attr == (known.attr_left_ns > 0));
		return known.has_attr ? g_strdup_printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
		                                        known.id, known.attr.size)
		                      : g_strdup_printf("%" G_GUINT64_FORMAT " -", known.id);
	case CACHE_UNKNOWN:
		break;
	}
	return g_strdup("unknown");
}

static void expect_answer(struct play *play)
{
	g_autofree char *expected = g_strjoinv(" ", play->word + 3);
	g_autofree char *got = answer(play);

	expect(play, got, expected);
}

static void expect_left(struct play *play)
{
	struct cache_name known;
	g_autofree char *expected = g_strjoinv(" ", play->word + 3), *got = NULL;

	g_assert_cmpint(cache_get_name(play->cache, number(play, 1), play->word[2], &known), !=,
	                CACHE_UNKNOWN);
	got = g_strdup_printf("%g %g", (double)known.name_left_ns / CLOCK_NS_PER_SEC,
	                      (double)known.attr_left_ns / CLOCK_NS_PER_SEC);
	expect(play, got, expected);
}

static void expect_target(struct play *play)
{
	g_autofree char *got = cache_get_link(play->cache, number(play, 1), play->word[2]);

	expect(play, got ? got : "unknown", play->word[3]);
}

static void expect_names(struct play *play)
{
	struct cache_ticket ticket;
	struct listing *listing = cache_get_listing(play->cache, number(play, 1), &ticket);
	g_autoptr(GString) got = g_string_new(listing ? "" : "unknown");
	struct listing_entry entry;

	for (size_t i = 0; listing && i < listing_count(listing); i++) {
		listing_get(listing, i, &entry);
		if (entry.state == LISTING_PRESENT)
			g_string_append_printf(got, "%s%s", got->len ? "," : "", entry.name);
	}
	listing_unref(listing);
	expect(play, got->str, play->word[2]);
}

static void expect_dropped(struct play *play)
{
	struct cache_stats stats;
	g_autofree char *got = NULL;

	cache_get_stats(play->cache, &stats);
	got = g_strdup_printf("%" G_GUINT64_FORMAT, stats.dropped);
	expect(play, got, play->word[1]);
}

static void do_step(struct play *play)
{
	if (is(play, 0, "ticket"))
		play->ticket = cache_take_ticket(play->cache);
	else if (is(play, 0, "other"))
		play->ticket = play->other;
	else if (is(play, 0, "put"))
		do_put(play, S_IFREG);
	else if (is(play, 0, "folder"))
		do_put(play, S_IFDIR);
	else if (is(play, 0, "absent"))
		cache_put_absent(play->cache, play->ticket, number(play, 1), play->word[2]);
	else if (is(play, 0, "link"))
		cache_put_link(play->cache, play->ticket, number(play, 1), play->word[2],
		               play->word[3]);
	else if (is(play, 0, "list") || is(play, 0, "ahead"))
		do_list(play);
	else if (is(play, 0, "begin"))
		do_event(play, CACHE_BEGINS);
	else if (is(play, 0, "end"))
		do_event(play, CACHE_ENDED);
	else if (is(play, 0, "renew"))
		do_renew(play);
	else if (is(play, 0, "surprise"))
		cache_on_surprise(play->cache, number(play, 1), play->word[2], number(play, 3));
	else if (is(play, 0, "reconnect"))
		cache_on_reconnect(play->cache);
	else if (is(play, 0, "wait"))
		fake_now += number(play, 1) * CLOCK_NS_PER_SEC;
	else if (is(play, 0, "is"))
		expect_answer(play);
	else if (is(play, 0, "left"))
		expect_left(play);
	else if (is(play, 0, "target"))
		expect_target(play);
	else if (is(play, 0, "names"))
		expect_names(play);
	else if (is(play, 0, "dropped"))
		expect_dropped(play);
	else
		g_error("no such step: %s", play->step);
}

static void play_history(const struct cache_settings *with, const char *const *steps)
{
	struct play play = {.cache = cache_new(with)};

	for (; *steps; steps++) {
		play.step = *steps;
		play.word = g_strsplit(*steps, " ", -1);
		do_step(&play);
		g_strfreev(play.word);
	}
	cache_free(play.cache);
}

/* ---- histories ------------------------------------------------------------------------------------ */

static const struct {
	const char *title;
	const char *steps[26];
} histories[] = {
	/* Answers. */
	{"nothing is known at first",
         {"is 1 a unknown", "target 1 a unknown", "names 1 unknown", "dropped 0"}},
	{"a name with attributes",
         {"ticket", "put 1 a 10 5", "is 1 a 10 5", "is 2 a unknown", "is 1 b unknown"}},
	{"a name without", {"ticket", "put 1 a 10 -", "is 1 a 10 -"}},
	{"a later answer replaces an earlier",
         {"ticket", "put 1 a 10 5", "put 1 a 10 6", "is 1 a 10 6", "absent 1 a", "is 1 a absent",
          "put 1 a 11 7", "is 1 a 11 7"}},
	{"a missing name", {"ticket", "absent 1 a", "is 1 a absent", "is 1 b unknown"}},
	{"a target", {"ticket", "link 1 a to/there", "target 1 a to/there", "is 1 a unknown"}},
	{"a target goes with its name",
         {"ticket", "put 1 a 10 5", "link 1 a there", "absent 1 a", "target 1 a unknown"}},

	/* Listings. */
	{"a listing answers for its names and for all others",
         {"ticket", "list 1 a:10:5 b:11:-", "names 1 a,b", "is 1 a 10 5", "is 1 b 11 -",
          "is 1 c absent", "is 2 a unknown"}},
	{"a listing that nobody has read tells what is there, not what is missing",
         {"ticket", "ahead 1 a:10:5", "names 1 a", "is 1 a 10 5", "is 1 c unknown",
          "begin remove 1 a 10", "ticket", "renew remove 1 a 10", "absent 1 a", "is 1 a absent",
          "names 1 "}},
	{"and does not wait for long for somebody to read it",
         {"ticket", "ahead 1 a:10:5", "wait 1", "names 1 a", "wait 1", "names 1 unknown",
          "is 1 a 10 5"}},
	{"an empty listing", {"ticket", "list 1", "names 1 ", "is 1 a absent"}},
	{"a listing is replaced by the next",
         {"ticket", "list 1 a:10:5", "list 1 b:11:6", "names 1 b", "is 1 a absent"}},
	{"a listing behind a single answer is the newer",
         {"ticket", "put 1 a 10 5", "absent 1 b", "wait 1", "list 1 a:10:6 b:11:7", "is 1 a 10 6",
          "is 1 b 11 7"}},
	{"a single answer behind a listing is the newer",
         {"ticket", "list 1 a:10:5 b:11:6", "wait 1", "put 1 a 10 7", "absent 1 b", "is 1 a 10 7",
          "is 1 b absent", "is 1 c unknown"}},
	{"a change of a listed file",
         {"ticket", "list 1 a:10:5 b:11:6", "begin change 1 a", "is 1 a 10 -", "end change 1 a",
          "is 1 a 10 -", "is 1 b 11 6", "names 1 a,b", "ticket", "put 1 a 10 7", "is 1 a 10 7"}},
	{"create: all but the new name stays listed",
         {"ticket", "list 1 a:10:5", "begin create 1 c", "is 1 c unknown", "is 1 a 10 5",
          "is 1 b absent", "names 1 unknown", "end create 1 c", "is 1 c unknown", "is 1 b absent",
          "names 1 unknown", "ticket", "put 1 c 12 7", "is 1 c 12 7", "names 1 a,c"}},
	{"create: known by its reply",
         {"ticket", "list 1 a:10:5", "begin create 1 c", "ticket", "renew create 1 c",
          "put 1 c 12 7", "is 1 c 12 7", "names 1 a,c", "is 1 b absent"}},
	{"create of a listed name",
         {"ticket", "list 1 a:10:5 b:11:6", "begin create 1 a", "ticket", "renew create 1 a",
          "put 1 a 12 7", "is 1 a 12 7", "names 1 a,b"}},
	{"remove: the name leaves the listing",
         {"ticket", "list 1 a:10:5 b:11:6", "begin remove 1 a 10", "ticket", "is 1 a unknown",
          "is 1 b 11 6", "renew remove 1 a 10", "absent 1 a", "is 1 a absent", "names 1 b"}},
	{"remove that failed: the name is in doubt until asked",
         {"ticket", "list 1 a:10:5 b:11:6", "begin remove 1 a 10", "end remove 1 a 10",
          "is 1 a unknown", "names 1 unknown", "ticket", "put 1 a 10 5", "names 1 a,b"}},
	{"removed and made again",
         {"ticket", "list 1 a:10:5 b:11:6", "begin remove 1 a 10", "ticket", "renew remove 1 a 10",
          "absent 1 a", "names 1 b", "begin create 1 a", "names 1 unknown", "ticket",
          "renew create 1 a", "put 1 a 12 7", "names 1 a,b", "is 1 a 12 7"}},
	{"rename: both names change places",
         {"ticket", "list 1 a:10:5 b:11:6", "list 2 c:12:7", "list 3 d:13:8",
          "begin rename 1 a 2 z", "ticket", "names 1 unknown", "is 1 b 11 6", "names 3 d",
          "renew rename 1 a 2 z", "put 2 z 10 5", "is 2 z 10 5", "names 2 c,z", "other",
          "absent 1 a", "is 1 a absent", "names 1 b"}},
	{"rename over a name in the same folder",
         {"ticket", "list 1 a:10:5 b:11:6 c:12:7", "begin rename 1 a 1 b", "ticket",
          "renew rename 1 a 1 b", "put 1 b 10 5", "other", "absent 1 a", "names 1 b,c",
          "is 1 b 10 5", "is 1 a absent"}},
	{"two changes of one name: the first to end does not end the doubt",
         {"ticket", "list 1 a:10:5 b:11:6", "begin remove 1 a 10", "ticket", "begin create 1 a",
          "renew remove 1 a 10", "absent 1 a", "is 1 a unknown", "names 1 unknown",
          "end create 1 a", "is 1 a unknown", "is 1 b 11 6"}},
	{"surprise ends the listing",
         {"ticket", "list 1 a:10:5", "surprise 1 a 0", "names 1 unknown", "is 1 b unknown"}},
	{"a name that the listing lacks shows that the folder has changed",
         {"ticket", "list 1 a:10:5", "put 1 b 11 6", "names 1 unknown", "is 1 a unknown",
          "is 1 b 11 6", "is 1 c unknown"}},
	{"so does a missing one that it has",
         {"ticket", "list 1 a:10:5 b:11:6", "absent 1 a", "names 1 unknown", "is 1 b unknown",
          "is 1 a absent"}},
	{"but not an answer asked for before it",
         {"ticket", "begin change 1 z", "end change 1 z", "put 1 b 11 6", "ticket", "list 1 a:10:5",
          "names 1 a", "is 1 b absent"}},

	/* Expiry. */
	{"attributes end before their name, the name before the target",
         {"ticket", "put 1 a 10 5", "link 1 a there", "wait 9", "is 1 a 10 5", "wait 1",
          "is 1 a 10 -", "wait 9", "is 1 a 10 -", "wait 1", "is 1 a unknown", "target 1 a there",
          "wait 10", "target 1 a unknown"}},
	{"what is left is told",
         {"ticket", "put 1 a 10 5", "absent 1 b", "list 2 c:11:6", "left 1 a 20 10",
          "left 1 b 20 0", "left 2 c 20 10", "left 2 d 20 0", "wait 4", "left 1 a 16 6",
          "left 2 c 16 6", "wait 10", "left 1 a 6 0", "left 2 c 6 0"}},
	{"absence ends",
         {"ticket", "absent 1 a", "wait 19", "is 1 a absent", "wait 1", "is 1 a unknown"}},
	{"a listing ends, its attributes before",
         {"ticket", "list 1 a:10:5", "wait 10", "is 1 a 10 -", "is 1 b absent", "wait 10",
          "is 1 a unknown", "is 1 b unknown", "names 1 unknown"}},
	{"use does not lengthen life",
         {"ticket", "put 1 a 10 5", "wait 9", "is 1 a 10 5", "wait 9", "is 1 a 10 -", "wait 9",
          "is 1 a unknown"}},
	{"a name without attributes keeps those it had",
         {"ticket", "put 1 a 10 5", "wait 5", "put 1 a 10 -", "is 1 a 10 5", "wait 5",
          "is 1 a 10 -"}},

	/* Events: the rows of the table in cache.c. */
	{"create",
         {"ticket", "absent 1 a", "begin create 1 a", "is 1 a unknown", "end create 1 a",
          "is 1 a unknown", "dropped 0"}},
	{"remove",
         {"ticket", "put 1 a 10 5", "link 1 a there", "begin remove 1 a 10", "is 1 a unknown",
          "target 1 a unknown", "end remove 1 a 10", "is 1 a unknown"}},
	{"rename",
         {"ticket", "put 1 a 10 5", "link 1 a there", "put 2 b 11 6", "put 1 c 12 7",
          "begin rename 1 a 2 b", "is 1 a unknown", "target 1 a unknown", "is 2 b unknown",
          "end rename 1 a 2 b", "is 1 c 12 7"}},
	{"change",
         {"ticket", "put 1 a 10 5", "link 1 a there", "begin change 1 a", "is 1 a 10 -",
          "target 1 a there", "end change 1 a", "is 1 a 10 -"}},
	{"surprise",
         {"ticket", "put 1 a 10 5", "link 1 a there", "put 1 b 11 6", "surprise 1 a 10",
          "is 1 a unknown", "target 1 a unknown", "is 1 b 11 6"}},
	{"reconnect",
         {"ticket", "put 1 a 10 5", "link 1 b there", "list 2 c:11:6", "reconnect",
          "is 1 a unknown", "target 1 b unknown", "names 2 unknown", "put 1 a 10 5",
          "is 1 a unknown", "dropped 1", "ticket", "put 1 a 10 5", "is 1 a 10 5"}},

	/* What is below. */
	{"below a removed folder nothing is known",
         {"ticket", "folder 1 d 10 0", "put 10 a 11 5", "list 10 a:11:5", "begin remove 1 d 10",
          "is 10 a unknown", "names 10 unknown", "end remove 1 d 10", "is 10 a unknown"}},
	{"below a folder that surprised nothing is known",
         {"ticket", "folder 1 d 10 0", "put 10 a 11 5", "link 10 b there", "list 10 a:11:5",
          "surprise 1 d 10", "is 10 a unknown", "names 10 unknown", "target 10 b unknown",
          "put 10 a 11 5", "list 10 a:11:5", "is 10 a unknown", "dropped 2", "ticket",
          "put 10 a 11 5", "is 10 a 11 5"}},
	{"below a renamed folder all stays known",
         {"ticket", "folder 1 d 10 0", "put 10 a 11 5", "list 12 b:13:6", "begin rename 1 d 2 e",
          "end rename 1 d 2 e", "is 10 a 11 5", "names 12 b"}},

	/* The folder's own attributes. */
	{"a folder's attributes end with a change of its names",
         {"ticket", "folder 1 d 10 0", "put 10 a 11 5", "is 1 d 10 0", "begin create 10 b",
          "is 1 d 10 -", "end create 10 b", "is 1 d 10 -", "ticket", "folder 1 d 10 0",
          "is 1 d 10 0", "begin change 10 a", "is 1 d 10 0"}},
	{"also those in a listing",
         {"ticket", "list 1 d:10:/", "is 1 d 10 0", "begin create 10 b", "is 1 d 10 -",
          "end create 10 b", "is 1 d 10 -", "names 1 d"}},
	{"also at both ends of a rename",
         {"ticket", "folder 1 d 10 0", "folder 1 e 11 0", "begin rename 10 a 11 b",
          "end rename 10 a 11 b", "is 1 d 10 -", "is 1 e 11 -"}},
	{"also when asked for before and told after",
         {"ticket", "begin create 10 b", "end create 10 b", "folder 1 d 10 0", "is 1 d 10 -"}},

	/* Tickets: the races. */
	{"asked before a change, told after it",
         {"ticket", "begin change 1 a", "end change 1 a", "put 1 a 10 5", "is 1 a unknown",
          "dropped 1"}},
	{"asked before a change, told during it",
         {"ticket", "begin change 1 a", "put 1 a 10 5", "is 1 a unknown", "end change 1 a",
          "is 1 a unknown", "dropped 1"}},
	{"asked during a change, told during it",
         {"begin change 1 a", "ticket", "put 1 a 10 5", "is 1 a unknown", "end change 1 a",
          "is 1 a unknown"}},
	{"asked during a change, told after it",
         {"begin change 1 a", "ticket", "end change 1 a", "put 1 a 10 5", "is 1 a unknown",
          "dropped 1"}},
	{"asked after a change",
         {"begin change 1 a", "end change 1 a", "ticket", "put 1 a 10 5", "is 1 a 10 5",
          "dropped 0"}},
	{"two changes at once: the first to end does not end the doubt",
         {"begin change 1 a", "begin change 1 a", "end change 1 a", "ticket", "put 1 a 10 5",
          "is 1 a unknown", "end change 1 a", "put 1 a 10 5", "is 1 a unknown", "ticket",
          "put 1 a 10 5", "is 1 a 10 5"}},
	{"a missing name that was created meanwhile",
         {"ticket", "begin create 1 a", "end create 1 a", "absent 1 a", "is 1 a unknown"}},
	{"a name that was removed meanwhile",
         {"ticket", "begin remove 1 a 10", "end remove 1 a 10", "put 1 a 10 5", "link 1 a there",
          "is 1 a unknown", "target 1 a unknown", "dropped 2"}},
	{"a listing that something was created in",
         {"ticket", "begin create 1 a", "list 1", "names 1 unknown", "end create 1 a", "list 1",
          "names 1 unknown", "is 1 a unknown", "ticket", "list 1 a:10:5", "names 1 a"}},
	{"a listing with a change of one of its names",
         {"ticket", "begin change 1 a", "end change 1 a", "list 1 a:10:5 b:11:6", "names 1 a,b",
          "is 1 a 10 -", "is 1 b 11 6"}},
	{"anything asked by a path that a rename made false",
         {"ticket", "begin rename 1 d 1 e", "end rename 1 d 1 e", "put 10 a 11 5",
          "is 10 a unknown", "list 10", "names 10 unknown", "dropped 2"}},
	{"changes elsewhere void no ticket",
         {"ticket", "begin create 1 b", "begin change 1 c", "begin create 2 a", "put 1 a 10 5",
          "is 1 a 10 5", "list 3", "names 3 ", "dropped 0"}},
	{"attributes that came with the reply to a create",
         {"begin create 1 a", "ticket", "renew create 1 a", "put 1 a 10 5", "is 1 a 10 5"}},
	{"attributes that came with the reply to a change",
         {"begin change 1 a", "ticket", "renew change 1 a", "put 1 a 10 5", "is 1 a 10 5"}},
	{"not when another change came in between",
         {"begin change 1 a", "ticket", "begin change 1 a", "end change 1 a", "renew change 1 a",
          "put 1 a 10 5", "is 1 a unknown"}},
	{"not when another change is under way",
         {"begin change 1 a", "ticket", "begin change 1 a", "renew change 1 a", "put 1 a 10 5",
          "is 1 a unknown", "end change 1 a", "put 1 a 10 5", "is 1 a unknown"}},
	{"not when a folder above was renamed",
         {"begin create 2 a", "ticket", "begin rename 1 d 1 e", "renew create 2 a", "put 2 a 10 5",
          "is 2 a unknown"}},
};

static void test_history(const void *data)
{
	struct cache_settings with = settings();

	play_history(&with, data);
}

/* Every event; asked before or during it, told during or after it: never kept. */
static void test_late_answers(const void *data)
{
	const char *event = data;
	g_autofree char *begin = g_strdup_printf("begin %s", event);
	g_autofree char *end = g_strdup_printf("end %s", event);
	const char *change =
		g_str_has_prefix(event, "change") ? "is 1 a unknown" : "names 1 unknown";

	for (int ways = 0; ways < 4; ways++) {
		bool asked_before = ways & 1, told_before = ways & 2;
		const char *const steps[] = {
			asked_before ? "ticket" : begin,
			asked_before ? begin : "ticket",
			told_before ? "put 1 a 10 5" : end,
			told_before ? "link 1 a there" : "put 1 a 10 5",
			told_before ? change : "link 1 a there",
			told_before ? end : change,
			"is 1 a unknown",
			"target 1 a unknown",
			"list 1 a:10:5",
			g_str_has_prefix(event, "change") ? "is 1 a 10 -" : "names 1 unknown",
			"ticket",
			"put 1 a 10 6",
			"is 1 a 10 6",
			NULL,
		};
		struct cache_settings with = settings();

		play_history(&with, steps);
	}
}

static void put_listing(struct cache *cache, uint64_t dir, unsigned int count)
{
	struct listing *listing = listing_new();

	for (unsigned int i = 0; i < count; i++) {
		g_autofree char *name = g_strdup_printf("file-%07u", i);
		struct listing_entry entry = {.name = name, .id = i + 1, .has_attr = true};

		listing_append(listing, &entry);
	}
	cache_put_listing(cache, cache_take_ticket(cache), dir, listing);
	listing_unref(listing);
}

/* dcache_absent_timeout. */
static void test_absence_is_short(void)
{
	static const char *const steps[] = {
		"ticket",         "list 1 a:10:5",
		"is 1 a 10 5",    "is 1 b absent",
		"left 1 b 3 0",   "begin remove 1 a 10",
		"ticket",         "renew remove 1 a 10",
		"absent 1 a",     "is 1 a absent",
		"names 1 ",       "wait 2",
		"is 1 a absent",  "wait 1",
		"is 1 a unknown", "is 1 b unknown",
		"names 1 ",       NULL,
	};
	struct cache_settings with = settings();

	with.absent_ns = 3 * CLOCK_NS_PER_SEC;
	play_history(&with, steps);
	with.absent_ns = 0;
	play_history(&with,
	             (const char *const[]){"ticket", "list 1 a:10:5", "is 1 b unknown",
	                                   "absent 1 c", "is 1 c unknown", "is 1 a 10 5", NULL});
}

/* ---- entries of a listing that the cache does not hold -------------------------------------------- */

static void expect_listed(struct cache *cache, struct cache_ticket ticket, const char *expected)
{
	struct listing_entry listed = {
		.name = "a", .id = 10, .has_attr = true, .attr = {.size = 5, .mode = S_IFREG}};
	struct cache_name known = {.id = 0};
	enum cache_known answer = cache_get_listed(cache, ticket, 1, &listed, &known);
	g_autofree char *got = NULL;

	if (answer == CACHE_PRESENT)
		got = known.has_attr ? g_strdup_printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
		                                       known.id, known.attr.size)
		                     : g_strdup_printf("%" G_GUINT64_FORMAT " -", known.id);
	else
		got = g_strdup(answer == CACHE_ABSENT ? "absent" : "unknown");
	g_assert_cmpstr(got, ==, expected);
}

static void check_listed(bool enabled)
{
	struct cache_settings with = settings();
	struct cache_attr attr = {.size = 6, .mode = S_IFREG};
	struct cache_ticket ticket, later;
	struct cache *cache;

	with.enabled = enabled;
	cache = cache_new(&with);
	ticket = cache_take_ticket(cache);
	expect_listed(cache, ticket, "10 5");
	cache_on_change(cache, CACHE_BEGINS, 1, "a");
	expect_listed(cache, ticket, "unknown");
	later = cache_take_ticket(cache);
	later = cache_end_change(cache, later, 1, "a");
	expect_listed(cache, ticket, "unknown");
	cache_put_name(cache, later, 1, "a", 10, &attr);
	expect_listed(cache, ticket, enabled ? "10 6" : "unknown");
	g_assert_true(cache_ticket_holds(cache, ticket, 1));
	cache_on_create(cache, CACHE_BEGINS, 1, "b");
	g_assert_false(cache_ticket_holds(cache, ticket, 1));
	cache_on_create(cache, CACHE_ENDED, 1, "b");
	g_assert_false(cache_ticket_holds(cache, ticket, 1));
	g_assert_true(cache_ticket_holds(cache, cache_take_ticket(cache), 1));
	fake_now += with.attr_ns;
	expect_listed(cache, cache_take_ticket(cache), "10 5");
	cache_on_reconnect(cache);
	expect_listed(cache, ticket, "unknown");
	cache_free(cache);
}

static void test_listed(void)
{
	check_listed(true);
	check_listed(false);
}

/* ---- the mirror ----------------------------------------------------------------------------------- */

static void mirror_known(void *data, uint64_t dir, const char *name, uint64_t id, uint64_t name_end,
                         const struct cache_attr *attr, uint64_t attr_end)
{
	g_assert_cmpuint(name_end, >, fake_now);
	g_assert_true(!attr || attr_end > fake_now);
	g_string_append_printf(data, "known %u/%s %u %d; ", (unsigned int)dir, name,
	                       (unsigned int)id, attr ? (int)attr->size : -1);
}

static void mirror_absent(void *data, uint64_t dir, const char *name, uint64_t name_end)
{
	g_assert_cmpuint(name_end, >, fake_now);
	g_string_append_printf(data, "absent %u/%s; ", (unsigned int)dir, name);
}

static void mirror_doubted(void *data, uint64_t dir, const char *name)
{
	g_string_append_printf(data, "doubt %u/%s; ", (unsigned int)dir, name ? name : "");
}

static void mirror_listed(void *data, uint64_t dir, const struct listing *listing,
                          uint64_t names_end, uint64_t attrs_end)
{
	g_assert_cmpuint(names_end, >, attrs_end);
	g_string_append_printf(data, "listed %u %zu; ", (unsigned int)dir, listing_count(listing));
}

static void mirror_all_doubted(void *data)
{
	g_string_append(data, "all; ");
}

static void test_mirror(void)
{
	g_autoptr(GString) told = g_string_new(NULL);
	struct cache_mirror mirror = {
		.known = mirror_known,
		.absent = mirror_absent,
		.doubted = mirror_doubted,
		.listed = mirror_listed,
		.all_doubted = mirror_all_doubted,
		.data = told,
	};
	struct cache_settings with = settings();
	struct cache *cache = cache_new(&with);
	struct cache_attr attr = {.size = 6, .mode = S_IFREG};
	struct cache_ticket ticket;

	cache_set_mirror(cache, &mirror);
	ticket = cache_take_ticket(cache);
	cache_put_name(cache, ticket, 1, "a", 10, &attr);
	cache_put_name(cache, ticket, 1, "b", 11, NULL);
	cache_put_absent(cache, ticket, 1, "c");
	put_listing(cache, 2, 3);
	g_assert_cmpstr(told->str, ==, "known 1/a 10 6; known 1/b 11 -1; absent 1/c; listed 2 3; ");
	g_string_truncate(told, 0);
	cache_on_create(cache, CACHE_BEGINS, 1, "d");
	cache_on_change(cache, CACHE_BEGINS, 1, "a");
	cache_put_name(cache, ticket, 1, "a", 10, &attr);
	cache_on_remove(cache, CACHE_BEGINS, 1, "b", 11);
	cache_on_surprise(cache, 2, "x", 0);
	cache_on_reconnect(cache);
	g_assert_cmpstr(told->str, ==,
	                "doubt 1/d; doubt 1/a; doubt 1/b; doubt 11/; doubt 2/x; doubt 2/; all; ");
	cache_free(cache);
}

static void test_disabled(void)
{
	static const char *const steps[] = {
		"ticket",           "put 1 a 10 5",       "absent 1 b",
		"link 1 c there",   "list 2 d:11:6",      "is 1 a unknown",
		"is 1 b unknown",   "target 1 c unknown", "names 2 unknown",
		"is 2 d unknown",   "begin create 1 a",   "ticket",
		"renew create 1 a", "put 1 a 10 5",       "is 1 a unknown",
		"reconnect",        "surprise 1 a 10",    NULL,
	};
	struct cache_settings with = settings();

	with.enabled = false;
	play_history(&with, steps);
}

/* dcache_timeout=0: nothing is ever true for long enough. */
static void test_no_time(void)
{
	static const char *const steps[] = {
		"ticket",          "put 1 a 10 5",       "is 1 a unknown",
		"link 1 b there",  "target 1 b unknown", "list 2 c:11:6",
		"names 2 unknown", "is 2 d unknown",     NULL};
	struct cache_settings with = settings();

	with.attr_ns = with.name_ns = with.link_ns = 0;
	play_history(&with, steps);
}

/* A time-out that never comes does not wrap around. */
static void test_all_time(void)
{
	static const char *const steps[] = {"ticket", "put 1 a 10 5", "wait 4000000000",
	                                    "is 1 a 10 5", NULL};
	struct cache_settings with = settings();

	with.attr_ns = with.name_ns = with.link_ns = CLOCK_NEVER;
	with.clean_ns = with.min_clean_ns = CLOCK_NEVER;
	play_history(&with, steps);
	fake_now = 1000 * CLOCK_NS_PER_SEC;
}

/* ---- bounds --------------------------------------------------------------------------------------- */

static void test_least_recently_used(void)
{
	static const char *const steps[] = {
		"ticket",
		"put 1 a 10 5",
		"put 1 b 11 6",
		"absent 1 c",
		"is 1 a 10 5",
		"put 1 d 13 8",
		"is 1 b unknown", /* a was used since, c and d are younger */
		"is 1 c absent",
		"is 1 a 10 5",
		"is 1 d 13 8",
		"link 1 e there",
		"is 1 c unknown",
		"put 1 a 10 9",
		"target 1 e there",
		"put 1 f 14 1",
		"is 1 d unknown",
		"is 1 a 10 9",
		NULL,
	};
	struct cache_settings with = settings();

	with.max_entries = 3;
	play_history(&with, steps);
}

static void test_nothing_fits(void)
{
	static const char *const steps[] = {
		"ticket",
		"put 1 a 10 5",
		"absent 1 b",
		"link 1 c there",
		"is 1 a unknown",
		"is 1 b unknown",
		"target 1 c unknown",
		"list 1 a:10:5",
		"names 1 unknown",
		NULL,
	};
	struct cache_settings with = settings();

	with.max_entries = 0;
	play_history(&with, steps);
}

static bool has_listing(struct cache *cache, uint64_t dir)
{
	struct cache_ticket ticket;
	struct listing *listing = cache_get_listing(cache, dir, &ticket);

	listing_unref(listing);
	return listing;
}

/* Listings push each other out, least recently used first, and one that never fits pushes out none. */
static void test_listings_bounded(void)
{
	struct cache_settings with = settings();
	struct cache *cache = cache_new(&with);
	unsigned int names = 9 * (unsigned int)with.max_entries; /* a tenth is for their number */
	struct cache_stats stats;

	put_listing(cache, 1, names / 2);
	put_listing(cache, 2, names / 2);
	g_assert_true(has_listing(cache, 1));
	put_listing(cache, 3, names / 4);
	g_assert_true(has_listing(cache, 1));
	g_assert_false(has_listing(cache, 2));
	g_assert_true(has_listing(cache, 3));
	put_listing(cache, 4, 1000 * names);
	g_assert_false(has_listing(cache, 4));
	g_assert_true(has_listing(cache, 1));
	g_assert_true(has_listing(cache, 3));
	cache_get_stats(cache, &stats);
	g_assert_cmpuint(stats.listings, ==, 2);
	cache_free(cache);
}

/* A listing that someone reads outlives its place in the cache. */
static void test_listing_held(void)
{
	struct cache_settings with = settings();
	struct cache *cache = cache_new(&with);
	struct cache_ticket ticket;
	struct listing *held;
	struct listing_entry entry;

	put_listing(cache, 1, 10);
	held = cache_get_listing(cache, 1, &ticket);
	cache_on_create(cache, CACHE_BEGINS, 1, "new");
	cache_free(cache);
	listing_get(held, 9, &entry);
	g_assert_cmpstr(entry.name, ==, "file-0000009");
	listing_unref(held);
}

/* What has expired is given back though nothing pushes it out. */
static void test_swept(void)
{
	struct cache_settings with = settings();
	struct cache *cache = cache_new(&with);
	struct cache_stats stats;

	for (unsigned int i = 0; i < 50; i++) {
		g_autofree char *name = g_strdup_printf("%u", i);

		cache_put_absent(cache, cache_take_ticket(cache), 1, name);
	}
	put_listing(cache, 1, 10);
	fake_now += with.name_ns;
	cache_put_absent(cache, cache_take_ticket(cache), 2, "young");
	fake_now += with.clean_ns - with.name_ns;
	cache_put_absent(cache, cache_take_ticket(cache), 2, "younger");
	cache_get_stats(cache, &stats);
	g_assert_cmpuint(stats.listings, ==, 0);
	g_assert_cmpuint(stats.entries, ==, 1);
	cache_on_reconnect(cache);
	cache_get_stats(cache, &stats);
	g_assert_cmpuint(stats.entries, ==, 0);
	g_assert_cmpuint(stats.bytes, ==, 0);
	cache_free(cache);
}

/* Bytes of the heap in use; 0 under a sanitizer or valgrind, whose heap is another. */
static size_t heap(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void test_memory(void)
{
	struct cache_settings with = settings();
	struct cache *cache;
	struct cache_stats stats;
	size_t before, after;

	with.max_entries = 10000;
	cache = cache_new(&with);
	before = heap();
	/* Ten times as many as fit: the bound holds, and nothing is left of those that went. */
	for (size_t i = 0; i < 10 * with.max_entries; i++) {
		struct cache_attr attr = {.mode = S_IFREG | 0644, .size = i};
		g_autofree char *name = g_strdup_printf("file-%07zu", i);

		cache_put_name(cache, cache_take_ticket(cache), 1 + i % 10, name, i + 10, &attr);
	}
	after = heap();
	cache_get_stats(cache, &stats);
	g_assert_cmpuint(stats.entries, ==, with.max_entries);
	g_test_message("%zu names: %zu bytes each, %zu by its own account", with.max_entries,
	               (after - before) / with.max_entries, stats.bytes / with.max_entries);
	g_assert_cmpuint(stats.bytes, <=, 250 * with.max_entries);
	if (after > before)
		g_assert_cmpuint(after - before, <=, 300 * with.max_entries);
	cache_free(cache);
}

static void test_counts(void)
{
	struct cache_settings with = settings();
	struct cache *cache = cache_new(&with);
	struct cache_name known;
	struct cache_stats stats;

	cache_get_name(cache, 1, "a", &known);
	cache_put_absent(cache, cache_take_ticket(cache), 1, "a");
	cache_get_name(cache, 1, "a", &known);
	cache_get_name(cache, 1, "a", &known);
	cache_get_stats(cache, &stats);
	g_assert_cmpuint(stats.misses, ==, 1);
	g_assert_cmpuint(stats.hits, ==, 2);
	g_assert_cmpuint(stats.dropped, ==, 0);
	cache_free(cache);
}

int main(int argc, char **argv)
{
	static const char *const events[] = {"create 1 a", "remove 1 a 10", "change 1 a",
	                                     "rename 1 a 2 z", "rename 2 z 1 a"};

	g_test_init(&argc, &argv, NULL);
	cache_now_ns = fake_clock;
	for (size_t i = 0; i < G_N_ELEMENTS(histories); i++) {
		g_autofree char *path = g_strdup_printf("/cache/history/%s", histories[i].title);

		g_strdelimit(path, " ", '_');
		g_test_add_data_func(path, histories[i].steps, test_history);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(events); i++) {
		g_autofree char *path = g_strdup_printf("/cache/late/%s", events[i]);

		g_strdelimit(path, " ", '_');
		g_test_add_data_func(path, events[i], test_late_answers);
	}
	g_test_add_func("/cache/disabled", test_disabled);
	g_test_add_func("/cache/absence_is_short", test_absence_is_short);
	g_test_add_func("/cache/listed", test_listed);
	g_test_add_func("/cache/mirror", test_mirror);
	g_test_add_func("/cache/no_time", test_no_time);
	g_test_add_func("/cache/all_time", test_all_time);
	g_test_add_func("/cache/least_recently_used", test_least_recently_used);
	g_test_add_func("/cache/nothing_fits", test_nothing_fits);
	g_test_add_func("/cache/listings_bounded", test_listings_bounded);
	g_test_add_func("/cache/listing_held", test_listing_held);
	g_test_add_func("/cache/swept", test_swept);
	g_test_add_func("/cache/memory", test_memory);
	g_test_add_func("/cache/counts", test_counts);
	return g_test_run();
}
