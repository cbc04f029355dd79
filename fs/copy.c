// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * copy_file_range(2): the server copies, and no byte comes here.
 *
 * A copy is made in pieces, whose size follows the server's speed, so that others are served in between and a
 * caller who gives up is heard. The server does not say how much it has copied, and a source may grow or
 * shrink meanwhile: so no more is asked for than there was, and behind each piece, in its round trip, how
 * much there is now; what was beyond that then is not counted.
 */
#include "copy.h"

#include "cancel.h"
#include "clock.h"
#include "ending.h"
#include "lock.h"
#include "request.h"
#include "util.h"

#define SPAN_MIN_NS  (100 * CLOCK_NS_PER_MS)
#define SPAN_GOAL_NS (170 * CLOCK_NS_PER_MS)
#define SPAN_MAX_NS  (250 * CLOCK_NS_PER_MS)
#define GROWTH_MAX   4

struct copies {
	pthread_mutex_t lock;
	GQueue running; /* of struct copy; protected by lock */
	uint64_t bytes; /* of all pieces; protected by lock */
	size_t piece;   /* size of the next one; protected by lock */
};

/* One copy_file_range(2). Lives on the stack of who makes it. */
struct copy {
	GList link; /* in running; protected by the lock of copies */
	struct sftp_file *from, *to;
	uint64_t from_offset, to_offset;
	uint64_t wanted;      /* bytes; not beyond the end of the source */
	uint64_t done;        /* bytes; changed under the lock of copies */
	uint64_t source_size; /* bytes, as last seen; the same */
};

struct copies *copies_new(void)
{
	struct copies *copies = g_new0(struct copies, 1);

	pthread_mutex_init(&copies->lock, NULL);
	copies->piece = COPY_PIECE_FIRST;
	return copies;
}

void copies_free(struct copies *copies)
{
	if (!copies)
		return;
	pthread_mutex_destroy(&copies->lock);
	g_free(copies);
}

/* ---- progress --------------------------------------------------------------------------------- */

void copies_get_progress(struct copies *copies, struct copy_progress *ret_progress)
{
	LOCK_SCOPE(&copies->lock);

	*ret_progress = (struct copy_progress){
		.running = copies->running.length,
		.bytes = copies->bytes,
	};
	for (GList *link = copies->running.head; link; link = link->next) {
		const struct copy *copy = link->data;

		ret_progress->position += copy->from_offset + copy->done;
		ret_progress->size += copy->source_size;
	}
}

static void begin(struct copies *copies, struct copy *copy)
{
	LOCK_SCOPE(&copies->lock);
	copy->link.data = copy;
	g_queue_push_tail_link(&copies->running, &copy->link);
}

static void end(struct copies *copies, struct copy *copy)
{
	LOCK_SCOPE(&copies->lock);
	g_queue_unlink(&copies->running, &copy->link);
}

/* ---- pieces ----------------------------------------------------------------------------------- */

size_t copy_next_piece(size_t size, uint64_t span_ns)
{
	double next = (double)size;

	if (span_ns < SPAN_MIN_NS || span_ns > SPAN_MAX_NS)
		next *= MIN((double)SPAN_GOAL_NS / (double)MAX(span_ns, 1), GROWTH_MAX);
	return (size_t)CLAMP(next, (double)COPY_PIECE_MIN, (double)COPY_PIECE_MAX);
}

static size_t choose_piece(struct copies *copies, const struct copy *copy)
{
	LOCK_SCOPE(&copies->lock);
	return MIN(copies->piece, copy->wanted - copy->done);
}

/* Of `size` bytes those count that the source still has; it was seen after they had been copied. */
static void count_piece(struct copies *copies, struct copy *copy, size_t size, uint64_t source_size,
                        uint64_t span_ns)
{
	uint64_t at = copy->from_offset + copy->done;
	uint64_t left = source_size > at ? source_size - at : 0;
	LOCK_SCOPE(&copies->lock);

	/* The last piece of a copy, which is smaller, says little about the speed. */
	if (size == copies->piece)
		copies->piece = copy_next_piece(size, span_ns);
	if (left < size)
		copy->wanted = copy->done + left;
	copy->done += MIN(size, left);
	copies->bytes += MIN(size, left);
	copy->source_size = source_size;
}

/* What the way there and back takes is not the server's time. */
static uint64_t without_trip(struct fs *fs, uint64_t span_ns)
{
	uint64_t trip_ns = sftp_client_rtt_ns(fs->client);

	return trip_ns < span_ns ? span_ns - trip_ns : span_ns;
}

static int copy_piece(struct fs *fs, struct copy *copy)
{
	size_t size = choose_piece(fs->copies, copy);
	struct sftp_after source = {.error = 0};
	uint64_t begun_ns = clock_now_ns();
	int error = sftp_copy_data(copy->from, copy->from_offset + copy->done, copy->to,
	                           copy->to_offset + copy->done, size, &source);

	if (!error)
		error = source.error;
	if (error)
		return error;
	count_piece(fs->copies, copy, size, source.attrs.size,
	            without_trip(fs, clock_now_ns() - begun_ns));
	return 0;
}

/* What has been copied before something went wrong has been copied. */
static int copy_all(struct fs *fs, struct copy *copy)
{
	int error = 0;

	while (copy->done < copy->wanted && !error) {
		error = cancel_is_raised() ? -EINTR : copy_piece(fs, copy);
		if (ending_is_asked(fs) && !error)
			break;
	}
	return copy->done > 0 ? 0 : error;
}

/* ---- the whole -------------------------------------------------------------------------------- */

/* Of the source there is no more than this now. */
static int look_at_source(struct copy *copy)
{
	struct sftp_attrs attrs;
	int error = sftp_fstat(copy->from, &attrs);

	if (error)
		return error;
	copy->source_size = attrs.size;
	copy->wanted = copy->from_offset >= attrs.size
	                       ? 0
	                       : MIN(copy->wanted, attrs.size - copy->from_offset);
	return 0;
}

/*
 * A server that refuses without saying why (OpenSSH does for two handles of one file) can still be read
 * from and written to, which tells the true error if there is one.
 */
static int copy_error(int error)
{
	return error == -EIO || error == -EPERM || error == -EINVAL ? -EXDEV
	                                                            : request_io_error(error);
}

/*
 * The server can copy between two files of one connection only: else the source is opened again on that of the target.
 * By its name that may have become another file meanwhile, which its size and time would show. -EXDEV: it
 * cannot be done, which the kernel then does itself.
 */
static int open_source_beside(struct fs *fs, uint64_t node, struct sftp_file *from,
                              struct sftp_file *to, struct sftp_file **ret_file)
{
	g_autofree char *path = node_path(fs->nodes, node);
	struct sftp_attrs wanted, found;
	struct sftp_file *file;

	if (!path || sftp_open_beside(to, path, SFTP_OPEN_READ, &file) != 0)
		return -EXDEV;
	if (sftp_fstat(from, &wanted) == 0 && sftp_fstat(file, &found) == 0 &&
	    found.size == wanted.size && found.mtime == wanted.mtime) {
		*ret_file = file;
		return 0;
	}
	sftp_file_unref(file);
	return -EXDEV;
}

/* The source as a file on the connection of the target; the caller unrefs it. */
static int get_source(struct fs *fs, struct handle *from, struct handle *to,
                      struct sftp_file **ret_file)
{
	struct sftp_file *file;
	int error = open_late(fs, from, &file);

	if (error)
		return error;
	if (!sftp_file_shares_connection(file, handle_file(to)))
		return open_source_beside(fs, handle_node(from), file, handle_file(to), ret_file);
	*ret_file = sftp_file_ref(file);
	return 0;
}

static int copy_wanted(struct fs *fs, struct copy *copy, uint64_t to_node)
{
	struct change *change;
	int error = look_at_source(copy);

	if (error || copy->wanted == 0)
		return request_io_error(error);
	change = change_begin(fs, to_node, (off_t)copy->to_offset, copy->wanted);
	begin(fs->copies, copy);
	error = copy_all(fs, copy);
	end(fs->copies, copy);
	change_end(change);
	return error ? copy_error(error) : 0;
}

static ssize_t copy_work(struct fs *fs, struct handle *from, off_t from_offset, struct handle *to,
                         off_t to_offset, size_t size)
{
	struct copy copy = {.to = handle_file(to),
	                    .from_offset = (uint64_t)from_offset,
	                    .to_offset = (uint64_t)to_offset,
	                    .wanted = size};
	int error;

	if (!(sftp_client_extensions(fs->client) & SFTP_EXT_COPY_DATA))
		return -ENOSYS;
	error = handle_drain_node(fs->handles, handle_node(from));
	if (!error)
		error = handle_drain_node(fs->handles, handle_node(to));
	if (!error)
		error = get_source(fs, from, to, &copy.from);
	if (error)
		return request_io_error(error);
	error = copy_wanted(fs, &copy, handle_node(to));
	sftp_file_unref(copy.from);
	return error ? error : (ssize_t)copy.done;
}

/* EXDEV and EOPNOTSUPP make the kernel copy through here, by read and write. */
static void op_copy_file_range(fuse_req_t req, fuse_ino_t from_node, off_t from_offset,
                               struct fuse_file_info *from, fuse_ino_t to_node, off_t to_offset,
                               struct fuse_file_info *to, size_t size, int flags)
{
	struct request request;

	request_begin(&request, req, OP_COPY);
	request_end_write(&request,
	                  copy_work(request.fs, (struct handle *)(uintptr_t)from->fh, from_offset,
	                            (struct handle *)(uintptr_t)to->fh, to_offset, size));
}

void copy_add_ops(struct fuse_lowlevel_ops *ops)
{
	ops->copy_file_range = op_copy_file_range;
}
