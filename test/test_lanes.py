# SPDX-License-Identifier: GPL-2.0-or-later
"""Several connections (max_conns): what goes over which, how they log in, and what is left of them."""

import contextlib
import os
import signal
import stat
import subprocess
import threading

import pytest

from lib import processes

pytestmark = [pytest.mark.needs("fuse", "server"), pytest.mark.ours]

QUIET = "dir_cache=no,entry_timeout=0,attr_timeout=0,negative_timeout=0"


# ---- what goes over which -------------------------------------------------------------------------

class Sessions:
    """Which connections of a rogue server are asked, by kind of request."""

    def __init__(self, rogue, *kinds):
        self.seen = {kind: set() for kind in kinds}
        for kind in kinds:
            rogue.on(kind, self.note)

    def note(self, request):
        self.seen[request.kind].add(request.session)


@contextlib.contextmanager
def open_for_writing(*paths):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(open(path, "wb", buffering=0)) for path in paths]


def test_nobody_waits_behind_an_upload(rogue, mount, server_dir):
    """One connection is stuck with what is being written; all else is answered."""
    (server_dir / "file").write_bytes(b"content")
    (server_dir / "folder").mkdir()
    m = mount("-o", f"max_conns=2,{QUIET}", over=rogue)
    asked = Sessions(rogue, "LSTAT")
    go_on = threading.Event()
    with open_for_writing(m.path / "upload") as [upload]:
        def both_serve():
            os.stat(m.path / "file")
            return len(asked.seen["LSTAT"]) == 2
        processes.wait_until(both_serve, "the second connection")
        # From here on the thread that serves this connection does nothing else.
        rogue.on("WRITE", lambda request: go_on.wait(60) and None)
        upload.write(bytes(1 << 20))
        rogue.wait("WRITE")
        try:
            assert os.stat(m.path / "file").st_size == 7
            assert sorted(os.listdir(m.path)) == ["file", "folder", "upload"]
            assert os.listdir(m.path / "folder") == []
            assert (m.path / "file").read_bytes() == b"content"
            os.rename(m.path / "file", m.path / "folder" / "file")
        finally:
            go_on.set()
    assert (server_dir / "upload").stat().st_size == 1 << 20


def test_uploads_are_spread_and_leave_one_connection_free(rogue, mount, server_dir):
    m = mount("-o", f"max_conns=3,{QUIET}", over=rogue)
    names = [m.path / f"f{number}" for number in range(6)]

    def all_are_there():
        with open_for_writing(*names[:3]):
            pass
        return rogue.count("limits@openssh.com") == 3
    processes.wait_until(all_are_there, "three connections")
    os.stat(m.path)
    asked = Sessions(rogue, "WRITE", "LSTAT")
    with open_for_writing(*names) as files:
        for file in files:
            file.write(b"x" * 1000)
            os.fsync(file.fileno())
        asked.seen["LSTAT"].clear()  # those that went with opening a file are the file's
        for name in names:
            assert os.lstat(name).st_size == 1000
    assert len(asked.seen["WRITE"]) == 2
    assert not asked.seen["WRITE"] & asked.seen["LSTAT"]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_copy_between_two_connections(proxy, mount, server_dir, replaced):
    """
    Source and target are on different connections: the server copies all the same. If the name leads to
    another file by now, what was opened is copied.
    """
    (server_dir / "from").write_bytes(os.urandom(300_000))
    content = (server_dir / "from").read_bytes()
    p = proxy()
    m = mount("-o", f"max_conns=2,{QUIET}", over=p)
    with open_for_writing(m.path / "to") as [target]:
        # The other connection is the one for what is quick, as soon as it is there.
        processes.wait_until(lambda: os.listdir(m.path) and processes_called(m, "sftp-server") == 2,
                             "the second connection")
        with open(m.path / "from", "rb", buffering=0) as source:
            if replaced:
                (server_dir / "new").write_bytes(bytes(200_000))
                os.rename(server_dir / "new", server_dir / "from")
            p.forget()
            done = 0
            while done < len(content):
                done += os.copy_file_range(source.fileno(), target.fileno(), len(content) - done)
            copies = p.requests("copy-data")
    assert (server_dir / "to").read_bytes() == content
    # Replaced it can still be copied there, should both be on one connection.
    assert copies or replaced


def processes_called(m, name):
    return sum(processes.name_of(pid) == name for pid in m.processes())


# ---- logging in -----------------------------------------------------------------------------------

class Login:
    """
    A private sshd, and a key that ssh asks the passphrase of: `options` and `env` are for mount(),
    prompts() counts how often it asked.
    """

    def __init__(self, server, folder, passphrase):
        self.server, self.folder = server, folder
        self.runtime = folder / "runtime"
        self.runtime.mkdir(mode=0o700)
        self._prompts = folder / "prompts"
        askpass = folder / "askpass"
        askpass.write_text(f"#!/bin/sh\necho x >>{self._prompts}\necho {passphrase}\n")
        askpass.chmod(0o700)
        key = folder / "key"
        key.write_bytes(server.user_key.read_bytes())
        key.chmod(0o600)
        subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-f", key],
                       check=True, stdout=subprocess.DEVNULL)
        self.config = folder / "config"
        self.config.write_text(server.ssh_config.read_text()
                               .replace("BatchMode yes", "BatchMode no")
                               .replace(str(server.user_key), str(key)))
        self.options = ["-F", str(self.config)]
        self.env = {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force",
                    "XDG_RUNTIME_DIR": str(self.runtime)}

    def prompts(self):
        return len(self._prompts.read_text().split()) if self._prompts.exists() else 0

    def accepted(self):
        """How often somebody has logged in."""
        return self.server.log.read_text(errors="replace").count("Accepted publickey")

    def sockets(self):
        return [path for path in self.runtime.glob(".sshfs-mux-*/*")
                if stat.S_ISSOCK(path.stat().st_mode)]


@pytest.fixture
def login(own_sshd, tmp_path):
    """Makes a Login; without a passphrase ssh has nothing to ask."""
    return lambda passphrase="": Login(own_sshd, tmp_path, passphrase)


def mount_from(mount, login, options, **more):
    return mount("-F", login.config, "-o", options, source=login.server.source(more.pop("at")),
                 over=None, env=login.env, **more)


def open_all(m, login, count):
    """Keeps writing files until so many connections serve; their names."""
    names = [m.path / f"f{number}" for number in range(count)]

    def all_are_there():
        for name in names:
            name.write_bytes(b"x")
        with open_for_writing(*names) as files:
            for file in files:
                file.write(b"content")
        return len(login.server.processes("sftp-server")) == count
    processes.wait_until(all_are_there, f"{count} connections")
    return names


def words_of(m):
    """The command lines of its ssh, the first one's first."""
    return [processes.command_of(pid) for pid in m.ssh()]


def test_asked_once(login, mount, server_dir):
    """The passphrase is asked for once; the other connections go through the first login."""
    login = login("secret")
    m = mount_from(mount, login, "max_conns=3", at=server_dir)
    assert login.prompts() == 1
    names = open_all(m, login, 3)
    assert login.prompts() == 1
    assert login.accepted() == 1
    assert [name.read_bytes() for name in names] == [b"content"] * 3
    [socket] = login.sockets()
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    m.unmount()
    assert list(login.runtime.iterdir()) == []


def test_logins_of_their_own(login, mount, server_dir):
    """Where nobody needs to be asked each connection is a TCP connection of its own."""
    login = login()
    m = mount_from(mount, login, "max_conns=3", at=server_dir)
    open_all(m, login, 3)
    assert login.accepted() == 3
    m.unmount()
    assert list(login.runtime.iterdir()) == []


def test_multiplex_yes(login, mount, server_dir):
    login = login()
    m = mount_from(mount, login, "max_conns=2,multiplex=yes", at=server_dir)
    open_all(m, login, 2)
    assert login.accepted() == 1


@pytest.mark.parametrize("options", [
    "max_conns=2,multiplex=no", "max_conns=2,ControlMaster=no", "max_conns=2,BatchMode=yes",
    "max_conns=1,multiplex=yes"])
def test_command_line_without_sharing(login, mount, server_dir, options):
    """Not one word more than upstream's."""
    login = login()
    m = mount_from(mount, login, options, at=server_dir)
    if "max_conns=2" in options:
        open_all(m, login, 2)
    ssh_options = [f"-o{option}" for option in options.split(",") if option[0].isupper()]
    for words in words_of(m):
        assert words[1:] == ["-x", "-a", "-oClearAllForwardings=yes", f"-F{login.config}",
                             *ssh_options, "-2", "-s", "--", "testhost", "sftp"]
    assert list(login.runtime.iterdir()) == []


def test_sharing_that_is_configured_is_left_alone(login, mount, server_dir, tmp_path):
    login = login()
    login.config.write_text(login.config.read_text().replace(
        "ControlPath none", f"ControlPath {tmp_path}/own\n  ControlMaster auto"))
    m = mount_from(mount, login, "max_conns=2", at=server_dir)
    open_all(m, login, 2)
    assert login.accepted() == 1
    assert all(not any("Control" in word for word in words) for words in words_of(m))


def test_the_command_line_of_a_master(login, mount, server_dir):
    login = login()
    m = mount_from(mount, login, "max_conns=2", at=server_dir)
    [words] = words_of(m)
    [socket] = login.sockets()
    assert words[1:] == ["-x", "-a", "-oClearAllForwardings=yes", "-oControlMaster=yes",
                         f"-oControlPath={socket}", "-oControlPersist=no", f"-F{login.config}",
                         "-2", "-s", "--", "testhost", "sftp"]


# ---- the end --------------------------------------------------------------------------------------

def test_nothing_outlives_a_killed_daemon(login, mount, server_dir):
    """All ssh end with it; the folder of their socket is removed by the next mount."""
    login = login("secret")
    m = mount_from(mount, login, "max_conns=2", at=server_dir)
    open_all(m, login, 2)
    os.kill(m.pid, signal.SIGKILL)
    m.process.wait()
    processes.wait_until(lambda: not m.processes(), "the end of all ssh")
    processes.wait_until(lambda: not login.server.processes("sftp-server"), "the end of servers")
    m.release()
    assert not login.sockets()
    again = mount_from(mount, login, "max_conns=2", at=server_dir)
    assert len(list(login.runtime.iterdir())) == 1
    again.unmount()
    assert list(login.runtime.iterdir()) == []


def readable(path):
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return None


@pytest.mark.parametrize("how", ["server", "master"])
def test_reconnecting(login, mount, server_dir, how):
    """The server dies, or the master without a word, whose socket is still there: it all comes back."""
    login = login()
    m = mount_from(mount, login, f"max_conns=2,multiplex=yes,reconnect,{QUIET}", at=server_dir,
                   expect_noise=True)
    names = open_all(m, login, 2)
    if how == "server":
        login.server.kill()
    else:
        [master] = [pid for pid in m.ssh() if "-oControlMaster=yes" in processes.command_of(pid)]
        os.kill(master, signal.SIGKILL)
    processes.wait_until(lambda: readable(names[0]) == b"content", "the file")
    open_all(m, login, 2)
    assert login.accepted() == 2
    assert len(login.sockets()) == 1


def test_the_master_takes_the_others_with_it(login, mount, server_dir):
    """Without reconnect a lost login is the end, as with one connection."""
    login = login()
    m = mount_from(mount, login, "max_conns=2,multiplex=yes", at=server_dir, expect_noise=True)
    open_all(m, login, 2)
    login.server.kill()
    assert m.wait_over() == 1
    assert list(login.runtime.iterdir()) == []
