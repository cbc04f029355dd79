# SPDX-License-Identifier: GPL-2.0-or-later
"""The served folders of bench/metadata: what they hold is the same in each run, and old."""

import dataclasses
import os
import pathlib
import shutil
import subprocess

# Whole seconds, as SFTP has them, and long ago: nothing is taken for just changed.
OLD = 1_600_000_000


@dataclasses.dataclass
class Sizes:
    """How many of each."""

    walk: int = 3000        # files, in folders of three levels
    areas: int = 7          # of the first level: 10 folders each
    long: int = 5000        # files in one folder
    repository: int = 500   # files
    sources: int = 40       # folders of the repository
    operations: int = 50    # of each kind
    hot: int = 200          # files in one folder
    hot_seconds: float = 5
    cached: int = 100       # folders of 1,000 files
    huge: int = 200_000     # files in one folder


QUICK = Sizes(walk=600, areas=2, long=1000, repository=20, sources=4, operations=10, hot_seconds=1,
              cached=10, huge=20_000)


def write(path, number):
    """A file whose size tells it from its neighbours."""
    path.write_bytes(b"%d\n" % number * (number % 97 + 1))
    os.utime(path, (OLD, OLD))


def nested_folders(areas):
    """Paths: some areas, 3 folders in each of them, 2 in each of these."""
    for one in range(areas):
        yield f"area-{one}"
        for two in range(3):
            yield f"area-{one}/part-{two}"
            yield from (f"area-{one}/part-{two}/piece-{three}" for three in range(2))


def spread(top, folders, count):
    """Files, one a folder in turn."""
    for folder in folders:
        (top / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        write(top / folders[number % len(folders)] / f"file-{number:06}.txt", number)


def flat(top, count):
    top.mkdir()
    for number in range(count):
        write(top / f"file-{number:06}", number)


def many(top, count):
    """Empty files, as fast as they can be made."""
    top.mkdir(parents=True)
    for number in range(count):
        os.close(os.open(f"{top}/entry-{number:06}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def git_environment(top):
    """No configuration of this machine's, and no doubt about the owner."""
    return {**os.environ, "LC_ALL": "C", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": str(top), "GIT_CEILING_DIRECTORIES": str(pathlib.Path(top).parent)}


class Trees:
    """All of them below one folder; `top / "walk"` and so on. `git`: whether there is a repository."""

    def __init__(self, top, sizes):
        self.top, self.sizes = pathlib.Path(top), sizes
        self.git = shutil.which("git") is not None

    def make(self):
        spread(self.top / "walk", list(nested_folders(self.sizes.areas)), self.sizes.walk)
        flat(self.top / "long", self.sizes.long)
        flat(self.top / "hot", self.sizes.hot)
        for number in range(self.sizes.cached):
            many(self.top / "cached" / f"folder-{number:03}", 1000)
        many(self.top / "huge", self.sizes.huge)
        if self.git:
            self._make_repository()
        self.renew()

    def _make_repository(self):
        top = self.top / "repository"
        spread(top, [f"module-{number // 5}/source-{number % 5}" for number in range(self.sizes.sources)],
               self.sizes.repository)
        for words in (["init", "-q"], ["add", "."],
                      ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "all"]):
            subprocess.run(["git", "-C", top, *words], check=True, stdin=subprocess.DEVNULL,
                           env=git_environment(top))
        shutil.copy2(top / ".git/index", self.top / "index")

    def renew(self):
        """What the one before has changed is as it was: the folder of the operations, git's index."""
        shutil.rmtree(self.top / "operations", ignore_errors=True)
        flat(self.top / "operations", 20)
        if self.git:
            shutil.copy2(self.top / "index", self.top / "repository/.git/index")
