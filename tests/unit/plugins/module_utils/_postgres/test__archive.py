# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of files with the real tar, zstd and gzip: whole and as they were, or refused."""

from __future__ import annotations

import errno
import functools
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _archive, _decode
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._archive import Found, Place
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import ProgramError, Runner
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage import _local
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

METHODS = ["none", "zstd:3", "gzip:6", "gzip"]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path / "app"
    made.mkdir()
    return made


def place(top: Path, *include: str, **more: t.Any) -> Place:
    (made,) = _archive.places([{"name": "app", "path": str(top), "include": list(include), **more}])
    return made


def archive(found: Found, target: Path, compress: str = "none", runner: Runner | None = None) -> tuple[int, bool]:
    with target.open("wb") as file, _archive.archiving(found, compress, runner or Runner(), file) as at_work:
        return at_work.finish(20)


def names(path: Path) -> list[str]:
    """Members as tar lists them, escaped."""
    argv = ["tar", "--list", "--quoting-style=escape", "--file", str(path)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()


def unpack(path: Path, into: Path) -> None:
    into.mkdir()
    argv = [
        "tar",
        "--extract",
        "--file",
        str(path),
        "--directory",
        str(into),
        "--xattrs",
        "--acls",
        "--same-permissions",
    ]
    subprocess.run(argv, check=True, capture_output=True)


ODD = [
    "plain",
    "with space",
    "new\nline",
    "quote\"'`$(x)",
    "-leading-dash",
    "--checkpoint-action=exec=false",
    "back\\slash",
    "ünïcödé-☃",
    "tab\tand\x01control",
    "n" * 255,
    os.fsdecode(b"not-utf8-\xff\xfe"),
]


@pytest.mark.parametrize("compress", METHODS)
def test_odd_names_are_archived_and_counted(top: Path, tmp_path: Path, compress: str, nothing_left: None) -> None:
    for name in ODD:
        (top / name).write_text(repr(name), encoding="utf-8")
    target = tmp_path / _archive.file_name(place(top), compress.partition(":")[0]).replace("/", "-")
    members, changed = archive(_archive.find(place(top)), target, compress)
    assert (members, changed) == (len(ODD) + 1, False)
    held, size, sha256 = _archive.count(str(target), Runner())
    assert (held, (size, sha256)) == (members, _decode.digest(str(target)))
    unpack(target, tmp_path / "out")
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {name: repr(name) for name in ODD}


def test_members_with_odd_names_are_no_options(top: Path, tmp_path: Path, nothing_left: None) -> None:
    odd = ["-x", "--to-command=false", "@list", "a*b", "new\nline"]
    for name in [*odd, "aXb"]:
        (top / name).write_text("x", encoding="utf-8")
    found = _archive.find(place(top, *odd))
    assert found.members == tuple(odd)
    assert archive(found, tmp_path / "a.tar")[0] == len(odd)
    assert "./aXb" not in names(tmp_path / "a.tar")


def test_what_is_archived_comes_back_as_it_was(top: Path, tmp_path: Path, nothing_left: None) -> None:
    (top / "empty").mkdir(0o750)
    (top / "file").write_bytes(os.urandom(100_000))
    (top / "file").chmod(0o4711)
    (top / "link").symlink_to("/nowhere/at all")
    os.link(top / "file", top / "hard")
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        here = os.getcwd()
        os.chdir(top)
        try:
            unix.bind("socket")
        finally:
            os.chdir(here)
    if os.geteuid() == 0:
        os.chown(top / "empty", 12345, 23456)
    os.utime(top / "file", (1, 1_000_000_000))
    try:
        os.setxattr(top / "file", "user.note", b"\x00odd\n")
        noted = True
    except OSError as exc:
        assert exc.errno == errno.ENOTSUP
        noted = False
    members, changed = archive(_archive.find(place(top)), tmp_path / "a.tar.zst", "zstd:1")
    # A socket is nothing that could be kept.
    assert (members, changed) == (6, False)
    assert _archive.count(str(tmp_path / "a.tar.zst"), Runner())[0] == 6
    out = tmp_path / "out"
    unpack(tmp_path / "a.tar.zst", out)
    assert (out / "file").read_bytes() == (top / "file").read_bytes()
    assert (out / "file").stat().st_ino == (out / "hard").stat().st_ino
    assert (out / "file").stat().st_mtime == 1_000_000_000
    assert os.readlink(out / "link") == "/nowhere/at all"
    assert stat.S_ISFIFO((out / "fifo").lstat().st_mode)
    for name in ("empty", "file"):
        made, kept = (out / name).stat(), (top / name).stat()
        assert (made.st_mode, made.st_uid, made.st_gid) == (kept.st_mode, kept.st_uid, kept.st_gid)
    if noted:
        assert os.getxattr(out / "file", "user.note") == b"\x00odd\n"


def test_holes_take_no_room(top: Path, tmp_path: Path) -> None:
    with (top / "sparse").open("wb") as file:
        file.truncate(300_000_000)
        file.seek(200_000_000)
        file.write(b"island")
    found = _archive.find(place(top))
    assert found.bytes < 1_000_000
    assert archive(found, tmp_path / "a.tar")[0] == 2
    assert (tmp_path / "a.tar").stat().st_size < 1_000_000
    assert _archive.count(str(tmp_path / "a.tar"), Runner())[0] == 2
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert (tmp_path / "out" / "sparse").stat().st_size == 300_000_000
    with (tmp_path / "out" / "sparse").open("rb") as file:
        file.seek(200_000_000)
        assert file.read(7) == b"island\0"


def slow_tar(directory: Path, before: str) -> Runner:
    """A runner whose tar does something before it writes an archive."""
    (directory / "bin").mkdir(exist_ok=True)
    script = directory / "bin" / "tar"
    script.write_text(f'#!/bin/sh\ncase "$1" in --create) {before};; esac\nexec /usr/bin/tar "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return Runner(path=[str(directory / "bin")])


def test_a_file_that_grows_or_vanishes_meanwhile_is_no_failure(top: Path, tmp_path: Path, nothing_left: None) -> None:
    """As logs do: tar says so by its exit status 1, and the members that are there are those that are counted."""
    (top / "log").mkdir()
    for number in range(5):
        (top / "log" / f"{number}").write_text("x", encoding="utf-8")
    # Read the moment that tar has begun: its standard output is a pipe that nobody reads yet.
    found = _archive.find(place(top))
    (top / "a-big").write_bytes(bytes(2_000_000))
    with _archive.archiving(found, "none", Runner(), subprocess.PIPE) as at_work:
        first = at_work.output.read(1000)
        with (top / "a-big").open("ab") as file:
            file.write(b"more")
        for number in range(3):
            (top / "log" / f"{number}").unlink()
        whole = first + at_work.output.read()
        members, changed = at_work.finish(20)
    (tmp_path / "a.tar").write_bytes(whole)
    assert changed
    assert members == len(names(tmp_path / "a.tar")) == _archive.count(str(tmp_path / "a.tar"), Runner())[0]
    assert 3 < members < 9


def test_a_member_that_vanishes_before_it_is_read_is_a_failure(top: Path, tmp_path: Path, nothing_left: None) -> None:
    (top / "uploads").mkdir()
    (top / "compose.yml").touch()
    found = _archive.find(place(top, "uploads", "compose.yml"))
    (top / "compose.yml").unlink()
    with pytest.raises(
        MaintenanceError, match=r"^Archiving app failed: tar: \./compose\.yml: Cannot stat: No such file"
    ):
        archive(found, tmp_path / "a.tar.zst", "zstd")


def test_what_cannot_be_read_is_a_failure_and_named(top: Path, tmp_path: Path, nothing_left: None) -> None:
    # Root may read everything: a script says what tar says to others.
    script = (
        'echo "tar: ./private: Cannot open: Permission denied" >&2; echo "tar: ./log: file changed as we read it" >&2;'
    )
    script += ' echo "tar: Exiting with failure status due to previous errors" >&2; exit 2'
    with pytest.raises(MaintenanceError, match=r"failed: tar: \./private: Cannot open: Permission denied\.$"):
        archive(_archive.find(place(top)), tmp_path / "a.tar", "none", slow_tar(tmp_path, script))


@pytest.mark.parametrize("compress", ["none", "zstd:3", "gzip"])
@pytest.mark.parametrize("size", [10, 3_000_000], ids=["small", "large"])
def test_a_full_disk_is_the_cause_that_is_given(top: Path, compress: str, size: int, nothing_left: None) -> None:
    (top / "data").write_bytes(os.urandom(size))
    with pytest.raises(MaintenanceError, match=r"^Archiving app failed: .*No space left on device"):
        archive(_archive.find(place(top)), Path("/dev/full"), compress)


@pytest.mark.parametrize(("victim", "sentence"), [(0, "tar was killed by signal 9"), (1, "the compressor was killed")])
def test_a_part_that_is_killed_is_named(
    top: Path, tmp_path: Path, victim: int, sentence: str, nothing_left: None
) -> None:
    (top / "data").write_bytes(os.urandom(5_000_000))
    with _archive.archiving(_archive.find(place(top)), "zstd:1", Runner(), subprocess.PIPE) as at_work:
        # Both are at work: nobody has read on.
        at_work.output.read(1000)
        os.kill(at_work._started[victim].pid, signal.SIGKILL)
        at_work.output.read()
        with pytest.raises(MaintenanceError, match=f"^Archiving app failed: {sentence}"):
            at_work.finish(20)


def test_a_tar_that_hangs_is_stopped(top: Path, tmp_path: Path, nothing_left: None) -> None:
    runner = slow_tar(tmp_path, "exec sleep 60")
    began = time.monotonic()
    with (
        pytest.raises(MaintenanceError, match="Archiving app did not end within its time limit and was stopped"),
        (tmp_path / "a").open("wb") as file,
        _archive.archiving(_archive.find(place(top)), "zstd", runner, file) as at_work,
    ):
        at_work.finish(0.2)
    assert time.monotonic() - began < 3


def test_leaving_it_ends_both(top: Path, nothing_left: None) -> None:
    (top / "data").write_bytes(os.urandom(5_000_000))
    found = _archive.find(place(top))
    with pytest.raises(KeyError), _archive.archiving(found, "zstd:1", Runner(), subprocess.PIPE) as at_work:
        at_work.output.read(1)
        raise KeyError


KILLED = """
import subprocess, sys, tempfile
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _archive
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Runner

tempfile.tempdir = sys.argv[2]
(place,) = _archive.places([{"name": "app", "path": sys.argv[1]}])
with _archive.archiving(_archive.find(place), "zstd:1", Runner(), subprocess.PIPE) as at_work:
    at_work.output.read(1000)
    print(*(process.pid for process in at_work._started), flush=True)
    sys.stdin.read()
"""


def test_a_run_that_is_killed_leaves_neither_programs_nor_files(top: Path, tmp_path: Path) -> None:
    (top / "data").write_bytes(os.urandom(5_000_000))
    (tmp_path / "tmp").mkdir()
    argv = [sys.executable, "-c", KILLED, str(top), str(tmp_path / "tmp")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, env=environment, text=True) as run:
        assert run.stdout
        pids = run.stdout.readline().split()
        assert len(pids) == 2
        run.kill()
    assert list((tmp_path / "tmp").iterdir()) == []
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: str) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return Path("/proc", pid, "stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_no_compressor_leaves_no_tar(top: Path, monkeypatch: pytest.MonkeyPatch, nothing_left: None) -> None:
    (top / "data").write_bytes(os.urandom(5_000_000))
    find = Runner.find
    monkeypatch.setattr(Runner, "find", lambda self, name: None if name == "zstd" else find(self, name))
    with pytest.raises(ProgramError, match="The program zstd is not installed"):
        archive(_archive.find(place(top)), Path("/dev/null"), "zstd")
    with pytest.raises(ProgramError, match="zstd is not installed"):
        _archive.require_programs("zstd:3", Runner())
    _archive.require_programs("none", Runner())


def test_a_list_that_could_not_be_written_is_the_cause(top: Path, tmp_path: Path, nothing_left: None) -> None:
    """tar itself ends with 0 when the disk of its list is full."""
    runner = slow_tar(
        tmp_path, "for word; do case $word in --index-file=*) printf './\\n./a' >${word#*=};; esac; done; exit 0"
    )
    with pytest.raises(MaintenanceError, match=r"^The names in the archive app could not be written to /"):
        archive(_archive.find(place(top)), tmp_path / "a.tar", "none", runner)


# What is counted again.


@pytest.fixture
def packed(top: Path, tmp_path: Path) -> Path:
    for number in range(50):
        (top / f"{number}").write_bytes(os.urandom(2000))
    archive(_archive.find(place(top)), tmp_path / "app.tar.zst", "zstd:3")
    return tmp_path / "app.tar.zst"


def test_an_archive_that_is_cut_or_changed_cannot_be_decoded(packed: Path, nothing_left: None) -> None:
    whole = packed.read_bytes()
    assert _archive.count(str(packed), Runner())[0] == 51
    middle = len(whole) // 2
    for spoilt in (whole[:-1], whole[:middle], whole[:middle] + b"\0\0\0\0" + whole[middle + 4 :], b"", b"no archive"):
        packed.write_bytes(spoilt)
        with pytest.raises(_decode.DamagedError, match="cannot be decoded to its end"):
            _archive.count(str(packed), Runner())


def test_an_archive_without_its_last_members_is_shorter(packed: Path, tmp_path: Path, nothing_left: None) -> None:
    """Cut between two members, tar takes it for whole: only the number tells."""
    plain = subprocess.run(["zstd", "-dcq", str(packed)], check=True, capture_output=True).stdout
    (tmp_path / "cut.tar").write_bytes(plain[: 512 * 100])
    try:
        held = _archive.count(str(tmp_path / "cut.tar"), Runner())[0]
    except _decode.DamagedError:
        held = 0
    assert held < 51


def test_decoding_that_hangs_is_stopped(packed: Path, tmp_path: Path, nothing_left: None) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tar").write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    (tmp_path / "bin" / "tar").chmod(0o755)
    (tmp_path / "big.tar").write_bytes(bytes(1_000_000))
    runner = Runner(path=[str(tmp_path / "bin")])
    began = time.monotonic()
    for name in ("big.tar", "app.tar.zst"):
        with pytest.raises(MaintenanceError, match="Decoding an archive did not end within its time limit"):
            _archive.count(str(tmp_path / name), runner, 0.2)
    assert time.monotonic() - began < 5


def test_an_archive_that_is_not_there_starts_nothing(tmp_path: Path, nothing_left: None) -> None:
    with pytest.raises(FileNotFoundError):
        _archive.count(str(tmp_path / "none.tar.zst"), Runner())


# What is left out.

PATTERNS = [
    "*",
    "a",
    "b",
    "a/b",
    "*/a",
    "./a",
    "a/*",
    "?",
    "[ab]",
    "[!a]",
    "*.x",
    ".",
    "./*",
    "a/b/c",
    "*b*",
    "c/",
    ".",
]


@pytest.fixture(scope="module")
def tree() -> t.Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="boardroom-tree-") as made:
        for path in ("a/b/c", "a/b/d.x", "a/e", "b/a", "c", ".x", "ab/a.x", "A/b"):
            file = Path(made, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        yield Path(made)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    exclude=st.lists(st.sampled_from(PATTERNS), max_size=2),
    include=st.lists(st.sampled_from(["a", "a/b", "b", "c", "ab", "a/b/c"]), max_size=2, unique=True),
)
def test_what_is_found_is_what_tar_takes(tree: Path, exclude: list[str], include: list[str]) -> None:
    """Otherwise a secret that seems to be left out could leave the host."""
    wanted = place(tree, *include, exclude=exclude)
    files = {os.path.normpath(path) for member in _archive._wanted(wanted) for path in _archive._files(wanted, member)}
    found = Found(wanted, tuple(_archive._wanted(wanted)), (), 0, ())
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        archive(found, Path(file.name)) if files else None
        taken = (
            {os.path.normpath(name) for name in names(Path(file.name)) if not name.endswith("/")} if files else set()
        )
    assert taken == files


@pytest.mark.parametrize("exclude", [["*"], ["."], ["logs", "uploads"], ["logs/", "up*"]])
def test_an_exclude_that_leaves_nothing_is_refused(top: Path, exclude: list[str]) -> None:
    for name in ("logs", "uploads"):
        (top / name).mkdir()
    with pytest.raises(MaintenanceError, match=f"files app: exclude leaves nothing of {top}"):
        _archive.find(place(top, "logs", "uploads", exclude=exclude))


def test_secrets_are_known_by_their_names_wherever_they_lie(top: Path) -> None:
    secret = [".env", ".env.production", "tls/server.key", "tls/SERVER.PEM", "a/b/id_ed25519", ".pgpass"]
    plain = [".env.example", "id_rsa.pub", "keyboard", "server.key.sample", "environment", "a/pem"]
    for name in [*secret, *plain]:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    (top / os.fsdecode(b"\xff.pem")).touch()
    assert sorted(_archive.find(place(top)).secrets) == sorted([*secret, "\\udcff.pem"])


def test_a_secret_that_is_left_out_is_none(top: Path) -> None:
    (top / "config").mkdir()
    (top / "config" / ".env.production").touch()
    (top / "config" / "x.yml").touch()
    assert _archive.find(place(top)).secrets == ("config/.env.production",)
    for exclude in ([".env*"], ["config/.env.production"], ["*production"]):
        assert _archive.find(place(top, exclude=exclude)).secrets == ()
    assert _archive.find(place(top, "config/x.yml")).secrets == ()
    assert _archive.find(place(top, "config/.env.production")).secrets == ("config/.env.production",)


@pytest.mark.parametrize("pattern", ["", "/", "a\\b", ".en[^v]", "[[:alpha:]]", "[[]"])
def test_a_pattern_that_tar_reads_otherwise_is_refused(top: Path, pattern: str) -> None:
    with pytest.raises(MaintenanceError, match=r"files app: exclude has .* but a pattern is a name with"):
        place(top, exclude=[pattern])


# What is asked for.


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ({"name": "a/b"}, "files has the name 'a/b', but needs up to 100 letters"),
        ({"name": "a\n"}, "files has the name 'a.n'"),
        ({"name": ".a"}, "files has the name '.a'"),
        ({"name": "-a"}, "files has the name '-a'"),
        ({"name": "a" * 101}, "but needs up to 100"),
        ({"name": "a", "path": "srv"}, "files a: path is 'srv', but must be absolute"),
        ({"name": "a", "include": ["/etc"]}, "files a: include has '/etc', but must be relative to /srv and below it"),
        ({"name": "a", "include": ["x/../../y"]}, "include has 'x/../../y'"),
        ({"name": "a", "include": [""]}, "include has ''"),
    ],
)
def test_bad_input_is_one_sentence(item: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(MaintenanceError, match=sentence):
        _archive.places([{"path": "/srv/", **item}])


def test_a_name_may_be_given_once() -> None:
    with pytest.raises(MaintenanceError, match="files has the name 'a' twice"):
        _archive.places([{"name": "a", "path": "/a"}, {"name": "a", "path": "/b"}])


def test_what_is_missing_is_refused_unless_it_is_optional(top: Path) -> None:
    (top / "logs").mkdir()
    with pytest.raises(MaintenanceError, match=f"files app: there is no uploads in {top}") as caught:
        _archive.find(place(top, "logs", "uploads/"))
    assert "optional: true" in caught.value.remedy
    found = _archive.find(place(top, "logs", "uploads/", optional=True))
    assert (found.members, found.missing) == (("logs",), ("uploads",))
    with pytest.raises(MaintenanceError, match="there is no uploads") as caught:
        _archive.find(place(top, "uploads", optional=True))
    assert "take the place out" in caught.value.remedy
    with pytest.raises(MaintenanceError, match=f"there is no directory {top}/x"):
        _archive.find(place(top / "x"))


def test_a_disk_that_is_not_mounted_is_not_an_empty_directory(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("uploads", "logs"):
        (top / name).mkdir()
    fstab = tmp_path / "fstab"
    fstab.write_text(f"/dev/sdb1 {top}/uploads ext4 defaults 0 2\n", encoding="utf-8")
    monkeypatch.setattr(_archive, "unmounted", functools.partial(_local.unmounted, fstab=str(fstab)))
    with pytest.raises(
        MaintenanceError, match=f"nothing is mounted at {top}/uploads, where {top}/uploads lies"
    ) as caught:
        _archive.find(place(top, "logs", "uploads"))
    assert f"mount {top}/uploads" in caught.value.remedy
    assert _archive.find(place(top, "logs")).members == ("logs",)


def test_a_link_among_the_members_is_known(top: Path) -> None:
    (top / "data").mkdir()
    (top / "uploads").symlink_to("data")
    found = _archive.find(place(top, "uploads", "data"))
    assert found.links == ("uploads",)


@pytest.mark.parametrize(
    ("include", "exclude", "refused"),
    [
        ([], [], True),
        (["backups"], [], True),
        (["backups/sets/main"], [], True),
        (["logs"], [], False),
        (["backups/other"], [], False),
        ([], ["backups"], False),
        ([], ["sets"], False),
        ([], ["backups/sets/main"], False),
        ([], ["backups/sets/main/deeper"], True),
    ],
)
def test_sets_within_a_place_are_refused(top: Path, include: list[str], exclude: list[str], refused: bool) -> None:
    wanted = place(top, *include, exclude=exclude)
    _archive.require_outside(wanted, str(top.parent / "elsewhere"))
    if refused:
        with pytest.raises(MaintenanceError, match=f"the backup sets themselves lie in {top}, in backups/sets/main"):
            _archive.require_outside(wanted, str(top / "backups" / "sets" / "main"))
    else:
        _archive.require_outside(wanted, str(top / "backups" / "sets" / "main"))


def test_an_archive_holds_what_is_asked_for_or_not() -> None:
    wanted = Place("app", "/srv", ("logs", "uploads"), ("*.tmp",))
    held = {"name": "app", "path": "/srv", "include": ["uploads", "logs"], "exclude": ["*.tmp"], "missing": []}
    assert _archive.holds(held, wanted)
    changes: list[dict[str, t.Any]] = [
        {"name": "other"},
        {"path": "/srv2"},
        {"include": ["logs"]},
        {"include": ["logs", "uploads", "more"]},
        {"exclude": []},
        {"include": ["logs"], "missing": ["uploads"]},
    ]
    for change in changes:
        assert not _archive.holds({**held, **change}, wanted)
    optional = Place("app", "/srv", ("logs", "uploads"), ("*.tmp",), optional=True)
    assert _archive.holds({**held, "include": ["logs"], "missing": ["uploads"]}, optional)
    assert _archive.holds({**held, "include": ["."]}, Place("app", "/srv", (), ("*.tmp",)))
