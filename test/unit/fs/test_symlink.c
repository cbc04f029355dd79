// SPDX-License-Identifier: GPL-2.0-or-later
/* The rules for symlink targets: contain_symlinks and transform_symlinks. */
#include <glib.h>

#include "symlink.h"

static void test_contained(void)
{
	static const char *const inside[] = {"x",     "sub/x", "./sub/x", "sub//x", "a..b", "..a",
	                                     "a../b", "...",   "a/...",   ".",      "",     "x/"};

	for (size_t i = 0; i < G_N_ELEMENTS(inside); i++)
		g_assert_true(symlink_is_contained(inside[i]));
}

static void test_not_contained(void)
{
	static const char *const outside[] = {"/",      "/etc/passwd", "..",    "../x",  "a/..",
	                                      "a/../b", "./..",        "a//..", "..//x", "x/../"};

	for (size_t i = 0; i < G_N_ELEMENTS(outside); i++)
		g_assert_false(symlink_is_contained(outside[i]));
}

static void test_transformed(void)
{
	static const struct {
		const char *base, *link, *target, *expected;
	} cases[] = {
		{"/srv", "/srv/l", "/srv/f", "f"},
		{"/srv", "/srv/l", "/srv/a/f", "a/f"},
		{"/srv", "/srv/a/l", "/srv/f", "../f"},
		{"/srv", "/srv/a/l", "/srv/a/f", "f"},
		{"/srv", "/srv/a/b/l", "/srv/c/d", "../../c/d"},
		{"/srv", "/srv/a/b/l", "/srv/a/c", "../c"},
		{"/srv", "/srv/l", "/srv", "."},
		{"/srv", "/srv/a/l", "/srv", ".."},
		{"/srv", "/srv/a/l", "/srv/a", "."},
		{"/srv", "/srv/l", "/srv/l", "l"},
		{"/srv/", "/srv/l", "//srv/./f/", "f"},
		{"/", "/a/l", "/etc/x", "../etc/x"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *target =
			symlink_transform(cases[i].base, cases[i].link, cases[i].target);

		g_assert_cmpstr(target, ==, cases[i].expected);
	}
}

static void test_left_alone(void)
{
	g_assert_null(symlink_transform("/srv", "/srv/l", "relative"));
	g_assert_null(symlink_transform("/srv", "/srv/l", "/etc/passwd"));
	g_assert_null(symlink_transform("/srv", "/srv/l", "/srvx/f"));
	g_assert_null(symlink_transform("/srv/a", "/srv/a/l", "/srv"));
	/* Relative to the remote home, wherever that is. */
	g_assert_null(symlink_transform("", "l", "/home/me/f"));
	g_assert_null(symlink_transform("dir", "dir/l", "/home/me/dir/f"));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/symlink/contained", test_contained);
	g_test_add_func("/symlink/not-contained", test_not_contained);
	g_test_add_func("/symlink/transformed", test_transformed);
	g_test_add_func("/symlink/left-alone", test_left_alone);
	return g_test_run();
}
