# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs that are measured side by side: a name for the table, and what to start."""

import dataclasses
import os
import pathlib
import shutil
import subprocess

from . import mount, rclone

OURS, PEER, RCLONE, NATIVE = "ours", "sshfs 3.7", "rclone", "native"
MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Client:
    """One that shows the served folder below a mountpoint: an sshfs."""

    name: str
    program: str
    options: tuple = ()

    def mount(self, folder, bench, options):
        port = ["-p", bench.port] if bench.relay else []
        return mount.Mount(folder, [bench.sshd.source(bench.served), *bench.sshd.options, *port,
                                    *self.options, *options], program=self.program)

    def version(self):
        done = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).splitlines()
        version = next((line for line in lines if line.upper().startswith("SSHFS")), "?")
        return " ".join([version, *self.options])


@dataclasses.dataclass(frozen=True)
class Rclone(Client):
    def mount(self, folder, bench, options):
        return rclone.Mount(folder, bench, [*self.options, *options], self.program)

    def version(self):
        done = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=False)
        return " ".join([done.stdout.partition("\n")[0] or "?", *self.options])


@dataclasses.dataclass(frozen=True)
class Floor:
    """One without a file system of its own between the bytes and whoever measures."""

    name: str

    def mount(self, folder, bench, options):
        return None


def ours(name=OURS, *options):
    return Client(name, mount.binary(), options)


def native():
    """The served folder itself."""
    return Floor(NATIVE)


def peers():
    """Debian's sshfs, [] with a word about it where it is not installed."""
    found = shutil.which("sshfs", path="/usr/bin:/bin")
    if found:
        return [Client(PEER, found)]
    print("Debian's sshfs is not installed: no peer to compare with (apt-get install sshfs)")
    return []


def rclones():
    """As peers(): rclone, which is installed if that can be done without a question."""
    if not shutil.which("rclone") and os.geteuid() == 0:
        subprocess.run([mount.TOP / "utils/setup", "peers"], stdin=subprocess.DEVNULL, check=False)
    found = shutil.which("rclone")
    if found:
        return [Rclone(RCLONE, found, ("--vfs-cache-mode", "full"))]
    print("rclone is not installed and cannot be: no figures of it (apt-get install rclone)")
    return []


def in_turn(clients, number):
    """
    The clients as they come in this round: who comes first finds another machine than who comes
    last, so each is first in turn.
    """
    turn = number % len(clients)
    return clients[turn:] + clients[:turn]


# ---- ours' budget ---------------------------------------------------------------------------------

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def knows_budget(program):
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    return "buffer_size" in done.stdout + done.stderr


def budget(client):
    """Bytes of contents that an sshfs of ours may hold: its buffer_size, or the default of options.c."""
    if not knows_budget(client.program):
        return 0
    for word in ",".join(client.options).split(","):
        name, _, value = word.partition("=")
        if name.removeprefix("-o").strip() == "buffer_size":
            unit = value[-1:].upper() if value[-1:].isalpha() else ""
            return int(value.rstrip("kKmMgG")) * UNITS[unit]
    memory = pathlib.Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0]
    return min(256 * MIB, int(memory) * 1024 // 8)
