# SPDX-License-Identifier: GPL-2.0-or-later
"""What is written behind: gathered, in order, never lost without a word; seen on the wire."""

import errno
import mmap
import os
import random
import threading

import pytest

from lib import processes
from lib.rogue import FAILURE, status

pytestmark = [pytest.mark.ours, pytest.mark.needs("fuse")]

PIECE = 261120  # bytes of a WRITE, as the server's limits say
SMALL = 4096


def lengths(rogue):
    return [one["length"] for one in rogue.requests("WRITE")]


def in_background(action):
    """A thread that ends with the action, and keeps what came of it in `problem`."""
    def run():
        try:
            action()
        except BaseException as problem:
            thread.problem = problem
    thread = threading.Thread(target=run, daemon=True)
    thread.problem = None
    thread.start()
    return thread


def end(thread):
    thread.join(30 * processes.SLOWNESS)
    assert not thread.is_alive(), "the call does not return"
    if thread.problem:
        raise thread.problem


@pytest.fixture
def written(rogue, mount, server_dir):
    """written(*options): a mount, an open file, and a gate that keeps the replies to WRITE."""
    opened = []

    def make(*options, flags=0):
        m = mount(*[word for option in options for word in ("-o", option)], over=rogue)
        fd = os.open(m.path / "file", os.O_CREAT | os.O_RDWR | flags)
        opened.append(fd)
        gate = rogue.hold("WRITE")
        gates.append(gate)
        return m, fd, gate
    gates = []
    yield make
    for gate in gates:
        gate.open()
    for fd in opened:
        try:
            os.close(fd)
        except OSError:
            pass


# ---- gathering -----------------------------------------------------------------------------------

@pytest.mark.core
@pytest.mark.parametrize("options", [(), ("direct_io",)], ids=["cached", "direct_io"])
def test_a_thousand_small_writes_are_seventeen(written, rogue, server_dir, options):
    """The first goes out at once; the others, while it is unanswered, in full WRITEs; then the rest."""
    content = os.urandom(1000 * SMALL)
    _, fd, gate = written(*options)
    for at in range(0, len(content), SMALL):
        assert os.write(fd, content[at:at + SMALL]) == SMALL
    full, rest = divmod(len(content) - SMALL, PIECE)
    rogue.wait("WRITE", 1 + full)
    assert lengths(rogue) == [SMALL] + full * [PIECE]
    gate.open()
    os.fsync(fd)
    assert lengths(rogue) == [SMALL] + full * [PIECE] + [rest] and 1 + full + 1 == 17
    assert (server_dir / "file").read_bytes() == content


def test_no_rest_is_left_between_large_writes(written, rogue, server_dir):
    """1 MiB is four WRITEs and 4 KiB, which go with the next."""
    content = os.urandom(2 << 20)
    _, fd, gate = written("direct_io")
    for at in (0, 1 << 20):
        os.write(fd, content[at:at + (1 << 20)])
    rogue.wait("WRITE", 8)
    assert lengths(rogue) == 8 * [PIECE]
    gate.open()
    os.fsync(fd)
    assert lengths(rogue) == 8 * [PIECE] + [(2 << 20) - 8 * PIECE]
    assert (server_dir / "file").read_bytes() == content


def test_what_was_gathered_goes_when_it_is_next(written, rogue, server_dir):
    """Nobody needs to ask for it."""
    _, fd, gate = written()
    for number in range(5):
        os.write(fd, b"%d" % number * 100)
    rogue.wait("WRITE", 1)
    assert lengths(rogue) == [100]
    gate.open()
    rogue.wait("WRITE", 2)
    assert lengths(rogue) == [100, 400]


def by_another_descriptor(action):
    def run(m, fd):
        other = os.open(m.path / "file", os.O_RDWR)
        try:
            action(other)
        finally:
            os.close(other)
    return run


PUSHES = {
    "fsync": lambda m, fd: os.fsync(fd),
    "close": lambda m, fd: os.close(os.dup(fd)),
    "stat": lambda m, fd: os.stat(m.path / "file"),
    "read": lambda m, fd: os.pread(fd, 10, 0),
    "truncate": lambda m, fd: os.ftruncate(fd, 50),
    "truncate by name": lambda m, fd: os.truncate(m.path / "file", 50),
    "chmod": lambda m, fd: os.fchmod(fd, 0o600),
    "open": lambda m, fd: os.close(os.open(m.path / "file", os.O_RDONLY)),
    "fallocate": lambda m, fd: os.posix_fallocate(fd, 0, 10),
    "elsewhere": lambda m, fd: os.pwrite(fd, b"x", 5000),
    "before": lambda m, fd: os.pwrite(fd, b"x", 0),
    "another writer": by_another_descriptor(lambda other: os.pwrite(other, b"x", 300)),
}


@pytest.mark.core
@pytest.mark.parametrize("push", PUSHES)
def test_what_makes_it_go(written, rogue, server_dir, push):
    """It is sent while the first is still unanswered."""
    m, fd, gate = written("direct_io,attr_timeout=0,dir_cache=no")
    for _ in range(3):
        os.write(fd, b"a" * 100)
    rogue.wait("WRITE", 1)
    thread = in_background(lambda: PUSHES[push](m, fd))
    rogue.wait("WRITE", 2)
    assert lengths(rogue)[:2] == [100, 200]
    gate.open()
    end(thread)
    os.fsync(fd)
    assert (server_dir / "file").read_bytes()[:50].strip(b"x") in (b"a" * 50, b"a" * 49)


def test_sshfs_sync_gathers_nothing(written, rogue, server_dir):
    _, fd, gate = written("sshfs_sync,direct_io")
    os.ftruncate(fd, 800)  # the kernel lets only those that do not grow the file write at once
    writers = [in_background(lambda at=at: os.pwrite(fd, b"%d" % at * 100, at * 100))
               for at in range(8)]
    rogue.wait("WRITE", 8)  # none of them waits for another's reply
    gate.open()
    for writer in writers:
        end(writer)
    assert lengths(rogue) == [100] * 8
    assert (server_dir / "file").read_bytes() == b"".join(b"%d" % at * 100 for at in range(8))


def test_a_sparse_file_stays_sparse(written, rogue, server_dir):
    _, fd, gate = written()
    gate.open()
    for megabytes in range(0, 200, 10):
        os.pwrite(fd, b"x" * 100, megabytes << 20)
    os.fsync(fd)
    assert sum(lengths(rogue)) == 20 * 100
    info = (server_dir / "file").stat()
    assert info.st_size == (190 << 20) + 100 and info.st_blocks * 512 < 2 << 20


@pytest.mark.parametrize("flags", [0, os.O_TRUNC], ids=["one after the other", "side by side"])
def test_lines_that_are_appended_are_never_cut(written, rogue, server_dir, flags):
    """Others may append meanwhile: each WRITE is of whole lines."""
    m, fd, gate = written(flags=os.O_APPEND)
    other = os.open(m.path / "file", os.O_WRONLY | os.O_APPEND)
    for _ in range(6000):
        os.write(fd, b"a" * 99 + b"\n")
        if flags:
            os.write(other, b"b" * 149 + b"\n")
    gate.open()
    os.close(other)
    os.fsync(fd)
    assert all(length % 100 == 0 or length % 150 == 0 for length in lengths(rogue))
    lines = (server_dir / "file").read_bytes().splitlines()
    assert sorted(map(len, lines)) == [99] * 6000 + ([149] * 6000 if flags else [])
    if not flags:
        assert len(lengths(rogue)) < 10


# ---- errors --------------------------------------------------------------------------------------

REFUSALS = {errno.ENOSPC: "No space left on device", errno.EDQUOT: "Disk quota exceeded"}


def fill_up(rogue, at, number=errno.ENOSPC):
    """Nothing that reaches beyond `at` can be written any more."""
    rogue.on("WRITE", lambda request: status(FAILURE, REFUSALS[number])
             if request.about["offset"] + request.about["length"] > at else None)


def problems_of(*calls):
    found = []
    for call in calls:
        try:
            call()
            found.append(0)
        except OSError as problem:
            found.append(problem.errno)
    return found


ENDS = {"close": lambda fd: os.close(os.dup(fd)), "fsync": os.fsync, "fdatasync": os.fdatasync}


@pytest.mark.core
@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
@pytest.mark.parametrize("how", ENDS)
def test_full_in_the_middle_of_small_writes(written, rogue, server_dir, how, number):
    """The writes that were gathered have been accepted; who asks is told, once, why they failed."""
    _, fd, gate = written()
    fill_up(rogue, 2000, number)
    for _ in range(10):
        os.write(fd, b"x" * 1000)
    gate.open()
    assert problems_of(lambda: ENDS[how](fd), lambda: ENDS[how](fd)) == [number, 0]
    assert (server_dir / "file").read_bytes() == b"x" * 1000


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
def test_full_is_told_to_the_next_write_too(written, rogue, number):
    """And stays for close(2). From then on each write is waited for, and tells its own error."""
    _, fd, gate = written()
    gate.open()
    fill_up(rogue, 0, number)
    os.write(fd, b"x" * 1000)
    assert problems_of(lambda: [os.write(fd, b"x" * 1000) for _ in range(10_000)]) == [number]
    assert problems_of(lambda: os.close(os.dup(fd)), lambda: os.fsync(fd)) == [number, 0]
    assert problems_of(lambda: os.write(fd, b"x")) == [number]
    rogue.on("WRITE", None)
    problems_of(lambda: os.fsync(fd))
    assert problems_of(lambda: os.pwrite(fd, b"yes", 0), lambda: os.fsync(fd)) == [0, 0]


def test_the_first_error_is_kept(written, rogue):
    _, fd, gate = written()
    answers = iter([status(FAILURE, REFUSALS[errno.EDQUOT]), status(FAILURE, REFUSALS[errno.ENOSPC])])
    rogue.on("WRITE", lambda request: next(answers, None))
    for at in (0, 5000, 10_000):
        os.pwrite(fd, b"x", at)
    gate.open()
    assert problems_of(lambda: os.fsync(fd), lambda: os.fsync(fd)) == [errno.EDQUOT, 0]


def test_an_error_is_told_to_the_writer_whose_it_is(written, rogue, server_dir):
    """Of two who write to one file; reading and looking at it do not take it away."""
    m, fd, gate = written()
    other = os.open(m.path / "file", os.O_RDWR)
    fill_up(rogue, 100_000)
    os.pwrite(fd, b"x", 200_000)
    os.pwrite(other, b"y", 0)
    gate.open()
    os.stat(m.path / "file")
    assert problems_of(lambda: os.close(other)) == [0]
    assert problems_of(lambda: os.fsync(fd), lambda: os.fsync(fd)) == [errno.ENOSPC, 0]
    assert (server_dir / "file").read_bytes() == b"y"


def test_an_error_after_dup(written, rogue):
    """Both are one open file: who closes first is told."""
    _, fd, gate = written()
    copy = os.dup(fd)
    fill_up(rogue, 0)
    os.write(fd, b"x")
    gate.open()
    assert problems_of(lambda: os.close(copy)) == [errno.ENOSPC]
    assert problems_of(lambda: os.fsync(fd)) == [0]


@pytest.mark.needs("root", "tmpfs", "server")
def test_an_error_at_msync(mount, small_disk):
    """Pages are written when they are synced; the one who does it is told."""
    m = mount(over="fake")
    (small_disk / "filler").write_bytes(bytes(1 << 20))
    fd = os.open(m.path / "small" / "file", os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, 3 * mmap.PAGESIZE)
    with mmap.mmap(fd, 3 * mmap.PAGESIZE) as pages:
        pages[mmap.PAGESIZE:mmap.PAGESIZE + 4] = b"data"
        assert problems_of(pages.flush) == [errno.ENOSPC]
        (small_disk / "filler").unlink()
        problems_of(lambda: os.fsync(fd))
        pages[0:4] = b"more"
        assert problems_of(pages.flush, lambda: os.fsync(fd)) == [0, 0]
    os.close(fd)
    assert (small_disk / "file").read_bytes()[:4] == b"more"


@pytest.mark.needs("root", "tmpfs", "server")
@pytest.mark.parametrize("size", [100, SMALL, 1 << 19])
def test_a_full_disk(mount, small_disk, size):
    """A real one: whatever the size of the writes, and no byte that was confirmed is missing."""
    m = mount("-o", "direct_io")
    fd = os.open(m.path / "small" / "file", os.O_CREAT | os.O_WRONLY)
    problems = set()
    for _ in range((2 << 20) // size):
        problems.update(problems_of(lambda: os.write(fd, b"x" * size)))
        if problems != {0}:
            break
    problems.update(problems_of(lambda: os.fsync(fd)))
    os.close(fd)
    assert problems - {0} == {errno.ENOSPC}
    content = (small_disk / "file").read_bytes()
    assert 0 < len(content) <= 1 << 20 and content.strip(b"x").strip(b"\0") == b""


# ---- all at once ---------------------------------------------------------------------------------

class Party(threading.Thread):
    """Writes to, and reads from, its own part of a file that all share."""

    def __init__(self, number, path, rounds):
        super().__init__(name=f"party {number}")
        self.random = random.Random(number)
        self.path, self.rounds = path, rounds
        self.start_at, self.content = number * self.PART, bytearray(self.PART)
        self.problem = None

    PART = 300_000

    def run(self):
        fds = [os.open(self.path, os.O_RDWR) for _ in range(2)]
        try:
            with mmap.mmap(fds[0], 0) if self.random.random() < 0.5 else open(os.devnull) as pages:
                for _ in range(self.rounds):
                    self.turn(self.random.choice(fds),
                              pages if isinstance(pages, mmap.mmap) else None)
            for fd in fds:
                os.fsync(fd)
        except Exception as problem:  # noqa: BLE001 - told by the main thread
            self.problem = problem
        finally:
            for fd in fds:
                os.close(fd)

    def turn(self, fd, pages):
        size = self.random.choice([1, 100, SMALL, SMALL, SMALL, 70_000, 200_000])
        at = self.random.randrange(self.PART - size)
        action = self.random.randrange(5)
        if action < 2:
            step = self.random.choice([size, max(size // 10, 1)])
            data = self.random.randbytes(size)
            for begin in range(0, size, step):
                os.pwrite(fd, data[begin:begin + step], self.start_at + at + begin)
            self.content[at:at + size] = data
        elif action == 2 and pages:
            data = self.random.randbytes(min(size, SMALL))
            pages[self.start_at + at:self.start_at + at + len(data)] = data
            self.content[at:at + len(data)] = data
        elif action == 3:
            os.fsync(fd)
        got = os.pread(fd, size, self.start_at + at)
        assert got == self.content[at:at + size], (self.name, at, size)


@pytest.mark.storm
@pytest.mark.deadline(240)
@pytest.mark.needs("server")
@pytest.mark.parametrize("option", ["default", "max_conns=3", "dir_cache=no", "sshfs_sync"])
def test_many_writers_of_one_file(mount, server_dir, option):
    """Each sees what it has written, by whichever of its descriptors, and so does the server in the end."""
    rounds = int(os.environ.get("SSHFS_TEST_ROUNDS", 25)) * 4
    m = mount(*(() if option == "default" else ("-o", option)), over="fake")
    parties = 12
    with open(m.path / "file", "wb") as file:
        file.truncate(parties * Party.PART)
    threads = [Party(number, m.path / "file", rounds) for number in range(parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [thread.problem for thread in threads if thread.problem] == []
    os.truncate(m.path / "file", (parties - 1) * Party.PART)
    expected = b"".join(thread.content for thread in threads[:-1])
    assert (m.path / "file").read_bytes() == expected
    assert (server_dir / "file").read_bytes() == expected
