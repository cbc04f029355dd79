# SPDX-License-Identifier: GPL-2.0-or-later
"""A bench as a program: its arguments, its run, and what comes out: table, JSON, page."""

import argparse
import json
import pathlib
import platform
import subprocess
import sys
import tempfile

from . import report, terminal
from .bench import Wrong


def whole_number(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def delays(text):
    values = [float(word) for word in text.split(",")]
    if not all(0 <= value <= 1000 for value in values):
        raise argparse.ArgumentTypeError("a delay is between 0 and 1000 ms")
    return list(dict.fromkeys(values))


def parser(text, usual_delays):
    """What all benches know."""
    made = argparse.ArgumentParser(description=text.splitlines()[0])
    made.add_argument("--delays", type=delays,
                      help=f"milliseconds of a round trip, separated by commas ({usual_delays})")
    made.add_argument("--rounds", type=whole_number, default=3,
                      help="rounds, of which the median counts (3)")
    made.add_argument("--quick", action="store_true", help="one round, less of everything, not so far")
    made.add_argument("--json", help="writes all samples to this file")
    made.add_argument("--report", help="writes a page with plots to this file")
    made.usual_delays = usual_delays
    return made


def parse(made, argv):
    arguments = made.parse_args(argv)
    if arguments.quick:
        arguments.rounds = 1
    if arguments.delays is None:
        arguments.delays = delays("0,20" if arguments.quick else made.usual_delays)
    return arguments


def machine():
    return ("machine", f"{platform.system()} {platform.release()} {platform.machine()}")


def write(path, text):
    if path:
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(path).write_text(text)


def show(name, bench, facts, sections):
    """facts: pairs of a name and a text about what was measured."""
    print("\n".join(f"{name}: {text}" for name, text in facts))
    if bench.late:
        print(f"ended by force: {bench.late} (unmounted, but still held, perhaps by another namespace)")
    for section in sections:
        print("\n" + "\n".join([terminal.table(section.cells()), *section.notes()]))
    write(bench.arguments.json, json.dumps({"facts": dict(facts), "samples": bench.samples}, indent=1)
          + "\n")
    write(bench.arguments.report, report.page(name, facts, sections))


def run(name, make_bench):
    """make_bench(folder): a Bench with facts() and sections() for what comes out."""
    terminal.exit_on_signals()
    try:
        with tempfile.TemporaryDirectory(prefix="sshfs-bench.") as folder:
            bench = make_bench(folder)
            try:
                bench.run()
            finally:
                bench.close()
            show(name, bench, bench.facts(), bench.sections())
    # Mounts and what they wait for fail as tests do: with an AssertionError that tells the story.
    except (Wrong, AssertionError, OSError, subprocess.SubprocessError) as problem:
        sys.exit(f"{name}: {problem}")
