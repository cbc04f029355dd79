# SPDX-License-Identifier: GPL-2.0-or-later
"""Feature gates: a test that cannot run here is skipped with the reason, found by trying.

    @pytest.mark.needs("root", "mount_namespace")
"""

import functools
import os
import shutil
import socket
import subprocess

from . import sshd


def _runs(*argv):
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def fuse():
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/fuse cannot be opened: {error.strerror}"
    if os.geteuid() != 0 and not shutil.which("fusermount3"):
        return "fusermount3 is not installed"
    return None


def root():
    return None if os.geteuid() == 0 else "needs root"


def not_root():
    return None if os.geteuid() != 0 else "root is above what this test is about"


def server():
    if not sshd.sshd_program() or not sshd.sftp_server():
        return "OpenSSH's server is not installed"
    return None if shutil.which("ssh") else "ssh is not installed"


def mount_namespace():
    return None if _runs("unshare", "--mount", "true") else "no private mount namespace allowed"


def tmpfs():
    inside = "mount -t tmpfs -o size=1m none /mnt"
    if _runs("unshare", "--mount", "sh", "-c", inside):
        return None
    return "no tmpfs can be mounted"


def vsock():
    """A virtual-machine socket that loops back to this machine (CID 1)."""
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as listener:
            listener.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
            listener.listen(1)
            port = listener.getsockname()[1]
            with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as client:
                client.settimeout(1)
                client.connect((1, port))
    except (AttributeError, OSError) as error:
        return f"no vsock loopback: {error}"
    return None


def ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError as error:
        return f"no IPv6 loopback: {error}"
    return None


GATES = {gate.__name__: functools.lru_cache(None)(gate)
         for gate in (fuse, root, not_root, server, mount_namespace, tmpfs, vsock, ipv6)}


def why_not(name):
    """Why the feature is missing here, in a few words; None when it is there."""
    return GATES[name]()
