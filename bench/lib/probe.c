// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One kind of system call many times, timed by the one who makes them: what an interpreter would add is
 * not in the figures. Compiled by bench/metadata when it runs; not part of sshfs.
 *
 *	probe create|missing|rename|unlink|mkdir FOLDER COUNT	COUNT times, each on another name
 *	probe hot FOLDER COUNT SECONDS				stat of COUNT files, over and over
 *	probe list FOLDER					all names of a folder, without stat
 *
 * Prints one JSON object. Any call that does not end as it should is told on stderr, exit code 1.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void name(char *buf, size_t size, const char *kind, int number)
{
	snprintf(buf, size, "%s-%06d", kind, number);
}

/* ---- each on another name ------------------------------------------------------------------- */

static int create(int number)
{
	static const char text[] = "some text";
	char path[64];
	int fd;

	name(path, sizeof(path), "new", number);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, sizeof(text)) != sizeof(text))
		return -1;
	return close(fd);
}

static int missing(int number)
{
	char path[64];
	struct stat st;

	name(path, sizeof(path), "missing", number);
	if (stat(path, &st) == 0)
		errx(1, "%s is there", path);
	return errno == ENOENT ? 0 : -1;
}

static int change_name(int number)
{
	char from[64], to[64];

	name(from, sizeof(from), "new", number);
	name(to, sizeof(to), "renamed", number);
	return rename(from, to);
}

static int remove_file(int number)
{
	char path[64];

	name(path, sizeof(path), "renamed", number);
	return unlink(path);
}

static int make_folder(int number)
{
	char path[64];

	name(path, sizeof(path), "folder", number);
	return mkdir(path, 0755);
}

static const struct {
	const char *name;
	int (*call)(int number);
} calls[] = {
	{"create", create},      {"missing", missing},   {"rename", change_name},
	{"unlink", remove_file}, {"mkdir", make_folder},
};

static void each(const char *what, int (*call)(int number), int count)
{
	double start = now();

	for (int i = 0; i < count; i++)
		if (call(i) < 0)
			err(1, "%s number %d", what, i);
	printf("{\"seconds\": %.9f, \"count\": %d}\n", now() - start, count);
}

/* ---- the same again and again --------------------------------------------------------------- */

static uint64_t stat_all(char (*paths)[64], int count)
{
	uint64_t bytes = 0;
	struct stat st;

	for (int i = 0; i < count; i++) {
		if (stat(paths[i], &st) < 0)
			err(1, "%s", paths[i]);
		bytes += st.st_size;
	}
	return bytes;
}

static void hot(int count, double seconds)
{
	char(*paths)[64] = calloc(count, sizeof(*paths));
	uint64_t bytes, rounds = 0;
	double start, spent;

	if (!paths)
		err(1, "calloc");
	for (int i = 0; i < count; i++)
		name(paths[i], sizeof(paths[i]), "file", i);
	bytes = stat_all(paths, count);
	start = now();
	do {
		if (stat_all(paths, count) != bytes)
			errx(1, "the sizes have changed");
		rounds++;
		spent = now() - start;
	} while (spent < seconds);
	printf("{\"seconds\": %.9f, \"rate\": %.1f, \"bytes\": %ju}\n", spent,
	       rounds * count / spent, (uintmax_t)bytes);
	free(paths);
}

/* ---- a listing ------------------------------------------------------------------------------ */

/* FNV-1a: names of different order, but the same names, have the same sum of these. */
static uint64_t hash(const char *text)
{
	uint64_t value = 14695981039346656037u;

	for (; *text; text++)
		value = (value ^ (unsigned char)*text) * 1099511628211u;
	return value;
}

static void list(void)
{
	double start = now(), first = 0;
	uint64_t count = 0, sum = 0;
	struct dirent *entry;
	DIR *folder = opendir(".");

	if (!folder)
		err(1, "opendir");
	for (errno = 0; (entry = readdir(folder)); errno = 0) {
		if (count++ == 0)
			first = now() - start;
		sum += hash(entry->d_name);
	}
	if (errno)
		err(1, "readdir");
	printf("{\"first\": %.9f, \"seconds\": %.9f, \"count\": %ju, \"names\": \"%016jx\"}\n",
	       first, now() - start, (uintmax_t)count, (uintmax_t)sum);
	closedir(folder);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	if (argc > 2 && chdir(argv[2]) < 0)
		err(1, "%s", argv[2]);
	if (argc == 3 && strcmp(what, "list") == 0) {
		list();
		return 0;
	}
	if (argc == 5 && strcmp(what, "hot") == 0) {
		hot(atoi(argv[3]), atof(argv[4]));
		return 0;
	}
	for (size_t i = 0; argc == 4 && i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(what, calls[i].name) == 0) {
			each(what, calls[i].call, atoi(argv[3]));
			return 0;
		}
	}
	errx(2, "usage: see the top of probe.c");
}
