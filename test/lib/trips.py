# SPDX-License-Identifier: GPL-2.0-or-later
"""Round trips, counted on the wire without a clock.

    with trips.of(rogue, ["MKDIR", "LSTAT"]):
        os.mkdir(m.path / "folder")

Each list is a round trip: the replies to its requests are all held back until all of them have come.
A client that waits for one reply before it asks the next question never asks it; so requests that the
test sees together have shared a trip. Requests that are in none of the lists are let through, and told
when the block ends: so there was no other trip either.

unwaited: requests that come, but whose replies nobody waits for: they are held until the block ends.
spare: the same of requests that need not come, any number of them.
"""

import collections
import contextlib
import threading

from . import processes

DEADLINE = 10  # seconds until what never comes is given up: only tests that fail last so long


class Script:
    """What rogue.Server.follow() wants: decides what is done with each reply."""

    def __init__(self, batches, unwaited=(), spare=()):
        self._missing = [collections.Counter(batch) for batch in batches]
        self._unwaited = collections.Counter(unwaited)
        self._spare = frozenset(spare)
        self._held = []  # pairs of session and replies: of the batch
        self._late = []  # the same: of what nobody waits for
        self._late_kinds = []
        self._extra = []
        self._over = False
        self._given_up = False
        self._changed = threading.Condition()  # of all of these

    def keep(self, session, kind, replies):
        """Whether it keeps the replies; those of a batch that is now complete are sent first."""
        with self._changed:
            if self._over:
                return False
            if self._missing and self._missing[0][kind]:
                self._held.append((session, replies))
                self._take(kind)
                return True
            if self._unwaited[kind] or kind in self._spare:
                self._unwaited[kind] -= bool(self._unwaited[kind])
                self._late.append((session, replies))
                self._late_kinds.append(kind)
                self._changed.notify_all()
                return True
            self._extra.append(kind)
            return False

    def _take(self, kind):
        self._missing[0][kind] -= 1
        if self._missing[0].total() == 0:
            del self._missing[0]
            self._send(self._held)
            self._changed.notify_all()

    @staticmethod
    def _send(held):
        for session, replies in held:
            session.send(replies)
        held.clear()

    def give_up(self):
        """The deadline: what is still waiting for an answer must not wait for ever."""
        with self._changed:
            self._given_up = not self._over
        self.end()

    def end(self):
        """Lets everything go."""
        with self._changed:
            self._over = True
            self._send(self._held)
            self._send(self._late)
            self._changed.notify_all()

    def finish(self):
        """Waits for what nobody waited for, and tells what went otherwise than it was written."""
        with self._changed:
            if not self._missing and not self._extra:
                self._changed.wait_for(lambda: self._over or self._unwaited.total() == 0)
            self._over = True
            missing = [kind for batch in self._missing for kind in batch.elements()]
            unwaited = list(self._unwaited.elements())
            return [f"{what}: {', '.join(kinds)}" for what, kinds in (
                ("came outside of the round trips", self._extra),
                ("did not come before the reply to another was sent", missing),
                ("did not come", unwaited),
                ("one of these was waited for",
                 self._late_kinds if self._given_up and not missing and not unwaited else []),
            ) if kinds]


@contextlib.contextmanager
def of(server, *batches, unwaited=(), spare=()):
    """The block makes exactly these round trips; server is a rogue.Server."""
    script = Script(batches, unwaited, spare)
    seconds = DEADLINE * processes.SLOWNESS
    rescue = threading.Timer(seconds, script.give_up)
    rescue.start()
    server.follow(script)
    try:
        yield
        problems = script.finish()
    finally:
        server.follow(None)
        rescue.cancel()
        script.end()
    assert not problems, "; ".join(problems)
