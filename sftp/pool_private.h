/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two halves of the pool share: pool.c (which connection serves what) and opener.c (how
 * connections come and go).
 */
#ifndef SFTP_POOL_PRIVATE_H
#define SFTP_POOL_PRIVATE_H

#include <glib.h>
#include <pthread.h>

#include "pool.h"

/* So many logins at once: each server has its limit (OpenSSH's MaxStartups lets ten begin). */
#define OPENERS_MAX 4

/* A place for a connection. All protected by the pool's lock. */
struct slot {
	struct sftp_conn *conn; /* a reference; not dead when it was entered; NULL: nobody here */
	unsigned int handles;   /* open files and folders on it */
	unsigned int bulk;      /* of those, the ones that carry bulk data */
	bool wanted;            /* an opener shall open one */
	bool opening;           /* one does */
	bool slow;              /* it takes so long that nobody waits any more */
	struct sftp_conn *starting; /* borrowed from the opener: so that a shutdown can end it */
	unsigned int attempts;      /* ended, well or badly */
	uint64_t next_attempt_ns;   /* 0: the last one has succeeded, or there was none */
	uint64_t backoff_ns;        /* after the next failure */
};

struct sftp_pool {
	struct connector *connector;        /* set once, borrowed */
	struct sftp_pool_settings settings; /* set once */
	struct sftp_pool_events events;     /* set once */

	pthread_mutex_t lock;
	/* All below: protected by lock. */
	struct slot *slots;    /* max_conns of them; the array is set once */
	unsigned int home;     /* index of the slot that carries no bulk if that can be avoided */
	unsigned int living;   /* slots with a connection */
	GPtrArray *buried;     /* struct sftp_conn, referenced: to be freed by an opener */
	unsigned int unended;  /* connections started whose died() has not come yet */
	unsigned int connects; /* connections that were entered */
	bool announcing;       /* an opener is telling of the first connection */
	bool down;             /* shut down */
	char *why;             /* the last loss or failed attempt; NULL: none yet */
	struct sftp_conn_stats buried_stats; /* of connections that are gone */
	pthread_cond_t work;                 /* the openers': wanted, buried, or down */
	pthread_cond_t changed; /* an attempt, an announcement or a connection has ended, or down */
	pthread_t openers[OPENERS_MAX];
	unsigned int opener_count;
	unsigned int idle_openers; /* of those, waiting for work */
};

static inline bool pool_is_alive_locked(const struct slot *slot)
{
	return slot->conn && !sftp_conn_is_dead(slot->conn);
}

/* ---- opener.c --------------------------------------------------------------------------------- */

/* True when an attempt for the slot is under way, or will be. */
static inline bool pool_is_coming_locked(const struct slot *slot)
{
	return slot->wanted || slot->opening;
}

/* The slot of a connection, or NULL. */
struct slot *pool_find_locked(struct sftp_pool *pool, const struct sftp_conn *conn);
/* Asks for a connection in an empty slot. 0 or -errno (no thread). */
int pool_want_locked(struct sftp_pool *pool, struct slot *slot);
/* May be asked for: another one than the first, in an empty slot. */
bool pool_may_want_locked(struct sftp_pool *pool, const struct slot *slot);
/* Lets the openers end, waits for them and for all connections' ends. */
void pool_end_openers(struct sftp_pool *pool);

/* ---- pool.c ----------------------------------------------------------------------------------- */

/* True while a connection lives. */
bool pool_lives_locked(struct sftp_pool *pool);
/* A connection has come or gone, or bulk has: the home may be another one now. */
void pool_settle_home_locked(struct sftp_pool *pool);
/* Adds what a connection has counted to the sum. */
void pool_add_stats(struct sftp_conn_stats *sum, struct sftp_conn *conn);

#endif
