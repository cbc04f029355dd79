#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A longer way to a server on this machine (relay.c), as a process of its own.

    relay.py [MILLISECONDS ...]

measures what it adds to the way, and what it carries: by default at 0, 20 and 100 ms. On two shared
busy cores: 0.05 ms a round trip at 0 ms, 0.5 ms at 20 ms and 1 ms at 100 ms (a sleep ends late); 0.6 to
1 GB/s at any delay, with tens of MB on the way. So it is no bottleneck for ssh, which carries 0.3; still,
whoever wants no delay connects to the server itself.
"""

import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

if __package__:
    from . import native
else:
    import native

MIB = 2**20
VOLUME = 512 * MIB
ROUND_TRIPS = 20


class Relay:
    """`port` is where to connect after start(). program: relay.c, compiled."""

    def __init__(self, program, milliseconds, port):
        self.program, self.milliseconds, self.target = program, milliseconds, port
        self.port = None
        self._process = None

    def start(self):
        self._process = subprocess.Popen(
            [self.program, str(self.milliseconds), str(self.target)], cwd="/",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.port = int(self._process.stdout.readline())
        return self

    def stop(self):
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


# ---- what it does to the way ----------------------------------------------------------------------

def echo(listener):
    """The far end: sends back each single byte; at the first of more, swallows all, then says so."""
    server, _ = listener.accept()
    buffer = bytearray(MIB)
    with server:
        while (got := server.recv_into(buffer)) == 1:
            server.sendall(buffer[:1])
        while got:
            got = server.recv_into(buffer)
        server.sendall(b"!")


def round_trip(sock):
    start = time.monotonic()
    sock.sendall(b"?")
    sock.recv(1)
    return time.monotonic() - start


def carry(sock):
    """Sends VOLUME as fast as it is taken; returns the seconds until the answer to its end."""
    piece = bytes(MIB)
    start = time.monotonic()
    for _ in range(VOLUME // MIB):
        sock.sendall(piece)
    sock.shutdown(socket.SHUT_WR)
    sock.recv(1)
    return time.monotonic() - start


def measure(program, milliseconds):
    """A round trip in milliseconds (the shortest, the median), and bytes a second."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        relay = Relay(program, milliseconds, listener.getsockname()[1]).start()
        with contextlib.closing(socket.create_connection(("127.0.0.1", relay.port))) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            trips = [round_trip(sock) * 1000 for _ in range(ROUND_TRIPS)]
            spent = carry(sock) - milliseconds / 1000
        relay.stop()
    return min(trips), statistics.median(trips), VOLUME / spent


def main(words):
    with tempfile.TemporaryDirectory(prefix="sshfs-relay.") as folder:
        program = native.build(folder, "relay")
        for milliseconds in [float(word) for word in words] or [0, 20, 100]:
            least, middle, speed = measure(program, milliseconds)
            print(f"{milliseconds:g} ms: a round trip takes {least:.3f} ms at least, {middle:.3f} ms "
                  f"usually; {speed / 1e6:.0f} MB/s")


if __name__ == "__main__":
    main(sys.argv[1:])
