/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An open file: the server's handle, and what is still on its way to the server (writer.h).
 *
 * Writes are handed to the connection and not waited for; their first error is kept until flush or
 * fsync reports it (handle_drain() with take_error). Stat, truncate and read of the same file wait for
 * them, too, since they must see the written data, but leave the error for its owner. Bytes on their way
 * are bounded over all handles (window.h).
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
struct stage_reader;

/* `gathers`: small writes that adjoin may share a WRITE. */
struct handle_table *handle_table_new(bool gathers);
/* Unrefs the handles that are left; nothing may be on its way (handle_table_drain()). Accepts NULL. */
void handle_table_free(struct handle_table *table);
/*
 * Waits until nothing of any handle is on its way, released ones included, or `span_ns` has passed.
 * True when nothing is. Errors are kept for their owners.
 */
bool handle_table_drain(struct handle_table *table, uint64_t span_ns);

/*
 * Takes over the reference to `file`; NULL: it was opened from what is held here (stage.h), for reading only, and
 * the server is not asked before it has to be. `open_flags` are open(2)'s. One reference, in the table.
 */
struct handle *handle_new(struct handle_table *table, uint64_t node, struct sftp_file *file,
                          int open_flags);
struct handle *handle_ref(struct handle *handle);
void handle_unref(struct handle *handle); /* accepts NULL */
/* RELEASE: out of the table, then unref. */
void handle_release(struct handle_table *table, struct handle *handle);

/* Borrowed. NULL: the server has not been asked for it; only handles for reading are so. */
struct sftp_file *handle_file(struct handle *handle);
/* The server was asked for it now; takes over the reference. Of two who come at once one is dropped. */
void handle_set_file(struct handle *handle, struct sftp_file *file);
/*
 * Reads of the handle go through `reader` (stage.h), which the handle frees at its end; NULL, as at first: to
 * the server. Once, before the handle is known to anybody else.
 */
void handle_set_reader(struct handle *handle, struct stage_reader *reader);
struct stage_reader *handle_reader(const struct handle *handle); /* borrowed */
uint64_t handle_node(const struct handle *handle);
int handle_open_flags(const struct handle *handle);

/*
 * Write-behind, see writer_write(). Waits also for writes of the same node by handles on other connections
 * (max_conns), which would not be in line. -EINTR: cancelled.
 */
int handle_write(struct handle *handle, const void *buf, size_t size, uint64_t offset,
                 void (*written)(void *data), void *data);
/*
 * Waits until what is on its way now has been answered. With `take_error` returns the first error of the
 * handle's writes that has not been reported yet and forgets it; else 0. -EINTR: cancelled; the error is kept.
 */
int handle_drain(struct handle *handle, bool take_error);
/* Waits for all handles of a node, errors kept for their owners. 0 or -EINTR. */
int handle_drain_node(struct handle_table *table, uint64_t node);

/*
 * An open handle of the node that has a file, referenced, or NULL; one opened for writing when `writable`, else any,
 * stale ones (their connection is gone) never.
 */
struct handle *handle_find(struct handle_table *table, uint64_t node, bool writable);
/* The same: one opened for writing whose writes go where they are told to, not to the end (O_APPEND). */
struct handle *handle_find_placing(struct handle_table *table, uint64_t node);
/* The same: one that has no file (handle_file() is NULL). */
struct handle *handle_find_held(struct handle_table *table, uint64_t node);
/* Open handles of all nodes. */
unsigned int handle_count(struct handle_table *table);

#endif
