# SPDX-License-Identifier: GPL-2.0-or-later
"""The bugs of upstream's sshfs that ours must not have, one test each (compat.md, section 5).

Against upstream ($SSHFS_IS_UPSTREAM=1) they are expected to fail: that is how they prove themselves.
"""

import ctypes
import errno
import itertools
import os
import re
import signal
import socket
import struct
import subprocess
import threading

import pytest

from lib import mount as mount_module, processes, sshd as sshd_module

pytestmark = pytest.mark.needs("fuse", "server")

LOST = (errno.EIO, errno.ENOTCONN, errno.ECONNABORTED)


def shell(*words):
    subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, check=True)


def test_01_a_second_listing_is_not_empty(mount, server_dir):
    """Nor is an empty one remembered for others (#278, #375)."""
    m = mount(over="fake")
    (server_dir / "file").write_text("")
    fd = os.open(m.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert os.listdir(fd) == ["file"]
        (m.path / "new").write_text("")
        assert sorted(os.listdir(fd)) == ["file", "new"]
    finally:
        os.close(fd)
    assert sorted(os.listdir(m.path)) == ["file", "new"]


@pytest.mark.parametrize("flag, changed, kept", [("-a", "st_atime", "st_mtime"),
                                                 ("-m", "st_mtime", "st_atime")])
def test_02_one_time_is_set_and_the_other_stays(place, flag, changed, kept):
    """UTIME_OMIT (#282)."""
    (place.there / "file").write_text("")
    os.utime(place.there / "file", (1_000_000_000, 1_000_000_000))
    shell("touch", flag, "-d", "@1200000000", place.here / "file")
    for path in (place.there / "file", place.here / "file"):
        assert getattr(path.stat(), changed) == 1_200_000_000
        assert getattr(path.stat(), kept) == 1_000_000_000


def test_02_the_epoch_is_a_time(place):
    (place.there / "file").write_text("")
    os.utime(place.here / "file", (0, 0))
    assert ((place.there / "file").stat().st_atime, (place.there / "file").stat().st_mtime) == (0, 0)


def test_02_the_times_of_a_symlink(place):
    """#105, #250."""
    (place.there / "file").write_text("")
    os.utime(place.there / "file", (1000, 1000))
    (place.there / "link").symlink_to("file")
    shell("touch", "-h", "-d", "@1200000000", place.here / "link")
    assert (place.there / "link").lstat().st_mtime == 1_200_000_000
    assert (place.there / "file").stat().st_mtime == 1000


@pytest.fixture
def id_files(tmp_path):
    for name in ("uids", "gids"):
        (tmp_path / name).write_text("root:0\ndaemon:5000\n")
        (tmp_path / name).chmod(0o600)
    return f"idmap=file,uidfile={tmp_path}/uids,gidfile={tmp_path}/gids"


@pytest.mark.needs("root")
@pytest.mark.parametrize("uid, gid, there", [(1, -1, (5000, 0)), (-1, 1, (0, 5000))])
def test_03_chown_of_one_id(mount, server_dir, id_files, uid, gid, there):
    (server_dir / "file").write_text("")
    m = mount("-o", id_files, over="fake")
    os.chown(m.path / "file", uid, gid)
    found = (server_dir / "file").stat()
    assert (found.st_uid, found.st_gid) == there


@pytest.mark.needs("root")
def test_03_one_unmapped_owner_does_not_hide_a_folder(mount, server_dir, id_files):
    (server_dir / "file").write_text("")
    (server_dir / "strange").write_text("")
    os.chown(server_dir / "strange", 7777, 7777)
    m = mount("-o", f"{id_files},nomap=error", over="fake")
    assert sorted(os.listdir(m.path)) == ["file", "strange"]
    assert (m.path / "file").stat().st_uid == 0


@pytest.mark.needs("root")
def test_03_an_unmapped_root_is_said(sshfs, tmp_path, server_dir, fake_ssh, id_files):
    (tmp_path / "run" / "mnt").mkdir(parents=True)
    os.chown(server_dir, 7777, 7777)
    result = sshfs(f"host:{server_dir}", tmp_path / "run" / "mnt", "-o",
                   f"ssh_command={fake_ssh},nomap=error,{id_files}")
    assert result.code == 1
    assert str(server_dir) in result.err


@pytest.mark.needs("root", "tmpfs")
def test_04_a_full_disk_is_enospc(mount, small_disk):
    m = mount(over="fake")
    fd = os.open(m.path / "small" / "file", os.O_CREAT | os.O_WRONLY)
    problems = set()
    for call in [lambda: os.write(fd, bytes(1 << 19))] * 4 + [lambda: os.close(fd)]:
        try:
            call()
        except OSError as problem:
            problems.add(problem.errno)
    assert problems == {errno.ENOSPC}


@pytest.mark.needs("vsock")
def test_05_vsock_reconnects(mount, server_dir, until):
    (server_dir / "file").write_text("content")
    servers = []
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as listener:
        listener.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
        listener.listen(4)

        def serve():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    servers.append(subprocess.Popen([sshd_module.sftp_server()], stdin=client,
                                                    stdout=client))
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        m = mount("-o", f"reconnect,vsock=1:{port}", source=f"host:{server_dir}", over=None,
                  expect_noise=True)
        assert (m.path / "file").read_text() == "content"
        servers[0].kill()
        servers[0].wait()
        until(lambda: readable(m.path / "file"), "the connection to come back")
        m.unmount()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for server in servers:
        server.kill()
        server.wait()


def readable(path):
    try:
        return path.read_text() == "content"
    except OSError as problem:
        assert problem.errno in LOST, problem
        return False


def test_06_none_resets_every_workaround(mount, proxy, server_dir):
    (server_dir / "from").write_text("")
    p = proxy(extensions=[], status={"RENAME": 3})
    m = mount("-o", "workaround=renamexdev:createmode:none", over=p)
    os.close(os.open(m.path / "new", os.O_CREAT | os.O_WRONLY, 0o640))
    created, = [one for one in p.requests("OPEN") if one["path"].endswith("/new")]
    assert created["attrs"]["mode"] & 0o7777 == 0o640
    with pytest.raises(OSError) as caught:
        os.rename(m.path / "from", m.path / "to")
    assert caught.value.errno != errno.EXDEV


def resident(pid):
    """KiB of memory in use."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])


@pytest.mark.skipif(processes.SLOWNESS > 1, reason="sanitizers find leaks themselves")
def test_07_link_targets_are_freed(mount, server_dir):
    names = [f"link{number}" for number in range(100)]
    for name in names:
        (server_dir / name).symlink_to("/".join(["x" * 250] * 15))
    m = mount("-o", "dcache_timeout=0,entry_timeout=0,attr_timeout=0", over="fake")

    def read_all(times):
        for _ in range(times):
            for name in names:
                os.readlink(m.path / name)
            (m.path / "name").write_text("")
            (m.path / "name").unlink()
    read_all(10)
    before = resident(m.pid)
    read_all(60)
    # 6,000 targets of 3.7 KB: 22 MB if they were kept.
    assert resident(m.pid) - before < 10_000


EXPORT_SUPPORT, NO_EXPORT_SUPPORT, INIT_EXT = 1 << 4, 1 << 38, 1 << 30


def answer_to_init(sshfs_words, folder, offered):
    """Plays the kernel: starts sshfs on a socket in the place of /dev/fuse; the flags it wants."""
    mark = processes.new_mark()
    kernel, daemon = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with kernel, open(folder / "log", "wb") as log:
        with daemon:
            process = subprocess.Popen(
                [mount_module.binary(), sshfs_words[0], f"/dev/fd/{daemon.fileno()}",
                 *sshfs_words[1:], "-f"], pass_fds=[daemon.fileno()], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=mount_module.environment(folder, mark),
                start_new_session=True)
        try:
            init = struct.pack("<IIIII44x", 7, 38, 1 << 17, offered & 0xffffffff, offered >> 32)
            kernel.settimeout(20 * processes.SLOWNESS)
            kernel.send(struct.pack("<IIQQIIII", 40 + len(init), 26, 1, 0, 0, 0, 0, 0) + init)
            answer = kernel.recv(4096)
        finally:
            processes.kill_marked(mark)
            process.wait()
    flags, = struct.unpack_from("<I", answer, 16 + 12)
    more, = struct.unpack_from("<I", answer, 16 + 32)
    return flags | more << 32


def test_08_what_is_wanted_of_the_kernel_reaches_it(tmp_path, fake_ssh, server_dir):
    """
    Upstream put its wish for file handles among the kernel's offers, where it has no effect. A daemon
    says either that it can look up by handle, or that it cannot.
    """
    wanted = answer_to_init([f"host:{server_dir}", "-o", f"ssh_command={fake_ssh}"], tmp_path,
                            EXPORT_SUPPORT | NO_EXPORT_SUPPORT | INIT_EXT)
    assert bool(wanted & EXPORT_SUPPORT) != bool(wanted & NO_EXPORT_SUPPORT)


def test_09_a_lost_connection_does_not_freeze_the_others(mount, tmp_path, server_dir):
    """Reconnecting takes its time; requests of another connection must not wait for it."""
    gate, fake = tmp_path / "gate", tmp_path / "slow-ssh"
    fake.write_text(f"#!/bin/sh\nwhile [ -e {gate} ]; do sleep 0.05; done\n"
                    f"exec {sshd_module.sftp_server()}\n")
    fake.chmod(0o755)
    for number in range(2):
        (server_dir / f"f{number}").write_bytes(bytes(1 << 20))
    m = mount("-o", f"reconnect,max_conns=2,direct_io,ssh_command={fake}",
              source=f"host:{server_dir}", over=None, expect_noise=True)
    fds = [os.open(m.path / "f0", os.O_RDWR)]
    names = itertools.count()

    def both_are_there():
        """A second connection comes when the first is busy with several things at once."""
        threads = [threading.Thread(target=os.pwrite, args=(fds[0], bytes(1 << 20), 0))]
        threads += [threading.Thread(target=os.path.exists, args=(m.path / f"{next(names)}",))
                    for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(m.ssh()) == 2
    processes.wait_until(both_are_there, "the second connection")
    fds.append(os.open(m.path / "f1", os.O_RDWR))
    connections = m.ssh()
    gate.write_text("")
    os.kill(connections[1], signal.SIGKILL)
    results = []

    def read(fd):
        try:
            results.append(len(os.pread(fd, 1000, 0)))
        except OSError as problem:
            results.append(problem.errno)
    readers = [threading.Thread(target=read, args=(fd,), daemon=True) for fd in fds]
    for thread in readers:
        thread.start()
    try:
        processes.wait_until(lambda: 1000 in results, "the file of the living connection", 15)
    finally:
        gate.unlink()
    for thread in readers:
        thread.join(20)
    for fd in fds:
        try:
            os.close(fd)
        except OSError as problem:
            assert problem.errno in LOST


def test_10_failing_starts_leave_nothing_behind(own_sshd, mount, server_dir, until):
    """Each attempt that fails must undo its counting: then it still works when the server is back."""
    (server_dir / "file").write_text("content")
    m = mount("-o", "reconnect,max_conns=3,dir_cache=no,attr_timeout=0,entry_timeout=0",
              server=own_sshd, expect_noise=True)
    assert readable(m.path / "file")

    def descriptors():
        return len(os.listdir(f"/proc/{m.pid}/fd"))
    before = descriptors()
    own_sshd.refuse()
    own_sshd.kill()
    for _ in range(20):
        with pytest.raises(OSError):
            (m.path / "file").read_text()
    own_sshd.accept()
    until(lambda: readable(m.path / "file"), "the connection to come back")
    # Two more connections may have been opened since; what one needs is not our business here.
    until(lambda: descriptors() < before + 20, "the descriptors to be closed")
    os.stat(m.path)


@pytest.mark.storm
def test_11_connections_are_chosen_without_a_race(mount, server_dir):
    """The thread sanitizer looks on."""
    m = mount("-o", "max_conns=4", over="fake")

    def work(number):
        for turn in range(20):
            (m.path / f"f{number}").write_bytes(bytes([number]) * 5000)
            assert (m.path / f"f{number}").read_bytes() == bytes([number]) * 5000
            os.listdir(m.path)
    problems = []

    def guarded(number):
        try:
            work(number)
        except BaseException as problem:
            problems.append(problem)
    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_12_any_place_in_a_listing_is_taken(mount, server_dir):
    """An offset that is not zero, also a wrong one, ended the process (#338)."""
    for number in range(100):
        (server_dir / f"f{number}").write_text("")
    m = mount(over="fake")
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(m.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        buffer = ctypes.create_string_buffer(4096)
        for offset in (50, 102, 5000, 2**40, 1, 0):
            try:
                os.lseek(fd, offset, os.SEEK_SET)
            except OSError:
                continue
            libc.syscall(217, fd, buffer, 4096)  # getdents64 on x86; elsewhere some other error
    finally:
        os.close(fd)
    assert len(os.listdir(m.path)) == 100
    assert m.process.poll() is None


@pytest.mark.parametrize("flags", [["-v"], ["-s"], ["-n"]])
def test_13_mounts_own_flags_are_understood(mount, fake_ssh, server_dir, flags):
    (server_dir / "file").write_text("")
    m = mount("-o", f"nofail,ssh_command={fake_ssh}", *flags, over=None, foreground=False,
              arg0="/sbin/mount.sshfs")
    assert os.listdir(m.path) == ["file"]


def test_14_what_ssh_says_is_not_lost(sshfs, tmp_path, own_sshd):
    own_sshd.refuse()
    (tmp_path / "run" / "mnt").mkdir(parents=True)
    result = sshfs(own_sshd.source(), tmp_path / "run" / "mnt", *own_sshd.options)
    assert result.code == 1
    assert "Connection refused" in result.err


def test_15_opening_a_file_sends_no_mode(mount, proxy, server_dir):
    """Some servers would chmod it to 0."""
    (server_dir / "file").write_text("x")
    p = proxy()
    m = mount(over=p)
    assert (m.path / "file").read_text() == "x"
    with open(m.path / "file", "a") as file:
        file.write("y")
    assert p.requests("OPEN")
    for one in p.requests("OPEN"):
        assert "mode" not in one["attrs"], one


def two_addresses():
    """A name of the loopback with an IPv6 and an IPv4 address, or None."""
    for name in ("localhost", "ip6-localhost"):
        try:
            found = {entry[0] for entry in socket.getaddrinfo(name, 1, type=socket.SOCK_STREAM)}
        except OSError:
            continue
        if found >= {socket.AF_INET, socket.AF_INET6}:
            return name
    return None


@pytest.mark.skipif(two_addresses() is None, reason="no name here has two loopback addresses")
@pytest.mark.parametrize("family, address", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_16_every_address_is_tried(mount, server_dir, family, address):
    (server_dir / "file").write_text("")
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((address, 0))
        listener.listen(1)

        def serve():
            client, _ = listener.accept()
            with client:
                subprocess.run([sshd_module.sftp_server()], stdin=client, stdout=client)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        m = mount("-o", f"directport={port}", source=f"{two_addresses()}:{server_dir}", over=None)
        assert os.listdir(m.path) == ["file"]
        m.unmount()
        thread.join()


@pytest.mark.parametrize("option, kind", [("max_read", "READ"), ("max_write", "WRITE")])
def test_17_large_requests_are_not_cut_down_in_silence(mount, proxy, server_dir, option, kind):
    content = os.urandom(2 << 20)
    p = proxy()
    m = mount("-o", f"{option}=131072,direct_io", over=p)
    fd = os.open(m.path / "file", os.O_CREAT | os.O_RDWR)
    os.write(fd, content[:1 << 20])
    os.fsync(fd)
    assert os.pread(fd, 1 << 20, 0) == content[:1 << 20]
    os.close(fd)
    assert max(one["length"] for one in p.requests(kind)) == 131072


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_18_a_signal_means_exit_code_1(mount, number):
    """Kept: scripts may rely on it."""
    m = mount(over="fake")
    os.kill(m.pid, number)
    assert m.wait_over() == 1


# The wall clock as a file tells it, for one process.
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long jump(void)
{
	long seconds = 0;
	FILE *file = fopen(getenv("CLOCK_JUMP"), "re");
	if (file) {
		if (fscanf(file, "%ld", &seconds) != 1)
			seconds = 0;
		fclose(file);
	}
	return seconds;
}
int clock_gettime(clockid_t id, struct timespec *now)
{
	static int (*next)(clockid_t, struct timespec *);
	if (!next)
		next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int result = next(id, now);
	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		now->tv_sec += jump();
	return result;
}
time_t time(time_t *ret)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}
int gettimeofday(struct timeval *now, void *zone)
{
	struct timespec exact;
	clock_gettime(CLOCK_REALTIME, &exact);
	now->tv_sec = exact.tv_sec;
	now->tv_usec = exact.tv_nsec / 1000;
	return 0;
}
"""


@pytest.mark.skipif(processes.SLOWNESS > 1, reason="sanitizers must be loaded first")
def test_19_the_cache_does_not_follow_the_wall_clock(mount, proxy, server_dir, tmp_path):
    (tmp_path / "clock.c").write_text(CLOCK)
    shell("cc", "-shared", "-fPIC", "-o", tmp_path / "clock.so", tmp_path / "clock.c", "-ldl")
    (tmp_path / "jump").write_text("0")
    (server_dir / "file").write_text("")
    p = proxy()
    m = mount("-o", "dcache_timeout=3600,attr_timeout=0,entry_timeout=0", over=p,
              env={"LD_PRELOAD": str(tmp_path / "clock.so"), "CLOCK_JUMP": str(tmp_path / "jump")})
    os.stat(m.path / "file")
    p.forget()
    os.stat(m.path / "file")
    assert p.requests() == []
    (tmp_path / "jump").write_text("86400")
    os.stat(m.path / "file")
    assert p.requests() == []


@pytest.mark.parametrize("short", [1000, 4096, 32767])
@pytest.mark.parametrize("options", [[], ["-o", "direct_io"]])
def test_20_a_short_read_is_not_the_end(mount, proxy, server_dir, short, options):
    content = os.urandom(300_000)
    (server_dir / "file").write_bytes(content)
    m = mount(*options, over=proxy(short_reads=short))
    assert (m.path / "file").read_bytes() == content
    fd = os.open(m.path / "file", os.O_RDONLY)
    assert os.pread(fd, 100_000, 50_000) == content[50_000:150_000]
    os.close(fd)
