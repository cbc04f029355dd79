/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for ssh(1) in the tests of transport/: takes its command line, and does what the host
 * name says.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir))
			printf("fd=%s\n", entry->d_name);
	if (dir)
		closedir(dir);
}

static void print_signals(void)
{
	struct sigaction action;
	sigset_t mask;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int number = 1; number < NSIG; number++) {
		if (sigismember(&mask, number) == 1)
			printf("blocked=%d\n", number);
		if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			printf("ignored=%d\n", number);
	}
}

static void print_all(int argc, char **argv)
{
	char cwd[4096];

	for (int i = 1; i < argc; i++)
		printf("arg=%s\n", argv[i]);
	print_descriptors();
	print_signals();
	printf("cwd=%s\n", getcwd(cwd, sizeof(cwd)));
	printf("oldpwd=%s\n", getenv("OLDPWD") ? getenv("OLDPWD") : "none");
	printf("leader=%d\n", getpgrp() == getpid());
	printf("end=\n");
}

static void echo(void)
{
	char buf[65536];
	ssize_t got;

	while ((got = read(0, buf, sizeof(buf))) > 0)
		if (write(1, buf, (size_t)got) != got)
			exit(1);
}

static void ignore_end(void)
{
	signal(SIGTERM, SIG_IGN);
	if (write(1, "x", 1) == 1)
		while (1)
			pause();
}

/* Asks on the terminal, and tells on the stream what was answered. */
static void ask(void)
{
	char line[2048];
	FILE *tty = fopen("/dev/tty", "r+e");

	if (!tty)
		exit(2);
	fputs("user@host's pass", tty);
	fflush(tty);
	fputs("word: ", tty);
	fflush(tty);
	if (!fgets(line, sizeof(line), tty))
		exit(3);
	/* More than a terminal holds: blocks unless somebody drains it. */
	for (int i = 0; i < 20000; i++)
		fputs("chatter\n", tty);
	fflush(tty);
	printf("got=%s", line);
}

static void fail(void)
{
	fputs("Warning: Permanently added 'host' to the list of known hosts.\r\n"
	      "old news\n"
	      "debug1: something\n"
	      "kex: no \033[31mluck\n"
	      "\n"
	      "Connection closed by host",
	      stderr);
	exit(255);
}

/* `ssh -G`: the environment says what is configured. */
static int print_config(void)
{
	const char *config = getenv("FAKE_SSH_CONFIG");

	printf("%s", config ? config : "");
	return 0;
}

int main(int argc, char **argv)
{
	const char *part = argc > 2 ? argv[argc - 2] : "";

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-G"))
			return print_config();
	}
	if (!strcmp(part, "print"))
		print_all(argc, argv);
	else if (!strcmp(part, "echo"))
		echo();
	else if (!strcmp(part, "ignore-end"))
		ignore_end();
	else if (!strcmp(part, "ask"))
		ask();
	else if (!strcmp(part, "key"))
		printf("in by key\n");
	else if (!strcmp(part, "fail"))
		fail();
	else if (!strcmp(part, "die"))
		raise(SIGKILL);
	else if (!strcmp(part, "sleep"))
		pause();
	fflush(stdout);
	return 0;
}
