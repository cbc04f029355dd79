/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stream through a child ssh, with a fake ssh that plays each part. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "clock.h"
#include "transport.h"
#include "util.h"

static char *command[] = {(char *)FAKE_SSH, (char *)"first", NULL};
static char *args[] = {(char *)"-oPort=7", (char *)"-Fcfg", NULL};

static struct transport_settings settings_for(const char *part)
{
	return (struct transport_settings){
		.kind = TRANSPORT_OPENSSH,
		.host = (char *)part,
		.ssh_command = command,
		.ssh_args = args,
		.ssh_protocol = 2,
		.sftp_server = (char *)"sftp",
	};
}

static struct transport *open_stream(const struct transport_settings *settings)
{
	struct connector *connector = NULL;
	struct transport *transport = NULL;
	g_autofree char *why = NULL;

	g_assert_cmpint(connector_new(settings, &connector, &why), ==, 0);
	g_assert_cmpint(connector_connect(connector, CONNECTOR_FIRST, &transport, &why), ==, 0);
	g_assert_true(connector_can_reconnect(connector));
	connector_free(connector);
	return transport;
}

static struct transport *open_part(const char *part)
{
	struct transport_settings settings = settings_for(part);

	return open_stream(&settings);
}

static char *read_all(struct transport *transport)
{
	GString *text = g_string_new(NULL);
	char buf[4096];
	ssize_t got;

	while ((got = transport_read(transport, buf, sizeof(buf))) > 0)
		g_string_append_len(text, buf, got);
	g_assert_cmpint(got, ==, 0);
	return g_string_free(text, FALSE);
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	g_assert_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* The lines of `text` that start with `key`, without it, joined by spaces. */
static char *values_of(const char *text, const char *key)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	GString *values = g_string_new(NULL);

	for (char **line = lines; *line; line++)
		if (g_str_has_prefix(*line, key))
			g_string_append_printf(values, "%s%s", values->len ? " " : "",
			                       *line + strlen(key));
	return g_string_free(values, FALSE);
}

static void check_value(const char *text, const char *key, const char *expected)
{
	g_autofree char *value = values_of(text, key);

	g_assert_cmpstr(value, ==, expected);
}

static void test_command_line(void)
{
	struct transport_settings settings = settings_for("print");
	struct transport *transport = open_stream(&settings);
	g_autofree char *subsystem = read_all(transport), *path = NULL;

	transport_free(transport);
	check_value(subsystem, "arg=",
	            "first -x -a -oClearAllForwardings=yes -oPort=7 -Fcfg -2 -s -- print sftp");

	settings.sftp_server = (char *)"sudo /usr/lib/sftp-server";
	settings.ssh_protocol = 1;
	transport = open_stream(&settings);
	path = read_all(transport);
	transport_free(transport);
	check_value(path, "arg=",
	            "first -x -a -oClearAllForwardings=yes -oPort=7 -Fcfg -1 -- print "
	            "sudo /usr/lib/sftp-server");
}

/* Its surroundings, though ours are a mess: blocked and ignored signals, OLDPWD. */
static void test_surroundings(void)
{
	util_autofd tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	g_autofree char *text = NULL, *ignored = NULL;
	struct transport *transport;
	sigset_t usr, old;

	sigemptyset(&usr);
	sigaddset(&usr, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr, &old);
	signal(SIGPIPE, SIG_IGN);
	g_setenv("OLDPWD", "/somewhere", TRUE);
	transport = open_part("print");
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	text = read_all(transport);
	transport_free(transport);

	check_value(text, "blocked=", "");
	check_value(text, "cwd=", "/");
	check_value(text, "oldpwd=", "none");
	check_value(text, "leader=", tty >= 0 ? "0" : "1");
	ignored = g_strdup_printf("%d %d %d %d", SIGHUP, SIGINT, SIGQUIT, SIGTSTP);
	check_value(text, "ignored=", tty >= 0 ? ignored : "");
}

/* None of our descriptors is inherited, but one that is not close-on-exec is. */
static void test_descriptors(void)
{
	int given = fcntl(STDERR_FILENO, F_DUPFD, 77);
	struct transport *other = open_part("echo");
	struct transport *transport = open_part("print");
	g_autofree char *text = read_all(transport), *fds = values_of(text, "fd=");
	g_auto(GStrv) list = g_strsplit(fds, " ", -1);
	g_autofree char *name = g_strdup_printf("%d", given);

	g_assert_cmpint(given, >=, 77);
	for (char **fd = list; *fd; fd++) {
		int flags = fcntl(atoi(*fd), F_GETFD);

		/* What the test's caller left open reaches ssh too. */
		if (atoi(*fd) > 2)
			g_assert_true(flags >= 0 && !(flags & FD_CLOEXEC));
	}
	g_assert_true(g_strv_contains((const char *const *)list, name));
	close(given);
	transport_free(transport);
	transport_free(other);
}

/* Starting it must work also when our caller has closed stdin, stdout and stderr. */
static void test_closed_stdio(void)
{
	int saved[3];
	struct transport *transport;
	g_autofree char *text = NULL;

	for (int fd = 0; fd < 3; fd++) {
		saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
		close(fd);
	}
	transport = open_part("print");
	text = read_all(transport);
	transport_free(transport);
	for (int fd = 0; fd < 3; fd++) {
		dup2(saved[fd], fd);
		close(saved[fd]);
	}
	check_value(text, "cwd=", "/");
}

static void check_not_found(const char *name, int error)
{
	char *nothing[] = {(char *)name, NULL};
	struct transport_settings settings = settings_for("echo");
	struct connector *connector = NULL;
	struct transport *transport = NULL;
	g_autofree char *why = NULL, *expected = NULL;
	int fds = count_fds();

	settings.ssh_command = nothing;
	g_assert_cmpint(connector_new(&settings, &connector, &why), ==, 0);
	g_assert_cmpint(connector_connect(connector, CONNECTOR_FIRST, &transport, &why), ==,
	                -error);
	expected = g_strdup_printf("failed to execute '%s': %s", name, g_strerror(error));
	g_assert_cmpstr(why, ==, expected);
	g_assert_null(transport);
	connector_free(connector);
	g_assert_cmpint(count_fds(), ==, fds);
	g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
}

static void test_exec_fails(void)
{
	check_not_found("no-such-ssh-anywhere", ENOENT);
	check_not_found("/no/such/ssh", ENOENT);
	check_not_found("/dev/null", EACCES);
}

/* A name is sought in PATH; a relative path is meant from where we stand. */
static void test_lookup(void)
{
	g_autofree char *dir = g_path_get_dirname(FAKE_SSH);
	g_autofree char *old_path = g_strdup(g_getenv("PATH")), *old_dir = g_get_current_dir();
	g_autofree char *path = g_strdup_printf("/nowhere:%s", dir);
	char *names[] = {(char *)"fakessh", (char *)"./fakessh"};

	g_setenv("PATH", path, TRUE);
	g_assert_cmpint(g_chdir(dir), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		char *words[] = {names[i], NULL};
		struct transport_settings settings = settings_for("key");
		struct transport *transport;
		g_autofree char *text = NULL;

		settings.ssh_command = words;
		transport = open_stream(&settings);
		text = read_all(transport);
		g_assert_cmpstr(text, ==, "in by key\n");
		transport_free(transport);
	}
	g_assert_cmpint(g_chdir(old_dir), ==, 0);
	g_setenv("PATH", old_path, TRUE);
}

static void check_why(const char *part, const char *expected)
{
	struct transport *transport = open_part(part);
	g_autofree char *why = NULL;

	g_free(read_all(transport));
	why = transport_why_ended(transport);
	g_assert_cmpstr(why, ==, expected);
	transport_free(transport);
}

static void test_why_ended(void)
{
	check_why("fail", "ssh to fail ended with exit status 255: "
	                  "kex: no  [31mluck; Connection closed by host");
	check_why("die", "ssh to die was ended by signal 9 (Killed)");
	check_why("quiet", "ssh to quiet ended with exit status 0");
}

/* A child that lives on with nothing to say: bounded, and nothing is known. */
static void test_why_not_ended(void)
{
	struct transport *transport = open_part("sleep");

	g_assert_null(transport_why_ended(transport));
	transport_free(transport);
}

static void show_stderr(void)
{
	struct transport_settings settings = settings_for("fail");
	struct transport *transport;

	settings.show_stderr = true;
	transport = open_stream(&settings);
	g_free(read_all(transport));
	transport_free(transport);
}

static void test_show_stderr(void)
{
	if (g_test_subprocess()) {
		show_stderr();
		return;
	}
	g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
	g_test_trap_assert_passed();
	g_test_trap_assert_stderr("*old news\n*Connection closed by host\n*");
}

/* Neither the end of its input nor SIGTERM moves it. */
static void test_killed(void)
{
	struct transport *transport = open_part("ignore-end");
	char byte;

	g_assert_cmpint(transport_read(transport, &byte, 1), ==, 1);
	transport_free(transport);
	g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
	g_assert_cmpint(errno, ==, ECHILD);
}

static void test_many(void)
{
	int fds = count_fds();

	for (int i = 0; i < 200; i++) {
		struct transport *transport = open_part("echo");
		struct iovec iov = {.iov_base = &i, .iov_len = sizeof(i)};
		int back = -1;

		g_assert_cmpint(transport_write(transport, &iov, 1), ==, sizeof(i));
		g_assert_cmpint(transport_read(transport, &back, sizeof(back)), ==, sizeof(back));
		g_assert_cmpint(back, ==, i);
		transport_free(transport);
	}
	g_assert_cmpint(count_fds(), ==, fds);
	g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
}

static void *connect_often(void *arg)
{
	for (int i = 0; i < 10; i++)
		transport_free(open_part("echo"));
	return NULL;
}

static void test_parallel(void)
{
	int fds = count_fds();
	pthread_t threads[4];

	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		g_assert_cmpint(pthread_create(&threads[i], NULL, connect_often, NULL), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		pthread_join(threads[i], NULL);
	g_assert_cmpint(count_fds(), ==, fds);
}

static void *read_once(void *arg)
{
	char byte;

	return GINT_TO_POINTER((int)transport_read(arg, &byte, 1));
}

static void test_shutdown_wakes_reader(void)
{
	struct transport *transport = open_part("echo");
	pthread_t reader;
	void *ret = GINT_TO_POINTER(1);

	g_assert_cmpint(pthread_create(&reader, NULL, read_once, transport), ==, 0);
	transport_shutdown(transport);
	pthread_join(reader, &ret);
	g_assert_cmpint(GPOINTER_TO_INT(ret), ==, 0);
	transport_shutdown(transport);
	transport_free(transport);
}

static void fill(struct transport *transport)
{
	static char block[65536];
	struct iovec iov[2] = {{.iov_base = block, .iov_len = 100},
	                       {.iov_base = block, .iov_len = sizeof(block)}};
	ssize_t ret;

	while ((ret = transport_write(transport, iov, 2)) > 0)
		;
	g_assert_cmpint(ret, ==, -EAGAIN);
}

static void *wait_once(void *arg)
{
	return GINT_TO_POINTER(transport_wait_writable(arg));
}

static void test_shutdown_wakes_writer(void)
{
	struct transport *transport = open_part("sleep");
	pthread_t writer;
	void *ret = NULL;

	fill(transport);
	g_assert_cmpint(pthread_create(&writer, NULL, wait_once, transport), ==, 0);
	transport_shutdown(transport);
	pthread_join(writer, &ret);
	g_assert_cmpint(GPOINTER_TO_INT(ret), ==, -EPIPE);
	transport_free(transport);
}

/* Full, then room again once the other side reads; the end of the other side is -EPIPE. */
static void test_backpressure(void)
{
	struct transport *transport = open_part("echo");
	char buf[65536];

	fill(transport);
	g_assert_cmpint(transport_read(transport, buf, sizeof(buf)), >, 0);
	while (transport_read(transport, buf, 1000) != 1000)
		;
	transport_free(transport);

	transport = open_part("quiet");
	g_free(read_all(transport));
	g_assert_cmpint(transport_wait_writable(transport), ==, -EPIPE);
	g_assert_cmpint(transport_write(transport, &(struct iovec){buf, 1}, 1), ==, -EPIPE);
	transport_free(transport);
}

/* ---- password_stdin -------------------------------------------------------------------------- */

/* Makes `text` our stdin; returns the old one. */
static int give_stdin(const char *text)
{
	int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), ends[2];

	g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
	g_assert_cmpint(write(ends[1], text, strlen(text)), ==, strlen(text));
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	return saved;
}

static void restore_stdin(int saved)
{
	dup2(saved, STDIN_FILENO);
	close(saved);
}

static struct connector *password_connector(const char *part, bool keep)
{
	struct transport_settings settings = settings_for(part);
	struct connector *connector = NULL;
	g_autofree char *why = NULL;
	char rest;
	int saved = give_stdin("se cret\nrest");

	settings.password_stdin = true;
	settings.keep_password = keep;
	g_assert_cmpint(connector_new(&settings, &connector, &why), ==, 0);
	g_assert_cmpint(read(STDIN_FILENO, &rest, 1), ==, 1);
	g_assert_cmpint(rest, ==, 'r');
	restore_stdin(saved);
	return connector;
}

static void check_login(struct connector *connector, const char *expected)
{
	struct transport *transport = NULL;
	g_autofree char *why = NULL, *text = NULL;

	g_assert_cmpint(connector_connect(connector, CONNECTOR_FIRST, &transport, &why), ==, 0);
	text = read_all(transport);
	g_assert_cmpstr(text, ==, expected);
	transport_free(transport);
}

static void test_password(void)
{
	struct connector *connector = password_connector("ask", false);
	struct transport *transport = NULL;
	g_autofree char *why = NULL, *text = NULL;

	check_login(connector, "got=se cret\n");
	/* Wiped after use. */
	g_assert_cmpint(connector_connect(connector, CONNECTOR_FIRST, &transport, &why), ==, 0);
	connector_free(connector);
	text = read_all(transport);
	g_assert_cmpstr(text, ==, "");
	why = transport_why_ended(transport);
	g_assert_nonnull(strstr(why, "no longer known"));
	transport_free(transport);
}

static void test_password_kept(void)
{
	struct connector *connector = password_connector("ask", true);

	check_login(connector, "got=se cret\n");
	check_login(connector, "got=se cret\n");
	connector_free(connector);
}

/* A login by key: the server speaks only after we did, and no prompt comes at all. */
static void test_password_not_needed(void)
{
	struct connector *connector = password_connector("echo", false);
	struct transport *transport = NULL;
	g_autofree char *why = NULL;
	char byte = 'x';

	g_assert_cmpint(connector_connect(connector, CONNECTOR_FIRST, &transport, &why), ==, 0);
	g_assert_cmpint(transport_write(transport, &(struct iovec){&byte, 1}, 1), ==, 1);
	g_assert_cmpint(transport_read(transport, &byte, 1), ==, 1);
	transport_free(transport);
	connector_free(connector);
}

static void test_password_not_asked(void)
{
	struct connector *connector = password_connector("key", false);

	check_login(connector, "in by key\n");
	connector_free(connector);
	connector = password_connector("quiet", false);
	check_login(connector, "");
	connector_free(connector);
}

static void test_password_prompts_option(void)
{
	struct connector *connector = password_connector("print", false);
	struct transport *transport = NULL;
	g_autofree char *why = NULL, *text = NULL;

	g_assert_cmpint(connector_connect(connector, CONNECTOR_FIRST, &transport, &why), ==, 0);
	text = read_all(transport);
	g_assert_nonnull(strstr(text, "arg=-oNumberOfPasswordPrompts=1\n"));
	check_value(text, "leader=", "1");
	transport_free(transport);
	connector_free(connector);
}

static void check_bad_password(const char *text, int error)
{
	struct transport_settings settings = settings_for("ask");
	struct connector *connector = NULL;
	g_autofree char *why = NULL;
	int saved = give_stdin(text);

	settings.password_stdin = true;
	g_assert_cmpint(connector_new(&settings, &connector, &why), ==, -error);
	g_assert_nonnull(why);
	g_assert_null(connector);
	restore_stdin(saved);
}

static void test_password_bad(void)
{
	g_autofree char *too_long = g_strnfill(1024, 'p');

	check_bad_password(too_long, EMSGSIZE);
	check_bad_password("", ENODATA);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/openssh/command-line", test_command_line);
	g_test_add_func("/openssh/surroundings", test_surroundings);
	g_test_add_func("/openssh/descriptors", test_descriptors);
	g_test_add_func("/openssh/closed-stdio", test_closed_stdio);
	g_test_add_func("/openssh/exec-fails", test_exec_fails);
	g_test_add_func("/openssh/lookup", test_lookup);
	g_test_add_func("/openssh/why-ended", test_why_ended);
	g_test_add_func("/openssh/why-not-ended", test_why_not_ended);
	g_test_add_func("/openssh/show-stderr", test_show_stderr);
	g_test_add_func("/openssh/killed", test_killed);
	g_test_add_func("/openssh/many", test_many);
	g_test_add_func("/openssh/parallel", test_parallel);
	g_test_add_func("/openssh/shutdown-wakes-reader", test_shutdown_wakes_reader);
	g_test_add_func("/openssh/shutdown-wakes-writer", test_shutdown_wakes_writer);
	g_test_add_func("/openssh/backpressure", test_backpressure);
	g_test_add_func("/openssh/password", test_password);
	g_test_add_func("/openssh/password-kept", test_password_kept);
	g_test_add_func("/openssh/password-not-needed", test_password_not_needed);
	g_test_add_func("/openssh/password-not-asked", test_password_not_asked);
	g_test_add_func("/openssh/password-prompts-option", test_password_prompts_option);
	g_test_add_func("/openssh/password-bad", test_password_bad);
	return g_test_run();
}
