# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that speaks SFTP badly, late, out of order or not at all (lib/rogue.py)."""

import errno
import os
import random
import re
import signal
import struct
import subprocess
import sys

import pytest

from lib import mountinfo, processes, rogue as lib
from lib.background import Thread
from lib.rogue import HANG_UP, Reply

pytestmark = [pytest.mark.needs("fuse"), pytest.mark.ours]

NO_CACHE = ("-o", "dir_cache=no,entry_timeout=0,attr_timeout=0")


def fails_with(number, call, *words):
    with pytest.raises(OSError) as caught:
        call(*words)
    assert caught.value.errno == number, caught.value


def calls(path):
    """A bit of everything, for when only the survival counts."""
    return [lambda: os.listdir(path), lambda: os.stat(path / "file"),
            lambda: (path / "file").read_bytes(), lambda: os.readlink(path / "link"),
            lambda: (path / "new").write_bytes(b"x" * 100_000), lambda: os.chmod(path / "new", 0o600),
            lambda: os.rename(path / "new", path / "newer"), lambda: os.statvfs(path),
            lambda: os.link(path / "newer", path / "hard"), lambda: os.unlink(path / "newer"),
            lambda: os.mkdir(path / "folder"), lambda: os.rmdir(path / "folder"),
            lambda: os.symlink("x", path / "other"), lambda: os.truncate(path / "file", 10)]


def try_everything(path):
    """Each call may fail, but has to end."""
    for call in calls(path):
        try:
            Thread(call).result()
        except OSError:
            pass


@pytest.fixture
def filled(server_dir):
    (server_dir / "file").write_bytes(b"content" * 10_000)
    (server_dir / "link").symlink_to("file")
    return server_dir


# ---- it is a server at all -------------------------------------------------------------------------

def work_through(path):
    (path / "folder").mkdir()
    content = os.urandom(700_000)
    (path / "folder" / "file").write_bytes(content)
    os.rename(path / "folder" / "file", path / "file")
    assert (path / "file").read_bytes() == content
    os.symlink("file", path / "link")
    assert os.readlink(path / "link") == "file"
    os.chmod(path / "file", 0o640)
    os.utime(path / "file", (0, 1_000_000_000))
    os.truncate(path / "file", 1000)
    found = os.stat(path / "file")
    assert (found.st_mode, found.st_mtime, found.st_size) == (0o100640, found.st_mtime, 1000)
    assert sorted(os.listdir(path)) == ["file", "folder", "link"]
    (path / "folder").rmdir()
    (path / "link").unlink()
    fails_with(errno.ENOENT, os.stat, path / "link")


@pytest.mark.core
def test_it_serves(rogue, mount, server_dir):
    """What follows shows little if it does not."""
    m = mount(over=rogue)
    work_through(m.path)
    assert os.listdir(server_dir) == ["file"]
    assert rogue.count("MKDIR") == 1 and rogue.count("posix-rename@openssh.com") == 1


def test_it_serves_in_place_of_ssh(rogue, mount, tmp_path):
    m = mount("-o", f"ssh_command={rogue.write_ssh(tmp_path)}", over=None)
    work_through(m.path)


@pytest.mark.core
def test_a_server_that_knows_no_extension(rogue, mount):
    rogue.greeting = lib.version(extensions={})
    m = mount(over=rogue)
    work_through(m.path)
    assert rogue.count("EXTENDED") == 0


# ---- the first words ------------------------------------------------------------------------------

HEAD = lib.version()[:4]

REFUSED = {
    "nothing": ([HANG_UP], "."),
    "half of VERSION": ([lib.version()[:30], HANG_UP], "."),
    "less than its head": ([lib.version()[:7], HANG_UP], "."),
    "a short banner": ([b"no\n", HANG_UP], 'the server said "no"'),
    "a banner": ([b"This account is not available.\r\nBye.\n", HANG_UP],
                 'the server said "This account is not available."'),
    "a banner that is no text": ([b"\x1b[2J\xff\xfe\x07" * 20, HANG_UP], "the server said"),
    "an endless banner": ([b"la " * 100_000], "protocol error"),
    "VERSION of no length": ([struct.pack(">IBI", 0, 2, 3)], "bad reply len: 0"),
    "VERSION of 4 bytes": ([struct.pack(">IBI", 4, 2, 3)], "bad reply len: 4"),
    "VERSION of 4 GiB": ([struct.pack(">IBI", 0xffffffff, 2, 3)], "bad reply len: 4294967295"),
    "VERSION of a mebibyte": ([struct.pack(">IBI", 1 << 20, 2, 3)], "bad reply len: 1048576"),
    "an extension that is cut off": ([lib.packed(b"\2\0\0\0\3" + lib.packed(b"x") + b"\0\0")],
                                     "protocol error"),
    "an extension beyond the end": ([lib.packed(b"\2\0\0\0\3\x7f\xff\xff\xff")], "protocol error"),
}


@pytest.mark.core
@pytest.mark.parametrize("words", REFUSED)
def test_first_words_that_are_refused(sshfs, rogue, server_dir, tmp_path, words):
    """One clear line, exit code 1, nothing mounted."""
    rogue.greeting, said = REFUSED[words]
    (tmp_path / "mnt").mkdir()
    result = sshfs(f"127.0.0.1:{server_dir}", tmp_path / "mnt", "-f", *rogue.options())
    assert result.code == 1
    assert re.search(said, result.err), result.err
    assert len(result.err.strip().splitlines()) == 1
    assert "\x1b" not in result.err and "\x07" not in result.err
    assert mountinfo.below(tmp_path) == []


@pytest.mark.parametrize("words", [
    [b"Welcome!\r\n", lib.version()],
    [b"\0\0\0\0\0" * 100, lib.version()],
    [os.urandom(3).hex().encode() * 10_000, lib.version()],
    [bytes([byte]) for byte in lib.version()],
    [lib.version(extensions={"vendor-id": "x" * 5000, "": "", "statvfs@openssh.com": "9"})],
    [lib.version(4)], [lib.version(6)], [lib.version(2)], [lib.version(0)],
], ids=["banner", "zeros", "much", "byte by byte", "odd extensions", "4", "6", "2", "0"])
def test_first_words_that_are_understood(rogue, mount, server_dir, words):
    rogue.greeting = words
    (server_dir / "file").write_text("content")
    m = mount(over=rogue, expect_noise=True)
    assert os.listdir(m.path) == ["file"]
    assert (m.path / "file").read_text() == "content"


def test_links_with_an_old_server(rogue, mount, filled):
    """Before version 3 their targets were not told apart: refused, and not asked for."""
    rogue.greeting = lib.version(2)
    m = mount(over=rogue, expect_noise=True)
    fails_with(errno.EPERM, os.symlink, "x", m.path / "new")
    fails_with(errno.EPERM, os.readlink, m.path / "link")
    assert rogue.count("SYMLINK") == 0 and rogue.count("READLINK") == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_server_keeps_silent(rogue, mount, number):
    rogue.greeting = []
    m = mount.prepare(over=rogue, expect_noise=True)
    starting = Thread(expect_failure, m)
    rogue.wait("INIT")
    os.kill(m.process.pid, number)
    starting.result()
    assert m.process.returncode not in (0, None)
    assert m.entry() is None


def expect_failure(m):
    """Starts what is not going to be mounted."""
    try:
        m.start()
    except AssertionError:
        return
    raise OSError("it is mounted")


@pytest.mark.parametrize("limits", [
    lib.status(lib.UNSUPPORTED), lib.status(lib.OK), Reply(lib.EXTENDED_REPLY),
    Reply(lib.EXTENDED_REPLY, bytes(32)), Reply(lib.EXTENDED_REPLY, b"\xff" * 32),
    Reply(lib.EXTENDED_REPLY, struct.pack(">4Q", 1, 1, 1, 1)),
    Reply(lib.EXTENDED_REPLY, struct.pack(">4Q", 1 << 20, 4096, 5000, 0)),
    Reply(lib.EXTENDED_REPLY, bytes(31)), lib.data(b"x"),
], ids=["unsupported", "OK", "empty", "zeros", "ones", "tiny", "small", "cut off", "DATA"])
def test_limits_of_any_kind(rogue, mount, server_dir, limits):
    rogue.on("limits@openssh.com", lambda request: limits)
    content = os.urandom(300_000)
    m = mount(over=rogue)
    (m.path / "file").write_bytes(content)
    assert (server_dir / "file").read_bytes() == content
    assert max(one["length"] for one in rogue.requests("WRITE")) <= 261120


def test_small_limits_are_kept(rogue, mount, server_dir):
    limits = struct.pack(">4Q", 1 << 20, 4096, 5000, 0)
    rogue.on("limits@openssh.com", lambda request: Reply(lib.EXTENDED_REPLY, limits))
    (server_dir / "file").write_bytes(bytes(50_000))
    m = mount(over=rogue)
    (m.path / "file").read_bytes()
    (m.path / "new").write_bytes(bytes(50_000))
    assert max(one["length"] for one in rogue.requests("READ")) == 4096
    assert max(one["length"] for one in rogue.requests("WRITE")) == 5000


# ---- the root -------------------------------------------------------------------------------------

ROOTS = {
    "missing": (lib.status(lib.NO_SUCH_FILE), "No such file or directory"),
    "forbidden": (lib.status(lib.PERMISSION_DENIED), "Permission denied"),
    "a file": (lib.attrs(mode=0o100644), "Not a directory"),
    "a link": (lib.attrs(mode=0o120777), "Not a directory"),
    "no attributes": (Reply(lib.ATTRS), "."),
    "cut off": (Reply(lib.ATTRS, b"\0\0\0\x0f\0\0"), "."),
    "OK": (lib.status(lib.OK), "."),
    "lost": ([HANG_UP], "."),
}


@pytest.mark.parametrize("root", ROOTS)
def test_a_root_that_cannot_be_mounted(sshfs, rogue, server_dir, tmp_path, root):
    reply, said = ROOTS[root]
    rogue.on("LSTAT", lambda request: reply)
    (tmp_path / "mnt").mkdir()
    result = sshfs(f"127.0.0.1:{server_dir}", tmp_path / "mnt", "-f", *rogue.options())
    assert result.code == 1
    assert re.search(said, result.err), result.err
    assert mountinfo.below(tmp_path) == []


# ---- the end of the connection -----------------------------------------------------------------------

def bad_length(length):
    return lambda request: [struct.pack(">IBI", length, lib.STATUS, request.number) + bytes(8)]


ENDS = {
    "length of 0": ("STAT", bad_length(0), "bad reply len: 0"),
    "length of 4": ("STAT", bad_length(4), "bad reply len: 4"),
    "length of a mebibyte": ("STAT", bad_length(1 << 20), "bad reply len: 1048576"),
    "length of 4 GiB": ("STAT", bad_length(0xffffffff), "bad reply len: 4294967295"),
    "another id": ("STAT", lambda request: [request.honest().encode(0xdeadbeef)],
                   "request 3735928559 not found"),
    "two replies": ("STAT", lambda request: [request.honest()] * 2, r"request \d+ not found"),
    "more than asked for": ("READ", lambda request: lib.data(bytes(request.about["length"] + 1)),
                            "long read"),
    "data beyond its message": ("READ", lambda request: Reply(lib.DATA, struct.pack(">I", 9) + b"x"),
                                "protocol error"),
    "half a reply": ("READ", lambda request: [request.honest().encode(request.number)[:50], HANG_UP],
                     "remote host has disconnected"),
    "half a length": ("STAT", lambda request: [b"\0\0", HANG_UP], "remote host has disconnected"),
    "silence": ("STAT", lambda request: [HANG_UP], "remote host has disconnected"),
}


@pytest.mark.core
@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_connection(rogue, mount, filled, end):
    """The contract's message, exit code 1, unmounted; who waits gets an error."""
    kind, rule, said = ENDS[end]
    m = mount(*NO_CACHE, over=rogue, expect_noise=True)
    for one in ("STAT", "LSTAT") if kind == "STAT" else (kind,):
        rogue.on(one, rule)
    asking = Thread((m.path / "file").read_bytes)
    with pytest.raises(OSError):
        asking.result()
    assert m.wait_over() == 1
    assert re.search(said, m.log()), m.log()
    assert m.entry() is None


def test_a_garbler_is_left_and_connected_to_again(rogue, mount, filled, until):
    """reconnect: nonsense ends the connection, not the mount."""
    m = mount("-o", "reconnect", *NO_CACHE, over=rogue, expect_noise=True)
    rogue.on("LSTAT", lambda request: [b"\0" * 50])
    with pytest.raises(OSError):
        Thread(os.stat, m.path / "file").result()
    rogue.on("LSTAT", None)

    def works():
        try:
            return Thread(os.stat, m.path / "file").result().st_size == 70_000
        except OSError:
            return False
    until(works, "the connection to come back")
    assert rogue.count("INIT") >= 2


def test_all_who_wait_are_told(rogue, mount, filled):
    """Many requests on their way when the server dies: each ends with an error."""
    m = mount(*NO_CACHE, over=rogue, expect_noise=True)
    gate = rogue.hold("LSTAT")
    asking = [Thread(os.stat, m.path / f"name{number}") for number in range(16)]
    gate.wait(8)
    rogue.hang_up()
    for one in asking:
        with pytest.raises(OSError) as caught:
            one.result()
        assert caught.value.errno != errno.ENOENT
    assert m.wait_over() == 1


# ---- late, and in another order --------------------------------------------------------------------

@pytest.mark.core
def test_replies_in_another_order(rogue, mount, server_dir):
    content = os.urandom(1 << 20)
    (server_dir / "file").write_bytes(content)
    m = mount("-o", "max_read=8192", over=rogue)
    gate = rogue.hold("READ")
    reading = Thread((m.path / "file").read_bytes)
    gate.wait(4)
    gate.open(lambda kept: kept[::-1])
    assert reading.result() == content


def test_one_late_reply_holds_nobody_up(rogue, mount, filled):
    m = mount(*NO_CACHE, over=rogue)
    gate = rogue.hold("READ")
    reading = Thread((m.path / "file").read_bytes)
    gate.wait()
    (m.path / "new").write_text("x")
    assert sorted(Thread(os.listdir, m.path).result()) == ["file", "link", "new"]
    assert Thread(os.stat, m.path / "link").result().st_size == 70_000
    assert reading.is_alive()
    gate.open()
    assert reading.result() == b"content" * 10_000


@pytest.mark.parametrize("change, seen", [
    (lambda fd: write_through(fd, b" and new"), lambda found: found.st_size == len("old and new")),
    (lambda fd: os.fchmod(fd, 0o600), lambda found: found.st_mode == 0o100600),
    (lambda fd: os.ftruncate(fd, 100), lambda found: found.st_size == 100),
], ids=["write", "chmod", "truncate"])
def test_an_answer_from_before_a_change_is_not_kept(rogue, mount, server_dir, change, seen):
    """A look that begins before our own change and ends after it tells nobody of the past."""
    (server_dir / "file").write_bytes(b"")
    m = mount("-o", "entry_timeout=0,attr_timeout=0", over=rogue)
    fd = os.open(m.path / "file", os.O_WRONLY)
    write_through(fd, b"old")
    gate = rogue.hold("LSTAT")
    looking = Thread(os.stat, m.path / "file")
    gate.wait()
    rogue.hold("LSTAT").open()  # this one waits, later ones do not
    change(fd)
    gate.open()
    looking.result()
    assert seen(os.stat(m.path / "file"))
    os.close(fd)
    assert seen(os.stat(m.path / "file"))


def write_through(fd, content):
    os.write(fd, content)
    os.fsync(fd)


@pytest.mark.core
def test_an_asker_who_is_killed_leaves_no_handle_open(rogue, mount, filled):
    """The reply to OPEN comes when nobody wants it any more: it is closed again."""
    m = mount(*NO_CACHE, over=rogue)
    gate = rogue.hold("OPEN")
    asker = subprocess.Popen([sys.executable, "-c", "import sys; open(sys.argv[1])", m.path / "file"],
                             stdin=subprocess.DEVNULL, start_new_session=True)
    gate.wait()
    asker.kill()
    asker.wait(20 * processes.SLOWNESS)
    gate.open()
    rogue.wait("CLOSE")
    assert rogue.count("CLOSE") == rogue.count("OPEN") + rogue.count("OPENDIR")


# ---- short, empty and early ends ---------------------------------------------------------------------

@pytest.mark.core
def test_short_reads_of_any_size(rogue, mount, server_dir):
    content = os.urandom(200_000)
    (server_dir / "file").write_bytes(content)
    dice = random.Random(1)

    def shorten(request):
        reply = request.honest()
        if reply.kind != lib.DATA:
            return reply
        return lib.data(reply.body[4:4 + dice.randint(1, 5000)])
    rogue.on("READ", shorten)
    m = mount(over=rogue)
    assert (m.path / "file").read_bytes() == content
    assert rogue.count("READ") > 40


@pytest.mark.parametrize("reply", [lib.data(b""), lib.status(lib.EOF)], ids=["no bytes", "EOF"])
def test_a_file_that_ends_early(rogue, mount, filled, reply):
    """Shorter than its size says: what is there is read, once; nobody asks for ever."""
    rogue.on("READ", lambda request: reply if request.about["offset"] >= 7000 else
             lib.data(request.honest().body[4:4 + 7000 - request.about["offset"]]))
    m = mount("-o", "direct_io", over=rogue)
    fd = os.open(m.path / "file", os.O_RDONLY)
    seen = b""
    while more := os.read(fd, 70_000):
        seen += more
    os.close(fd)
    assert seen == b"content" * 1000
    assert rogue.count("READ") < 100


# ---- names ----------------------------------------------------------------------------------------

@pytest.mark.core
def test_names_of_any_kind(rogue, mount):
    """What can be a name is shown, byte by byte as it came; the rest is left out."""
    good = [b"plain", b"\xff\xfe invalid \x80", "r\u00e9sum\u00e9".encode(), b"new\nline", b"\x1b[2J",
            b" ", b"...", b"-rf", b"x" * 255]
    bad = [b"", b".", b"..", b"a/b", b"/", b"../up", b"nul\0byte", b"\0", b"y" * 2000]
    mixed = [name for pair in zip(good, bad) for name in pair]
    replies = [lib.names(*mixed)]
    rogue.on("READDIR", lambda request: replies.pop() if replies else lib.status(lib.EOF))
    m = mount(over=rogue)
    assert sorted(os.listdir(os.fsencode(m.path))) == sorted(good)


def test_a_name_of_300_bytes(rogue, mount, server_dir):
    """Longer than Linux's file systems have it, and fine with the server."""
    long = b"z" * 300
    replies = [lib.names(long)]
    rogue.on("READDIR", lambda request: replies.pop() if replies else lib.status(lib.EOF))
    rogue.on("LSTAT", lambda request: lib.attrs(mode=0o100644, size=5)
             if request.about["path"].endswith("zzz") else None)
    m = mount(over=rogue)
    assert os.listdir(os.fsencode(m.path)) in ([long], [])
    assert_usable_or(errno.ENAMETOOLONG, os.stat, os.fsencode(m.path) + b"/" + long)


def assert_usable_or(number, call, *words):
    try:
        call(*words)
    except OSError as problem:
        assert problem.errno == number


def test_a_name_that_comes_twice(rogue, mount, filled):
    whole = (b"file", lib.attributes_of(os.lstat(filled / "file")))
    replies = [lib.names(whole, whole), lib.names(whole)]
    rogue.on("READDIR", lambda request: replies.pop() if replies else lib.status(lib.EOF))
    m = mount(over=rogue)
    assert os.listdir(m.path) == ["file"]
    assert (m.path / "file").read_bytes() == b"content" * 10_000


def test_names_that_come_for_ever(rogue, mount, filled):
    """A server that forgets where it was in the folder: the listing fails, and does not go on."""
    rogue.on("READDIR", lambda request: lib.names(b"a", b"b"))
    m = mount(over=rogue)
    with pytest.raises(OSError):
        Thread(os.listdir, m.path).result()
    rogue.on("READDIR", None)
    assert sorted(os.listdir(m.path)) == ["file", "link"]


def test_entries_without_a_size(rogue, mount, filled):
    """A file is not empty because the listing did not say how long it is."""
    replies = [lib.names((b"file", lib.attributes(mode=0o100644)))]
    rogue.on("READDIR", lambda request: replies.pop() if replies else lib.status(lib.EOF))
    m = mount(over=rogue)
    assert os.listdir(m.path) == ["file"]
    assert (m.path / "file").read_bytes() == b"content" * 10_000


def test_entries_without_attributes(rogue, mount, filled):
    """Then each is asked for."""
    replies = [lib.names((b"file", lib.attributes()), (b"link", lib.attributes()))]
    rogue.on("READDIR", lambda request: replies.pop() if replies else lib.status(lib.EOF))
    m = mount(over=rogue)
    with os.scandir(m.path) as found:
        assert {one.name: one.is_symlink() for one in found} == {"file": False, "link": True}


def test_a_mode_of_nonsense(rogue, mount, filled):
    """File types that Linux does not know harm nobody."""
    m = mount(*NO_CACHE, over=rogue)
    for mode in (0, 0o7777, 0o170000, 0o30644, 0xffffffff, 0o10644, 0o20644, 0o60644):
        rogue.on("LSTAT", lambda request, mode=mode: lib.attrs(mode=mode, size=1 << 63, uid=0xffffffff,
                                                               gid=0xffffffff, atime=0xffffffff,
                                                               mtime=0xffffffff)
                 if request.about["path"].endswith("file") else None)
        try:
            Thread(os.stat, m.path / "file").result()
        except OSError as problem:
            assert problem.errno in (errno.EIO, errno.EPROTO, errno.ESTALE, errno.EOVERFLOW)
    rogue.on("LSTAT", None)
    assert os.stat(m.path / "file").st_size == 70_000


# ---- what a status means ------------------------------------------------------------------------------

CAUSES = [
    ("MKDIR", lambda path: os.mkdir(path / "new"), "mkdir new: File exists", errno.EEXIST),
    ("MKDIR", lambda path: os.mkdir(path / "new"), "Disk quota exceeded", errno.EDQUOT),
    ("RMDIR", lambda path: os.rmdir(path / "folder"), "Directory not empty", errno.ENOTEMPTY),
    ("RMDIR", lambda path: os.rmdir(path / "folder"), "Device or resource busy", errno.EBUSY),
    ("posix-rename@openssh.com", lambda path: os.rename(path / "file", path / "new"),
     "Invalid cross-device link", errno.EXDEV),
    ("REMOVE", lambda path: os.unlink(path / "file"), "read-only file system.", errno.EROFS),
    ("OPEN", lambda path: open(path / "file", "rb"), "Too many levels of symbolic links",
     errno.ELOOP),
    ("OPEN", lambda path: open(path / "file", "rb"), "Too many open files", errno.EMFILE),
    ("SETSTAT", lambda path: os.chmod(path / "file", 0o600), "Operation not permitted", errno.EPERM),
    ("SYMLINK", lambda path: os.symlink("x", path / "new"), "No space left on device", errno.ENOSPC),
    ("hardlink@openssh.com", lambda path: os.link(path / "file", path / "new"), "Too many links",
     errno.EMLINK),
]


@pytest.mark.parametrize("kind, call, text, number", CAUSES,
                         ids=[f"{row[0]}-{errno.errorcode[row[3]]}" for row in CAUSES])
def test_a_cause_in_words(rogue, mount, filled, kind, call, text, number):
    (filled / "folder").mkdir()
    m = mount(over=rogue)
    rogue.on(kind, lambda request: lib.status(lib.FAILURE, text))
    fails_with(number, call, m.path)


def full(**changes):
    """statvfs of a file system with 1000 free blocks, but for the changes."""
    fields = {"bsize": 4096, "frsize": 4096, "blocks": 2000, "bfree": 1000, "bavail": 1000,
              "files": 0, "ffree": 0, "favail": 0, "fsid": 7, "flag": 0, "namemax": 255}
    fields.update(changes)
    return Reply(lib.EXTENDED_REPLY, struct.pack(">11Q", *fields.values()))


@pytest.mark.core
@pytest.mark.parametrize("text, space, number", [
    ("No space left on device", None, errno.ENOSPC),
    ("write: Disk quota exceeded", None, errno.EDQUOT),
    ("File too large", None, errno.EFBIG),
    ("", full(bavail=0), errno.ENOSPC),
    ("Failure", full(flag=1), errno.EROFS),
    ("Failure", full(), errno.EIO),
    ("Failure", Reply(lib.EXTENDED_REPLY, b"\0" * 9), errno.EIO),
    ("Failure", lib.status(lib.UNSUPPORTED), errno.EIO),
], ids=["text", "quota", "too large", "full", "read-only", "no reason", "cut off", "unsupported"])
def test_a_write_that_fails_is_told_at_close(rogue, mount, text, space, number):
    rogue.on("WRITE", lambda request: lib.status(lib.FAILURE, text))
    rogue.on("fstatvfs@openssh.com", lambda request: space)
    m = mount(over=rogue)
    fd = os.open(m.path / "file", os.O_CREAT | os.O_WRONLY)
    problems = []
    for call in (lambda: os.write(fd, bytes(1000)), lambda: os.close(fd)):
        try:
            call()
        except OSError as problem:
            problems.append(problem.errno)
    assert set(problems) == {number}


# ---- nonsense of every kind ----------------------------------------------------------------------------

KINDS = [lib.status(lib.OK), lib.status(lib.EOF), lib.handle(b"h"), lib.data(b"x"), lib.names(),
         lib.names(b"a", b"b"), lib.attrs(), Reply(lib.EXTENDED_REPLY), Reply(0), Reply(255, b"xyz")]

REQUESTS = ["OPEN", "CLOSE", "READ", "WRITE", "LSTAT", "FSTAT", "SETSTAT", "FSETSTAT", "OPENDIR",
            "READDIR", "REMOVE", "MKDIR", "RMDIR", "READLINK", "SYMLINK", "posix-rename@openssh.com",
            "statvfs@openssh.com", "hardlink@openssh.com", "STAT", "REALPATH"]


@pytest.mark.core
@pytest.mark.parametrize("kind", REQUESTS)
def test_any_reply_to_any_request(rogue, mount, filled, kind):
    """An error of this request, or the end of the connection."""
    m = mount("-o", "reconnect,no_check_root", *NO_CACHE, over=rogue, expect_noise=True)
    for reply in KINDS:
        rogue.on(kind, lambda request, reply=reply: reply)
        try_everything(m.path)
    rogue.on(kind, None)
    assert m.end() in (0, 1)


@pytest.mark.core
@pytest.mark.parametrize("seed", range(8))
def test_replies_with_changed_bytes(rogue, mount, filled, seed):
    """One reply in four is garbled: a byte changed, cut off, or made longer. Nothing crashes or hangs."""
    dice = random.Random(seed)

    def garble(request):
        reply = request.honest()
        if dice.random() > 0.25 or not reply.body:
            return reply
        body = bytearray(reply.body)
        what = dice.randrange(3)
        if what == 0:
            body[dice.randrange(min(len(body), 64))] = dice.choice([0, 1, 0x7f, 0x80, 0xff])
        elif what == 1:
            del body[dice.randrange(len(body)):]
        else:
            body += dice.randbytes(dice.randrange(1, 40))
        return Reply(reply.kind, bytes(body))
    m = mount("-o", "reconnect,no_check_root", *NO_CACHE, over=rogue, expect_noise=True)
    rogue.on("*", garble)
    for _ in range(4):
        try_everything(m.path)
    rogue.on("*", None)
    assert m.end() in (0, 1)
