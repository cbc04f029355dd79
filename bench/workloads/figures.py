# SPDX-License-Identifier: GPL-2.0-or-later
"""All figures of bench/data, in the order of the table. What is measured and what follows from it."""

from lib.clients import PEER, RCLONE
from lib.figures import Figure

# Who needs round trips for each small file.
SLOW = (PEER, RCLONE)

READ = Figure("read, cold", "MB/s", "rate", part=(PEER,))
READ_AGAIN = Figure("read, again", "MB/s", "rate", part=(PEER,))
READERS = Figure("8 readers of 8 files", "MB/s", "rate")
BACKWARD = Figure("read backwards", "MB/s", "rate", part=(PEER,))
STRIDED = Figure("read one piece of four", "MB/s", "rate", part=(PEER,))
RANDOM = Figure("random reads", part=(PEER,))
RANDOM_VAST = Figure("random reads, vast file", part=(PEER,))
WRITE = Figure("write + fsync", "MB/s", "rate")
COPY = Figure("copy on the server", part=(PEER,))
GREP = Figure("grep -r, cold", part=SLOW)
GREP_AGAIN = Figure("grep -r, again", part=SLOW)
OPEN = Figure("open + read small files", part=SLOW)
COPY_OUT = Figure("cp -r out of it", part=SLOW)
UNTAR = Figure("tar x", part=(PEER,))
REMOVE = Figure("rm -rf", part=(PEER,))
FIGURES = [READ, READ_AGAIN, READERS, BACKWARD, STRIDED, RANDOM, RANDOM_VAST, WRITE, COPY, GREP, GREP_AGAIN,
           OPEN, COPY_OUT, UNTAR, REMOVE]

# The peak of a mount, which is one of a workload: with the last figure of that.
PEAKS = [Figure(f"{figure.title}: peak resident", "MiB", "peak", figure)
         for figure in (READ_AGAIN, READERS, BACKWARD, STRIDED, RANDOM, RANDOM_VAST, WRITE, COPY, GREP_AGAIN,
                        OPEN, COPY_OUT, REMOVE)]
COSTS = [*(Figure(f"{figure.title}: received : asked", "times", "received_share", figure)
           for figure in (RANDOM, RANDOM_VAST, STRIDED)),
         *(Figure(f"{figure.title}: CPU a GiB", "s a GiB", "cpu_per_gib", figure)
           for figure in (READ, READERS, WRITE)),
         *PEAKS]
