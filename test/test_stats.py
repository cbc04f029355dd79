# SPDX-License-Identifier: GPL-2.0-or-later
"""What has been asked of a mount: counted exactly, shown to its owner alone, at any time."""

import errno
import json
import os
import re
import subprocess

import pytest

from lib import control, mount as mount_module, mountinfo, processes

pytestmark = [pytest.mark.ours, pytest.mark.needs("fuse", "server")]

NAMES = {"requests", "failed", "from_cache", "from_server", "trips_saved", "bytes", "latency_ns",
         "histogram"}

# The kernel asks us each time, so that what is counted is known.
ASKS = ("-o", "entry_timeout=0,attr_timeout=20,negative_timeout=0,dcache_absent_timeout=20")


@pytest.fixture
def stats(sshfs):
    """stats(m): what `sshfs --stats --json` says of the mount."""
    def ask(m):
        result = sshfs("--stats", "--json", m.path)
        assert result.code == 0 and result.err == "", result
        return json.loads(result.out)
    return ask


@pytest.fixture
def counted(stats):
    """counted(m, action): what the action adds to requests, from_cache, from_server, saved of each."""
    def run(m, action):
        before = stats(m)["operations"]
        action()
        after = stats(m)["operations"]
        # What it takes to ask: it is an opendir, an ioctl and a releasedir that are seen by the next.
        return {name: tuple(after[name][key] - before[name][key] for key in
                            ("requests", "from_cache", "from_server", "trips_saved"))
                for name in after if name not in ("ioctl", "opendir", "releasedir", "all")
                and after[name] != before[name]}
    return run


def refused(number, action, *arguments):
    with pytest.raises(OSError) as caught:
        action(*arguments)
    assert caught.value.errno == number


# ---- counts --------------------------------------------------------------------------------------

def test_look_ups_and_attributes(mount, server_dir, counted):
    """The first look is the server's, the next ones are the cache's, each of which saves a trip."""
    (server_dir / "file").write_text("x")
    m = mount(*ASKS, over="fake")
    os.stat(m.path)
    assert counted(m, lambda: os.lstat(m.path / "file")) == {"lookup": (1, 0, 1, 0)}
    again = counted(m, lambda: [os.lstat(m.path / "file") for _ in range(5)])
    assert again["lookup"] == (5, 5, 0, 5)
    assert again.keys() <= {"lookup", "getattr"}


def test_missing_names(mount, counted, stats):
    """That a name is missing is an answer, and may be known."""
    m = mount(*ASKS, over="fake")
    os.stat(m.path)
    assert counted(m, lambda: os.path.lexists(m.path / "no")) == {"lookup": (1, 0, 1, 0)}
    assert counted(m, lambda: os.path.lexists(m.path / "no")) == {"lookup": (1, 1, 0, 1)}
    assert stats(m)["operations"]["lookup"]["failed"] == 0


def test_listings(mount, server_dir, counted):
    """However many READDIRs it takes; one that the kernel knows as well does not come here again."""
    for number in range(2000):
        (server_dir / f"a-rather-long-name-{number:04}").touch()
    m = mount(*ASKS, over="fake")
    cold = counted(m, lambda: os.listdir(m.path))["readdir"]
    assert cold[0] > 2 and cold[2] >= 1
    assert "readdir" not in counted(m, lambda: os.listdir(m.path))
    (m.path / "new").touch()
    again = counted(m, lambda: os.listdir(m.path))["readdir"]
    assert again[0] > 2 and again == (again[0], again[0], 0, 1)


def test_bytes(mount, server_dir, stats):
    (server_dir / "file").write_bytes(bytes(100_000))
    m = mount("-o", "direct_io", over="fake")
    with open(m.path / "file", "rb", buffering=0) as file:
        assert len(file.read(70_000)) == 70_000
        assert len(file.read(70_000)) == 30_000
    with open(m.path / "new", "wb", buffering=0) as file:
        file.write(bytes(5000))
    seen = stats(m)["operations"]
    assert seen["read"]["bytes"] == 100_000 and seen["read"]["requests"] == 2
    assert seen["write"]["bytes"] == 5000 and seen["write"]["requests"] == 1
    assert seen["all"]["bytes"] == 105_000
    assert seen["create"]["from_server"] == 1 and seen["open"]["from_server"] == 1


def test_failures(mount, server_dir, stats):
    (server_dir / "folder" / "full").mkdir(parents=True)
    m = mount(over="fake")
    refused(errno.ENOTEMPTY, os.rmdir, m.path / "folder")
    seen = stats(m)["operations"]["rmdir"]
    assert (seen["requests"], seen["failed"], seen["from_server"]) == (1, 1, 1)


def test_what_is_not_waited_for(mount, server_dir, counted):
    """A close with nothing on its way asks nothing, and saves nothing either."""
    (server_dir / "file").touch()
    m = mount(over="fake")
    with open(m.path / "file", "rb+", buffering=0) as file:
        count, here, there, saved = counted(m, lambda: os.close(os.dup(file.fileno())))["flush"]
    assert count >= 1 and (here, there, saved) == (count, 0, 0)


def test_everything_adds_up(mount, server_dir, stats):
    m = mount(over="fake")
    for number in range(20):
        (m.path / f"f{number}").write_text("x" * number)
    os.listdir(m.path)
    seen = stats(m)
    operations = seen["operations"]
    total = operations.pop("all")
    for name in ("requests", "failed", "from_cache", "from_server", "trips_saved", "bytes"):
        assert total[name] == sum(one[name] for one in operations.values()), name
    for one in [*operations.values(), total]:
        assert sum(one["histogram"]) == one["requests"] >= one["from_cache"] + one["from_server"] \
            - one["failed"]
        assert one["latency_ns"]["median"] <= one["latency_ns"]["p99"] <= one["latency_ns"]["max"]
    assert operations["create"]["requests"] == 20
    assert seen["server"]["connected"] is True and seen["server"]["connects"] == 1
    assert seen["server"]["sent"] >= seen["server"]["received"] > 20


def test_open_files(mount, stats):
    m = mount(over="fake")
    with open(m.path / "a", "w"), open(m.path / "b", "w"):
        assert stats(m)["nodes"]["open_files"] == 2
    processes.wait_until(lambda: stats(m)["nodes"]["open_files"] == 0, "both to be released")


# ---- forms ---------------------------------------------------------------------------------------

def documented():
    """What the manual says stands in the JSON: sections with their names."""
    manual = (mount_module.TOP / "sshfs.rst").read_text()
    text = manual[manual.index("With ``--json``"):manual.index("With ``-o stats``")]
    block = text[text.index("::") + 2:]
    sections = {}
    for line in block.splitlines():
        if found := re.match(r"    (\w+) *(.*)", line):
            sections[found[1]] = found[2]
        elif line.strip():
            sections[list(sections)[-1]] += " " + line.strip()
    return {name: set(re.findall(r"[a-z0-9_]+", words)) for name, words in sections.items()}


def test_json_has_the_documented_names(mount, stats):
    seen, manual = stats(mount(over="fake")), documented()
    assert set(seen) == set(manual)
    assert seen["version"] == 3 and seen["uptime_ns"] > 0
    for section in ("cache", "ahead", "contents", "server", "nodes"):
        assert set(seen[section]) <= manual[section], section
    assert set(seen["operations"]) <= manual["operations"]
    for one in seen["operations"].values():
        assert set(one) == NAMES <= manual["operations"]
        assert set(one["latency_ns"]) == {"mean", "median", "p99", "max"} <= manual["operations"]
        assert len(one["histogram"]) == 32
    assert set(seen["server"]["round_trip_ns"]) == {"min", "mean", "max"} <= manual["server"]


def test_the_table(mount, sshfs, server_dir):
    (server_dir / "file").touch()
    m = mount(over="fake")
    os.lstat(m.path / "file")
    result = sshfs("--stats", m.path)
    assert result.code == 0 and result.err == ""
    assert result.out.startswith(f"{m.path}, mounted for ")
    assert re.search(r"^lookup +1 +0 +1 +0 +0 ", result.out, re.MULTILINE)
    assert re.search(r"^cache +\d+ names", result.out, re.MULTILINE)
    assert not mount_module.FORBIDDEN.search(result.out)


def test_below_the_mountpoint(mount, sshfs, server_dir):
    (server_dir / "folder").mkdir()
    m = mount(over="fake")
    assert sshfs("--stats", m.path / "folder").code == 0


def test_in_the_log_at_the_end(mount):
    m = mount("-o", "stats", over="fake")
    (m.path / "file").touch()
    m.unmount()
    assert re.search(rf"^sshfs: {m.path}, mounted for ", m.stderr(), re.MULTILINE)
    assert re.search(r"^sshfs: create +1 ", m.stderr(), re.MULTILINE)


def test_not_in_the_log_unless_wanted(mount):
    m = mount(over="fake")
    m.unmount()
    assert m.log() == ""


# ---- where there is nothing to say ---------------------------------------------------------------

@pytest.mark.parametrize("words", [("--stats",), ("--stats", "--json"), ("--refresh",)])
def test_elsewhere(sshfs, tmp_path, words):
    result = sshfs(*words, tmp_path)
    assert result.code == 1 and result.out == ""
    assert result.err == f"sshfs: {tmp_path}: not on a mount of this version of sshfs\n"


def test_nowhere(sshfs, tmp_path):
    result = sshfs("--stats", tmp_path / "no")
    assert result.code == 1 and "No such file or directory" in result.err


def test_standard_output_is_full(mount, tmp_path):
    m = mount(over="fake")
    with open("/dev/full", "w") as full:
        done = subprocess.run([mount_module.binary(), "--stats", m.path], stdout=full, text=True,
                              stderr=subprocess.PIPE, env=mount_module.environment(tmp_path, "x"))
    assert done.returncode == 1 and "No space left on device" in done.stderr


# ---- at any time ---------------------------------------------------------------------------------

@pytest.mark.parametrize("frozen_while", ["idle", "asked"])
def test_while_the_server_is_frozen(own_sshd, mount, server_dir, stats, sshfs, frozen_while):
    """Nothing of it waits for the server, also when all that was remembered has expired."""
    (server_dir / "file").touch()
    m = mount("-o", "dcache_timeout=0,entry_timeout=0,attr_timeout=0", server=own_sshd)
    os.listdir(m.path)
    waiting = None
    with own_sshd.frozen():
        if frozen_while == "asked":
            waiting = subprocess.Popen(["stat", m.path / "file"], stdout=subprocess.DEVNULL)
            before = stats(m)["server"]
            processes.wait_until(lambda: stats(m)["server"]["sent"] > before["received"],
                                 "the stat to ask the server")
        assert stats(m)["operations"]["readdir"]["requests"] >= 1
        assert sshfs("--refresh", m.path).code == 0
    if waiting:
        assert waiting.wait(20) == 0


# ---- who may -------------------------------------------------------------------------------------

STRANGER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.mark.needs("root")
@pytest.mark.parametrize("words", [("--stats",), ("--refresh",)])
def test_others_may_not(mount, tmp_path, server_dir, words):
    server_dir.chmod(0o755)
    m = mount("-o", "allow_other", over="fake")
    m.folder.chmod(0o755)
    assert subprocess.run([*STRANGER, "ls", m.path]).returncode == 0
    done = subprocess.run([*STRANGER, mount_module.binary(), *words, m.path], text=True,
                          capture_output=True, env=mount_module.environment(tmp_path, "x"))
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (f"sshfs: {m.path}: only the user who mounted it, and root, "
                           "may do this\n")


@pytest.mark.needs("root")
def test_the_owner_may(tmp_path, server_dir, fake_ssh):
    """A mount of somebody else than root, who is left outside then."""
    point = tmp_path / "mnt"
    point.mkdir()
    os.chown(point, 65534, 65534)
    fd = mountinfo.mount_fuse(point, owner=65534)
    mark = processes.new_mark()
    env = mount_module.environment(tmp_path, mark)
    try:
        with open(tmp_path / "log", "wb") as log:
            process = subprocess.Popen(
                [*STRANGER, mount_module.binary(), f"host:{server_dir}", f"/dev/fd/{fd}", "-f",
                 "-o", f"ssh_command={fake_ssh}"], pass_fds=[fd], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=env, start_new_session=True)
        os.close(fd)
        for words in (["--stats"], ["--refresh"]):
            done = subprocess.run([*STRANGER, mount_module.binary(), *words, point], text=True,
                                  capture_output=True, env=env)
            assert done.returncode == 0 and done.stderr == "", done
        mountinfo.detach(point)
        assert process.wait(20 * processes.SLOWNESS) == 0, (tmp_path / "log").read_text()
    finally:
        processes.kill_marked(mark)
        for _ in mountinfo.below(point):
            mountinfo.detach(point)


# ---- the ioctl itself ----------------------------------------------------------------------------

def test_unknown_commands(mount, server_dir):
    (server_dir / "file").touch()
    m = mount(over="fake")
    refused(errno.ENOTTY, control.call, m.path, control.GET_REPORT + 1)
    refused(errno.ENOTTY, control.call, m.path, control.GET_REPORT - (1 << 16))
    refused(errno.ENOTTY, control.call, m.path, 0x5401)  # TCGETS: isatty(3)
    refused(errno.ENOTTY, control.call, m.path / "file", control.GET_REPORT)


@pytest.mark.parametrize("asked", [
    control.refresh_of(version=2), control.refresh_of(size=8), control.refresh_of(b"a/b"),
    control.refresh_of(b".."), control.refresh_of(b"."), control.refresh_of(b"n" * 256), b""])
def test_nonsense(mount, asked):
    m = mount(over="fake")
    refused(errno.EINVAL, control.call, m.path, control.REFRESH, asked)
    assert os.listdir(m.path) == []


def test_the_report_names_its_version(mount):
    m = mount(over="fake")
    report = control.call(m.path, control.GET_REPORT)
    version, size = (int.from_bytes(report[at:at + 4], "little") for at in (0, 4))
    assert version == 3 and 4096 < size < control.REPLY_MAX
    assert not any(report[size:])


def test_no_extended_attributes(mount, server_dir):
    (server_dir / "file").touch()
    m = mount(over="fake")
    refused(errno.EOPNOTSUPP, os.getxattr, m.path / "file", "user.x")
