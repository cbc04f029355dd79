# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs that are measured side by side: a name for the table, and what to start."""

import shutil

from . import mount

OURS, PEER = "ours", "sshfs 3.7"


def ours():
    return OURS, mount.binary()


def peers():
    """Debian's sshfs, [] with a word about it where it is not installed."""
    found = shutil.which("sshfs", path="/usr/bin:/bin")
    if found:
        return [(PEER, found)]
    print("Debian's sshfs is not installed: no peer to compare with (apt-get install sshfs)")
    return []


def in_turn(clients, number):
    """
    The clients as they come in this round: who comes first finds another machine than who comes
    last, so each is first in turn.
    """
    turn = number % len(clients)
    return clients[turn:] + clients[:turn]
