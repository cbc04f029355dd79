// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Contents of files, read and written by one pattern, timed by the one who does it. Compiled by
 * bench/data when it runs; not part of sshfs.
 *
 *	flow read PATTERN SIZE COUNT FILE...	pieces of SIZE bytes, COUNT of them (0: to the end); each
 *						file by a thread of its own, all at once
 *	flow write FILE BYTES			what only its offset decides, in pieces; then fsync, close
 *	flow files < NAMES			open, read, close of each, one after the other
 *	flow input < BYTES			standard input, to its end
 *
 * PATTERN: forward; backward, from the end; strided, one piece of four; random, the same ones each time.
 *
 * Prints one JSON object: seconds, bytes, and a sum of all pieces with their places. It is the same in
 * any order, and a piece elsewhere has another. It costs a tenth of what SHA-256 would, since what
 * computes it is in the figures. Whatever does not end as it should is told on stderr, exit code 1.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 20, FILES = 64 };

struct flow {
	uint64_t bytes, sum;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void *room(size_t size)
{
	void *start = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);

	if (!start)
		err(1, "aligned_alloc");
	return start;
}

static void tell(const struct flow *flow, double seconds)
{
	printf("{\"seconds\": %.9f, \"bytes\": %ju, \"sum\": \"%016jx\"}\n", seconds,
	       (uintmax_t)flow->bytes, (uintmax_t)flow->sum);
}

/* ---- contents and their sum ----------------------------------------------------------------- */

static uint64_t mix(uint64_t value)
{
	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

/* Neither compresses nor repeats. */
static void fill(uint64_t *words, size_t size, uint64_t offset)
{
	for (size_t i = 0; i < size / 8; i++)
		words[i] = mix((offset / 8 + i + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

static void add(struct flow *flow, const char *data, size_t size, uint64_t offset)
{
	uint64_t value = mix(offset + 1), word;
	size_t i;

	for (i = 0; i + 8 <= size; i += 8) {
		memcpy(&word, data + i, 8);
		value = (value ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		value ^= value >> 32;
	}
	for (; i < size; i++)
		value = (value ^ (unsigned char)data[i]) * 1099511628211u;
	flow->bytes += size;
	flow->sum += mix(value ^ size);
}

/* As `flow read` of one file has it, which tells several files apart by their numbers. */
static uint64_t of_one_file(const struct flow *flow)
{
	return mix(flow->sum);
}

/* All of a piece, or less at the end of the file only. */
static size_t read_piece(int fd, char *data, size_t size, uint64_t offset, const char *path)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = pread(fd, data + done, size - done, offset + done);

		if (got < 0)
			err(1, "%s: reading at %ju", path, (uintmax_t)(offset + done));
		if (got == 0)
			break;
		done += got;
	}
	return done;
}

/* ---- patterns ------------------------------------------------------------------------------- */

/* Where the piece of this number is, among `pieces` of the file. */
static uint64_t forward(uint64_t number, uint64_t pieces)
{
	(void)pieces;
	return number;
}

static uint64_t backward(uint64_t number, uint64_t pieces)
{
	return pieces - 1 - number;
}

static uint64_t strided(uint64_t number, uint64_t pieces)
{
	(void)pieces;
	return 4 * number;
}

static uint64_t random_one(uint64_t number, uint64_t pieces)
{
	return mix(number * UINT64_C(0x9e3779b97f4a7c15) + 1) % pieces;
}

static const struct pattern {
	const char *name;
	uint64_t (*place)(uint64_t number, uint64_t pieces);
	int step; /* pieces of the file for one that is read */
} patterns[] = {
	{"forward", forward, 1},
	{"backward", backward, 1},
	{"strided", strided, 4},
	{"random", random_one, 1},
};

struct reader {
	pthread_t thread;
	const struct pattern *pattern;
	size_t size;
	uint64_t count;
	const char *path;
	struct flow flow;
};

static void *read_file(void *context)
{
	struct reader *it = context;
	char *data = room(it->size);
	int fd = open(it->path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		err(1, "%s", it->path);
	uint64_t pieces = st.st_size / it->size;
	uint64_t count = it->count ?: pieces / it->pattern->step;

	if (count > pieces / it->pattern->step)
		errx(1, "%s has %ju pieces", it->path, (uintmax_t)pieces);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t offset = it->pattern->place(i, pieces) * it->size;

		add(&it->flow, data, read_piece(fd, data, it->size, offset, it->path), offset);
	}
	close(fd);
	free(data);
	return NULL;
}

static void read_files(const struct pattern *pattern, size_t size, uint64_t count, char **paths,
                       int files)
{
	struct reader readers[FILES];
	struct flow all = {0};
	double start = now();

	for (int i = 0; i < files; i++) {
		readers[i] = (struct reader){
			.pattern = pattern, .size = size, .count = count, .path = paths[i]};
		errno = pthread_create(&readers[i].thread, NULL, read_file, &readers[i]);
		if (errno)
			err(1, "pthread_create");
	}
	for (int i = 0; i < files; i++) {
		pthread_join(readers[i].thread, NULL);
		all.bytes += readers[i].flow.bytes;
		all.sum += mix(readers[i].flow.sum + i);
	}
	tell(&all, now() - start);
}

/* ---- the others ----------------------------------------------------------------------------- */

static void write_all(int fd, const char *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t got = write(fd, data + done, size - done);

		if (got < 0)
			err(1, "writing");
		done += got;
	}
}

static void write_file(const char *path, uint64_t bytes)
{
	struct flow flow = {0};
	double start = now();
	char *data = room(PIECE);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		err(1, "%s", path);
	for (uint64_t offset = 0; offset < bytes; offset += PIECE) {
		fill((uint64_t *)data, PIECE, offset);
		add(&flow, data, PIECE, offset);
		write_all(fd, data, PIECE);
	}
	if (fsync(fd) < 0 || close(fd) < 0)
		err(1, "%s", path);
	flow.sum = of_one_file(&flow);
	tell(&flow, now() - start);
	free(data);
}

static void read_small(const char *path, char *data, uint64_t number, struct flow *flow)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(1, "%s", path);
	/* As cat does: the second read(2) tells that it is the end. */
	add(flow, data, read_piece(fd, data, PIECE, 0, path), number);
	close(fd);
}

static void read_named(void)
{
	struct flow flow = {0};
	char *data = room(PIECE), path[4096];
	double start = now();

	for (uint64_t number = 0; fgets(path, sizeof(path), stdin); number++) {
		path[strcspn(path, "\n")] = 0;
		read_small(path, data, number, &flow);
	}
	tell(&flow, now() - start);
	free(data);
}

static size_t read_input_piece(char *data)
{
	size_t done = 0;

	while (done < PIECE) {
		ssize_t got = read(STDIN_FILENO, data + done, PIECE - done);

		if (got < 0)
			err(1, "reading");
		if (got == 0)
			break;
		done += got;
	}
	return done;
}

static void read_input(void)
{
	struct flow flow = {0};
	char *data = room(PIECE);
	double start = now();

	for (size_t got; (got = read_input_piece(data)) > 0;)
		add(&flow, data, got, flow.bytes);
	flow.sum = of_one_file(&flow);
	tell(&flow, now() - start);
	free(data);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	size_t size = argc > 5 ? strtoull(argv[3], NULL, 10) : 0;

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		if (strcmp(what, "read") == 0 && size > 0 && argc - 5 <= FILES &&
		    strcmp(argv[2], patterns[i].name) == 0) {
			read_files(&patterns[i], size, strtoull(argv[4], NULL, 10), argv + 5,
			           argc - 5);
			return 0;
		}
	}
	if (strcmp(what, "write") == 0 && argc == 4)
		write_file(argv[2], strtoull(argv[3], NULL, 10));
	else if (strcmp(what, "files") == 0 && argc == 2)
		read_named();
	else if (strcmp(what, "input") == 0 && argc == 2)
		read_input();
	else
		errx(2, "usage: see the top of flow.c");
	return 0;
}
