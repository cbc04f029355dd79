# SPDX-License-Identifier: GPL-2.0-or-later
"""One sshfs under test: started, waited for by events, watched, and always unmounted.

The binary is $SSHFS or build/sshfs. Each mount has its own folder (mountpoint, log, sanitizer
reports), its own session and its own mark, so that nothing else on the machine is disturbed or
mistaken for it.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess

from . import mountinfo, processes

TOP = pathlib.Path(__file__).resolve().parent.parent.parent

# Words that scripts grep for; a run that succeeds never says them (compat.md, section 3).
FORBIDDEN = re.compile(
    r"\b(errors?|warnings?|fatal|faults?|exceptions?|crash(ed)?|abort(ed)?)\b", re.IGNORECASE)

# A report of one of these is a failure even if the program survived it.
SANITIZER = re.compile(r"(ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:"
                       r"|==\d+== (Invalid|Conditional jump|ERROR SUMMARY: [1-9]))")


def binary():
    """The sshfs that the tests are about."""
    return os.environ.get("SSHFS") or str(TOP / "build" / "sshfs")


def is_upstream():
    """Whether $SSHFS is upstream's: some tests then prove themselves, not the product."""
    return os.environ.get("SSHFS_IS_UPSTREAM") == "1"


def environment(folder, mark, more=None):
    """What a run of sshfs sees: no locale, no agent, no display; sanitizers report into the folder."""
    keep = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SSHFS_TEST_SLOWNESS", "G_SLICE")
    env = {name: os.environ[name] for name in keep if name in os.environ}
    report = f"log_path={folder}/sanitizer"
    env.update({
        "LC_ALL": "C.UTF-8",
        processes.MARK: mark,
        "ASAN_OPTIONS": f"{report}:detect_leaks=1:abort_on_error=0",
        "UBSAN_OPTIONS": f"{report}:print_stacktrace=1",
        "LSAN_OPTIONS": f"suppressions={TOP}/test/lib/lsan.supp:print_suppressions=0",
        "TSAN_OPTIONS": f"{report}:second_deadlock_stack=1:suppressions={TOP}/test/lib/tsan.supp",
    })
    env.update(more or {})
    return env


class Result:
    """What a run of sshfs that ended left: its exit code and everything it said."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"<exit {self.code}, stdout {self.out!r}, stderr {self.err!r}>"


class Failed(AssertionError):
    """sshfs ended, or never got ready, where a mount was wanted."""


class Mount:
    """
    A mount. `path` is its mountpoint, a pathlib.Path.

    argv: everything after the program's name except the mountpoint, which comes second.
    foreground: with -f, so that all it says can be read and its exit code be known; otherwise it
    goes to the background as users have it.
    """

    def __init__(self, folder, argv, foreground=True, program=None, env=None, stdin=None,
                 expect_noise=False, arg0=None, mountpoint=None):
        self.folder = pathlib.Path(folder)
        self.path = pathlib.Path(mountpoint or self.folder / "mnt")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path.mkdir(exist_ok=True)
        self.foreground = foreground
        self.expect_noise = expect_noise
        self.mark = processes.new_mark()
        self.process = None
        self.pid = None  # the process that serves
        self._arg0 = arg0
        self._program = program or binary()
        self._argv = [str(word) for word in argv]
        self._stdin, self._stdout = stdin, None
        self._env = environment(self.folder, self.mark, env)
        self._over = False

    def talk_to(self, sock):
        """Gives it a socket as standard input and output (passive mode)."""
        self._stdin = self._stdout = sock

    # ---- start ------------------------------------------------------------------------------------

    def command(self):
        words = [self._arg0 or self._program, *self._argv[:1], str(self.path), *self._argv[1:]]
        return words + (["-f"] if self.foreground and "-f" not in words else [])

    def start(self, seconds=20):
        """Starts it and waits until it serves. Raises Failed, with what it said, when it does not."""
        with open(self.folder / "stdout", "wb") as out, open(self.folder / "stderr", "wb") as err:
            self.process = subprocess.Popen(
                self.command(), executable=self._program, stdin=self._stdin or subprocess.DEVNULL,
                stdout=self._stdout or out, stderr=err, env=self._env, cwd=self.folder, start_new_session=True)
        if self.foreground:
            self._wait_mounted(self.process.pid, seconds)
            self.pid = self.process.pid
        else:
            self._wait_daemon(seconds)
        return self

    def _wait_mounted(self, pid, seconds):
        if mountinfo.wait_for(self.entry, pid, seconds) is None:
            raise Failed(f"no mount appeared: {self._story()}")
        try:
            # It may be mounted before it serves: this call returns when the answer is known.
            os.statvfs(self.path)
        except OSError as problem:
            raise Failed(f"mounted but not served ({problem}): {self._story()}") from None
        if self.entry() is None:
            raise Failed(f"mounted for a moment only: {self._story()}")

    def _wait_daemon(self, seconds):
        try:
            code = self.process.wait(seconds * processes.SLOWNESS)
        except subprocess.TimeoutExpired:
            raise Failed(f"neither ready nor over: {self._story()}") from None
        if code != 0:
            raise Failed(f"exit code {code}: {self._story()}")
        if self.entry() is None:
            raise Failed(f"it says that it is ready but nothing is mounted: {self._story()}")
        name = os.path.basename(self._program)
        ours = [pid for pid in self.processes() if processes.name_of(pid) == name[:15]]
        assert len(ours) == 1, f"one daemon expected: {ours}"
        self.pid = ours[0]

    def _story(self):
        if self.process.poll() is None and self.entry() is None:
            state = "still running"
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            state = f"exit code {self.process.poll()}"
        return f"{' '.join(self.command())}\n{state}, it said:\n{self.log()}"

    # ---- look -------------------------------------------------------------------------------------

    def entry(self):
        """Its line in the table of mounts (mountinfo.Entry), or None."""
        found = mountinfo.find(os.path.realpath(self.path.parent) + "/" + self.path.name)
        return found if found and found.kind.startswith("fuse") else None

    def stdout(self):
        return (self.folder / "stdout").read_text(errors="replace")

    def stderr(self):
        return (self.folder / "stderr").read_text(errors="replace")

    def log(self):
        """All that it said on stdout and stderr so far."""
        return self.stdout() + self.stderr()

    def processes(self):
        """Its living processes: the daemon, its ssh, what that one started."""
        return processes.marked(self.mark)

    def ssh(self):
        """The pids of its ssh children, or of what stands for ssh."""
        return [pid for pid in self.processes() if pid != self.pid]

    def wait_log(self, pattern, seconds=20):
        """Waits until what it said matches the regular expression; returns the match."""
        return processes.wait_until(lambda: re.search(pattern, self.log()),
                                    f"{pattern!r} in the log", seconds)

    def wait_over(self, seconds=20):
        """Waits until it has ended by itself; returns its exit code (None in the background)."""
        if not processes.wait_gone(self.pid, seconds):
            raise processes.Late(f"sshfs is still there; it said:\n{self.log()}")
        self._over = True
        return self.process.wait() if self.foreground else None

    # ---- end --------------------------------------------------------------------------------------

    def unmount(self, seconds=20):
        """Unmounts as a user would, waits for the end, and checks that nothing is left behind."""
        self._ask_to_unmount(seconds)
        code = self.wait_over(seconds)
        self.check_sanitizers()
        assert code in (0, None), f"exit code {code} after an unmount; it said:\n{self.log()}"
        self.check()

    def _ask_to_unmount(self, seconds):
        program = ["umount", "-i"] if os.geteuid() == 0 else ["fusermount3", "-u"]
        # Just after the last close the kernel may still hold the mount for a moment.
        processes.wait_until(lambda: subprocess.run(
            [*program, str(self.path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL).returncode == 0 or self.entry() is None,
            f"unmounting {self.path}", seconds)

    def end(self, seconds=20):
        """Unmounts it where it has not ended by itself; returns its exit code, whatever it is."""
        self._ask_to_unmount(seconds)
        return self.wait_over(seconds)

    def check(self):
        """After the end: nothing left running or mounted, nothing said that should not be."""
        assert self.entry() is None, f"{self.path} is still mounted"
        processes.wait_until(lambda: not self.processes(),
                             f"the end of {[processes.command_of(pid) for pid in self.processes()]}")
        self.check_log()

    def check_sanitizers(self):
        reports = "".join(path.read_text(errors="replace")
                          for path in sorted(self.folder.glob("sanitizer*")))
        assert not reports, f"a sanitizer reports:\n{reports}"
        assert not SANITIZER.search(self.log()), f"a sanitizer reports:\n{self.log()}"

    def is_sanitized(self):
        """Its memory and its speed are not those that users see."""
        program = pathlib.Path(self._program).read_bytes()
        return any(word in program for word in (b"__asan_init", b"__tsan_init"))

    def check_log(self):
        self.check_sanitizers()
        text = self.log()
        if not self.expect_noise:
            found = FORBIDDEN.search(text)
            assert not found, f"the log says {found[0]!r}:\n{text}"

    def release(self):
        """Gets rid of it in any state, for the end of a failed test and for the watchdog."""
        entry = self.entry()
        processes.kill_marked(self.mark)
        if entry is not None and self.entry() is not None:
            mountinfo.abort(entry)
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                if os.geteuid() == 0:
                    mountinfo.detach(self.path)
                else:
                    subprocess.run(["fusermount3", "-uz", str(self.path)], check=False)
        if self.process is not None:
            self.process.wait()
        self._over = True

    def finish(self):
        """The end of every test: unmounts if that is still to be done; never leaves anything."""
        try:
            if self.pid is None:
                return  # it never served, and that has been told
            if self._over:
                self.check()
            else:
                self.unmount()
        finally:
            self.release()


def run(folder, argv, seconds=20, program=None, env=None, stdin=None, arg0=None):
    """
    Runs sshfs with exactly these words where no mount is wanted (usage, refusals); returns a Result.
    Fails when it does not end; what it may have mounted below the folder is taken away.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark = processes.new_mark()
    program = program or binary()
    words = [arg0 or program, *(str(word) for word in argv)]
    given = stdin.encode() if isinstance(stdin, str) else stdin
    process = subprocess.Popen(words, executable=program, cwd=folder, start_new_session=True,
                               stdin=subprocess.PIPE if given else subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=environment(folder, mark, env))
    try:
        out, err = process.communicate(given, timeout=seconds * processes.SLOWNESS)
    except subprocess.TimeoutExpired:
        raise processes.Late(f"{' '.join(words)} does not end") from None
    finally:
        processes.kill_marked(mark)
        process.wait()
        for entry in mountinfo.below(folder):
            mountinfo.abort(entry)
            if os.geteuid() == 0:
                mountinfo.detach(entry.point)
            else:
                subprocess.run(["fusermount3", "-uz", entry.point], check=False)
    result = Result(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
    for report in folder.glob("sanitizer*"):
        raise AssertionError(f"a sanitizer reports:\n{report.read_text(errors='replace')}")
    assert not SANITIZER.search(result.err), f"a sanitizer reports:\n{result.err}"
    assert result.code >= 0, f"ended by {signal.Signals(-result.code).name}: {result}"
    return result


def remove_tree(folder):
    """Removes a test folder, never through something that is mounted in it."""
    for entry in mountinfo.below(os.path.realpath(folder)):
        mountinfo.abort(entry)
        with contextlib.suppress(OSError):
            mountinfo.detach(entry.point)
    if not mountinfo.below(os.path.realpath(folder)):
        shutil.rmtree(folder, ignore_errors=True)
