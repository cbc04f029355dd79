/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files behind stage.h share: stage.c (life, budget, statistics), staged.c (one file: its state,
 * its extents, changes), fetch.c (what is asked for and comes), reader.c (who reads), whole.c (small files).
 *
 * One lock for all: it is held for look-ups in small trees only, never while waiting for the network.
 * Lock order: the stage's, then those of the client's connections.
 */
#ifndef STAGE_STAGE_PRIVATE_H
#define STAGE_STAGE_PRIVATE_H

#include <glib.h>
#include <pthread.h>

#include "flow.h"
#include "lane.h"
#include "memory.h"
#include "pattern.h"
#include "stage.h"

struct staged;

/* A piece of a file: on its way, or here. All but `data` itself protected by the stage's lock. */
struct extent {
	struct staged *file; /* set once, a reference */
	uint64_t offset;     /* set once */
	size_t asked;        /* set once: bytes; so many are allocated */
	size_t size;         /* those asked for, or once it has landed those that there are */
	uint8_t *data;       /* filled by the client; read once landed */
	unsigned int refs;   /* the tree's, that of what is on its way, and one for each view */
	bool in_tree;        /* readers find it */
	bool landed;
	bool ahead;       /* nobody was waiting for it when it was asked for */
	int error;        /* once landed */
	size_t read;      /* bytes that were read of it; when all were, the kernel has them */
	uint64_t seen_ns; /* when it was asked for: the contents are at least that new */
	struct flow *flow;
	struct flow_mark mark;
	GList link; /* in stage->idle: landed, in the tree, and in no view */
};

/* What is held of one file. Protected by the stage's lock. */
struct staged {
	struct stage *stage; /* set once */
	uint64_t node;       /* set once */
	unsigned int refs;   /* readers, changes, extents */
	unsigned int readers;
	struct stage_identity identity;
	uint64_t checked_ns;     /* when that was seen last */
	uint64_t generation;     /* counted up when another state was seen at an opening */
	unsigned int changes;    /* that have begun and not ended */
	uint64_t version;        /* counted up by each change that begins */
	bool is_being_read;      /* as a whole */
	uint64_t whole_ns;       /* when it was last read whole; 0: never, or changed since */
	struct lane_file *lanes; /* by lane; NULL: open on none */
	GTree *extents;          /* of struct extent, by offset; they do not overlap */
	pthread_cond_t landed;
};

struct stage_reader {
	struct staged *file; /* set once, a reference */
	struct sftp_file
		*open; /* set once, borrowed; NULL: the reader of a file that is held whole */
	struct extent *whole;   /* set once, a reference: of such a file */
	uint64_t version;       /* set once: the file's, of such */
	uint64_t generation;    /* set once: of the file's, when it was opened */
	struct pattern pattern; /* protected by the stage's lock */
	bool wants;             /* it is in stage->wanting; protected by the stage's lock */
	GList link;
};

struct stage {
	struct stage_settings settings; /* set once */
	struct sftp_client *client;     /* set once, borrowed */
	unsigned int lane_count;        /* set once; 0: one connection does it all */
	struct lane *lanes;             /* set once */

	pthread_mutex_t lock;
	/* All below: protected by lock. */
	bool stopping;
	GHashTable *files; /* node -> struct staged */
	GQueue idle;       /* of struct extent, the one unused for longest first */
	GQueue wanting; /* of struct stage_reader: in turn, those that want to be fetched for ahead */
	size_t bytes;   /* of all extents' memory */
	unsigned int in_flight; /* extents on their way */
	pthread_cond_t calm;    /* that has become 0 */
	struct flow flow;       /* of where files are opened by who reads them */
	struct memory memory;
	struct stage_stats stats;
};

/* What was seen at that moment need not be looked at again. */
static inline bool stage_is_fresh(uint64_t moment, uint64_t now)
{
	return now - moment <= STAGE_FRESH_NS || moment > now;
}

/* The file is not being changed from here, and what is held of it is of the state that the reader has open. */
static inline bool stage_serves_locked(const struct stage_reader *reader)
{
	return reader->file->changes == 0 && reader->generation == reader->file->generation;
}

/* ---- staged.c ----------------------------------------------------------------------------------- */

/* The file's, made if there is none; a reference. */
struct staged *staged_get_locked(struct stage *stage, uint64_t node);
struct staged *staged_ref_locked(struct staged *file);
void staged_unref_locked(struct staged *file);
/* The extent that holds `offset`, or NULL and in *ret_gap_end where the next one begins (UINT64_MAX: none). */
struct extent *staged_find_locked(struct staged *file, uint64_t offset, uint64_t *ret_gap_end);
/* Nothing that overlaps the range is found by readers any more. `end` UINT64_MAX: to the end of the file. */
void staged_drop_locked(struct staged *file, uint64_t offset, uint64_t end);
/* The file was seen to be so, at `now`. Drops what is held of another state. True: it was another. */
bool staged_identify_locked(struct staged *file, const struct stage_identity *identity,
                            uint64_t now);

/* ---- fetch.c ------------------------------------------------------------------------------------ */

struct extent *extent_ref_locked(struct extent *extent);
void extent_unref_locked(struct extent *extent);
/* Readers do not find it any more. */
void extent_drop_locked(struct extent *extent);

/* One that has landed, for the caller to fill, with a reference. An empty one stands for an empty file. */
struct extent *extent_new_landed_locked(struct staged *file, size_t size, uint64_t seen_ns);

/*
 * Asks for `size` bytes at `offset` by `open`, whose connection `flow` is of. Nothing is held of them; they are in the tree from here on. Returns the
 * extent (borrowed) or NULL: the connection is gone.
 */
struct extent *fetch_ask_locked(struct staged *file, struct sftp_file *open, uint64_t offset,
                                size_t size, struct flow *flow, bool ahead);
/* The reader may want to be fetched for. */
void fetch_ahead_locked(struct stage_reader *reader);
void fetch_forget_reader_locked(struct stage_reader *reader);
/* What a reader may be fetched for ahead. */
struct pattern_limits fetch_limits_locked(const struct stage_reader *reader);

/* ---- whole.c ------------------------------------------------------------------------------------ */

/* A read of a file that is held whole: bytes or -EAGAIN, see stage_read(). */
ssize_t whole_read(struct stage_reader *reader, size_t size, uint64_t offset,
                   struct stage_view *ret_view);

/* ---- stage.c ------------------------------------------------------------------------------------ */

/* Makes room for `size` bytes by dropping what was unused for longest. False: there is none. */
bool stage_make_room_locked(struct stage *stage, size_t size);

#endif
