# SPDX-License-Identifier: GPL-2.0-or-later
"""Many small files: searched, opened, copied out, unpacked, removed."""

import pathlib
import shutil
import tempfile

from lib.bench import Wrong
from lib.contents import WORD

from .figures import COPY_OUT, GREP, GREP_AGAIN, OPEN, REMOVE, UNTAR

PART_FOLDER = "tree/area-0/part-0"


def files_of(view, figure):
    """Which folder of the tree, and what part that is."""
    trees = view.bench.trees
    if not view.is_part(figure):
        return "tree", None
    return PART_FOLDER, (len(trees.part), len(trees.small), "files")


def found_in(view, folder):
    """The sample of a grep; every file has a line that is found, and no two the same."""
    out, sample = view.run(None, ["grep", "-r", WORD, folder], cwd=view.path)
    return {**sample, "sum": sorted(out.splitlines())}


def grep(view):
    folder, part = files_of(view, GREP)
    for figure in (GREP, GREP_AGAIN):
        sample = view.checked(lambda view: found_in(view, folder), "grep", folder)
        del sample["sum"]
        view.record(figure, sample, part)


def read_named(view, names):
    return view.flow("files", text="".join(f"{name}\n" for name in names), cwd=view.path)


def open_small(view):
    count = view.sizes.opened_part if view.is_part(OPEN) else view.sizes.opened
    names = view.bench.trees.small[:count]
    sample = view.checked(lambda view: read_named(view, names), "open", count)
    view.record(OPEN, sample, (count, view.sizes.opened, "files") if count < view.sizes.opened else None)


def check_files(view, folder, base, names):
    """The files of a folder are those of the tree whose names are these, below `base`."""
    served = view.bench.native
    there = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if there != sorted(name.removeprefix(base) for name in names):
        raise Wrong(f"{view.client} has made other files than there were")
    copied = read_named(served, [folder / name.removeprefix(base) for name in names])
    if copied["sum"] != read_named(served, names)["sum"]:
        raise Wrong(f"{view.client} has made files with other contents")


def copy_out(view):
    folder, part = files_of(view, COPY_OUT)
    target = pathlib.Path(tempfile.mkdtemp(dir=view.bench.folder))
    _, sample = view.run(None, ["cp", "-r", view.path / folder, target / "copy"])
    names = view.bench.trees.part if part else view.bench.trees.small
    check_files(view, target / "copy", f"{folder}/", names)
    shutil.rmtree(target)
    view.record(COPY_OUT, sample, part)


def unpack(view):
    """Then all of that is removed."""
    whole = view.sizes.packed
    count = view.sizes.packed_part if view.is_part(UNTAR) else whole
    archive = view.bench.trees.archives / ("all.tar" if count == whole else "part.tar")
    part = (count, whole, "files") if count < whole else None
    _, sample = view.run(None, ["tar", "--no-same-owner", "-xf", archive, "-C", view.path / "unpacked"])
    served = view.bench.served / "unpacked"
    check_files(view, served, "tree/", view.bench.trees.small[:count])
    view.record(UNTAR, sample, part)
    top = sorted(str(view.path / "unpacked" / path.name) for path in served.iterdir())
    _, sample = view.run(None, ["rm", "-rf", *top])
    if list(served.iterdir()):
        raise Wrong(f"{view.client} has not removed everything")
    view.record(REMOVE, sample, part)
