# SPDX-License-Identifier: GPL-2.0-or-later
"""The mount options, each by what can be seen of it (compat.md, sections 1.3 to 1.6)."""

import errno
import os
import re
import socket
import stat
import subprocess
import threading

import pytest

from lib import processes, sshd as sshd_module

pytestmark = pytest.mark.needs("fuse", "server")

HOST = sshd_module.HOST


@pytest.fixture
def fast(mount):
    """Mounts `server_dir` over the fake ssh with these options: fast("ro")."""
    return lambda *options, **more: mount(
        *(word for option in options for word in ("-o", option)), over="fake", **more)


def fails_with(number, function, *arguments):
    with pytest.raises(OSError) as caught:
        function(*arguments)
    assert caught.value.errno == number, caught.value


def touched(path, content="x"):
    path.write_text(content)
    return path


# ---- what the kernel is told ---------------------------------------------------------------------

def test_ro(fast, server_dir):
    touched(server_dir / "file")
    m = fast("ro")
    fails_with(errno.EROFS, (m.path / "file").write_text, "y")
    assert (m.path / "file").read_text() == "x"


@pytest.mark.parametrize("option", ["noexec", "noatime", "nosuid", "nodev", "allow_other",
                                    "default_permissions"])
def test_in_the_table_of_mounts(fast, option):
    assert option in fast(option).entry().options


@pytest.mark.needs("root")
def test_suid_and_dev(fast):
    options = fast("suid,dev").entry().options
    assert "nosuid" not in options and "nodev" not in options


@pytest.mark.needs("root")
def test_allow_other_lets_others_in_and_its_absence_does_not(fast, server_dir):
    touched(server_dir / "file").chmod(0o644)
    server_dir.chmod(0o755)
    stranger = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls"]

    def looks(m):
        m.folder.chmod(0o755)
        return subprocess.run([*stranger, m.path], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    assert looks(fast("allow_other"))
    assert not looks(fast())


def test_auto_unmount(fast):
    m = fast("auto_unmount")
    os.kill(m.pid, 9)
    processes.wait_until(lambda: m.entry() is None, "the unmounting by itself")
    m.wait_over()


# ---- whose the files are -------------------------------------------------------------------------

def test_uid_and_gid(fast, server_dir):
    touched(server_dir / "file")
    m = fast("uid=1234,gid=4321")
    for path in (m.path, m.path / "file"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


def test_umask(fast, server_dir):
    touched(server_dir / "file").chmod(0o777)
    (server_dir / "folder").mkdir()
    (server_dir / "folder").chmod(0o777)
    m = fast("umask=027")
    assert stat.S_IMODE((m.path / "file").stat().st_mode) == 0o750
    assert stat.S_IMODE((m.path / "folder").stat().st_mode) == 0o750


@pytest.mark.ours
def test_fmask_and_dmask(fast, server_dir):
    touched(server_dir / "file").chmod(0o777)
    (server_dir / "folder").mkdir()
    (server_dir / "folder").chmod(0o777)
    m = fast("fmask=0133,dmask=0022")
    assert stat.S_IMODE((m.path / "file").stat().st_mode) == 0o644
    assert stat.S_IMODE((m.path / "folder").stat().st_mode) == 0o755


@pytest.fixture
def as_nobody(tmp_path, server_dir):
    """A fake ssh whose server runs as another user, 65534, who owns server_dir."""
    ssh = tmp_path / "ssh-as-nobody"
    ssh.write_text("#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups "
                   f"{sshd_module.sftp_server()} -d {server_dir}\n")
    ssh.chmod(0o755)
    os.chown(server_dir, 65534, 65534)
    return f"ssh_command={ssh}"


@pytest.mark.needs("root")
def test_idmap_user(mount, server_dir, as_nobody):
    """The remote user's files look like the mounting user's; nobody else's do."""
    os.chown(touched(server_dir / "theirs"), 65534, 65534)
    os.chown(touched(server_dir / "third"), 1234, 1234)
    m = mount("-o", as_nobody, "-o", "idmap=user", source="host:", over=None)
    assert (m.path / "theirs").stat().st_uid == os.getuid()
    assert (m.path / "third").stat().st_uid == 1234
    touched(m.path / "new")
    assert (m.path / "new").stat().st_uid == os.getuid()
    assert (server_dir / "new").stat().st_uid == 65534
    os.chown(m.path / "new", os.getuid(), os.getgid())
    assert (server_dir / "new").stat().st_uid == 65534


@pytest.mark.needs("root")
def test_idmap_none_shows_the_servers_ids(mount, server_dir, as_nobody):
    os.chown(touched(server_dir / "theirs"), 65534, 65534)
    m = mount("-o", as_nobody, "-o", "idmap=none", source="host:", over=None)
    assert (m.path / "theirs").stat().st_uid == 65534


@pytest.fixture
def id_files(tmp_path):
    """uidfile and gidfile that map remote 5000 to local daemon (uid 1), 5001 to an unknown name."""
    uids, gids = tmp_path / "uids", tmp_path / "gids"
    uids.write_text("root:0\ndaemon:5000\nsurely-not-a-user:5001\n")
    gids.write_text("root:x:0:\ndaemon:x:5000:a,b\n")
    for path in (uids, gids):
        path.chmod(0o600)
    return f"uidfile={uids},gidfile={gids}"


@pytest.mark.needs("root")
def test_idmap_file(fast, server_dir, id_files):
    os.chown(touched(server_dir / "file"), 5000, 5000)
    m = fast(f"idmap=file,{id_files}")
    assert ((m.path / "file").stat().st_uid, (m.path / "file").stat().st_gid) == (1, 1)
    os.chown(m.path / "file", 0, 0)
    assert (server_dir / "file").stat().st_uid == 0
    os.chown(m.path / "file", 1, 1)
    assert (server_dir / "file").stat().st_uid == 5000


@pytest.mark.needs("root")
def test_nomap_ignore(fast, server_dir, id_files):
    os.chown(touched(server_dir / "file"), 7777, 7777)
    m = fast(f"idmap=file,nomap=ignore,{id_files}")
    assert (m.path / "file").stat().st_uid == 7777


@pytest.mark.needs("root")
def test_nomap_error(fast, server_dir, id_files):
    os.chown(touched(server_dir / "file"), 7777, 7777)
    m = fast(f"idmap=file,nomap=error,{id_files}")
    fails_with(errno.EPERM, os.stat, m.path / "file")


@pytest.mark.parametrize("content, mode, message", [
    (None, 0o600, "failed to open '{}': No such file or directory"),
    ("root:0\n", 0o666, "'{}' is writable by other users"),
    ("root:0\nnonsense\n", 0o600, "{}:2: unknown format"),
    ("root:0\n" + "x" * 5000 + "\n", 0o600, "{}:2: line too long"),
])
def test_an_id_file_that_is_refused(sshfs, tmp_path, fake_ssh, server_dir, content, mode, message):
    point = tmp_path / "mnt"
    point.mkdir()
    path = tmp_path / "ids"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    result = sshfs(f"host:{server_dir}", point, "-o",
                   f"ssh_command={fake_ssh},idmap=file,uidfile={path}")
    assert result.code == 1
    assert message.format(path) in result.err


@pytest.mark.needs("root")
def test_an_id_file_of_somebody_else(sshfs, tmp_path, fake_ssh, server_dir):
    (tmp_path / "mnt").mkdir()
    path = touched(tmp_path / "ids", "root:0\n")
    os.chown(path, 1234, 1234)
    result = sshfs(f"host:{server_dir}", tmp_path / "mnt", "-o",
                   f"ssh_command={fake_ssh},idmap=file,uidfile={path}")
    assert result.code == 1
    assert f"'{path}' is not owned by uid {os.getuid()}" in result.err


# ---- caches --------------------------------------------------------------------------------------

def rewrite(path, content, keep_time=True):
    """Changes a file on the server behind the mount's back, of the same size, at the same time."""
    before = path.stat()
    assert len(content) == before.st_size
    path.write_text(content)
    os.utime(path, (before.st_atime, before.st_mtime if keep_time else before.st_mtime + 10))


def test_pages_are_fresh_at_each_open(fast, server_dir):
    file = touched(server_dir / "file", "old")
    m = fast()
    assert (m.path / "file").read_text() == "old"
    rewrite(file, "new")
    assert (m.path / "file").read_text() == "new"


def test_kernel_cache(fast, server_dir):
    file = touched(server_dir / "file", "old")
    m = fast("kernel_cache")
    assert (m.path / "file").read_text() == "old"
    rewrite(file, "new")
    assert (m.path / "file").read_text() == "old"


def test_auto_cache(fast, server_dir):
    """Kept over opens while size and time of the file are the same, forgotten when they are not."""
    file = touched(server_dir / "file", "old")
    m = fast("auto_cache,dir_cache=no,ac_attr_timeout=0,attr_timeout=0")
    assert (m.path / "file").read_text() == "old"
    rewrite(file, "new")
    assert (m.path / "file").read_text() == "old"
    rewrite(file, "NEW", keep_time=False)
    assert (m.path / "file").read_text() == "NEW"


def test_direct_io(fast, server_dir):
    """Nothing is kept even while the file is open."""
    file = touched(server_dir / "file", "old")
    m = fast("direct_io")
    with open(m.path / "file", "rb", buffering=0) as opened:
        assert os.pread(opened.fileno(), 3, 0) == b"old"
        rewrite(file, "new")
        assert os.pread(opened.fileno(), 3, 0) == b"new"


def look_at_all(folder):
    for entry in os.scandir(folder):
        entry.stat(follow_symlinks=False)


@pytest.mark.parametrize("option, asked", [("dir_cache=no", True), ("cache=no", True),
                                           ("dir_cache=yes", False), ("cache=yes", False)])
def test_dir_cache(mount, proxy, server_dir, option, asked):
    """A listing answers for its files, unless there is no cache. (Kernel timeouts are off here.)"""
    for number in range(10):
        touched(server_dir / f"f{number}")
    p = proxy()
    m = mount("-o", f"{option},entry_timeout=0,attr_timeout=0", over=p)
    look_at_all(m.path)
    p.forget()
    look_at_all(m.path)
    assert (len(p.requests("READDIR")) > 0) == asked


@pytest.mark.parametrize("option", ["dcache_timeout=1", "cache_timeout=1", "dcache_stat_timeout=1",
                                    "cache_stat_timeout=1"])
def test_attributes_are_looked_at_again_after_the_timeout(fast, server_dir, option):
    file = touched(server_dir / "file", "short")
    m = fast(option, "attr_timeout=0,entry_timeout=0")
    assert (m.path / "file").stat().st_size == 5
    file.write_text("something longer")
    processes.wait_until(lambda: (m.path / "file").stat().st_size == 16, "the new size", 10)


@pytest.mark.parametrize("option", ["dcache_dir_timeout=1", "cache_dir_timeout=1"])
def test_listings_are_looked_at_again_after_the_timeout(fast, server_dir, option):
    m = fast(option)
    assert os.listdir(m.path) == []
    touched(server_dir / "new")
    processes.wait_until(lambda: os.listdir(m.path) == ["new"], "the new name", 10)


@pytest.mark.parametrize("option", ["dcache_link_timeout=1", "cache_link_timeout=1"])
def test_link_targets_are_looked_at_again_after_the_timeout(fast, server_dir, option):
    (server_dir / "link").symlink_to("old")
    m = fast(option, "entry_timeout=0,attr_timeout=0,dcache_stat_timeout=0")
    assert os.readlink(m.path / "link") == "old"
    (server_dir / "link").unlink()
    (server_dir / "link").symlink_to("new")
    processes.wait_until(lambda: os.readlink(m.path / "link") == "new", "the new target", 10)


def test_the_later_timeout_wins(mount, proxy, server_dir):
    touched(server_dir / "file")
    p = proxy()
    m = mount("-o", "dcache_stat_timeout=0,dcache_timeout=60,entry_timeout=0,attr_timeout=0", over=p)
    os.stat(m.path / "file")
    p.forget()
    os.stat(m.path / "file")
    assert p.requests("LSTAT") == []


@pytest.mark.parametrize("option", [
    "dcache_max_size=10", "cache_max_size=10", "dcache_clean_interval=1", "cache_clean_interval=1",
    "dcache_min_clean_interval=0", "cache_min_clean_interval=0"])
def test_a_small_cache_still_tells_the_truth(fast, server_dir, option):
    for number in range(50):
        touched(server_dir / f"f{number:02}", "x" * number)
    m = fast(option)
    for _ in range(2):
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(m.path)}
        assert sizes == {f"f{number:02}": number for number in range(50)}


@pytest.mark.parametrize("options", ["entry_timeout=5,attr_timeout=5,negative_timeout=5", "noforget",
                                     "remember=10", "ac_attr_timeout=5", "noauto_cache,auto_cache"])
def test_options_of_libfuse(fast, options):
    m = fast(options)
    touched(m.path / "file")
    assert (m.path / "file").read_text() == "x"


def test_negative_timeout(mount, proxy, server_dir):
    p = proxy()
    m = mount("-o", "negative_timeout=60,dir_cache=no", over=p)
    assert not (m.path / "missing").exists()
    p.forget()
    assert not (m.path / "missing").exists()
    assert p.requests() == []


# ---- the connection ------------------------------------------------------------------------------

def test_delay_connect(mount, proxy, server_dir):
    touched(server_dir / "file")
    p = proxy()
    m = mount.prepare("-o", "delay_connect", over=p, foreground=False)
    m.start()
    assert p.requests() == []
    assert os.listdir(m.path) == ["file"]
    assert p.requests() != []


def test_no_check_root(fast, server_dir):
    m = fast("no_check_root", source=f"host:{server_dir}/later", foreground=False)
    (server_dir / "later").mkdir()
    touched(server_dir / "later" / "file")
    assert os.listdir(m.path) == ["file"]


@pytest.mark.needs("root", "tmpfs")
def test_sshfs_sync(fast, small_disk):
    """Each write waits for its answer, so it is the write that fails."""
    m = fast("sshfs_sync")
    with open(m.path / "small" / "file", "wb", buffering=0) as file:
        with pytest.raises(OSError):
            for _ in range(100):
                file.write(bytes(65536))


@pytest.mark.parametrize("option", ["no_readahead", "sync_readdir", "sshfs_sync",
                                    "unreliable_append", "writeback_cache=no", "workaround=none"])
def test_options_that_change_only_the_speed(fast, server_dir, option):
    m = fast(option)
    content = os.urandom(300_000)
    (m.path / "file").write_bytes(content)
    assert (m.path / "file").read_bytes() == content
    for number in range(300):
        touched(server_dir / f"f{number}")
    assert len(os.listdir(m.path)) in (1, 301)


@pytest.mark.ours
def test_sync_readdir_keeps_one_request_in_flight(mount, proxy, server_dir):
    for number in range(500):
        touched(server_dir / f"f{number}")
    p = proxy()
    m = mount("-o", "sync_readdir", over=p)
    assert len(os.listdir(m.path)) == 500
    # With a window there would be requests beyond the end, before the last one.
    processes.wait_until(lambda: p.requests("CLOSE"), "the end of the listing")
    kinds = [one["type"] for one in p.requests() if one["type"] in ("READDIR", "CLOSE")]
    assert kinds.count("CLOSE") == 1 and kinds[-1] == "CLOSE"


@pytest.mark.parametrize("option, kind", [("max_read=8192", "READ"), ("max_write=8192", "WRITE")])
def test_sizes_of_requests(mount, proxy, server_dir, option, kind):
    content = os.urandom(100_000)
    p = proxy()
    m = mount("-o", option, over=p)
    (m.path / "file").write_bytes(content)
    assert (m.path / "file").read_bytes() == content
    assert max(one["length"] for one in p.requests(kind)) == 8192


def test_max_conns(mount, server_dir):
    m = mount("-o", "max_conns=3", over="fake")
    assert len(m.ssh()) <= 3
    files = [open(m.path / f"f{number}", "wb", buffering=0) for number in range(6)]
    threads = [threading.Thread(target=file.write, args=(os.urandom(1 << 20),)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for file in files:
        file.close()
    processes.wait_until(lambda: len(m.ssh()) > 1, "another connection")
    assert len(m.ssh()) <= 3
    assert {path.stat().st_size for path in server_dir.iterdir()} == {1 << 20}


class Listener:
    """A server without ssh: each connection gets an sftp-server of its own."""

    def __init__(self, family, address):
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.bind(address)
        self.socket.listen(8)
        self.servers = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                self.servers.append(subprocess.Popen([sshd_module.sftp_server()], stdin=client,
                                                     stdout=client, start_new_session=True))

    def kill(self):
        for server in self.servers:
            server.kill()
            server.wait()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()
        self.kill()


@pytest.fixture
def listen():
    """Makes a Listener: listen(socket.AF_INET, ("127.0.0.1", 0)). Name it before `mount`, to outlive it."""
    made = []

    def make(family, address):
        made.append(Listener(family, address))
        return made[-1]
    yield make
    for one in made:
        one.close()


def test_directport(listen, mount, server_dir):
    touched(server_dir / "file")
    port = listen(socket.AF_INET, ("127.0.0.1", 0)).socket.getsockname()[1]
    m = mount("-o", f"directport={port}", source=f"127.0.0.1:{server_dir}", over=None)
    assert os.listdir(m.path) == ["file"]
    assert m.ssh() == []


@pytest.mark.ours
@pytest.mark.needs("ipv6")
def test_directport_by_ipv6(listen, mount, server_dir):
    touched(server_dir / "file")
    port = listen(socket.AF_INET6, ("::1", 0)).socket.getsockname()[1]
    m = mount("-o", f"directport={port}", source=f"[::1]:{server_dir}", over=None)
    assert os.listdir(m.path) == ["file"]


def test_directport_refused(sshfs, tmp_path):
    (tmp_path / "mnt").mkdir()
    with sshd_module.bound_socket(0) as nobody_listens:
        port = nobody_listens.getsockname()[1]
        result = sshfs("127.0.0.1:", tmp_path / "mnt", "-o", f"directport={port}")
    assert result.code == 1
    assert re.search("failed to connect.*: Connection refused", result.err)


def test_directport_of_an_unknown_host(sshfs, tmp_path):
    (tmp_path / "mnt").mkdir()
    result = sshfs("no-such-host.invalid:", tmp_path / "mnt", "-o", "directport=22", seconds=50)
    assert result.code == 1
    assert "failed to resolve no-such-host.invalid:22:" in result.err


@pytest.mark.ours
@pytest.mark.needs("vsock")
def test_vsock(listen, mount, server_dir):
    touched(server_dir / "file")
    port = listen(socket.AF_VSOCK, (socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
    port = port.socket.getsockname()[1]
    m = mount("-o", f"vsock=1:{port}", source=f"unused_host:{server_dir}", over=None)
    assert os.listdir(m.path) == ["file"]


@pytest.mark.parametrize("word, host", [("passive", ""), ("slave", "whatever")])
def test_passive(mount, server_dir, word, host):
    """The server is at our standard input and output; -f is implied."""
    if word == "passive" and os.environ.get("SSHFS_IS_UPSTREAM"):
        word = "slave"  # 3.7.3 knows only the old word
    touched(server_dir / "file")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = subprocess.Popen([sshd_module.sftp_server()], stdin=theirs, stdout=theirs)
        m = mount.prepare("-o", word, source=f"{host}:{server_dir}", over=None)
        m.talk_to(ours)
        m.start()
    try:
        assert os.listdir(m.path) == ["file"]
        touched(m.path / "new")
        assert (server_dir / "new").read_text() == "x"
        m.unmount()
    finally:
        server.kill()
        server.wait()


# ---- links ---------------------------------------------------------------------------------------

def test_follow_symlinks(fast, server_dir):
    touched(server_dir / "file", "content")
    (server_dir / "link").symlink_to("file")
    (server_dir / "dangling").symlink_to("nowhere")
    m = fast("follow_symlinks")
    assert stat.S_ISREG((m.path / "link").lstat().st_mode)
    assert (m.path / "link").read_text() == "content"
    assert {entry.name: entry.is_file(follow_symlinks=False) for entry in os.scandir(m.path)
            if entry.name != "dangling"} == {"file": True, "link": True}


def test_transform_symlinks(fast, server_dir):
    (server_dir / "folder").mkdir()
    touched(server_dir / "file", "content")
    (server_dir / "folder" / "link").symlink_to(server_dir / "file")
    (server_dir / "outside").symlink_to("/etc/passwd")
    m = fast("transform_symlinks,no_contain_symlinks")
    assert os.readlink(m.path / "folder" / "link") == "../file"
    assert (m.path / "folder" / "link").read_text() == "content"
    assert os.readlink(m.path / "outside") == "/etc/passwd"


TARGETS = {"a": "/etc/passwd", "b": "../x", "c": "sub/../../x", "d": "sub/x", "e": "./sub/x", "f": ".."}


@pytest.fixture
def links(server_dir):
    (server_dir / "sub").mkdir()
    touched(server_dir / "sub" / "x", "inner")
    for name, target in TARGETS.items():
        (server_dir / name).symlink_to(target)


@pytest.mark.parametrize("options", [[], ["contain_symlinks"],
                                     ["no_contain_symlinks,contain_symlinks"]])
def test_contain_symlinks(fast, links, options):
    m = fast(*options)
    for name in "abcf":
        for question in (os.readlink, os.stat, lambda path: open(path, "rb")):
            fails_with(errno.EPERM, question, m.path / name)
    for name in "de":
        assert os.readlink(m.path / name) == TARGETS[name]
        assert (m.path / name).read_text() == "inner"
    assert sorted(os.listdir(m.path)) == ["a", "b", "c", "d", "e", "f", "sub"]


@pytest.mark.parametrize("options", [["no_contain_symlinks"],
                                     ["contain_symlinks,no_contain_symlinks"]])
def test_no_contain_symlinks(fast, links, options):
    m = fast(*options)
    assert {name: os.readlink(m.path / name) for name in TARGETS} == TARGETS


def test_disable_hardlink(fast, server_dir):
    touched(server_dir / "file")
    m = fast("disable_hardlink")
    with pytest.raises(OSError) as caught:
        os.link(m.path / "file", m.path / "other")
    assert caught.value.errno in (errno.ENOSYS, errno.EPERM)


# ---- workarounds ---------------------------------------------------------------------------------

NO_EXTENSIONS = {"extensions": []}


def test_rename_over_a_name_without_posix_rename_is_refused(mount, proxy, server_dir):
    touched(server_dir / "from", "new")
    touched(server_dir / "to", "old")
    m = mount(over=proxy(**NO_EXTENSIONS))
    with pytest.raises(OSError):
        os.rename(m.path / "from", m.path / "to")
    assert (server_dir / "to").read_text() == "old"


def test_workaround_rename(mount, proxy, server_dir):
    touched(server_dir / "from", "new")
    touched(server_dir / "to", "old")
    m = mount("-o", "workaround=rename", over=proxy(**NO_EXTENSIONS))
    os.rename(m.path / "from", m.path / "to")
    assert os.listdir(server_dir) == ["to"]
    assert (server_dir / "to").read_text() == "new"
    assert (m.path / "to").read_text() == "new"


@pytest.mark.parametrize("option, number", [("workaround=renamexdev", errno.EXDEV),
                                            ("workaround=none", None)])
def test_workaround_renamexdev(mount, proxy, server_dir, option, number):
    touched(server_dir / "from")
    m = mount("-o", option, over=proxy(status={"RENAME": 4}, **NO_EXTENSIONS))
    with pytest.raises(OSError) as caught:
        os.rename(m.path / "from", m.path / "to")
    assert (caught.value.errno == errno.EXDEV) == (number == errno.EXDEV)


@pytest.mark.parametrize("size", [0, 3, 10, 200_000])
def test_workaround_truncate(mount, proxy, server_dir, size):
    """For servers that cannot set a size."""
    content = os.urandom(100_000)
    (server_dir / "file").write_bytes(content)
    p = proxy(status={"SETSTAT": 8, "FSETSTAT": 8})
    m = mount("-o", "workaround=truncate", over=p)
    os.truncate(m.path / "file", size)
    assert (server_dir / "file").read_bytes() == (content + bytes(size))[:size]
    assert (m.path / "file").stat().st_size == size


def test_workaround_fstat(mount, proxy, server_dir):
    touched(server_dir / "file")
    p = proxy()
    m = mount("-o", "workaround=fstat,dir_cache=no,attr_timeout=0", over=p)
    with open(m.path / "file", "r+b") as file:
        assert os.fstat(file.fileno()).st_size == 1
    touched(m.path / "new")
    assert p.requests("FSTAT") == []


def test_workaround_createmode(mount, proxy, server_dir):
    p = proxy()
    m = mount("-o", "workaround=createmode", over=p)
    os.close(os.open(m.path / "new", os.O_CREAT | os.O_WRONLY, 0o640))
    created, = [one for one in p.requests("OPEN") if one["path"].endswith("/new")]
    assert created["attrs"].get("mode", 0) == 0


def test_the_mode_of_a_new_file_is_sent(mount, proxy, server_dir):
    p = proxy()
    m = mount(over=p)
    os.close(os.open(m.path / "new", os.O_CREAT | os.O_WRONLY, 0o640))
    created, = [one for one in p.requests("OPEN") if one["path"].endswith("/new")]
    assert created["attrs"]["mode"] & 0o7777 == 0o640


def test_workaround_buflimit(mount, server_dir):
    m = mount("-o", "workaround=buflimit", over="fake")
    content = os.urandom(12 << 20)
    (m.path / "file").write_bytes(content)
    assert (server_dir / "file").read_bytes() == content


@pytest.mark.parametrize("words", ["rename:truncate", "norename:notruncate:nofstat",
                                   "none:fstat", "nobuflimit", "norenamexdev:nocreatemode"])
def test_workarounds_in_a_list(fast, words):
    m = fast(f"workaround={words}")
    touched(m.path / "file")


@pytest.mark.ours
@pytest.mark.parametrize("word", ["all", "nodelay", "nodelaysrv"])
def test_old_workarounds_are_ignored_with_a_note(fast, word):
    m = fast(f"workaround={word}")
    assert word in m.log()


# ---- words that mean nothing (any more) ----------------------------------------------------------

@pytest.mark.parametrize("word", ["auto", "noauto", "user", "nouser", "users", "_netdev"])
def test_words_of_fstab(fast, word):
    fast(word)


@pytest.mark.ours
@pytest.mark.parametrize("word", ["nofail", "defaults", "comment=x", "x-systemd.automount",
                                  "x-gvfs-show", "owner", "group"])
def test_more_words_of_fstab(fast, word):
    assert fast(word).log() == ""


@pytest.mark.ours
@pytest.mark.parametrize("word", [
    "nonempty", "big_writes", "large_read", "intr", "hard_remove", "use_ino", "readdir_ino",
    "max_readahead=131072", "max_background=12", "congestion_threshold=9", "sync_read", "async_read",
    "splice_read", "no_remote_lock", "clone_fd"])
def test_old_words_are_accepted(fast, word):
    m = fast(word)
    touched(m.path / "file")


@pytest.mark.ours
@pytest.mark.parametrize("word", ["nonempty", "big_writes", "intr"])
def test_old_words_are_ignored_with_a_note(fast, word):
    assert word in fast(word).log()
