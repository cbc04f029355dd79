# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures about processes, taken from outside, the same way whoever wrote the program."""

import contextlib
import os
import pathlib
import statistics
import time

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def timed(work, pids):
    """{"seconds", "cpu"}: of the work; CPU of the processes that pids() names."""
    before = cpu_seconds(pids())
    start = time.monotonic()
    work()
    spent = time.monotonic() - start
    return {"seconds": spent, "cpu": cpu_seconds(pids()) - before}


def median(samples, key):
    """Of the samples that have the key; None when none has."""
    values = [sample[key] for sample in samples if sample.get(key) is not None]
    return statistics.median(values) if values else None


def resident(pid):
    """{"resident", "peak"}: bytes of memory that a process has and had at most."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {key: int(fields[name].split()[0]) * 1024
            for key, name in (("resident", "VmRSS"), ("peak", "VmHWM"))}


def written(pids):
    """Bytes that these processes have written (to pipes, sockets, files); None where nobody may know."""
    try:
        return sum(_io(pathlib.Path(f"/proc/{pid}"))["wchar"] for pid in pids)
    except OSError:
        return None


def wait(done, seconds):
    """Until done() is true, or so many seconds have passed."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.02)


def settled(look, seconds, pause):
    """What look() says once it says the same twice, `pause` seconds apart; its last word after `seconds`."""
    end = time.monotonic() + seconds
    last = look()
    while time.monotonic() < end:
        time.sleep(pause)
        now = look()
        if now == last:
            break
        last = now
    return last


# ---- requests of the kernel -----------------------------------------------------------------------

class Reads:
    """
    How often a FUSE daemon has read from /dev/fuse, which is the number of requests the kernel sent
    to it (FORGETs in batches).

    The kernel counts the read()s of each thread (syscr in /proc/PID/task/TID/io), and those of
    threads that ended in the sum of the process. A daemon reads from its ssh too, in other threads: what
    these did is subtracted. Which they are is seen by what an idle thread waits for. `strace -P
    /dev/fuse -e trace=read` counts the same, but slows down what is measured.
    """

    def __init__(self, pid):
        self.folder = pathlib.Path(f"/proc/{pid}")
        self.before = self._settled()

    def count(self):
        """Since the object was made, once the daemon is idle; None where the kernel does not tell."""
        after = self._settled()
        if not self.before or not after or not any(fuse for _, fuse in after["threads"].values()):
            return None
        others = sum(reads - self.before["threads"].get(thread, (0, False))[0]
                     for thread, (reads, fuse) in after["threads"].items() if not fuse)
        return after["all"] - self.before["all"] - others

    def _settled(self):
        """A look that was the same twice: late requests (RELEASEDIR, FORGET) are in it."""
        return settled(self._look, 1, 0.01)

    def _look(self):
        try:
            threads = {}
            for entry in (self.folder / "task").iterdir():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                    waits_for = (entry / "wchan").read_text()
                    threads[entry.name] = (_reads(entry), waits_for.startswith("fuse_dev"))
            return {"all": _reads(self.folder), "threads": threads}
        except OSError:
            return None


def _reads(folder):
    return _io(folder)["syscr"]


def _io(folder):
    lines = (folder / "io").read_text().splitlines()
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}
