/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A private folder for the sockets of one process, that is gone with it.
 *
 * It is made below $XDG_RUNTIME_DIR if that is fit for it, else below /tmp, with mode 0700. sockdir_free()
 * removes it; if the process is killed, the next one of the same user that makes one removes it.
 */
#ifndef TRANSPORT_SOCKDIR_H
#define TRANSPORT_SOCKDIR_H

struct sockdir;

/* 0 and *ret_dir, or -errno. */
int sockdir_new(struct sockdir **ret_dir);
/* Removes the sockets in it and the folder. Accepts NULL. */
void sockdir_free(struct sockdir *dir);

/*
 * The longest path that sockdir_new_path() gives, in bytes. A socket's path ends before 108, and ssh binds it under
 * a temporary name first, 17 longer.
 */
#define SOCKDIR_PATH_MAX 90

/*
 * A path for a socket, not used before, of letters, digits and "/._-" only; the previous one's socket is removed.
 * One thread at a time. The caller frees it.
 */
char *sockdir_new_path(struct sockdir *dir);

#endif
