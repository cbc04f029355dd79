# SPDX-License-Identifier: GPL-2.0-or-later
"""What no cache and no writing-behind may break (compat.md, section 3)."""

import ctypes
import errno
import contextlib
import os
import re
import stat

import pytest

from lib import mount as mount_module

pytestmark = [pytest.mark.core, pytest.mark.needs("fuse", "server")]


def fails_with(number, function, *arguments, **more):
    with pytest.raises(OSError) as caught:
        function(*arguments, **more)
    assert caught.value.errno == number, caught.value


# ---- data is on the server -----------------------------------------------------------------------

@pytest.mark.parametrize("size", [10, 5_000_000])
def test_after_close_the_data_is_on_the_server(place, size):
    content = os.urandom(size)
    fd = os.open(place.here / "file", os.O_CREAT | os.O_WRONLY)
    for start in range(0, size, 100_000):
        os.write(fd, content[start:start + 100_000])
    os.close(fd)
    assert (place.there / "file").read_bytes() == content


@pytest.mark.parametrize("sync", [os.fsync, os.fdatasync])
def test_after_fsync_the_data_is_on_the_server(place, sync):
    content = os.urandom(2_000_000)
    with open(place.here / "file", "wb", buffering=0) as file:
        file.write(content[:1_500_000])
        sync(file.fileno())
        assert (place.there / "file").read_bytes() == content[:1_500_000]
        file.write(content[1_500_000:])
        sync(file.fileno())
        assert (place.there / "file").read_bytes() == content


def test_writing_with_o_sync(place):
    fd = os.open(place.here / "file", os.O_CREAT | os.O_WRONLY | os.O_SYNC)
    try:
        os.write(fd, b"content")
        assert (place.there / "file").read_bytes() == b"content"
    finally:
        os.close(fd)


def test_after_close_both_sides_agree(place):
    (place.here / "file").write_bytes(os.urandom(100_001))
    for _ in range(2):
        here, there = (place.here / "file").stat(), (place.there / "file").stat()
        assert (here.st_size, here.st_uid, here.st_gid) == (there.st_size, there.st_uid, there.st_gid)
        assert int(here.st_mtime) == int(there.st_mtime)


@pytest.mark.needs("root", "tmpfs")
def test_a_full_disk_is_reported_and_only_to_its_file(mount, small_disk):
    m = mount(over="fake")
    disk = m.path / "small"
    (disk / "good").write_text("x")
    fd = os.open(disk / "file", os.O_CREAT | os.O_WRONLY)
    failed = 0
    for call in [lambda: os.write(fd, bytes(1 << 20))] * 3 + [lambda: os.close(fd)]:
        try:
            call()
        except OSError:
            failed += 1
    assert failed >= 1
    with open(disk / "good", "a") as file:
        file.write("")
    (disk / "file").unlink()
    (disk / "good").write_bytes(bytes(100_000))
    assert (small_disk / "good").stat().st_size == 100_000


# ---- what happens on the server is seen ----------------------------------------------------------

@pytest.fixture(scope="module")
def uncached(session_dir, fake_ssh, request):
    """A mount with dir_cache=no, for this module: (path through the mount, path on the server)."""
    there = session_dir / "uncached"
    there.mkdir()
    made = mount_module.Mount(session_dir / "uncached-mount",
                              [f"host:{there}", "-o", f"ssh_command={fake_ssh},dir_cache=no,"
                               "entry_timeout=0,attr_timeout=0,negative_timeout=0"])
    request.config.watchdog.victims.append(made.release)
    made.start()
    yield made.path, there
    made.finish()
    request.config.watchdog.victims.remove(made.release)


@pytest.fixture
def sides(uncached, tmp_path):
    """A fresh folder on it."""
    here, there = (side / tmp_path.name for side in uncached)
    there.mkdir()
    return here, there


def test_uncached_a_new_name_is_seen(sides):
    here, there = sides
    assert os.listdir(here) == [] and not (here / "file").exists()
    (there / "file").write_text("x")
    assert (here / "file").read_text() == "x"
    assert os.listdir(here) == ["file"]


def test_uncached_a_removed_name_is_gone(sides):
    here, there = sides
    (there / "file").write_text("x")
    assert (here / "file").read_text() == "x" and os.listdir(here) == ["file"]
    (there / "file").unlink()
    assert os.listdir(here) == []
    fails_with(errno.ENOENT, open, here / "file")
    fails_with(errno.ENOENT, os.stat, here / "file")


def test_uncached_a_change_is_seen(sides):
    here, there = sides
    (there / "file").write_text("short")
    assert (here / "file").read_text() == "short"
    (there / "file").write_text("something longer")
    assert (here / "file").stat().st_size == 16
    assert (here / "file").read_text() == "something longer"
    (there / "file").chmod(0o600)
    assert stat.S_IMODE((here / "file").stat().st_mode) == 0o600
    os.truncate(there / "file", 2)
    assert (here / "file").read_text() == "so"


def test_uncached_another_kind_of_thing_is_seen(sides):
    here, there = sides
    (there / "name").write_text("x")
    assert (here / "name").is_file()
    (there / "name").unlink()
    (there / "name").mkdir()
    assert (here / "name").is_dir()
    (there / "name").rmdir()
    (there / "name").symlink_to("elsewhere")
    assert os.readlink(here / "name") == "elsewhere"


def test_uncached_growth_of_an_open_file_is_seen_at_the_next_open(sides):
    here, there = sides
    (there / "log").write_text("one\n")
    with open(here / "log"):
        with open(there / "log", "a") as file:
            file.write("two\n")
        assert (here / "log").read_text() == "one\ntwo\n"


# ---- our own changes are seen at once, whatever is cached ----------------------------------------

def fill_caches(folder):
    """Lets everything about the folder be remembered."""
    for _ in range(2):
        for entry in os.scandir(folder):
            entry.stat(follow_symlinks=False)
            (folder / (entry.name + "-missing")).exists()
    (folder / "new").exists()


@pytest.fixture
def known(place):
    """A folder of three files, a folder and a link, with all caches filled."""
    for name in ("a", "b", "c"):
        (place.there / name).write_text(name * 10)
    (place.there / "folder").mkdir()
    (place.there / "link").symlink_to("a")
    fill_caches(place.here)
    place.names = lambda: "".join(sorted(name[0] for name in os.listdir(place.here)))
    return place


def test_create_is_seen(known):
    (known.here / "new").write_text("x")
    assert known.names() == "abcfln"
    assert (known.here / "new").stat().st_size == 1


def test_unlink_is_seen(known):
    (known.here / "a").unlink()
    assert known.names() == "bcfl"
    assert not (known.here / "a").exists()


def test_mkdir_and_rmdir_are_seen(known):
    (known.here / "new").mkdir()
    assert known.names() == "abcfln"
    (known.here / "new").rmdir()
    (known.here / "folder").rmdir()
    assert known.names() == "abcl"
    assert not (known.here / "folder").exists()


def test_rename_is_seen(known):
    os.rename(known.here / "a", known.here / "new")
    assert known.names() == "bcfln"
    assert (known.here / "new").read_text() == "a" * 10
    assert not (known.here / "a").exists()


def test_rename_between_folders_is_seen(known):
    fill_caches(known.here / "folder")
    os.rename(known.here / "a", known.here / "folder" / "new")
    assert known.names() == "bcfl" and os.listdir(known.here / "folder") == ["new"]
    os.rename(known.here / "folder" / "new", known.here / "a")
    assert known.names() == "abcfl" and os.listdir(known.here / "folder") == []


def test_rename_over_a_name_is_seen(known):
    (known.here / "a").write_text("something longer than before")
    os.rename(known.here / "a", known.here / "b")
    assert (known.here / "b").stat().st_size == 28
    assert (known.here / "b").read_text() == "something longer than before"
    assert known.names() == "bcfl"


def test_rename_of_an_open_file_with_unflushed_data(known):
    with open(known.here / "a", "ab", buffering=0) as file:
        file.write(b"x" * 300_000)
        os.rename(known.here / "a", known.here / "new")
        assert (known.here / "new").stat().st_size == 300_010
        file.write(b"y")
    assert (known.there / "new").stat().st_size == 300_011
    assert (known.here / "new").stat().st_size == 300_011


def test_chmod_is_seen(known):
    os.chmod(known.here / "a", 0o611)
    assert stat.S_IMODE((known.here / "a").stat().st_mode) == 0o611


@pytest.mark.needs("root")
def test_chown_is_seen(known):
    os.chown(known.here / "a", 1000, -1)
    assert (known.here / "a").stat().st_uid == 1000
    os.chown(known.here / "a", -1, 1001)
    found = (known.here / "a").stat()
    assert (found.st_uid, found.st_gid) == (1000, 1001)


@pytest.mark.parametrize("size", [0, 5, 10_000])
def test_truncate_is_seen(known, size):
    wanted = (b"a" * 10 + bytes(size))[:size]
    os.truncate(known.here / "a", size)
    assert (known.here / "a").stat().st_size == size
    assert (known.here / "a").read_bytes() == wanted
    with open(known.here / "b", "r+b") as file:
        os.ftruncate(file.fileno(), size)
        assert (known.here / "b").stat().st_size == size


def test_a_write_is_seen_while_the_file_is_open(known):
    with open(known.here / "a", "ab", buffering=0) as file:
        file.write(b"more")
        assert (known.here / "a").stat().st_size == 14
        assert (known.here / "a").read_bytes() == b"a" * 10 + b"more"


def test_utimens_is_seen(known):
    os.utime(known.here / "a", (1000, 2000))
    found = (known.here / "a").stat()
    assert (found.st_atime, found.st_mtime) == (1000, 2000)


def test_links_are_seen(known):
    os.link(known.here / "a", known.here / "new")
    assert known.names() == "abcfln"
    assert (known.here / "new").read_text() == "a" * 10
    (known.here / "link").unlink()
    os.symlink("b", known.here / "link")
    assert os.readlink(known.here / "link") == "b"
    assert (known.here / "link").read_text() == "b" * 10


def test_a_name_used_again_is_the_new_thing(known):
    (known.here / "a").unlink()
    (known.here / "a").mkdir()
    assert (known.here / "a").is_dir()
    (known.here / "a").rmdir()
    (known.here / "a").write_text("file again")
    assert (known.here / "a").read_text() == "file again"


# ---- open files, listings ------------------------------------------------------------------------

def test_nothing_hidden_appears_on_the_server(place):
    if mount_module.is_upstream():
        pytest.skip("upstream leaves .fuse_hidden files")
    with open(place.here / "file", "w+b", buffering=0) as file:
        file.write(b"content")
        (place.here / "file").unlink()
        assert os.listdir(place.there) == []
        assert os.listdir(place.here) == []
        file.seek(0)
        assert file.read() == b"content"
    assert os.listdir(place.there) == []


@pytest.mark.ours
def test_a_folder_can_go_while_a_file_that_was_in_it_is_open(place):
    (place.here / "folder").mkdir()
    with open(place.here / "folder" / "file", "w+b", buffering=0) as file:
        (place.here / "folder" / "file").unlink()
        (place.here / "folder").rmdir()
        file.write(b"still here")
        file.seek(0)
        assert file.read() == b"still here"
    assert os.listdir(place.there) == []


@pytest.mark.ours
@pytest.mark.parametrize("use", [
    lambda path: path.write_text("new"),
    lambda path: os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)),
    lambda path: path.mkdir()])
def test_a_name_that_vanished_on_the_server_can_be_made_again(place, use):
    """The kernel believes in it still; it has to look again, not to fail."""
    (place.there / "file").write_text("old")
    assert (place.here / "file").read_text() == "old"
    (place.there / "file").unlink()
    with contextlib.suppress(FileNotFoundError):
        (place.here / "file").read_text()  # now it is known
    use(place.here / "file")
    assert (place.there / "file").exists()


@pytest.mark.ours
@pytest.mark.parametrize("use", [
    lambda path: path.read_text(), lambda path: os.truncate(path, 0),
    lambda path: os.rename(path, path.parent / "other"), lambda path: os.link(path, path.parent / "other"),
    lambda path: os.unlink(path)])
def test_a_name_that_vanished_on_the_server_is_missing(place, use):
    (place.there / "file").write_text("old")
    os.stat(place.here / "file")
    (place.there / "file").unlink()
    with pytest.raises(FileNotFoundError):
        use(place.here / "file")


def test_two_listings_are_equal(known):
    assert os.listdir(known.here) == os.listdir(known.here)


def entries(fd):
    """A listing through this very descriptor; Python rewinds it afterwards."""
    return sorted(os.listdir(fd))


@pytest.mark.ours
def test_rewinding_a_listing(known):
    fd = os.open(known.here, os.O_RDONLY | os.O_DIRECTORY)
    try:
        first = entries(fd)
        assert entries(fd) == first and len(first) == 5
        (known.here / "new").write_text("")
        assert len(entries(fd)) == 6
        (known.there / "later").write_text("")
        entries(fd)
    finally:
        os.close(fd)
    assert len(os.listdir(known.here)) >= 6


@pytest.mark.ours
def test_seeking_in_a_listing(place):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
    libc.telldir.restype = ctypes.c_long
    libc.telldir.argtypes = libc.readdir.argtypes = libc.closedir.argtypes = [ctypes.c_void_p]
    libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
    for number in range(500):
        (place.there / f"name{number:03}").write_text("")

    def name():
        entry = libc.readdir(stream)
        return ctypes.string_at(entry + 19) if entry else None  # d_name, on 64-bit Linux
    stream = libc.opendir(os.fsencode(place.here))
    try:
        marks = []
        for _ in range(502):
            marks.append((libc.telldir(stream), name()))
        assert name() is None
        for mark, wanted in marks[::-37]:
            libc.seekdir(stream, mark)
            assert name() == wanted
    finally:
        libc.closedir(stream)


def test_a_listing_during_changes_neither_repeats_nor_loses_what_stays(place):
    stay = {f"stay{number}" for number in range(1000)}
    for name in stay:
        (place.there / name).write_text("")
    seen = []
    with os.scandir(place.here) as listing:
        for number, entry in enumerate(listing):
            seen.append(entry.name)
            if number % 100 == 0:
                (place.here / f"new{number}").write_text("")
    assert len(seen) == len(set(seen))
    assert stay <= set(seen)
    assert {f"new{number}" for number in range(0, 1000, 100)} <= set(os.listdir(place.here))


def test_removing_while_listing(place):
    for number in range(500):
        (place.there / f"f{number}").write_text("")
    with os.scandir(place.here) as listing:
        for entry in listing:
            os.unlink(place.here / entry.name)
    assert os.listdir(place.here) == [] and os.listdir(place.there) == []


# ---- small promises ------------------------------------------------------------------------------

def test_reading_a_write_only_descriptor(place):
    fd = os.open(place.here / "file", os.O_CREAT | os.O_WRONLY)
    fails_with(errno.EBADF, os.read, fd, 1)
    os.close(fd)


def test_mkdir_of_an_existing_name(known):
    fails_with(errno.EEXIST, os.mkdir, known.here / "folder")
    fails_with(errno.EEXIST, os.mkdir, known.here / "a")


@pytest.mark.ours
def test_mkdir_of_a_name_that_came_into_being_behind_our_back(place):
    assert not (place.here / "folder").exists()
    (place.there / "folder").mkdir()
    fails_with(errno.EEXIST, os.mkdir, place.here / "folder")


def test_silence_on_success(mount, server_dir):
    """Also in debug output no word that scripts take for a failure; the log is checked at the end."""
    m = mount("-d", over="fake")
    (server_dir / "file").write_text("x")
    assert (m.path / "file").read_text() == "x"
    assert not (m.path / "missing").exists()
    (m.path / "folder").mkdir()
    fails_with(errno.EEXIST, os.mkdir, m.path / "folder")
    (m.path / "new").write_text("x")
    m.unmount()
    assert not re.search("(?i)passw", m.log())


@pytest.mark.ours
@pytest.mark.parametrize("length", [0, 1, 4, 300_000_000, 0xffffffff])
def test_a_reply_with_a_bad_length_ends_the_connection(mount, proxy, server_dir, length):
    p = proxy(reply={"STAT": f"{length:08x}" + "65ID00000000", "LSTAT": f"{length:08x}65ID00000000"})
    m = mount("-o", "no_check_root", over=p, expect_noise=True)
    with pytest.raises(OSError):
        os.stat(m.path / "file")
    assert m.wait_over(10) not in (0, None)
    if length > 4:
        assert f"bad reply len: {length}" in m.log()
