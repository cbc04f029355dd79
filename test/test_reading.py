# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading ahead: what is asked for before anybody wants it, what is not, and that what is held here is right
whatever happens meanwhile. Requests are counted on the wire (lib/rogue.py)."""

import contextlib
import json
import mmap
import os
import random
import subprocess
import threading

import pytest

from lib import processes
from lib.background import Thread
from lib.rogue import FAILURE, HANG_UP, status

pytestmark = [pytest.mark.needs("fuse"), pytest.mark.ours]

MIB = 1 << 20
LONG_AGO = 1_000_000_000


def content_of(size, seed=1):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def big(server_dir):
    """8 MiB, unchanged for long."""
    content = content_of(8 * MIB)
    (server_dir / "big").write_bytes(content)
    os.utime(server_dir / "big", (LONG_AGO, LONG_AGO))
    return content


def asked(rogue):
    """Bytes that were asked for by READ, beyond the end of the file or not."""
    return sum(one["length"] for one in rogue.requests("READ"))


def pread_all(fd, ranges):
    return [os.pread(fd, size, offset) for offset, size in ranges]


# ---- what is read ahead ----------------------------------------------------------------------------

@pytest.mark.core
@pytest.mark.parametrize("options", ["buffer_size=64M", "buffer_size=1M", "no_readahead", "max_read=8192"])
def test_byte_exact(rogue, mount, big, options):
    m = mount("-o", options, over=rogue)
    assert (m.path / "big").read_bytes() == big


@pytest.mark.core
def test_a_sequential_reader_is_read_ahead_of(rogue, mount, big):
    """More is on its way than the kernel, which reads ahead 128 KiB at a time, has asked for."""
    m = mount(over=rogue)
    with open(m.path / "big", "rb", buffering=0) as file:
        found = file.read(MIB)
        gate = rogue.hold("READ")
        reading = Thread(file.read, MIB)
        gate.wait(3)
        gate.open()
        found += reading.result()
        while more := file.read(MIB):
            found += more
    assert found == big
    assert rogue.count("READ") < 8 * MIB / (64 << 10)


def test_statistics(rogue, mount, big, sshfs):
    m = mount(over=rogue)
    assert (m.path / "big").read_bytes() == big
    contents = json.loads(sshfs("--stats", "--json", m.path).out)["contents"]
    assert contents["fetched"] == len(big)
    assert contents["held"] == contents["unused"] == 0
    assert len(big) / 2 < contents["ahead"] < len(big)


def test_nothing_is_asked_for_twice(rogue, mount, big):
    m = mount(over=rogue)
    assert (m.path / "big").read_bytes() == big
    assert asked(rogue) <= len(big) + 128 * 1024


def test_no_readahead(rogue, mount, big):
    m = mount("-o", "no_readahead", over=rogue)
    with open(m.path / "big", "rb", buffering=0) as file:
        assert file.read(MIB) == big[:MIB]
    assert max(one["offset"] + one["length"] for one in rogue.requests("READ")) <= MIB + 256 * 1024


@pytest.mark.core
def test_a_random_reader_gets_what_it_asks_for(rogue, mount, big):
    """The file is larger than the buffer: no byte more."""
    m = mount("-o", "buffer_size=1M", over=rogue)
    dice = random.Random(3)
    pages = [dice.randrange(2, len(big) // 4096) * 4096 for _ in range(200)]
    fd = os.open(m.path / "big", os.O_RDONLY)
    try:
        for page in pages:
            assert os.pread(fd, 4096, page) == big[page:page + 4096]
    finally:
        os.close(fd)
    assert asked(rogue) <= 4 * 4096 * len(set(pages))


@pytest.mark.parametrize("ranges", [
    [(offset, 65536) for offset in range(8 * MIB - 65536, -1, -65536)],
    [(offset, 4096) for offset in range(0, 8 * MIB, 65536)],
    [(offset, 4096) for offset in range(8 * MIB - 4096, 0, -65536)],
    [(offset, 100_000) for offset in range(0, 8 * MIB, 100_000)],
    [(7 * MIB, 5 * MIB), (0, 3 * MIB), (9 * MIB, 10), (8 * MIB - 1, 10)],
], ids=["backward", "strided", "strided back", "odd sizes", "over the end"])
@pytest.mark.parametrize("options", ["buffer_size=64M", "buffer_size=512K"])
def test_ways_of_reading(rogue, mount, big, ranges, options):
    m = mount("-o", options, over=rogue)
    fd = os.open(m.path / "big", os.O_RDONLY)
    try:
        for offset, size in ranges:
            assert os.pread(fd, size, offset) == big[offset:offset + size]
    finally:
        os.close(fd)


@pytest.mark.core
def test_many_readers_of_one_file(rogue, mount, big):
    m = mount("-o", "buffer_size=2M", over=rogue)
    wrong = []

    def read(seed):
        dice = random.Random(seed)
        with open(m.path / "big", "rb", buffering=0) as file:
            for _ in range(20):
                offset, size = dice.randrange(len(big)), dice.randrange(1, 300_000)
                file.seek(offset)
                if file.read(size) != big[offset:offset + size]:
                    wrong.append((seed, offset, size))
    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_mapped_memory(mount, big):
    """Of a server in a process of its own: a page that this one waits for holds up all its threads."""
    m = mount()
    with open(m.path / "big", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        dice = random.Random(5)
        for _ in range(100):
            at = dice.randrange(len(big))
            assert mapped[at:at + 100] == big[at:at + 100]
        assert mapped[:] == big


# ---- that what is held is right --------------------------------------------------------------------

@pytest.mark.core
@pytest.mark.parametrize("where", [2 * MIB, 3 * MIB + 5])
def test_own_writes_are_seen(rogue, mount, big, where):
    """What is ahead of the reader is written to from here, while it is on its way, or held."""
    m = mount(over=rogue)
    with open(m.path / "big", "rb", buffering=0) as file, open(m.path / "big", "r+b", buffering=0) as other:
        assert file.read(MIB) == big[:MIB]
        other.seek(where)
        other.write(b"written from here")
        expected = bytearray(big)
        expected[where:where + 17] = b"written from here"
        assert file.read(8 * MIB) == bytes(expected[MIB:])


def test_truncation_is_seen(rogue, mount, big):
    m = mount(over=rogue)
    with open(m.path / "big", "rb", buffering=0) as file:
        assert file.read(MIB) == big[:MIB]
        os.truncate(m.path / "big", 3 * MIB)
        os.truncate(m.path / "big", 4 * MIB)
        assert file.read(8 * MIB) == big[MIB:3 * MIB] + bytes(MIB)


@pytest.mark.core
def test_another_state_is_seen_when_opening(rogue, mount, big, server_dir):
    """The one who has the file open goes on with what it has; who opens it now sees what it is now."""
    m = mount(over=rogue)
    with open(m.path / "big", "rb", buffering=0) as file:
        assert file.read(MIB) == big[:MIB]
        changed = content_of(5 * MIB, seed=2)
        (server_dir / "new").write_bytes(changed)
        os.replace(server_dir / "new", server_dir / "big")
        assert (m.path / "big").read_bytes() == changed
        # The old file, opened before: its own bytes, as far as the kernel lets them be read.
        assert os.pread(file.fileno(), 4096, 4 * MIB) in (big[4 * MIB:4 * MIB + 4096],
                                                          changed[4 * MIB:4 * MIB + 4096])


def test_a_file_that_shrinks_while_it_is_read(rogue, mount, big, server_dir):
    m = mount(over=rogue)
    with open(m.path / "big", "rb", buffering=0) as file:
        assert file.read(4096) == big[:4096]
        os.truncate(server_dir / "big", 2 * MIB)
        found = file.read(8 * MIB)
        assert len(found) <= 8 * MIB and found[:MIB] == big[4096:4096 + MIB]
    assert (m.path / "big").read_bytes() == big[:2 * MIB]


def test_an_error_ahead_is_told_to_who_reads_there(rogue, mount, big):
    """And to nobody who has not come so far."""
    m = mount(over=rogue)
    rogue.on("READ", lambda request: status(FAILURE, "bad sector")
             if request.about["offset"] + request.about["length"] > 6 * MIB else request.honest())
    with open(m.path / "big", "rb", buffering=0) as file:
        found = b""
        with pytest.raises(OSError):
            while len(found) < 8 * MIB:
                found += file.read(256 * 1024)
        assert len(found) >= 5 * MIB and found == big[:len(found)]
        rogue.on("READ", None)
        assert file.read(64 * 1024) == big[len(found):len(found) + 64 * 1024]


@pytest.mark.core
def test_a_server_that_dies_ends_the_reading(rogue, mount, big):
    m = mount(over=rogue)
    fd = os.open(m.path / "big", os.O_RDONLY)
    assert os.read(fd, MIB) == big[:MIB]
    rogue.on("READ", lambda request: [HANG_UP])
    with pytest.raises(OSError):
        while os.read(fd, MIB):
            pass
    with contextlib.suppress(OSError):  # the mount may be gone
        os.close(fd)
    assert m.wait_over() == 1


def test_a_process_that_is_killed_does_not_wait(rogue, mount, big):
    """The bytes it waited for come later, to nobody."""
    m = mount(over=rogue)
    gate = rogue.hold("READ")
    process = subprocess.Popen(["cat", m.path / "big"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, start_new_session=True)
    gate.wait()
    process.kill()
    assert process.wait(20 * processes.SLOWNESS) != 0
    gate.open()
    assert (m.path / "big").read_bytes() == big


@pytest.mark.core
def test_closing_while_it_is_read_ahead(rogue, mount, big):
    m = mount(over=rogue)
    gate = rogue.hold("READ")
    with open(m.path / "big", "rb", buffering=0) as file:
        reading = Thread(file.read, 4096)
        gate.wait(1)
        gate.open()
        assert reading.result() == big[:4096]
    for _ in range(20):
        with open(m.path / "big", "rb", buffering=0) as file:
            file.read(256 * 1024)
    assert (m.path / "big").read_bytes() == big
