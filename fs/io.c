// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The data of open files: read, write, seek for data and holes, copy on the server.
 *
 * A read waits for the writes of the same file that are on their way, whichever descriptor they came
 * from, so that one's own data is seen. A write is handed over and not waited for (handle.h), except
 * with -o sshfs_sync.
 */
#include <fcntl.h>
#include <unistd.h>

#include "request.h"
#include "stage.h"
#include "util.h"

/* Bytes of one copy on the server, which answers nothing else on that connection meanwhile. */
#define COPY_MAX (64 * MIB)

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

/* ---- reading ------------------------------------------------------------------------------------ */

/* One buffer a thread, as large as the largest read so far. */
static void *read_buffer(size_t size)
{
	static GPrivate kept = G_PRIVATE_INIT((GDestroyNotify)g_byte_array_unref);
	GByteArray *buffer = g_private_get(&kept);

	if (!buffer) {
		buffer = g_byte_array_new();
		g_private_set(&kept, buffer);
	}
	if (buffer->len < size)
		g_byte_array_set_size(buffer, (guint)size);
	return buffer->data;
}

static ssize_t read_plainly(struct handle *handle, void *buf, size_t size, off_t offset)
{
	ssize_t result = sftp_read(handle_file(handle), buf, size, (uint64_t)offset);

	return result < 0 ? request_io_error((int)result) : result;
}

/* False: it cannot be read by its reader. */
static bool read_by_reader(struct request *request, struct handle *handle, size_t size,
                           off_t offset)
{
	struct stage_reader *reader = handle_reader(handle);
	struct stage_view view = {.count = 0};
	struct fs *fs = request->fs;
	ssize_t result = reader ? stage_read(reader, size, (uint64_t)offset, &view) : -EAGAIN;

	if (result == -EAGAIN)
		return false;
	request_end_iov(request, result < 0 ? request_io_error((int)result) : result, view.pieces,
	                view.count);
	if (result > 0)
		stage_view_done(fs->stage, &view);
	return true;
}

static void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
	struct handle *handle = handle_of(fi);
	struct request request;
	int error;
	void *buf;

	request_begin(&request, req, OP_READ);
	error = handle_drain_node(request.fs->handles, node);
	if (error) {
		request_end(&request, error);
		return;
	}
	if (read_by_reader(&request, handle, size, offset))
		return;
	buf = read_buffer(size);
	request_end_buf(&request, read_plainly(handle, buf, size, offset), buf);
}

/* ---- writing ------------------------------------------------------------------------------------ */

/* A change of a node's contents, from its begin to its end, whatever becomes of the name meanwhile. */
struct change {
	struct fs *fs;
	uint64_t node;
	uint64_t offset, size; /* of the range, bytes */
	uint64_t dir;
	char *name; /* NULL: the node had no name at the begin; no attributes are kept of such */
};

static struct change *change_begin(struct fs *fs, uint64_t node, off_t offset, size_t size)
{
	struct change *change = g_new0(struct change, 1);

	change->fs = fs;
	change->node = node;
	change->offset = (uint64_t)offset;
	change->size = size;
	stage_begin_change(fs->stage, node, change->offset, change->size);
	if (place_of_node(fs, node, &change->dir, &change->name))
		cache_on_change(fs->cache, CACHE_BEGINS, change->dir, change->name);
	return change;
}

static void change_end(void *data)
{
	struct change *change = data;

	if (change->name)
		cache_on_change(change->fs->cache, CACHE_ENDED, change->dir, change->name);
	stage_end_change(change->fs->stage, change->node, change->offset, change->size);
	g_free(change->name);
	g_free(change);
}

/* One that appends goes to wherever the end is. */
static struct change *change_begin_write(struct fs *fs, struct handle *handle, off_t offset,
                                         size_t size)
{
	if (handle_open_flags(handle) & O_APPEND)
		return change_begin(fs, handle_node(handle), 0, SIZE_MAX);
	return change_begin(fs, handle_node(handle), offset, size);
}

static ssize_t write_work(struct fs *fs, struct handle *handle, const void *buf, size_t size,
                          off_t offset)
{
	struct change *change = change_begin_write(fs, handle, offset, size);
	int error = handle_write(handle, buf, size, (uint64_t)offset, change_end, change);

	if (!error && fs->settings.sync_write)
		error = handle_drain(handle, true);
	return error ? request_io_error(error) : (ssize_t)size;
}

/* By a handle that is opened for this alone, and after all that other handles have on their way. */
static ssize_t write_by_new_handle(struct fs *fs, uint64_t node, const void *buf, size_t size,
                                   off_t offset)
{
	struct handle *handle;
	ssize_t result;
	int error = handle_drain_node(fs->handles, node);

	if (!error)
		error = open_placing(fs, node, &handle);
	if (error)
		return request_io_error(error);
	result = write_work(fs, handle, buf, size, offset);
	error = handle_drain(handle, true);
	handle_release(fs->handles, handle);
	return error ? request_io_error(error) : result;
}

/*
 * Pages of mmap(2) come by any descriptor that may write, and belong where the kernel says. Where that
 * descriptor appends, the server would put them at the end.
 */
static ssize_t write_page(struct fs *fs, struct handle *handle, const void *buf, size_t size,
                          off_t offset)
{
	uint64_t node = handle_node(handle);
	struct handle *placing;
	ssize_t result;

	if (!(handle_open_flags(handle) & O_APPEND))
		return write_work(fs, handle, buf, size, offset);
	placing = handle_find_placing(fs->handles, node);
	if (!placing)
		return write_by_new_handle(fs, node, buf, size, offset);
	result = write_work(fs, placing, buf, size, offset);
	handle_unref(placing);
	return result;
}

/* The bytes in memory, as they are or (from a pipe) read into the thread's buffer. -errno. */
static ssize_t gather(struct fuse_bufvec *bufs, const void **ret_bytes)
{
	size_t size = fuse_buf_size(bufs);
	struct fuse_bufvec flat = FUSE_BUFVEC_INIT(size);

	if (bufs->count == 1 && !(bufs->buf[0].flags & FUSE_BUF_IS_FD)) {
		*ret_bytes = (const char *)bufs->buf[0].mem + bufs->off;
		return (ssize_t)(size - bufs->off);
	}
	flat.buf[0].mem = read_buffer(size);
	*ret_bytes = flat.buf[0].mem;
	return fuse_buf_copy(&flat, bufs, 0);
}

static void op_write_buf(fuse_req_t req, fuse_ino_t node, struct fuse_bufvec *bufs, off_t offset,
                         struct fuse_file_info *fi)
{
	struct request request;
	const void *bytes;
	ssize_t size = gather(bufs, &bytes);

	request_begin(&request, req, OP_WRITE);
	if (size >= 0)
		size = (fi->writepage ? write_page : write_work)(request.fs, handle_of(fi), bytes,
		                                                 (size_t)size, offset);
	request_end_write(&request, size);
}

/* ---- data and holes ----------------------------------------------------------------------------- */

/* SFTP knows no holes: a file is data from its first to its last byte, and a hole behind it. */
static off_t lseek_work(struct fs *fs, uint64_t node, off_t offset, int whence)
{
	struct cache_attr attr;
	uint64_t left_ns;
	int error;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	error = attr_get(fs, node, &attr, &left_ns);
	if (error)
		return error;
	if (offset < 0 || (uint64_t)offset >= attr.size)
		return -ENXIO;
	return whence == SEEK_DATA ? offset : (off_t)attr.size;
}

static void op_lseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence,
                     struct fuse_file_info *fi)
{
	struct request request;

	request_begin(&request, req, OP_LSEEK);
	request_end_lseek(&request, lseek_work(request.fs, node, offset, whence));
}

/* ---- copying on the server ---------------------------------------------------------------------- */

/* The server does not say how much it has copied: no more is asked for than there is. */
static int clamp_to_source(struct sftp_file *source, off_t offset, size_t *size)
{
	struct sftp_attrs attrs;
	int error = sftp_fstat(source, &attrs);

	if (error)
		return error;
	*size = MIN(*size, COPY_MAX);
	*size = (uint64_t)offset >= attrs.size ? 0 : MIN(*size, attrs.size - (uint64_t)offset);
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
static int open_source_beside(struct fs *fs, struct handle *from, struct sftp_file *to,
                              struct sftp_file **ret_file)
{
	g_autofree char *path = node_path(fs->nodes, handle_node(from));
	struct sftp_attrs wanted, found;
	struct sftp_file *file;

	if (!path || sftp_open_beside(to, path, SFTP_OPEN_READ, &file) != 0)
		return -EXDEV;
	if (sftp_fstat(handle_file(from), &wanted) == 0 && sftp_fstat(file, &found) == 0 &&
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
	if (!sftp_file_shares_connection(handle_file(from), handle_file(to)))
		return open_source_beside(fs, from, handle_file(to), ret_file);
	*ret_file = sftp_file_ref(handle_file(from));
	return 0;
}

static ssize_t copy_work(struct fs *fs, struct handle *from, off_t from_offset, struct handle *to,
                         off_t to_offset, size_t size)
{
	struct sftp_file *source;
	struct change *change;
	int error;

	if (!(sftp_client_extensions(fs->client) & SFTP_EXT_COPY_DATA))
		return -ENOSYS;
	error = handle_drain_node(fs->handles, handle_node(from));
	if (!error)
		error = handle_drain_node(fs->handles, handle_node(to));
	if (!error)
		error = clamp_to_source(handle_file(from), from_offset, &size);
	if (error || size == 0)
		return request_io_error(error);
	error = get_source(fs, from, to, &source);
	if (error)
		return request_io_error(error);
	change = change_begin(fs, handle_node(to), to_offset, size);
	error = sftp_copy_data(source, (uint64_t)from_offset, handle_file(to), (uint64_t)to_offset,
	                       size);
	change_end(change);
	sftp_file_unref(source);
	return error ? copy_error(error) : (ssize_t)size;
}

/* EXDEV and EOPNOTSUPP make the kernel copy through here, by read and write. */
static void op_copy_file_range(fuse_req_t req, fuse_ino_t from_node, off_t from_offset,
                               struct fuse_file_info *from, fuse_ino_t to_node, off_t to_offset,
                               struct fuse_file_info *to, size_t size, int flags)
{
	struct request request;

	request_begin(&request, req, OP_COPY);
	request_end_write(&request, copy_work(request.fs, handle_of(from), from_offset,
	                                      handle_of(to), to_offset, size));
}

void io_add_ops(struct fuse_lowlevel_ops *ops)
{
	ops->read = op_read;
	ops->write_buf = op_write_buf;
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy_file_range;
}
