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
import subprocess
import tempfile
import threading
import typing as t

from .._errors import MaintenanceError
from .._process import ProgramError, Runner, pipe_of
from . import _decode

# tar ends with 1 when a file changed or vanished while it was read, as logs do; 2 is worse.
TAR_CHANGED = 1
# Names of files that hold secrets as a rule.
SECRET_NAMES = (".env*", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa*", "id_ed25519*", "id_ecdsa*", ".pgpass", ".netrc")
# A common habit, and none of these is secret.
NO_SECRETS = ("*.example", "*.sample", "*.template", "*.dist", "*.pub")

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")


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
    """

    place: Place
    members: t.Tuple[str, ...]
    missing: t.Tuple[str, ...]
    bytes: int
    secrets: t.Tuple[str, ...]


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
            tuple(item.get("exclude") or ()),
            bool(item.get("optional")),
        )
        if not _NAME.match(place.name):
            raise MaintenanceError(f"files has the name {place.name!r}, but needs letters, digits, -, _ and dots.")
        if place.name in (other.name for other in made):
            raise MaintenanceError(f"files has the name {place.name!r} twice; each archive needs its own.")
        if not os.path.isabs(item["path"]):
            raise MaintenanceError(f"files {place.name}: path is {item['path']!r}, but must be absolute.")
        for member in place.include:
            if os.path.isabs(member) or not member or ".." in member.split("/"):
                raise MaintenanceError(
                    f"files {place.name}: include has {member!r}, but must be relative to {place.path} and below it."
                )
        made.append(place)
    return made


def find(place: Place) -> Found:
    """Look at what there is of a place.

    :raises MaintenanceError: something that is not optional is missing, or nothing is there at all.
    """
    if not os.path.isdir(place.path):
        raise MaintenanceError(
            f"files {place.name}: there is no directory {place.path}.",
            "Correct the path (in the inventory maintenance_app_files), or take it out.",
        )
    wanted = [os.path.normpath(member) for member in place.include] or ["."]
    members = tuple(m for m in wanted if os.path.lexists(os.path.join(place.path, m)))
    missing = tuple(m for m in wanted if m not in members)
    if not members or (missing and not place.optional):
        raise MaintenanceError(
            f"files {place.name}: there is no {', '.join(missing)} in {place.path}.",
            "Correct include (in the inventory maintenance_app_files), or set optional: true.",
        )
    size = 0
    secrets: t.List[str] = []
    for member in members:
        for path in _files(place, member):
            with contextlib.suppress(FileNotFoundError):
                size += os.lstat(os.path.join(place.path, path)).st_size
            name = os.path.basename(path)
            if _matches(name, SECRET_NAMES) and not _matches(name, NO_SECRETS):
                secrets.append(path)
    return Found(place, members, missing, size, tuple(secrets))


def _files(place: Place, member: str) -> t.Iterator[str]:
    """Files of a member that are not left out, relative to the place."""
    top = os.path.join(place.path, member)
    if not os.path.isdir(top) or os.path.islink(top):
        if not _left_out(member, place.exclude):
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
    """Whether tar leaves a path out: a pattern matches it from any of its directories on."""
    parts = os.path.normpath(path).split("/")
    return any(_matches("/".join(parts[start:]), patterns) for start in range(len(parts)))


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
    with tempfile.NamedTemporaryFile(prefix="boardroom-archive-") as index, tempfile.TemporaryFile() as said:
        at_work = Archiving(found, compress, runner, stdout, t.cast(t.BinaryIO, index), said)
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
        self._started: t.List[subprocess.Popen[bytes]] = []
        place = found.place
        argv = [
            *("tar", "--create", "--file=-", f"--directory={place.path}", "--numeric-owner", "--xattrs", "--acls"),
            *("--sort=name", "--quoting-style=escape", "--verbose", f"--index-file={self._index.name}"),
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
        statuses = []
        for process in self._started:
            try:
                statuses.append(process.wait(timeout=timeout))
            except subprocess.TimeoutExpired:
                raise MaintenanceError(
                    f"Archiving {name} did not end within the time limit and was stopped.", "Raise timeout."
                ) from None
        if statuses[0] not in (0, TAR_CHANGED) or any(statuses[1:]):
            raise MaintenanceError(f"Archiving {name} failed: {self._complaint(statuses)}.", "Nothing was replaced.")
        self._index.seek(0)
        return sum(1 for _line in self._index), statuses[0] == TAR_CHANGED

    def _complaint(self, statuses: t.Sequence[int]) -> str:
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().decode("utf-8", "replace").splitlines() if line.strip()]
        lines = [line for line in lines if "Exiting with failure status" not in line]
        programs = ["tar", "the compressor"]
        broken = [f"{p} was killed by signal {-s}" for p, s in zip(programs, statuses) if s < 0]
        return self._runner.redact((broken or lines or ["without a message"])[-1].rstrip("."))

    def stop(self) -> None:
        """End what still runs."""
        for process in self._started:
            self._runner.stop(process)

    def close(self) -> None:
        """End what still runs, and close its pipes."""
        self.stop()
        for process in self._started:
            if process.stdout:
                process.stdout.close()


class Counting:
    """Counts the members of an archive that is written to it; it decodes all of it.

    :param name: of the archive, whose suffix says how it is compressed
    """

    def __init__(self, name: str, runner: Runner) -> None:
        self._runner = runner
        self._started: t.List[subprocess.Popen[bytes]] = []
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

        :raises DamagedError: it cannot be decoded to its end.
        """
        with contextlib.suppress(BrokenPipeError):
            self._feed.close()
        self._counting.join(timeout)
        try:
            statuses = [process.wait(timeout=timeout) for process in self._started]
        except subprocess.TimeoutExpired:
            raise _decode.DamagedError("it was not decoded in time") from None
        if any(statuses):
            raise _decode.DamagedError("it cannot be decoded to its end")
        return self._members

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


def count(path: str, runner: Runner) -> t.Tuple[int, int, str]:
    """Members, bytes and SHA-256 of an archive on the disk, in one reading.

    :raises DamagedError: it cannot be decoded.
    """
    with Counting(path, runner) as counting, open(path, "rb") as file:
        hashed, size = _decode.feed(file, counting.write)
        return counting.members(60), size, hashed


def require_programs(compress: str, runner: Runner) -> None:
    """Refuse before anything is touched what no program here can do.

    :raises ProgramError: tar or the compressor is not installed.
    """
    for program in ("tar", compress.partition(":")[0]):
        if program != "none" and not runner.find(program):
            raise ProgramError(
                f"The program {program} is not installed.", remedy="Run playbooks/prepare.yml on this host."
            )
