# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: forms, flags, messages and exit codes (compat.md, sections 1.1, 1.2 and 1.8)."""

import os
import re
import stat
import subprocess

import pytest

from lib import mount as mount_module, mountinfo, processes, sshd as sshd_module, words

pytestmark = pytest.mark.needs("fuse", "server")

HOST = sshd_module.HOST


@pytest.fixture
def note(tmp_path):
    """A stand-in for ssh that notes its arguments; see lib/words.py."""
    return words.Note(tmp_path / "note")


@pytest.fixture
def mnt(tmp_path):
    """An empty folder to mount on, for runs that are to be refused."""
    folder = tmp_path / "run" / "mnt"
    folder.mkdir(parents=True)
    return folder


def refused(result, message):
    """Checks that it was refused with one clear line; `message` is a regular expression."""
    assert result.code == 1, result
    assert re.search(message, result.err), result


# ---- usage and versions --------------------------------------------------------------------------

@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_usage(sshfs, flag):
    result = sshfs(flag)
    assert result.code == 0
    assert result.out.lower().startswith("usage:")
    for word in ("mountpoint", "-p PORT", "-C", "-F", "reconnect", "idmap", "-o"):
        assert word in result.out


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(sshfs, flag):
    """multipass reads the line "FUSE library version"."""
    result = sshfs(flag)
    assert result.code == 0
    assert re.search(r"^SSHFS version \d+\.\d+(\.\d+)?$", result.out, re.MULTILINE)
    assert re.search(r"^FUSE library version:? \d+\.\d+(\.\d+)?$", result.out, re.MULTILINE)
    assert re.search(r"^using FUSE kernel interface version \d+\.\d+$", result.out, re.MULTILINE)


# ---- what is missing or wrong --------------------------------------------------------------------

def test_no_arguments(sshfs):
    result = sshfs()
    refused(result, r"missing host\n")
    assert re.search(r"see `\S*sshfs -h' for usage", result.err)


def test_no_mountpoint(sshfs):
    result = sshfs(f"{HOST}:")
    refused(result, "no mountpoint specified")
    assert re.search(r"see `\S*sshfs -h' for usage", result.err)


def test_a_source_without_colon(sshfs, mnt):
    refused(sshfs(mnt), "missing host")


def test_a_third_word(sshfs, mnt):
    refused(sshfs(f"{HOST}:", mnt, "third"), "invalid argument `third'")


def test_the_mountpoint_is_missing(sshfs, mnt):
    missing = mnt / "missing"
    refused(sshfs(f"{HOST}:", missing),
            f"bad mount point `{missing}': No such file or directory")


@pytest.mark.ours
def test_the_mountpoint_is_a_file(sshfs, mnt):
    file = mnt / "file"
    file.write_text("")
    result = sshfs(f"{HOST}:", file)
    refused(result, "mount")
    assert str(file) in result.err


@pytest.mark.ours
def test_the_mountpoint_is_looked_at_before_ssh_starts(sshfs, mnt, note):
    sshfs(f"{HOST}:", mnt / "missing", "-o", f"ssh_command={note.path}")
    assert note.calls() == []


def test_an_unclosed_bracket(sshfs, mnt):
    refused(sshfs("[::1:/x", mnt), r"missing '\]' in hostname")


@pytest.mark.parametrize("source", ["-oProxyCommand=touch x:/", "[-oProxyCommand=touch x]:/"])
def test_a_host_that_would_be_an_option(sshfs, mnt, source):
    """CVE-2026-48711: it would be executed."""
    result = sshfs("--", source, mnt)
    assert result.code == 1
    assert not (mnt.parent / "x").exists()


@pytest.mark.ours
@pytest.mark.parametrize("source", ["-oProxyCommand=touch x:/", "[-oProxyCommand=touch x]:/"])
def test_a_host_that_would_be_an_option_is_named(sshfs, mnt, source):
    refused(sshfs("--", source, mnt), "invalid hostname")


def test_an_unknown_option(sshfs, mnt):
    refused(sshfs(f"{HOST}:", mnt, "-o", "surely_not_known"), "unknown option.*surely_not_known")


@pytest.mark.parametrize("flag", ["-y", "--surely-not"])
def test_an_unknown_flag(sshfs, mnt, flag):
    refused(sshfs(f"{HOST}:", mnt, flag), f"unknown option.*{flag}")


@pytest.mark.parametrize("option, message", [
    ("max_read=abc", "max_read=abc"),
    ("dir_cache=maybe", "dir_cache=maybe"),
    ("max_conns=0", "value of max_conns option must be at least 1"),
    ("workaround=magic", "unknown workaround: 'magic'"),
    pytest.param("vsock=2", "invalid vsock, expecting CID:PORT", marks=pytest.mark.ours),
    ("idmap=file", "need a uidfile or gidfile with idmap=file"),
    ("max_conns=2,password_stdin",
     "password_stdin option cannot be specified with parallel connections"),
    ("max_conns=2,workaround=buflimit",
     "buflimit workaround is not supported with parallel connections"),
    ("max_conns=2,passive", "(passive|slave) option cannot be specified with parallel connections"),
    ("password_stdin,passive",
     "the password_stdin and (passive|slave) options cannot both be specified"),
])
def test_a_wrong_value_or_pair(sshfs, mnt, option, message):
    refused(sshfs(f"{HOST}:", mnt, "-o", option), message)


@pytest.mark.ours
@pytest.mark.parametrize("option", [
    "max_read=-1", "max_write=12x", "dcache_timeout=soon", "max_conns=99999999999999999999",
    "uid=abc", "umask=9", "idmap=magic", "nomap=magic", "directport=", "vsock=1:x", "ssh_protocol=x",
    "contain_symlinks=x", "entry_timeout=x", "workaround="])
def test_a_malformed_value_is_named(sshfs, mnt, option):
    """Never a crash, never silently something else: the option is in the message."""
    result = sshfs(f"{HOST}:", mnt, "-o", f"ssh_command=false,{option}")
    assert result.code == 1, result
    if option != "workaround=":
        assert option.split("=")[0] in result.err, result


@pytest.mark.ours
@pytest.mark.parametrize("flag", ["-p", "-F", "-o"])
def test_a_flag_without_its_value(sshfs, mnt, flag):
    refused(sshfs(f"{HOST}:", mnt, flag), f"missing argument after.*{flag}")


# ---- the remote folder ---------------------------------------------------------------------------

@pytest.mark.parametrize("name, message", [
    ("missing", "No such file or directory"),
    ("file", "Not a directory"),
    ("link", "Not a directory"),
])
def test_a_wrong_remote_folder(sshfs, sshd, server_dir, mnt, name, message):
    (server_dir / "file").write_text("")
    (server_dir / "link").symlink_to(".")
    source = sshd.source(server_dir / name)
    refused(sshfs(source, mnt, *sshd.options), re.escape(f"{source}: {message}"))
    assert mountinfo.find(mnt) is None


@pytest.mark.needs("root")
def test_a_forbidden_remote_folder(sshfs, tmp_path, server_dir, mnt):
    ssh = tmp_path / "ssh-as-nobody"
    ssh.write_text("#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups "
                   f"{sshd_module.sftp_server()}\n")
    ssh.chmod(0o755)
    (server_dir / "closed" / "inner").mkdir(parents=True)
    (server_dir / "closed").chmod(0o700)
    refused(sshfs(f"host:{server_dir}/closed/inner", mnt, "-o", f"ssh_command={ssh}"),
            f"host:{server_dir}/closed/inner: Permission denied")


def test_a_symlink_with_a_slash_is_a_folder(mount, server_dir):
    (server_dir / "folder").mkdir()
    (server_dir / "folder" / "file").write_text("")
    (server_dir / "link").symlink_to("folder")
    m = mount(source=f"{HOST}:{server_dir}/link/")
    assert os.listdir(m.path) == ["file"]


@pytest.mark.parametrize("name, shown", [("", "a"), ("sub", "b"), ("sub/", "b"), (".", "a")])
def test_a_relative_folder_starts_at_the_home(mount, tmp_path, server_dir, name, shown):
    (server_dir / "sub").mkdir()
    (server_dir / "sub" / "b").write_text("")
    (server_dir / "a").write_text("")
    ssh = sshd_module.write_fake_ssh(tmp_path, "ssh-with-home", f"-d {server_dir}")
    m = mount("-o", f"ssh_command={ssh}", source=f"host:{name}", over=None)
    assert shown in os.listdir(m.path)


@pytest.mark.ours
def test_a_tilde_is_the_home(mount):
    home = os.path.expanduser("~")
    m = mount(source=f"{HOST}:~")
    assert set(os.listdir(m.path)) == set(os.listdir(home))


@pytest.mark.ours
def test_a_user_with_tilde_is_the_users_home(mount, sshd):
    m = mount(source=f"{HOST}:~{sshd.user}")
    home = os.path.expanduser("~")
    assert set(os.listdir(m.path)) == set(os.listdir(home))


# ---- the mountpoint ------------------------------------------------------------------------------

def test_a_mountpoint_may_hold_files(mount, server_dir, tmp_path):
    point = tmp_path / "full"
    point.mkdir()
    (point / "local").write_text("")
    (server_dir / "remote").write_text("")
    m = mount(mountpoint=point)
    assert os.listdir(point) == ["remote"]
    m.unmount()
    assert os.listdir(point) == ["local"]
    assert m.log() == ""


def test_a_relative_mountpoint_reached_by_a_symlink(mount, server_dir, tmp_path):
    (server_dir / "remote").write_text("")
    m = mount.prepare()
    real = m.folder / "real"
    real.mkdir()
    m.path.rmdir()
    m.path.symlink_to("real")
    m.path = real
    command = m.command()
    command[2] = "mnt"  # relative to the folder it is started in
    m.command = lambda: command
    m.start()
    assert os.listdir(real) == ["remote"]


@pytest.mark.needs("root")
def test_an_open_fuse_descriptor_as_mountpoint(server_dir, tmp_path, fake_ssh, until):
    """/dev/fd/N: what mount.fuse's drop_privileges and containers hand over."""
    (server_dir / "remote").write_text("")
    point = tmp_path / "mnt"
    point.mkdir()
    fd = mountinfo.mount_fuse(point)
    mark = processes.new_mark()
    try:
        with open(tmp_path / "log", "wb") as log:
            process = subprocess.Popen(
                [mount_module.binary(), f"host:{server_dir}", f"/dev/fd/{fd}", "-f", "-o",
                 f"ssh_command={fake_ssh}"], pass_fds=[fd], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=mount_module.environment(tmp_path, mark), start_new_session=True)
        os.close(fd)
        assert os.listdir(point) == ["remote"]
        mountinfo.detach(point)
        assert process.wait(20 * processes.SLOWNESS) == 0, (tmp_path / "log").read_text()
    finally:
        processes.kill_marked(mark)
        for _ in mountinfo.below(point):
            mountinfo.detach(point)


# ---- what is seen of it --------------------------------------------------------------------------

def test_the_table_of_mounts(mount, sshd, server_dir):
    m = mount()
    entry = m.entry()
    assert entry.source == sshd.source(server_dir)
    assert entry.kind == "fuse.sshfs"
    assert {"rw", "nosuid", "nodev"} <= set(entry.options)


def test_a_source_with_comma_and_backslash(mount, tmp_path):
    folder = tmp_path / "a,b\\c"
    folder.mkdir()
    m = mount(source=f"{HOST}:{folder}")
    assert m.entry().source == f"{HOST}:{folder}"


def test_fsname_and_subtype(mount):
    m = mount("-o", r"fsname=a\,b,subtype=other", over="fake")
    assert (m.entry().source, m.entry().kind) == ("a,b", "fuse.other")


def test_options_before_between_and_after(mount, note, server_dir):
    m = mount.prepare(over=None)
    m.command = lambda: [mount_module.binary(), "-f", "-p", "1", f"host:{server_dir}",
                         "-oro,Ciphers=a\\,b", str(m.path), "-o", f"ssh_command={note.path}", "-C"]
    m.start()
    assert "ro" in m.entry().options
    assert [word for word in note.argv() if word.startswith("-o")] == [
        "-oClearAllForwardings=yes", "-oPort=1", "-oCiphers=a,b", "-oCompression=yes"]


# ---- ssh's command line --------------------------------------------------------------------------

def argv_of(mount, note, *options, source="user@host:", over=None):
    mount("-o", f"ssh_command={note.path}", *options, source=source, over=over)
    return note.argv()


def test_ssh_is_called_like_this(mount, note):
    argv = argv_of(mount, note)
    assert argv[:3] == ["-x", "-a", "-oClearAllForwardings=yes"]
    assert {"-2", "-s"} <= set(argv)
    assert argv[-1] == "sftp" and "user@host" in argv


@pytest.mark.ours
def test_ssh_is_called_exactly_like_this(mount, note):
    assert argv_of(mount, note, "-p", "22", "-C", "-F", "/dev/null", "-o", "ServerAliveInterval=5") == [
        "-x", "-a", "-oClearAllForwardings=yes", "-oPort=22", "-oCompression=yes", "-F/dev/null",
        "-oServerAliveInterval=5", "-2", "-s", "--", "user@host", "sftp"]


@pytest.mark.ours
def test_a_host_cannot_be_an_option_of_ssh(mount, note):
    argv = argv_of(mount, note)
    assert argv[argv.index("--") + 1] == "user@host"


@pytest.mark.parametrize("source, host", [
    ("user@host:/", "user@host"), ("host:/", "host"), ("user@[::1]:/", "user@::1"),
    ("[fe80::1%lo]:/", "fe80::1%lo")])
def test_the_host(mount, note, source, host):
    assert host in argv_of(mount, note, source=source)


@pytest.mark.parametrize("flags, wanted", [
    (["-p", "2222"], "-oPort=2222"), (["-p2222"], "-oPort=2222"), (["-o", "port=2222"], "-oport=2222"),
    (["-C"], "-oCompression=yes"), (["-F", "/x y"], "-F/x y"), (["-F/x"], "-F/x"), (["-1"], "-1"),
    (["-o", "ssh_protocol=1"], "-1")])
def test_flags_for_ssh(mount, note, flags, wanted):
    assert wanted in argv_of(mount, note, "-o", "sftp_server=sftp", *flags)


SSH_OPTIONS = """AddressFamily BatchMode BindAddress BindInterface CertificateFile
    ChallengeResponseAuthentication CheckHostIP Cipher Ciphers Compression CompressionLevel
    ConnectionAttempts ConnectTimeout ControlMaster ControlPath ControlPersist FingerprintHash
    GlobalKnownHostsFile GSSAPIAuthentication GSSAPIDelegateCredentials HostbasedAuthentication
    HostbasedKeyTypes HostKeyAlgorithms HostKeyAlias HostName IdentitiesOnly IdentityFile IdentityAgent
    IPQoS KbdInteractiveAuthentication KbdInteractiveDevices KexAlgorithms LocalCommand LogLevel MACs
    NoHostAuthenticationForLocalhost NumberOfPasswordPrompts PasswordAuthentication
    PermitLocalCommand PKCS11Provider Port PreferredAuthentications ProxyCommand ProxyJump
    ProxyUseFdpass PubkeyAcceptedKeyTypes PubkeyAuthentication RekeyLimit RevokedHostKeys
    RhostsRSAAuthentication RSAAuthentication ServerAliveCountMax ServerAliveInterval SmartcardDevice
    StrictHostKeyChecking TCPKeepAlive UpdateHostKeys UsePrivilegedPort UserKnownHostsFile
    VerifyHostKeyDNS VisualHostKey""".split()

# Upstream refuses these; its users ask for them (#53: "let ssh complain").
MORE_SSH_OPTIONS = """PubkeyAcceptedAlgorithms CASignatureAlgorithms HostbasedAcceptedAlgorithms
    RequiredRSASize AddKeysToAgent ForwardAgent User SendEnv SetEnv Include Tag RequestTTY
    CanonicalizeHostname StreamLocalBindMask StreamLocalBindUnlink ObscureKeystrokeTiming
    SecurityKeyProvider""".split()


def given(argv):
    return [word for word in argv if word.startswith("-o")][1:]


# In 3.7.3 not all of them are known yet.
@pytest.mark.ours
def test_every_option_of_ssh(mount, note):
    wanted = [f"{name}=v{number}" for number, name in enumerate(SSH_OPTIONS)]
    assert given(argv_of(mount, note, "-o", ",".join(wanted))) == [f"-o{one}" for one in wanted]


@pytest.mark.ours
def test_the_options_upstream_refuses(mount, note):
    wanted = [f"{name}=v{number}" for number, name in enumerate(MORE_SSH_OPTIONS)]
    assert given(argv_of(mount, note, "-o", ",".join(wanted))) == [f"-o{one}" for one in wanted]


def test_options_of_ssh_in_any_case(mount, note):
    assert given(argv_of(mount, note, "-o", "ciphers=x,SERVERALIVEINTERVAL=5")) == [
        "-ociphers=x", "-oSERVERALIVEINTERVAL=5"]


@pytest.mark.ours
def test_an_option_that_neither_knows(sshfs, sshd, mnt):
    """It goes to ssh, and what ssh says of it is shown."""
    result = sshfs(sshd.source(), mnt, *sshd.options, "-o", "SurelyNotKnown=1")
    refused(result, "(?i)SurelyNotKnown")


def test_ssh_command_in_words(mount, tmp_path, server_dir):
    """Split at spaces; what follows the first word comes before all other arguments."""
    note = words.Note(tmp_path / "note")
    mount("-o", f"ssh_command={note.path} -v one two", source=f"host:{server_dir}", over=None)
    assert note.argv()[:4] == ["-v", "one", "two", "-x"]


@pytest.mark.ours
def test_ssh_command_with_a_space_in_a_word(mount, tmp_path, server_dir):
    note = words.Note(tmp_path / "note")
    mount("-o", f"ssh_command={note.path} a\\ b", source=f"host:{server_dir}", over=None)
    assert note.argv()[:2] == ["a\\ b", "-x"] or note.argv()[:2] == ["a b", "-x"]


def test_ssh_is_found_through_the_path(mount, tmp_path, server_dir):
    note = words.Note(tmp_path / "bin", "ssh")
    mount(source=f"host:{server_dir}", over=None,
          env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    assert note.argv()[-1] == "sftp"


@pytest.mark.parametrize("server, subsystem", [("sftp", True), ("other", True),
                                               ("/usr/bin/sudo /x/sftp-server", False)])
def test_sftp_server(mount, note, server, subsystem):
    argv = argv_of(mount, note, "-o", f"sftp_server={server}")
    assert ("-s" in argv) == subsystem
    assert server in argv


def test_a_server_run_as_command(mount, server_dir):
    (server_dir / "file").write_text("")
    m = mount("-o", f"sftp_server={sshd_module.sftp_server()} -R")
    assert os.listdir(m.path) == ["file"]
    with pytest.raises(OSError):
        (m.path / "new").write_text("")


# ---- how ssh is started --------------------------------------------------------------------------

@pytest.mark.ours
def test_ssh_starts_before_anything_is_mounted(mount, note, server_dir):
    """A configuration or a PATH below the mountpoint would deadlock otherwise (#94, #216)."""
    m = mount("-o", f"ssh_command={note.path}", source=f"host:{server_dir}", over=None)
    assert str(m.path) not in note.calls()[0]["mounts"]


@pytest.mark.ours
def test_ssh_inherits_nothing_but_the_standard_descriptors(mount, note, server_dir):
    mount("-o", f"ssh_command={note.path}", source=f"host:{server_dir}", over=None)
    fds = note.calls()[0]["fds"]
    more = {name: where for name, where in fds.items()
            if int(name) > 2 and "/proc/" not in where and str(note.path) not in where}
    assert more == {}


@pytest.mark.ours
def test_ssh_is_out_of_reach_of_a_terminals_control_c(mount, note, server_dir):
    m = mount("-o", f"ssh_command={note.path}", source=f"host:{server_dir}", over=None)
    assert note.calls()[0]["group"] != os.getpgid(m.pid)


# ---- running -------------------------------------------------------------------------------------

def test_sigpipe_is_ignored(mount, server_dir):
    m = mount(over="fake")
    os.kill(m.pid, 13)
    (m.path / "file").write_text("x")
    assert (server_dir / "file").read_text() == "x"


def test_single_threaded(mount, server_dir):
    m = mount("-s", over="fake")
    (m.path / "file").write_text("x")
    assert (server_dir / "file").read_text() == "x"
    assert stat.S_ISREG(os.stat(m.path / "file").st_mode)


@pytest.mark.parametrize("flags", [["-d"], ["-o", "debug"], ["-o", "sshfs_debug"]])
def test_debug_stays_in_the_foreground_and_traces(mount, server_dir, flags):
    m = mount.prepare(*flags, over="fake")
    words_without_f = [word for word in m.command() if word != "-f"]
    m.command = lambda: words_without_f
    m.start()
    (m.path / "file").write_text("x")
    (m.path / "file").unlink()
    m.unmount()
    assert re.search("OPEN", m.log()) and len(m.log().splitlines()) > 10


@pytest.mark.ours
def test_debug_in_full(mount):
    """--debug is -d; upstream takes it for libfuse's and goes to the background."""
    m = mount.prepare("--debug", over="fake")
    words_without_f = [word for word in m.command() if word != "-f"]
    m.command = lambda: words_without_f
    m.start()
    m.unmount()
    assert m.log() != ""


@pytest.mark.ours
@pytest.mark.parametrize("flags", [["-v"], ["--verbose"], ["-o", "verbose"], ["-o", "sshfs_verbose"]])
def test_verbose(mount, flags):
    mount(*flags, over="fake")


def test_read_only_by_flag(mount):
    m = mount("-r", over="fake")
    assert "ro" in m.entry().options


def test_the_background_holds_no_terminal(mount):
    m = mount(over="fake", foreground=False)
    for fd in (0, 1, 2):
        assert os.readlink(f"/proc/{m.pid}/fd/{fd}") == "/dev/null"
    assert os.readlink(f"/proc/{m.pid}/cwd") == "/"
    assert os.getsid(m.pid) not in (os.getsid(0), m.process.pid)
