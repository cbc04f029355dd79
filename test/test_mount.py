# SPDX-License-Identifier: GPL-2.0-or-later
"""The least that must work: mounting, reading, writing, going away without a trace."""

import hashlib
import os
import signal
import subprocess

import pytest

from lib import mount as mount_module

pytestmark = [pytest.mark.core, pytest.mark.needs("fuse", "server")]


def test_a_file_is_the_same_on_both_sides(place):
    content = os.urandom(3 * 1024 * 1024 + 17)
    (place.here / "file").write_bytes(content)
    assert (place.there / "file").read_bytes() == content
    (place.there / "other").write_bytes(content[::-1])
    assert (place.here / "other").read_bytes() == content[::-1]


def test_a_listing_is_the_same_on_both_sides(place):
    for name in ("a", "b", "c"):
        (place.there / name).write_text(name)
    (place.there / "folder").mkdir()
    assert sorted(os.listdir(place.here)) == sorted(os.listdir(place.there))


def test_checksums_of_many_files(place):
    sums = {}
    for number in range(50):
        content = os.urandom(number * 997)
        (place.there / f"f{number}").write_bytes(content)
        sums[f"f{number}"] = hashlib.sha256(content).hexdigest()
    seen = {name: hashlib.sha256((place.here / name).read_bytes()).hexdigest()
            for name in os.listdir(place.here)}
    assert seen == sums


def test_the_background_is_entered_when_it_serves(mount, server_dir):
    (server_dir / "file").write_text("x")
    m = mount(foreground=False)
    # The parent has ended, so the daemon must answer without any waiting.
    assert os.listdir(m.path) == ["file"]
    assert m.pid != m.process.pid
    assert m.log() == ""


def test_an_unmount_ends_the_daemon_and_its_ssh(mount):
    m = mount()
    assert m.ssh()
    m.unmount()
    assert m.processes() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts(mount, number):
    m = mount()
    os.kill(m.pid, number)
    assert m.wait_over() == 1
    assert m.entry() is None


def test_over_the_fake_ssh(mount, server_dir):
    m = mount(over="fake")
    (m.path / "file").write_text("content")
    assert (server_dir / "file").read_text() == "content"
    assert subprocess.run(["cat", m.path / "file"], stdout=subprocess.PIPE,
                          check=True).stdout == b"content"


@pytest.mark.ours
def test_closed_standard_descriptors(mount, tmp_path):
    """Nothing of ours may become descriptor 0, 1 or 2, where a message would end up in it."""
    shut = tmp_path / "shut"
    shut.write_text(f"#!/bin/sh\nexec {mount_module.binary()} \"$@\" <&- >&- 2>&-\n")
    shut.chmod(0o755)
    m = mount(over="fake", program=str(shut))
    assert os.listdir(m.path) == []
    for number in range(3):
        assert os.readlink(f"/proc/{m.pid}/fd/{number}") == "/dev/null"
