# SPDX-License-Identifier: GPL-2.0-or-later
"""What a bench has to do with the terminal: a line that tells what is done, tables, and its signals."""

import contextlib
import signal
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Progress:
    """One line on a terminal that says what is being done; nothing elsewhere, or when it is closed."""

    def __init__(self):
        self.shown = sys.stderr.isatty()

    def say(self, text):
        if self.shown:
            with contextlib.suppress(OSError):
                print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self):
        self.say("")


def exit_on_signals():
    """A signal ends the program by an exception, so that what cleans up is run."""
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: sys.exit(128 + number))


def ignore_signals():
    """For the cleaning up itself: a second signal does not cut it short."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def table(rows):
    """Rows of cells as text: the first column to the left, the others to the right, as wide as needed."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
