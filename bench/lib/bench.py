# SPDX-License-Identifier: GPL-2.0-or-later
"""What every bench does: a private sshd, perhaps a longer way to it, a fresh mount for each workload."""

import contextlib
import json
import pathlib
import subprocess
import tempfile

from . import clients, measure, native, processes, relay as relay_module, sshd as sshd_module, terminal

COMMAND_SECONDS = 900
MOUNT_SECONDS, UNMOUNT_SECONDS = 60, 5
ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}


class Wrong(Exception):
    """A client has shown or done something else than what is so."""


class View:
    """The served folder as one client shows it, for one workload: `path`, and what is measured in it."""

    def __init__(self, bench, client, mark, mount=None):
        self.bench, self.client, self.mark, self.mount = bench, client.name, mark, mount
        self.path = mount.path if mount else bench.served

    def pids(self):
        """Whose CPU seconds count: the daemon's, and its ssh's, of which there may come more."""
        return self.mount.processes() if self.mount else []

    def run(self, figure, words, **how):
        """Runs a command; returns what it printed and the sample of it, recorded if there is a figure."""
        out = []
        sample = measure.timed(lambda: out.append(self.bench.command(words, **how)), self.pids)
        if figure:
            self.record(figure, sample)
        return out[0], sample

    def run_program(self, name, *words, **how):
        """Runs a program of the bench's own; returns what it measured itself, and the sample."""
        out, sample = self.run(None, [self.bench.program(name), *map(str, words)], **how)
        return {**sample, **json.loads(out)}

    def record(self, figure, sample):
        self.bench.samples.append({"figure": figure.title, "client": self.client, **self.mark, **sample})

    def expect(self, what, found):
        """What is found must be what was found the first time, which is in the served folder itself."""
        if self.bench.truth.setdefault(what, found) != found:
            raise Wrong(f"{what}: what {self.client} shows is not what is served")


class Bench:
    """`trees` makes what is served: make(), and renew() after each workload."""

    view_class = View

    def __init__(self, folder, arguments, make_trees):
        self.folder, self.arguments = pathlib.Path(folder), arguments
        self.served = self.folder / "served"
        self.served.mkdir()
        self.trees = make_trees(self)
        self.sshd = sshd_module.Sshd(self.folder / "sshd")
        self.progress = terminal.Progress()
        self.relay, self.mounts = None, []
        self.samples, self.truth = [], {}
        self.late = 0  # mounts that did not end when they were unmounted

    # ---- for one bench to say ---------------------------------------------------------------------

    def look_at_the_truth(self):
        """The served folder itself, once: what everybody has to show; it warms the server's caches."""

    def round(self, delay, number):
        """All workloads of all clients, once."""

    def after_rounds(self, delay):
        """What one look is enough for."""

    # ---- all rounds -------------------------------------------------------------------------------

    @property
    def port(self):
        """Where the server is, seen from a client."""
        return self.relay.port if self.relay else self.sshd.port

    def program(self, name):
        return native.build(self.folder, name)

    def run(self):
        self.progress.say("making the served folder")
        self.trees.make()
        self.sshd.start()
        self.look_at_the_truth()
        self.samples.clear()
        for delay in self.arguments.delays:
            if delay:
                self.relay = relay_module.Relay(self.program("relay"), delay, self.sshd.port).start()
            for number in range(self.arguments.rounds):
                self.round(delay, number)
            self.after_rounds(delay)
            self.stop_relay()
        self.progress.clear()

    def say(self, delay, number, client, workload):
        self.progress.say(f"{delay:g} ms, round {number + 1} of {self.arguments.rounds}: "
                          f"{client.name}, {workload.__name__}")

    def command(self, words, env=None, text=None, cwd=None):
        """Runs a command that may wait for a mount, with `text` as its input; returns what it printed."""
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd,
                              stderr=subprocess.PIPE, text=True, errors="surrogateescape",
                              start_new_session=True, env=env or ENVIRONMENT) as process:
            try:
                out, said = process.communicate(text, timeout=COMMAND_SECONDS)
            except BaseException:
                # Who waits for a mount that is stuck ends with the mount only.
                self.release_mounts()
                process.kill()
                raise
        if process.returncode != 0:
            raise Wrong(f"{' '.join(map(str, words))}: exit code {process.returncode}\n{said}")
        return out

    @property
    def native(self):
        """A view of the served folder itself."""
        return self.view_class(self, clients.native(), {"delay": 0, "round": 0})

    # ---- mounts -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def view(self, client, mark, options=()):
        try:
            with self._view(client, mark, options) as view:
                yield view
        except AssertionError as problem:  # a mount that fails tells its story so
            raise Wrong(f"{client.name}: {problem}") from None

    @contextlib.contextmanager
    def _view(self, client, mark, options):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        mount = client.mount(folder, self, options)
        if mount is None:
            yield self.view_class(self, client, mark)
            return
        self.mounts.append(mount)
        mount.start(MOUNT_SECONDS)
        yield self.view_class(self, client, mark, mount)
        self._unmount(mount)

    def _unmount(self, mount):
        """What ends late is told, not fatal: a mount namespace made meanwhile may hold a copy of it."""
        try:
            mount.unmount(UNMOUNT_SECONDS)
        except processes.Late:
            self.late += 1
        mount.release()
        self.mounts.remove(mount)

    # ---- the end ----------------------------------------------------------------------------------

    def stop_relay(self):
        if self.relay:
            self.relay.stop()
            self.relay = None

    def release_mounts(self):
        while self.mounts:
            self.mounts[-1].release()
            self.mounts.pop()

    def close(self):
        terminal.ignore_signals()
        self.progress.clear()
        self.release_mounts()
        self.stop_relay()
        self.sshd.stop()
