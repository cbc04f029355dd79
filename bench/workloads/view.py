# SPDX-License-Identifier: GPL-2.0-or-later
"""What the workloads need of a view: parts of the work, rates, costs, and a link that is ready."""

from lib import bench, measure, processes

GIB = 2**30
# From here on those who need a round trip for everything do a part.
FAR = 10
# Seconds that logins, and answers nobody waits for any more, may take.
SETTLE = 5


class View(bench.View):
    @property
    def sizes(self):
        return self.bench.trees.sizes

    def is_part(self, figure):
        return self.mark["delay"] >= FAR and self.client in figure.part

    def flow(self, *words, **how):
        return self.run_program("flow", *words, **how)

    def record(self, figure, sample, part=None):
        """part: (done, whole, "files"), if that is what was done: seconds become those of the whole."""
        if self.mount:
            sample = {**sample, "peak": measure.resident(self.mount.pid)["peak"]}
        if sample.get("bytes"):
            sample = {**sample, "rate": sample["bytes"] / sample["seconds"],
                      "cpu_per_gib": sample["cpu"] * GIB / sample["bytes"] if sample["cpu"] else None}
        if part:
            done, whole, things = part
            sample = {**sample, "part": f"{done:,} of {whole:,} {things}", "done_seconds": sample["seconds"],
                      "seconds": sample["seconds"] * whole / done}
        super().record(figure, sample)

    # ---- the link ---------------------------------------------------------------------------------

    def sent(self):
        """Bytes that the server's sftp-servers have written: answers, to whatever client; or None."""
        return measure.written(self.bench.sshd.processes("sftp-server"))

    def settled(self, look):
        """What look() says once it says the same twice, a good round trip apart."""
        return measure.settled(look, SETTLE, 0.05 + 2 * self.mark["delay"] / 1000)

    def received_share(self, work):
        """The sample of some reads, with what the server sent for them, then or soon after."""
        before = self.settled(self.sent) if self.mount else None
        sample = work()
        after = self.settled(self.sent) if self.mount else None
        if before is not None and after is not None:
            sample["received_share"] = (after - before) / sample["bytes"]
        return sample

    def get_ready(self):
        """
        Another file is read first, so that all connections that a client opens when they are needed
        have been: who measures a file does not measure logins.
        """
        if self.mount:
            self.flow("read", "forward", 2**20, 0, self.path / "first.bin")
            measure.wait(self.all_logged_in, SETTLE)

    def all_logged_in(self):
        ssh = [pid for pid in self.mount.processes() if processes.name_of(pid) == "ssh"]
        return len(ssh) <= len(self.bench.sshd.processes("sftp-server"))

    # ---- reading, compared with what is served ----------------------------------------------------

    def checked(self, look, *what):
        """The sample that look(view) makes, whose sum must be that of the served folder itself."""
        sample = look(self)
        if what not in self.bench.truth:
            self.bench.truth[what] = look(self.bench.native)["sum"]
        self.expect(what, sample["sum"])
        return sample

    def read(self, pattern, size, count, *names):
        """Pieces of files by a pattern (lib/flow.c); returns the sample."""
        return self.checked(lambda view: view.flow("read", pattern, size, count,
                                                   *(view.path / name for name in names)),
                            "read", pattern, size, count, *names)

    def expect_large(self, size, found):
        """The sum of so many bytes from the beginning of large.bin, or of what is as long and the same."""
        what = "the sum of its bytes", size
        if what not in self.bench.truth:
            path = self.bench.served / "large.bin"
            self.bench.truth[what] = self.flow("read", "forward", 2**20, size // 2**20, path)["sum"]
        self.expect(what, found)
