# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenSSH's own programs with the same files: no file system is between the bytes and the network.

They have logged in before the clock starts, as a mount has.
"""

import contextlib
import fcntl
import json
import subprocess
import threading

from lib import bench, measure, processes

from .figures import READ, WRITE
from .large import MIB, check_written

# sftp's largest useful window and message: what it is at its best with.
SFTP = ["sftp", "-q", "-R", "256", "-B", "261120"]


class Sftp:
    """An sftp that has logged in."""

    def __init__(self, view):
        served = view.bench
        self.process = subprocess.Popen(
            [*SFTP, *port(served, "-P"), *served.sshd.options, "-b", "-", served.sshd.source(served.served)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=bench.ENVIRONMENT, start_new_session=True)

    def say(self, *commands):
        """Gives it commands, and waits until they are done."""
        self.process.stdin.write("".join(f"{command}\n" for command in (*commands, "lpwd")))
        self.process.stdin.flush()
        while line := self.process.stdout.readline():
            if line.startswith("Local working directory:"):
                return
        raise bench.Wrong(f"sftp: {self.process.stderr.read()}")

    def pids(self):
        return [self.process.pid, *processes.children_of(self.process.pid)]


def port(served, option):
    return [option, str(served.port)] if served.relay else []


@contextlib.contextmanager
def ended(process):
    """Ends it in any case, and whoever waits for it for too long."""
    timer = threading.Timer(bench.COMMAND_SECONDS, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        process.kill()
        process.communicate()


def sftp_command(view, command):
    """The sample of one command."""
    sftp = Sftp(view)
    with ended(sftp.process):
        sftp.say()
        return {**measure.timed(lambda: sftp.say(command), sftp.pids), "bytes": view.sizes.large}


def sftp_get(view):
    target = view.bench.folder / "got.bin"
    sample = sftp_command(view, f"get large.bin {target}")
    found = view.bench.native.flow("read", "forward", MIB, 0, target)
    target.unlink()
    view.expect_large(view.sizes.large, found["sum"])
    view.record(READ, sample)


def sftp_put(view):
    """With fsync, as `flow write` has it."""
    sample = sftp_command(view, f"put -f {view.bench.served / 'large.bin'} written.bin")
    check_written(view, "written.bin", view.sizes.large)
    view.record(WRITE, sample)


def ssh_cat(view):
    """Its bytes are summed here as a mount's are."""
    served = view.bench
    name = served.served / "large.bin"
    ssh = subprocess.Popen(
        ["ssh", *served.sshd.options, *port(served, "-p"), served.sshd.source().rstrip(":"),
         f"echo ready; read go; cat {name}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        env=bench.ENVIRONMENT, start_new_session=True)
    with ended(ssh):
        # As wide as its socket to a mount would be: a pipe of 64 KiB costs a change of process for each.
        fcntl.fcntl(ssh.stdout, fcntl.F_SETPIPE_SZ, MIB)
        if ssh.stdout.readline() != b"ready\n":
            raise bench.Wrong("ssh has not logged in")
        ssh.stdin.write(b"\n")
        out = []
        sample = measure.timed(lambda: out.append(subprocess.run(
            [served.program("flow"), "input"], stdin=ssh.stdout, capture_output=True, check=True).stdout),
            lambda: [ssh.pid])
        found = json.loads(out[0])
    view.expect_large(view.sizes.large, found["sum"])
    view.record(READ, {**sample, "bytes": found["bytes"]})
