# SPDX-License-Identifier: GPL-2.0-or-later
"""A scripted SFTP server in the test's own process: it serves real folders, and misbehaves as told.

    def test_something(rogue, mount):
        rogue.on("READ", lambda request: request.honest().cut(10))  # replies without their end
        rogue.on("MKDIR", lambda request: [status(4, "File exists")])
        gate = rogue.hold("LSTAT")                                  # replies wait for gate.open()
        m = mount(over=rogue)
        ...
        assert rogue.count("READ") == 1

sftp_proxy, the man in the middle, has a real sftp-server behind it and its rules fixed beforehand. This
one is for what that cannot do: rules that change while a mount is up, replies that wait for an
event of the test's, other orders, half replies, anything but SFTP.

Time: a reply is made when the request comes, also if a gate keeps it: it tells of the past then.
"""

import collections
import contextlib
import errno
import os
import pathlib
import socket
import stat
import struct
import sys
import threading
import time

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import processes
from lib.sftp_proxy import Fields, describe, packed, read_packet

VERSION, STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY = 2, 101, 102, 103, 104, 105, 201
OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8

CODES = {errno.ENOENT: NO_SUCH_FILE, errno.ENOTDIR: NO_SUCH_FILE, errno.EBADF: NO_SUCH_FILE,
         errno.ELOOP: NO_SUCH_FILE, errno.EACCES: PERMISSION_DENIED,
         errno.EPERM: PERMISSION_DENIED, errno.EINVAL: BAD_MESSAGE,
         errno.ENAMETOOLONG: BAD_MESSAGE, errno.ENOSYS: UNSUPPORTED}

EXTENSIONS = {"posix-rename@openssh.com": "1", "statvfs@openssh.com": "2",
              "fstatvfs@openssh.com": "2", "hardlink@openssh.com": "1", "fsync@openssh.com": "1",
              "lsetstat@openssh.com": "1", "limits@openssh.com": "1",
              "copy-data": "1"}

NAMES_A_REPLY = 100
LIMITS = (262144, 261120, 261120, 0)  # packet, read, write, handles


# ---- replies --------------------------------------------------------------------------------------

class Reply:
    """A reply to whichever request: its type, and its body after the id."""

    def __init__(self, kind, body=b""):
        self.kind, self.body = kind, body

    def __repr__(self):
        return f"<reply {self.kind}, {len(self.body)} bytes>"

    def cut(self, size):
        """The same without its last bytes, and with a length to fit."""
        return Reply(self.kind, self.body[:-size])

    def encode(self, number):
        return packed(struct.pack(">BI", self.kind, number) + self.body)


def status(code, text=""):
    return Reply(STATUS, struct.pack(">I", code) + packed(text.encode()) + packed(b""))


def handle(name):
    return Reply(HANDLE, packed(name))


def data(content):
    return Reply(DATA, packed(content))


def attributes(**fields):
    """For ATTRS and NAME: size, uid and gid, mode, atime and mtime, as far as they are given."""
    flags, body = 0, b""
    for bit, names, form in ((1, ["size"], ">Q"), (2, ["uid", "gid"], ">II"), (4, ["mode"], ">I"),
                             (8, ["atime", "mtime"], ">II")):
        if names[0] in fields:
            flags |= bit
            body += struct.pack(form, *(fields[name] for name in names))
    return struct.pack(">I", flags) + body


def attrs(**fields):
    return Reply(ATTRS, attributes(**fields))


def names(*entries, count=None):
    """Entries are names, or pairs of a name and its attributes."""
    body = struct.pack(">I", len(entries) if count is None else count)
    for entry in entries:
        name, fields = entry if isinstance(entry, tuple) else (entry, attributes(mode=0o100644))
        body += packed(name) + packed(b"-rw-r--r-- " + name) + fields
    return Reply(NAME, body)


def version(number=3, extensions=None):
    """The whole VERSION message."""
    body = struct.pack(">BI", VERSION, number)
    for name, value in (EXTENSIONS if extensions is None else extensions).items():
        body += packed(name.encode()) + packed(value.encode())
    return packed(body)


HANG_UP = object()  # in a list of replies: the connection ends here


def attributes_of(found):
    return attributes(size=found.st_size, uid=found.st_uid, gid=found.st_gid, mode=found.st_mode,
                      atime=int(found.st_atime), mtime=int(found.st_mtime))


# ---- the honest server ----------------------------------------------------------------------------

class Files:
    """Serves requests of one connection from the real file system, in the manner of sftp-server."""

    def __init__(self, home):
        self.home = os.fsencode(home)
        self.open = {}  # handle: descriptor, or the names of a folder that are still to be told
        self.next = 0

    def reply(self, kind, fields):
        verb = getattr(self, "do_" + kind.partition("@")[0].replace("-", "_").lower(), None)
        if verb is None:
            return status(UNSUPPORTED)
        try:
            return verb(fields) or status(OK)
        except NotImplementedError:  # the mode of a symlink
            return status(UNSUPPORTED)
        except OSError as problem:
            return status(CODES.get(problem.errno, FAILURE), "Failure")
        except OverflowError:  # a number that no file system takes
            return status(FAILURE, "Failure")

    def close(self):
        for one in self.open.values():
            if isinstance(one, int):
                os.close(one)
        self.open.clear()

    def path(self, fields):
        return os.path.join(self.home, fields.string())

    def opened(self, fields):
        try:
            return self.open[fields.string()]
        except KeyError:
            raise OSError(errno.EBADF, "no such handle") from None

    def new_handle(self, what):
        self.next += 1
        name = struct.pack(">I", self.next)
        self.open[name] = what
        return handle(name)

    # ---- by path

    def do_lstat(self, fields):
        return Reply(ATTRS, attributes_of(os.lstat(self.path(fields))))

    def do_stat(self, fields):
        return Reply(ATTRS, attributes_of(os.stat(self.path(fields))))

    @staticmethod
    def change(where, wanted, follow=True):
        """Does what SETSTAT and its kin ask for."""
        how = {} if follow else {"follow_symlinks": False}
        if "size" in wanted:
            os.truncate(where, wanted["size"])
        if "uid" in wanted:
            os.chown(where, wanted["uid"], wanted["gid"], **how)
        if "mode" in wanted:
            os.chmod(where, stat.S_IMODE(wanted["mode"]), **how)
        if "atime" in wanted:
            os.utime(where, (wanted["atime"], wanted["mtime"]), **how)

    def do_setstat(self, fields):
        self.change(self.path(fields), fields.attrs())

    def do_lsetstat(self, fields):
        self.change(self.path(fields), fields.attrs(), follow=False)

    def do_remove(self, fields):
        os.unlink(self.path(fields))

    def do_mkdir(self, fields):
        os.mkdir(self.path(fields), fields.attrs().get("mode", 0o777) & 0o7777)

    def do_rmdir(self, fields):
        os.rmdir(self.path(fields))

    def do_realpath(self, fields):
        return names((os.path.realpath(self.path(fields)), attributes()))

    def do_rename(self, fields):
        source, target = self.path(fields), self.path(fields)
        if os.path.lexists(target):
            return status(FAILURE)
        os.rename(source, target)

    def do_posix_rename(self, fields):
        os.rename(self.path(fields), self.path(fields))

    def do_hardlink(self, fields):
        os.link(self.path(fields), self.path(fields), follow_symlinks=False)

    def do_readlink(self, fields):
        return names((os.readlink(self.path(fields)), attributes()))

    def do_symlink(self, fields):
        """As OpenSSH has it: the target comes first."""
        target = fields.string()
        os.symlink(target, self.path(fields))

    # ---- open files and folders

    def do_open(self, fields):
        path, flags, wanted = self.path(fields), fields.number(">I"), fields.attrs()
        how = {1: os.O_RDONLY, 2: os.O_WRONLY, 3: os.O_RDWR}[flags & 3]
        for bit, more in ((4, os.O_APPEND), (8, os.O_CREAT), (16, os.O_TRUNC), (32, os.O_EXCL)):
            how |= more if flags & bit else 0
        return self.new_handle(os.open(path, how, wanted.get("mode", 0o666) & 0o7777))

    def do_close(self, fields):
        name = fields.string()
        what = self.open.pop(name, None)
        if isinstance(what, int):
            os.close(what)

    def do_read(self, fields):
        file, offset, size = self.opened(fields), fields.number(">Q"), fields.number(">I")
        content = os.pread(file, size, offset)
        return data(content) if content else status(EOF)

    def do_write(self, fields):
        file, offset = self.opened(fields), fields.number(">Q")
        os.pwrite(file, fields.string(), offset)

    def do_fstat(self, fields):
        return Reply(ATTRS, attributes_of(os.fstat(self.opened(fields))))

    def do_fsetstat(self, fields):
        self.change(self.opened(fields), fields.attrs())

    def do_fsync(self, fields):
        os.fsync(self.opened(fields))

    def do_copy_data(self, fields):
        source, at, size = self.opened(fields), fields.number(">Q"), fields.number(">Q")
        target, to = self.opened(fields), fields.number(">Q")
        while size and (some := os.pread(source, min(size, 1 << 20), at)):
            os.pwrite(target, some, to)
            at, to, size = at + len(some), to + len(some), size - len(some)

    def do_opendir(self, fields):
        folder = self.path(fields)
        entries = [(b".", attributes(mode=0o40755)), (b"..", attributes(mode=0o40755))]
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                entries.append((name, attributes_of(os.lstat(os.path.join(folder, name)))))
        return self.new_handle(entries)

    def do_readdir(self, fields):
        left = self.opened(fields)
        some, left[:] = left[:NAMES_A_REPLY], left[NAMES_A_REPLY:]
        return names(*some) if some else status(EOF)

    # ---- the server itself

    @staticmethod
    def statvfs(found):
        return Reply(EXTENDED_REPLY, struct.pack(
            ">11Q", found.f_bsize, found.f_frsize, found.f_blocks, found.f_bfree, found.f_bavail,
            found.f_files, found.f_ffree, found.f_favail, found.f_fsid, found.f_flag & 3,
            found.f_namemax))

    def do_statvfs(self, fields):
        return self.statvfs(os.statvfs(self.path(fields)))

    def do_fstatvfs(self, fields):
        return self.statvfs(os.fstatvfs(self.opened(fields)))

    def do_limits(self, fields):
        return Reply(EXTENDED_REPLY, struct.pack(">4Q", *LIMITS))


# ---- requests, and the replies that wait ------------------------------------------------------------

class Request:
    """What a rule is asked about. `about` is a dictionary as sftp_proxy.describe() makes it."""

    def __init__(self, session, packet):
        self.session = session
        self.packet = packet
        self.number, = struct.unpack_from(">I", packet, 1)
        self.about = describe(packet)
        self.kind = self.about.get("extension", self.about["type"])
        self._honest = None

    def honest(self):
        """The reply of a server that behaves; the request is carried out once, by the first call."""
        if self._honest is None:
            fields = Fields(self.packet[5:])
            if self.about["type"] == "EXTENDED":
                fields.string()
            self._honest = self.session.files.reply(self.kind, fields)
        return self._honest


class Gate:
    """Keeps replies of one kind back until open(); made by Server.hold()."""

    def __init__(self, kind):
        self.kind = kind
        self._kept = []  # pairs of session and reply
        self._open = False
        self._changed = threading.Condition()

    def keep(self, session, replies):
        """Whether it keeps them."""
        with self._changed:
            if not self._open:
                self._kept.append((session, replies))
                self._changed.notify_all()
            return not self._open

    def wait(self, count=1, seconds=20):
        """Until it keeps the replies to so many requests."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._kept) >= count,
                                          seconds * processes.SLOWNESS):
                raise processes.Late(f"{len(self._kept)} of {count} {self.kind} came")

    def open(self, order=None):
        """Sends what it kept, in the order that order(list) returns, and keeps nothing any more."""
        with self._changed:
            self._open = True
            kept, self._kept = self._kept, []
        for session, replies in order(kept) if order else kept:
            session.send(replies)


class Session:
    """One connection."""

    def __init__(self, server, sock):
        self.server, self.sock = server, sock
        self.files = Files(server.home)
        self._sending = threading.Lock()

    def run(self):
        try:
            with self.sock.makefile("rb") as incoming:
                self._serve(incoming)
        except OSError:
            pass  # the other side has gone
        finally:
            self.files.close()
            with self._sending:
                self.sock.close()

    def _serve(self, incoming):
        packet = read_packet(incoming)
        if not packet:
            return
        self.server.note({"type": "INIT"})
        first = self.server.greeting
        self.send(first if isinstance(first, list) else [first])
        while packet := read_packet(incoming):
            self.server.serve(Request(self, packet))

    def send(self, replies):
        """Bytes as they are; HANG_UP ends it. Does nothing once the other side has gone."""
        with self._sending:
            for one in replies:
                if one is HANG_UP:
                    self.hang_up()
                    break
                with contextlib.suppress(OSError):
                    self.sock.sendall(one)

    def hang_up(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


# ---- the server ------------------------------------------------------------------------------------

class Server:
    """
    Listens on 127.0.0.1, at `port`. Relative paths start at `home`.

    delay: seconds that each request takes, for clients that treat a far server otherwise.
    greeting: what answers INIT, bytes or a list of bytes and HANG_UP. May be changed at any time and
    counts for connections to come, as on() and hold() do for requests to come.
    """

    def __init__(self, home):
        self.home = home
        self.greeting = version()
        self.delay = 0
        self.problems = []  # of the rules
        self._rules = {}
        self._gates = {}
        self._script = None
        self._requests = []
        self._changed = threading.Condition()  # of the five
        self._sessions = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    # ---- rules

    def on(self, kind, rule):
        """
        Who answers requests of this type or extension ("*": all). rule(request) returns None: as an
        honest server would; or a Reply; or a list, possibly empty, of Replies, bytes as they are and
        HANG_UP. A rule of None removes it.
        """
        with self._changed:
            self._rules[kind] = rule

    def hold(self, kind):
        """Replies of this kind wait from now on; returns the Gate."""
        with self._changed:
            self._gates[kind] = gate = Gate(kind)
        return gate

    def follow(self, script):
        """
        script.keep(session, kind, replies) is asked from now on whether it keeps a reply back, to send it
        itself later (lib/trips.py). None ends it.
        """
        with self._changed:
            self._script = script

    def hang_up(self):
        """Ends all connections, as if the server had died."""
        with self._changed:
            sessions = list(self._sessions)
        for session in sessions:
            session.hang_up()

    # ---- what was asked

    def note(self, about):
        with self._changed:
            self._requests.append(about)
            self._changed.notify_all()

    def requests(self, kind=None):
        """All requests so far, as dictionaries; of one type or extension, if given."""
        with self._changed:
            everything = list(self._requests)
        return [one for one in everything if kind in (None, one["type"], one.get("extension"))]

    def count(self, kind=None):
        return len(self.requests(kind))

    def counts(self):
        """How often what was asked."""
        return collections.Counter(one.get("extension", one["type"]) for one in self.requests())

    def forget(self):
        """Counting starts anew."""
        with self._changed:
            self._requests.clear()

    def wait(self, kind, count=1, seconds=20):
        """Until so many requests of this kind have come, since the start or forget()."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.count(kind) >= count,
                                          seconds * processes.SLOWNESS):
                raise processes.Late(f"no {count} {kind}: {self.counts()}")

    # ---- serving

    def serve(self, request):
        time.sleep(self.delay)
        with self._changed:
            # At once: what is set by one who has waited for this request is for those to come.
            self.note(request.about)
            rule = self._rules.get(request.kind) or self._rules.get("*")
            gate, script = self._gates.get(request.kind), self._script
        replies = [one.encode(request.number) if isinstance(one, Reply) else one
                   for one in self._decide(rule, request)]
        if gate and gate.keep(request.session, replies):
            return
        if not (script and script.keep(request.session, request.kind, replies)):
            request.session.send(replies)

    def _decide(self, rule, request):
        try:
            decided = rule(request) if rule else None
        except Exception as problem:  # a mistake of the test's: told when it ends
            self.problems.append(repr(problem))
            decided = None
        if decided is None:
            decided = request.honest()
        return decided if isinstance(decided, list) else [decided]

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, sock)
            with self._changed:
                self._sessions.append(session)
            threading.Thread(target=session.run, daemon=True).start()

    # ---- to get there, and to end

    def options(self):
        """What sshfs needs to connect, with a host of 127.0.0.1."""
        return ["-o", f"directport={self.port}"]

    def write_ssh(self, folder):
        """The path of a script that stands for ssh and leads here, for ssh_command."""
        script = pathlib.Path(folder) / "rogue-ssh"
        script.write_text(f"#!/bin/sh\nexec /usr/bin/python3 {__file__} {self.port}\n")
        script.chmod(0o755)
        return script

    def stop(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        self.hang_up()
        assert not self.problems, f"rules failed: {self.problems}"


# ---- the program that stands for ssh ----------------------------------------------------------------

def lead_to(port):
    """Carries bytes between our standard input and output and the server, until that one ends."""
    sock = socket.create_connection(("127.0.0.1", port))

    def carry_requests():
        while more := os.read(0, 65536):
            sock.sendall(more)
        sock.shutdown(socket.SHUT_WR)
    threading.Thread(target=carry_requests, daemon=True).start()
    while more := sock.recv(65536):
        while more:
            more = more[os.write(1, more):]
    os._exit(0)


if __name__ == "__main__":
    lead_to(int(sys.argv[1]))
