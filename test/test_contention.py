# SPDX-License-Identifier: GPL-2.0-or-later
"""Many threads that get in each other's way on the same few names; thread-sanitized, too."""

import errno
import os
import random
import threading
import time
import traceback

import pytest

from lib import processes

pytestmark = [pytest.mark.storm, pytest.mark.deadline(180), pytest.mark.needs("fuse", "server")]

THREADS = 64
TURNS = 40
NAMES = 12  # few, so that the threads get in each other's way


class Storm:
    """Each thread does random things to a small set of shared names, and to a file of its own."""

    # What may happen when another thread was faster; anything else is wrong.
    EXPECTED = {errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EINVAL,
                errno.ESTALE, errno.EPERM, errno.EACCES, errno.EBUSY}

    def __init__(self, folder, threads=THREADS, turns=TURNS):
        self.folder, self.turns = folder, turns
        self.problems = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(number,), daemon=True)
                        for number in range(threads)]

    def run(self):
        for thread in self.threads:
            thread.start()
        deadline = time.monotonic() + 120 * processes.SLOWNESS
        for thread in self.threads:
            thread.join(max(0, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in self.threads), "a thread hangs"
        assert self.problems == []

    def _run(self, number):
        dice = random.Random(number)
        try:
            for turn in range(self.turns):
                if self.stop.is_set():
                    return
                try:
                    self._anything(dice)
                except OSError as problem:
                    if problem.errno not in self.EXPECTED:
                        raise
                self._own_file(number, turn, dice)
        except BaseException as problem:
            where = traceback.extract_tb(problem.__traceback__)[-1]
            self.problems.append(f"thread {number}: {problem!r} in {where.line!r}")

    def _own_file(self, number, turn, dice):
        """Nobody else touches it: here everything must be right."""
        path = self.folder / f"own{number}"
        content = dice.randbytes(dice.choice((0, 1, 5000, 70_000)))
        path.write_bytes(content)
        assert path.read_bytes() == content, f"own{number} differs in turn {turn}"
        assert path.stat().st_size == len(content)

    def _anything(self, dice):
        name, other = (self.folder / f"n{dice.randrange(NAMES)}" for _ in range(2))
        dice.choice((
            lambda: name.write_bytes(dice.randbytes(3000)),
            lambda: name.read_bytes(),
            lambda: name.unlink(),
            lambda: os.rename(name, other),
            lambda: name.mkdir(),
            lambda: name.rmdir(),
            lambda: (name / "inner").write_text("x"),
            lambda: os.rename(name / "inner", other),
            lambda: os.symlink("nowhere", name),
            lambda: os.readlink(name),
            lambda: os.link(name, other),
            lambda: os.listdir(self.folder),
            lambda: [entry.stat(follow_symlinks=False) for entry in os.scandir(self.folder)],
            lambda: os.stat(name),
            lambda: os.chmod(name, 0o644),
            lambda: os.utime(name, (1, 2)),
            lambda: os.truncate(name, dice.randrange(10_000)),
            lambda: os.statvfs(name),
            lambda: self._held(name, dice),
        ))()

    @staticmethod
    def _held(path, dice):
        """Open, and used while others rename and unlink it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            os.write(fd, dice.randbytes(10_000))
            os.fsync(fd)
            os.pread(fd, 5000, 100)
            os.fstat(fd)
        finally:
            os.close(fd)


@pytest.mark.ours
@pytest.mark.parametrize("options", [[], ["-o", "dir_cache=no"], ["-o", "max_conns=4"]],
                         ids=["default", "uncached", "max_conns"])
def test_storm(mount, server_dir, options):
    m = mount(*options, over="fake")
    Storm(m.path).run()
    # Both sides agree when the storm is over.
    for name in os.listdir(server_dir):
        if name.startswith("own"):
            assert (m.path / name).read_bytes() == (server_dir / name).read_bytes()
    if not options:
        return
    assert sorted(os.listdir(m.path)) == sorted(os.listdir(server_dir))


def test_a_storm_on_one_file(mount, server_dir):
    """Every writer has a range of its own; all of them arrive."""
    m = mount(over="fake")
    size = 50_000
    (server_dir / "file").write_bytes(bytes(size * 32))

    def work(number):
        with open(m.path / "file", "r+b", buffering=0) as file:
            for start in range(0, size, 5000):
                os.pwrite(file.fileno(), bytes([number + 1]) * 5000, number * size + start)
                os.pread(file.fileno(), 5000, (number * size + 17 * start) % (31 * size))
    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = b"".join(bytes([number + 1]) * size for number in range(32))
    assert (server_dir / "file").read_bytes() == wanted
    assert (m.path / "file").read_bytes() == wanted


def test_a_storm_that_is_cut_off(own_sshd, mount):
    """The server dies in the middle of it: every thread gets its error, the mount ends."""
    m = mount(server=own_sshd, expect_noise=True)
    storm = Storm(m.path, threads=16, turns=100_000)
    for thread in storm.threads:
        thread.start()
    processes.wait_until(lambda: len(os.listdir(m.path)) > 8, "the storm to begin")
    own_sshd.kill()
    assert m.wait_over() == 1
    # From here on they would work in the folder below the mount.
    storm.stop.set()
    for thread in storm.threads:
        thread.join(60 * processes.SLOWNESS)
        assert not thread.is_alive(), "a thread hangs"
