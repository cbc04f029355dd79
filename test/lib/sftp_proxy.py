# SPDX-License-Identifier: GPL-2.0-or-later
"""A man in the middle: stands for ssh, forwards to a real sftp-server, records and interferes.

Run by a script that Proxy writes, as sshfs's ssh_command. What it does is told by a JSON file, read
at start, so each connection can be served differently:

    "record": PATH           a line of JSON for each request: its type, path, flags, offset, length
    "extensions": [NAME...]  only these are offered to sshfs (None: all that the server has)
    "greeting": TEXT         said before the protocol begins, as a chatty login shell does
    "version": N             what the VERSION reply says
    "short_reads": N         no READ is answered with more than N bytes
    "status": {TYPE: CODE}   these requests are refused with this status and not forwarded
    "refuses_append": CODE   OPEN with APPEND is refused with this status
    "reply": {TYPE: HEX}     these are answered by these raw bytes ("ID" stands for the request's id);
                             of a list each is used once, later requests are forwarded
    "ends_at": [TYPE, N]     the connection ends when the Nth such request (or extension) comes
    "server": [WORD...]      options for sftp-server
"""

import json
import os
import pathlib
import struct
import subprocess
import sys
import threading

NAMES = {1: "INIT", 3: "OPEN", 4: "CLOSE", 5: "READ", 6: "WRITE", 7: "LSTAT", 8: "FSTAT",
         9: "SETSTAT", 10: "FSETSTAT", 11: "OPENDIR", 12: "READDIR", 13: "REMOVE", 14: "MKDIR",
         15: "RMDIR", 16: "REALPATH", 17: "STAT", 18: "RENAME", 19: "READLINK", 20: "SYMLINK",
         200: "EXTENDED"}
VERSION, STATUS = 2, 101
APPEND = 4  # in the flags of OPEN
BY_HANDLE = {"CLOSE", "READ", "WRITE", "FSTAT", "FSETSTAT", "READDIR"}
ATTR_SIZE, ATTR_OWNER, ATTR_MODE, ATTR_TIMES = 1, 2, 4, 8


def raw_reply(kind, body, length=None):
    """A reply for the rule "reply": its type, its body after the id, and what it claims as length."""
    size = 5 + len(body) if length is None else length
    return f"{size:08x}{kind:02x}ID{body.hex()}"


# ---- for the tests --------------------------------------------------------------------------------

class Proxy:
    """The script to be given as ssh_command, its rules, and what it recorded."""

    def __init__(self, folder, **rules):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._rules = self.folder / "rules.json"
        self._record = self.folder / "requests"
        self.command = self.folder / "proxied-ssh"
        self.command.write_text(
            f"#!/bin/sh\nexec /usr/bin/python3 {__file__} {self._rules}\n")
        self.command.chmod(0o755)
        self.rule(**rules)

    def rule(self, **rules):
        """Replaces the rules; connections made from now on follow them."""
        self._rules.write_text(json.dumps({"record": str(self._record), **rules}))

    def requests(self, kind=None):
        """All requests so far, as dictionaries; of one type, or extension's name, if given."""
        if not self._record.exists():
            return []
        lines = self._record.read_text().splitlines()
        everything = [json.loads(line) for line in lines]
        return [one for one in everything if kind in (None, one["type"], one.get("extension"))]

    def forget(self):
        """Forgets what was recorded; call it when nothing is on the way."""
        if self._record.exists():
            os.truncate(self._record, 0)


# ---- the program ----------------------------------------------------------------------------------

def read_exactly(file, size):
    data = b""
    while len(data) < size:
        more = file.read(size - len(data))
        if not more:
            return None
        data += more
    return data


def read_packet(file):
    head = read_exactly(file, 4)
    return head and read_exactly(file, struct.unpack(">I", head)[0])


def packed(body):
    return struct.pack(">I", len(body)) + body


class Fields:
    """Takes a packet apart."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, form):
        value, = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def string(self):
        size = self.number(">I")
        self.at += size
        return self.data[self.at - size:self.at]

    def text(self):
        return self.string().decode(errors="surrogateescape")

    def attrs(self):
        flags, found = self.number(">I"), {}
        for bit, names, form in ((ATTR_SIZE, ["size"], ">Q"), (ATTR_OWNER, ["uid", "gid"], ">I"),
                                 (ATTR_MODE, ["mode"], ">I"),
                                 (ATTR_TIMES, ["atime", "mtime"], ">I")):
            if flags & bit:
                found.update({name: self.number(form) for name in names})
        return found


def describe(packet):
    """A request as a dictionary."""
    kind = NAMES.get(packet[0], str(packet[0]))
    if kind == "INIT":
        return {"type": kind}
    fields = Fields(packet[5:])
    one = {"type": kind}
    if kind == "EXTENDED":
        one["extension"] = fields.text()
        return one
    if kind in BY_HANDLE:
        one["handle"] = fields.string().hex()
    else:
        one["path"] = fields.text()
    if kind == "OPEN":
        one["flags"] = fields.number(">I")
        one["attrs"] = fields.attrs()
    elif kind in ("READ", "WRITE"):
        one["offset"], one["length"] = fields.number(">Q"), fields.number(">I")
    elif kind in ("MKDIR", "SETSTAT", "FSETSTAT"):
        one["attrs"] = fields.attrs()
    elif kind in ("RENAME", "SYMLINK"):
        one["to"] = fields.text()
    return one


class Middle:
    def __init__(self, rules):
        self.rules = rules
        self.counts = {}
        self.lock = threading.Lock()  # of stdout
        self.out = sys.stdout.buffer
        self.record = open(rules["record"], "a", buffering=1) if "record" in rules else None

    def say(self, data):
        with self.lock:
            self.out.write(data)
            self.out.flush()

    def answer_ourselves(self, packet, kind, extension):
        """Whether the rules answer this request instead of the server."""
        number = packet[1:5]
        count = self.counts[kind] = self.counts.get(kind, 0) + 1
        if extension:
            self.counts[extension] = self.counts.get(extension, 0) + 1
        if self.rules.get("ends_at") in ([kind, count], [extension, self.counts.get(extension)]):
            os._exit(0)
        code = self.rules.get("status", {}).get(kind)
        if kind == "OPEN" and describe(packet)["flags"] & APPEND:
            code = self.rules.get("refuses_append", code)
        if code is not None:
            status = struct.pack(">I", code)
            self.say(packed(bytes([STATUS]) + number + status + packed(b"refused") + packed(b"")))
            return True
        raw = self.rules.get("reply", {}).get(kind)
        if isinstance(raw, list):
            raw = raw[count - 1] if count <= len(raw) else None
        if raw is not None:
            self.say(bytes.fromhex(raw.replace("ID", number.hex())))
            return True
        return False

    def requests(self, server):
        try:
            self._requests(server)
        except OSError:
            pass  # either side is gone: so are we, as soon as the server is
        finally:
            server.close()

    def _requests(self, server):
        while packet := read_packet(sys.stdin.buffer):
            one = describe(packet)
            if self.record:
                self.record.write(json.dumps(one) + "\n")
            if self.answer_ourselves(packet, one["type"], one.get("extension")):
                continue
            limit = self.rules.get("short_reads")
            if limit and one["type"] == "READ" and one["length"] > limit:
                packet = packet[:-4] + struct.pack(">I", limit)
            server.write(packed(packet))
            server.flush()

    def version(self, packet):
        """The server's VERSION reply, with what the rules leave of its extensions."""
        fields = Fields(packet[1:])
        number = self.rules.get("version", fields.number(">I"))
        fields.at = 4
        body = bytes([VERSION]) + struct.pack(">I", number)
        wanted = self.rules.get("extensions")
        while fields.at < len(fields.data):
            name, data = fields.string(), fields.string()
            if wanted is None or name.decode() in wanted:
                body += packed(name) + packed(data)
        return body

    def replies(self, server):
        while packet := read_packet(server):
            if packet[0] == VERSION:
                self.say(self.rules.get("greeting", "").encode())
                packet = self.version(packet)
            self.say(packed(packet))


def main():
    rules = json.loads(pathlib.Path(sys.argv[1]).read_text())
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    from lib import sshd  # pylint: disable=import-outside-toplevel
    server = subprocess.Popen([sshd.sftp_server(), *rules.get("server", [])],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    middle = Middle(rules)
    threading.Thread(target=middle.requests, args=(server.stdin,), daemon=True).start()
    try:
        middle.replies(server.stdout)
    except BrokenPipeError:
        pass
    os._exit(server.wait())


if __name__ == "__main__":
    main()
