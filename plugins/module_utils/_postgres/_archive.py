# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""The application's files in a set: one archive of tar for each place, owners and modes kept."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import typing as t

from .._errors import MaintenanceError
from .._process import ProgramError, Runner, late, pipe_of, time_limit
from .._storage._local import unmounted
from . import _decode

# tar ends with 1 when a file changed or vanished while it was read, as logs do; 2 is worse.
TAR_CHANGED = 1
# Names of files that hold secrets as a rule.
SECRET_NAMES = (
    *(".env*", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*"),
    *(".pgpass", ".my.cnf", ".netrc", ".htpasswd", ".git-credentials"),
)
# A common habit, and none of these is secret.
NO_SECRETS = ("*.example", "*.sample", "*.template", "*.dist", "*.pub")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
# Of patterns, what tar and Python read differently: whether a secret is left out must be beyond doubt.
_ODD = re.compile(r"\\|\[\^|\[\[")
# A program begins its complaint with its own path.
_PROGRAM = re.compile(r"^/\S*/(\w+):")
# What tar says of a file that somebody writes to; no reason for a failure.
_CHANGED = ("file changed as we read it", "File removed before we read it", "padding with zeros")


@dataclasses.dataclass(frozen=True)
class Place:
    """Files of the application that belong into the set.

    :param name: of the archive
    :param path: absolute directory
    :param include: what of it, relative; empty means all
    :param exclude: patterns of names that are left out, at any depth
    :param optional: what is missing of C(include) is left out, not refused
    """

    name: str
    path: str
    include: t.Tuple[str, ...] = ()
    exclude: t.Tuple[str, ...] = ()
    optional: bool = False


@dataclasses.dataclass(frozen=True)
class Found:
    """What there is of a place.

    :param members: what is archived, relative to the place
    :param missing: what is not there
    :param bytes: size of all files
    :param secrets: files whose names say that they hold secrets
    :param links: members that are symbolic links: not what they lead to is archived
    """

    place: Place
    members: t.Tuple[str, ...]
    missing: t.Tuple[str, ...]
    bytes: int
    secrets: t.Tuple[str, ...]
    links: t.Tuple[str, ...] = ()


def places(wanted: t.Sequence[t.Mapping[str, t.Any]]) -> t.List[Place]:
    """The places that the option C(files) names.

    :raises MaintenanceError: a name or a path is not usable, or a name is there twice.
    """
    made: t.List[Place] = []
    for item in wanted:
        place = Place(
            item["name"],
            os.path.normpath(item["path"]),
            tuple(item.get("include") or ()),
            # To tar a pattern with a slash at its end means nothing.
            tuple(pattern.rstrip("/") for pattern in item.get("exclude") or ()),
            bool(item.get("optional")),
        )
        if not _NAME.fullmatch(place.name):
            raise MaintenanceError(
                f"files has the name {place.name!r}, but needs up to 100 letters, digits, -, _ and dots."
            )
        if place.name in (other.name for other in made):
            raise MaintenanceError(f"files has the name {place.name!r} twice; each archive needs its own.")
        if not os.path.isabs(item["path"]):
            raise MaintenanceError(f"files {place.name}: path is {item['path']!r}, but must be absolute.")
        for member in place.include:
            if os.path.isabs(member) or not member or ".." in member.split("/"):
                raise MaintenanceError(
                    f"files {place.name}: include has {member!r}, but must be relative to {place.path} and below it."
                )
        for pattern in place.exclude:
            if not pattern or _ODD.search(pattern):
                raise MaintenanceError(
                    f"files {place.name}: exclude has {pattern!r}, but a pattern is a name with *, ?, [abc] or [!abc]."
                )
        made.append(place)
    return made


def holds(archive: t.Mapping[str, t.Any], place: Place) -> bool:
    """Whether an archive of an earlier set, as its manifest describes it, holds what is asked for now."""
    return (
        (archive["name"], archive["path"], archive["exclude"]) == (place.name, place.path, list(place.exclude))
        and {*archive["include"], *archive["missing"]} == set(_wanted(place))
        and (place.optional or not archive["missing"])
    )


def _wanted(place: Place) -> t.List[str]:
    return [os.path.normpath(member) for member in place.include] or ["."]


def find(place: Place) -> Found:
    """Look at what there is of a place.

    :raises MaintenanceError: something that is not optional is missing or not mounted, or nothing is there at all.
    """
    if not os.path.isdir(place.path):
        raise MaintenanceError(
            f"files {place.name}: there is no directory {place.path}.",
            "Correct the path (in the inventory maintenance_app_files), or take it out.",
        )
    wanted = _wanted(place)
    members = tuple(m for m in wanted if os.path.lexists(os.path.join(place.path, m)))
    missing = tuple(m for m in wanted if m not in members)
    if not members or (missing and not place.optional):
        instead = "take the place out" if place.optional else "set optional: true"
        raise MaintenanceError(
            f"files {place.name}: there is no {', '.join(missing)} in {place.path}.",
            f"Correct include (in the inventory maintenance_app_files), or {instead}.",
        )
    if all(_left_out(member, place.exclude) for member in members):
        raise MaintenanceError(
            f"files {place.name}: exclude leaves nothing of {place.path}.",
            "Correct exclude (in the inventory maintenance_app_files), or take the place out.",
        )
    for member in members:
        point = unmounted(os.path.join(place.path, member))
        if point:
            raise MaintenanceError(
                f"files {place.name}: nothing is mounted at {point}, where {os.path.join(place.path, member)} lies.",
                f"Mount it (mount {point}) and run this playbook again.",
            )
    size = 0
    secrets: t.List[str] = []
    for member in members:
        for path in _files(place, member):
            with contextlib.suppress(OSError):
                state = os.lstat(os.path.join(place.path, path))
                # Holes of a sparse file take no room.
                size += min(state.st_size, state.st_blocks * 512)
            name = os.path.basename(path).lower()
            if _matches(name, SECRET_NAMES) and not _matches(name, NO_SECRETS):
                # A name may be anything but text.
                secrets.append(path.encode("utf-8", "backslashreplace").decode("utf-8"))
    links = tuple(m for m in members if os.path.islink(os.path.join(place.path, m)))
    return Found(place, members, missing, size, tuple(secrets), links)


def require_outside(place: Place, root: str) -> None:
    """Refuse a place that holds the sets themselves: each would hold all those before it.

    :param root: directory of the sets
    :raises MaintenanceError: it lies in the place, and nothing excludes it.
    """
    top, root = os.path.realpath(place.path), os.path.realpath(root)
    inside = os.path.relpath(root, top)
    parts = inside.split("/")
    above = ["/".join(parts[:number]) for number in range(1, len(parts) + 1)]
    taken = {".", *above} & set(_wanted(place))
    if parts[0] != ".." and taken and not any(_left_out(path, place.exclude) for path in above):
        raise MaintenanceError(
            f"files {place.name}: the backup sets themselves lie in {place.path}, in {inside}.",
            f"Exclude {inside} (in the inventory maintenance_app_files), or move dest (maintenance_backup_dir).",
        )


def _files(place: Place, member: str) -> t.Iterator[str]:
    """Files of a member that are not left out, relative to the place."""
    top = os.path.join(place.path, member)
    if _left_out(member, place.exclude):
        return
    if not os.path.isdir(top) or os.path.islink(top):
        yield member
        return
    for folder, directories, names in os.walk(top):
        inside = os.path.relpath(folder, place.path)
        directories[:] = [d for d in directories if not _left_out(os.path.join(inside, d), place.exclude)]
        for name in names:
            path = os.path.normpath(os.path.join(inside, name))
            if not _left_out(path, place.exclude):
                yield path


def _left_out(path: str, patterns: t.Sequence[str]) -> bool:
    """Whether tar leaves a path out: a pattern matches it, or a directory above it, from any directory on."""
    if not patterns:
        return False
    # As tar is given it.
    parts = [".", *(part for part in os.path.normpath(path).split("/") if part != ".")]
    several = range(len(parts))
    return any(_matches("/".join(parts[start : end + 1]), patterns) for start in several for end in several[start:])


def _matches(name: str, patterns: t.Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def file_name(place: Place, method: str) -> str:
    """Where the archive lies in a set."""
    return os.path.join("files", f"{place.name}.tar{_decode.SUFFIX[method]}")


@contextlib.contextmanager
def archiving(found: Found, compress: str, runner: Runner, stdout: t.Any) -> t.Iterator[Archiving]:
    """Start tar and its compressor; what still runs is ended at the end.

    :param compress: C(zstd:3), C(gzip:6) or C(none)
    :param stdout: where the archive goes: an open file, or C(subprocess.PIPE)
    """
    # Files without names: nothing is left of them, however this process ends.
    with tempfile.TemporaryFile() as index, tempfile.TemporaryFile() as said:
        at_work = Archiving(found, compress, runner, stdout, index, said)
        try:
            yield at_work
        finally:
            at_work.close()


class Archiving:
    """tar and its compressor at work; see C(archiving).

    :param index: takes the names of the members
    :param said: takes what the programs complain of
    """

    def __init__(
        self, found: Found, compress: str, runner: Runner, stdout: t.Any, index: t.BinaryIO, said: t.BinaryIO
    ) -> None:
        self._found = found
        self._runner = runner
        self._index = index
        self._said = said
        self._failure: t.Optional[MaintenanceError] = None
        self._started: t.List[subprocess.Popen[bytes]] = []
        place = found.place
        argv = [
            *("tar", "--create", "--file=-", f"--directory={place.path}", "--numeric-owner", "--xattrs", "--acls"),
            *(
                "--sparse",
                "--sort=name",
                "--quoting-style=escape",
                "--verbose",
                f"--index-file={_path_of(self._index)}",
            ),
            *("--warning=no-file-ignored", "--wildcards", "--no-anchored"),
            *(f"--exclude={pattern}" for pattern in place.exclude),
            *(f"./{member}" if member != "." else "." for member in found.members),
        ]
        method, _colon, level = compress.partition(":")
        try:
            piped = method != "none"
            tar = self._start(argv, stdout=subprocess.PIPE if piped else stdout)
            if piped:
                packer = [method, "--stdout", "--quiet", *([f"-{level}"] if level else [])]
                self._start(packer, stdin=tar.stdout, stdout=stdout)
                pipe_of(tar.stdout).close()
        except BaseException:
            self.close()
            raise

    def _start(self, argv: t.Sequence[str], **pipes: t.Any) -> subprocess.Popen[bytes]:
        process = self._runner.start(argv, stderr=self._said, **pipes)
        self._started.append(process)
        return process

    @property
    def output(self) -> t.BinaryIO:
        """The archive, when C(stdout) was a pipe."""
        return pipe_of(self._started[-1].stdout)

    def finish(self, timeout: float) -> t.Tuple[int, bool]:
        """Wait for both; the number of members, and whether something changed while it was read.

        :param timeout: seconds
        :raises MaintenanceError: one of them failed or did not end in time.
        """
        name = self._found.place.name
        statuses = _statuses(self._started, timeout, f"Archiving {name}")
        if self._failure:
            raise self._failure
        if statuses[0] not in (0, TAR_CHANGED) or any(statuses[1:]):
            raise MaintenanceError(
                f"Archiving {name} failed: {self._complaint(statuses)}.",
                "Nothing was replaced. Mend that, then run this playbook again.",
            )
        return self._indexed(), statuses[0] == TAR_CHANGED

    def _indexed(self) -> int:
        self._index.seek(0)
        members = sum(1 for _line in self._index)
        # tar does not notice that its list could not be written.
        if members and self._last_byte() != b"\n":
            raise MaintenanceError(
                f"The names in the archive {self._found.place.name} could not be written to {tempfile.gettempdir()}.",
                "Free space there.",
            )
        return members

    def _last_byte(self) -> bytes:
        self._index.seek(-1, os.SEEK_END)
        return self._index.read()

    def _complaint(self, statuses: t.Sequence[int]) -> str:
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().decode("utf-8", "replace").splitlines() if line.strip()]
        # The first is the cause; what follows repeats it.
        lines = [_PROGRAM.sub(r"\1:", line) for line in lines if not line.endswith(_CHANGED)]
        # A compressor that gives up leaves tar nobody to write to: its own reason is the cause.
        echo = -signal.SIGPIPE if any(statuses[1:]) else 0
        programs = list(zip(("tar", "the compressor"), statuses))
        broken = [
            f"{name} was killed by signal {-status}" for name, status in programs if status < 0 and status != echo
        ]
        mute = [f"{name} ended with exit status {status}" for name, status in programs if status > 0]
        return self._runner.redact([*broken, *lines, *mute][0].rstrip("."))

    def stop(self, error: t.Optional[MaintenanceError] = None) -> None:
        """End what still runs.

        :param error: what C(finish) raises then
        """
        self._failure = self._failure or error
        for process in self._started:
            self._runner.stop(process)

    def close(self) -> None:
        """End what still runs, and close its pipes."""
        self.stop()
        for process in self._started:
            if process.stdout:
                process.stdout.close()


def _path_of(file: t.BinaryIO) -> str:
    """Where another program can open a file that has no name."""
    return f"/proc/{os.getpid()}/fd/{file.fileno()}"


class Counting:
    """Counts the members of an archive that is written to it; it decodes all of it.

    :param name: of the archive, whose suffix says how it is compressed
    """

    def __init__(self, name: str, runner: Runner) -> None:
        self._runner = runner
        self._started: t.List[subprocess.Popen[bytes]] = []
        self._failure: t.Optional[MaintenanceError] = None
        self._members = 0
        lister = ("tar", "--list", "--file=-", "--quoting-style=escape")
        decoder = _decode.decoder(name)
        try:
            if decoder:
                first = self._start(decoder, subprocess.PIPE)
                self._start(lister, pipe_of(first.stdout))
                pipe_of(first.stdout).close()
            else:
                self._start(lister, subprocess.PIPE)
        except BaseException:
            self.close()
            raise
        self._feed = pipe_of(self._started[0].stdin)
        self._counting = threading.Thread(target=self._count, daemon=True)
        self._counting.start()

    def _start(self, argv: t.Sequence[str], stdin: t.Any) -> subprocess.Popen[bytes]:
        process = self._runner.start(argv, stdin=stdin, stderr=subprocess.DEVNULL)
        self._started.append(process)
        return process

    def _count(self) -> None:
        with contextlib.suppress(ValueError):
            self._members = sum(1 for _line in pipe_of(self._started[-1].stdout))

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        # A decoder that gave up is found when its status is read.
        with contextlib.suppress(BrokenPipeError):
            self._feed.write(chunk)

    def members(self, timeout: float) -> int:
        """The number of members, after the last byte.

        :param timeout: seconds
        :raises DamagedError: it cannot be decoded to its end.
        :raises MaintenanceError: it was not decoded in time.
        """
        with time_limit(timeout, "Decoding an archive", self.stop):
            with contextlib.suppress(BrokenPipeError):
                self._feed.close()
            statuses = _statuses(self._started, timeout + 10, "Decoding an archive")
            self._counting.join(10)
        if self._failure:
            raise self._failure
        if any(statuses):
            raise _decode.DamagedError("it cannot be decoded to its end")
        return self._members

    def stop(self, error: MaintenanceError) -> None:
        """End what still runs; C(members) raises the error."""
        self._failure = self._failure or error
        for process in self._started:
            self._runner.stop(process)

    def close(self) -> None:
        """End what still runs."""
        for process in self._started:
            self._runner.stop(process)
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _statuses(started: t.Sequence[subprocess.Popen[bytes]], timeout: float, what: str) -> t.List[int]:
    deadline = time.monotonic() + timeout
    try:
        return [process.wait(timeout=max(0.0, deadline - time.monotonic())) for process in started]
    except subprocess.TimeoutExpired:
        raise late(what) from None


def count(path: str, runner: Runner, timeout: float = 86400.0) -> t.Tuple[int, int, str]:
    """Members, bytes and SHA-256 of an archive on the disk, in one reading.

    :param timeout: seconds
    :raises DamagedError: it cannot be decoded.
    :raises MaintenanceError: it was not decoded in time.
    """
    began = time.monotonic()
    with open(path, "rb") as file, Counting(path, runner) as counting:
        with time_limit(timeout, "Decoding an archive", counting.stop):
            hashed, size = _decode.feed(file, counting.write)
        return counting.members(timeout - (time.monotonic() - began)), size, hashed


def require_programs(compress: str, runner: Runner) -> None:
    """Refuse before anything is touched what no program here can do.

    :raises ProgramError: tar or the compressor is not installed.
    """
    for program in ("tar", compress.partition(":")[0]):
        if program != "none" and not runner.find(program):
            raise ProgramError(
                f"The program {program} is not installed.", remedy="Run playbooks/prepare.yml on this host."
            )
