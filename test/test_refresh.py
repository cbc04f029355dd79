# SPDX-License-Identifier: GPL-2.0-or-later
"""sshfs --refresh: what others have changed on the server is seen at once, however long is remembered."""

import errno
import os
import re
import subprocess

import pytest

from lib import control, mount as mount_module

pytestmark = [pytest.mark.ours, pytest.mark.needs("fuse", "server")]

# Linux can be told to forget names since 6.16; before, it has to ask us for them.
FORGETS_NAMES = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (6, 16)

# Without a refresh nothing new is seen while a test runs.
LONG = ("-o", "cache=aggressive,no_contain_symlinks"
        + ("" if FORGETS_NAMES else ",entry_timeout=0,negative_timeout=0"))


@pytest.fixture
def refresh(sshfs):
    def run(path):
        result = sshfs("--refresh", path)
        assert result.code == 0 and result.out == result.err == "", result
    return run


class Tree:
    """A tree that the mount knows well, and that was changed on the server since."""

    FILES = ("file", "a/file", "a/b/file", "c/file")

    def __init__(self, here, there):
        self.here, self.there = here, there
        for folder in ("a/b", "c"):
            (there / folder).mkdir(parents=True)
        for name in self.FILES:
            (there / name).write_text("old")
        (there / "link").symlink_to("old")
        for folder in ("", "a", "a/b", "c"):
            (there / folder / "gone").touch()
        assert self.news() == set()
        for name in self.FILES:
            (there / name).write_text("longer than before")
        for folder in ("", "a", "a/b", "c"):
            (there / folder / "new").touch()
            (there / folder / "gone").unlink()
        (there / "link").unlink()
        (there / "link").symlink_to("new")
        assert self.news() == set(), "without a refresh nothing is seen"

    def news(self):
        """Which of the changes are seen: by size, by name, in listings."""
        seen = {name for name in self.FILES if os.stat(self.here / name).st_size > 3}
        if os.readlink(self.here / "link") == "new":
            seen.add("link")
        for folder in ("", "a", "a/b", "c"):
            path = self.here / folder
            if os.path.lexists(path / "new"):
                seen.add(f"{folder}:new")
            if not os.path.lexists(path / "gone"):
                seen.add(f"{folder}:gone")
            if "new" in os.listdir(path):
                seen.add(f"{folder}:listed")
        return seen


def all_of(*folders):
    return {f"{folder}:{what}" for folder in folders for what in ("new", "gone", "listed")}


@pytest.fixture
def tree(mount, server_dir):
    return Tree(mount(*LONG, over="fake").path, server_dir)


# ---- what is seen --------------------------------------------------------------------------------

def test_the_whole_mount(tree, refresh):
    refresh(tree.here)
    assert tree.news() == {*Tree.FILES, "link", *all_of("", "a", "a/b", "c")}


def test_a_folder(tree, refresh):
    """It and what is below it."""
    refresh(tree.here / "a")
    assert tree.news() >= {"a/file", "a/b/file", *all_of("a", "a/b")}


def test_what_is_elsewhere_stays_known(tree, refresh):
    """But for the folder that it is in, which may not have it any more."""
    refresh(tree.here / "a" / "b")
    assert tree.news() - {"a/file", *all_of("a")} == {"a/b/file", *all_of("a/b")}


def test_a_file(tree, refresh):
    refresh(tree.here / "a" / "b" / "file")
    assert tree.news() - all_of("a/b") == {"a/b/file"}


def test_a_file_in_the_working_folder(tree, tmp_path, refresh):
    result = subprocess.run([mount_module.binary(), "--refresh", "file"], cwd=tree.here / "c",
                            env=mount_module.environment(tmp_path, "x"))
    assert result.returncode == 0
    assert "c/file" in tree.news()


def test_a_symlink(tree, refresh):
    """The link itself, though it leads nowhere."""
    refresh(tree.here / "link")
    assert os.readlink(tree.here / "link") == "new"


def test_a_name_that_was_missing(mount, server_dir, refresh):
    m = mount(*LONG, over="fake")
    assert not os.path.lexists(m.path / "file")
    (server_dir / "file").touch()
    assert not os.path.lexists(m.path / "file")
    refresh(m.path / "file")
    assert os.path.lexists(m.path / "file")


def test_a_name_that_is_gone(tree, refresh):
    refresh(tree.here / "c" / "gone")
    assert not os.path.lexists(tree.here / "c" / "gone")


def test_a_symlink_that_leads_to_the_mount(tree, tmp_path, refresh):
    (tmp_path / "way").symlink_to(tree.here)
    refresh(tmp_path / "way")
    assert tree.news() >= {*Tree.FILES, *all_of("")}


def test_replaced_by_another_kind(mount, server_dir, refresh):
    (server_dir / "thing").mkdir()
    (server_dir / "thing" / "inner").touch()
    m = mount(*LONG, over="fake")
    assert os.listdir(m.path / "thing") == ["inner"]
    (server_dir / "thing" / "inner").unlink()
    (server_dir / "thing").rmdir()
    (server_dir / "thing").write_text("a file")
    refresh(m.path / "thing")
    assert (m.path / "thing").read_text() == "a file"


# ---- contents ------------------------------------------------------------------------------------

def change_unseen(path):
    """Other contents of the same size and time: no look at its attributes tells."""
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("target", ["file", "."])
def test_contents(mount, server_dir, refresh, target):
    (server_dir / "file").write_bytes(b"abc" * 2000)
    m = mount(*LONG, over="fake")
    assert (m.path / "file").read_bytes() == (m.path / "file").read_bytes() == b"abc" * 2000
    change_unseen(server_dir / "file")
    assert (m.path / "file").read_bytes() == b"abc" * 2000, "auto_cache cannot know"
    refresh(m.path / target)
    assert (m.path / "file").read_bytes() == b"cba" * 2000


def test_open_files_stay_open(mount, server_dir, refresh):
    (server_dir / "file").write_text("old")
    m = mount(*LONG, over="fake")
    with open(m.path / "file", "rb+", buffering=0) as file:
        file.write(b"new")
        refresh(m.path)
        refresh(m.path / "file")
        assert os.pread(file.fileno(), 10, 0) == b"new"
        file.write(b"er")
    assert (server_dir / "file").read_text() == "newer"


def test_open_folders_stay_open(mount, server_dir, refresh):
    (server_dir / "folder").mkdir()
    m = mount(*LONG, over="fake")
    inside = os.open(m.path / "folder", os.O_RDONLY)
    try:
        refresh(m.path)
        (server_dir / "folder" / "file").touch()
        assert os.stat("file", dir_fd=inside).st_size == 0
    finally:
        os.close(inside)


def test_a_folder_that_was_removed(mount, server_dir):
    """ESTALE, or whatever the kernel says of a dead folder: nobody hangs, nothing breaks."""
    (server_dir / "folder").mkdir()
    m = mount(*LONG, over="fake")
    inside = os.open(m.path / "folder", os.O_RDONLY)
    try:
        os.rmdir(m.path / "folder")
        with pytest.raises(OSError) as caught:
            control.call(f"/proc/self/fd/{inside}", control.REFRESH, control.refresh_of())
        assert caught.value.errno in (errno.ESTALE, errno.ENOENT)
    finally:
        os.close(inside)


@pytest.mark.storm
def test_while_others_work(mount, server_dir, refresh):
    """Refreshes in the midst of look-ups, writes and listings: all that is read is right."""
    (server_dir / "folder").mkdir()
    m = mount(*LONG, over="fake")
    script = ("import os, sys\nfor i in range(100):\n"
              " name = f'{sys.argv[1]}{i % 7}'\n open(name, 'w').write(str(i))\n"
              " assert open(name).read() == str(i)\n"
              " assert os.path.basename(name) in os.listdir('folder')\n os.unlink(name)\n"
              " assert not os.path.exists(name)\n")
    workers = [subprocess.Popen(["/usr/bin/python3", "-c", script, f"folder/{letter}"], cwd=m.path)
               for letter in "ab"]
    while any(worker.poll() is None for worker in workers):
        for path in (m.path, m.path / "folder", m.path / "folder" / "a0"):
            refresh(path)
    assert [worker.returncode for worker in workers] == [0, 0]
