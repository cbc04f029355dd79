# SPDX-License-Identifier: GPL-2.0-or-later
"""`rclone mount` of an SFTP server: it speaks SSH itself, and has another command line than an sshfs."""

import shutil

from . import mount


class Mount(mount.Mount):
    """Its cache on disk is in the mount's folder, so a new mount has an empty one."""

    def __init__(self, folder, bench, options, program):
        super().__init__(folder, [], program=program, expect_noise=True)
        sshd = bench.sshd
        self._words = ["mount", f":sftp:{bench.served}", str(self.path), "--config", "/dev/null",
                       "--cache-dir", str(self.folder / "cache"),
                       "--sftp-host", "127.0.0.1", "--sftp-port", str(bench.port),
                       "--sftp-user", sshd.user, "--sftp-key-file", str(sshd.user_key),
                       *options]

    def command(self):
        return [self._program, *self._words]

    def release(self):
        super().release()
        shutil.rmtree(self.folder / "cache", ignore_errors=True)
