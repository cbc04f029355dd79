# SPDX-License-Identifier: GPL-2.0-or-later
"""What is asked for again and again, far away: what has followed one thing before is looked at together with it.
The server is at the end of a longer way (bench/lib/relay.py); requests are counted on the wire."""

import os
import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "bench" / "lib"))
import native
import relay as relay_module

pytestmark = [pytest.mark.needs("fuse"), pytest.mark.ours]

LONG_AGO = 1_000_000_000
COUNT = 12
MISSING = ["missing-1", "missing-2"]
OPTIONS = "scan_ahead=0,dcache_timeout=100"


@pytest.fixture
def filled(server_dir):
    """Files that have not changed for long."""
    for number in range(COUNT):
        path = server_dir / f"f{number:02}"
        path.write_bytes(f"content {number}".encode())
        os.utime(path, (LONG_AGO, LONG_AGO))
    return server_dir


@pytest.fixture
def far(rogue, mount, filled, tmp_path):
    """A mount whose server is 10 ms away."""
    relay = relay_module.Relay(native.build(tmp_path, "relay"), 10, rogue.port).start()
    m = mount("-o", f"directport={relay.port},{OPTIONS}", source=f"127.0.0.1:{filled}", over=None)
    yield m
    m.unmount()
    relay.stop()


@pytest.fixture
def refresh(sshfs):
    """All that is known of a mount is forgotten, but for its history."""
    def call(m):
        assert sshfs("--refresh", m.path).code == 0
    return call


def go_through(folder):
    """A program that does the same each time."""
    found = [(folder / f"f{number:02}").read_bytes() for number in range(COUNT)]
    assert found == [f"content {number}".encode() for number in range(COUNT)]
    assert not any((folder / name).exists() for name in MISSING)


def looked_at(rogue):
    return [os.path.basename(one["path"]) for one in rogue.requests("LSTAT")]


@pytest.mark.core
def test_what_has_followed_is_looked_at(rogue, far, refresh):
    go_through(far.path)
    refresh(far)
    rogue.forget()
    os.stat(far.path / "f00")
    rogue.wait("LSTAT", COUNT + len(MISSING))
    assert set(looked_at(rogue)) == {f"f{number:02}" for number in range(COUNT)} | set(MISSING)


def test_what_was_missing_is_known_to_be(rogue, far, refresh):
    go_through(far.path)
    refresh(far)
    os.stat(far.path / "f00")
    rogue.forget()
    assert not any((far.path / name).exists() for name in MISSING)
    assert looked_at(rogue) == []


@pytest.mark.core
def test_it_is_right_whatever_has_changed(rogue, far, filled, refresh):
    go_through(far.path)
    (filled / "f03").write_bytes(b"changed on the server")
    (filled / "f04").unlink()
    (filled / "f05").unlink()
    (filled / "f05").mkdir()
    (filled / MISSING[0]).write_bytes(b"not missing any more")
    refresh(far)
    assert (far.path / "f00").read_bytes() == b"content 0"
    assert (far.path / "f03").read_bytes() == b"changed on the server"
    assert not (far.path / "f04").exists()
    assert (far.path / "f05").is_dir()
    assert (far.path / MISSING[0]).read_bytes() == b"not missing any more"


def test_own_changes_are_seen(far, refresh):
    for number in range(3):
        go_through(far.path)
        refresh(far)
        (far.path / "f00").read_bytes()
        (far.path / "f01").write_bytes(b"written from here")
        assert (far.path / "f01").read_bytes() == b"written from here"
        (far.path / "f01").write_bytes(b"content 1")
        os.rename(far.path / "f02", far.path / "renamed")
        (far.path / "f02").write_bytes(b"content 2")
        assert (far.path / "renamed").read_bytes() == b"content 2"
        assert (far.path / "f02").read_bytes() == b"content 2"
        os.unlink(far.path / "renamed")


def test_who_never_repeats_himself_pays_nothing(rogue, far, filled):
    for number in range(COUNT):
        os.stat(far.path / f"f{number:02}")
    # Fewer than there are: after a few of them their folder is listed.
    assert len(looked_at(rogue)) <= COUNT + 1
    assert len(set(looked_at(rogue))) == len(looked_at(rogue))


def test_a_server_next_door(rogue, mount, filled, refresh):
    """A round trip costs less than looking at what nobody wants."""
    m = mount("-o", OPTIONS, over=rogue)
    go_through(m.path)
    refresh(m)
    rogue.forget()
    os.stat(m.path / "f00")
    (m.path / "f01").read_bytes()
    assert set(looked_at(rogue)) <= {"f00", "f01", "server"}
