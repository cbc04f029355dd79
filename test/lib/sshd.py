# SPDX-License-Identifier: GPL-2.0-or-later
"""A private sshd: own keys, own configuration, own port, nothing of the machine's.

The listening socket is ours (port 0: the kernel picks a free one, so there is no race for it), and
each connection gets an `sshd -i` of its own, as inetd would start it. So the server can be refused,
killed, frozen and brought back on the same port, and no other sshd is touched.

The one who listens is a process of its own: a test may hold files on a mount that hangs, and a fork
of the test's process would hang with it when it closes its copies.
"""

import contextlib
import getpass
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys

if __package__:
    from . import processes

SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server",
                "/usr/lib/ssh/sftp-server", "/usr/libexec/sftp-server")
SSHDS = ("/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd")

# The name under which tests mount: ssh_config maps it to the loopback and the port.
HOST = "testhost"


def find(paths):
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def sftp_server():
    """The path of OpenSSH's sftp-server, or None."""
    return find(SFTP_SERVERS)


def sshd_program():
    return find(SSHDS)


def write_fake_ssh(folder, name="fake-ssh", server_options=""):
    """The two-line script that is ssh and server in one: whatever it is asked, it execs sftp-server."""
    path = pathlib.Path(folder) / name
    path.write_text(f"#!/bin/sh\nexec {sftp_server()} {server_options}\n")
    path.chmod(0o755)
    return path


def root_is_locked():
    """Whether root's password field says so: sshd then refuses keys too, unless PAM decides."""
    try:
        lines = pathlib.Path("/etc/shadow").read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("root:!") for line in lines)


def bound_socket(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


class Sshd:
    """One private server. `start()` before use, `stop()` at the end; `folder` holds all its files."""

    def __init__(self, folder, subsystem=None, extra=()):
        self.folder = pathlib.Path(folder)
        self.log = self.folder / "sshd.log"
        self.ssh_config = self.folder / "ssh_config"
        self.known_hosts = self.folder / "known_hosts"
        self.user_key = self.folder / "user_key"
        self.user = getpass.getuser()
        self.subsystem = subsystem or sftp_server()
        self.extra = tuple(extra)
        self.port = None
        self._listener = None  # the process that listens

    # ---- files ------------------------------------------------------------------------------------

    def _make_key(self, path):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f",
                        str(path)], check=True, stdin=subprocess.DEVNULL)

    def _write_files(self):
        host_key = self.folder / "host_key"
        self._make_key(host_key)
        self._make_key(self.user_key)
        (self.folder / "authorized_keys").write_bytes(
            self.user_key.with_suffix(".pub").read_bytes())
        self.known_hosts.write_text(f"{HOST} {host_key.with_suffix('.pub').read_text()}")
        pam = os.geteuid() == 0 and root_is_locked()
        (self.folder / "sshd_config").write_text("\n".join([
            f"HostKey {host_key}",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
            f"PidFile {self.folder / 'pid'}",
            f"Subsystem sftp {self.subsystem}",
            f"UsePAM {'yes' if pam else 'no'}",
            "StrictModes no",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UseDNS no",
            "PrintMotd no",
            "LogLevel VERBOSE",
            "AllowTcpForwarding no",
            *self.extra]) + "\n")

    def _write_ssh_config(self):
        self.ssh_config.write_text("\n".join([
            f"Host {HOST}",
            "  HostName 127.0.0.1",
            f"  Port {self.port}",
            "Host *",
            f"  HostKeyAlias {HOST}",
            f"  User {self.user}",
            f"  IdentityFile {self.user_key}",
            "  IdentitiesOnly yes",
            "  IdentityAgent none",
            f"  UserKnownHostsFile {self.known_hosts}",
            "  GlobalKnownHostsFile /dev/null",
            "  UpdateHostKeys no",
            "  StrictHostKeyChecking yes",
            "  BatchMode yes",
            "  ControlPath none"]) + "\n")

    # ---- life -------------------------------------------------------------------------------------

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            # sshd's own demand, normally met by its service.
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self._write_files()
        self._start_listener()
        self._write_ssh_config()
        return self

    def _start_listener(self):
        with open(self.log, "ab") as log:
            self._listener = subprocess.Popen(
                ["/usr/bin/python3", __file__, sshd_program(), str(self.folder / "sshd_config")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd="/",
                start_new_session=True)
        self.port = int(self._tell("port"))

    def _tell(self, word):
        self._listener.stdin.write(word + "\n")
        self._listener.stdin.flush()
        return self._listener.stdout.readline().strip()

    def accept(self):
        """Listens again after refuse(), on the same port."""
        self._tell("accept")

    def refuse(self):
        """Stops listening: new connections are refused, those that are there go on."""
        self._tell("refuse")

    def kill(self):
        """Kills every connection's processes at once, as a crash of the server would."""
        pids = self.processes()
        for pid in pids:
            processes.signal_quietly(pid, signal.SIGKILL)
        for pid in pids:
            processes.wait_gone(pid, 10)

    def stop(self):
        if self._listener is not None:
            self.refuse()
            self.kill()
            self._listener.stdin.close()
            self._listener.wait()
            self._listener.stdout.close()
            self._listener = None

    def processes(self, name=None):
        """The pids of the living connections' processes; of those called `name` only, if given."""
        return [pid for pid in processes.children_of(self._listener.pid)
                if name is None or processes.name_of(pid) == name]

    @contextlib.contextmanager
    def frozen(self):
        """Stops every sftp-server of this sshd: the link stands, nothing is answered."""
        pids = self.processes("sftp-server")
        assert pids, "there is no sftp-server to freeze"
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield pids
        finally:
            for pid in pids:
                processes.signal_quietly(pid, signal.SIGCONT)

    # ---- use --------------------------------------------------------------------------------------

    @property
    def options(self):
        """What sshfs and ssh need on their command lines to come here."""
        return ["-F", str(self.ssh_config)]

    def source(self, path=""):
        return f"{HOST}:{path}"


# ---- the process that listens ---------------------------------------------------------------------

class Listener:
    """Takes commands from standard input, one a line, and answers each; ends with it."""

    def __init__(self, program, config):
        self.argv = [program, "-i", "-e", "-f", config]
        self.place = bound_socket(0)  # never listens: keeps the port ours while we refuse
        self.socket = None
        self.accept()

    def port(self):
        return self.place.getsockname()[1]

    def accept(self):
        if self.socket is None:
            self.socket = bound_socket(self.port())
            self.socket.listen(64)

    def refuse(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def connection(self):
        client, _ = self.socket.accept()
        with client:
            subprocess.Popen(self.argv, stdin=client, stdout=client, start_new_session=True)

    def command(self, word):
        print(getattr(self, word)(), flush=True)

    def serve(self):
        commands = open(0, "rb", buffering=0)
        while True:
            waiting = [commands] + ([self.socket] if self.socket else [])
            ready, _, _ = select.select(waiting, [], [])
            if commands in ready:
                word = commands.readline().decode().strip()
                if not word:
                    return
                self.command(word)
            elif ready:
                self.connection()


def reap(number, frame):
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, reap)
    Listener(sys.argv[1], sys.argv[2]).serve()
