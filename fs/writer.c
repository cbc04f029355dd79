// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See writer.h. Bytes are on their way in flights, one WRITE or several each; the one that is being gathered is
 * a flight that has not been sent. It never waits alone: as soon as nothing is before it, it is sent, by whoever
 * sees that first, mostly the thread on which the last reply came.
 *
 * The lock is held while bytes are handed to the connection, which does not wait (sftp_write_async()): so
 * they leave in the order in which they came, whoever sends them.
 *
 * What flights end with calls others, hence never under the lock. Those that could not be sent are put aside
 * (`unsent`) and ended by the same thread after it has let go; till then they count as on their way.
 */
#include "writer.h"

#include <errno.h>
#include <glib.h>

#include "cancel.h"
#include "lock.h"

struct writer {
	gint refs;                 /* atomic */
	struct window *window;     /* set once; borrowed */
	struct sftp_file *file;    /* set once; a reference */
	enum writer_kind kind;     /* set once */
	size_t piece;              /* set once: bytes of a WRITE at most */
	struct window_share share; /* protected by the window's lock */

	pthread_mutex_t lock;
	pthread_cond_t answered; /* something on its way has been answered */
	GQueue flights;          /* sent, oldest first; protected by lock */
	struct flight *gathered; /* younger than all of those, or NULL; protected by lock */
	GQueue unsent;           /* could not be sent, to be ended; protected by lock */
	uint64_t last_flight;    /* number of the latest; protected by lock */
	int error;               /* first one not taken yet, negative; protected by lock */
	bool failed;             /* a write has: each one is waited for; protected by lock */
};

/* One writer_write(), some of whose bytes are on their way. */
struct passage {
	gint refs; /* atomic */
	void (*written)(void *data);
	void *data;
};

/* Protected by the writer's lock; after it was sent, on_answered()'s alone but for link and number. */
struct flight {
	struct writer *writer; /* a reference */
	GList link;            /* in flights or unsent */
	uint64_t number;
	uint64_t offset, sent_ns;
	size_t size;
	int error;           /* why it could not be sent */
	bool is_ending;      /* the same: somebody sees to it */
	GPtrArray *passages; /* references */
	GByteArray *bytes;   /* gathered ones, until they are sent */
};

/* ---- life ------------------------------------------------------------------------------------- */

struct writer *writer_new(struct window *window, struct sftp_file *file, enum writer_kind kind)
{
	struct writer *writer = g_new0(struct writer, 1);

	writer->refs = 1;
	writer->window = window;
	writer->file = sftp_file_ref(file);
	writer->kind = kind;
	writer->piece = sftp_file_max_write(file);
	pthread_mutex_init(&writer->lock, NULL);
	lock_cond_init(&writer->answered);
	return writer;
}

struct writer *writer_ref(struct writer *writer)
{
	g_atomic_int_inc(&writer->refs);
	return writer;
}

void writer_unref(struct writer *writer)
{
	if (!writer || !g_atomic_int_dec_and_test(&writer->refs))
		return;
	sftp_file_unref(writer->file);
	pthread_cond_destroy(&writer->answered);
	pthread_mutex_destroy(&writer->lock);
	g_free(writer);
}

static struct passage *passage_new(void (*written)(void *data), void *data)
{
	struct passage *passage = g_new(struct passage, 1);

	*passage = (struct passage){.refs = 1, .written = written, .data = data};
	return passage;
}

static void passage_unref(struct passage *passage)
{
	if (!g_atomic_int_dec_and_test(&passage->refs))
		return;
	passage->written(passage->data);
	g_free(passage);
}

static struct flight *flight_new_locked(struct writer *writer, uint64_t offset)
{
	struct flight *flight = g_new0(struct flight, 1);

	flight->writer = writer_ref(writer);
	flight->link.data = flight;
	flight->number = ++writer->last_flight;
	flight->offset = offset;
	flight->passages = g_ptr_array_new_with_free_func((GDestroyNotify)passage_unref);
	window_enter(writer->window);
	return flight;
}

/* After that nothing of the flight refers to the file or the window any more. */
static void flight_free(struct flight *flight)
{
	struct window *window = flight->writer->window;

	writer_unref(flight->writer);
	g_clear_pointer(&flight->bytes, g_byte_array_unref);
	g_free(flight);
	window_leave(window);
}

/* It carries bytes of that write. */
static void flight_board(struct flight *flight, struct passage *passage)
{
	GPtrArray *passages = flight->passages;

	if (passages->len > 0 && g_ptr_array_index(passages, passages->len - 1) == passage)
		return;
	g_atomic_int_inc(&passage->refs);
	g_ptr_array_add(passages, passage);
}

/* ---- sending ---------------------------------------------------------------------------------- */

static void on_answered(void *data, int error);

static void send_locked(struct writer *writer, struct flight *flight, const void *bytes)
{
	int error;

	flight->sent_ns = clock_now_ns();
	g_queue_push_tail_link(&writer->flights, &flight->link);
	error = sftp_write_async(writer->file, bytes, flight->size, flight->offset, on_answered,
	                         flight);
	if (!error)
		return;
	flight->error = error;
	flight->sent_ns = 0;
	g_queue_unlink(&writer->flights, &flight->link);
	g_queue_push_tail_link(&writer->unsent, &flight->link);
}

static void send_gathered_locked(struct writer *writer)
{
	struct flight *flight = g_steal_pointer(&writer->gathered);
	g_autoptr(GByteArray) bytes = NULL;

	if (!flight)
		return;
	bytes = g_steal_pointer(&flight->bytes);
	flight->size = bytes->len;
	send_locked(writer, flight, bytes->data);
}

/* ---- ends ------------------------------------------------------------------------------------- */

static void land(struct flight *flight, int error)
{
	struct writer *writer = flight->writer;
	LOCK_SCOPE(&writer->lock);

	g_queue_unlink(flight->error ? &writer->unsent : &writer->flights, &flight->link);
	if (error && !writer->error)
		writer->error = error;
	if (error)
		writer->failed = true;
	if (g_queue_is_empty(&writer->flights))
		send_gathered_locked(writer);
	pthread_cond_broadcast(&writer->answered);
}

static void settle(struct flight *flight, int error)
{
	struct writer *writer = flight->writer;
	uint64_t span_ns = error ? 0 : clock_now_ns() - flight->sent_ns;

	g_clear_pointer(&flight->passages, g_ptr_array_unref);
	window_give(writer->window, &writer->share, flight->size, span_ns);
	land(flight, error);
}

static struct flight *take_unsent(struct writer *writer)
{
	LOCK_SCOPE(&writer->lock);

	for (GList *link = writer->unsent.head; link; link = link->next) {
		struct flight *flight = link->data;

		if (!flight->is_ending) {
			flight->is_ending = true;
			return flight;
		}
	}
	return NULL;
}

/* To be called after the lock was held and something sent. */
static void end_unsent(struct writer *writer)
{
	struct flight *flight;

	while ((flight = take_unsent(writer))) {
		settle(flight, flight->error);
		flight_free(flight);
	}
}

static void on_answered(void *data, int error)
{
	struct flight *flight = data;

	settle(flight, error);
	end_unsent(flight->writer);
	flight_free(flight);
}

/* ---- writing ---------------------------------------------------------------------------------- */

/* True when a write can join what is being gathered. */
static bool goes_on_locked(const struct writer *writer, size_t size, uint64_t offset)
{
	const struct flight *gathered = writer->gathered;

	if (!gathered || gathered->offset + gathered->bytes->len != offset)
		return false;
	return writer->kind != WRITER_APPENDS || size <= writer->piece - gathered->bytes->len;
}

/* Bytes of `size` that join; the flight leaves when it is full. */
static size_t join_locked(struct writer *writer, struct passage *passage, const uint8_t *bytes,
                          size_t size)
{
	struct flight *gathered = writer->gathered;
	size_t count = MIN(size, writer->piece - gathered->bytes->len);

	flight_board(gathered, passage);
	g_byte_array_append(gathered->bytes, bytes, (guint)count);
	if (gathered->bytes->len == writer->piece)
		send_gathered_locked(writer);
	return count;
}

/* Too small for a WRITE of its own, while there is time to wait for more. */
static bool shall_gather_locked(const struct writer *writer, size_t size)
{
	return writer->kind != WRITER_PLAIN && !writer->failed && size < writer->piece &&
	       writer->flights.length > 0;
}

/* Bytes of `size` that are sent as they are: full WRITEs, and a rest only where it is not to be gathered. */
static size_t send_some_locked(struct writer *writer, struct passage *passage, const uint8_t *bytes,
                               size_t size, uint64_t offset)
{
	struct flight *flight = flight_new_locked(writer, offset);
	bool whole = writer->kind == WRITER_PLAIN || writer->failed || size < writer->piece;

	flight->size = whole ? size : size - size % writer->piece;
	size = flight->size;
	flight_board(flight, passage);
	send_locked(writer, flight, bytes);
	return size;
}

static void put_locked(struct writer *writer, struct passage *passage, const uint8_t *bytes,
                       size_t size, uint64_t offset)
{
	size_t done = 0;

	if (!goes_on_locked(writer, size, offset))
		send_gathered_locked(writer);
	while (done < size) {
		if (!writer->gathered && shall_gather_locked(writer, size - done)) {
			writer->gathered = flight_new_locked(writer, offset + done);
			writer->gathered->bytes = g_byte_array_new();
			sftp_turns_add();
		}
		if (writer->gathered)
			done += join_locked(writer, passage, bytes + done, size - done);
		else
			done += send_some_locked(writer, passage, bytes + done, size - done,
			                         offset + done);
	}
}

/* Nothing is written while an error has not been taken: then that is returned. */
static int put(struct writer *writer, struct passage *passage, const void *buf, size_t size,
               uint64_t offset)
{
	LOCK_SCOPE(&writer->lock);

	if (!writer->error)
		put_locked(writer, passage, buf, size, offset);
	return writer->error;
}

static int state(struct writer *writer, bool *ret_failed)
{
	LOCK_SCOPE(&writer->lock);
	*ret_failed = writer->failed;
	return writer->error;
}

static int write_passage(struct writer *writer, struct passage *passage, const void *buf,
                         size_t size, uint64_t offset)
{
	bool failed;
	int error;

	if (offset > INT64_MAX || size > INT64_MAX - offset)
		return -EFBIG;
	error = window_take(writer->window, &writer->share, size);
	if (error)
		return error;
	error = put(writer, passage, buf, size, offset);
	if (error) {
		window_give(writer->window, &writer->share, size, 0);
		return error;
	}
	end_unsent(writer);
	error = state(writer, &failed);
	if (failed && !error)
		error = writer_await(writer);
	return error ? error : state(writer, &failed);
}

int writer_write(struct writer *writer, const void *buf, size_t size, uint64_t offset,
                 void (*written)(void *data), void *data)
{
	struct passage *passage = passage_new(written, data);
	int error = write_passage(writer, passage, buf, size, offset);

	passage_unref(passage);
	return error;
}

/* ---- being sure ------------------------------------------------------------------------------- */

static bool is_before(const struct flight *flight, uint64_t number)
{
	return flight && flight->number <= number;
}

static bool is_on_its_way_locked(struct writer *writer, uint64_t number)
{
	GList *oldest = writer->flights.head, *unsent = writer->unsent.head;

	return is_before(oldest ? oldest->data : NULL, number) ||
	       is_before(unsent ? unsent->data : NULL, number) ||
	       is_before(writer->gathered, number);
}

/* Sends what is gathered, and tells the number of the latest flight. */
static uint64_t push(struct writer *writer)
{
	uint64_t number;

	pthread_mutex_lock(&writer->lock);
	send_gathered_locked(writer);
	number = writer->last_flight;
	pthread_mutex_unlock(&writer->lock);
	end_unsent(writer);
	return number;
}

void writer_push(struct writer *writer)
{
	push(writer);
}

/* Those that are on their way now: who goes on writing does not keep others waiting. */
int writer_await(struct writer *writer)
{
	uint64_t number = push(writer);
	int error = 0;

	cancel_begin_wait(&writer->lock, &writer->answered);
	pthread_mutex_lock(&writer->lock);
	if (is_on_its_way_locked(writer, number))
		sftp_turns_add();
	while (is_on_its_way_locked(writer, number) && !cancel_is_raised())
		pthread_cond_wait(&writer->answered, &writer->lock);
	if (is_on_its_way_locked(writer, number))
		error = -EINTR;
	pthread_mutex_unlock(&writer->lock);
	cancel_end_wait();
	return error;
}

int writer_take_error(struct writer *writer)
{
	int error;
	LOCK_SCOPE(&writer->lock);

	error = writer->error;
	writer->error = 0;
	return error;
}
