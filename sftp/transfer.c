// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The data of open files: reading and writing in pieces, all in flight at once. See sftp_read() and
 * sftp_write_async() in client.h.
 *
 * Reading. A `reading` has a few slots, each with a READ in flight for its own stretch of the buffer.
 * When a reply comes the slot goes on, on the reader thread: with the rest of its stretch after a short
 * reply, else with the next stretch that nobody has asked for. The caller sleeps until all is there.
 * That a file ends is known when a READ beyond its end says so; where it is thought to end, a stretch of its
 * own begins, so that this READ is in flight with the others instead of following a short reply.
 *
 * The race that shaped it: a cancelled caller wants its buffer back while a slot may be about to ask
 * for more. Slots go on only under the reading's lock and while nobody has given up; the caller sets
 * that mark under the lock and then takes the sinks away, so that none can appear afterwards.
 *
 * Writing. A `writing` counts the WRITEs that are not answered, from the start all of them, so that it is always a
 * reply that ends it: whoever writes may hold locks that done() takes. A vague failure is looked into by one
 * more request from there, since done() must not wait.
 *
 * Lock order: a reading's lock, then the connection's.
 */
#include "client_private.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>

#include "cancel.h"
#include "diagnose.h"
#include "lock.h"
#include "util.h"

/* READs of one sftp_read() in flight. */
#define SLOTS_MAX 64

static size_t payload_max(size_t wished, size_t offered)
{
	return wished > 0 ? MIN(wished, offered) : offered;
}

/* ---- reading ---------------------------------------------------------------------------------- */

struct reading;

/* One READ in flight, for `size` bytes at `at` of the buffer. Protected by the reading's lock. */
struct slot {
	struct sftp_request request;
	struct reading *reading;
	size_t at, size;
};

struct reading {
	struct sftp_file *file; /* the caller's; not to be used once given_up */
	uint8_t *buf;           /* the caller's; the same */
	uint64_t offset;        /* of buf in the file */
	size_t piece;           /* bytes a READ at most */
	size_t likely_end;      /* of the file, in buf; 0: not in there */

	pthread_mutex_t lock;
	pthread_cond_t ended; /* in_flight has become 0 */
	/* Protected by lock: */
	size_t next; /* from here on nothing has been asked for */
	size_t end;  /* bytes of buf wanted; less once the end of the file is known */
	unsigned int in_flight;
	bool given_up; /* the caller has left: the last slot frees */
	int error;     /* the first one */
	struct slot slots[];
};

static void on_data(struct sftp_request *request, int error, uint8_t type,
                    struct wire_reader *body);

static void reading_free(struct reading *reading)
{
	pthread_cond_destroy(&reading->ended);
	pthread_mutex_destroy(&reading->lock);
	g_free(reading);
}

static void fail_locked(struct reading *reading, int error)
{
	if (!reading->error)
		reading->error = error;
}

/* Sends the slot's READ. */
static void ask_locked(struct slot *slot)
{
	struct reading *reading = slot->reading;
	struct sftp_file *file = reading->file;
	WIRE_AUTO body = {0};
	int error;

	wire_buf_init(&body);
	wire_put_bytes(&body, file->handle.data, file->handle.size);
	wire_put_u64(&body, reading->offset + slot->at);
	wire_put_u32(&body, (uint32_t)slot->size);
	slot->request.done = on_data;
	slot->request.urgent = true;
	slot->request.sink = reading->buf + slot->at;
	slot->request.sink_size = slot->size;
	error = sftp_conn_submit(file->conn, &slot->request, SFTP_READ, &body, NULL, 0);
	if (error)
		fail_locked(reading, error);
	else
		reading->in_flight++;
}

/* Gives the slot the next stretch, if one is left and still wanted. */
static void ask_next_locked(struct slot *slot)
{
	struct reading *reading = slot->reading;

	if (reading->next >= reading->end || reading->error)
		return;
	slot->at = reading->next;
	slot->size = MIN(reading->piece, reading->end - reading->next);
	if (reading->likely_end > slot->at)
		slot->size = MIN(slot->size, reading->likely_end - slot->at);
	reading->next += slot->size;
	ask_locked(slot);
}

/* What the end of the file, an error or a lack of sense means for the whole. */
static void take_status_locked(struct slot *slot, uint8_t type, struct wire_reader *body)
{
	struct reading *reading = slot->reading;
	uint32_t status;
	bool vague;
	int error = -EPROTO;

	if (type == SFTP_STATUS)
		error = call_parse_status(body, SFTP_OP_READ, &status, &vague);
	if (error != -EPROTO && status == SFTP_EOF)
		reading->end = MIN(reading->end, slot->at);
	else
		fail_locked(reading, error ? error : -EPROTO);
}

/* A reply without bytes is the end as well: asking again would not get us any further. */
static void take_data_locked(struct slot *slot, size_t size)
{
	struct reading *reading = slot->reading;

	if (size == 0)
		reading->end = MIN(reading->end, slot->at);
	slot->at += size;
	slot->size -= size;
	/* Short: go on with the rest, unless it is known to be beyond the end. */
	if (size > 0 && slot->size > 0 && slot->at < reading->end && !reading->error)
		ask_locked(slot);
	else
		ask_next_locked(slot);
}

static void on_data(struct sftp_request *request, int error, uint8_t type, struct wire_reader *body)
{
	struct slot *slot = util_container_of(request, struct slot, request);
	struct reading *reading = slot->reading;
	bool free_it;

	pthread_mutex_lock(&reading->lock);
	reading->in_flight--;
	if (!reading->given_up) {
		if (error)
			fail_locked(reading, error);
		else if (type == SFTP_DATA)
			take_data_locked(slot, request->sink_filled);
		else
			take_status_locked(slot, type, body);
	}
	if (reading->in_flight == 0)
		pthread_cond_broadcast(&reading->ended);
	free_it = reading->given_up && reading->in_flight == 0;
	pthread_mutex_unlock(&reading->lock);
	if (free_it)
		reading_free(reading);
}

/* Waits for all slots. False: cancelled, and in_flight counts the caller, too, until give_up(). */
static bool await_slots(struct reading *reading)
{
	bool ended;

	cancel_begin_wait(&reading->lock, &reading->ended);
	pthread_mutex_lock(&reading->lock);
	while (reading->in_flight > 0 && !cancel_is_raised())
		pthread_cond_wait(&reading->ended, &reading->lock);
	ended = reading->in_flight == 0;
	if (!ended) {
		reading->given_up = true;
		reading->in_flight++;
	}
	pthread_mutex_unlock(&reading->lock);
	cancel_end_wait();
	return ended;
}

/* Where in `size` bytes at `offset` the file is thought to end; 0: not in there. */
static size_t likely_end(const struct sftp_file *file, size_t size, uint64_t offset)
{
	uint64_t end = file->size;

	return end > offset && end - offset < size ? (size_t)(end - offset) : 0;
}

static struct reading *reading_new(struct sftp_file *file, void *buf, size_t size, uint64_t offset,
                                   unsigned int *ret_slots)
{
	size_t piece = sftp_max_read(file);
	size_t end = likely_end(file, size, offset);
	unsigned int slots = (unsigned int)MIN((size + piece - 1) / piece + !!end, SLOTS_MAX);
	struct reading *reading = g_malloc0(sizeof(*reading) + slots * sizeof(reading->slots[0]));

	reading->file = file;
	reading->buf = buf;
	reading->offset = offset;
	reading->piece = piece;
	reading->likely_end = end;
	reading->end = size;
	pthread_mutex_init(&reading->lock, NULL);
	lock_cond_init(&reading->ended);
	for (unsigned int i = 0; i < slots; i++)
		reading->slots[i].reading = reading;
	*ret_slots = slots;
	return reading;
}

/*
 * Takes the buffer away from the slots. The caller's share of in_flight keeps the reading meanwhile:
 * done() of the last slot would free it.
 */
static void give_up(struct reading *reading, struct sftp_conn *conn, unsigned int slots)
{
	bool free_it;

	for (unsigned int i = 0; i < slots; i++)
		sftp_conn_abandon(conn, &reading->slots[i].request);
	pthread_mutex_lock(&reading->lock);
	free_it = --reading->in_flight == 0;
	pthread_mutex_unlock(&reading->lock);
	if (free_it)
		reading_free(reading);
}

ssize_t sftp_read(struct sftp_file *file, void *buf, size_t size, uint64_t offset)
{
	struct reading *reading;
	unsigned int slots;
	ssize_t result;

	if (size == 0)
		return 0;
	if (cancel_is_raised())
		return -EINTR;
	reading = reading_new(file, buf, size, offset, &slots);
	pthread_mutex_lock(&reading->lock);
	for (unsigned int i = 0; i < slots; i++)
		ask_next_locked(&reading->slots[i]);
	pthread_mutex_unlock(&reading->lock);
	if (!await_slots(reading)) {
		give_up(reading, file->conn, slots);
		return -EINTR;
	}
	result = reading->error ? reading->error : (ssize_t)reading->end;
	reading_free(reading);
	return result;
}

/* ---- writing ---------------------------------------------------------------------------------- */

struct writing {
	struct sftp_file *file; /* a reference */
	void (*done)(void *data, int error);
	void *data;
	size_t size;               /* bytes altogether */
	atomic_size_t left;        /* WRITEs not answered, those not yet sent among them */
	atomic_int error;          /* the first one */
	atomic_bool vague;         /* the cause of `error` is to be looked for */
	struct sftp_request space; /* FSTATVFS, after a vague failure */
	struct writing_part {
		struct sftp_request request;
		struct writing *writing;
	} parts[];
};

static void writing_end(struct writing *writing, int error)
{
	void (*done)(void *data, int error) = writing->done;
	void *data = writing->data;

	sftp_file_unref(writing->file);
	g_free(writing);
	done(data, error);
}

static void on_space(struct sftp_request *request, int error, uint8_t type,
                     struct wire_reader *body)
{
	struct writing *writing = util_container_of(request, struct writing, space);
	struct sftp_statvfs statvfs = {0};
	int cause = writing->error;

	if (!error && type == SFTP_EXTENDED_REPLY) {
		sftp_get_statvfs(body, &statvfs);
		if (wire_reader_ok(body))
			cause = diagnose_space(&statvfs, writing->size);
	}
	writing_end(writing, cause);
}

/* Asks for the space left. False: it cannot be asked for. */
static bool ask_for_space(struct writing *writing)
{
	struct sftp_file *file = writing->file;
	WIRE_AUTO body = {0};

	if (!(sftp_conn_extensions(file->conn) & SFTP_EXT_FSTATVFS))
		return false;
	wire_buf_init(&body);
	client_put_extension(&body, SFTP_EXT_FSTATVFS);
	wire_put_bytes(&body, file->handle.data, file->handle.size);
	writing->space.done = on_space;
	writing->space.urgent = true;
	return sftp_conn_submit(file->conn, &writing->space, SFTP_EXTENDED, &body, NULL, 0) == 0;
}

static void leave(struct writing *writing)
{
	if (atomic_fetch_sub(&writing->left, 1) != 1)
		return;
	if (!(writing->vague && ask_for_space(writing)))
		writing_end(writing, writing->error);
}

static void note_error(struct writing *writing, int error, bool vague)
{
	int none = 0;

	if (error && atomic_compare_exchange_strong(&writing->error, &none, error))
		writing->vague = vague;
}

static void on_written(struct sftp_request *request, int error, uint8_t type,
                       struct wire_reader *body)
{
	struct writing_part *part = util_container_of(request, struct writing_part, request);
	struct writing *writing = part->writing;
	uint32_t status = SFTP_OK;
	bool vague = false;

	if (!error && type != SFTP_STATUS)
		error = -EPROTO;
	else if (!error)
		error = call_parse_status(body, SFTP_OP_WRITE, &status, &vague);
	note_error(writing, error, vague && status == SFTP_FAILURE);
	leave(writing);
}

static int send_part(struct writing *writing, struct writing_part *part, const uint8_t *bytes,
                     size_t size, uint64_t offset)
{
	struct sftp_file *file = writing->file;
	WIRE_AUTO body = {0};

	wire_buf_init(&body);
	wire_put_bytes(&body, file->handle.data, file->handle.size);
	wire_put_u64(&body, offset);
	wire_put_u32(&body, (uint32_t)size);
	part->writing = writing;
	part->request.done = on_written;
	part->request.urgent = true; /* whoever writes has his own bound, client.h */
	return sftp_conn_submit(file->conn, &part->request, SFTP_WRITE, &body, bytes, size);
}

/*
 * The last `unsent` WRITEs could not be sent. When others have been, and will be answered, the failure comes to
 * done().
 */
static int give_up_writing(struct writing *writing, size_t unsent, int error)
{
	note_error(writing, error, false);
	if (atomic_fetch_sub(&writing->left, unsent) != unsent)
		return 0;
	sftp_file_unref(writing->file);
	g_free(writing);
	return error;
}

size_t sftp_file_max_write(const struct sftp_file *file)
{
	return payload_max(file->client->settings.max_write, sftp_conn_max_write(file->conn));
}

int sftp_write_async(struct sftp_file *file, const void *buf, size_t size, uint64_t offset,
                     void (*done)(void *data, int error), void *data)
{
	size_t piece = sftp_file_max_write(file);
	size_t count = MAX((size + piece - 1) / piece, 1);
	struct writing *writing;
	int error;

	if (offset > INT64_MAX || size > INT64_MAX - offset)
		return -EFBIG;
	writing = g_malloc0(sizeof(*writing) + count * sizeof(writing->parts[0]));
	writing->file = sftp_file_ref(file);
	writing->done = done;
	writing->data = data;
	writing->size = size;
	writing->left = count;
	for (size_t i = 0; i < count; i++) {
		error = send_part(writing, &writing->parts[i], (const uint8_t *)buf + i * piece,
		                  MIN(piece, size - i * piece), offset + i * piece);
		if (error)
			return give_up_writing(writing, count - i, error);
	}
	return 0;
}
