# SPDX-License-Identifier: GPL-2.0-or-later
"""As mount(8) calls it: helper names, helper flags, lines of fstab (compat.md, section 1.7)."""

import os
import re
import shlex
import subprocess

import pytest

from lib import mount as mount_module, mountinfo, processes, sshd as sshd_module

pytestmark = [pytest.mark.needs("fuse", "server"), pytest.mark.ours]

HELPERS = ["mount.sshfs", "mount.fuse.sshfs"]


@pytest.fixture
def helper(mount, fake_ssh, server_dir):
    """Mounts as mount(8) would have it done: helper("-o", "rw"); it goes to the background."""
    (server_dir / "file").write_text("x")

    def call(*flags, name="mount.sshfs", options="rw", **more):
        return mount("-o", f"{options},ssh_command={fake_ssh}", *flags, over=None, foreground=False,
                     arg0=f"/sbin/{name}", **more)
    return call


@pytest.mark.parametrize("name", HELPERS)
@pytest.mark.parametrize("flags", [[], ["-s"], ["-n"], ["-v"], ["-sn"], ["-nv"],
                                   ["-t", "fuse.sshfs"], ["-n", "-v", "-s", "-t", "fuse.sshfs"]])
def test_helper_flags(helper, name, flags):
    m = helper(*flags, name=name)
    assert os.listdir(m.path) == ["file"]


@pytest.mark.parametrize("name", HELPERS)
@pytest.mark.parametrize("flags", [["-f"], ["-fnv"], ["-n", "-f"]])
def test_a_fake_mount_checks_and_does_nothing(sshfs, tmp_path, fake_ssh, server_dir, name, flags):
    point = tmp_path / "run" / "mnt"
    point.mkdir(parents=True)
    result = sshfs(f"host:{server_dir}", point, *flags, "-o", f"rw,ssh_command={fake_ssh}",
                   arg0=f"/sbin/{name}")
    assert result.code == 0, result
    assert mountinfo.find(point) is None


def test_a_fake_mount_of_nonsense_is_refused(sshfs, tmp_path):
    result = sshfs("host:", tmp_path / "missing", "-f", "-o", "rw", arg0="/sbin/mount.sshfs")
    assert result.code != 0


@pytest.mark.parametrize("options", [
    "ro,nosuid,noexec,noatime,nodev,reconnect,nofail,_netdev,user",
    "rw,nofail,x-systemd.automount,x-systemd.device-timeout=10,comment=x,defaults",
    "rw,owner", "rw,group", "rw,users,noauto", "rw,auto,nouser"])
def test_what_mount_hands_over(helper, options):
    m = helper(options=options)
    assert os.listdir(m.path) == ["file"]
    if options.startswith("ro"):
        assert {"ro", "noexec", "nosuid", "nodev", "noatime"} <= set(m.entry().options)


def test_outside_of_mount_the_same_letters_mean_what_they_always_did(mount):
    """-f stays in the foreground, -s is single-threaded."""
    m = mount("-f", "-s", over="fake")
    assert m.process.poll() is None


# ---- through mount(8) itself ---------------------------------------------------------------------

NAMESPACE = """
set -eu
mount --make-rprivate /
mount -t tmpfs none {work}
mkdir {work}/upper {work}/work
ln -s {sshfs} {work}/upper/mount.sshfs
ln -s {sshfs} {work}/upper/mount.fuse.sshfs
mount -t overlay none -o lowerdir=/usr/sbin,upperdir={work}/upper,workdir={work}/work /usr/sbin
{commands}
"""


@pytest.fixture
def in_namespace(tmp_path):
    """Runs shell commands where mount(8) finds our binary as its helper; returns what they printed."""
    (tmp_path / "work").mkdir()
    mark = processes.new_mark()

    def run(commands):
        script = NAMESPACE.format(work=tmp_path / "work", commands=commands,
                                  sshfs=shlex.quote(os.path.realpath(mount_module.binary())))
        done = subprocess.run(["unshare", "--mount", "sh", "-c", script], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=50 * processes.SLOWNESS,
                              env={**os.environ, processes.MARK: mark})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    yield run
    processes.kill_marked(mark)


FSTAB = {
    "sshfs": "{source} {point} sshfs noauto,nofail,{options} 0 0",
    "fuse.sshfs": "{source} {point} fuse.sshfs noauto,nofail,_netdev,x-systemd.automount,{options} 0 0",
    "sshfs#": "sshfs#{source} {point} fuse noauto,{options} 0 0",
}


@pytest.mark.needs("root", "mount_namespace")
@pytest.mark.parametrize("spelling", FSTAB)
@pytest.mark.parametrize("flags", ["", "-v", "-n"])
def test_a_line_of_fstab(in_namespace, tmp_path, fake_ssh, server_dir, spelling, flags):
    if spelling == "sshfs#" and not os.path.exists("/usr/sbin/mount.fuse"):
        pytest.skip("mount.fuse is not installed")
    (server_dir / "file").write_text("x")
    point = tmp_path / "mnt"
    point.mkdir()
    fstab = tmp_path / "fstab"
    fstab.write_text(FSTAB[spelling].format(source=f"host:{server_dir}", point=point,
                                            options=f"ro,ssh_command={fake_ssh}") + "\n")
    path = os.path.dirname(os.path.realpath(mount_module.binary()))
    said = in_namespace(f"export PATH={path}:$PATH\nmount {flags} -T {fstab} {point}\nls {point}\n"
                        f"grep {point} /proc/self/mountinfo\numount {point}\n"
                        f"grep -c {point} /proc/self/mountinfo || true")
    lines = said.splitlines()
    assert "file" in lines
    assert re.search(rf" {point} ro[, ].* - fuse.sshfs host:{server_dir} ", said)
    assert lines[-1] == "0"


@pytest.mark.needs("root", "mount_namespace")
def test_mount_of_type_sshfs_by_hand(in_namespace, tmp_path, fake_ssh, server_dir):
    (server_dir / "file").write_text("x")
    point = tmp_path / "mnt"
    point.mkdir()
    said = in_namespace(f"mount -t sshfs -o ssh_command={fake_ssh} host:{server_dir} {point}\n"
                        f"ls {point}\numount {point}")
    assert said.splitlines()[0] == "file"


def umount_helper():
    return mount_module.TOP / "utils" / "umount.sshfs"


@pytest.mark.skipif(not umount_helper().exists(), reason="it is built elsewhere")
def test_umount_helper(mount):
    """What umount(8) calls in systemd's user units."""
    m = mount(over="fake")
    subprocess.run([umount_helper(), m.path], check=True, stdin=subprocess.DEVNULL)
    assert m.wait_over() == 0
