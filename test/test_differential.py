# SPDX-License-Identifier: GPL-2.0-or-later
"""The same random operations on the mount and on a local folder: same results, errno, stat, contents.

Not compared, because SFTP cannot tell it: inode numbers and link counts, access and change times (but where
they were just set), blocks, the size of folders; a hard link and its other names (SFTP has no inodes: each
name is a file of its own, whose size the kernel may remember for a second; test_behaviour.py has them):
links made here lose their first name before the file is used; modification times only where they were just
set (seconds, not less); holes in files, of which the server tells nothing (all is data, as lseek(2) allows).
$SSHFS_TEST_SEED repeats a run; $SSHFS_TEST_OPERATIONS makes it longer.
"""

import ctypes
import errno
import os
import random
import stat

import pytest

pytestmark = [pytest.mark.needs("fuse", "server"), pytest.mark.ours, pytest.mark.core]

OPERATIONS = int(os.environ.get("SSHFS_TEST_OPERATIONS", 2500))
NAMES = ["a", "b", "c", "d", "e.txt", "é", "with space", "x" * 255]
FOLDERS = ["", "p", "q", "p/r"]
SIZES = [0, 1, 100, 4096, 5000, 70000, 300000]
FLAGS = [os.O_RDONLY, os.O_WRONLY, os.O_RDWR]
EXTRA = [0, 0, 0, os.O_TRUNC, os.O_APPEND, os.O_CREAT, os.O_CREAT | os.O_EXCL,
         os.O_CREAT | os.O_TRUNC, os.O_DIRECTORY, os.O_NOFOLLOW]
TARGETS = ["a", "b", "p/a", "missing", "r", "c"]


UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
AT_FDCWD, AT_SYMLINK_NOFOLLOW = -100, 0x100
LIBC = ctypes.CDLL(None, use_errno=True)


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


def utimens(path, atime, mtime):
    """utimensat(2), whose UTIME_OMIT and UTIME_NOW os.utime() does not have; times are pairs."""
    times = (Timespec * 2)(Timespec(*atime), Timespec(*mtime))
    if LIBC.utimensat(AT_FDCWD, os.fsencode(path), times, AT_SYMLINK_NOFOLLOW):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class World:
    """One of the two sides: a root folder and the descriptors that are open in it."""

    def __init__(self, root):
        self.root = str(root)
        self.files = {}

    def at(self, name):
        return f"{self.root}/{name}" if name else self.root

    def close_all(self):
        for descriptor in self.files.values():
            os.close(descriptor)
        self.files.clear()


def described(info, with_mtime=False):
    size = info.st_size if not stat.S_ISDIR(info.st_mode) else None
    return (oct(info.st_mode), info.st_uid, info.st_gid, size,
            int(info.st_mtime) if with_mtime else None)


# ---- operations: (world, *arguments) -> something comparable ---------------------------------------

def op_create(world, key, path, flags, mode):
    descriptor = os.open(world.at(path), flags, mode)
    info = os.fstat(descriptor)
    if stat.S_ISDIR(info.st_mode):
        os.close(descriptor)  # a folder that is removed cannot be reached by SFTP any more
        return "folder", described(info)
    world.files[key] = descriptor
    return "file", described(info)


def op_close(world, key):
    os.close(world.files.pop(key))


def op_pwrite(world, key, data, offset):
    return os.pwrite(world.files[key], data, offset), os.fstat(world.files[key]).st_size


def op_pread(world, key, size, offset):
    return os.pread(world.files[key], size, offset)


def op_ftruncate(world, key, size):
    os.ftruncate(world.files[key], size)
    return described(os.fstat(world.files[key]))


def op_fsync(world, key):
    os.fsync(world.files[key])


def op_fstat(world, key):
    return described(os.fstat(world.files[key]))


def op_fchmod(world, key, mode):
    os.fchmod(world.files[key], mode)
    return described(os.fstat(world.files[key]))


def op_seek(world, key, offset, whence):
    return os.lseek(world.files[key], offset, whence)


def op_seek_data(world, key, offset):
    """Whatever is a hole: each is found within the file, or none behind its end."""
    size = os.fstat(world.files[key]).st_size
    hole = os.lseek(world.files[key], offset, os.SEEK_HOLE)
    try:
        data = os.lseek(world.files[key], offset, os.SEEK_DATA)
    except OSError as error:
        assert error.errno == errno.ENXIO
        data = offset  # a hole to the end
    return offset <= data < size, offset <= hole <= size


def op_fdatasync(world, key):
    os.fdatasync(world.files[key])


def op_futime(world, key, mtime):
    os.utime(world.files[key], (1, mtime))
    return described(os.fstat(world.files[key]), with_mtime=True)


def op_fchown(world, key, uid, gid):
    os.fchown(world.files[key], uid, gid)
    return described(os.fstat(world.files[key]))


def op_fallocate(world, key, offset, size):
    os.posix_fallocate(world.files[key], offset, size)
    return os.fstat(world.files[key]).st_size


def op_copy_range(world, key, other, size, offset, other_offset):
    copied = os.copy_file_range(world.files[key], world.files[other], size, offset, other_offset)
    return copied, os.fstat(world.files[other]).st_size


def op_stat(world, path):
    return described(os.lstat(world.at(path)))


def op_stat_followed(world, path):
    return described(os.stat(world.at(path)))


def op_read(world, path):
    with open(world.at(path), "rb") as file:
        return file.read()


def op_write(world, path, data):
    with open(world.at(path), "wb") as file:
        file.write(data)
    return described(os.stat(world.at(path)))


def op_append(world, path, data):
    with open(world.at(path), "ab") as file:
        file.write(data)
    return described(os.stat(world.at(path)))


def op_truncate(world, path, size):
    os.truncate(world.at(path), size)
    return described(os.stat(world.at(path)))


def op_mkdir(world, path, mode):
    os.mkdir(world.at(path), mode)
    return described(os.lstat(world.at(path)))


def op_rmdir(world, path):
    os.rmdir(world.at(path))


def op_unlink(world, path):
    os.unlink(world.at(path))


def op_rename(world, path, target):
    os.rename(world.at(path), world.at(target))


def op_symlink(world, target, path):
    os.symlink(target, world.at(path))
    return os.readlink(world.at(path)), described(os.lstat(world.at(path)))


def op_readlink(world, path):
    return os.readlink(world.at(path))


def op_chmod(world, path, mode):
    os.chmod(world.at(path), mode)
    return described(os.stat(world.at(path)))


def op_chown(world, path, uid, gid):
    os.lchown(world.at(path), uid, gid)
    return described(os.lstat(world.at(path)))


def op_utime(world, path, mtime):
    os.utime(world.at(path), (mtime, mtime), follow_symlinks=False)
    return described(os.lstat(world.at(path)), with_mtime=True)


def op_utime_omitted(world, path, mtime, other):
    """Each time on its own, then none, then the clock's."""
    utimens(world.at(path), (5, 0), (mtime, 0))
    utimens(world.at(path), (6, 0), (0, UTIME_OMIT))
    kept = os.lstat(world.at(path))
    utimens(world.at(path), (0, UTIME_OMIT), (other, 0))
    changed = os.lstat(world.at(path))
    utimens(world.at(path), (0, UTIME_OMIT), (0, UTIME_OMIT))
    untouched = os.lstat(world.at(path))
    utimens(world.at(path), (0, UTIME_OMIT), (0, UTIME_NOW))
    now = os.lstat(world.at(path))
    return [(int(info.st_atime), int(info.st_mtime)) for info in (kept, changed, untouched)] + [
        int(now.st_atime), now.st_mtime > 1_700_000_000]


def op_link(world, path, new, data):
    """A new file's second name, in place of its first."""
    with open(world.at(path), "xb") as file:
        file.write(data)
    os.link(world.at(path), world.at(new), follow_symlinks=False)
    os.unlink(world.at(path))
    return described(os.lstat(world.at(new)))


def op_list_twice(world, path):
    """With rewinddir(3) in between."""
    descriptor = os.open(world.at(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        first = sorted(os.listdir(descriptor))
        return first, sorted(os.listdir(descriptor)) == first
    finally:
        os.close(descriptor)


def op_list(world, path):
    return sorted((entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink())
                  for entry in os.scandir(world.at(path)))


def op_access(world, path, mode):
    return os.access(world.at(path), mode)


# ---- choosing ---------------------------------------------------------------------------------------

class Chooser:
    """Makes up operations; knows only which descriptors exist."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.keys = []
        self.next_key = 0

    def path(self):
        folder = self.random.choice(FOLDERS)
        name = self.random.choice(NAMES)
        return f"{folder}/{name}" if folder else name

    def folder(self):
        return self.random.choice(FOLDERS)

    def data(self):
        return self.random.randbytes(self.random.choice(SIZES))

    def offset(self):
        return self.random.choice([0, 0, 1, 4096, 10000, 131072, 400000])

    def mode(self):
        return self.random.choice([0o600, 0o644, 0o755, 0o400, 0o777, 0o4755, 0o2711])

    def time(self):
        return self.random.choice([0, 1, 1000000000, 4000000000])

    def on_descriptor(self):
        key = self.random.choice(self.keys)
        return self.random.choice([
            lambda: (op_pwrite, key, self.data(), self.offset()),
            lambda: (op_pwrite, key, self.data(), self.offset()),
            lambda: (op_pread, key, self.random.choice(SIZES), self.offset()),
            lambda: (op_pread, key, self.random.choice(SIZES), self.offset()),
            lambda: (op_ftruncate, key, self.random.choice(SIZES)),
            lambda: (op_fsync, key),
            lambda: (op_fstat, key),
            lambda: (op_fchmod, key, self.mode()),
            lambda: (op_seek, key, self.offset(), os.SEEK_END),
            lambda: (op_fallocate, key, self.offset(), self.random.choice(SIZES[1:])),
            lambda: (op_copy_range, key, self.random.choice(self.keys), self.random.choice(SIZES),
                     self.offset(), self.offset()),
            lambda: (op_seek_data, key, self.offset()),
            lambda: (op_fdatasync, key),
            lambda: (op_futime, key, self.time()),
            lambda: (op_fchown, key, self.random.choice([-1, 0, 12]), self.random.choice([-1, 0, 34])),
            lambda: (op_close, key),
        ])()

    def on_path(self):
        path = self.path()
        self.next_key += 1
        flags = self.random.choice(FLAGS) | self.random.choice(EXTRA)
        return self.random.choice([
            lambda: (op_create, self.next_key, path, flags, self.mode()),
            lambda: (op_create, self.next_key, path, flags | os.O_CREAT, self.mode()),
            lambda: (op_stat, path),
            lambda: (op_stat_followed, path),
            lambda: (op_read, path),
            lambda: (op_write, path, self.data()),
            lambda: (op_append, path, self.data()),
            lambda: (op_truncate, path, self.random.choice(SIZES)),
            lambda: (op_mkdir, self.random.choice(FOLDERS[1:] + [path]), self.mode() | 0o700),
            lambda: (op_mkdir, self.random.choice(FOLDERS[1:]), 0o755),
            lambda: (op_rmdir, self.random.choice(FOLDERS[1:] + [path])),
            lambda: (op_unlink, path),
            lambda: (op_rename, path, self.path()),
            lambda: (op_rename, path, self.path()),
            lambda: (op_rename, self.random.choice(FOLDERS[1:]), self.random.choice(FOLDERS[1:])),
            lambda: (op_symlink, self.random.choice(TARGETS), path),
            lambda: (op_readlink, path),
            lambda: (op_chmod, path, self.mode() | 0o700),
            lambda: (op_chown, path, self.random.choice([-1, 0, 12]),
                     self.random.choice([-1, 0, 34])),
            lambda: (op_utime, path, self.time()),
            lambda: (op_utime_omitted, path, self.time(), self.time()),
            lambda: (op_link, path, self.path(), self.data()),
            lambda: (op_list_twice, self.folder()),
            lambda: (op_list, self.folder()),
            lambda: (op_access, path, self.random.choice([os.F_OK, os.X_OK])),
        ])()

    def operation(self):
        if self.keys and self.random.random() < 0.45:
            return self.on_descriptor()
        return self.on_path()

    def note(self, operation, result):
        if operation[0] is op_create and result[0] == "done" and result[1][0] == "file":
            self.keys.append(operation[1])
        if operation[0] is op_close:
            self.keys.remove(operation[1])


def perform(world, operation):
    function, *arguments = operation
    try:
        return "done", function(world, *arguments)
    except OSError as error:
        return "failed", os.strerror(error.errno)


def shown(operation):
    return " ".join([operation[0].__name__] + [
        f"<{len(word)} bytes>" if isinstance(word, bytes) else str(word)[:40]
        for word in operation[1:]])


def snapshot(root):
    """All that is below a folder: {path: (described, contents)}."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    contents = file.read()
            else:
                contents = os.readlink(path) if stat.S_ISLNK(info.st_mode) else None
            found[os.path.relpath(path, root)] = (described(info), contents)
    return found


def compare(mounted, local, seed, count):
    chooser = Chooser(seed)
    history = []
    for _ in range(count):
        operation = chooser.operation()
        expected = perform(local, operation)
        got = perform(mounted, operation)
        history.append(f"{shown(operation)} -> {str(expected)[:80]}")
        if got != expected:
            tail = "\n".join(history[-25:])
            pytest.fail(f"seed {seed}, after {len(history)} operations:\n{tail}\n"
                        f"on the mount instead: {str(got)[:300]}")
        chooser.note(operation, expected)


@pytest.mark.deadline(240)
@pytest.mark.needs("root")
@pytest.mark.parametrize("options", [(), ("dir_cache=no",), ("sshfs_sync",), ("direct_io",),
                                     ("max_conns=3",), ("kernel_cache",)],
                         ids=lambda options: options[0] if options else "default")
def test_as_a_local_folder(mount, server_dir, tmp_path, options):
    seed = int(os.environ.get("SSHFS_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print("seed", seed)
    words = [word for option in ("no_contain_symlinks", *options) for word in ("-o", option)]
    m = mount(*words, over="fake")
    folder = tmp_path / "local"
    folder.mkdir()
    mounted, local = World(m.path), World(folder)
    try:
        compare(mounted, local, seed, OPERATIONS)
    finally:
        mounted.close_all()
        local.close_all()
    assert snapshot(m.path) == snapshot(folder), f"seed {seed}"
    assert snapshot(server_dir) == snapshot(folder), f"seed {seed}"
