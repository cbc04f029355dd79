# SPDX-License-Identifier: GPL-2.0-or-later
"""Small files that are read ahead of whoever opens one after the other: what is read and what is not, what it
saves (counted on the wire), and that what is opened from here is right."""

import os
import shutil
import subprocess

import pytest

from lib.background import Thread
from lib.rogue import PERMISSION_DENIED, status

pytestmark = [pytest.mark.needs("fuse"), pytest.mark.ours]

LONG_AGO = 1_000_000_000
COUNT = 40


def fill(folder, count=COUNT):
    folder.mkdir(exist_ok=True)
    for number in range(count):
        path = folder / f"f{number:03}"
        path.write_bytes(f"content of {number} ".encode() * number)
        os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.fixture
def filled(server_dir):
    fill(server_dir / "folder")
    return server_dir / "folder"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def in_order(folder, order):
    """As grep -r, a shell's "*", and tar go through it."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.inode()) for entry in entries]
    if order == "by name":
        found.sort()
    elif order == "by inode":
        found.sort(key=lambda one: one[1])
    return [name for name, _ in found]


def scan(folder, names):
    """Each file is opened when the one before has been read, as a program does."""
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.core
@pytest.mark.parametrize("order", ["as listed", "by name", "by inode"])
def test_a_scan_is_seen(rogue, mount, filled, order):
    m = mount("-o", "scan_ahead=100", over=rogue)
    names = in_order(m.path / "folder", order)
    rogue.forget()
    first = scan(m.path / "folder", names[:3])
    rogue.wait("READ", 3 + 8)  # who opened nothing yet of those is asked for
    assert {**first, **scan(m.path / "folder", names[3:])} == contents(filled)
    paths = [one["path"] for one in rogue.requests("OPEN")]
    assert len(set(paths)) == COUNT
    # One that its reader comes to just when it is about to be read ahead may be opened by both.
    assert len(paths) <= COUNT + 3
    # The first is empty: nothing is read of it.
    assert COUNT - 1 <= rogue.count("READ") <= COUNT + 2


@pytest.mark.core
def test_opening_what_was_read_ahead_asks_nothing(rogue, mount, filled):
    m = mount(over=rogue)
    names = in_order(m.path / "folder", "by name")
    scan(m.path / "folder", names[1:3])
    rogue.wait("FSTAT", 8)
    rogue.wait("CLOSE", 8 + 2 + 1)
    # Each of the eight is here by now. One more would be asked for behind them: so it is the last.
    gate = rogue.hold("OPEN")
    assert scan(m.path / "folder", names[3:11]) == {name: (filled / name).read_bytes() for name in names[3:11]}
    gate.open()


def test_another_folder_is_read_at_once(rogue, mount, server_dir, filled):
    fill(server_dir / "other")
    m = mount(over=rogue)
    scan(m.path / "folder", in_order(m.path / "folder", "as listed"))
    rogue.forget()
    os.listdir(m.path / "other")
    rogue.wait("OPEN", 8)


def test_a_file_here_and_there_is_no_scan(rogue, mount, filled):
    m = mount(over=rogue)
    names = in_order(m.path / "folder", "by name")
    rogue.forget()
    (m.path / "folder" / names[20]).read_bytes()
    os.stat(m.path / "folder" / names[21])
    assert (m.path / "folder" / names[20]).read_bytes() == (filled / names[20]).read_bytes()
    assert rogue.count("OPEN") == 2


@pytest.mark.parametrize("options", ["scan_ahead=0", "no_readahead", "direct_io", "cache=strict"])
def test_not_wanted(rogue, mount, filled, options):
    m = mount("-o", options, over=rogue)
    names = in_order(m.path / "folder", "by name")
    scan(m.path / "folder", names[:10])
    assert rogue.count("OPEN") == 10


def test_never_more_than_that(rogue, mount, filled):
    m = mount("-o", "scan_ahead=2", over=rogue)
    names = in_order(m.path / "folder", "by name")
    gate = rogue.hold("FSTAT")
    scan(m.path / "folder", names[1:3])
    gate.wait(2)
    gate.open()
    assert rogue.count("OPEN") <= 2 + 2


# ---- that it is right ------------------------------------------------------------------------------

@pytest.fixture
def ahead(rogue, mount, filled):
    """A mount in which files 3 to 10 were read ahead; their names."""
    m = mount(over=rogue)
    names = in_order(m.path / "folder", "by name")
    scan(m.path / "folder", names[1:3])
    rogue.wait("CLOSE", 8 + 2 + 1)
    # Behind all that was read ahead: its answer comes when theirs have come.
    os.statvfs(m.path)
    return m.path / "folder", names


@pytest.mark.core
def test_own_changes_are_seen(ahead):
    folder, names = ahead
    (folder / names[3]).write_bytes(b"written from here")
    os.truncate(folder / names[4], 5)
    os.rename(folder / names[5], folder / names[6])
    os.unlink(folder / names[7])
    (folder / names[7]).write_bytes(b"made again")
    assert (folder / names[3]).read_bytes() == b"written from here"
    assert (folder / names[4]).read_bytes() == b"conte"
    assert (folder / names[6]).read_bytes() == b"content of 5 " * 5
    assert (folder / names[7]).read_bytes() == b"made again"


@pytest.mark.core
def test_own_changes_while_it_is_read_ahead(rogue, mount, filled):
    m = mount(over=rogue)
    folder = m.path / "folder"
    names = in_order(folder, "by name")
    gate = rogue.hold("FSTAT")
    scan(folder, names[1:3])
    gate.wait(8)
    (folder / names[3]).write_bytes(b"written from here")
    os.rename(folder / names[4], folder / "elsewhere")
    (folder / names[4]).write_bytes(b"made again")
    gate.open()
    assert (folder / names[3]).read_bytes() == b"written from here"
    assert (folder / names[4]).read_bytes() == b"made again"
    assert (folder / "elsewhere").read_bytes() == b"content of 4 " * 4


def test_what_is_open_is_changed_from_here(ahead):
    """The reader has what was read ahead; it sees what is written meanwhile."""
    folder, names = ahead
    with open(folder / names[8], "rb", buffering=0) as file, open(folder / names[8], "r+b", buffering=0) as other:
        other.write(b"WRITTEN")
        assert file.read() == b"WRITTEN" + (b"content of 8 " * 8)[7:]


@pytest.mark.core
@pytest.mark.parametrize("remove", [os.unlink, lambda path: os.replace(path.parent / "f030", path)],
                         ids=["unlink", "rename over"])
def test_what_is_open_is_removed(ahead, remove):
    folder, names = ahead
    with open(folder / names[9], "rb", buffering=0) as file:
        remove(folder / names[9])
        assert os.fstat(file.fileno()).st_size == len(b"content of 9 " * 9)
        assert file.read() == b"content of 9 " * 9


def test_a_file_that_is_another_one_by_now(rogue, mount, filled):
    """Read ahead, and not as the listing has it: whoever opens it asks the server."""
    m = mount(over=rogue)
    names = in_order(m.path / "folder", "by name")
    for name in names[3:]:
        (filled / name).write_bytes(b"changed on the server")
    found = scan(m.path / "folder", names[1:])
    assert all(found[name] == b"changed on the server" for name in names[3:])


@pytest.mark.core
def test_a_refresh_forgets_what_was_read_ahead(ahead, filled, sshfs):
    """Also of a file that the kernel keeps its number of, because somebody holds on to it."""
    folder, names = ahead
    fd = os.open(folder / names[3], os.O_PATH)
    try:
        (filled / names[3]).write_bytes(b"changed on the server")
        assert sshfs("--refresh", folder).code == 0
        assert (folder / names[3]).read_bytes() == b"changed on the server"
    finally:
        os.close(fd)


def test_what_may_not_be_read(rogue, mount, filled):
    """Nobody hears of it but who opens it."""
    m = mount(over=rogue)
    names = in_order(m.path / "folder", "by name")
    rogue.on("OPEN", lambda request: status(PERMISSION_DENIED)
             if request.about["path"].endswith(names[5]) else request.honest())
    with pytest.raises(PermissionError):
        scan(m.path / "folder", names)
    assert scan(m.path / "folder", names[6:]) == {name: (filled / name).read_bytes() for name in names[6:]}


def test_a_stalled_server_and_a_killed_reader(rogue, mount, filled):
    m = mount(over=rogue)
    names = in_order(m.path / "folder", "by name")
    gate = rogue.hold("FSTAT")
    scan(m.path / "folder", names[1:3])
    gate.wait(8)
    process = subprocess.Popen(["cat", m.path / "folder" / names[4]], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, start_new_session=True)
    process.kill()
    process.wait(20)
    opening = Thread((m.path / "folder" / names[5]).read_bytes)
    gate.open()
    assert opening.result() == (filled / names[5]).read_bytes()


@pytest.mark.core
@pytest.mark.parametrize("program", [
    ["grep", "-r", "content", "."], ["tar", "-cf", "{out}", "."], ["cp", "-r", ".", "{out}"]])
def test_programs(mount, server_dir, tmp_path, program):
    for name in "abc":
        fill(server_dir / name)
    m = mount()
    out = tmp_path / "out"
    words = [word.format(out=out) for word in program]
    found = subprocess.run(words, cwd=m.path, check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE).stdout
    if program[0] == "grep":
        assert len(found.splitlines()) == 3 * (COUNT - 1)
        return
    if program[0] == "tar":
        (tmp_path / "untarred").mkdir()
        shutil.unpack_archive(out, tmp_path / "untarred", "tar")
        out = tmp_path / "untarred"
    for name in "abc":
        assert contents(out / name) == contents(server_dir / name)
