# SPDX-License-Identifier: GPL-2.0-or-later
"""The benches' own C programs: probe.c, flow.c, relay.c. Compiled when a bench starts, in its own folder."""

import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent


def build(folder, name):
    """Compiles NAME.c; returns the program's path."""
    program = pathlib.Path(folder) / name
    if not program.exists():
        subprocess.run(["cc", "-std=gnu11", "-O2", "-pthread", "-o", program, HERE / f"{name}.c"],
                       check=True, stdin=subprocess.DEVNULL)
    return program
