# SPDX-License-Identifier: GPL-2.0-or-later
"""The server dies, freezes, fills up or lies: nobody hangs, nothing crashes, every error is told."""

import errno
import os
import re
import signal
import struct
import subprocess
import sys
import threading

import pytest

from lib import processes
from lib.sftp_proxy import packed, raw_reply

pytestmark = pytest.mark.needs("fuse", "server")

LOST = (errno.EIO, errno.ENOTCONN, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTDOWN)


def reader_of(path):
    """A process of its own that reads a whole file; its exit code is the errno, 200: it came short."""
    script = ("import os, sys\n"
              "try:\n"
              " fd = os.open(sys.argv[1], os.O_RDONLY)\n"
              " left = os.fstat(fd).st_size\n"
              " while more := os.read(fd, 4096): left -= len(more)\n"
              "except OSError as problem:\n"
              " sys.exit(problem.errno)\n"
              "sys.exit(200 if left else 0)\n")
    return subprocess.Popen([sys.executable, "-c", script, str(path)], stdin=subprocess.DEVNULL,
                            start_new_session=True)


def ended(process, seconds=20):
    """Its exit code, or a failure when it does not end."""
    try:
        return process.wait(seconds * processes.SLOWNESS)
    except subprocess.TimeoutExpired:
        raise processes.Late("it still waits") from None


# ---- the server dies -----------------------------------------------------------------------------

def test_a_dead_server_ends_the_mount(own_sshd, mount):
    """Without reconnect: unmounted, exit code 1, and it is said."""
    m = mount(server=own_sshd, expect_noise=True)
    own_sshd.kill()
    assert m.wait_over() == 1
    assert m.entry() is None
    assert re.search("disconnected|reset|closed", m.log())


@pytest.mark.ours
def test_a_dead_server_ends_the_mount_in_the_background(own_sshd, mount):
    m = mount(server=own_sshd, foreground=False)
    own_sshd.kill()
    m.wait_over()
    assert m.entry() is None


@pytest.mark.ours
def test_killed_while_reading(mount, proxy, server_dir):
    (server_dir / "file").write_bytes(os.urandom(8 << 20))
    m = mount(over=proxy(ends_at=["READ", 20]), expect_noise=True)
    reader = reader_of(m.path / "file")
    assert ended(reader) in LOST
    assert m.wait_over() == 1


def test_killed_while_writing(mount, proxy, server_dir):
    """The error reaches the writer, at the latest when he closes."""
    m = mount(over=proxy(ends_at=["WRITE", 10]), expect_noise=True)
    fd = os.open(m.path / "file", os.O_CREAT | os.O_WRONLY)
    problems = []
    for call in [lambda: os.write(fd, bytes(1 << 20))] * 4 + [lambda: os.close(fd)]:
        try:
            call()
        except OSError as problem:
            problems.append(problem.errno)
    assert problems and set(problems) <= set(LOST)
    assert m.wait_over() == 1


@pytest.mark.parametrize("request_type", ["LSTAT", "OPENDIR", "READDIR", "OPEN", "CLOSE", "MKDIR",
                                          "REMOVE", "SETSTAT", "READLINK", "SYMLINK",
                                          "posix-rename@openssh.com"])
def test_killed_at_any_request(mount, proxy, server_dir, request_type):
    """Whatever is asked when the connection ends, the asker gets an answer."""
    (server_dir / "file").write_text("x")
    (server_dir / "link").symlink_to("file")
    m = mount("-o", "no_check_root", over=proxy(ends_at=[request_type, 1]), expect_noise=True)
    with pytest.raises(OSError):
        os.listdir(m.path)
        os.readlink(m.path / "link")
        (m.path / "new").write_text("x")
        os.chmod(m.path / "new", 0o600)
        os.truncate(m.path / "new", 0)
        (m.path / "folder").mkdir()
        os.symlink("x", m.path / "other")
        os.rename(m.path / "new", m.path / "newer")
        (m.path / "newer").unlink()
        for turn in range(2000):  # CLOSE is not waited for: it is the next request that fails
            os.stat(m.path / f"missing{turn}")
    assert m.wait_over() == 1


# ---- reconnect -----------------------------------------------------------------------------------

def test_reconnect(own_sshd, mount, server_dir, until):
    (server_dir / "file").write_text("content")
    m = mount("-o", "reconnect", server=own_sshd, expect_noise=True)
    assert (m.path / "file").read_text() == "content"
    for turn in range(3):
        own_sshd.kill()
        until(lambda: works(m.path / "file"), "the connection to come back")
        (m.path / "new").write_text(f"turn {turn}")
        assert (server_dir / "new").read_text() == f"turn {turn}"


def works(path):
    try:
        return path.read_text() == "content"
    except OSError as problem:
        assert problem.errno in LOST, problem
        return False


def test_reconnect_while_the_server_is_away(own_sshd, mount, server_dir, until):
    """Away: an error, and soon. Back: it works again."""
    (server_dir / "file").write_text("content")
    m = mount("-o", "reconnect,dir_cache=no,entry_timeout=0,attr_timeout=0", server=own_sshd,
              expect_noise=True)
    own_sshd.refuse()
    own_sshd.kill()
    for _ in range(2):
        reader = reader_of(m.path / "file")
        assert ended(reader, 30) in LOST
    assert m.process.poll() is None
    own_sshd.accept()
    until(lambda: works(m.path / "file"), "the connection to come back")


def test_reconnect_with_an_open_file(own_sshd, mount, server_dir, until):
    """It fails for as long as it is open, and never gives wrong data; opened anew it works."""
    content = os.urandom(1 << 20)
    (server_dir / "file").write_bytes(content)
    (server_dir / "other").write_text("content")
    m = mount("-o", "reconnect,direct_io", server=own_sshd, expect_noise=True)
    fd = os.open(m.path / "file", os.O_RDONLY)
    assert os.read(fd, 1000) == content[:1000]
    own_sshd.kill()
    until(lambda: works(m.path / "other"), "the connection to come back")
    for call in (lambda: os.read(fd, 1000), lambda: os.close(fd)):
        try:
            assert call() in (content[1000:2000], None)
        except OSError as problem:
            assert problem.errno in LOST
    assert (m.path / "file").read_bytes() == content


def test_data_that_was_not_written_is_not_forgotten(own_sshd, mount, server_dir, until):
    """close() after a loss in between says so."""
    (server_dir / "other").write_text("content")
    m = mount("-o", "reconnect", server=own_sshd, expect_noise=True)
    fd = os.open(m.path / "file", os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"first")
    with own_sshd.frozen():
        try:
            os.write(fd, b"second")
        finally:
            own_sshd.kill()
    until(lambda: works(m.path / "other"), "the connection to come back")
    with pytest.raises(OSError):
        os.close(fd)


@pytest.mark.ours
# ---- the link stalls -----------------------------------------------------------------------------

def test_a_killed_reader_on_a_stalled_link_dies(own_sshd, mount, server_dir):
    (server_dir / "file").write_bytes(bytes(1 << 20))
    m = mount(server=own_sshd)
    with own_sshd.frozen():
        reader = reader_of(m.path / "file")
        waits_in_fuse(reader)
        reader.kill()
        assert ended(reader) == -signal.SIGKILL
    assert os.listdir(m.path) == ["file"]


@pytest.mark.ours
def test_an_interrupted_reader_on_a_stalled_link_ends(own_sshd, mount, server_dir):
    """^C works: upstream's readers wait on. (A reader who catches SIGINT is not disturbed.)"""
    (server_dir / "file").write_bytes(bytes(1 << 20))
    m = mount(server=own_sshd)
    with own_sshd.frozen():
        reader = subprocess.Popen(["cat", m.path / "file"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, start_new_session=True)
        waits_in_fuse(reader)
        reader.send_signal(signal.SIGINT)
        assert ended(reader) == -signal.SIGINT
    assert os.listdir(m.path) == ["file"]


def waits_in_fuse(process):
    def asks():
        try:
            with open(f"/proc/{process.pid}/wchan") as file:
                return re.search("fuse|request_wait|folio_wait", file.read())
        except OSError:
            return False
    processes.wait_until(asks, "the reader to wait for the file system")


@pytest.mark.ours
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_although_the_link_is_stalled(own_sshd, mount, server_dir, number):
    (server_dir / "file").write_bytes(bytes(1 << 20))
    m = mount(server=own_sshd, expect_noise=True)
    with own_sshd.frozen():
        reader = reader_of(m.path / "file")
        waits_in_fuse(reader)
        os.kill(m.pid, number)
        assert m.wait_over(20) == 1
        assert m.entry() is None
        assert ended(reader) in LOST


@pytest.mark.ours
@pytest.mark.needs("root")
def test_a_lazy_unmount_while_the_link_is_stalled(own_sshd, mount, server_dir):
    (server_dir / "file").write_bytes(bytes(1 << 20))
    m = mount(server=own_sshd, expect_noise=True)
    with own_sshd.frozen():
        reader = reader_of(m.path / "file")
        waits_in_fuse(reader)
        subprocess.run(["umount", "-i", "-l", m.path], check=True, stdin=subprocess.DEVNULL)
        reader.kill()
        ended(reader)
    assert m.wait_over() == 0


# ---- the server is full, or says no --------------------------------------------------------------

@pytest.mark.ours
@pytest.mark.needs("root", "tmpfs")
@pytest.mark.parametrize("end", [os.close, os.fsync])
def test_enospc_stays_enospc(mount, small_disk, end):
    m = mount()
    fd = os.open(m.path / "small" / "file", os.O_CREAT | os.O_WRONLY)
    problems = []
    for call in [lambda: os.write(fd, bytes(1 << 19))] * 6 + [lambda: end(fd)]:
        try:
            call()
        except OSError as problem:
            problems.append(problem.errno)
    if end is not os.close:
        os.close(fd)
    assert problems and set(problems) == {errno.ENOSPC}


# SSH_FX codes and what they mean to the one who asked
STATUS = [(2, errno.ENOENT), (3, errno.EACCES), (8, errno.EOPNOTSUPP), (6, errno.ENOTCONN)]


@pytest.mark.parametrize("code, number", STATUS)
def test_a_status_is_an_errno(mount, proxy, server_dir, code, number):
    m = mount(over=proxy(status={"MKDIR": code}))
    with pytest.raises(OSError) as caught:
        (m.path / "folder").mkdir()
    assert caught.value.errno == number


@pytest.mark.ours
@pytest.mark.parametrize("code", [0, 1, 4, 5, 7, 9, 31, 0xffffffff])
@pytest.mark.parametrize("request_type", ["OPEN", "READ", "WRITE", "OPENDIR", "READDIR", "MKDIR",
                                          "LSTAT", "READLINK", "CLOSE"])
def test_any_status_for_any_request(mount, proxy, server_dir, request_type, code):
    """An answer that makes no sense is an error of this request or of the connection; no crash."""
    (server_dir / "file").write_text("content")
    (server_dir / "link").symlink_to("file")
    m = mount("-o", "no_check_root", over=proxy(status={request_type: code}), expect_noise=True)
    for call in (lambda: os.listdir(m.path), lambda: os.stat(m.path / "file"),
                 lambda: (m.path / "file").read_bytes(), lambda: os.readlink(m.path / "link"),
                 lambda: (m.path / "new").write_text("x"), lambda: (m.path / "folder").mkdir()):
        try:
            call()
        except OSError:
            pass
    assert m.end() in (0, 1)


# ---- the server lies -----------------------------------------------------------------------------

STATUS_REPLY, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105
FOLDER = struct.pack(">II", 4, 0o40755)


def names_reply(*names, count=None, attrs=struct.pack(">II", 4, 0o100644)):
    body = struct.pack(">I", len(names) if count is None else count)
    for name in names:
        body += packed(name) + packed(b"long name") + attrs
    return raw_reply(NAME, body)


@pytest.mark.parametrize("name", [b"a/b", b"../up", b"/etc/passwd", b"", b"nul\0byte", b"x" * 5000])
@pytest.mark.ours
def test_a_listing_with_a_hostile_name(mount, proxy, server_dir, name):
    """It is left out; the rest is shown."""
    m = mount(over=proxy(reply={"READDIR": [names_reply(b"good", name)]}), expect_noise=True)
    shown = os.listdir(m.path)
    assert "good" in shown
    for one in shown:
        assert "/" not in one and "\0" not in one and one not in ("", ".", "..")
    assert os.fsdecode(name) not in shown


LIES = {
    "huge count": {"READDIR": names_reply(b"a", count=0xffffffff)},
    "count of zero": {"READDIR": [names_reply()] * 3},
    "cut off": {"READDIR": raw_reply(NAME, struct.pack(">I", 1) + b"\0\0")},
    "string beyond the end": {"READDIR": raw_reply(NAME, struct.pack(">II", 1, 0x7fffffff))},
    "wrong type": {"LSTAT": raw_reply(DATA, packed(b"x"))},
    "unknown type": {"LSTAT": raw_reply(250, b"xyz")},
    "unknown id": {"LSTAT": raw_reply(ATTRS, FOLDER).replace("ID", "deadbeef")},
    "empty attributes": {"LSTAT": raw_reply(ATTRS, b"")},
    "attributes cut off": {"LSTAT": raw_reply(ATTRS, struct.pack(">IH", 1, 0))},
    "all flags": {"LSTAT": raw_reply(ATTRS, b"\xff" * 200)},
    "many extended attributes": {"LSTAT": raw_reply(ATTRS, struct.pack(">II", 1 << 31, 0xffffffff))},
    "huge handle": {"OPEN": raw_reply(HANDLE, packed(b"h" * 100_000))},
    "empty handle": {"OPEN": raw_reply(HANDLE, packed(b""))},
    "handle beyond the end": {"OPEN": raw_reply(HANDLE, struct.pack(">I", 0xfffffff0))},
    "more data than asked for": {"READ": raw_reply(DATA, packed(b"d" * 300_000))},
    "data beyond the end": {"READ": raw_reply(DATA, struct.pack(">I", 4096) + b"x")},
    "link of no names": {"READLINK": names_reply()},
    "link with NUL": {"READLINK": names_reply(b"a\0b")},
    "long link": {"READLINK": names_reply(b"x" * 70_000)},
    "empty link": {"READLINK": names_reply(b"")},
    "status without text": {"MKDIR": raw_reply(STATUS_REPLY, struct.pack(">I", 4))},
    "status without code": {"MKDIR": raw_reply(STATUS_REPLY, b"")},
    "status of text beyond the end": {"MKDIR": raw_reply(STATUS_REPLY, struct.pack(">II", 4, 99999))},
    "reply of one byte": {"LSTAT": "0000000165"},
}


@pytest.mark.ours
@pytest.mark.core
@pytest.mark.parametrize("lie", LIES)
def test_a_lie(mount, proxy, server_dir, lie):
    """An error of the request or the end of the connection; never a crash, never a hang."""
    (server_dir / "file").write_bytes(b"content" * 10_000)
    (server_dir / "link").symlink_to("file")
    m = mount("-o", "no_check_root", over=proxy(reply=LIES[lie]), expect_noise=True)
    for call in (lambda: os.listdir(m.path), lambda: os.stat(m.path / "file"),
                 lambda: (m.path / "file").read_bytes(), lambda: os.readlink(m.path / "link"),
                 lambda: (m.path / "folder").mkdir()):
        within(20, call)
    assert m.end() in (0, 1)


def within(seconds, call):
    """Runs a call that may fail but must end."""
    def run():
        try:
            call()
        except OSError:
            pass
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds * processes.SLOWNESS)
    assert not thread.is_alive(), "the call does not return"
