# SPDX-License-Identifier: GPL-2.0-or-later
"""A large file otherwise than from its beginning to its end: backwards, with gaps, here and there."""

from .figures import BACKWARD, RANDOM, RANDOM_VAST, STRIDED
from .large import part_in_mib

KIB = 2**10
PIECE, STRIDE_PIECE, RANDOM_PIECE = 128 * KIB, 64 * KIB, 4 * KIB


def backward(view):
    view.get_ready()
    size = view.sizes.large_part if view.is_part(BACKWARD) else view.sizes.large
    sample = view.read("backward", PIECE, size // PIECE, "large.bin")
    view.record(BACKWARD, sample, part_in_mib(view, size))


def strided(view):
    """A quarter of the file is asked for, in pieces as far from each other."""
    view.get_ready()
    size = view.sizes.large_part if view.is_part(STRIDED) else view.sizes.large
    count = size // STRIDE_PIECE // 4
    sample = view.received_share(lambda: view.read("strided", STRIDE_PIECE, count, "large.bin"))
    view.record(STRIDED, sample, part_in_mib(view, size))


def pick(view, figure, name):
    count = view.sizes.random_part if view.is_part(figure) else view.sizes.random
    view.get_ready()
    sample = view.received_share(lambda: view.read("random", RANDOM_PIECE, count, name))
    view.record(figure, sample, (count, view.sizes.random, "reads") if count < view.sizes.random else None)


def random(view):
    pick(view, RANDOM, "large.bin")


def random_vast(view):
    """Of a file that no budget holds."""
    pick(view, RANDOM_VAST, "vast.bin")
