// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See handle.h. What is written goes through the handle's writer, which what is on its way keeps alive: so a
 * handle can be released while replies are still to come.
 */
#include "handle.h"

#include <fcntl.h>
#include <glib.h>
#include <stdatomic.h>

#include "lock.h"
#include "stage.h"
#include "window.h"
#include "writer.h"

struct handle {
	gint refs;                        /* atomic */
	struct handle_table *table;       /* set once; borrowed */
	uint64_t node;                    /* set once */
	_Atomic(struct sftp_file *) file; /* set once, at the latest when it is needed; owned */
	struct stage_reader *reader;      /* set once; owned; may be NULL */
	struct writer *writer;            /* set once; owned; NULL: it is for reading only */
	int open_flags;                   /* set once */
};

struct handle_table {
	struct window *window; /* set once; owned */
	bool gathers;          /* set once */

	pthread_mutex_t lock;
	GHashTable *by_node; /* node id -> GPtrArray of struct handle; protected by lock */
	unsigned int count;  /* protected by lock */
};

/* ---- the table ---------------------------------------------------------------------------------- */

struct handle_table *handle_table_new(bool gathers)
{
	struct handle_table *table = g_new0(struct handle_table, 1);

	table->window = window_new();
	table->gathers = gathers;
	pthread_mutex_init(&table->lock, NULL);
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
	window_free(table->window);
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

static bool is_writable(const struct handle *handle)
{
	return (handle->open_flags & O_ACCMODE) != O_RDONLY;
}

static enum writer_kind writer_kind(const struct handle_table *table, int open_flags)
{
	if (!table->gathers)
		return WRITER_PLAIN;
	return open_flags & O_APPEND ? WRITER_APPENDS : WRITER_GATHERS;
}

struct handle *handle_new(struct handle_table *table, uint64_t node, struct sftp_file *file,
                          int open_flags)
{
	struct handle *handle = g_new0(struct handle, 1);

	handle->refs = 1;
	handle->table = table;
	handle->node = node;
	handle->file = file;
	handle->open_flags = open_flags;
	if (is_writable(handle))
		handle->writer = writer_new(table->window, file, writer_kind(table, open_flags));
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
	writer_unref(handle->writer);
	sftp_file_unref(handle->file);
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

/* Adds a reference to `*handles`, which is NULL while there is none. */
static void collect(GPtrArray **handles, struct handle *handle)
{
	if (!*handles)
		*handles = g_ptr_array_new_with_free_func((GDestroyNotify)handle_unref);
	g_ptr_array_add(*handles, handle_ref(handle));
}

/*
 * The handles of a node that may have something on its way, referenced, but for one; NULL when there are
 * none.
 */
static GPtrArray *writers_of(struct handle_table *table, uint64_t node, const struct handle *but)
{
	GPtrArray *writers = NULL;
	GPtrArray *handles;

	LOCK_SCOPE(&table->lock);
	handles = g_hash_table_lookup(table->by_node, &node);
	for (unsigned int i = 0; handles && i < handles->len; i++) {
		struct handle *handle = g_ptr_array_index(handles, i);

		if (is_writable(handle) && handle != but)
			collect(&writers, handle);
	}
	return writers;
}

/* ---- writing ------------------------------------------------------------------------------------ */

/* 0 or -EINTR; accepts NULL. */
static int await_writers(GPtrArray *writers)
{
	int error = 0;

	for (unsigned int i = 0; writers && i < writers->len && !error; i++)
		error = writer_await(((struct handle *)g_ptr_array_index(writers, i))->writer);
	return error;
}

static int await_or_push(struct writer *writer, bool shares_connection)
{
	if (!shares_connection)
		return writer_await(writer);
	writer_push(writer);
	return 0;
}

/*
 * Other handles of the file have written before: what they have gathered goes first. On another connection the
 * server would not know which of two writes of a file came first: there that is waited for.
 */
static int line_up(struct handle *handle)
{
	g_autoptr(GPtrArray) others = writers_of(handle->table, handle->node, handle);
	int error = 0;

	for (unsigned int i = 0; others && i < others->len && !error; i++) {
		struct handle *other = g_ptr_array_index(others, i);

		error = await_or_push(other->writer,
		                      sftp_file_shares_connection(other->file, handle->file));
	}
	return error;
}

int handle_write(struct handle *handle, const void *buf, size_t size, uint64_t offset,
                 void (*written)(void *data), void *data)
{
	int error = line_up(handle);

	if (error) {
		written(data);
		return error;
	}
	return writer_write(handle->writer, buf, size, offset, written, data);
}

int handle_drain(struct handle *handle, bool take_error)
{
	int error = handle->writer ? writer_await(handle->writer) : 0;

	return error || !take_error || !handle->writer ? error : writer_take_error(handle->writer);
}

bool handle_table_drain(struct handle_table *table, uint64_t span_ns)
{
	return window_await_empty(table->window, span_ns);
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
