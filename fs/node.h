/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inode table. SFTP has no inodes, so a node is a name: (parent node, name). Ids are counted up
 * from FUSE_ROOT_ID + 1 and never reused (the cache keys by them); a node keeps its id when it is
 * renamed, in O(1), whatever is below it.
 *
 * A node lives while the kernel has looked it up (nlookup > 0), while it is the parent of a living
 * node, or while it is referenced (node_ref: open handles). When its name is removed or replaced it becomes
 * *unlinked*: it has no path any more, and only open handles reach the file.
 *
 * st_ino (node_ino) is a hash of the name and of the parent's st_ino at the time the node was first
 * seen: the same over remounts as long as nothing is renamed. Two living nodes share it only as hard
 * links that were made here.
 *
 * Thread-safe; one lock, held for hash look-ups and path building only.
 */
#ifndef FS_NODE_H
#define FS_NODE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock.h"

struct node_table;

/* `base_path` is the mounted folder on the server; "" is the remote home. */
struct node_table *node_table_new(const char *base_path);
void node_table_free(struct node_table *table);

/* A fresh id for a name that has no node yet: given to listing entries and cached names. */
uint64_t node_reserve_id(struct node_table *table);

/* The id of the living node of that name, or 0. */
uint64_t node_find(struct node_table *table, uint64_t parent, const char *name);

/*
 * The kernel is told of a name: its node, made if there is none (with id `reserved`, or a fresh one
 * if that is 0 or taken), gets one more look-up. Returns its id; 0 when `parent` is unknown or unlinked.
 */
uint64_t node_enter(struct node_table *table, uint64_t parent, const char *name, uint64_t reserved);
/* The kernel forgets `count` look-ups. */
void node_forget(struct node_table *table, uint64_t id, uint64_t count);

/* Keeps a node alive beyond its look-ups. False when there is no such node. */
bool node_ref(struct node_table *table, uint64_t id);
void node_unref(struct node_table *table, uint64_t id);

/* The path on the server, for the caller to free; NULL when unlinked or unknown (ESTALE). */
char *node_path(struct node_table *table, uint64_t id);
/* The same for a name in a folder. */
char *node_child_path(struct node_table *table, uint64_t dir, const char *name);
/* Parent and a copy of the name; false for the root, unlinked and unknown nodes. */
bool node_name(struct node_table *table, uint64_t id, uint64_t *ret_parent, char **ret_name);
/* st_ino; 1 for the root. */
uint64_t node_ino(struct node_table *table, uint64_t id);
/* st_ino of a name that has no node yet, as node_enter() would give it. */
uint64_t node_child_ino(struct node_table *table, uint64_t dir, const char *name);
/*
 * The two are hard links to one file: `id` shows the st_ino of `other` from now on. git(1) looks at it
 * after link(2); SFTP tells nothing of the kind, so that links made elsewhere are not known.
 */
void node_share_ino(struct node_table *table, uint64_t id, uint64_t other);

/*
 * The type (S_IFMT bits of st_mode) that the kernel was told; it stays with the node for good, as the
 * kernel's inode keeps it, too. 0: none noted yet.
 */
void node_set_type(struct node_table *table, uint64_t id, uint32_t type);
uint32_t node_type(struct node_table *table, uint64_t id);

enum node_contents {
	NODE_CONTENTS_NEW,    /* others than those noted before */
	NODE_CONTENTS_SAME,   /* the same, as far as can be seen */
	NODE_CONTENTS_PROVEN, /* the same for certain */
};

/*
 * Notes the size and mtime under which a node's contents are opened, at `now` (util/clock.h), and tells
 * whether pages that the kernel has kept are still right. Mtime has whole seconds: a file that is
 * changed again within the second in which it was looked at looks the same. So contents are proven at
 * once only if that second is `settled`: known to be over on the server. Else they are from the second
 * opening on that comes more than NODE_RACY_NS after they were first seen; the pages have then been read
 * behind all that could have gone unseen. NEW for an unknown node.
 */
#define NODE_RACY_NS (2 * CLOCK_NS_PER_SEC)
enum node_contents node_note_contents(struct node_table *table, uint64_t id, uint64_t size,
                                      int64_t mtime, bool settled, uint64_t now);
/*
 * True when the node was opened for reading before, and what may be read by it is the same for certain: proven to
 * have this size and mtime, as it was then, under the same mode.
 */
bool node_can_be_read_again(struct node_table *table, uint64_t id, uint64_t size, int64_t mtime,
                            uint32_t mode);
/* It was opened for reading by the server's leave, with this mode. */
void node_note_opened(struct node_table *table, uint64_t id, uint32_t mode);
/* They are not right any more, as far as is known: the next note finds them NEW. */
void node_forget_contents(struct node_table *table, uint64_t id);

/* The size and mtime that the kernel was told last. False when it was told others, or none. */
void node_note_told(struct node_table *table, uint64_t id, uint64_t size, int64_t mtime);
bool node_was_told(struct node_table *table, uint64_t id, uint64_t size, int64_t mtime);
/* The latest mtime told of any node, INT64_MIN before the first: the server's clock is past it. */
int64_t node_latest_mtime(struct node_table *table);

/*
 * Notes from which listing (listing_serial()) the kernel fills its pages of a folder. True when it is the
 * one noted before. False for an unknown node.
 */
bool node_note_listing(struct node_table *table, uint64_t id, uint64_t serial);

/* The name is gone on the server: its node, if any, becomes unlinked. */
void node_remove(struct node_table *table, uint64_t dir, const char *name);
/* The name was renamed; whatever had the new name becomes unlinked. */
void node_move(struct node_table *table, uint64_t dir, const char *name, uint64_t new_dir,
               const char *new_name);
/* True when the node exists and it, or a folder above it, is unlinked. */
bool node_is_unlinked(struct node_table *table, uint64_t id);

/* The ids of all living nodes, the root's included; the caller unrefs the array of uint64_t. */
GArray *node_table_ids(struct node_table *table);
/* The same of a node and of all below it; empty when there is no such node. */
GArray *node_ids_below(struct node_table *table, uint64_t id);
/* Counts of the table, for tests and -d: nodes, and look-ups the kernel still holds. */
void node_table_counts(struct node_table *table, uint64_t *ret_nodes, uint64_t *ret_lookups);

#endif
