// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See handle.h. What is on its way to the server is counted per handle; the reply counts it down on a
 * thread of the client.
 *
 * The race that shaped it: the last reply comes while the handle is released. Each write on its way
 * therefore holds a reference to its handle.
 */
#include "handle.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdatomic.h>

#include "cancel.h"
#include "clock.h"
#include "lock.h"
#include "stage.h"
#include "util.h"

struct handle {
	gint refs;                        /* atomic */
	struct handle_table *table;       /* set once; borrowed */
	uint64_t node;                    /* set once */
	_Atomic(struct sftp_file *) file; /* set once, at the latest when it is needed; owned */
	struct stage_reader *reader;      /* set once; owned; may be NULL */
	int open_flags;                   /* set once */

	pthread_mutex_t lock;
	pthread_cond_t answered; /* something on its way has been answered */
	GQueue flights;          /* on their way, oldest first; protected by lock */
	uint64_t last_flight;    /* number of the latest; protected by lock */
	size_t in_flight;        /* bytes on their way; protected by lock */
	int error;               /* first one not reported yet, negative; protected by lock */
	bool failed;             /* a write has failed: each one is waited for; protected by lock */
};

struct handle_table {
	pthread_mutex_t lock;
	GHashTable *by_node;   /* node id -> GPtrArray of struct handle; protected by lock */
	unsigned int count;    /* protected by lock */
	unsigned int flights;  /* of all handles, released ones too; protected by lock */
	pthread_cond_t landed; /* there are no flights any more */
};

/* ---- the table ---------------------------------------------------------------------------------- */

struct handle_table *handle_table_new(void)
{
	struct handle_table *table = g_new0(struct handle_table, 1);

	pthread_mutex_init(&table->lock, NULL);
	lock_cond_init(&table->landed);
	table->by_node = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
	                                       (GDestroyNotify)g_ptr_array_unref);
	return table;
}

/* Those that the kernel had no time to release. */
static void unref_all(struct handle_table *table)
{
	GHashTableIter iter;
	void *handles;

	g_hash_table_iter_init(&iter, table->by_node);
	while (g_hash_table_iter_next(&iter, NULL, &handles)) {
		g_ptr_array_set_free_func(handles, (GDestroyNotify)handle_unref);
		g_hash_table_iter_remove(&iter);
	}
}

void handle_table_free(struct handle_table *table)
{
	if (!table)
		return;
	unref_all(table);
	g_hash_table_unref(table->by_node);
	pthread_cond_destroy(&table->landed);
	pthread_mutex_destroy(&table->lock);
	g_free(table);
}

static void table_add(struct handle_table *table, struct handle *handle)
{
	GPtrArray *handles;

	LOCK_SCOPE(&table->lock);
	handles = g_hash_table_lookup(table->by_node, &handle->node);
	if (!handles) {
		handles = g_ptr_array_new();
		g_hash_table_insert(table->by_node, g_memdup2(&handle->node, sizeof(uint64_t)),
		                    handles);
	}
	g_ptr_array_add(handles, handle);
	table->count++;
}

static void table_remove(struct handle_table *table, struct handle *handle)
{
	GPtrArray *handles;

	LOCK_SCOPE(&table->lock);
	handles = g_hash_table_lookup(table->by_node, &handle->node);
	g_ptr_array_remove_fast(handles, handle);
	if (handles->len == 0)
		g_hash_table_remove(table->by_node, &handle->node);
	table->count--;
}

unsigned int handle_count(struct handle_table *table)
{
	LOCK_SCOPE(&table->lock);
	return table->count;
}

/* ---- life --------------------------------------------------------------------------------------- */

struct handle *handle_new(struct handle_table *table, uint64_t node, struct sftp_file *file,
                          int open_flags)
{
	struct handle *handle = g_new0(struct handle, 1);

	handle->refs = 1;
	handle->table = table;
	handle->node = node;
	handle->file = file;
	handle->open_flags = open_flags;
	pthread_mutex_init(&handle->lock, NULL);
	lock_cond_init(&handle->answered);
	table_add(table, handle);
	return handle;
}

struct handle *handle_ref(struct handle *handle)
{
	g_atomic_int_inc(&handle->refs);
	return handle;
}

void handle_unref(struct handle *handle)
{
	if (!handle || !g_atomic_int_dec_and_test(&handle->refs))
		return;
	stage_reader_free(handle->reader);
	sftp_file_unref(handle->file);
	pthread_cond_destroy(&handle->answered);
	pthread_mutex_destroy(&handle->lock);
	g_free(handle);
}

void handle_release(struct handle_table *table, struct handle *handle)
{
	table_remove(table, handle);
	handle_unref(handle);
}

struct sftp_file *handle_file(struct handle *handle)
{
	return handle->file;
}

void handle_set_file(struct handle *handle, struct sftp_file *file)
{
	struct sftp_file *none = NULL;

	if (!atomic_compare_exchange_strong(&handle->file, &none, file))
		sftp_file_unref(file);
}

void handle_set_reader(struct handle *handle, struct stage_reader *reader)
{
	handle->reader = reader;
}

struct stage_reader *handle_reader(const struct handle *handle)
{
	return handle->reader;
}

uint64_t handle_node(const struct handle *handle)
{
	return handle->node;
}

int handle_open_flags(const struct handle *handle)
{
	return handle->open_flags;
}

/* ---- the writers of a node ----------------------------------------------------------------------- */

static bool is_writable(const struct handle *handle)
{
	return (handle->open_flags & O_ACCMODE) != O_RDONLY;
}

/*
 * The handles of a node that may have something on its way, referenced; NULL when there are none. With
 * `but` only those on another connection than its own.
 */
static GPtrArray *writers_of(struct handle_table *table, uint64_t node, const struct handle *but)
{
	GPtrArray *writers = NULL;
	GPtrArray *handles;

	LOCK_SCOPE(&table->lock);
	handles = g_hash_table_lookup(table->by_node, &node);
	for (unsigned int i = 0; handles && i < handles->len; i++) {
		struct handle *handle = g_ptr_array_index(handles, i);

		if (!is_writable(handle) ||
		    (but && sftp_file_shares_connection(handle->file, but->file)))
			continue;
		if (!writers)
			writers = g_ptr_array_new_with_free_func((GDestroyNotify)handle_unref);
		g_ptr_array_add(writers, handle_ref(handle));
	}
	return writers;
}

/* ---- write-behind ------------------------------------------------------------------------------- */

/* One handle_write() that is on its way. */
struct flight {
	struct handle *handle; /* a reference */
	GList link;            /* in handle->flights */
	uint64_t number;
	size_t size;
	void (*written)(void *data);
	void *data;
};

static void land(struct flight *flight, int error)
{
	struct handle *handle = flight->handle;
	LOCK_SCOPE(&handle->lock);

	g_queue_unlink(&handle->flights, &flight->link);
	handle->in_flight -= flight->size;
	if (error && !handle->error)
		handle->error = error;
	if (error)
		handle->failed = true;
	pthread_cond_broadcast(&handle->answered);
}

static void count_flight(struct handle_table *table, int delta)
{
	LOCK_SCOPE(&table->lock);
	table->flights += (unsigned int)delta;
	if (table->flights == 0)
		pthread_cond_broadcast(&table->landed);
}

/* After that nothing of the flight refers to the table or to `data` any more. */
static void flight_free(struct flight *flight)
{
	struct handle_table *table = flight->handle->table;

	handle_unref(flight->handle);
	g_free(flight);
	count_flight(table, -1);
}

static void on_answered(void *data, int error)
{
	struct flight *flight = data;

	flight->written(flight->data);
	/* Given up when a part had been sent: those bytes are lost, and who waits was not interrupted. */
	land(flight, error == -EINTR ? -EIO : error);
	flight_free(flight);
}

static uint64_t last_flight(struct handle *handle)
{
	LOCK_SCOPE(&handle->lock);
	return handle->last_flight;
}

/* True when more than `limit` bytes are on their way, or a flight up to that number is. */
static bool is_on_its_way_locked(struct handle *handle, size_t limit, uint64_t number)
{
	const struct flight *oldest = g_queue_peek_head(&handle->flights);

	return handle->in_flight > limit || (oldest && oldest->number <= number);
}

/* Waits until neither is: 0, or -EINTR. */
static int await(struct handle *handle, size_t limit, uint64_t number)
{
	int error = 0;

	cancel_begin_wait(&handle->lock, &handle->answered);
	pthread_mutex_lock(&handle->lock);
	if (is_on_its_way_locked(handle, limit, number))
		sftp_turns_add();
	while (is_on_its_way_locked(handle, limit, number) && !cancel_is_raised())
		pthread_cond_wait(&handle->answered, &handle->lock);
	if (is_on_its_way_locked(handle, limit, number))
		error = -EINTR;
	pthread_mutex_unlock(&handle->lock);
	cancel_end_wait();
	return error;
}

static int await_room(struct handle *handle, size_t size)
{
	return await(handle, HANDLE_IN_FLIGHT_MAX - MIN(size, HANDLE_IN_FLIGHT_MAX), 0);
}

/* Those that are on their way now: who goes on writing does not keep others waiting. */
static int await_flights(struct handle *handle)
{
	return await(handle, SIZE_MAX, last_flight(handle));
}

/* Hands the bytes over; they count as on their way from here on. */
static int take_off(struct handle *handle, const void *buf, size_t size, uint64_t offset,
                    void (*written)(void *data), void *data)
{
	struct flight *flight = g_new(struct flight, 1);
	int error;

	*flight = (struct flight){
		.handle = handle_ref(handle), .size = size, .written = written, .data = data};
	flight->link.data = flight;
	count_flight(handle->table, 1);
	pthread_mutex_lock(&handle->lock);
	flight->number = ++handle->last_flight;
	g_queue_push_tail_link(&handle->flights, &flight->link);
	handle->in_flight += size;
	pthread_mutex_unlock(&handle->lock);
	error = sftp_write_async(handle->file, buf, size, offset, on_answered, flight);
	if (error) {
		land(flight, error == -EINTR ? 0 : error);
		flight_free(flight);
		written(data);
	}
	return error;
}

static bool has_failed(struct handle *handle)
{
	LOCK_SCOPE(&handle->lock);
	return handle->failed;
}

/* The first error that flush has not reported yet; it stays for flush. */
static int pending_error(struct handle *handle)
{
	LOCK_SCOPE(&handle->lock);
	return handle->error;
}

/* 0 or -EINTR; accepts NULL. */
static int await_writers(GPtrArray *writers)
{
	int error = 0;

	for (unsigned int i = 0; writers && i < writers->len && !error; i++)
		error = await_flights(g_ptr_array_index(writers, i));
	return error;
}

/* On another connection the server would not know which of two writes of a file came first. */
static int await_other_connections(struct handle *handle)
{
	g_autoptr(GPtrArray) writers = writers_of(handle->table, handle->node, handle);

	return await_writers(writers);
}

int handle_write(struct handle *handle, const void *buf, size_t size, uint64_t offset,
                 void (*written)(void *data), void *data)
{
	int error = await_other_connections(handle);

	if (!error)
		error = await_room(handle, size);
	if (!error)
		error = pending_error(handle);
	if (error) {
		written(data);
		return error;
	}
	error = take_off(handle, buf, size, offset, written, data);
	if (!error && has_failed(handle))
		error = await_flights(handle);
	return error ? error : pending_error(handle);
}

int handle_drain(struct handle *handle, bool take_error)
{
	int error = await_flights(handle);

	if (error || !take_error)
		return error;
	LOCK_SCOPE(&handle->lock);
	error = handle->error;
	handle->error = 0;
	return error;
}

bool handle_table_drain(struct handle_table *table, uint64_t span_ns)
{
	uint64_t end = clock_add(clock_now_ns(), span_ns);

	LOCK_SCOPE(&table->lock);
	for (;;) {
		uint64_t now = clock_now_ns();

		if (table->flights == 0 || now >= end)
			return table->flights == 0;
		lock_cond_wait_for(&table->landed, &table->lock, end - now);
	}
}

/* ---- by node ------------------------------------------------------------------------------------ */

int handle_drain_node(struct handle_table *table, uint64_t node)
{
	g_autoptr(GPtrArray) writers = writers_of(table, node, NULL);

	return await_writers(writers);
}

/* True for one by which the server can be asked. */
static bool is_reachable(const struct handle *handle)
{
	return handle->file && !sftp_file_is_stale(handle->file);
}

static struct handle *find(struct handle_table *table, uint64_t node,
                           bool (*fits)(const struct handle *handle))
{
	GPtrArray *handles;

	LOCK_SCOPE(&table->lock);
	handles = g_hash_table_lookup(table->by_node, &node);
	for (unsigned int i = 0; handles && i < handles->len; i++) {
		struct handle *handle = g_ptr_array_index(handles, i);

		if (fits(handle))
			return handle_ref(handle);
	}
	return NULL;
}

static bool is_reachable_writer(const struct handle *handle)
{
	return is_writable(handle) && is_reachable(handle);
}

struct handle *handle_find(struct handle_table *table, uint64_t node, bool writable)
{
	return find(table, node, writable ? is_reachable_writer : is_reachable);
}

static bool is_placing(const struct handle *handle)
{
	return is_reachable_writer(handle) && !(handle->open_flags & O_APPEND);
}

struct handle *handle_find_placing(struct handle_table *table, uint64_t node)
{
	return find(table, node, is_placing);
}

static bool is_held(const struct handle *handle)
{
	return !handle->file;
}

struct handle *handle_find_held(struct handle_table *table, uint64_t node)
{
	return find(table, node, is_held);
}
