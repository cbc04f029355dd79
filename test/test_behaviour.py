# SPDX-License-Identifier: GPL-2.0-or-later
"""What a file system does: names, attributes, links, times, sizes, listings (compat.md, section 2)."""

import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import stat
import subprocess
import threading

import pytest

from lib import processes, sftp_proxy

pytestmark = [pytest.mark.core, pytest.mark.needs("fuse", "server")]


def fails_with(number, function, *arguments, **more):
    with pytest.raises(OSError) as caught:
        function(*arguments, **more)
    assert caught.value.errno == number, caught.value


def names(folder):
    return sorted(os.listdir(folder))


# ---- reading and writing -------------------------------------------------------------------------

SIZES = [0, 1, 4095, 4096, 4097, 32768, 65537, 262144, 1 << 20, (4 << 20) + 3]


@pytest.mark.parametrize("size", SIZES)
def test_sizes(place, size):
    content = os.urandom(size)
    (place.here / "file").write_bytes(content)
    assert (place.there / "file").read_bytes() == content
    assert (place.here / "file").read_bytes() == content
    assert (place.here / "file").stat().st_size == size


def test_reading_at_any_place(place):
    content = os.urandom(1_000_000)
    (place.there / "file").write_bytes(content)
    fd = os.open(place.here / "file", os.O_RDONLY)
    try:
        for offset, size in [(999_990, 100), (0, 10), (500_000, 200_000), (131_071, 2),
                             (1_000_000, 1), (5_000_000, 10)]:
            assert os.pread(fd, size, offset) == content[offset:offset + size]
    finally:
        os.close(fd)


def test_writing_at_any_place(place):
    model = bytearray(300_000)
    with open(place.here / "file", "w+b", buffering=0) as file:
        for offset, size in [(100_000, 50_000), (0, 10), (299_999, 1), (149_990, 20), (7, 100_000)]:
            piece = os.urandom(size)
            os.pwrite(file.fileno(), piece, offset)
            model[offset:offset + size] = piece
            assert os.pread(file.fileno(), size, offset) == piece
    assert (place.there / "file").read_bytes() == bytes(model)


def test_a_hole_reads_zeros(place):
    with open(place.here / "file", "wb", buffering=0) as file:
        os.pwrite(file.fileno(), b"end", 100_000)
    assert (place.here / "file").read_bytes() == bytes(100_000) + b"end"


def test_appending(place):
    (place.there / "file").write_text("one\n")
    with open(place.here / "file", "a") as file:
        file.write("two\n")
    with open(place.here / "file", "ab", buffering=0) as first, \
         open(place.here / "file", "ab", buffering=0) as second:
        first.write(b"three\n")
        os.fsync(first.fileno())
        second.write(b"four\n")
    assert (place.there / "file").read_text() == "one\ntwo\nthree\nfour\n"


def test_one_writer_is_seen_by_another_descriptor(place):
    with open(place.here / "file", "wb", buffering=0) as writer:
        writer.write(b"first")
        with open(place.here / "file", "rb", buffering=0) as reader:
            assert reader.read() == b"first"
            writer.write(b" second")
            assert reader.read() == b" second"


def test_mmap(place):
    content = os.urandom(200_000)
    (place.there / "file").write_bytes(content)
    with open(place.here / "file", "rb") as file, \
         mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[:] == content
    with open(place.here / "file", "r+b") as file:
        with mmap.mmap(file.fileno(), 0) as mapped:
            mapped[100_000:100_003] = b"abc"
            mapped.flush()
        os.fsync(file.fileno())
    assert (place.there / "file").read_bytes() == content[:100_000] + b"abc" + content[100_003:]


@pytest.mark.ours
@pytest.mark.parametrize("beside", [None, "r+b", "a+b"])
def test_mmap_by_a_descriptor_that_appends(place, beside):
    """Mapped pages keep their place: upstream appends them. `beside` is another that is open."""
    (place.there / "file").write_bytes(b"a" * 8192)
    with open(place.here / "file", "a+b", buffering=0) as first, \
         open(place.here / "file", beside or "rb", buffering=0):
        first.write(b"end")
        with mmap.mmap(first.fileno(), 8192) as mapped:
            mapped[10:13] = b"XYZ"
            mapped.flush()
    assert (place.there / "file").read_bytes() == b"a" * 10 + b"XYZ" + b"a" * (8192 - 13) + b"end"


@pytest.mark.ours
def test_mmap_by_a_descriptor_that_appends_to_a_file_without_a_name(place):
    """There is no path to open it by again: an error, but nothing at the wrong place."""
    (place.there / "file").write_bytes(b"a" * 8192)
    os.link(place.there / "file", place.there / "kept")
    with open(place.here / "file", "a+b", buffering=0) as file:
        os.unlink(place.here / "file")
        with mmap.mmap(file.fileno(), 8192) as mapped:
            mapped[10:13] = b"XYZ"
            with pytest.raises(OSError):
                mapped.flush()
    assert (place.there / "kept").read_bytes() == b"a" * 8192


@pytest.mark.ours
@pytest.mark.parametrize("status", [3, 4, 5, 8])
def test_appending_where_the_server_knows_no_append(mount, proxy, server_dir, status):
    """#117: git cannot fetch. Also for a name that is made by it."""
    (server_dir / "file").write_text("one\n")
    middle = proxy(refuses_append=status)
    m = mount(over=middle)
    for name in ("file", "new"):
        for line in ("two\n", "three\n"):
            with open(m.path / name, "a") as file:
                file.write(line)
    assert (server_dir / "file").read_text() == "one\ntwo\nthree\n"
    assert (server_dir / "new").read_text() == "two\nthree\n"
    assert any(one["flags"] & sftp_proxy.APPEND for one in middle.requests("OPEN"))


def test_running_a_program_from_the_mount(place):
    (place.here / "script").write_text("#!/bin/sh\necho it runs\n")
    (place.here / "script").chmod(0o755)
    assert subprocess.run([place.here / "script"], stdout=subprocess.PIPE, check=True,
                          stdin=subprocess.DEVNULL).stdout == b"it runs\n"


@pytest.mark.parametrize("flags, reads, writes", [
    (os.O_RDONLY, True, False), (os.O_WRONLY, False, True), (os.O_RDWR, True, True)])
def test_what_a_descriptor_may(place, flags, reads, writes):
    (place.there / "file").write_text("x")
    fd = os.open(place.here / "file", flags)
    try:
        if reads:
            assert os.read(fd, 10) == b"x"
        else:
            fails_with(errno.EBADF, os.read, fd, 10)
        if not writes:
            fails_with(errno.EBADF, os.write, fd, b"y")
    finally:
        os.close(fd)


def test_opening(place):
    (place.there / "file").write_text("old")
    fails_with(errno.ENOENT, open, place.here / "missing", "rb")
    fails_with(errno.EEXIST, os.open, place.here / "file", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    fails_with(errno.EISDIR, open, place.here, "wb")
    fails_with(errno.ENOTDIR, open, place.here / "file" / "x", "rb")
    fd = os.open(place.here / "file", os.O_WRONLY | os.O_TRUNC)
    assert (place.there / "file").read_bytes() == b""
    os.close(fd)


def test_the_mode_of_a_new_file(place):
    os.close(os.open(place.here / "file", os.O_CREAT | os.O_WRONLY, 0o600))
    assert stat.S_IMODE((place.there / "file").stat().st_mode) == 0o600


def test_a_read_only_file_can_be_made_and_written(place):
    """git does: the mode given counts for those who come later."""
    fd = os.open(place.here / "file", os.O_CREAT | os.O_WRONLY, 0o444)
    os.write(fd, b"content")
    os.close(fd)
    assert (place.there / "file").read_text() == "content"
    assert stat.S_IMODE((place.here / "file").stat().st_mode) == 0o444


# ---- attributes ----------------------------------------------------------------------------------

def test_attributes_are_the_servers(place):
    (place.there / "file").write_bytes(bytes(12345))
    (place.there / "file").chmod(0o640)
    os.utime(place.there / "file", (1_000_000_000, 1_100_000_000))
    (place.there / "folder").mkdir(0o751)
    for name in ("file", "folder"):
        here, there = (place.here / name).lstat(), (place.there / name).lstat()
        for field in ("st_mode", "st_uid", "st_gid"):
            assert getattr(here, field) == getattr(there, field), (name, field)
        assert int(here.st_mtime) == int(there.st_mtime)
    here = (place.here / "file").stat()
    assert (here.st_size, here.st_atime, here.st_mtime) == (12345, 1_000_000_000, 1_100_000_000)


def test_blocks_are_estimated_from_the_size(place):
    (place.there / "file").write_bytes(bytes(10_000))
    found = (place.here / "file").stat()
    assert (found.st_blksize, found.st_blocks) == (4096, 24)


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o755, 0o777, 0o4755, 0o2755, 0o1777])
def test_chmod(place, mode):
    (place.there / "file").write_text("")
    os.chmod(place.here / "file", mode)
    assert stat.S_IMODE((place.there / "file").stat().st_mode) == mode
    assert stat.S_IMODE((place.here / "file").stat().st_mode) == mode


@pytest.mark.needs("root")
@pytest.mark.parametrize("uid, gid", [(1000, 1001), (1000, -1), (-1, 1001)])
def test_chown(place, uid, gid):
    (place.there / "file").write_text("")
    os.chown(place.here / "file", uid, gid)
    wanted = (0 if uid < 0 else uid, os.getgid() if gid < 0 else gid)
    for path in (place.there / "file", place.here / "file"):
        assert (path.stat().st_uid, path.stat().st_gid) == wanted


def test_an_inode_number_stays(place):
    (place.there / "file").write_text("")
    first = (place.here / "file").stat().st_ino
    with open(place.here / "file", "rb") as file:
        assert os.fstat(file.fileno()).st_ino == first
        os.rename(place.here / "file", place.here / "renamed")
        assert (place.here / "renamed").stat().st_ino == first


@pytest.mark.parametrize("mode, answer", [(os.F_OK, True), (os.R_OK, True), (os.X_OK, False)])
def test_access(place, mode, answer):
    (place.there / "file").write_text("")
    (place.there / "file").chmod(0o644)
    assert os.access(place.here / "file", mode) == answer
    (place.there / "program").write_text("")
    (place.there / "program").chmod(0o755)
    assert os.access(place.here / "program", os.X_OK)


# ---- times ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("times", [(1_000_000_000, 1_100_000_000), (1, 2), (2**31 + 5, 2**32 - 1)])
def test_utime(place, times):
    (place.there / "file").write_text("")
    os.utime(place.here / "file", times)
    for path in (place.there / "file", place.here / "file"):
        assert (path.stat().st_atime, path.stat().st_mtime) == times


def test_utime_now(place):
    (place.there / "file").write_text("")
    os.utime(place.there / "file", (1, 1))
    os.utime(place.here / "file")
    assert abs((place.there / "file").stat().st_mtime - os.stat(place.there).st_mtime) < 3600


# ---- truncate ------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 5, 10, 200_000])
@pytest.mark.parametrize("by_descriptor", [False, True])
def test_truncate(place, size, by_descriptor):
    (place.there / "file").write_text("0123456789")
    if by_descriptor:
        with open(place.here / "file", "r+b") as file:
            os.ftruncate(file.fileno(), size)
            assert os.fstat(file.fileno()).st_size == size
    else:
        os.truncate(place.here / "file", size)
    wanted = (b"0123456789" + bytes(size))[:size]
    assert (place.there / "file").read_bytes() == wanted
    assert (place.here / "file").read_bytes() == wanted


def test_truncate_after_unflushed_writes(place):
    with open(place.here / "file", "wb", buffering=0) as file:
        file.write(b"x" * 500_000)
        os.ftruncate(file.fileno(), 1000)
        file.seek(0, os.SEEK_END)
        file.write(b"y")
    assert (place.there / "file").read_bytes() == b"x" * 1000 + b"y"


# ---- folders and names ---------------------------------------------------------------------------

NAMES = ["a", " ", "with space", "tab\there", "new\nline", "quote'\"", "back\\slash", "-rf", "*?[x]",
         "ümläut", "日本語", "x" * 255, "...", ".hidden", "a:b", "%41", "~", "\x7f"]


@pytest.mark.parametrize("name", NAMES + [os.fsdecode(b"\xff\xfe invalid utf-8")])
def test_any_name(place, name):
    (place.here / name).write_text("content")
    assert names(place.there) == [name]
    assert names(place.here) == [name]
    assert (place.here / name).read_text() == "content"
    os.rename(place.here / name, place.here / "renamed")
    os.rename(place.here / "renamed", place.here / name)
    (place.here / name).unlink()
    assert names(place.there) == []


def test_a_name_that_is_too_long(place):
    with pytest.raises(OSError) as caught:
        (place.here / ("x" * 256)).write_text("")
    # The kernel refuses only beyond 1024, so the rest is the server's word.
    assert caught.value.errno in (errno.ENAMETOOLONG, errno.EBADMSG, errno.EPERM, errno.ENOENT)


def test_mkdir_and_rmdir(place):
    (place.here / "folder").mkdir(0o750)
    assert stat.S_IMODE((place.there / "folder").stat().st_mode) == 0o750
    fails_with(errno.EEXIST, os.mkdir, place.here / "folder")
    (place.there / "folder" / "file").write_text("")
    fails_with(errno.ENOTEMPTY, os.rmdir, place.here / "folder")
    (place.here / "folder" / "file").unlink()
    os.rmdir(place.here / "folder")
    assert names(place.there) == []
    fails_with(errno.ENOENT, os.rmdir, place.here / "folder")


def test_unlink_and_rmdir_of_the_wrong_kind(place):
    (place.there / "folder").mkdir()
    (place.there / "file").write_text("")
    fails_with(errno.EISDIR, os.unlink, place.here / "folder")
    fails_with(errno.ENOTDIR, os.rmdir, place.here / "file")
    fails_with(errno.ENOENT, os.unlink, place.here / "missing")


def test_a_deep_tree(place):
    deep = place.here
    for level in range(40):
        deep = deep / f"level{level}"
        deep.mkdir()
    (deep / "file").write_text("x")
    assert sum(len(files) for _, _, files in os.walk(place.there)) == 1
    subprocess.run(["rm", "-r", place.here / "level0"], check=True, stdin=subprocess.DEVNULL)
    assert names(place.there) == []


@pytest.mark.parametrize("count", [0, 1, 100, 3000])
def test_listings(place, count):
    wanted = sorted(f"name-{number}-{'x' * (number % 50)}" for number in range(count))
    for name in wanted:
        (place.there / name).write_text("")
    assert names(place.here) == wanted
    assert names(place.here) == wanted
    assert sorted(entry.name for entry in os.scandir(place.here)
                  if stat.S_ISREG(entry.stat().st_mode)) == wanted


def test_a_listing_has_both_dots_once(place):
    (place.there / "file").write_text("")
    said = subprocess.run(["ls", "-a", place.here], stdout=subprocess.PIPE, text=True, check=True)
    assert said.stdout.split() == [".", "..", "file"]


def test_kinds_in_a_listing(place):
    (place.there / "file").write_text("")
    (place.there / "folder").mkdir()
    (place.there / "link").symlink_to("file")
    os.mkfifo(place.there / "fifo")
    kinds = {entry.name: (entry.is_file(follow_symlinks=False), entry.is_dir(follow_symlinks=False),
                          entry.is_symlink()) for entry in os.scandir(place.here)}
    assert kinds == {"file": (True, False, False), "folder": (False, True, False),
                     "link": (False, False, True), "fifo": (False, False, False)}


def test_removing_a_whole_tree(place):
    for number in range(200):
        (place.there / "tree" / f"d{number % 10}").mkdir(parents=True, exist_ok=True)
        (place.there / "tree" / f"d{number % 10}" / f"f{number}").write_text("")
    subprocess.run(["rm", "-r", place.here / "tree"], check=True, stdin=subprocess.DEVNULL)
    assert names(place.there) == []


# ---- rename --------------------------------------------------------------------------------------

def test_rename(place):
    (place.there / "from").write_text("content")
    (place.there / "folder").mkdir()
    os.rename(place.here / "from", place.here / "folder" / "to")
    assert names(place.here) == ["folder"] and names(place.here / "folder") == ["to"]
    assert (place.here / "folder" / "to").read_text() == "content"
    fails_with(errno.ENOENT, os.rename, place.here / "from", place.here / "to")


def test_rename_replaces(place):
    (place.there / "from").write_text("new")
    (place.there / "to").write_text("old, longer")
    assert (place.here / "to").read_text() == "old, longer"
    os.rename(place.here / "from", place.here / "to")
    assert (place.here / "to").read_text() == "new"
    assert (place.here / "to").stat().st_size == 3
    assert names(place.there) == ["to"]


def test_rename_of_a_folder_moves_what_is_below(place):
    (place.here / "a" / "b").mkdir(parents=True)
    (place.here / "a" / "b" / "file").write_text("content")
    (place.here / "ab").write_text("sibling with the same beginning")
    os.rename(place.here / "a", place.here / "c")
    assert (place.here / "c" / "b" / "file").read_text() == "content"
    assert (place.here / "ab").read_text() == "sibling with the same beginning"
    fails_with(errno.ENOENT, os.stat, place.here / "a" / "b" / "file")


def test_an_open_file_follows_its_rename(place):
    with open(place.here / "from", "w+b", buffering=0) as file:
        file.write(b"one")
        os.rename(place.here / "from", place.here / "to")
        file.write(b" two")
        assert os.fstat(file.fileno()).st_size == 7
        os.ftruncate(file.fileno(), 5)
    assert (place.there / "to").read_text() == "one t"
    assert names(place.there) == ["to"]


@pytest.mark.ours
def test_rename_onto_the_wrong_thing(place):
    (place.there / "full" / "inner").mkdir(parents=True)
    (place.there / "empty").mkdir()
    (place.there / "file").write_text("")
    fails_with(errno.ENOTEMPTY, os.rename, place.here / "empty", place.here / "full")
    fails_with(errno.EISDIR, os.rename, place.here / "file", place.here / "empty")
    fails_with(errno.ENOTDIR, os.rename, place.here / "empty", place.here / "file")
    fails_with(errno.EINVAL, os.rename, place.here / "full", place.here / "full" / "inner" / "x")


def test_rename_onto_an_empty_folder(place):
    (place.there / "from").mkdir()
    (place.there / "from" / "file").write_text("")
    (place.there / "to").mkdir()
    os.rename(place.here / "from", place.here / "to")
    assert names(place.here) == ["to"] and names(place.here / "to") == ["file"]


def renameat2(source, target, flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(source), -100, os.fsencode(target), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@pytest.mark.ours
def test_rename_noreplace(place):
    (place.there / "from").write_text("new")
    (place.there / "to").write_text("old")
    fails_with(errno.EEXIST, renameat2, place.here / "from", place.here / "to", 1)
    renameat2(place.here / "from", place.here / "other", 1)
    assert names(place.there) == ["other", "to"]


def test_rename_exchange_is_refused(place):
    (place.there / "from").write_text("")
    (place.there / "to").write_text("")
    fails_with(errno.EINVAL, renameat2, place.here / "from", place.here / "to", 2)


# ---- links and special files ---------------------------------------------------------------------

def test_symlink(place):
    os.symlink("target", place.here / "link")
    assert os.readlink(place.there / "link") == "target"
    assert os.readlink(place.here / "link") == "target"
    assert stat.S_ISLNK((place.here / "link").lstat().st_mode)
    fails_with(errno.ENOENT, os.stat, place.here / "link")
    (place.here / "target").write_text("content")
    assert (place.here / "link").read_text() == "content"
    fails_with(errno.EEXIST, os.symlink, "other", place.here / "link")
    (place.here / "link").unlink()
    assert names(place.there) == ["target"]


def test_a_long_symlink(place):
    target = "/".join(["x" * 200] * 15)
    os.symlink(target, place.here / "link")
    assert os.readlink(place.there / "link") == target
    assert os.readlink(place.here / "link") == target


def test_a_symlink_loop(place):
    (place.there / "a").symlink_to("b")
    (place.there / "b").symlink_to("a")
    fails_with(errno.ELOOP, open, place.here / "a")


def test_hard_link(place):
    (place.here / "file").write_text("content")
    os.link(place.here / "file", place.here / "other")
    assert os.path.samefile(place.there / "file", place.there / "other")
    (place.here / "other").write_text("changed")
    assert (place.there / "file").read_text() == "changed"
    fails_with(errno.EEXIST, os.link, place.here / "file", place.here / "other")


def test_mknod_makes_regular_files_only(place):
    os.mknod(place.here / "file", stat.S_IFREG | 0o640)
    assert (place.there / "file").stat().st_size == 0
    with pytest.raises(OSError):
        os.mkfifo(place.here / "fifo")
    assert names(place.there) == ["file"]


@pytest.mark.needs("root")
@pytest.mark.ours
def test_the_errno_of_a_special_file(place):
    with pytest.raises(OSError) as caught:
        os.mkfifo(place.here / "fifo")
    assert caught.value.errno in (errno.EPERM, errno.EOPNOTSUPP)


# ---- open files without a name -------------------------------------------------------------------

def test_an_unlinked_file_can_be_read_and_written(place):
    with open(place.here / "file", "w+b", buffering=0) as file:
        file.write(b"before")
        (place.here / "file").unlink()
        file.write(b" after")
        file.seek(0)
        assert file.read() == b"before after"


@pytest.mark.ours
def test_an_unlinked_file_can_be_asked_and_changed(place):
    with open(place.here / "file", "w+b", buffering=0) as file:
        file.write(b"before")
        (place.here / "file").unlink()
        assert os.fstat(file.fileno()).st_size == 6
        os.ftruncate(file.fileno(), 3)
        os.fchmod(file.fileno(), 0o600)
        found = os.fstat(file.fileno())
        assert (found.st_size, stat.S_IMODE(found.st_mode)) == (3, 0o600)


@pytest.mark.ours
def test_a_new_file_in_the_place_of_an_unlinked_one(place):
    with open(place.here / "file", "w+b", buffering=0) as old:
        old.write(b"old")
        (place.here / "file").unlink()
        (place.here / "file").write_text("new content")
        assert os.fstat(old.fileno()).st_size == 3
        old.seek(0)
        assert old.read() == b"old"
    assert (place.there / "file").read_text() == "new content"


@pytest.mark.ours
def test_a_file_that_was_replaced_while_open(place):
    (place.there / "file").write_text("old")
    (place.there / "other").write_text("other")
    with open(place.here / "file", "rb", buffering=0) as old:
        os.rename(place.here / "other", place.here / "file")
        assert old.read() == b"old"
        assert os.fstat(old.fileno()).st_size == 3
    assert (place.here / "file").read_text() == "other"


# ---- the rest ------------------------------------------------------------------------------------

def test_statfs(place):
    here, there = os.statvfs(place.here), os.statvfs(place.there)
    for field in ("f_frsize", "f_blocks", "f_namemax"):
        assert getattr(here, field) == getattr(there, field), field
    assert abs(here.f_bavail - there.f_bavail) * here.f_frsize < 1 << 30


def test_statfs_without_the_extension(mount, proxy):
    m = mount(over=proxy(extensions=[]))
    found = os.statvfs(m.path)
    assert found.f_blocks > 0 and found.f_bavail > 0 and found.f_namemax == 255


def test_no_extended_attributes(place):
    (place.there / "file").write_text("")
    fails_with(errno.EOPNOTSUPP, os.getxattr, place.here / "file", "user.x")
    fails_with(errno.EOPNOTSUPP, os.setxattr, place.here / "file", "user.x", b"y")


def test_local_locks(place):
    (place.there / "file").write_text("")
    with open(place.here / "file", "r+b") as first, open(place.here / "file", "r+b") as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        fails_with(errno.EWOULDBLOCK, fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(first, fcntl.LOCK_UN)
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.ours
def test_fallocate(place):
    (place.there / "file").write_text("abc")
    with open(place.here / "file", "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, 10_000)
        assert os.fstat(file.fileno()).st_size == 10_000
        os.posix_fallocate(file.fileno(), 0, 5)
    assert (place.there / "file").read_bytes() == b"abc" + bytes(9997)


@pytest.mark.ours
def test_seek_data_and_hole(place):
    (place.there / "file").write_bytes(b"x" * 10_000)
    with open(place.here / "file", "rb") as file:
        fd = file.fileno()
        assert os.lseek(fd, 5, os.SEEK_DATA) == 5
        assert os.lseek(fd, 5, os.SEEK_HOLE) == 10_000
        fails_with(errno.ENXIO, os.lseek, fd, 10_000, os.SEEK_DATA)


@pytest.mark.parametrize("extensions", [None, []])
def test_copying_by_the_kernel(mount, proxy, server_dir, extensions):
    """copy_file_range: inside the server where it can."""
    content = os.urandom(3_000_000)
    (server_dir / "from").write_bytes(content)
    m = mount(over=proxy(extensions=extensions))
    with open(m.path / "from", "rb") as source, open(m.path / "to", "wb") as target:
        done = 0
        while done < len(content):
            done += os.copy_file_range(source.fileno(), target.fileno(), len(content) - done)
    assert (server_dir / "to").read_bytes() == content


@pytest.mark.ours
def test_copying_leaves_the_data_on_the_server(mount, proxy, server_dir):
    (server_dir / "from").write_bytes(os.urandom(3_000_000))
    p = proxy()
    m = mount(over=p)
    with open(m.path / "from", "rb") as source, open(m.path / "to", "wb") as target:
        os.copy_file_range(source.fileno(), target.fileno(), 3_000_000)
    if p.requests("copy-data") == []:
        pytest.skip("this server has no copy-data")
    assert p.requests("READ") == [] and p.requests("WRITE") == []


def test_a_server_without_extensions(mount, proxy, server_dir):
    """Everything that protocol 3 has without OpenSSH's additions."""
    m = mount(over=proxy(extensions=[]))
    (m.path / "folder").mkdir()
    content = os.urandom(500_000)
    with open(m.path / "folder" / "file", "wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    os.rename(m.path / "folder" / "file", m.path / "file")
    os.truncate(m.path / "file", 100_000)
    os.symlink("file", m.path / "link")
    assert (server_dir / "file").read_bytes() == content[:100_000]
    with pytest.raises(OSError) as caught:
        os.link(m.path / "file", m.path / "hard")
    assert caught.value.errno in (errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP)
    assert names(m.path) == ["file", "folder", "link"]


def test_a_chatty_server(mount, proxy, server_dir):
    """What a login shell says before the protocol begins is skipped."""
    (server_dir / "file").write_text("")
    m = mount(over=proxy(greeting="Welcome to this machine!\nHave fun.\n"))
    assert names(m.path) == ["file"]


def test_many_at_once(place):
    """Each thread has files of its own; all end as they should."""
    problems = []

    def work(number):
        try:
            folder = place.here / f"t{number}"
            folder.mkdir()
            for turn in range(10):
                content = os.urandom(5000 * turn + number)
                (folder / "file").write_bytes(content)
                os.rename(folder / "file", folder / f"kept{turn}")
                seen = (folder / f"kept{turn}").read_bytes()
                assert hashlib.sha256(seen).digest() == hashlib.sha256(content).digest()
            assert len(names(folder)) == 10
        except BaseException as problem:
            problems.append(problem)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50 * processes.SLOWNESS)
    assert problems == []
