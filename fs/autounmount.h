/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -o auto_unmount: a small process that outlives ours, however ours ends, and unmounts what it left.
 */
#ifndef FS_AUTOUNMOUNT_H
#define FS_AUTOUNMOUNT_H

struct autounmount;

/* To be called once `mountpoint` is mounted. Returns 0 and *ret_guard, or -errno. */
int autounmount_start(const char *mountpoint, struct autounmount **ret_guard);
/* To be called after our own unmount: the process has nothing to do and ends. Accepts NULL. */
void autounmount_free(struct autounmount *guard);

#endif
