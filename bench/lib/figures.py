# SPDX-License-Identifier: GPL-2.0-or-later
"""From samples to rows: medians, how many times as good ours is, how it is written down."""

import dataclasses

from . import measure
from .clients import NATIVE, OURS, PEER

MORE_IS_BETTER = ("a second", "of native", "MB/s")


def seconds_written(value):
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.4g} ms" if value >= 1e-3 else \
        f"{value * 1e6:.0f} us"


WRITTEN = {
    "s": seconds_written,
    "s each": seconds_written,
    "a second": lambda value: f"{value / 1e6:.2f} M/s",
    "of native": lambda value: f"{value:.2f}",
    "MB/s": lambda value: f"{value / 1e6:.0f} MB/s" if value >= 1e7 else f"{value / 1e6:.1f} MB/s",
    "MiB": lambda value: f"{value / 2**20:.1f} MiB",
    "s a GiB": lambda value: f"{value:.2f} s",
    "times": lambda value: f"{value:.2f}x",
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """
    One thing that is measured. `unit`: one of WRITTEN; `key`: which of a sample's values it is.
    `of`: the figure whose samples have it, itself if None. `part`: the clients that do only a part of
    the work where the server is far away, since they would need minutes for all of it.
    """

    title: str
    unit: str = "s"
    key: str = "seconds"
    of: "Figure" = None
    part: tuple = ()

    @property
    def more_is_better(self):
        return self.unit in MORE_IS_BETTER

    @property
    def samples(self):
        """What its samples are filed under."""
        return (self.of or self).title

    def written(self, value):
        return "" if value is None else WRITTEN[self.unit](value)


@dataclasses.dataclass
class Row:
    """
    One line of the table: a figure at one delay; values, requests by client's name. `parts`: which
    part a client has done of the work its value is scaled to, in words.
    """

    figure: Figure
    delay: float
    values: dict
    requests: dict
    parts: dict

    def times_as_good(self, name, other):
        """How many times as good as the other one is; None without one of them."""
        mine, its = self.values.get(name), self.values.get(other)
        if not mine or not its:
            return None
        return mine / its if self.figure.more_is_better else its / mine

    def written(self, name):
        text = self.figure.written(self.values.get(name))
        return f"~{text}" if name in self.parts else text

    @property
    def trips(self):
        """The time in round trips of the link, by client; {} where there are none to speak of."""
        if not self.delay or self.figure.unit not in ("s", "s each"):
            return {}
        return {name: value * 1000 / self.delay for name, value in self.values.items() if name != NATIVE}


def medians(samples, key):
    """By client, of those whose samples have the key; in the order in which they came."""
    names = dict.fromkeys(one["client"] for one in samples)
    found = {name: measure.median([one for one in samples if one["client"] == name], key)
             for name in names}
    return {name: value for name, value in found.items() if value is not None}


def rows(samples, figures, delay):
    """The rows of one delay, in the order of the figures, without those that were not measured."""
    found = []
    for figure in figures:
        mine = [one for one in samples if one["figure"] == figure.samples and one["delay"] == delay]
        values = medians(mine, figure.key)
        parts = {one["client"]: one["part"] for one in mine if one.get("part")}
        if values:
            found.append(Row(figure, delay, values, medians(mine, "requests"), parts))
    return found


# ---- columns --------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Column:
    """`text`: what it says of a row. One that says nothing of any row is not shown."""

    title: str
    text: object


def client_columns(names):
    return [Column(name, lambda row, name=name: row.written(name)) for name in names]


def compared(title, others, names=(OURS,)):
    """How many times as good as the first of the others that was measured each of the names is."""
    def text(row):
        for other in others:
            found = [row.times_as_good(name, other) for name in names]
            if any(found):
                return " : ".join(f"{value:.2f}x" if value else "-" for value in found)
        return ""
    return Column(title, text)


def paired(title, values, form):
    """Of ours and of the peer."""
    def text(row):
        found = values(row)
        return " : ".join(format(found[name], form) for name in (OURS, PEER) if name in found)
    return Column(title, text)


def told(columns, rows):
    """The columns that say something of these rows, and all of them as text: head, then lines."""
    shown = [column for column in columns if any(column.text(row) for row in rows)]
    return [[column.title for column in shown],
            *([column.text(row) for column in shown] for row in rows)]


@dataclasses.dataclass
class Section:
    """A table: rows of the same delay, and the columns about them."""

    title: str
    corner: str  # above the figures' titles
    rows: list
    columns: list

    def cells(self):
        head, *lines = told(self.columns, self.rows)
        return [[self.corner, *head],
                *([row.figure.title, *line] for row, line in zip(self.rows, lines))]

    def notes(self):
        """What the values marked with ~ are of."""
        found = {}
        for row in self.rows:
            for name, part in row.parts.items():
                found.setdefault(part, {}).setdefault(row.figure.title, []).append(name)
        return [f"~ from a part of the work, {part}; times are scaled to all of it: "
                + "; ".join(f"{title} ({', '.join(names)})" for title, names in which.items())
                for part, which in found.items()]
