# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding our own processes, waiting for events, and nothing that touches anybody else's.

Every process that a test starts carries a mark of its own in its environment, which its children
inherit through forks, daemons and new sessions; so what is left over is found by the mark, never by
a name.
"""

import contextlib
import os
import pathlib
import select
import signal
import time
import uuid

MARK = "SSHFS_TEST_MARK"

# Sanitized builds and valgrind are several times slower: every deadline is multiplied by this.
SLOWNESS = float(os.environ.get("SSHFS_TEST_SLOWNESS", "1"))


class Late(AssertionError):
    """Something did not happen before its deadline."""


def new_mark():
    return uuid.uuid4().hex


def marked(mark):
    """The pids of the living processes that carry the mark (zombies have no environment left)."""
    needle = f"{MARK}={mark}".encode()
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if needle in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return sorted(found)


def name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def command_of(pid):
    """The argument list of a process, [] when it is gone."""
    try:
        raw = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [part.decode(errors="replace") for part in raw.split(b"\0")[:-1]]


def children_of(pid):
    """All descendants of a process, nearest first."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(0), [])
        found += children
        todo += children
    return found


def signal_quietly(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_gone(pid, seconds):
    """Waits for the end of a process, also of one that is not our child."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds * SLOWNESS)[0])
    finally:
        os.close(fd)


def kill_marked(mark):
    """Ends what carries the mark, for good; returns the names of what was there."""
    names = []
    for _ in range(20):
        pids = marked(mark)
        if not pids:
            break
        names += [name_of(pid) for pid in pids]
        for pid in pids:
            signal_quietly(pid, signal.SIGCONT)
            signal_quietly(pid, signal.SIGKILL)
        for pid in pids:
            wait_gone(pid, 2)
    return names


def wait_until(question, what, seconds=20):
    """Asks until the answer is true, and returns it. For what the kernel announces by no event."""
    deadline = time.monotonic() + seconds * SLOWNESS
    pause = 0.001
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Late(f"{what}: not within {seconds * SLOWNESS:.0f} s")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
