# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls that wait while the test goes on."""

import threading

from lib import processes


class Thread(threading.Thread):
    """A call in a thread of its own; result() waits for it, returns its value or raises its error."""

    def __init__(self, call, *words):
        super().__init__(daemon=True)
        self._call, self._words = call, words
        self._value = self._problem = None
        self.start()

    def run(self):
        try:
            self._value = self._call(*self._words)
        except OSError as problem:
            self._problem = problem

    def result(self, seconds=20):
        self.join(seconds * processes.SLOWNESS)
        if self.is_alive():
            raise processes.Late("the call does not return")
        if self._problem:
            raise self._problem
        return self._value
