# SPDX-License-Identifier: GPL-2.0-or-later
"""Large files from one end to the other: read, read again, by many, written, copied on the server."""

from lib.bench import Wrong

from .figures import COPY, READ, READ_AGAIN, READERS, WRITE

MIB = 2**20


def part_in_mib(view, done):
    whole = view.sizes.large
    return (done // MIB, whole // MIB, "MiB") if done < whole else None


def read(view):
    view.get_ready()
    size = view.sizes.large_part if view.is_part(READ) else view.sizes.large
    for figure in (READ, READ_AGAIN):
        sample = view.flow("read", "forward", MIB, size // MIB, view.path / "large.bin")
        view.expect_large(size, sample["sum"])
        view.record(figure, sample, part_in_mib(view, size))


def readers(view):
    view.get_ready()
    view.record(READERS, view.read("forward", MIB, 0, *(f"one-of-8.{number}" for number in range(8))))


def check_written(view, name, size):
    """On the server, whoever wrote it."""
    found = view.bench.native.flow("read", "forward", MIB, 0, view.bench.served / name)
    if found["bytes"] != size:
        raise Wrong(f"{view.client} has written {found['bytes']} of {size} bytes")
    view.expect_large(size, found["sum"])


def write(view):
    view.get_ready()
    size = view.sizes.large
    sample = view.flow("write", view.path / "written.bin", size)
    check_written(view, "written.bin", size)
    view.record(WRITE, sample)


def copy(view):
    """By copy_file_range where the file system has it: no byte need come here."""
    view.get_ready()
    name, size = ("part.bin", view.sizes.large_part) if view.is_part(COPY) else \
        ("large.bin", view.sizes.large)
    _, sample = view.run(None, ["cp", "--reflink=auto", view.path / name, view.path / "copied.bin"])
    check_written(view, "copied.bin", size)
    view.record(COPY, {**sample, "copied": size}, part_in_mib(view, size))
