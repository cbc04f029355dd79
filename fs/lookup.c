// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names: the kernel asks for one, and forgets it again.
 *
 * Answered from the cache where it knows, else by LSTAT. The kernel may trust the answer for as long
 * as the user says, but never longer than the cache would: what is left of the entry's time there.
 * An answer that the cache dropped, because something happened to the name meanwhile, is told with no
 * time at all.
 *
 * The race that shaped it: the name is removed, and made again as something else, while the answer is on
 * its way. So an answer that contradicts a node made meanwhile is asked for again, as is one about a path
 * that is outdated (place.c).
 */
#include <limits.h>
#include <string.h>

#include "history.h"
#include "request.h"
#include "walk.h"

/* ---- the kernel is told ----------------------------------------------------------------------- */

/* The kernel makes an inode bad that changes its type: another type must be another node. */
static bool is_other_file(struct fs *fs, uint64_t node, uint32_t mode)
{
	uint32_t type = node ? node_type(fs->nodes, node) : 0;

	return type && type != (mode & S_IFMT);
}

int lookup_enter_known(struct fs *fs, uint64_t dir, const char *name,
                       const struct cache_name *known, struct fuse_entry_param *ret_entry)
{
	uint64_t id;

	if (is_other_file(fs, node_find(fs->nodes, dir, name), known->attr.mode))
		return -ESTALE;
	id = node_enter(fs->nodes, dir, name, known->id);
	if (!id)
		return -ESTALE;
	node_set_type(fs->nodes, id, known->attr.mode);
	node_note_told(fs->nodes, id, known->attr.size, known->attr.mtime);
	*ret_entry = (struct fuse_entry_param){
		.ino = id,
		.entry_timeout =
			convert_timeout(fs, fs->settings.entry_timeout, known->name_left_ns),
		.attr_timeout = convert_timeout(fs, fs->settings.attr_timeout, known->attr_left_ns),
	};
	convert_cache_to_stat(fs, &known->attr, node_ino(fs->nodes, id), &ret_entry->attr);
	return 0;
}

int lookup_enter(struct fs *fs, struct cache_ticket ticket, uint64_t dir, const char *name,
                 const struct sftp_attrs *attrs, struct fuse_entry_param *ret_entry)
{
	struct cache_name fresh = {.has_attr = true};
	struct cache_name known;

	convert_attrs_to_cache(attrs, &fresh.attr);
	if (is_other_file(fs, node_find(fs->nodes, dir, name), fresh.attr.mode))
		node_remove(fs->nodes, dir, name);
	fresh.id = place_choose_id(fs, dir, name);
	cache_put_name(fs->cache, ticket, dir, name, fresh.id, &fresh.attr);
	if (cache_get_name(fs->cache, dir, name, &known) == CACHE_PRESENT && known.has_attr) {
		fresh.name_left_ns = known.name_left_ns;
		fresh.attr_left_ns = known.attr_left_ns;
		fresh.attr = known.attr;
	}
	return lookup_enter_known(fs, dir, name, &fresh, ret_entry);
}

/* A missing name, for the kernel to remember if the user wants that. */
static int answer_absent(struct fs *fs, uint64_t left_ns, struct fuse_entry_param *ret_entry)
{
	double timeout = convert_timeout(fs, fs->settings.negative_timeout, left_ns);

	if (timeout <= 0)
		return -ENOENT;
	*ret_entry = (struct fuse_entry_param){.ino = 0, .entry_timeout = timeout};
	return 0;
}

/* ---- look-up ---------------------------------------------------------------------------------- */

/* True when the answer contradicts a node that was made while it was on its way. */
static bool is_outdated(struct fs *fs, uint64_t dir, const char *name, uint64_t node,
                        const struct sftp_attrs *attrs)
{
	uint64_t now = node_find(fs->nodes, dir, name);
	struct cache_attr attr;

	convert_attrs_to_cache(attrs, &attr);
	return now != node && is_other_file(fs, now, attr.mode);
}

/* The server is asked once; its answer goes into the cache. -EAGAIN: it is outdated. */
static int ask_once(struct fs *fs, uint64_t dir, const char *name, char **ret_path,
                    struct fuse_entry_param *ret_entry)
{
	struct cache_ticket ticket = cache_take_ticket(fs->cache);
	struct cache_name known = {.name_left_ns = 0};
	uint64_t node = node_find(fs->nodes, dir, name);
	struct sftp_attrs attrs;
	int error;

	*ret_path = node_child_path(fs->nodes, dir, name);
	if (!*ret_path)
		return -ENOENT;
	error = place_fetch(fs, *ret_path, &attrs);
	if (!error && is_outdated(fs, dir, name, node, &attrs))
		return -EAGAIN;
	if (!error)
		return lookup_enter(fs, ticket, dir, name, &attrs, ret_entry);
	if (error != -ENOENT || place_name_was_moved(fs, error, dir, name, *ret_path))
		return error;
	cache_put_absent(fs->cache, ticket, dir, name);
	if (cache_is_enabled(fs->cache) &&
	    cache_get_name(fs->cache, dir, name, &known) != CACHE_ABSENT)
		return -ENOENT;
	return answer_absent(fs, known.name_left_ns, ret_entry);
}

static int ask_server(struct fs *fs, uint64_t dir, const char *name,
                      struct fuse_entry_param *ret_entry)
{
	for (;;) {
		g_autofree char *path = NULL;
		int error = ask_once(fs, dir, name, &path, ret_entry);

		if (error != -EAGAIN &&
		    (!path || !place_name_was_moved(fs, error, dir, name, path)))
			return error;
	}
}

static void note_known(struct fs *fs, uint64_t dir, const char *name)
{
	walk_found(fs->walk, dir);
	history_note(fs->history, dir, name);
}

static int lookup_work(struct fs *fs, uint64_t dir, const char *name,
                       struct fuse_entry_param *ret_entry)
{
	uint64_t node = node_find(fs->nodes, dir, name);
	struct cache_name known;
	struct history_looks *looks;
	enum cache_known answer;
	int error;

	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	/* The size must not be told before the writes that are on their way have grown the file. */
	error = node ? handle_drain_node(fs->handles, node) : 0;
	if (error)
		return error;
	answer = cache_get_name(fs->cache, dir, name, &known);
	if (answer != CACHE_UNKNOWN)
		note_known(fs, dir, name);
	if (answer == CACHE_PRESENT && known.has_attr &&
	    lookup_enter_known(fs, dir, name, &known, ret_entry) == 0)
		return 0;
	if (answer == CACHE_ABSENT)
		return answer_absent(fs, known.name_left_ns, ret_entry);
	walk_missed(fs->walk, dir);
	looks = history_begin(fs->history, dir, name);
	error = ask_server(fs, dir, name, ret_entry);
	history_end(looks);
	return error;
}

static void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct request request;
	struct fuse_entry_param entry;

	request_begin(&request, req, OP_LOOKUP);
	request_end_entry(&request, lookup_work(request.fs, dir, name, &entry), &entry);
}

/* ---- forget ----------------------------------------------------------------------------------- */

static void op_forget(fuse_req_t req, fuse_ino_t node, uint64_t count)
{
	struct fs *fs = fuse_req_userdata(req);

	node_forget(fs->nodes, node, count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct fs *fs = fuse_req_userdata(req);

	for (size_t i = 0; i < count; i++)
		node_forget(fs->nodes, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

void lookup_add_ops(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
}
