/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A whole folder at once, for tests: 0, or why it could not be listed. */
#ifndef TEST_LIST_H
#define TEST_LIST_H

#include "client.h"

static inline int list_folder(struct sftp_client *client, const char *path, sftp_entry_fn entry,
                              void *data)
{
	struct sftp_dir *dir;
	int result = sftp_opendir(client, path, &dir);

	if (result)
		return result;
	do
		result = sftp_readdir(dir, entry, data);
	while (result > 0);
	sftp_closedir(dir);
	return result;
}

#endif
