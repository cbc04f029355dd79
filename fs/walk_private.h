/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two files behind walk.h share: walk.c sees walks and says what comes next; ahead.c holds the line
 * of what is to be done ahead, and does it.
 */
#ifndef FS_WALK_PRIVATE_H
#define FS_WALK_PRIVATE_H

#include <pthread.h>

#include "clock.h"
#include "walk.h"

#define WALK_RECENT     64   /* folders read lately that are remembered */
#define WALK_MISSED     64   /* folders whose misses are counted, by hash */
#define WALK_TASKS_MAX  4096 /* in line; what would be more is not foreseen */
#define WALK_BUDGET_MIN 16
#define WALK_PAUSE_NS   (2 * CLOCK_NS_PER_SEC) /* without a step the walk has stopped */

enum ahead_kind {
	AHEAD_LIST,
	AHEAD_TARGETS, /* those of the folder's symlinks */
};

/* It stays in line while it is being done, so that what it leads to takes its place there. */
struct ahead_task {
	enum ahead_kind kind;
	uint64_t dir;  /* its node is referenced */
	bool demanded; /* by single names asked for in it: whatever the budget says */
	bool running;
	GList link;
};

/* A folder that was read lately. */
struct reading {
	uint64_t dir, when;
	bool walked;   /* its sub-folders are wanted, and have not been put in line yet */
	bool expanded; /* they have */
	bool has_subs;
};

/* Single names that were asked for in a folder, and sub-folders of one in which some were. */
#define KEY_OF_FOLDER(dir) (2 * (dir))
#define KEY_OF_SUBS(dir)   (2 * (dir) + 1)

struct missing {
	uint64_t key, when;
	unsigned int count;
};

struct walk {
	struct fs *fs;        /* set once */
	unsigned int breadth; /* set once */

	pthread_mutex_t lock;
	/* All below: protected by lock. */
	pthread_cond_t changed;
	bool stopping;
	pthread_t *threads;
	unsigned int started, idle;
	GQueue tasks;         /* of struct ahead_task: the next to do first */
	unsigned int running; /* of those, how many */
	GHashTable *listing;  /* folder's id -> struct ahead_task that is listing it */
	GHashTable *ahead;    /* of struct ahead_unread, by folder */
	size_t budget;        /* how many of those there may be */
	GHashTable *seen; /* ids of folders that were put in line or read since the walk began */
	struct reading recent[WALK_RECENT];
	size_t latest; /* in recent */
	bool across;   /* the walker takes siblings before children */
	struct missing missing[WALK_MISSED];
	size_t credit;
	struct walk_stats stats;
};

/* NULL: there is no such node any more. */
struct ahead_task *ahead_task_new(struct walk *walk, enum ahead_kind kind, uint64_t dir);
/* The sub-folder's listing; the kernel need not know it yet. */
struct ahead_task *ahead_task_new_for_child(struct walk *walk, uint64_t dir,
                                            const struct listing_entry *child);
void ahead_task_free(struct walk *walk, struct ahead_task *task);

/* Puts it in line behind `place`; NULL: first of all. */
void ahead_insert_locked(struct walk *walk, GList *place, struct ahead_task *task);
/* Something was put in line: threads are woken, or made. Without one it is not done: no harm. */
void ahead_wake_locked(struct walk *walk);
/* Forgets what nobody is doing. */
void ahead_clear_locked(struct walk *walk);
/* For the end: waits for the threads. */
void ahead_join(struct walk *walk);

/* A folder that was listed, and not read yet. */
struct ahead_unread {
	uint64_t dir;
	uint64_t when; /* it was begun */
};

/* A key for `seen`. */
uint64_t *ahead_new_id(uint64_t dir);

/* walk.c: the walk has stopped. */
bool walk_is_paused_locked(struct walk *walk);
void walk_give_up_locked(struct walk *walk);

#endif
