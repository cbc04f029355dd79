# SPDX-License-Identifier: GPL-2.0-or-later
"""Many threads at once, each checking what it reads against what it has written."""

import errno
import os
import random
import threading

import pytest

pytestmark = [pytest.mark.needs("fuse", "server"), pytest.mark.ours, pytest.mark.storm,
              pytest.mark.deadline(240)]

THREADS = 64
ROUNDS = int(os.environ.get("SSHFS_TEST_ROUNDS", 25))


# What a file may hold that others make anew at the same time. Zeros: the kernel has asked for its page, it was
# emptied, and written again; it then shows the page that it got, of no bytes, at the size that it has now.
SHARED = (b"", b"shared", bytes(len(b"shared")))


class Worker(threading.Thread):
    """Works in a folder of its own, and now and then in the one that all share."""

    def __init__(self, number, root, rounds):
        super().__init__(name=f"worker {number}")
        self.random = random.Random(number)
        self.root, self.rounds = root, rounds
        self.home = root / f"home{number}"
        self.problem = None
        self.contents = {}

    def run(self):
        try:
            self.home.mkdir()
            for _ in range(self.rounds):
                self.random.choice([self.write, self.write, self.read, self.rename, self.remove,
                                    self.append, self.truncate, self.list, self.share])()
            for name in list(self.contents):
                self.check(name)
        except Exception as problem:  # noqa: BLE001 - told by the main thread
            self.problem = problem

    def some(self):
        return self.random.choice(sorted(self.contents)) if self.contents else None

    def check(self, name):
        got = (self.home / name).read_bytes()
        assert got == self.contents[name], (self.name, name, len(got), len(self.contents[name]))
        assert (self.home / name).stat().st_size == len(got)

    def write(self):
        name = f"f{self.random.randrange(8)}"
        data = self.random.randbytes(self.random.choice([0, 10, 5000, 200000]))
        (self.home / name).write_bytes(data)
        self.contents[name] = data
        self.check(name)

    def read(self):
        if name := self.some():
            self.check(name)

    def append(self):
        if name := self.some():
            with open(self.home / name, "ab") as file:
                file.write(b"more")
            self.contents[name] += b"more"
            self.check(name)

    def truncate(self):
        if name := self.some():
            size = self.random.randrange(1 + len(self.contents[name]))
            os.truncate(self.home / name, size)
            self.contents[name] = self.contents[name][:size]
            self.check(name)

    def rename(self):
        if name := self.some():
            new = f"g{self.random.randrange(8)}"
            os.rename(self.home / name, self.home / new)
            data = self.contents.pop(name)
            self.contents[new] = data
            assert name == new or not (self.home / name).exists()
            self.check(new)

    def remove(self):
        if name := self.some():
            os.unlink(self.home / name)
            del self.contents[name]
            assert not (self.home / name).exists()

    def list(self):
        assert sorted(os.listdir(self.home)) == sorted(self.contents), self.name

    def share(self):
        """A name that others make and remove, too: any outcome but nonsense is right."""
        path = self.root / "shared" / f"s{self.random.randrange(6)}"
        try:
            action = self.random.randrange(4)
            if action == 0:
                path.write_bytes(b"shared")
            elif action == 1:
                assert path.read_bytes() in SHARED
            elif action == 2:
                path.unlink()
            else:
                os.listdir(path.parent)
        except OSError as problem:
            # A name that is replaced between two of its calls is stale for the open one.
            assert problem.errno in (errno.ENOENT, errno.EEXIST, errno.ESTALE), problem


def storm(root):
    (root / "shared").mkdir()
    workers = [Worker(number, root, ROUNDS) for number in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.problem for worker in workers if worker.problem] == []
    return workers


@pytest.mark.parametrize("options", [(), ("dir_cache=no",), ("max_conns=4",), ("-s",)],
                         ids=lambda options: options[0] if options else "default")
def test_storm(mount, server_dir, options):
    words = [word for option in options
             for word in ((option,) if option.startswith("-") else ("-o", option))]
    m = mount(*words, over="fake")
    for worker in storm(m.path):
        home = server_dir / worker.home.name
        assert {path.name: path.read_bytes() for path in home.iterdir()} == worker.contents
