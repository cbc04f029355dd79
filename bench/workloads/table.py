# SPDX-License-Identifier: GPL-2.0-or-later
"""Who does what: each workload, the files that it finds warm on the server, and who else takes part."""

import dataclasses

from lib.clients import RCLONE, Floor

from . import floors, large, patterns, small

SFTP, CAT = "sftp", "ssh cat"
EIGHT = tuple(f"one-of-8.{number}" for number in range(8))


@dataclasses.dataclass(frozen=True)
class Workload:
    """
    `wide`: done by ours with several connections, too. `floors`: by programs without a file system.
    `changes`: not done by rclone, which with a full cache sends what was written seconds after fsync
    and close have returned.
    """

    work: object
    serves: tuple
    wide: bool = False
    changes: bool = False
    floors: dict = dataclasses.field(default_factory=dict)

    def of(self, client, wide):
        """What this client does, None if nothing. wide: the names of ours with several connections."""
        if client.name in (SFTP, CAT):
            return self.floors.get(client.name)
        if client.name == RCLONE and self.changes:
            return None
        return self.work if self.wide or client.name not in wide else None


def floor_clients():
    return [Floor(SFTP), Floor(CAT)]


LARGE = ("first.bin", "large.bin")
WORKLOADS = [
    Workload(large.read, LARGE, True, floors={SFTP: floors.sftp_get, CAT: floors.ssh_cat}),
    Workload(large.readers, ("first.bin", *EIGHT), True),
    Workload(patterns.backward, LARGE),
    Workload(patterns.strided, LARGE),
    Workload(patterns.random, LARGE, True),
    Workload(patterns.random_vast, ("first.bin", "vast.bin"), True),
    Workload(large.write, LARGE, changes=True, floors={SFTP: floors.sftp_put}),
    Workload(large.copy, (*LARGE, "part.bin"), changes=True),
    Workload(small.grep, ("tree",)),
    Workload(small.open_small, ("tree",)),
    Workload(small.copy_out, ("tree",)),
    Workload(small.unpack, (), changes=True),
]
