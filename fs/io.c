// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The data of open files: read, write, seek for data and holes. (Copies on the server: copy.c.)
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

static ssize_t read_plainly(struct fs *fs, struct handle *handle, void *buf, size_t size,
                            off_t offset)
{
	struct sftp_file *file;
	ssize_t result = open_late(fs, handle, &file);

	if (result == 0)
		result = sftp_read(file, buf, size, (uint64_t)offset);
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
	request_end_buf(&request, read_plainly(request.fs, handle, buf, size, offset), buf);
}

/* ---- writing ------------------------------------------------------------------------------------ */

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

void io_add_ops(struct fuse_lowlevel_ops *ops)
{
	ops->read = op_read;
	ops->write_buf = op_write_buf;
	ops->lseek = op_lseek;
}
