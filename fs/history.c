// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See history.h.
 *
 * The history is a ring of names; each knows where the same name comes before it. What has followed the last few
 * of its kind is taken for what follows now. What is known to be as good as new is not looked at.
 *
 * Whoever asks for nothing twice pays nothing. Whoever repeats himself but differently each time loses credit
 * with each look that nobody makes use of, until none are taken.
 */
#include "history.h"

#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "lock.h"
#include "request.h"

#define LENGTH    4096                  /* names that are remembered */
#define LIKE      3                     /* earlier occurrences of a name that are looked behind */
#define BEHIND    24                    /* names behind each */
#define LOOKS_MAX 48                    /* at once */
#define FAR_NS    (5 * CLOCK_NS_PER_MS) /* a round trip to a server that is far away, at least */
/* One for the answer to come, two for what is done with it. */
#define NOW_TRIPS   3
#define CREDIT_MAX  512
#define CREDIT_USED 4 /* what a look that was made use of is worth */

struct past {
	uint64_t dir;
	char *name;
	uint64_t number; /* counted up: this one is at number % LENGTH */
	uint64_t like;   /* number of the same name before it; 0: none */
	bool looked_at;  /* ahead, and not asked for since */
};

struct history {
	struct fs *fs; /* set once */
	bool enabled;  /* set once */

	pthread_mutex_t lock;
	/* All below: protected by lock. */
	struct past ring[LENGTH];
	uint64_t last;      /* number of the latest; 0: none yet */
	GHashTable *latest; /* of struct past, by folder and name: the latest of each */
	unsigned int credit;
	struct history_stats stats;
};

struct history_looks {
	struct history *history;
	struct sftp_looks *looks;
	struct cache_ticket ticket; /* taken before they were asked for */
	uint64_t trip_ns;
	size_t count;
	uint64_t dirs[LOOKS_MAX];
	char *names[LOOKS_MAX];
	char *paths[LOOKS_MAX];
};

/* ---- far away ------------------------------------------------------------------------------------ */

/* A round trip, where it is long enough to make all this worth while; else 0. */
static uint64_t far_trip_ns(struct history *history)
{
	uint64_t trip_ns = history->enabled ? sftp_client_rtt_ns(history->fs->client) : 0;

	return trip_ns >= FAR_NS ? trip_ns : 0;
}

static bool is_now(uint64_t asked_ns, uint64_t trip_ns)
{
	return clock_now_ns() <= clock_add(asked_ns, NOW_TRIPS * trip_ns);
}

bool history_is_now(struct history *history, uint64_t asked_ns)
{
	uint64_t trip_ns = far_trip_ns(history);

	return trip_ns > 0 && is_now(asked_ns, trip_ns);
}

/* ---- the ring ----------------------------------------------------------------------------------- */

static guint past_hash(gconstpointer key)
{
	const struct past *past = key;

	return g_str_hash(past->name) ^ (guint)(past->dir * 2654435761u);
}

static gboolean past_equal(gconstpointer a, gconstpointer b)
{
	const struct past *x = a, *y = b;

	return x->dir == y->dir && strcmp(x->name, y->name) == 0;
}

static struct past *at_locked(struct history *history, uint64_t number)
{
	struct past *past = &history->ring[number % LENGTH];

	return number && past->name && past->number == number ? past : NULL;
}

static void forget_locked(struct history *history, struct past *past)
{
	if (!past->name)
		return;
	if (g_hash_table_lookup(history->latest, past) == past)
		g_hash_table_remove(history->latest, past);
	g_clear_pointer(&past->name, g_free);
}

static struct past *add_locked(struct history *history, uint64_t dir, const char *name)
{
	const struct past key = {.dir = dir, .name = (char *)name};
	struct past *before = g_hash_table_lookup(history->latest, &key);
	uint64_t number = ++history->last;
	struct past *past = &history->ring[number % LENGTH];
	uint64_t like = before ? before->number : 0;

	if (before && before->looked_at) {
		before->looked_at = false;
		history->stats.used++;
		history->credit = MIN(history->credit + CREDIT_USED, CREDIT_MAX);
	}
	forget_locked(history, past);
	*past = (struct past){.dir = dir, .name = g_strdup(name), .number = number, .like = like};
	g_hash_table_replace(history->latest, past, past);
	history->credit = MIN(history->credit + 1, CREDIT_MAX);
	return past;
}

/* ---- what follows ------------------------------------------------------------------------------- */

static bool is_among(const struct history_looks *looks, const struct past *past)
{
	for (size_t i = 0; i < looks->count; i++) {
		if (looks->dirs[i] == past->dir && strcmp(looks->names[i], past->name) == 0)
			return true;
	}
	return false;
}

static bool is_known_now(const struct history_looks *looks, const struct past *past)
{
	struct cache_name known;

	return cache_get_name(looks->history->fs->cache, past->dir, past->name, &known) !=
	               CACHE_UNKNOWN &&
	       is_now(known.asked_ns, looks->trip_ns);
}

static void add_look_locked(struct history_looks *looks, const struct past *past)
{
	struct history *history = looks->history;
	struct past *latest = g_hash_table_lookup(history->latest, past);
	char *path;

	if (history->credit == 0 || looks->count == LOOKS_MAX || is_among(looks, past) ||
	    is_known_now(looks, past))
		return;
	path = node_child_path(history->fs->nodes, past->dir, past->name);
	if (!path)
		return;
	history->credit--;
	history->stats.asked++;
	latest->looked_at = true;
	looks->dirs[looks->count] = past->dir;
	looks->names[looks->count] = g_strdup(past->name);
	looks->paths[looks->count++] = path;
}

/* Behind the last few of the same name. */
static void gather_locked(struct history_looks *looks, const struct past *now)
{
	struct history *history = looks->history;
	const struct past *like = at_locked(history, now->like);

	for (int i = 0; i < LIKE && like; i++) {
		for (uint64_t next = like->number + 1; next <= like->number + BEHIND; next++) {
			struct past *past = next < now->number ? at_locked(history, next) : NULL;

			if (past && !past_equal(past, now))
				add_look_locked(looks, past);
		}
		like = at_locked(history, like->like);
	}
}

/* ---- looking ------------------------------------------------------------------------------------ */

void history_note(struct history *history, uint64_t dir, const char *name)
{
	if (far_trip_ns(history) == 0)
		return;
	LOCK_SCOPE(&history->lock);
	add_locked(history, dir, name);
}

static void free_looks(struct history_looks *looks)
{
	for (size_t i = 0; i < looks->count; i++) {
		g_free(looks->names[i]);
		g_free(looks->paths[i]);
	}
	g_free(looks);
}

struct history_looks *history_begin(struct history *history, uint64_t dir, const char *name)
{
	uint64_t trip_ns = far_trip_ns(history);
	struct history_looks *looks;

	if (trip_ns == 0)
		return NULL;
	looks = g_new0(struct history_looks, 1);
	looks->history = history;
	looks->trip_ns = trip_ns;
	looks->ticket = cache_take_ticket(history->fs->cache);
	pthread_mutex_lock(&history->lock);
	gather_locked(looks, add_locked(history, dir, name));
	pthread_mutex_unlock(&history->lock);
	if (looks->count > 0)
		looks->looks = sftp_looks_begin(history->fs->client, looks->paths, looks->count);
	if (looks->looks)
		return looks;
	free_looks(looks);
	return NULL;
}

/* Another type under a name that the kernel knows is for a look-up of its own to find. */
static void put_present(const struct history_looks *looks, uint64_t dir, const char *name,
                        const struct sftp_attrs *attrs)
{
	struct fs *fs = looks->history->fs;
	uint64_t id = place_choose_id(fs, dir, name);
	uint32_t type = node_type(fs->nodes, id);
	struct cache_attr attr;

	convert_attrs_to_cache(attrs, &attr);
	if (type && type != (attr.mode & S_IFMT))
		cache_on_surprise(fs->cache, dir, name, id);
	else
		cache_put_name(fs->cache, looks->ticket, dir, name, id, &attr);
}

static void tell(size_t index, int error, const struct sftp_attrs *attrs, void *data)
{
	const struct history_looks *looks = data;
	uint64_t dir = looks->dirs[index];
	const char *name = looks->names[index];

	if (!error)
		put_present(looks, dir, name, attrs);
	else if (error == -ENOENT)
		cache_put_absent(looks->history->fs->cache, looks->ticket, dir, name);
}

void history_end(struct history_looks *looks)
{
	if (!looks)
		return;
	sftp_looks_end(looks->looks, tell, looks);
	free_looks(looks);
}

/* ---- life --------------------------------------------------------------------------------------- */

struct history *history_new(struct fs *fs, bool enabled)
{
	struct history *history = g_new0(struct history, 1);

	history->fs = fs;
	/* What is found goes into the cache. With follow_symlinks it would be the wrong thing. */
	history->enabled = enabled && cache_is_enabled(fs->cache) && !fs->settings.follow_symlinks;
	history->credit = CREDIT_MAX;
	history->latest = g_hash_table_new(past_hash, past_equal);
	pthread_mutex_init(&history->lock, NULL);
	return history;
}

void history_free(struct history *history)
{
	if (!history)
		return;
	for (size_t i = 0; i < LENGTH; i++)
		forget_locked(history, &history->ring[i]);
	g_hash_table_unref(history->latest);
	pthread_mutex_destroy(&history->lock);
	g_free(history);
}

void history_get_stats(struct history *history, struct history_stats *ret_stats)
{
	LOCK_SCOPE(&history->lock);
	*ret_stats = history->stats;
}
