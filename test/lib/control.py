# SPDX-License-Identifier: GPL-2.0-or-later
"""The ioctls of a mount (control/control.h), called by hand."""

import fcntl
import os
import struct

TYPE = 0xE6
REPLY_MAX = (1 << 14) - 1
GET_REPORT = 2 << 30 | REPLY_MAX << 16 | TYPE << 8 | 1
REFRESH_SIZE = 8 + 256
REFRESH = 1 << 30 | REFRESH_SIZE << 16 | TYPE << 8 | 2


def call(path, command, data=b""):
    """ioctl(2) on a folder; returns what the buffer holds then. OSError as the kernel has it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        buffer = bytearray(data.ljust(command >> 16 & REPLY_MAX, b"\0"))
        fcntl.ioctl(fd, command, buffer)
        return bytes(buffer)
    finally:
        os.close(fd)


def refresh_of(name=b"", version=1, size=REFRESH_SIZE):
    return struct.pack("II256s", version, size, name)
