# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual, the completions and what is installed keep up with the options. No mount is needed."""

import os
import pathlib
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
    """All names of the option table, whatever their kind: aliases, the kernel's, fstab's, old words."""
    table = (TOP / "options" / "table.c").read_text()
    rows = table[table.index("static const struct row rows[] = {"):]
    rows = rows[:rows.index("\n};\n")]
    found = re.findall(r'(?:^\s*[A-Z_]+\(|\.name = )"([A-Za-z_]+)"', rows, re.MULTILINE)
    assert len(found) > 150
    return found


def test_every_option_is_in_the_manual(usage, manual):
    missing = [name for name in sorted(options_of(usage))
               if not re.search(rf"\b{name.rstrip('=')}\b", manual)]
    assert missing == []


def test_every_row_of_the_table_is_in_the_manual(manual):
    missing = [name for name in table_names() if not re.search(rf"\b{name}\b", manual)]
    assert missing == []


def test_the_manual_names_no_option_that_is_not_there(manual):
    """What stands as a definition (``-o name...``) exists."""
    known = set(table_names()) | {"OPT", "SSHOPT"}
    for line in re.findall(r"^``-o (.*)``$", manual, re.MULTILINE):
        for name in re.findall(r"\b([A-Za-z_]+)(?:=[A-Z:]+)?(?:\[.*\])?(?:,|$)", line):
            assert name in known, line


@pytest.mark.parametrize("name, default", [
    ("max_conns", "1"), ("multiplex", "auto"), ("ssh_protocol", "2"), ("sftp_server", "sftp"), ("dir_cache", "yes"),
    ("dcache_timeout", "20"), ("dcache_max_size", "10000"), ("dcache_clean_interval", "60"),
    ("dcache_min_clean_interval", "5"), ("entry_timeout", "as the cache"),
    ("attr_timeout", "as the cache"), ("negative_timeout", "as the cache"), ("walk_ahead", "16"),
    ("dcache_absent_timeout", "2"), ("max_threads", "64"), ("idmap", "none"),
    ("nomap", "error")])
def test_usage_and_manual_agree_on_the_default(usage, manual, name, default):
    assert re.search(rf"^    -o {name}=.*\({default}\)$", usage, re.MULTILINE)
    text = re.search(rf"^``-o {name}=.*``\n((?:    .*\n|\n)+)", manual, re.MULTILINE)[1]
    assert re.search(rf"\({default}\)|\(``{default}``\)|\*\*{default}\*\* \(default\)", text), text


def test_every_flag_is_in_the_manual(usage, manual):
    for flag in re.findall(r"^    (-[A-Za-z0-9])\b", usage, re.MULTILINE):
        assert f"``{flag}" in manual, flag


@pytest.mark.parametrize("path", COMPLETIONS)
def test_every_option_is_completed(usage, path):
    words = set((TOP / path).read_text().split())
    assert options_of(usage) - words == set()


@pytest.mark.parametrize("path", COMPLETIONS)
def test_only_options_are_completed(path):
    """Names in the completion's list are of the table, but for a few of ssh's."""
    listed = re.search(r'_?sshfs_options=[("]\n(.*?)\n[)"]', (TOP / path).read_text(), re.DOTALL)[1]
    ours = {word.rstrip("=") for word in listed.split() if word[0].islower()}
    assert ours - set(table_names()) == set()


@pytest.mark.parametrize("path", COMPLETIONS)
def test_every_flag_is_completed(usage, path):
    text = (TOP / path).read_text()
    flags = re.findall(r"^    (-[A-Za-z0-9])(?: +(--[a-z]+))?", usage, re.MULTILINE)
    assert len(flags) > 10
    for flag in (flag for pair in flags for flag in pair if flag):
        assert re.search(rf"(?<![-\w]){flag}(?![a-z])", text), flag


@pytest.mark.parametrize("path", [*COMPLETIONS, "sshfs.rst"])
def test_every_word_about_a_mount_is_known(usage, path):
    words = set(re.findall(r"^ {9}(--[a-z]+)", usage, re.MULTILINE))
    assert words == {"--stats", "--json", "--refresh"}
    text = (TOP / path).read_text()
    for word in words:
        assert re.search(rf"(?<![-\w]){word}(?![a-z])", text), word


def test_every_name_of_the_statistics_is_in_the_manual(manual):
    table = (TOP / "control" / "operation.c").read_text()
    names = re.findall(r'\{"([a-z]+)", ', table)
    assert len(names) > 20
    section = manual[manual.index("STATISTICS\n=="):manual.index("SECURITY\n==")]
    assert [name for name in names if not re.search(rf"\b{name}\b", section)] == []


def test_the_manual_is_well_formed(tmp_path):
    program = shutil.which("rst2man") or shutil.which("rst2man.py")
    if not program:
        pytest.skip("docutils is not installed")
    result = run(program, TOP / "sshfs.rst", tmp_path / "sshfs.1")
    assert result.returncode == 0 and result.stderr == ""


@pytest.fixture
def bash_completes(tmp_path):
    """What bash offers behind a line: bash_completes("sshfs -o idma") == ["idmap="]."""
    if not shutil.which("bash"):
        pytest.skip("bash is not installed")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host alpha beta *.example\n")
    (tmp_path / ".ssh" / "known_hosts").write_text(
        f"gamma,::1 ssh-rsa A\n$(touch${{IFS}}{tmp_path}/evil) ssh-rsa A\n|1|hashed= ssh-rsa A\n")

    def complete(line):
        script = ("source \"$1\"\ncompopt() { :; }\nCOMP_LINE=$2 COMP_POINT=${#2}\n_sshfs\n"
                  "printf '%s\\n' \"${COMPREPLY[@]}\"\n")
        done = subprocess.run(["bash", "-c", script, "bash", TOP / COMPLETIONS[0], line],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)})
        assert done.returncode == 0 and done.stderr == ""
        return done.stdout.split()
    return complete


@pytest.mark.parametrize("line, offered", [
    ("sshfs -o reconnect,dir_c", ["reconnect,dir_cache="]),
    ("sshfs -o ro,dir_cache=", ["yes", "no"]),
    ("sshfs -o idmap=u", ["user"]),
    ("sshfs -o cache=a", ["aggressive"]), ("sshfs -o multiplex=a", ["auto"]),
    ("sshfs --de", ["--debug"]),
    ("sshfs --st", ["--stats"]),
    ("sshfs alp", ["alpha:"]),
    ("sshfs me@be", ["beta:"]),
    ("sshfs ga", ["gamma:"]),
    ("sshfs [", ["[::1]:"]),
    ("sshfs -o ro host: .s", [".ssh"]),
    ("sshfs -p 2", [])])
def test_bash_completes(bash_completes, line, offered):
    assert bash_completes(line) == offered


def test_bash_runs_nothing_that_stands_in_known_hosts(bash_completes, tmp_path):
    assert "alpha:" in bash_completes("sshfs ")
    assert not (tmp_path / "evil").exists()


def test_zsh_understands_its_completion():
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    assert run("zsh", "-n", TOP / COMPLETIONS[1]).returncode == 0


@pytest.mark.parametrize("name", ["mnt-host.mount", "mnt-host.automount", "sshfs@.service"])
def test_units_are_well_formed(tmp_path, name):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    unit = tmp_path / name.replace("@", "@host")
    text = (TOP / "utils" / "systemd" / name).read_text()
    # The program need not be installed yet.
    unit.write_text(text.replace("ExecStart=sshfs", f"ExecStart={mount_module.binary()}"))
    scope = ["--user"] if name.endswith(".service") else []
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", *scope, unit], text=True,
                            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
                            capture_output=True)
    assert result.returncode == 0, result.stderr


# ---- what is installed ----------------------------------------------------------------------------

INSTALLED = ["bin/sshfs", "sbin/mount.sshfs", "sbin/mount.fuse.sshfs", "sbin/umount.sshfs",
             "sbin/umount.fuse.sshfs", "share/bash-completion/completions/sshfs",
             "share/zsh/site-functions/_sshfs", "share/doc/sshfs/systemd/sshfs@.service",
             "share/doc/sshfs/systemd/mnt-host.mount", "share/doc/sshfs/systemd/mnt-host.automount"]


@pytest.fixture(scope="module")
def installed(session_dir):
    """A folder with what `meson install` puts below its prefix."""
    build = pathlib.Path(mount_module.binary()).resolve().parent
    if not (build / "build.ninja").exists() or not shutil.which("meson"):
        pytest.skip("the binary is not in a build folder of meson")
    root = session_dir / "installed"
    result = run("meson", "install", "-C", build, "--no-rebuild", "--skip-subprojects",
                 "--destdir", root)
    assert result.returncode == 0, result.stdout + result.stderr
    return next(root.glob("**/bin/sshfs")).parent.parent


@pytest.mark.parametrize("path", INSTALLED)
def test_it_is_installed(installed, path):
    assert (installed / path).is_file(), sorted(installed.glob("**/*"))


def test_the_manual_is_installed(installed):
    if not (shutil.which("rst2man") or shutil.which("rst2man.py")):
        pytest.skip("docutils is not installed")
    assert list(installed.glob("**/man1/sshfs.1*"))


@pytest.mark.parametrize("name", ["sshfs", "fuse.sshfs"])
def test_helpers_lead_to_the_programs(installed, name):
    assert (installed / "sbin" / f"mount.{name}").samefile(installed / "bin" / "sshfs")
    helper = installed / "sbin" / f"umount.{name}"
    assert os.access(helper, os.X_OK)
    assert helper.read_bytes() == (TOP / "utils" / "umount.sshfs").read_bytes()


# ---- umount(8)'s helper ---------------------------------------------------------------------------

@pytest.fixture
def umount_helper(tmp_path):
    """Runs umount.sshfs with a fusermount3 that says what it is called with; its words, split."""
    fake = tmp_path / "fusermount3"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)

    def call(*words):
        done = subprocess.run([TOP / "utils" / "umount.sshfs", *words], capture_output=True,
                              text=True, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()
    return call


@pytest.mark.parametrize("words, lazy", [
    (["/a b"], False), (["/a b", "-n", "-v"], False), (["/a b", "-nrv"], False),
    (["/a b", "-l"], True), (["/a b", "-f"], True), (["/a b", "-fnv"], True),
    (["/a b", "-l", "-N", "/proc/1/ns/mnt", "-t", "fuse.sshfs"], True),
    (["-t", "fuse.sshfs", "/a b"], False)])
def test_umount_helper_understands_umount(umount_helper, words, lazy):
    assert umount_helper(*words) == ["-u", *(["-z"] if lazy else []), "--", "/a b"]


@pytest.mark.parametrize("words", [[], ["/a", "/b"], ["-x", "/a"], ["-N"]])
def test_umount_helper_refuses_nonsense(words):
    result = run(TOP / "utils" / "umount.sshfs", *words)
    assert result.returncode == 1 and result.stderr.startswith("usage: ")
