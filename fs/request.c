// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See request.h. A reply may not arrive, because its caller is gone. Then the kernel does not count
 * the look-up, which is taken back here, and never sends RELEASE, which the caller sees to.
 */
#include "request.h"

#include "clock.h"
#include "interrupt.h"
#include "stats.h"

void request_begin(struct request *request, fuse_req_t req, enum operation operation)
{
	*request = (struct request){
		.req = req,
		.fs = fuse_req_userdata(req),
		.interrupt = interrupt_begin(req),
		.operation = operation,
		.begun_ns = clock_now_ns(),
		.turns = sftp_turns(),
	};
}

/* To be told that a name is missing is what a look-up is for. */
static bool is_failure(const struct request *request, int error)
{
	return error && !(error == -ENOENT && request->operation == OP_LOOKUP);
}

static void count(const struct request *request, ssize_t result)
{
	const struct operation_info *info = &operation_infos[request->operation];
	bool failed = result < 0 && is_failure(request, (int)result);
	bool from_server = sftp_turns() != request->turns;

	stats_count(request->fs->stats, request->operation,
	            &(struct stats_answer){
			    .span_ns = clock_now_ns() - request->begun_ns,
			    .bytes = info->moves_data && result > 0 ? (uint64_t)result : 0,
			    .failed = failed,
			    .from_server = from_server,
			    .saved_trip = info->costs_trip && !failed && !from_server &&
	                                  !request->continues,
		    });
}

/* No waiting from here on: `result`, a size or a negative errno, is about to be the reply. */
static void stop_waiting(struct request *request, ssize_t result)
{
	interrupt_end(request->interrupt, request->req);
	count(request, result);
}

void request_end(struct request *request, int error)
{
	stop_waiting(request, error);
	fuse_reply_err(request->req, -error);
}

/* Node id 0 is "no such name", to be remembered by the kernel for entry_timeout. */
static void take_back_lookup(struct fs *fs, const struct fuse_entry_param *entry)
{
	if (entry->ino)
		node_forget(fs->nodes, entry->ino, 1);
}

void request_end_entry(struct request *request, int error, const struct fuse_entry_param *entry)
{
	if (error) {
		request_end(request, error);
		return;
	}
	stop_waiting(request, 0);
	if (fuse_reply_entry(request->req, entry) < 0)
		take_back_lookup(request->fs, entry);
}

void request_end_attr(struct request *request, int error, const struct stat *stat, double timeout)
{
	if (error) {
		request_end(request, error);
		return;
	}
	stop_waiting(request, 0);
	fuse_reply_attr(request->req, stat, timeout);
}

bool request_end_open(struct request *request, int error, const struct fuse_file_info *fi)
{
	if (error) {
		request_end(request, error);
		return true;
	}
	stop_waiting(request, 0);
	return fuse_reply_open(request->req, fi) == 0;
}

bool request_end_create(struct request *request, int error, const struct fuse_entry_param *entry,
                        const struct fuse_file_info *fi)
{
	if (error) {
		request_end(request, error);
		return true;
	}
	stop_waiting(request, 0);
	if (fuse_reply_create(request->req, entry, fi) == 0)
		return true;
	take_back_lookup(request->fs, entry);
	return false;
}

void request_end_write(struct request *request, ssize_t count_or_error)
{
	if (count_or_error < 0) {
		request_end(request, (int)count_or_error);
		return;
	}
	stop_waiting(request, count_or_error);
	fuse_reply_write(request->req, (size_t)count_or_error);
}

void request_end_buf(struct request *request, ssize_t size_or_error, const void *buf)
{
	if (size_or_error < 0) {
		request_end(request, (int)size_or_error);
		return;
	}
	stop_waiting(request, size_or_error);
	fuse_reply_buf(request->req, buf, (size_t)size_or_error);
}

void request_end_iov(struct request *request, ssize_t size_or_error, const struct iovec *pieces,
                     int count)
{
	if (size_or_error < 0) {
		request_end(request, (int)size_or_error);
		return;
	}
	stop_waiting(request, size_or_error);
	/* Of no pieces libfuse makes a null pointer, and copies from it. */
	if (count == 0)
		fuse_reply_buf(request->req, "", 0);
	else
		fuse_reply_iov(request->req, pieces, count);
}

void request_end_link(struct request *request, int error, const char *target)
{
	if (error) {
		request_end(request, error);
		return;
	}
	stop_waiting(request, 0);
	fuse_reply_readlink(request->req, target);
}

void request_end_statfs(struct request *request, int error, const struct statvfs *statvfs)
{
	if (error) {
		request_end(request, error);
		return;
	}
	stop_waiting(request, 0);
	fuse_reply_statfs(request->req, statvfs);
}

void request_end_ioctl(struct request *request, int error, const void *buf, size_t size)
{
	if (error) {
		request_end(request, error);
		return;
	}
	stop_waiting(request, 0);
	fuse_reply_ioctl(request->req, 0, buf, size);
}

void request_end_lseek(struct request *request, off_t offset_or_error)
{
	if (offset_or_error < 0) {
		request_end(request, (int)offset_or_error);
		return;
	}
	stop_waiting(request, 0);
	fuse_reply_lseek(request->req, offset_or_error);
}
