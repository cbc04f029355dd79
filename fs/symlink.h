/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules for symlink targets: pure functions on strings.
 */
#ifndef FS_SYMLINK_H
#define FS_SYMLINK_H

#include <stdbool.h>

/*
 * contain_symlinks: true when the target, read from any folder of the mount, stays below it for sure:
 * it is not absolute and has no ".." component.
 */
bool symlink_is_contained(const char *target);

/*
 * transform_symlinks: an absolute target at or below `base_path` is written relative to the folder of
 * the link at `link_path` (both paths on the server, below base_path). Lexical: the server is not asked
 * what is behind the names. Returns the new target for the caller to free, or NULL: stays as it is
 * (relative, outside of base_path, or base_path is not absolute).
 */
char *symlink_transform(const char *base_path, const char *link_path, const char *target);

#endif
