# SPDX-License-Identifier: GPL-2.0-or-later
"""From samples to rows: medians, how many times as good ours is, how it is written down."""

import dataclasses

from . import measure
from .clients import OURS, PEER

NATIVE = "native"


@dataclasses.dataclass(frozen=True)
class Figure:
    """One thing that is measured. `unit`: s, s each, a second, MiB, of native."""

    title: str
    unit: str = "s"
    key: str = "seconds"

    @property
    def more_is_better(self):
        return self.unit in ("a second", "of native")

    def written(self, value):
        if value is None:
            return ""
        if self.unit == "a second":
            return f"{value / 1e6:.2f} M/s"
        if self.unit == "MiB":
            return f"{value / 2**20:.1f} MiB"
        if self.unit == "of native":
            return f"{value:.2f}"
        return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.4g} ms" if value >= 1e-3 else \
            f"{value * 1e6:.0f} us"


@dataclasses.dataclass
class Row:
    """One line of the table: a figure at one delay; values by client's name."""

    figure: Figure
    delay: float
    values: dict
    requests: dict

    @property
    def ratio(self):
        """How many times as good as the peer ours is; None without one of them."""
        ours, peer = self.values.get(OURS), self.values.get(PEER)
        if not ours or not peer:
            return None
        return ours / peer if self.figure.more_is_better else peer / ours

    @property
    def trips(self):
        """The time in round trips of the link, by client; {} where there are none to speak of."""
        if not self.delay or self.figure.unit not in ("s", "s each"):
            return {}
        return {name: value * 1000 / self.delay for name, value in self.values.items() if name != NATIVE}


def rows(samples, figures, delay):
    """The rows of one delay, in the order of the figures, without those that were not measured."""
    found = []
    for figure in figures:
        mine = [one for one in samples if one["figure"] == figure.title and one["delay"] == delay]
        by_client = {name: [one for one in mine if one["client"] == name] for name in (OURS, PEER, NATIVE)}
        values = {name: value for name, some in by_client.items()
                  if (value := measure.median(some, figure.key)) is not None}
        requests = {name: value for name, some in by_client.items()
                    if (value := measure.median(some, "requests")) is not None}
        if values:
            found.append(Row(figure, delay, values, requests))
    return found


def pair(values, form):
    return " : ".join(format(values[name], form) for name in (OURS, PEER) if name in values)


def cells(row):
    """One line of the table, as text."""
    return [row.figure.title, *(row.figure.written(row.values.get(name)) for name in (OURS, PEER)),
            f"{row.ratio:.2f}x" if row.ratio else "", row.figure.written(row.values.get(NATIVE)),
            pair(row.requests, ".0f"), pair(row.trips, ".1f")]


def head(delay):
    return [f"{delay:g} ms", OURS, PEER, "ours is", NATIVE, "requests", "round trips" if delay else ""]
