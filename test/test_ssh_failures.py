# SPDX-License-Identifier: GPL-2.0-or-later
"""When ssh fails: what the user sees, and that nothing stays mounted (compat.md, sections 1.8, 4.19)."""

import re

import pytest

from lib import mountinfo, sshd as sshd_module

pytestmark = pytest.mark.needs("fuse", "server")

# Upstream hides what ssh says unless it stays in the foreground.
ours = pytest.mark.ours


@pytest.fixture
def fails(sshfs, tmp_path):
    """Runs sshfs, checks that it fails and leaves no mount; returns what it said on stderr."""
    point = tmp_path / "run" / "mnt"
    point.mkdir(parents=True)

    def run(source, *options, **more):
        result = sshfs(source, point, *options, **more)
        assert result.code == 1, result
        assert mountinfo.find(point) is None
        assert result.err.strip(), "it failed without a word"
        return result.err
    return run


def test_something_is_said_and_nothing_is_mounted(fails, own_sshd):
    own_sshd.refuse()
    fails(own_sshd.source(), *own_sshd.options)


@ours
def test_the_connection_is_refused(fails, own_sshd):
    own_sshd.refuse()
    said = fails(own_sshd.source(), *own_sshd.options)
    assert "Connection refused" in said
    assert sshd_module.HOST in said


@ours
def test_the_key_is_refused(fails, own_sshd):
    (own_sshd.folder / "authorized_keys").write_text("")
    assert "Permission denied" in fails(own_sshd.source(), *own_sshd.options)


@ours
def test_the_host_key_is_unknown(fails, own_sshd):
    own_sshd.known_hosts.write_text("")
    assert "Host key verification failed" in fails(own_sshd.source(), *own_sshd.options)


@ours
def test_the_host_key_has_changed(fails, own_sshd):
    other = own_sshd.user_key.with_suffix(".pub").read_text()
    own_sshd.known_hosts.write_text(f"{sshd_module.HOST} {other}")
    said = fails(own_sshd.source(), *own_sshd.options)
    assert re.search("(?i)host (key|identification).*has changed", said)


@ours
def test_the_name_is_not_resolved(fails, sshd):
    said = fails("no-such-host.invalid:", *sshd.options, seconds=50)
    assert "no-such-host.invalid" in said and "resolve" in said.lower()


@ours
def test_the_configuration_is_missing(fails, tmp_path):
    assert "nowhere" in fails("host:", "-F", tmp_path / "nowhere")


@ours
def test_the_configuration_is_wrong(fails, tmp_path):
    (tmp_path / "config").write_text("Nonsense yes\n")
    assert "nonsense" in fails("host:", "-F", tmp_path / "config").lower()


@pytest.mark.parametrize("foreground", [pytest.param([], marks=ours), ["-f"]])
def test_ssh_is_missing(fails, foreground):
    said = fails("host:", "-o", "ssh_command=/nowhere/ssh", *foreground)
    assert re.search("failed to execute '/nowhere/ssh': No such file or directory", said)


@ours
def test_ssh_is_not_in_the_path(fails, tmp_path):
    assert "failed to execute 'ssh': No such file or directory" in fails(
        "host:", env={"PATH": str(tmp_path)})


@ours
def test_ssh_cannot_be_executed(fails, tmp_path):
    (tmp_path / "ssh").write_text("")
    said = fails("host:", "-o", f"ssh_command={tmp_path}/ssh")
    assert "failed to execute" in said and "Permission denied" in said


@ours
def test_the_subsystem_is_missing(fails, sshd):
    said = fails(sshd.source(), *sshd.options, "-o", "sftp_server=no-such-subsystem")
    assert "subsystem request failed" in said


@ours
def test_the_server_program_is_missing(fails, sshd):
    said = fails(sshd.source(), *sshd.options, "-o", "sftp_server=/nowhere/sftp-server")
    assert "/nowhere/sftp-server" in said


@ours
@pytest.mark.parametrize("script, said", [
    ("echo 'it is Sunday' >&2; exit 3", "it is Sunday"),
    ("exit 3", "."),
    ("kill -9 $$", "."),
    ("exec true", "."),
])
def test_whatever_ssh_says_is_shown(fails, tmp_path, script, said):
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\n{script}\n")
    ssh.chmod(0o755)
    assert re.search(said, fails("host:", "-o", f"ssh_command={ssh}"))


@ours
@pytest.mark.parametrize("garbage", ["Welcome\n", "x" * 100_000, "\\0\\0\\0\\5\\2\\0\\0\\0"])
def test_something_that_is_no_sftp_server(fails, tmp_path, garbage):
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\nprintf '{garbage}'\n")
    ssh.chmod(0o755)
    fails("host:", "-o", f"ssh_command={ssh}")


@ours
def test_the_message_is_not_lost_in_what_ssh_prints(fails, tmp_path):
    """A flood on stderr neither blocks nor fills the memory; the end of it is what counts."""
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' 'x' >&2\necho 'last words' >&2\n")
    ssh.chmod(0o755)
    said = fails("host:", "-o", f"ssh_command={ssh}")
    assert "last words" in said
    assert len(said) < 1_000_000


# ---- password_stdin ------------------------------------------------------------------------------

PROMPTING = """#!/usr/bin/python3
import os, sys, termios
tty = os.open("/dev/tty", os.O_RDWR)
settings = termios.tcgetattr(tty)
settings[3] &= ~termios.ECHO
termios.tcsetattr(tty, termios.TCSANOW, settings)
os.write(tty, b"{prompt}")
given = os.read(tty, 2000)
with open({record!r}, "wb") as record:
    record.write(given + b"|" + " ".join(sys.argv[1:]).encode())
if given.rstrip(b"\\n") != {secret!r}:
    sys.exit("Permission denied (password).")
os.write(tty, b"\\n")
os.execv({server!r}, ["sftp-server"])
"""
SECRET = b"k\xc3\xa4se und\tbrot"


@pytest.fixture
def prompting(tmp_path):
    """A stand-in for ssh that asks for a password on its terminal: (path, what it noted)."""
    ssh, record = tmp_path / "prompting-ssh", tmp_path / "given"

    def make(prompt="user@host's password: "):
        ssh.write_text(PROMPTING.format(prompt=prompt, record=str(record), secret=SECRET,
                                        server=sshd_module.sftp_server()))
        ssh.chmod(0o755)
        return ssh, record
    return make


@pytest.fixture
def typed(tmp_path):
    """An open file with these bytes, for standard input."""
    made = []

    def make(data):
        path = tmp_path / "typed"
        path.write_bytes(data)
        made.append(open(path, "rb"))
        return made[-1]
    yield make
    for file in made:
        file.close()


@pytest.mark.parametrize("end", [b"\n", b""])
def test_password_stdin(mount, server_dir, prompting, typed, end):
    (server_dir / "file").write_text("x")
    ssh, record = prompting()
    m = mount("-o", f"password_stdin,ssh_command={ssh}", over=None, stdin=typed(SECRET + end))
    assert (m.path / "file").read_text() == "x"
    given, _, argv = record.read_bytes().partition(b"|")
    assert given == SECRET + b"\n"
    assert b"-oNumberOfPasswordPrompts=1" in argv


def test_password_stdin_with_a_wrong_password(fails, prompting):
    ssh, _ = prompting()
    said = fails("host:", "-o", f"password_stdin,ssh_command={ssh}", stdin="wrong\n")
    assert "wrong" not in said


@ours
def test_a_wrong_password_is_said(fails, prompting):
    ssh, _ = prompting()
    assert "Permission denied" in fails("host:", "-o", f"password_stdin,ssh_command={ssh}",
                                        stdin="wrong\n")


@ours
def test_password_stdin_without_any_input(fails, prompting):
    ssh, _ = prompting()
    fails("host:", "-o", f"password_stdin,ssh_command={ssh}")


@ours
def test_a_password_that_is_too_long(fails, prompting):
    ssh, _ = prompting()
    fails("host:", "-o", f"password_stdin,ssh_command={ssh}", stdin="x" * 5000 + "\n")


@ours
@pytest.mark.parametrize("reconnect", [[], ["-o", "reconnect"]])
def test_the_password_is_wiped_unless_it_may_be_needed_again(mount, prompting, typed, reconnect):
    ssh, _ = prompting()
    m = mount("-o", f"password_stdin,ssh_command={ssh}", *reconnect, over=None,
              stdin=typed(SECRET + b"\n"), foreground=False)
    assert any(SECRET in area for area in memory_of(m.pid)) == bool(reconnect)
    assert SECRET.decode() not in m.log()


def memory_of(pid):
    """What a process has in its writable memory, area by area."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            area, rights = line.split()[:2]
            start, end = (int(number, 16) for number in area.split("-"))
            if not rights.startswith("rw") or "[v" in line or end - start > 64 << 20:
                continue
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except OSError:
                pass
