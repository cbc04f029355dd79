# SPDX-License-Identifier: GPL-2.0-or-later
"""What each call costs in round trips to the server, exactly: counted on the wire, without a clock
(lib/trips.py). Everything counts, also what the kernel looks up by itself."""

import errno
import os
import queue
from concurrent import futures

import pytest

from lib import processes, trips
from lib.rogue import NO_SUCH_FILE, status

pytestmark = [pytest.mark.needs("fuse"), pytest.mark.ours]

@pytest.fixture
def here(rogue, mount, server_dir):
    """A mounted folder whose names are known: it has just been listed. Nothing is asked for ahead."""
    (server_dir / "file").write_bytes(b"content")
    (server_dir / "other").write_bytes(b"other content")
    (server_dir / "link").symlink_to("file")
    (server_dir / "folder").mkdir()
    m = mount("-o", "walk_ahead=0,dcache_absent_timeout=20", over=rogue)
    assert sorted(os.listdir(m.path)) == ["file", "folder", "link", "other"]
    rogue.wait("CLOSE")
    return m.path


# ---- the counter itself ----------------------------------------------------------------------------

@pytest.mark.core
def test_a_trip_too_many_is_noticed(rogue, here):
    with pytest.raises(AssertionError, match="outside of the round trips: READLINK"):
        with trips.of(rogue):
            os.readlink(here / "link")


@pytest.mark.core
def test_one_after_the_other_is_noticed(rogue, here, monkeypatch):
    monkeypatch.setattr(trips, "DEADLINE", 0.2)
    with pytest.raises(AssertionError, match="did not come before .* sent: STAT"):
        with trips.of(rogue, ["STAT", "READLINK"]):
            os.readlink(here / "link")


@pytest.mark.core
def test_waiting_for_what_nobody_waits_for_is_noticed(rogue, here, monkeypatch):
    monkeypatch.setattr(trips, "DEADLINE", 0.2)
    with pytest.raises(AssertionError, match="one of these was waited for: READLINK"):
        with trips.of(rogue, spare=["READLINK"]):
            os.readlink(here / "link")


@pytest.mark.core
def test_what_never_comes_is_noticed(rogue, here, monkeypatch):
    monkeypatch.setattr(trips, "DEADLINE", 0.2)
    with pytest.raises(AssertionError, match="did not come: CLOSE"):
        with trips.of(rogue, unwaited=["CLOSE"]):
            pass


# ---- what is known of a listed folder --------------------------------------------------------------

@pytest.mark.core
def test_listing(rogue, here):
    """OPENDIR, then READDIRs in flight together until one says that it was the last."""
    with trips.of(rogue, ["OPENDIR"], ["READDIR", "READDIR"], unwaited=["CLOSE"], spare=["READDIR"]):
        assert os.listdir(here / "folder") == []


def test_listing_again(rogue, here):
    with trips.of(rogue):
        assert sorted(os.listdir(here)) == ["file", "folder", "link", "other"]


def test_stat(rogue, here):
    with trips.of(rogue):
        assert os.stat(here / "file").st_size == 7
        assert os.lstat(here / "link").st_size == 4


def test_a_missing_name(rogue, here):
    with trips.of(rogue):
        assert not os.path.lexists(here / "missing")


def test_readlink(rogue, here):
    with trips.of(rogue, ["READLINK"]):
        assert os.readlink(here / "link") == "file"
    with trips.of(rogue):
        assert os.readlink(here / "link") == "file"


# ---- contents --------------------------------------------------------------------------------------

@pytest.mark.core
def test_reading_a_small_file(rogue, here):
    with trips.of(rogue, ["OPEN", "LSTAT"], ["READ"], unwaited=["CLOSE"]):
        assert (here / "file").read_bytes() == b"content"


@pytest.mark.core
def test_reading_again(rogue, mount, server_dir):
    """What has not changed for a while, and is known to be so, is kept by the kernel: opening it tells."""
    (server_dir / "file").write_bytes(b"content")
    os.utime(server_dir / "file", (1_000_000_000, 1_000_000_000))
    m = mount("-o", "walk_ahead=0", over=rogue)
    os.listdir(m.path)
    rogue.wait("CLOSE")
    with trips.of(rogue, ["OPEN", "LSTAT"], ["READ"], unwaited=["CLOSE"]):
        assert (m.path / "file").read_bytes() == b"content"
    with trips.of(rogue, ["OPEN", "LSTAT"], unwaited=["CLOSE"]):
        assert (m.path / "file").read_bytes() == b"content"
    (server_dir / "file").write_bytes(b"CONTENT")
    assert (m.path / "file").read_bytes() == b"CONTENT"


def test_reading_again_with_noauto_cache(rogue, mount, server_dir):
    (server_dir / "file").write_bytes(b"content")
    os.utime(server_dir / "file", (1_000_000_000, 1_000_000_000))
    m = mount("-o", "walk_ahead=0,noauto_cache", over=rogue)
    os.listdir(m.path)
    rogue.wait("CLOSE")
    for _ in range(2):
        with trips.of(rogue, ["OPEN", "LSTAT"], ["READ"], unwaited=["CLOSE"]):
            assert (m.path / "file").read_bytes() == b"content"


def test_contents_that_may_have_changed_unseen_are_read_again(rogue, here, server_dir):
    """Changed in the same second: neither size nor time tell."""
    now = os.stat(server_dir / "file").st_mtime_ns
    assert (here / "file").read_bytes() == b"content"
    (server_dir / "file").write_bytes(b"CONTENT")
    os.utime(server_dir / "file", ns=(now, now))
    assert (here / "file").read_bytes() == b"CONTENT"


@pytest.mark.core
def test_writing_a_new_file(rogue, here):
    with trips.of(rogue, ["OPEN", "LSTAT"], ["WRITE"], unwaited=["CLOSE"]):
        (here / "new").write_bytes(b"content")
    with trips.of(rogue, ["LSTAT"]):
        assert os.stat(here / "new").st_size == 7


def test_writing_over_a_file(rogue, here):
    with trips.of(rogue, ["OPEN", "LSTAT"], ["WRITE"], unwaited=["CLOSE"]):
        (here / "file").write_bytes(b"new")


# ---- names -----------------------------------------------------------------------------------------

@pytest.mark.core
def test_create(rogue, here):
    with trips.of(rogue, ["OPEN", "LSTAT"], unwaited=["CLOSE"]):
        os.close(os.open(here / "new", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    with trips.of(rogue):
        assert os.stat(here / "new").st_size == 0


@pytest.mark.core
def test_mknod(rogue, here):
    with trips.of(rogue, ["OPEN", "LSTAT"], unwaited=["CLOSE"]):
        os.mknod(here / "new", 0o640)
    with trips.of(rogue):
        assert os.stat(here / "new").st_mode == 0o100640


@pytest.mark.core
def test_mkdir(rogue, here):
    with trips.of(rogue, ["MKDIR", "LSTAT"]):
        os.mkdir(here / "new", 0o700)
    with trips.of(rogue):
        assert os.stat(here / "new").st_mode == 0o40700


@pytest.mark.core
def test_symlink(rogue, here):
    with trips.of(rogue, ["SYMLINK", "LSTAT"]):
        os.symlink("file", here / "new")
    with trips.of(rogue):
        assert os.lstat(here / "new").st_size == 4


@pytest.mark.core
def test_link(rogue, here):
    with trips.of(rogue, ["hardlink@openssh.com", "LSTAT"]):
        os.link(here / "file", here / "new")
    with trips.of(rogue):
        assert os.stat(here / "new").st_size == 7


@pytest.mark.core
def test_unlink(rogue, here):
    with trips.of(rogue, ["REMOVE"]):
        os.unlink(here / "file")


@pytest.mark.core
def test_rmdir(rogue, here):
    with trips.of(rogue, ["RMDIR"]):
        os.rmdir(here / "folder")


@pytest.mark.core
@pytest.mark.parametrize("name", ["new", "other"])
def test_rename(rogue, here, name):
    with trips.of(rogue, ["posix-rename@openssh.com"]):
        os.rename(here / "file", here / name)


# ---- a listing outlives our own changes ------------------------------------------------------------

CHANGES = {
    "create": (["OPEN", "LSTAT"], ["CLOSE"],
               lambda path: os.close(os.open(path / "new", os.O_CREAT | os.O_EXCL | os.O_WRONLY))),
    "mkdir": (["MKDIR", "LSTAT"], [], lambda path: os.mkdir(path / "new")),
    "symlink": (["SYMLINK", "LSTAT"], [], lambda path: os.symlink("file", path / "new")),
    "link": (["hardlink@openssh.com", "LSTAT"], [],
             lambda path: os.link(path / "file", path / "new")),
    "unlink": (["REMOVE"], [], lambda path: os.unlink(path / "other")),
    "rmdir": (["RMDIR"], [], lambda path: os.rmdir(path / "folder")),
    "rename": (["posix-rename@openssh.com"], [],
               lambda path: os.rename(path / "other", path / "new")),
    "replace": (["posix-rename@openssh.com"], [],
                lambda path: os.rename(path / "other", path / "file")),
}


@pytest.mark.core
@pytest.mark.parametrize("name", CHANGES)
def test_what_is_listed_stays_known(rogue, here, server_dir, name):
    trip, unwaited, change = CHANGES[name]
    with trips.of(rogue, trip, unwaited=unwaited):
        change(here)
    with trips.of(rogue):
        assert not os.path.lexists(here / "missing")
        for one in os.listdir(server_dir):
            assert os.path.lexists(here / one)
    with trips.of(rogue, ["MKDIR", "LSTAT"]):
        os.mkdir(here / "another")


def test_many_new_files_in_a_row(rogue, here):
    for count in range(10):
        with trips.of(rogue, ["OPEN", "LSTAT"], ["WRITE"], unwaited=["CLOSE"]):
            (here / f"new{count}").write_bytes(b"content")
    for count in range(10):
        with trips.of(rogue, ["REMOVE"]):
            os.unlink(here / f"new{count}")


@pytest.mark.parametrize("name", CHANGES)
def test_listing_after_a_change(rogue, here, server_dir, name):
    """The folder's own times may be asked for; the names are not."""
    trip, unwaited, change = CHANGES[name]
    with trips.of(rogue, trip, unwaited=unwaited):
        change(here)
    os.stat(here)
    with trips.of(rogue):
        assert sorted(os.listdir(here)) == sorted(os.listdir(server_dir))


# ---- attributes ------------------------------------------------------------------------------------

@pytest.mark.core
def test_chmod(rogue, here):
    with trips.of(rogue, ["SETSTAT", "LSTAT"]):
        os.chmod(here / "file", 0o600)
    with trips.of(rogue):
        assert os.stat(here / "file").st_mode == 0o100600


@pytest.mark.needs("root")
def test_chown(rogue, here):
    with trips.of(rogue, ["SETSTAT", "LSTAT"]):
        os.chown(here / "file", 5, 6)
    with trips.of(rogue):
        assert (os.stat(here / "file").st_uid, os.stat(here / "file").st_gid) == (5, 6)


@pytest.mark.core
def test_both_times(rogue, here):
    with trips.of(rogue, ["SETSTAT", "LSTAT"]):
        os.utime(here / "file", (1_000_000_000, 1_100_000_000))
    with trips.of(rogue):
        assert os.stat(here / "file").st_mtime == 1_100_000_000
    with trips.of(rogue, ["SETSTAT", "LSTAT"]):
        os.utime(here / "file")


def test_times_of_a_symlink(rogue, here):
    with trips.of(rogue, ["lsetstat@openssh.com", "LSTAT"]):
        os.utime(here / "link", (1_000_000_000, 1_100_000_000), follow_symlinks=False)
    with trips.of(rogue):
        assert os.lstat(here / "link").st_mtime == 1_100_000_000


@pytest.mark.core
def test_truncate(rogue, here):
    with trips.of(rogue, ["SETSTAT", "LSTAT"]):
        os.truncate(here / "file", 3)
    with trips.of(rogue):
        assert os.stat(here / "file").st_size == 3


def test_truncate_an_open_file(rogue, here):
    with open(here / "file", "r+b", buffering=0) as file:
        with trips.of(rogue, ["FSETSTAT", "LSTAT"]):
            os.truncate(file.fileno(), 3)
        with trips.of(rogue):
            assert os.fstat(file.fileno()).st_size == 3


def test_truncate_an_open_file_without_a_name(rogue, here):
    with open(here / "file", "r+b", buffering=0) as file:
        os.unlink(here / "file")
        with trips.of(rogue, ["FSETSTAT", "FSTAT"]):
            os.truncate(file.fileno(), 3)


# ---- without a cache -------------------------------------------------------------------------------

def test_without_a_cache(rogue, mount, server_dir):
    """The kernel looks each name up, and nothing else is added."""
    (server_dir / "file").write_bytes(b"content")
    m = mount("-o", "dir_cache=no,entry_timeout=0,attr_timeout=0", over=rogue)
    with trips.of(rogue, ["LSTAT"], ["MKDIR", "LSTAT"]):
        os.mkdir(m.path / "new")
    with trips.of(rogue, ["LSTAT"], ["SETSTAT", "LSTAT"]):
        os.chmod(m.path / "file", 0o600)
    with trips.of(rogue, ["LSTAT"], ["REMOVE"]):
        os.unlink(m.path / "file")


# ---- servers that work on requests in another order than they came --------------------------------

def swap(rogue, kind):
    """From now on a request of this kind is worked on behind the LSTAT that comes after it."""
    waiting = []

    def overtaken(request):
        waiting.append(request)
        return []

    def overtaking(request):
        if not waiting:
            return None
        answer, late = request.honest(), waiting.pop()
        return [answer, late.honest().encode(late.number)]
    rogue.on(kind, overtaken)
    rogue.on("LSTAT", overtaking)


def create(path):
    os.close(os.open(path / "new", os.O_CREAT | os.O_WRONLY, 0o640))
    return os.stat(path / "new").st_mode == 0o100640


def empty(path):
    fd = os.open(path / "file", os.O_TRUNC | os.O_WRONLY)
    try:
        return os.fstat(fd).st_size == 0
    finally:
        os.close(fd)


def then(call, question):
    """A function of the folder: does something in it, and tells whether that can be seen."""
    return lambda path: call(path) or question(path)


CALLS = {
    "mkdir": ("MKDIR", then(lambda path: os.mkdir(path / "new", 0o700),
                            lambda path: os.stat(path / "new").st_mode == 0o40700)),
    "mknod": ("OPEN", then(lambda path: os.mknod(path / "new", 0o600),
                           lambda path: os.stat(path / "new").st_mode == 0o100600)),
    "create": ("OPEN", create),
    "symlink": ("SYMLINK", then(lambda path: os.symlink("file", path / "new"),
                                lambda path: os.lstat(path / "new").st_size == 4)),
    "link": ("hardlink@openssh.com", then(lambda path: os.link(path / "file", path / "new"),
                                          lambda path: os.stat(path / "new").st_size == 7)),
    "empty": ("OPEN", empty),
    "truncate": ("SETSTAT", then(lambda path: os.truncate(path / "file", 3),
                                 lambda path: os.stat(path / "file").st_size == 3)),
    "chmod": ("SETSTAT", then(lambda path: os.chmod(path / "file", 0o4711),
                              lambda path: os.stat(path / "file").st_mode == 0o104711)),
    "utime": ("SETSTAT", then(lambda path: os.utime(path / "file", (1e9, 1.1e9)),
                              lambda path: os.stat(path / "file").st_mtime == 1.1e9)),
}


@pytest.mark.core
@pytest.mark.parametrize("name", CALLS)
def test_an_answer_that_overtakes(rogue, here, name):
    """What was told is of before: it is not believed, and asked for again, once."""
    kind, call = CALLS[name]
    swap(rogue, kind)
    rogue.forget()
    assert call(here)
    assert rogue.count(kind) == 1 and rogue.count("LSTAT") == 2


@pytest.mark.parametrize("name", ["mkdir", "mknod", "create", "symlink", "link"])
def test_a_name_that_never_appears(rogue, here, name):
    """The server says that it was made, and again and again that it is missing."""
    kind, call = CALLS[name]
    rogue.on("LSTAT", lambda request: status(NO_SUCH_FILE))
    rogue.forget()
    with pytest.raises(OSError) as caught:
        call(here)
    assert caught.value.errno == errno.ENOENT
    assert rogue.count(kind) == 1 and rogue.count("LSTAT") == 2
    if kind == "OPEN":
        rogue.wait("CLOSE")


def test_a_server_that_sets_something_else(rogue, here, server_dir):
    """It is asked once more, and then believed."""
    def rounded(request):
        request.honest()
        os.utime(server_dir / "file", (1_000_000_000, 1_000_000_000))
    rogue.on("SETSTAT", rounded)
    rogue.forget()
    os.utime(here / "file", (1_000_000_001, 1_000_000_001))
    assert os.stat(here / "file").st_mtime == 1_000_000_000
    assert rogue.counts() == {"SETSTAT": 1, "LSTAT": 2}


# ---- paths that are no longer true -----------------------------------------------------------------

@pytest.mark.core
def test_the_folder_above_is_renamed_meanwhile(rogue, here):
    """What came of the name is asked for by its new path."""
    asked = queue.Queue()

    def hold(request):
        if not request.about["path"].endswith("folder/new"):
            return None
        asked.put(request)
        return []
    rogue.on("LSTAT", hold)
    with futures.ThreadPoolExecutor() as threads:
        made = threads.submit(os.mkdir, here / "folder" / "new")
        request = asked.get(timeout=20 * processes.SLOWNESS)
        os.rename(here / "folder", here / "moved")
        request.session.send([request.honest().encode(request.number)])
        made.result(20 * processes.SLOWNESS)
    assert (here / "moved" / "new").is_dir()
    assert rogue.count("MKDIR") == 1
