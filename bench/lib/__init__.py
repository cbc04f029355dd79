# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benches share. The private sshd and the mounts are the tests': `lib` is both folders here."""

import pathlib

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
__path__.append(str(TOP / "test" / "lib"))
