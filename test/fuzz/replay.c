// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The driver of the fuzz targets in the normal run: gives each file of a corpus folder to the target, and
 * every beginning of it. (libFuzzer is the driver with -Dfuzz=true.)
 */
#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly that size, so that a sanitizer sees the first byte read beyond it. */
static void feed(const char *bytes, size_t size)
{
	g_autofree uint8_t *copy = g_memdup2(bytes, size);

	LLVMFuzzerTestOneInput(copy, size);
}

static void feed_file(const char *path)
{
	g_autofree char *bytes = NULL;
	size_t size = 0;

	if (!g_file_get_contents(path, &bytes, &size, NULL)) {
		fprintf(stderr, "cannot read %s\n", path);
		exit(EXIT_FAILURE);
	}
	for (size_t part = 0; part <= size; part++)
		feed(bytes, part);
}

int main(int argc, char **argv)
{
	GDir *folder = argc == 2 ? g_dir_open(argv[1], 0, NULL) : NULL;
	unsigned int count = 0;
	const char *name;

	if (!folder) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
		return EXIT_FAILURE;
	}
	for (; (name = g_dir_read_name(folder)); count++) {
		g_autofree char *path = g_build_filename(argv[1], name, NULL);

		feed_file(path);
	}
	g_dir_close(folder);
	printf("%u inputs replayed\n", count);
	return count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
