# SPDX-License-Identifier: GPL-2.0-or-later
"""The served files of bench/data: large ones, and a tree of small ones; the same in each run, and old."""

import dataclasses
import os
import pathlib
import shutil
import subprocess

from .trees import OLD, nested_folders

MIB = 2**20
WORD = "benchmark"


@dataclasses.dataclass
class Sizes:
    """How much of each; `part` of it is what those do that would need minutes."""

    large: int = 256 * MIB
    large_part: int = 32 * MIB
    vast: int = 1024 * MIB   # four times the largest budget that ours has by itself
    each: int = 32 * MIB     # of 8 files
    random: int = 2000
    random_part: int = 200
    areas: int = 7           # of the tree: 10 folders each
    small: int = 3000        # files in it
    opened: int = 1000
    opened_part: int = 100
    packed: int = 500        # files in the archive
    packed_part: int = 50


QUICK = Sizes(large=32 * MIB, large_part=4 * MIB, vast=320 * MIB, each=4 * MIB, random=100, random_part=50,
              areas=1, small=120, opened=60, opened_part=20, packed=30, packed_part=10)


def text_of(number):
    """A small file's text: from 100 bytes to 20 KB, 6 KB at the mean; the word is in its last line."""
    lines = 2 + (number * number) % 331
    line = f"line of file {number}, as long as lines of source are\n"
    return line * lines + f"{WORD} {number}\n"


class Contents:
    """All below `top`; `archives` are beside it: those are the client's. flow: the program."""

    def __init__(self, top, sizes, flow):
        self.top, self.sizes, self.flow = pathlib.Path(top), sizes, flow
        self.archives = self.top.parent / "archives"
        self.small = []  # paths in the tree, relative to top, in the order in which a walk finds them
        self.part = []   # those below one folder

    def make(self):
        sizes = self.sizes
        self._write("first.bin", 4 * MIB)
        self._write("large.bin", sizes.large)
        self._write("part.bin", sizes.large_part)
        self._write("vast.bin", sizes.vast)
        for number in range(8):
            self._write(f"one-of-8.{number}", sizes.each)
        self._make_tree()
        self.archives.mkdir()
        self._pack("all.tar", sizes.packed)
        self._pack("part.tar", sizes.packed_part)

    def _write(self, name, size):
        subprocess.run([self.flow, "write", self.top / name, str(size)], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.utime(self.top / name, (OLD, OLD))

    def _make_tree(self):
        folders = list(nested_folders(self.sizes.areas))
        for folder in folders:
            (self.top / "tree" / folder).mkdir(parents=True)
        for number in range(self.sizes.small):
            name = f"tree/{folders[number % len(folders)]}/file-{number:06}.txt"
            (self.top / name).write_text(text_of(number))
            os.utime(self.top / name, (OLD, OLD))
            self.small.append(name)
        self.small.sort()
        self.part = [name for name in self.small if name.startswith("tree/area-0/part-0/")]

    def _pack(self, archive, count):
        subprocess.run(["tar", "-C", self.top / "tree", "-cf", self.archives / archive,
                        *(name.removeprefix("tree/") for name in self.small[:count])], check=True)

    def renew(self):
        """What the one before has written is gone."""
        for name in ("written.bin", "copied.bin"):
            (self.top / name).unlink(missing_ok=True)
        shutil.rmtree(self.top / "unpacked", ignore_errors=True)
        (self.top / "unpacked").mkdir()

    def warm(self, names):
        """The server has these files in its cache: the link is measured, not the disk."""
        for name in names:
            path = self.top / name
            for file in (path.rglob("*") if path.is_dir() else [path]):
                if file.is_file():
                    read_all(file)


def read_all(path):
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(MIB)
        while file.readinto(buffer):
            pass
