# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the integration tests. What they return is in test/lib/.

    def test_something(place):              # a fresh folder on a mount that other tests use, too
        (place.here / "name").write_text("x")
        assert (place.there / "name").read_text() == "x"

    def test_an_option(mount, server_dir):  # a mount of one's own
        m = mount("-o", "ro")
        ...

Run them with /usr/bin/python3 -m pytest test; $SSHFS names another binary than build/sshfs.
"""

import pathlib
import shutil
import signal
import subprocess
import tempfile
import types

import pytest

from lib import features, mount as mount_module, mountinfo, processes, rogue as rogue_module
from lib import sftp_proxy, sshd as sshd_module, watchdog

DEADLINE = 60  # seconds for one test


def pytest_addoption(parser):
    parser.addoption("--failed-to", metavar="FILE",
                     help="appends the id of each test that fails to FILE, a line each")


def take_signals_back():
    """Who started us in the background may have left signals ignored, which every child would inherit."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT
                          else signal.SIG_DFL)


def pytest_configure(config):
    take_signals_back()
    config.watchdog = watchdog.Watchdog()
    config.failed = set()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    path = item.config.getoption("--failed-to")
    if path and outcome.get_result().failed and item.nodeid not in item.config.failed:
        item.config.failed.add(item.nodeid)
        with open(path, "a") as file:
            file.write(f"{item.nodeid}\n")


def pytest_report_header(config):
    return f"sshfs: {mount_module.binary()}"


def pytest_collection_modifyitems(items):
    for item in items:
        if mount_module.is_upstream() and item.get_closest_marker("ours"):
            item.add_marker(pytest.mark.skip(reason="ours, not upstream's"))


def pytest_runtest_setup(item):
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            why = features.why_not(name)
            if why:
                pytest.skip(why)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item, nextitem):
    marker = item.get_closest_marker("deadline")
    stop = item.config.watchdog.watch(item.nodeid, marker.args[0] if marker else DEADLINE)
    try:
        yield
    finally:
        stop()


# ---- folders ------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def session_dir():
    """The folder of this run; everything that the tests make is below it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sshfs-test."))
    folder.chmod(0o755)
    yield folder.resolve()
    mount_module.remove_tree(folder)


@pytest.fixture
def tmp_path(session_dir):
    """An empty folder for one test. (pytest's own would clean up through stale mounts.)"""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="t.", dir=session_dir))
    folder.chmod(0o755)
    yield folder
    mount_module.remove_tree(folder)


@pytest.fixture
def server_dir(tmp_path):
    """An empty folder on the server's side: what `mount` mounts."""
    folder = tmp_path / "server"
    folder.mkdir()
    return folder


@pytest.fixture
def small_disk(server_dir):
    """A folder in server_dir that is a file system of 1 MiB: for what happens when it is full."""
    for name in ("root", "tmpfs"):
        why = features.why_not(name)
        if why:
            pytest.skip(why)
    folder = server_dir / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
    yield folder
    mountinfo.detach(folder)


# ---- servers ------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def sshd(session_dir):
    """The private sshd of this run. Do not kill it: `own_sshd` is there for that."""
    why = features.why_not("server")
    if why:
        pytest.skip(why)
    server = sshd_module.Sshd(session_dir / "sshd")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_sshd(tmp_path):
    """A private sshd for one test, to be killed, frozen or refused."""
    why = features.why_not("server")
    if why:
        pytest.skip(why)
    server = sshd_module.Sshd(tmp_path / "sshd")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def fake_ssh(session_dir):
    """The path of a script to be given as ssh_command: execs sftp-server, no network, no login."""
    return sshd_module.write_fake_ssh(session_dir)


@pytest.fixture
def proxy(tmp_path):
    """Makes a sftp_proxy.Proxy: mount(over=proxy(short_reads=100))."""
    made = []

    def make(**rules):
        made.append(sftp_proxy.Proxy(tmp_path / f"proxy{len(made)}", **rules))
        return made[-1]
    return make


@pytest.fixture
def rogue(server_dir):
    """A rogue.Server, in this process: mount(over=rogue). Name it before `mount`, to outlive it."""
    server = rogue_module.Server(server_dir)
    yield server
    server.stop()


# ---- mounts -------------------------------------------------------------------------------------

class Factory:
    """
    What the `mount` fixture is: call it with options to get a mounted mount.Mount.

    source: "host:dir", default server_dir on the private sshd. over: "ssh" (a real login), "fake"
    (sftp-server as child: faster, for what does not depend on ssh), a sftp_proxy.Proxy, a rogue.Server
    (by directport), or None: the options say it. The rest goes to mount.Mount.
    """

    def __init__(self, request, folder, watchdog):
        self._request, self._folder, self._watchdog = request, folder, watchdog
        self.made = []

    def prepare(self, *options, source=None, over="ssh", server=None, **more):
        """A Mount that is not started yet."""
        if over == "fake":
            options = ("-o", f"ssh_command={self._request.getfixturevalue('fake_ssh')}", *options)
        elif isinstance(over, sftp_proxy.Proxy):
            options = ("-o", f"ssh_command={over.command}", *options)
        elif isinstance(over, rogue_module.Server):
            options = (*over.options(), *options)
        elif over == "ssh":
            server = server or self._request.getfixturevalue("sshd")
            options = (*server.options, *options)
        if source is None:
            where = self._request.getfixturevalue("server_dir")
            host = "127.0.0.1" if isinstance(over, rogue_module.Server) else sshd_module.HOST
            source = f"{host}:{where}"
        made = mount_module.Mount(self._folder / f"mount{len(self.made)}", [source, *options],
                                  **more)
        self.made.append(made)
        self._watchdog.victims.append(made.release)
        return made

    def __call__(self, *options, **more):
        return self.prepare(*options, **more).start()

    def finish(self):
        problems = []
        for made in reversed(self.made):
            try:
                made.finish()
            except (AssertionError, OSError) as problem:
                problems.append(str(problem))
            finally:
                self._watchdog.victims.remove(made.release)
        assert not problems, "\n".join(problems)


@pytest.fixture
def mount(request, tmp_path):
    """Mounts: `mount("-o", "ro")` mounts `server_dir` from the private sshd; see Factory."""
    why = features.why_not("fuse")
    if why:
        pytest.skip(why)
    factory = Factory(request, tmp_path, request.config.watchdog)
    yield factory
    factory.finish()


@pytest.fixture
def sshfs(tmp_path):
    """Runs sshfs with exactly these words and returns a mount.Result: `sshfs("-V").code`."""
    return lambda *words, **more: mount_module.run(tmp_path / "run", words, **more)


@pytest.fixture(scope="session")
def shared_mount(session_dir, sshd, request):
    """The mount that `place` is on: default options, a real ssh. Leave it as it is."""
    why = features.why_not("fuse")
    if why:
        pytest.skip(why)
    there = session_dir / "shared"
    there.mkdir()
    shared = mount_module.Mount(session_dir / "shared-mount",
                                [sshd.source(there), *sshd.options])
    shared.there = there
    request.config.watchdog.victims.append(shared.release)
    shared.start()
    yield shared
    shared.finish()


@pytest.fixture
def place(shared_mount):
    """A fresh folder seen twice: `here` through the mount, `there` on the server."""
    there = pathlib.Path(tempfile.mkdtemp(prefix="p.", dir=shared_mount.there))
    yield types.SimpleNamespace(here=shared_mount.path / there.name, there=there,
                                mount=shared_mount)
    shutil.rmtree(there, ignore_errors=True)


@pytest.fixture
def until():
    """processes.wait_until: asks a question until it is true, with a deadline."""
    return processes.wait_until
