/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files behind client.h share: client.c (life), path.c and rename.c (verbs by path),
 * after.c (what came of a change), readdir.c (listings), file.c (open files), transfer.c (their data).
 */
#ifndef SFTP_CLIENT_PRIVATE_H
#define SFTP_CLIENT_PRIVATE_H

#include <stdatomic.h>

#include "call.h"
#include "client.h"
#include "pool.h"

struct sftp_client {
	struct sftp_settings settings; /* set once; its strings are not ours: not to be used */
	struct sftp_events events;     /* set once */
	struct idmap *idmap;           /* immutable before the first request is served */
	struct sftp_pool *pool;        /* set once */
	_Atomic uint32_t extensions;   /* of the latest server */
	bool knows_remote_user;        /* the pool's thread only */
};

struct sftp_file {
	atomic_int refs;
	struct sftp_client *client; /* set once, borrowed */
	struct sftp_conn *conn;     /* set once, a reference: a file stays on its connection */
	struct wire_buf handle;     /* set once: as a wire string, ready to be put into a message */
	uint32_t flags;             /* set once: as it was opened, enum sftp_open_flag */
	bool bulk;                  /* set once: it carries bulk data, see pool.h */
	_Atomic uint64_t size;      /* as last seen, or 0: where a read may find the end */
};

static inline void client_put_conn(struct sftp_conn **conn)
{
	sftp_conn_unref(*conn);
}

/* A reference to a connection that ends with the block. */
#define AUTO_CONN __attribute__((cleanup(client_put_conn))) struct sftp_conn *

/* A connection for a request that is not bound to one. Errors as sftp_pool_get(). */
int client_get_conn(struct sftp_client *client, struct sftp_conn **ret_conn);

/* Body of a request for an extension: its name is put, the arguments come behind. */
void client_put_extension(struct wire_buf *body, enum sftp_extension extension);

/* The ATTRS reply to `call`, with the server's ids. */
int client_get_remote_attrs(struct call *call, enum sftp_operation operation,
                            struct sftp_attrs *ret_attrs);
/* Turns the server's ids into local ones; -EPERM: unmapped, and nomap=error. */
int client_localize_attrs(struct sftp_client *client, struct sftp_attrs *attrs);
/* The two in one. */
int client_get_attrs(struct sftp_client *client, struct call *call, enum sftp_operation operation,
                     struct sftp_attrs *ret_attrs);

/* path.c: the first name of a NAME reply, for the caller to free. 0 or -EPROTO. */
int client_get_first_name(struct wire_reader *body, char **ret_name);

/*
 * Translates attributes to be set: ids to the server's; an id of -1 is asked for, by a request of
 * `stat_type` with `subject` (a wire string: a path or a handle), because SFTP can only set both.
 */
int client_prepare_attrs(struct sftp_client *client, struct sftp_conn *conn, uint8_t stat_type,
                         const struct wire_buf *subject, const struct sftp_attrs *attrs,
                         struct sftp_attrs *ret_attrs);

/*
 * after.c: the look-up behind a change that was just started on `conn`: of a path, or of a handle (a wire
 * string). *call stays NULL when nothing is asked (`after` is NULL) or could be.
 */
void after_ask_path(struct sftp_after *after, struct sftp_conn *conn, const char *path,
                    struct call **call);
void after_ask_handle(struct sftp_after *after, struct sftp_conn *conn,
                      const struct wire_buf *handle, struct call **call);
/*
 * after.c: takes the reply, once the change has succeeded. `set`: what it has set, with the server's
 * ids; what is found must be like that. NULL: nothing that is known.
 */
void after_take(struct sftp_after *after, struct sftp_client *client, struct call *call,
                const struct sftp_attrs *set);

/* The EXTENDED_REPLY to a request for statvfs or fstatvfs. */
int client_get_statvfs(struct call *call, struct sftp_statvfs *ret_statvfs);

#endif
