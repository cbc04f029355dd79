#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A longer way to a server on this machine: every byte arrives later, and no fewer arrive a second.

    relay.py MILLISECONDS PORT

listens on a free port of 127.0.0.1, prints its number, and forwards each connection to PORT. A byte
takes half of the MILLISECONDS in each direction, whatever else is on the way: what was read gets the
time at which it is due, and waits in a queue. Ends when its standard input does.

What it adds to that is measured: about 0.1 ms a round trip at 0 ms, 0.5 ms at 20 ms (a sleep ends late),
and it carries more than 300 MiB/s. So whoever wants no delay connects to the server itself.

It is a process of its own, so that the threads of the one who measures do not hold it up; it uses
nothing but Python's library, so that tests can use it alone.
"""

import contextlib
import queue
import socket
import subprocess
import sys
import threading
import time

PIECE = 64 * 1024
# Pieces on the way in each direction of a connection. More than Python forwards in half a second: it
# bounds the memory when a receiver stands still, not the bandwidth.
ON_THE_WAY = 8192


class Relay:
    """The program, for those who use it. `port` is where to connect after start()."""

    def __init__(self, milliseconds, port):
        self.milliseconds, self.target = milliseconds, port
        self.port = None
        self._process = None

    def start(self):
        self._process = subprocess.Popen(
            ["/usr/bin/python3", __file__, str(self.milliseconds), str(self.target)], cwd="/",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.port = int(self._process.stdout.readline())
        return self

    def stop(self):
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


# ---- the program ----------------------------------------------------------------------------------

class Direction:
    """Half of a connection: from one socket to the other, late."""

    def __init__(self, source, sink, seconds):
        self.source, self.sink, self.seconds = source, sink, seconds
        self.pieces = queue.Queue(ON_THE_WAY)

    def start(self):
        for work in (self.take, self.give):
            threading.Thread(target=work, daemon=True).start()

    def take(self):
        piece = b"first"
        while piece:
            try:
                piece = self.source.recv(PIECE)
            except OSError:
                piece = b""  # reset: the other side sees an end
            self.pieces.put((time.monotonic() + self.seconds, piece))

    def give(self):
        broken = False
        while True:
            due, piece = self.pieces.get()
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            if not piece:
                break
            # After an error the queue is still emptied: nobody waits for a place in it for ever.
            broken = broken or not self._sent(piece)
        with contextlib.suppress(OSError):
            self.sink.shutdown(socket.SHUT_WR)

    def _sent(self, piece):
        try:
            self.sink.sendall(piece)
        except OSError:
            with contextlib.suppress(OSError):
                self.source.shutdown(socket.SHUT_RD)
            return False
        return True


def connect(client, port, seconds):
    try:
        server = socket.create_connection(("127.0.0.1", port))
    except OSError:
        client.close()
        return
    for sock in (client, server):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    Direction(client, server, seconds).start()
    Direction(server, client, seconds).start()


def listen(port, seconds):
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)

    def accept():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=connect, args=(client, port, seconds), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


if __name__ == "__main__":
    listen(int(sys.argv[2]), float(sys.argv[1]) / 2000)
    sys.stdin.read()
