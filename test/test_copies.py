# SPDX-License-Identifier: GPL-2.0-or-later
"""copy_file_range(2) and cp: on the server, in pieces, byte by byte the same, and seen while it runs."""

import errno
import json
import os
import random
import signal
import subprocess
import sys

import pytest

from lib import processes
from lib.rogue import FAILURE, status

pytestmark = [pytest.mark.ours, pytest.mark.needs("fuse")]

MIB = 1 << 20
FIRST = 8 * MIB  # the first piece, as fs/copy.h has it


def copy(source, target, size, at=0, to=0):
    with open(source, "rb") as one, open(target, "r+b" if target.exists() else "wb") as other:
        return os.copy_file_range(one.fileno(), other.fileno(), size, at, to)


def copier_of(m, size, signals=""):
    """A process that copies from/to in one call; it prints what that returned."""
    script = (f"import os, signal, sys\n{signals}\n"
              "one = os.open(sys.argv[1], os.O_RDONLY)\n"
              "other = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)\n"
              "print(os.copy_file_range(one, other, int(sys.argv[3]), 0, 0), flush=True)\n")
    return subprocess.Popen([sys.executable, "-c", script, m.path / "from", m.path / "to", str(size)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                            start_new_session=True)


@pytest.fixture
def halted(rogue):
    """halted(): the server answers the first piece and keeps back the reply to the second; the gate."""
    def make():
        gates = []

        def answer(request):
            if not gates:
                gates.append(rogue.hold("copy-data"))
            return None
        rogue.on("copy-data", answer)
        return gates
    return make


# ---- while it runs -------------------------------------------------------------------------------

def test_how_far_it_is(rogue, mount, server_dir, sshfs, halted):
    """For people and for programs; and what there was of copies when all is over."""
    size = FIRST + 3 * MIB
    with open(server_dir / "from", "wb") as file:
        file.truncate(size)
    gates = halted()
    m = mount(over=rogue)

    def stats():
        return json.loads(sshfs("--stats", "--json", m.path).out)["copies"]
    assert stats() == {"running": 0, "position": 0, "size": 0, "bytes": 0}
    assert "copies" not in sshfs("--stats", m.path).out
    copier = copier_of(m, size)
    rogue.wait("copy-data", 2)
    assert stats() == {"running": 1, "position": FIRST, "size": size, "bytes": FIRST}
    assert "copies    8.0 MiB copied on the server; running: 1, at 8.0 MiB of 11.0 MiB (73 %)" in \
        sshfs("--stats", m.path).out
    gates[0].open()
    assert copier.communicate(timeout=20 * processes.SLOWNESS)[0] == f"{size}\n"
    assert stats() == {"running": 0, "position": 0, "size": 0, "bytes": size}
    assert "copies    11.0 MiB copied on the server\n" in sshfs("--stats", m.path).out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_it(rogue, mount, server_dir, halted, number):
    """And no further piece is asked for."""
    with open(server_dir / "from", "wb") as file:
        file.truncate(300 * MIB)
    gates = halted()
    m = mount(over=rogue)
    copier = copier_of(m, 300 * MIB, "signal.signal(signal.SIGINT, signal.SIG_DFL)")
    rogue.wait("copy-data", 2)
    copier.send_signal(number)
    assert copier.wait(20 * processes.SLOWNESS) == -number
    gates[0].open()
    os.listdir(m.path)
    assert rogue.count("copy-data") == 2


def test_a_caught_signal_gives_a_part(rogue, mount, server_dir, halted):
    """The call returns what has been copied for certain."""
    with open(server_dir / "from", "wb") as file:
        file.truncate(300 * MIB)
    gates = halted()
    m = mount(over=rogue)
    copier = copier_of(m, 300 * MIB, "signal.signal(signal.SIGINT, lambda *_: None)")
    rogue.wait("copy-data", 2)
    copier.send_signal(signal.SIGINT)
    assert copier.communicate(timeout=20 * processes.SLOWNESS)[0] == f"{FIRST}\n"
    gates[0].open()
    assert rogue.count("copy-data") == 2


# ---- how much was copied ------------------------------------------------------------------------

def test_a_source_that_shrinks(rogue, mount, server_dir):
    """What it did not have any more has not been copied, and does not count."""
    content = os.urandom(FIRST + 2 * MIB)
    (server_dir / "from").write_bytes(content)
    left = FIRST + MIB

    def answer(request):
        if rogue.count("copy-data") == 2:
            os.truncate(server_dir / "from", left)
    rogue.on("copy-data", answer)
    m = mount(over=rogue)
    assert copy(m.path / "from", m.path / "to", len(content)) == left
    assert (server_dir / "to").read_bytes() == content[:left]


def test_a_source_that_grows(rogue, mount, server_dir):
    """No more is promised than there was when it began."""
    content = os.urandom(100_000)
    (server_dir / "from").write_bytes(content)

    def answer(request):
        reply = request.honest()
        with open(server_dir / "from", "ab") as file:
            file.write(b"more")
        return reply
    rogue.on("copy-data", answer)
    m = mount(over=rogue)
    assert copy(m.path / "from", m.path / "to", 10 * MIB) == len(content)
    assert (server_dir / "to").read_bytes() == content


def test_an_error_in_the_middle(rogue, mount, server_dir):
    """First the part that was copied, then the error."""
    with open(server_dir / "from", "wb") as file:
        file.truncate(FIRST + MIB)
    rogue.on("copy-data", lambda request: status(FAILURE, "No space left on device")
             if rogue.count("copy-data") > 1 else None)
    m = mount(over=rogue)
    assert copy(m.path / "from", m.path / "to", FIRST + MIB) == FIRST
    with pytest.raises(OSError) as caught:
        copy(m.path / "from", m.path / "to", MIB, FIRST, FIRST)
    assert caught.value.errno == errno.ENOSPC


# ---- byte by byte --------------------------------------------------------------------------------

@pytest.fixture
def m(mount):
    return mount(over="fake")


@pytest.mark.needs("server")
def test_cp(m, server_dir):
    """A file with holes, at its begin and its end as well."""
    with open(server_dir / "from", "wb") as file:
        for at in (3 * MIB, 30 * MIB):
            file.seek(at)
            file.write(os.urandom(MIB + 5))
        file.truncate(50 * MIB)
    subprocess.run(["cp", "--reflink=auto", m.path / "from", m.path / "to"], check=True)
    subprocess.run(["cmp", server_dir / "from", server_dir / "to"], check=True)
    subprocess.run(["cmp", m.path / "from", m.path / "to"], check=True)


@pytest.mark.needs("server")
def test_written_data_is_copied(m, server_dir):
    """Also what is still on its way, from the source and to the target."""
    content = os.urandom(3 * MIB)
    with open(m.path / "from", "wb", buffering=0) as one, \
            open(m.path / "to", "w+b", buffering=0) as other:
        for at in range(0, len(content), 5000):
            one.write(content[at:at + 5000])
        other.write(b"x" * 2 * MIB)
        with open(m.path / "from", "rb") as source:
            assert os.copy_file_range(source.fileno(), other.fileno(), len(content), 0,
                                      MIB) == len(content)
        other.seek(0)
        assert other.read() == b"x" * MIB + content
    assert (server_dir / "to").read_bytes() == b"x" * MIB + content


@pytest.mark.needs("server")
@pytest.mark.parametrize("descriptors", [1, 2])
def test_within_one_file(m, server_dir, descriptors):
    """Ranges side by side are copied; those that overlap are refused, as of local files."""
    rand = random.Random(1)
    content = bytearray(rand.randbytes(MIB))
    (server_dir / "file").write_bytes(content)
    fds = [os.open(m.path / "file", os.O_RDWR) for _ in range(descriptors)]
    for _ in range(40):
        size, at, to = (rand.randrange(1, 300_000) for _ in range(3))
        if abs(at - to) < size:
            with pytest.raises(OSError) as caught:
                os.copy_file_range(fds[0], fds[-1], size, at, to)
            assert caught.value.errno == errno.EINVAL
        else:
            done = 0
            while done < size:
                done += os.copy_file_range(fds[0], fds[-1], size - done, at + done, to + done)
            content[to:to + size] = content[at:at + size]
        assert os.pread(fds[0], MIB, 0) == content
    for fd in fds:
        os.close(fd)
    assert (server_dir / "file").read_bytes() == content
