// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See stream.h. One reader at a time is the driver: it takes replies from the server, with nothing
 * locked, and hands the role on when it has what it needs. Others wait for entries to arrive, or for the
 * role to become free.
 *
 * The race that shaped it: a driver whose caller is killed. It leaves the reply that it waited for where it
 * is (sftp_readdir()), and the next driver takes it.
 */
#include "stream.h"

#include <pthread.h>

#include "cancel.h"
#include "lock.h"
#include "request.h"
#include "turns.h"
#include "util.h"

#define ENTRIES_MAX  (16 * MIB) /* of one folder; more is not a listing but an attack */
#define REPEATED_MAX 1024       /* names that come again, besides as many as there are */
#define REPLIES_MAX  16         /* that a driver takes before others can look at them */
#define CHUNK_MIN    (64 * KIB) /* entries that are kept behind the readers, at least */

struct stream_table {
	pthread_mutex_t lock;
	GHashTable *streams; /* folder's id -> struct stream, not referenced; protected by lock */
};

enum state {
	ARRIVING, /* there is more */
	COMPLETE,
	FAILED, /* with `error` */
};

struct stream {
	struct fs *fs;           /* set once */
	uint64_t dir;            /* set once */
	uint64_t serial;         /* set once */
	unsigned int refs;       /* protected by the table's lock */
	struct sftp_dir *source; /* the driver's; NULL: not opened yet, or ended */
	size_t repeated;         /* names that had come before; the driver's */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool driven;                /* somebody is the driver; protected by lock */
	bool wanted;                /* a program reads it; protected by lock */
	bool is_news;               /* see stream_take_news(); protected by lock */
	enum state state;           /* protected by lock */
	int error;                  /* protected by lock */
	struct cache_ticket ticket; /* changes when it is asked for; protected by lock */
	/*
	 * The entries in two pieces, of which the first may be empty or gone (NULL); `first` is the place
	 * of each one's first entry. Protected by lock; frozen once complete.
	 */
	struct {
		struct listing *listing;
		size_t first;
	} past, present;
};

/* ---- life ------------------------------------------------------------------------------------- */

struct stream_table *stream_table_new(void)
{
	struct stream_table *table = g_new0(struct stream_table, 1);

	pthread_mutex_init(&table->lock, NULL);
	table->streams = g_hash_table_new(g_int64_hash, g_int64_equal);
	return table;
}

void stream_table_free(struct stream_table *table)
{
	if (!table)
		return;
	g_assert(g_hash_table_size(table->streams) == 0);
	g_hash_table_unref(table->streams);
	pthread_mutex_destroy(&table->lock);
	g_free(table);
}

static struct stream *make(struct fs *fs, uint64_t dir, enum state state, struct listing *listing,
                           struct cache_ticket ticket)
{
	struct stream *stream = g_new0(struct stream, 1);

	stream->fs = fs;
	stream->dir = dir;
	stream->serial = listing_serial(listing);
	stream->refs = 1;
	stream->ticket = ticket;
	stream->state = state;
	stream->present.listing = listing;
	pthread_mutex_init(&stream->lock, NULL);
	lock_cond_init(&stream->changed);
	return stream;
}

struct stream *stream_new(struct fs *fs, uint64_t dir)
{
	return make(fs, dir, ARRIVING, listing_new(), cache_take_ticket(fs->cache));
}

struct stream *stream_get_cached(struct fs *fs, uint64_t dir)
{
	struct cache_ticket ticket;
	struct listing *listing = cache_get_listing(fs->cache, dir, &ticket);

	return listing ? make(fs, dir, COMPLETE, listing, ticket) : NULL;
}

static void stream_free(struct stream *stream)
{
	sftp_closedir(stream->source);
	listing_unref(stream->past.listing);
	listing_unref(stream->present.listing);
	pthread_mutex_destroy(&stream->lock);
	pthread_cond_destroy(&stream->changed);
	g_free(stream);
}

struct stream *stream_ref(struct stream *stream)
{
	LOCK_SCOPE(&stream->fs->streams->lock);
	stream->refs++;
	return stream;
}

/* Nobody else will be given it. */
static void unlist_locked(struct stream_table *table, struct stream *stream)
{
	if (g_hash_table_lookup(table->streams, &stream->dir) == stream)
		g_hash_table_remove(table->streams, &stream->dir);
}

void stream_unref(struct stream *stream)
{
	struct stream_table *table = stream ? stream->fs->streams : NULL;
	bool last;

	if (!stream)
		return;
	pthread_mutex_lock(&table->lock);
	last = --stream->refs == 0;
	if (last)
		unlist_locked(table, stream);
	pthread_mutex_unlock(&table->lock);
	if (last)
		stream_free(stream);
}

/* ---- sharing what is on its way --------------------------------------------------------------- */

/*
 * What began before a change of ours may lack it. And without a cache every listing is asked for when it
 * is wanted, not before: what somebody else has asked for a moment ago may be outdated.
 */
static bool is_good_enough(struct stream *stream)
{
	struct cache *cache = stream->fs->cache;

	LOCK_SCOPE(&stream->lock);
	if (!cache_is_enabled(cache) || !cache_ticket_holds(cache, stream->ticket, stream->dir))
		return false;
	return stream->state != FAILED && stream->present.first == 0;
}

struct stream *stream_get(struct fs *fs, uint64_t dir)
{
	struct stream_table *table = fs->streams;
	struct stream *stream = stream_get_cached(fs, dir);

	if (stream)
		return stream;
	LOCK_SCOPE(&table->lock);
	stream = g_hash_table_lookup(table->streams, &dir);
	if (stream && is_good_enough(stream)) {
		stream->refs++;
		return stream;
	}
	if (stream)
		unlist_locked(table, stream);
	/* It may have become known, and left the table, since we looked. */
	stream = stream_get_cached(fs, dir);
	if (stream)
		return stream;
	stream = stream_new(fs, dir);
	g_hash_table_insert(table->streams, &stream->dir, stream);
	return stream;
}

/* ---- entries arrive --------------------------------------------------------------------------- */

/*
 * Attributes without a size are not all there is to say of a file: shown, it would read as empty. And
 * those of a link are not those of what it leads to, which follow_symlinks shows.
 */
static bool are_attrs_shown(const struct fs *fs, const struct sftp_attrs *attrs)
{
	if (!attrs || !(attrs->flags & SFTP_ATTR_PERMISSIONS))
		return false;
	if (!(attrs->flags & SFTP_ATTR_SIZE) && !S_ISDIR(attrs->permissions))
		return false;
	return !(fs->settings.follow_symlinks && S_ISLNK(attrs->permissions));
}

/* What is read behind us and will not be remembered goes. */
static void let_go_locked(struct stream *stream)
{
	size_t count = listing_count(stream->present.listing);

	if (count < MAX(CHUNK_MIN, cache_max_listing(stream->fs->cache)))
		return;
	listing_unref(stream->past.listing);
	stream->past = stream->present;
	stream->present.first += count;
	stream->present.listing = listing_new();
}

/* Each name may come twice, where a folder changes meanwhile; a server that goes on so never ends. */
static int append_locked(struct stream *stream, const struct listing_entry *entry)
{
	size_t count;

	let_go_locked(stream);
	if (!listing_append(stream->present.listing, entry))
		stream->repeated++;
	count = stream->present.first + listing_count(stream->present.listing);
	if (count >= ENTRIES_MAX)
		return -EOVERFLOW;
	return stream->repeated > count + REPEATED_MAX ? -EPROTO : 0;
}

static int append_entry(const char *name, const struct sftp_attrs *attrs, void *data)
{
	struct stream *stream = data;
	struct listing_entry entry = {
		.name = name,
		.id = place_choose_id(stream->fs, stream->dir, name),
		.has_attr = are_attrs_shown(stream->fs, attrs),
	};

	if (entry.has_attr)
		convert_attrs_to_cache(attrs, &entry.attr);
	LOCK_SCOPE(&stream->lock);
	return append_locked(stream, &entry);
}

/* ---- driving ---------------------------------------------------------------------------------- */

static void set_ticket(struct stream *stream, struct cache_ticket ticket)
{
	LOCK_SCOPE(&stream->lock);
	stream->ticket = ticket;
}

static int open_source(struct stream *stream)
{
	struct fs *fs = stream->fs;

	for (;;) {
		struct cache_ticket ticket = cache_take_ticket(fs->cache);
		g_autofree char *path = node_path(fs->nodes, stream->dir);
		int error;

		if (!path)
			return -ENOENT;
		error = sftp_opendir(fs->client, path, &stream->source);
		if (place_node_was_moved(fs, error, stream->dir, path))
			continue;
		if (!error)
			set_ticket(stream, ticket);
		else if (error == -ENOENT || error == -ENOTDIR)
			place_note_surprise(fs, stream->dir);
		return error;
	}
}

/* One step of the driver, as sftp_readdir(); all replies that are here are taken at once. */
static int drive(struct stream *stream)
{
	int result = 1;

	if (!stream->source) {
		int error = open_source(stream);

		return error ? error : 1;
	}
	for (unsigned int i = 0; result > 0 && i < REPLIES_MAX; i++) {
		if (i > 0 && !sftp_dir_is_ready(stream->source))
			break;
		result = sftp_readdir(stream->source, append_entry, stream);
	}
	return result;
}

static void trim(struct stream *stream)
{
	LOCK_SCOPE(&stream->lock);
	listing_trim(stream->present.listing);
}

static bool make_news(struct stream *stream)
{
	LOCK_SCOPE(&stream->lock);
	stream->is_news = true;
	return stream->wanted;
}

/*
 * All of a folder is there, and not too much to be kept. Whether it is wanted is looked at behind the put:
 * who wants it from then on finds it in the cache (stream_want()).
 */
static void tell_cache(struct stream *stream)
{
	struct cache *cache = stream->fs->cache;

	trim(stream);
	cache_put_listing(cache, stream->ticket, stream->dir, stream->present.listing);
	if (make_news(stream))
		cache_trust_listing(cache, stream->dir);
}

/* It is all there, or there will be no more. */
static void end(struct stream *stream, int error)
{
	struct stream_table *table = stream->fs->streams;

	if (!error && stream->present.first == 0)
		tell_cache(stream);
	sftp_closedir(stream->source);
	stream->source = NULL;
	LOCK_SCOPE(&table->lock);
	unlist_locked(table, stream);
}

/*
 * As the driver: takes the next reply, tells all who wait, and is not the driver any more. Returns 0, or
 * -EINTR: given up.
 */
static int take_reply(struct stream *stream)
{
	int result = drive(stream);

	if (result <= 0 && result != -EINTR)
		end(stream, result);
	LOCK_SCOPE(&stream->lock);
	if (result < 0 && result != -EINTR) {
		stream->state = FAILED;
		stream->error = result;
	} else if (result == 0) {
		stream->state = COMPLETE;
	}
	stream->driven = false;
	pthread_cond_broadcast(&stream->changed);
	return result == -EINTR ? result : 0;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static size_t arrived_locked(const struct stream *stream)
{
	return stream->present.first + listing_count(stream->present.listing);
}

static bool is_gone_locked(const struct stream *stream, size_t place)
{
	return place < (stream->past.listing ? stream->past.first : stream->present.first);
}

/* False: more has to arrive before stream_await() can tell. */
static bool is_known_locked(const struct stream *stream, size_t place, int *ret_result)
{
	if (is_gone_locked(stream, place))
		*ret_result = -ESTALE;
	else if (place < arrived_locked(stream))
		*ret_result = 1;
	else if (stream->state == ARRIVING)
		return false;
	else
		*ret_result = stream->state == FAILED ? stream->error : 0;
	return true;
}

/* Waits until it is known (true), or until the caller is the driver (false). */
static bool await_turn(struct stream *stream, size_t place, int *ret_result)
{
	bool known;

	cancel_begin_wait(&stream->lock, &stream->changed);
	pthread_mutex_lock(&stream->lock);
	/* Whoever asks the server: its answer is waited for. */
	if (!is_known_locked(stream, place, ret_result))
		sftp_turns_add();
	while (!(known = is_known_locked(stream, place, ret_result)) && stream->driven &&
	       !cancel_is_raised())
		pthread_cond_wait(&stream->changed, &stream->lock);
	if (!known && stream->driven) {
		*ret_result = -EINTR;
		known = true;
	} else if (!known) {
		stream->driven = true;
	}
	pthread_mutex_unlock(&stream->lock);
	cancel_end_wait();
	return known;
}

int stream_await(struct stream *stream, size_t place)
{
	int result;

	while (!await_turn(stream, place, &result)) {
		int error = take_reply(stream);

		if (error)
			return error;
	}
	return result;
}

void stream_complete(struct stream *stream, size_t max)
{
	size_t place = 0;

	while (place <= max && stream_await(stream, place) > 0) {
		LOCK_SCOPE(&stream->lock);
		place = arrived_locked(stream);
	}
}

void stream_want(struct stream *stream)
{
	pthread_mutex_lock(&stream->lock);
	stream->wanted = true;
	pthread_mutex_unlock(&stream->lock);
	/* If it is there already; else when it is. */
	cache_trust_listing(stream->fs->cache, stream->dir);
}

struct listing *stream_take_news(struct stream *stream)
{
	LOCK_SCOPE(&stream->lock);

	if (!stream->is_news)
		return NULL;
	stream->is_news = false;
	return listing_ref(stream->present.listing);
}

void stream_each(struct stream *stream, size_t place,
                 bool (*tell)(const struct listing_entry *entry, size_t next, void *data),
                 void *data)
{
	struct listing_entry entry;

	LOCK_SCOPE(&stream->lock);
	while (!is_gone_locked(stream, place) && place < arrived_locked(stream)) {
		bool past = place < stream->present.first;
		size_t first = past ? stream->past.first : stream->present.first;

		listing_get(past ? stream->past.listing : stream->present.listing, place - first,
		            &entry);
		if (!tell(&entry, ++place, data))
			return;
	}
}

struct cache_ticket stream_ticket(struct stream *stream)
{
	LOCK_SCOPE(&stream->lock);
	return stream->ticket;
}

uint64_t stream_serial(const struct stream *stream)
{
	return stream->serial;
}

uint64_t stream_dir(const struct stream *stream)
{
	return stream->dir;
}
