# SPDX-License-Identifier: GPL-2.0-or-later
"""Listings: read while they arrive, shared, bounded; and folders listed ahead of whoever walks."""

import contextlib
import ctypes
import itertools
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

import pytest

from lib import processes
from lib.background import Thread
from lib.rogue import EOF, handle, names, status

pytestmark = [pytest.mark.core, pytest.mark.needs("fuse"), pytest.mark.ours]

FAR = 0.003  # seconds: far enough for guesses to pay
LIST = "import os, sys; print(len(os.listdir(sys.argv[1])))"


class Folder:
    """A folder of `count` names that is made up while it is read, in replies of `step` names."""

    def __init__(self, rogue, count, step=1000):
        self.count, self.step = count, step
        self.told = 0
        self.before = lambda number: None  # called before each reply
        rogue.on("OPENDIR", self._open)
        rogue.on("READDIR", self._read)
        rogue.on("CLOSE", lambda request: status(0))

    def _open(self, request):
        self.told = 0
        return handle(b"folder")

    def _read(self, request):
        first = self.told
        self.before(first // self.step)
        self.told = min(first + self.step, self.count)
        if first == self.told:
            return status(EOF)
        return names(*(b"name-%07d" % number for number in range(first, self.told)))


@pytest.fixture
def tree(server_dir):
    """Five folders with two folders each, with two files each: fewer than are ever listed ahead at once."""
    for outer, inner in itertools.product("abcde", "xy"):
        folder = server_dir / outer / inner
        folder.mkdir(parents=True)
        for name in ("one", "two"):
            (folder / name).write_text(name)
    return server_dir


def walk(path):
    """What find(1) does: down first."""
    return sorted(str(pathlib.Path(folder, name).relative_to(path))
                  for folder, folders, files in os.walk(path) for name in (*folders, *files))


def resident(m):
    status_of = pathlib.Path(f"/proc/{m.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status_of)[1]) * 1024


# ---- while they arrive -----------------------------------------------------------------------------

def test_the_first_entries_are_there_before_the_last(rogue, mount):
    """The second reply does not come before the first entry has been read."""
    m = mount(over=rogue)
    folder = Folder(rogue, 3000)
    gate = threading.Event()
    folder.before = lambda number: number > 0 and gate.wait(20 * processes.SLOWNESS)
    with os.scandir(m.path) as entries:
        assert next(entries).name == "name-0000000"
        gate.set()
        assert sum(1 for _ in entries) == 2999


def test_a_huge_folder_in_bounded_memory(rogue, mount):
    m = mount("-o", "dcache_max_size=1000", over=rogue)
    Folder(rogue, 300_000)
    before = resident(m)
    with os.scandir(m.path) as entries:
        assert [entry.name for entry in entries] == [f"name-{n:07d}" for n in range(300_000)]
    # Kept whole, they would be 25 MiB. (A sanitizer keeps what was given back.)
    assert resident(m) - before < 20 * 2**20 or m.is_sanitized()


class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_uint16),
                ("type", ctypes.c_uint8), ("name", ctypes.c_char * 256)]


class Stream:
    """A folder by opendir(3) and its like, which Python does not have."""

    def __init__(self, path):
        self.libc = ctypes.CDLL(None, use_errno=True)
        for function in (self.libc.opendir, self.libc.fdopendir):
            function.restype = ctypes.c_void_p
        self.libc.readdir.restype = ctypes.POINTER(Dirent)
        self.libc.telldir.restype = ctypes.c_long
        self.dir = ctypes.c_void_p(self.libc.opendir(os.fsencode(path)))

    def read(self):
        entry = self.libc.readdir(self.dir)
        return entry.contents.name.decode() if entry else None

    def tell(self):
        return self.libc.telldir(self.dir)

    def seek(self, place):
        self.libc.seekdir(self.dir, ctypes.c_long(place))

    def close(self):
        self.libc.closedir(self.dir)


def test_places_in_a_huge_folder(rogue, mount):
    """Also those of names that are not kept any more."""
    m = mount("-o", "dcache_max_size=1000", over=rogue)
    Folder(rogue, 200_000)
    with contextlib.closing(Stream(m.path)) as stream:
        places = {}
        while (name := stream.read()) is not None:
            if name.endswith("77"):
                places[name] = stream.tell()
        chosen = list(places)[3::400]
        assert len(chosen) >= 5
        for name in reversed(chosen):
            stream.seek(places[name])
            assert stream.read() == f"name-{int(name[5:]) + 1:07d}"


# ---- shared ----------------------------------------------------------------------------------------

def test_who_lists_the_same_folder_shares_what_is_on_its_way(rogue, mount, server_dir):
    (server_dir / "file").write_text("")
    m = mount(over=rogue)
    gate = rogue.hold("READDIR")
    readers = [Thread(os.listdir, m.path) for _ in range(8)]
    gate.wait()
    gate.open()
    assert [reader.result() for reader in readers] == [["file"]] * 8
    assert rogue.count("OPENDIR") == 1


def test_a_reader_who_is_killed_leaves_the_rest_to_others(rogue, mount, server_dir):
    for number in range(300):
        (server_dir / f"{number}").write_text("")
    m = mount(over=rogue)
    gate = rogue.hold("READDIR")
    first = subprocess.Popen([sys.executable, "-c", LIST, m.path], stdout=subprocess.DEVNULL)
    gate.wait()
    second = Thread(os.listdir, m.path)
    first.send_signal(signal.SIGKILL)
    assert first.wait(20 * processes.SLOWNESS) == -signal.SIGKILL
    gate.open()
    assert len(second.result()) == 300


def test_a_listing_that_began_before_a_change_does_not_hide_it(rogue, mount, server_dir):
    """It goes on with what it has begun; who comes later sees what is there."""
    old = {f"{number}" for number in range(1000)}
    for name in old:
        (server_dir / name).write_text("")
    m = mount(over=rogue)
    with os.scandir(m.path) as entries:
        early = {next(entries).name}
        (m.path / "new").write_text("")
        assert set(os.listdir(m.path)) == old | {"new"}
        early |= {entry.name for entry in entries}
    assert early - {"new"} == old
    assert set(os.listdir(m.path)) == old | {"new"}


def test_our_own_changes_keep_a_listing_complete(rogue, mount, server_dir):
    for name in ("a", "b", "c"):
        (server_dir / name).write_text(name)
    m = mount(over=rogue)
    assert len(os.listdir(m.path)) == 3
    rogue.forget()
    (m.path / "d").write_text("")
    (m.path / "a").unlink()
    (m.path / "b").rename(m.path / "e")
    (m.path / "sub").mkdir()
    assert sorted(os.listdir(m.path)) == ["c", "d", "e", "sub"]
    assert not (m.path / "a").exists() and not (m.path / "b").exists()
    assert not (m.path / "never").exists()
    assert (m.path / "e").read_text() == "b"
    assert rogue.count("OPENDIR") == 0


# ---- what is missing -------------------------------------------------------------------------------

def test_a_name_that_a_listing_lacks_is_not_asked_for(rogue, mount, server_dir):
    m = mount("-o", "dcache_absent_timeout=20", over=rogue)
    os.listdir(m.path)
    rogue.forget()
    assert not (m.path / "missing").exists()
    assert rogue.count("LSTAT") == 0


def test_absence_can_be_doubted(rogue, mount, server_dir):
    m = mount("-o", "dcache_absent_timeout=0", over=rogue)
    os.listdir(m.path)
    assert not (m.path / "missing").exists()
    (server_dir / "missing").write_text("")
    assert (m.path / "missing").exists()


def test_a_listing_that_nobody_has_read_hides_no_new_file(rogue, mount, server_dir):
    (server_dir / "folder").mkdir()
    for name in ("a", "b", "c"):
        (server_dir / "folder" / name).write_text("")
    rogue.delay = FAR
    m = mount(over=rogue)
    for name in ("a", "b", "c"):
        assert (m.path / "folder" / name).exists()
    rogue.wait("CLOSE")  # it has been listed ahead
    (server_dir / "folder" / "new").write_text("")
    assert (m.path / "folder" / "new").exists()


# ---- walks -----------------------------------------------------------------------------------------

def test_a_walk_is_listed_ahead(rogue, mount, tree):
    """Nobody has asked for the siblings of the second folder, nor for what is in them."""
    rogue.delay = FAR
    m = mount(over=rogue)
    os.listdir(m.path)
    os.listdir(m.path / "a")
    rogue.wait("CLOSE", 1 + 5 + 5 * 2)
    rogue.forget()
    assert walk(m.path) == walk(tree)
    assert rogue.count("OPENDIR") == rogue.count("LSTAT") == 0


@pytest.mark.parametrize("options", ["walk_ahead=0", "dir_cache=no"])
def test_nothing_is_listed_that_nobody_reads(rogue, mount, tree, options):
    m = mount("-o", options, over=rogue)
    os.listdir(m.path)
    os.listdir(m.path / "a")
    os.listdir(m.path / "a" / "x")
    m.unmount()
    assert rogue.count("OPENDIR") == 3


def test_folders_that_nobody_reads_are_listed_within_bounds(rogue, mount, server_dir):
    for number in range(200):
        (server_dir / f"{number:03}").mkdir()
    m = mount(over=rogue)
    os.listdir(m.path)
    os.listdir(m.path / "000")
    rogue.wait("OPENDIR", 10)
    m.unmount()
    assert rogue.count("OPENDIR") <= 2 + 16


def test_one_listing_is_no_walk(rogue, mount, tree):
    m = mount(over=rogue)
    os.listdir(m.path)
    m.unmount()
    assert rogue.count("OPENDIR") == 1


@pytest.mark.parametrize("across", [False, True])
def test_a_walk_finds_all(rogue, mount, tree, across):
    """Down first, and across first, as find -depth and breadth-first walkers do."""
    m = mount(over=rogue)
    found, line = [], [m.path]
    while line:
        folder = line.pop(0 if across else -1)
        for name in os.listdir(folder):
            found.append(str((folder / name).relative_to(m.path)))
            if (folder / name).is_dir():
                line.append(folder / name)
    assert sorted(found) == walk(tree)
    assert rogue.count("OPENDIR") == 1 + 5 + 10


def test_a_walk_sees_what_is_changed_here_meanwhile(rogue, mount, tree):
    """A folder is listed ahead, and the reply is late: a file is made in it, the folder is renamed."""
    m = mount(over=rogue)
    os.listdir(m.path)
    gate = rogue.hold("OPENDIR")
    reader = Thread(os.listdir, m.path / "a")
    gate.wait(5)
    (m.path / "b" / "x" / "new").write_text("")
    (m.path / "c").rename(m.path / "renamed")
    gate.open()
    reader.result()
    assert walk(m.path) == walk(tree)
    assert "renamed/x/one" in walk(m.path) and "b/x/new" in walk(m.path)


def test_names_in_one_folder_make_it_worth_a_listing(rogue, mount, server_dir):
    folder = server_dir / "folder"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}").write_text("")
    rogue.delay = FAR
    m = mount(over=rogue)
    for number in range(3):
        os.stat(m.path / "folder" / f"{number}")
    rogue.wait("CLOSE")
    rogue.forget()
    for number in range(3, 20):
        os.stat(m.path / "folder" / f"{number}")
    assert rogue.count("LSTAT") == 0


def test_next_door_single_names_are_no_sign(rogue, mount, server_dir):
    (server_dir / "folder").mkdir()
    for number in range(20):
        (server_dir / "folder" / f"{number}").write_text("")
    m = mount(over=rogue)
    for number in range(20):
        os.stat(m.path / "folder" / f"{number}")
    m.unmount()
    assert rogue.count("OPENDIR") == 0


# ---- link targets ----------------------------------------------------------------------------------

def test_targets_are_read_with_the_listing(rogue, mount, server_dir):
    for number in range(5):
        (server_dir / f"link{number}").symlink_to(f"target{number}")
    m = mount(over=rogue)
    os.listdir(m.path)
    rogue.wait("READLINK", 5)  # nobody has read one yet

    def reading_asks_nothing():
        rogue.forget()
        for number in range(5):
            assert os.readlink(m.path / f"link{number}") == f"target{number}"
        return rogue.count("READLINK") == 0
    processes.wait_until(reading_asks_nothing, "the replies")


def test_targets_that_nobody_reads_are_not_asked_for_for_ever(rogue, mount, server_dir):
    for folder in range(60):
        (server_dir / f"{folder}").mkdir()
        for number in range(70):
            (server_dir / f"{folder}" / f"{number}").symlink_to("x")
    m = mount("-o", "walk_ahead=1", over=rogue)
    for folder in os.listdir(m.path):
        assert len(os.listdir(m.path / folder)) == 70
    m.unmount()
    assert rogue.count("READLINK") < 2048 + 2 * 70
