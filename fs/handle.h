/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An open file: the server's handle, and what is still on its way to the server (write-behind).
 *
 * Writes are handed to the connection and not waited for; their first error is kept and reported once
 * by the next handle_drain() (flush, fsync, close, and truncate, stat or read of the same file, which
 * must see the written data). Bytes on their way are bounded per handle.
 *
 * Handles are reference counted and listed by node, so that an unlinked file can still be stat'ed and
 * truncated, and so that all writers of a file can be drained.
 */
#ifndef FS_HANDLE_H
#define FS_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"

struct handle;
struct handle_table;

struct handle_table *handle_table_new(void);
void handle_table_free(struct handle_table *table);

/* Takes over the reference to `file`. `open_flags` are open(2)'s. One reference, in the table. */
struct handle *handle_new(struct handle_table *table, uint64_t node, struct sftp_file *file,
			  int open_flags);
struct handle *handle_ref(struct handle *handle);
void handle_unref(struct handle *handle); /* accepts NULL */
/* RELEASE: out of the table, then unref. */
void handle_release(struct handle_table *table, struct handle *handle);

struct sftp_file *handle_file(struct handle *handle); /* borrowed */
uint64_t handle_node(const struct handle *handle);
int handle_open_flags(const struct handle *handle);

/*
 * Write-behind of `size` bytes. Waits while too many bytes are on their way. Returns 0 or -errno: of
 * this write where it is known at once, else of an earlier one of the handle that nobody has been told.
 */
int handle_write(struct handle *handle, const void *buf, size_t size, uint64_t offset);
/*
 * Waits until nothing is on its way. With `take_error` returns the first error of the handle's writes
 * that nobody has been told yet and forgets it; else 0. -EINTR: cancelled.
 */
int handle_drain(struct handle *handle, bool take_error);
/* Waits for all handles of a node, errors kept for their owners. 0 or -EINTR. */
int handle_drain_node(struct handle_table *table, uint64_t node);

/*
 * An open handle of the node, referenced, or NULL; one opened for writing when `writable`, else any,
 * stale ones (their connection is gone) never.
 */
struct handle *handle_find(struct handle_table *table, uint64_t node, bool writable);
/* The largest end of a write by any of the node's open handles, bytes; 0: none. */
uint64_t handle_written_end(struct handle_table *table, uint64_t node);
/* Open handles of all nodes. */
unsigned int handle_count(struct handle_table *table);

#endif
