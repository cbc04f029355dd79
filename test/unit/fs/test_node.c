// SPDX-License-Identifier: GPL-2.0-or-later
/* The inode table: names, look-ups, renames, unlinks, paths, numbers, and a random history. */
#include <glib.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "node.h"

#define ROOT UINT64_C(1)

static void assert_path(struct node_table *table, uint64_t id, const char *expected)
{
	g_autofree char *path = node_path(table, id);

	g_assert_cmpstr(path, ==, expected);
}

static void assert_counts(struct node_table *table, uint64_t nodes, uint64_t lookups)
{
	uint64_t have_nodes, have_lookups;

	node_table_counts(table, &have_nodes, &have_lookups);
	g_assert_cmpuint(have_nodes, ==, nodes);
	g_assert_cmpuint(have_lookups, ==, lookups);
}

static void test_base_paths(void)
{
	static const struct {
		const char *base, *root, *child;
	} cases[] = {
		{"", ".", "x"},          {"/", "/", "/x"},
		{"dir", "dir", "dir/x"}, {"/a/b", "/a/b", "/a/b/x"},
		{"/a/", "/a/", "/a/x"},  {"//", "//", "/x"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct node_table *table = node_table_new(cases[i].base);
		g_autofree char *child = node_child_path(table, ROOT, "x");

		assert_path(table, ROOT, cases[i].root);
		g_assert_cmpstr(child, ==, cases[i].child);
		node_table_free(table);
	}
}

static bool is_in(const GArray *ids, uint64_t id)
{
	for (guint i = 0; i < ids->len; i++) {
		if (g_array_index(ids, uint64_t, i) == id)
			return true;
	}
	return false;
}

static void test_ids_below(void)
{
	struct node_table *table = node_table_new("");
	uint64_t dir = node_enter(table, ROOT, "dir", 0);
	uint64_t sub = node_enter(table, dir, "sub", 0);
	uint64_t file = node_enter(table, sub, "file", 0);
	uint64_t other = node_enter(table, ROOT, "other", 0);
	g_autoptr(GArray) all = node_ids_below(table, ROOT);
	g_autoptr(GArray) below = node_ids_below(table, dir);
	g_autoptr(GArray) none = node_ids_below(table, 12345);

	g_assert_cmpuint(all->len, ==, 5);
	g_assert_cmpuint(below->len, ==, 3);
	g_assert_true(is_in(below, dir) && is_in(below, sub) && is_in(below, file));
	g_assert_false(is_in(below, other));
	g_assert_cmpuint(none->len, ==, 0);
	node_table_free(table);
}

static void test_lookups(void)
{
	struct node_table *table = node_table_new("/srv");
	uint64_t dir = node_enter(table, ROOT, "dir", 0);
	uint64_t file = node_enter(table, dir, "file", 0);

	g_assert_cmpuint(dir, >, ROOT);
	g_assert_cmpuint(file, >, dir);
	g_assert_cmpuint(node_enter(table, dir, "file", 0), ==, file);
	g_assert_cmpuint(node_find(table, dir, "file"), ==, file);
	g_assert_cmpuint(node_find(table, dir, "fil"), ==, 0);
	assert_path(table, file, "/srv/dir/file");
	assert_counts(table, 3, 3);

	node_forget(table, file, 1);
	assert_path(table, file, "/srv/dir/file");
	/* The parent lives on for its child. */
	node_forget(table, dir, 1);
	assert_path(table, dir, "/srv/dir");
	node_forget(table, file, 1);
	assert_path(table, file, NULL);
	assert_path(table, dir, NULL);
	assert_counts(table, 1, 0);

	/* What the kernel never had. */
	node_forget(table, 4711, 3);
	node_forget(table, ROOT, 3);
	g_assert_cmpuint(node_enter(table, 4711, "x", 0), ==, 0);
	assert_counts(table, 1, 0);
	node_table_free(table);
}

static void test_more_forgets_than_lookups(void)
{
	struct node_table *table = node_table_new("");
	uint64_t file = node_enter(table, ROOT, "file", 0);

	node_forget(table, file, 1000);
	assert_counts(table, 1, 0);
	node_table_free(table);
}

static void test_reserved_ids(void)
{
	struct node_table *table = node_table_new("");
	uint64_t reserved = node_reserve_id(table);
	uint64_t other = node_reserve_id(table);

	g_assert_cmpuint(other, !=, reserved);
	g_assert_cmpuint(node_enter(table, ROOT, "a", reserved), ==, reserved);
	/* A name that has a node keeps it. */
	g_assert_cmpuint(node_enter(table, ROOT, "a", other), ==, reserved);
	/* The id went on with the renamed node. */
	node_move(table, ROOT, "a", ROOT, "b");
	g_assert_cmpuint(node_enter(table, ROOT, "a", reserved), !=, reserved);
	assert_path(table, reserved, "b");
	node_table_free(table);
}

static void test_ids_are_never_reused(void)
{
	struct node_table *table = node_table_new("");
	uint64_t first = node_enter(table, ROOT, "a", 0);

	node_forget(table, first, 1);
	g_assert_cmpuint(node_enter(table, ROOT, "a", 0), >, first);
	node_table_free(table);
}

static void test_rename_takes_all_below(void)
{
	struct node_table *table = node_table_new("base");
	uint64_t a = node_enter(table, ROOT, "a", 0);
	uint64_t b = node_enter(table, a, "b", 0);
	uint64_t c = node_enter(table, b, "c", 0);
	uint64_t target = node_enter(table, ROOT, "t", 0);

	node_move(table, ROOT, "a", target, "z");
	assert_path(table, a, "base/t/z");
	assert_path(table, c, "base/t/z/b/c");
	g_assert_cmpuint(node_find(table, ROOT, "a"), ==, 0);
	g_assert_cmpuint(node_find(table, target, "z"), ==, a);
	node_table_free(table);
}

static void test_rename_replaces(void)
{
	struct node_table *table = node_table_new("");
	uint64_t from = node_enter(table, ROOT, "from", 0);
	uint64_t to = node_enter(table, ROOT, "to", 0);

	node_move(table, ROOT, "from", ROOT, "to");
	g_assert_cmpuint(node_find(table, ROOT, "to"), ==, from);
	g_assert_true(node_is_unlinked(table, to));
	g_assert_false(node_is_unlinked(table, from));
	assert_path(table, to, NULL);
	/* Onto itself, and of a name without a node. */
	node_move(table, ROOT, "to", ROOT, "to");
	assert_path(table, from, "to");
	node_move(table, ROOT, "unknown", ROOT, "to");
	g_assert_true(node_is_unlinked(table, from));
	g_assert_cmpuint(node_find(table, ROOT, "to"), ==, 0);
	node_table_free(table);
}

/* The only child's rename must not take the new parent away, which nothing else holds. */
static void test_rename_of_the_last_child(void)
{
	struct node_table *table = node_table_new("");
	uint64_t a = node_enter(table, ROOT, "a", 0);
	uint64_t b = node_enter(table, a, "b", 0);
	uint64_t c = node_enter(table, b, "c", 0);

	node_forget(table, a, 1);
	node_forget(table, b, 1);
	node_move(table, b, "c", a, "c2");
	assert_path(table, c, "a/c2");
	assert_path(table, b, NULL);
	node_move(table, a, "c2", ROOT, "c3");
	assert_path(table, c, "c3");
	assert_counts(table, 2, 1);
	node_table_free(table);
}

static void test_rename_into_itself(void)
{
	struct node_table *table = node_table_new("");
	uint64_t a = node_enter(table, ROOT, "a", 0);
	uint64_t b = node_enter(table, a, "b", 0);

	/* No sane server does that; the table must not loop. */
	node_move(table, ROOT, "a", b, "c");
	assert_path(table, a, NULL);
	assert_path(table, b, NULL);
	g_assert_true(node_is_unlinked(table, b));
	node_table_free(table);
}

static void test_unlinked(void)
{
	struct node_table *table = node_table_new("");
	uint64_t dir = node_enter(table, ROOT, "dir", 0);
	uint64_t file = node_enter(table, dir, "file", 0);
	uint64_t parent;
	char *name;

	g_assert_true(node_ref(table, file));
	node_remove(table, dir, "file");
	g_assert_true(node_is_unlinked(table, file));
	g_assert_false(node_name(table, file, &parent, &name));
	assert_path(table, file, NULL);
	g_assert_cmpuint(node_enter(table, dir, "file", 0), !=, file);
	node_forget(table, file, 1);
	g_assert_true(node_is_unlinked(table, file));
	node_unref(table, file);
	g_assert_false(node_is_unlinked(table, file));

	/* What is below a removed folder has no path, and takes no new names. */
	node_remove(table, ROOT, "dir");
	g_assert_cmpuint(node_enter(table, dir, "late", 0), ==, 0);
	g_assert_null(node_child_path(table, dir, "late"));
	node_table_free(table);
}

static void test_names(void)
{
	struct node_table *table = node_table_new("");
	uint64_t dir = node_enter(table, ROOT, "dir", 0);
	uint64_t file = node_enter(table, dir, "file", 0);
	g_autofree char *name = NULL;
	uint64_t parent;
	char *none;

	g_assert_true(node_name(table, file, &parent, &name));
	g_assert_cmpuint(parent, ==, dir);
	g_assert_cmpstr(name, ==, "file");
	g_assert_false(node_name(table, ROOT, &parent, &none));
	node_set_type(table, file, S_IFLNK | 0777);
	g_assert_cmpuint(node_type(table, file), ==, S_IFLNK);
	g_assert_cmpuint(node_type(table, ROOT), ==, S_IFDIR);
	node_table_free(table);
}

static uint64_t ino_of(struct node_table *table, uint64_t dir, const char *name)
{
	uint64_t early = node_child_ino(table, dir, name);
	uint64_t id = node_enter(table, dir, name, 0);

	/* What a listing shows before the name is looked up is what stat(2) shows then. */
	g_assert_cmpuint(node_ino(table, id), ==, early);
	return early;
}

static void test_inos(void)
{
	struct node_table *one = node_table_new("/a");
	struct node_table *two = node_table_new("/b");
	uint64_t dir_one, dir_two, old;

	g_assert_cmpuint(node_ino(one, ROOT), ==, 1);
	/* The same at every mount, in whatever order names are met. */
	ino_of(two, ROOT, "other");
	g_assert_cmpuint(ino_of(one, ROOT, "dir"), ==, ino_of(two, ROOT, "dir"));
	dir_one = node_find(one, ROOT, "dir");
	dir_two = node_find(two, ROOT, "dir");
	g_assert_cmpuint(ino_of(one, dir_one, "f"), ==, ino_of(two, dir_two, "f"));
	/* It goes along with a rename and is not shared with the next owner of the name. */
	old = node_ino(one, dir_one);
	node_move(one, ROOT, "dir", ROOT, "moved");
	g_assert_cmpuint(node_child_ino(one, ROOT, "moved"), ==, old);
	g_assert_cmpuint(ino_of(one, ROOT, "dir"), !=, old);
	node_table_free(one);
	node_table_free(two);
}

static void test_shared_ino(void)
{
	struct node_table *table = node_table_new("");
	uint64_t a = node_enter(table, ROOT, "a", 0), b = node_enter(table, ROOT, "b", 0);
	uint64_t ino = node_ino(table, a), other = node_ino(table, b);

	g_assert_cmpuint(ino, !=, other);
	node_share_ino(table, b, a);
	node_share_ino(table, b, a);
	g_assert_cmpuint(node_ino(table, b), ==, ino);
	g_assert_cmpuint(node_child_ino(table, ROOT, "b"), ==, ino);
	/* In use as long as one of them lives. */
	node_remove(table, ROOT, "a");
	node_forget(table, a, 1);
	g_assert_cmpuint(node_child_ino(table, ROOT, "a"), !=, ino);
	node_forget(table, b, 1);
	g_assert_cmpuint(node_child_ino(table, ROOT, "a"), ==, ino);
	g_assert_cmpuint(node_child_ino(table, ROOT, "b"), ==, other);
	node_table_free(table);
}

/* ---- a random history against a simple model --------------------------------------------------- */

#define NAMES 6
#define STEPS 20000

/* Two levels: folders d0..d5 in the root, names n0..n5 in each; 0: no node. */
struct model {
	uint64_t dirs[NAMES];
	uint64_t files[NAMES][NAMES];
};

static const char *dir_name(int i)
{
	static const char *const names[NAMES] = {"d0", "d1", "d2", "d3", "d4", "d5"};

	return names[i];
}

static const char *file_name(int i)
{
	static const char *const names[NAMES] = {"n0", "n1", "n2", "n3", "n4", "n5"};

	return names[i];
}

static void step(struct node_table *table, struct model *model)
{
	int d = g_test_rand_int_range(0, NAMES), e = g_test_rand_int_range(0, NAMES);
	int f = g_test_rand_int_range(0, NAMES), g = g_test_rand_int_range(0, NAMES);
	uint64_t kept[NAMES];

	switch (g_test_rand_int_range(0, 4)) {
	case 0:
		model->files[d][f] = node_enter(table, model->dirs[d], file_name(f), 0);
		break;
	case 1:
		node_remove(table, model->dirs[d], file_name(f));
		model->files[d][f] = 0;
		break;
	case 2:
		node_move(table, model->dirs[d], file_name(f), model->dirs[e], file_name(g));
		if (d == e && f == g)
			break;
		model->files[e][g] = model->files[d][f];
		model->files[d][f] = 0;
		break;
	case 3:
		/* Two folders change places, over a third name. */
		node_move(table, ROOT, dir_name(d), ROOT, "aside");
		node_move(table, ROOT, dir_name(e), ROOT, dir_name(d));
		node_move(table, ROOT, "aside", ROOT, dir_name(e));
		memcpy(kept, model->files[d], sizeof(kept));
		memcpy(model->files[d], model->files[e], sizeof(kept));
		memcpy(model->files[e], kept, sizeof(kept));
		kept[0] = model->dirs[d];
		model->dirs[d] = model->dirs[e];
		model->dirs[e] = kept[0];
		break;
	}
}

static void check(struct node_table *table, const struct model *model)
{
	for (int d = 0; d < NAMES; d++) {
		g_assert_cmpuint(node_find(table, ROOT, dir_name(d)), ==, model->dirs[d]);
		for (int f = 0; f < NAMES; f++) {
			g_autofree char *path = NULL;

			g_assert_cmpuint(node_find(table, model->dirs[d], file_name(f)), ==,
			                 model->files[d][f]);
			if (!model->files[d][f])
				continue;
			path = g_strdup_printf("%s/%s", dir_name(d), file_name(f));
			assert_path(table, model->files[d][f], path);
		}
	}
}

static void test_random_history(void)
{
	struct node_table *table = node_table_new("");
	struct model model = {.dirs = {0}};

	for (int d = 0; d < NAMES; d++)
		model.dirs[d] = node_enter(table, ROOT, dir_name(d), 0);
	for (int i = 0; i < STEPS; i++) {
		step(table, &model);
		if (i % 50 == 0)
			check(table, &model);
	}
	check(table, &model);
	node_table_free(table);
}

/* ---- what the kernel keeps ----------------------------------------------------------------------- */

static void test_contents(void)
{
	struct node_table *table = node_table_new("");
	uint64_t file = node_enter(table, ROOT, "f", 0), first = 1000 * CLOCK_NS_PER_SEC;
	uint64_t racy = first + NODE_RACY_NS, later = racy + 1;

	g_assert_cmpint(node_note_contents(table, file, 5, 7, false, first), ==, NODE_CONTENTS_NEW);
	g_assert_cmpint(node_note_contents(table, file, 5, 7, false, first), ==,
	                NODE_CONTENTS_SAME);
	g_assert_cmpint(node_note_contents(table, file, 5, 7, false, racy), ==, NODE_CONTENTS_SAME);
	/* Pages of before are let go of once more; those read from here on are right. */
	g_assert_cmpint(node_note_contents(table, file, 5, 7, false, later), ==,
	                NODE_CONTENTS_SAME);
	g_assert_cmpint(node_note_contents(table, file, 5, 7, false, later), ==,
	                NODE_CONTENTS_PROVEN);
	g_assert_cmpint(node_note_contents(table, file, 6, 7, false, later), ==, NODE_CONTENTS_NEW);
	g_assert_cmpint(node_note_contents(table, file, 6, 7, false, later), ==,
	                NODE_CONTENTS_SAME);
	g_assert_cmpint(node_note_contents(table, file, 6, 8, false, later), ==, NODE_CONTENTS_NEW);
	node_forget_contents(table, file);
	g_assert_cmpint(node_note_contents(table, file, 6, 8, true, later), ==, NODE_CONTENTS_NEW);
	g_assert_cmpint(node_note_contents(table, file, 6, 8, true, later), ==,
	                NODE_CONTENTS_PROVEN);
	node_forget_contents(table, file);
	g_assert_cmpint(node_note_contents(table, file, 6, 8, false, later), ==, NODE_CONTENTS_NEW);
	node_forget_contents(table, 99);
	g_assert_cmpint(node_note_contents(table, 99, 6, 8, false, later), ==, NODE_CONTENTS_NEW);
	node_table_free(table);
}

static void test_told(void)
{
	struct node_table *table = node_table_new("");
	uint64_t file = node_enter(table, ROOT, "f", 0);

	g_assert_false(node_was_told(table, file, 0, 0));
	g_assert_cmpint(node_latest_mtime(table), ==, INT64_MIN);
	node_note_told(table, file, 5, 9);
	node_note_told(table, file, 5, 7);
	g_assert_cmpint(node_latest_mtime(table), ==, 9);
	g_assert_true(node_was_told(table, file, 5, 7));
	g_assert_false(node_was_told(table, file, 6, 7));
	g_assert_false(node_was_told(table, file, 5, 8));
	node_note_told(table, 99, 5, 7);
	g_assert_false(node_was_told(table, 99, 5, 7));
	node_table_free(table);
}

static void test_listing(void)
{
	struct node_table *table = node_table_new("");

	g_assert_false(node_note_listing(table, ROOT, 3));
	g_assert_true(node_note_listing(table, ROOT, 3));
	g_assert_false(node_note_listing(table, ROOT, 4));
	g_assert_true(node_note_listing(table, ROOT, 4));
	g_assert_false(node_note_listing(table, 99, 4));
	node_table_free(table);
}

/* ---- many threads ------------------------------------------------------------------------------ */

static void *enter_and_forget(void *data)
{
	struct node_table *table = data;

	for (int i = 0; i < 2000; i++) {
		uint64_t dir = node_enter(table, ROOT, dir_name(i % NAMES), 0);
		uint64_t file = node_enter(table, dir, file_name(i % 5), 0);
		char *path = node_path(table, file);

		g_free(path);
		if (i % 7 == 0)
			node_move(table, ROOT, dir_name(i % NAMES), ROOT,
			          dir_name((i + 1) % NAMES));
		if (file)
			node_forget(table, file, 1);
		node_forget(table, dir, 1);
	}
	return NULL;
}

static void test_threads(void)
{
	struct node_table *table = node_table_new("");
	pthread_t threads[4];

	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		g_assert_cmpint(pthread_create(&threads[i], NULL, enter_and_forget, table), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		pthread_join(threads[i], NULL);
	assert_counts(table, 1, 0);
	node_table_free(table);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/node/base-paths", test_base_paths);
	g_test_add_func("/node/lookups", test_lookups);
	g_test_add_func("/node/ids_below", test_ids_below);
	g_test_add_func("/node/contents/forgotten", test_contents);
	g_test_add_func("/node/more-forgets-than-lookups", test_more_forgets_than_lookups);
	g_test_add_func("/node/reserved-ids", test_reserved_ids);
	g_test_add_func("/node/ids-are-never-reused", test_ids_are_never_reused);
	g_test_add_func("/node/rename-takes-all-below", test_rename_takes_all_below);
	g_test_add_func("/node/rename-replaces", test_rename_replaces);
	g_test_add_func("/node/rename-of-the-last-child", test_rename_of_the_last_child);
	g_test_add_func("/node/rename-into-itself", test_rename_into_itself);
	g_test_add_func("/node/unlinked", test_unlinked);
	g_test_add_func("/node/names", test_names);
	g_test_add_func("/node/inos", test_inos);
	g_test_add_func("/node/shared-ino", test_shared_ino);
	g_test_add_func("/node/contents", test_contents);
	g_test_add_func("/node/told", test_told);
	g_test_add_func("/node/listing", test_listing);
	g_test_add_func("/node/random-history", test_random_history);
	g_test_add_func("/node/threads", test_threads);
	return g_test_run();
}
