# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for ssh that notes how it was called, and is then the server."""

import json
import pathlib

from . import sshd

SCRIPT = """#!/usr/bin/python3
import json, os
fds = {{name: os.readlink(f"/proc/self/fd/{{name}}") for name in os.listdir("/proc/self/fd")
       if os.path.exists(f"/proc/self/fd/{{name}}")}}
with open("/proc/self/mountinfo") as table:
    points = [line.split()[4] for line in table]
note = {{"argv": {argv}, "fds": fds, "cwd": os.getcwd(), "env": dict(os.environ),
        "group": os.getpgid(0), "session": os.getsid(0), "mounts": points}}
with open({record!r}, "a") as record:
    record.write(json.dumps(note) + "\\n")
os.execv({server!r}, {words!r})
"""


class Note:
    """The script `path`, and in `calls()` what it was told each time."""

    def __init__(self, folder, name="ssh", server_options=()):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / name
        self._record = folder / (name + ".calls")
        self.path.write_text(SCRIPT.format(
            argv="__import__('sys').argv[1:]", record=str(self._record), server=sshd.sftp_server(),
            words=["sftp-server", *server_options]))
        self.path.chmod(0o755)

    def calls(self):
        if not self._record.exists():
            return []
        return [json.loads(line) for line in self._record.read_text().splitlines()]

    def argv(self):
        """How it was called, when it was called exactly once."""
        calls = self.calls()
        assert len(calls) == 1, f"{len(calls)} calls"
        return calls[0]["argv"]
