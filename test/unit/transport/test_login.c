/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which words ssh is given to share one login, and the folder of its sockets. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "login.h"
#include "sockdir.h"
#include "util.h"

/* ---- a login ---------------------------------------------------------------------------------- */

#define OPENSSH "hostname h\nport 22\ncontrolmaster false\nbatchmode no\n"

static char *command[] = {(char *)FAKE_SSH, NULL};

struct fixture {
	struct transport_settings settings;
	struct login *login;
	char *dir; /* XDG_RUNTIME_DIR */
};

static void fixture_open(struct fixture *fix, const char *config)
{
	*fix = (struct fixture){
		.settings = {.kind = TRANSPORT_OPENSSH,
	                     .host = (char *)"h",
	                     .ssh_command = command,
	                     .sftp_server = (char *)"sftp",
	                     .parallel = true},
		.dir = g_dir_make_tmp("sshfs-login-XXXXXX", NULL),
	};
	g_setenv("XDG_RUNTIME_DIR", fix->dir, TRUE);
	g_setenv("FAKE_SSH_CONFIG", config, TRUE);
	fix->login = login_new(&fix->settings);
}

static void fixture_close(struct fixture *fix)
{
	login_free(fix->login);
	/* Nothing is left in there. */
	g_assert_cmpint(g_rmdir(fix->dir), ==, 0);
	g_free(fix->dir);
}

static char *words(struct fixture *fix, enum connector_way way)
{
	bool trial;
	g_auto(GStrv) list = login_words(fix->login, way, &trial);

	return g_strjoinv(" ", list);
}

static void check_words(struct fixture *fix, enum connector_way way, const char *expected)
{
	g_autofree char *text = words(fix, way);

	g_assert_cmpstr(text, ==, expected);
}

/* ---- who shares ------------------------------------------------------------------------------- */

static void check_left_alone(struct fixture *fix)
{
	check_words(fix, CONNECTOR_FIRST, "");
	g_assert_cmpint(login_more_way(fix->login), ==, CONNECTOR_ALONE);
	check_words(fix, CONNECTOR_ALONE, "");
	fixture_close(fix);
}

static void test_not_parallel(void)
{
	struct fixture fix;

	fixture_open(&fix, OPENSSH);
	fix.settings.parallel = false;
	fix.settings.multiplex = TRANSPORT_MULTIPLEX_YES;
	check_left_alone(&fix);
}

static void test_configured(void)
{
	static const char *const configs[] = {
		"",
		"port 22\n",
		"hostname h\ncontrolmaster auto\n",
		"hostname h\ncontrolmaster true\n",
		"hostname h\ncontrolmaster false\ncontrolpath /x\n",
		"hostname h\nbatchmode yes\n",
	};
	char *args[] = {(char *)"-ocontrolpath=none", NULL};
	struct fixture fix;

	for (size_t i = 0; i < G_N_ELEMENTS(configs); i++) {
		fixture_open(&fix, configs[i]);
		check_left_alone(&fix);
	}
	fixture_open(&fix, OPENSSH);
	fix.settings.ssh_args = args;
	check_left_alone(&fix);
	fixture_open(&fix, OPENSSH);
	fix.settings.multiplex = TRANSPORT_MULTIPLEX_NO;
	check_left_alone(&fix);
}

/* ---- how -------------------------------------------------------------------------------------- */

static void check_trial(struct fixture *fix, enum connector_way way, bool expected)
{
	bool trial;

	g_strfreev(login_words(fix->login, way, &trial));
	g_assert_cmpint(trial, ==, expected);
}

/* A login of its own that asks nothing is tried first; and if it works, it is used for good. */
static void test_alone_works(void)
{
	enum connector_way way;
	struct fixture fix;
	g_autofree char *expected = NULL, *first = NULL;

	fixture_open(&fix, OPENSSH);
	expected = g_strdup_printf("-oControlMaster=yes -oControlPath=%s/.sshfs-mux-*/1 "
	                           "-oControlPersist=no",
	                           fix.dir);
	first = words(&fix, CONNECTOR_FIRST);
	g_assert_true(g_pattern_match_simple(expected, first));
	way = login_more_way(fix.login);
	g_assert_cmpint(way, ==, CONNECTOR_ALONE);
	check_trial(&fix, way, true);
	check_words(&fix, way, "-oBatchMode=yes");
	login_note_way(fix.login, way);
	check_trial(&fix, way, false);
	g_assert_false(login_other_way(fix.login, &way));
	g_assert_cmpint(login_more_way(fix.login), ==, CONNECTOR_ALONE);
	fixture_close(&fix);
}

static void test_alone_fails(void)
{
	enum connector_way way;
	struct fixture fix;
	g_autofree char *first = NULL, *second = NULL, *third = NULL;

	fixture_open(&fix, OPENSSH);
	first = words(&fix, CONNECTOR_FIRST);
	way = CONNECTOR_ALONE;
	g_assert_true(login_other_way(fix.login, &way));
	g_assert_cmpint(way, ==, CONNECTOR_SHARED);
	g_assert_cmpint(login_more_way(fix.login), ==, CONNECTOR_SHARED);
	second = words(&fix, way);
	g_assert_true(g_pattern_match_simple(
		"-oControlMaster=no -oControlPath=/*/1 -oBatchMode=yes", second));
	g_assert_false(login_other_way(fix.login, &way));
	/* Another master has another socket. */
	g_free(words(&fix, CONNECTOR_FIRST));
	third = words(&fix, CONNECTOR_SHARED);
	g_assert_true(g_pattern_match_simple(
		"-oControlMaster=no -oControlPath=/*/2 -oBatchMode=yes", third));
	fixture_close(&fix);
}

static void test_yes(void)
{
	struct fixture fix;

	fixture_open(&fix, "nothing that ssh would say");
	fix.settings.multiplex = TRANSPORT_MULTIPLEX_YES;
	g_free(words(&fix, CONNECTOR_FIRST));
	g_assert_cmpint(login_more_way(fix.login), ==, CONNECTOR_SHARED);
	fixture_close(&fix);
}

/* ---- the folder ------------------------------------------------------------------------------- */

static int make_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
	g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
	return fd;
}

static void test_folder(void)
{
	g_autofree char *base = g_dir_make_tmp("sshfs-login-XXXXXX", NULL);
	g_autofree char *first = NULL, *second = NULL, *folder = NULL;
	struct sockdir *dir;
	struct stat stat;
	int fd;

	g_setenv("XDG_RUNTIME_DIR", base, TRUE);
	g_assert_cmpint(sockdir_new(&dir), ==, 0);
	first = sockdir_new_path(dir);
	g_assert_true(g_str_has_prefix(first, base));
	g_assert_cmpuint(strlen(first), <=, SOCKDIR_PATH_MAX);
	folder = g_path_get_dirname(first);
	g_assert_cmpint(lstat(folder, &stat), ==, 0);
	g_assert_cmpint(stat.st_mode & 07777, ==, 0700);
	/* What a dead master has left goes with the next path, and at the end. */
	fd = make_socket(first);
	second = sockdir_new_path(dir);
	g_assert_cmpstr(first, !=, second);
	g_assert_cmpint(g_access(first, F_OK), ==, -1);
	close(fd);
	fd = make_socket(second);
	sockdir_free(dir);
	close(fd);
	g_assert_cmpint(g_rmdir(base), ==, 0);
}

/* Folders that somebody left by being killed are removed; those in use, and others, are not. */
static void test_sweep(void)
{
	g_autofree char *base = g_dir_make_tmp("sshfs-login-XXXXXX", NULL);
	g_autofree char *dead = g_build_filename(base, ".sshfs-mux-abcdef", NULL);
	g_autofree char *full = g_build_filename(base, ".sshfs-mux-ghijkl", NULL);
	g_autofree char *open_one = g_build_filename(base, ".sshfs-mux-mnopqr", NULL);
	g_autofree char *others = g_build_filename(base, "sshfs-abcdef", NULL);
	g_autofree char *left = g_build_filename(dead, "1", NULL);
	g_autofree char *kept = g_build_filename(full, "file", NULL);
	g_autofree char *used = NULL;
	struct sockdir *first, *second;

	g_setenv("XDG_RUNTIME_DIR", base, TRUE);
	g_assert_cmpint(sockdir_new(&first), ==, 0);
	used = sockdir_new_path(first);
	g_assert_cmpint(g_mkdir(dead, 0700) | g_mkdir(full, 0700) | g_mkdir(others, 0700), ==, 0);
	g_assert_cmpint(g_mkdir(open_one, 0755), ==, 0);
	close(make_socket(left));
	close(make_socket(used));
	g_assert_true(g_file_set_contents(kept, "", 0, NULL));
	g_assert_cmpint(sockdir_new(&second), ==, 0);
	g_assert_cmpint(g_access(dead, F_OK), ==, -1);
	g_assert_cmpint(g_access(used, F_OK), ==, 0);
	g_assert_cmpint(g_access(kept, F_OK), ==, 0);
	g_assert_cmpint(g_rmdir(others) | g_rmdir(open_one), ==, 0);
	g_assert_cmpint(g_unlink(kept) | g_rmdir(full), ==, 0);
	sockdir_free(first);
	sockdir_free(second);
	g_assert_cmpint(g_rmdir(base), ==, 0);
}

/* A runtime folder whose name ssh would read differently, which is too long, or open to others. */
static void test_unfit(void)
{
	static const char *const names[] = {
		"/with space",
		"/%h",
		"/${HOME}",
		"/a-very-long-name-that-leaves-no-room-for-the-name-of-a-socket-and-ssh-adds-to-it",
		"/open",
	};
	g_autofree char *base = g_dir_make_tmp("sshfs-login-XXXXXX", NULL);

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *dir = g_strconcat(base, names[i], NULL);
		g_autofree char *path = NULL;
		struct sockdir *sockdir;

		g_assert_cmpint(g_mkdir(dir, strcmp(names[i], "/open") ? 0700 : 0755), ==, 0);
		g_setenv("XDG_RUNTIME_DIR", dir, TRUE);
		g_assert_cmpint(sockdir_new(&sockdir), ==, 0);
		path = sockdir_new_path(sockdir);
		g_assert_true(g_str_has_prefix(path, "/tmp/.sshfs-mux-"));
		sockdir_free(sockdir);
		g_assert_cmpint(g_rmdir(dir), ==, 0);
	}
	g_assert_cmpint(g_rmdir(base), ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/login/not-parallel", test_not_parallel);
	g_test_add_func("/login/configured", test_configured);
	g_test_add_func("/login/alone-works", test_alone_works);
	g_test_add_func("/login/alone-fails", test_alone_fails);
	g_test_add_func("/login/yes", test_yes);
	g_test_add_func("/sockdir/folder", test_folder);
	g_test_add_func("/sockdir/sweep", test_sweep);
	g_test_add_func("/sockdir/unfit", test_unfit);
	return g_test_run();
}
