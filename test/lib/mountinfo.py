# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's table of mounts, read without touching any of them."""

import contextlib
import ctypes
import dataclasses
import os
import re
import select
import time

from . import processes

_libc = ctypes.CDLL(None, use_errno=True)
MNT_DETACH = 2


@dataclasses.dataclass
class Entry:
    point: str
    device: str  # "major:minor"
    kind: str
    source: str
    options: list  # the mount's and the file system's together

    @property
    def connection(self):
        """The folder that controls this FUSE connection."""
        return f"/sys/fs/fuse/connections/{self.device.split(':')[1]}"


def _unescape(text):
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def table(text=None):
    if text is None:
        with open("/proc/self/mountinfo", errors="surrogateescape") as file:
            text = file.read()
    entries = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, more = left.split(" "), right.split(" ")
        entries.append(Entry(_unescape(fields[4]), fields[2], more[0], _unescape(more[1]),
                             fields[5].split(",") + more[2].split(",")))
    return entries


def find(point):
    """The topmost mount at exactly this path, or None."""
    found = [entry for entry in table() if entry.point == str(point)]
    return found[-1] if found else None


def below(folder):
    """The mounts at or below a folder, the innermost first."""
    prefix = str(folder).rstrip("/") + "/"
    found = [entry for entry in table() if (entry.point + "/").startswith(prefix)]
    return found[::-1]


def wait_for(question, watch_pid, seconds):
    """
    Waits until question() is true, asking again at each change of the table of mounts.
    Returns its answer; None when the process `watch_pid` (if any) ended first, or at the deadline.
    """
    deadline = time.monotonic() + seconds * processes.SLOWNESS
    poller = select.poll()
    with contextlib.ExitStack() as stack:
        changes = stack.enter_context(open("/proc/self/mountinfo"))
        poller.register(changes, select.POLLERR | select.POLLPRI)
        life = None
        if watch_pid is not None:
            life = os.pidfd_open(watch_pid)
            stack.callback(os.close, life)
            poller.register(life, select.POLLIN)
        while True:
            answer = question()
            left = deadline - time.monotonic()
            if answer or left <= 0:
                return answer or None
            if any(fd == life for fd, _ in poller.poll(left * 1000)):
                return None


def mount_fuse(point, owner=None):
    """
    Mounts without a daemon, as a container runtime does; returns the descriptor for it. `owner` is a
    uid, and a gid of the same number, by default ours.
    """
    fd = os.open("/dev/fuse", os.O_RDWR)
    user, group = (os.getuid(), os.getgid()) if owner is None else (owner, owner)
    data = f"fd={fd},rootmode=40000,user_id={user},group_id={group}"
    if _libc.mount(b"source", os.fsencode(point), b"fuse.sshfs", 0, data.encode()) != 0:
        number = ctypes.get_errno()
        os.close(fd)
        raise OSError(number, os.strerror(number), str(point))
    return fd


def detach(point):
    """Takes a mount out of the tree at once, whatever its daemon does. Needs root."""
    if _libc.umount2(os.fsencode(str(point)), MNT_DETACH) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(point))


def abort(entry):
    """Ends a FUSE connection: every call that waits for its daemon returns."""
    with contextlib.suppress(OSError):
        with open(f"{entry.connection}/abort", "w") as file:
            file.write("1")
