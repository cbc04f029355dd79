# SPDX-License-Identifier: GPL-2.0-or-later
"""A test that hangs fails, with the stacks of all threads, and does not hang whoever runs it.

A system call on a mount whose daemon is stuck cannot be interrupted by a signal. So at the deadline
the watchdog prints the stacks, kills the test's mounts (their calls then return ENOTCONN) and
interrupts the main thread. If that does not help either, the whole run ends (also when Python itself
is stuck, as it is while a fork of it waits for a mount: that timer is not Python's).
"""

import faulthandler
import os
import signal
import sys
import threading

from . import processes


class Hang(Exception):
    """Raised in the main thread when a test's time is over."""


class Watchdog:
    def __init__(self):
        self.victims = []  # functions that release what the main thread may be waiting for
        self._output = os.fdopen(os.dup(sys.__stderr__.fileno()), "w")
        signal.signal(signal.SIGALRM, self._interrupt)

    @staticmethod
    def _interrupt(number, frame):
        raise Hang("the test's time is over")

    def watch(self, name, seconds):
        """Starts the clock for one test; returns a function that stops it."""
        done = threading.Event()
        faulthandler.dump_traceback_later(seconds * processes.SLOWNESS + 90, exit=True,
                                          file=self._output)
        thread = threading.Thread(target=self._run, args=(name, seconds * processes.SLOWNESS, done),
                                  daemon=True)
        thread.start()

        def stop():
            done.set()
            thread.join()
            faulthandler.cancel_dump_traceback_later()
        return stop

    def _run(self, name, seconds, done):
        if done.wait(seconds):
            return
        print(f"\n{name}: hangs for {seconds:.0f} s; the stacks:", file=self._output, flush=True)
        faulthandler.dump_traceback(self._output)
        for release in list(self.victims):
            release()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
        if done.wait(60):
            return
        print(f"{name}: cannot be ended; giving up", file=self._output, flush=True)
        faulthandler.dump_traceback(self._output)
        os._exit(70)
