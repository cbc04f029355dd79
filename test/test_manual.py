# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual, the completions and what is installed keep up with the options. No mount is needed."""

import re
import shutil
import subprocess

import pytest

from lib import mount as mount_module

pytestmark = pytest.mark.ours

TOP = mount_module.TOP
COMPLETIONS = ["utils/completion/sshfs.bash", "utils/completion/_sshfs"]


def run(*words):
    return subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True)


@pytest.fixture(scope="module")
def usage():
    return run(mount_module.binary(), "-h").stdout


@pytest.fixture(scope="module")
def manual():
    return (TOP / "sshfs.rst").read_text()


def options_of(usage):
    """What the usage lists: names of -o options, with '=' behind those that take a value."""
    names = re.findall(r"^    -o ([a-z_]+=?)\S* ", usage, re.MULTILINE)
    assert len(names) > 50
    return set(names) - {"opt"}


def table_names():
    """All names of the option table, aliases and old words included, with whether they are shown."""
    table = (TOP / "options" / "table.c").read_text()
    found = re.findall(r'^\s*\{?\s*(?:PLAIN|VALUE|RANGE|OWN|OWN_VALUE|KERNEL_TIMEOUT)\("([a-z_]+)"', table,
                       re.MULTILINE)
    assert len(found) > 60
    return found


def test_every_option_is_in_the_manual(usage, manual):
    missing = [name for name in sorted(options_of(usage))
               if not re.search(rf"\b{name.rstrip('=')}\b", manual)]
    assert missing == []


def test_every_alias_is_in_the_manual(manual):
    silent = {"unreliable_append", "writeback_cache", "remount", "setuid", "remember"}
    assert [name for name in table_names()
            if name not in silent and not re.search(rf"\b{name}\b", manual)] == []


def test_every_flag_is_in_the_manual(usage, manual):
    for flag in re.findall(r"^    (-[A-Za-z0-9])\b", usage, re.MULTILINE):
        assert f"``{flag}" in manual, flag


@pytest.mark.parametrize("path", COMPLETIONS)
def test_every_option_is_completed(usage, path):
    words = set((TOP / path).read_text().split())
    assert options_of(usage) - words == set()


def test_the_manual_is_well_formed(tmp_path):
    program = shutil.which("rst2man") or shutil.which("rst2man.py")
    if not program:
        pytest.skip("docutils is not installed")
    result = run(program, TOP / "sshfs.rst", tmp_path / "sshfs.1")
    assert result.returncode == 0 and result.stderr == ""


def test_bash_completes():
    if not shutil.which("bash"):
        pytest.skip("bash is not installed")
    script = (f"source {TOP / COMPLETIONS[0]}\ncompopt() {{ :; }}\nCOMP_WORDS=(sshfs -o reconnect,dir_c)\n"
              "COMP_CWORD=2\n_sshfs\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n")
    assert run("bash", "-c", script).stdout == "reconnect,dir_cache=\n"


def test_zsh_understands_its_completion():
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    assert run("zsh", "-n", TOP / COMPLETIONS[1]).returncode == 0


def test_units_are_well_formed():
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    for name in ("mnt-host.mount", "mnt-host.automount"):
        result = run("systemd-analyze", "verify", "--man=no", TOP / "utils" / "systemd" / name)
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("words", [[], ["/a", "/b"], ["-x", "/a"], ["-N"]])
def test_umount_helper_refuses_nonsense(words):
    result = run(TOP / "utils" / "umount.sshfs", *words)
    assert result.returncode == 1 and result.stderr.startswith("usage: ")
