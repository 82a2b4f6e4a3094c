# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Make one set: dump, decode, compare; in a local store, or straight into one off-site."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import socket
import subprocess
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .._errors import MaintenanceError
from .._process import ProgramError, Runner, time_limit
from .._storage._local import LocalStore, own
from .._time import format_utc, new_id
from . import _archive, _decode, _manifest
from ._client import Client
from ._dump import Decoding, Dumper, streamed_problems
from ._offsite import Offsite
from ._request import Request, codec_for


@dataclasses.dataclass(frozen=True)
class Subject:
    """What a set is made of.

    :param cluster: what the server says of itself
    :param databases: what it says of each
    :param found: the application's files
    """

    cluster: t.Mapping[str, t.Any]
    databases: t.Sequence[t.Mapping[str, t.Any]]
    found: t.Sequence[_archive.Found]


class Making:
    """One set in the making.

    :param deadline: on the monotonic clock
    :raises MaintenanceError: the programs that it takes are not there.
    """

    def __init__(
        self,
        client: Client,
        runner: Runner,
        now: t.Callable[[], datetime.datetime],
        request: Request,
        subject: Subject,
        deadline: float,
    ) -> None:
        self._client = client
        self._runner = runner
        self._now = now
        self._request = request
        self._subject = subject
        self._deadline = deadline
        self._began = now()
        self._files: t.List[t.Dict[str, t.Any]] = []
        self._archives: t.List[t.Dict[str, t.Any]] = []
        # Seconds that each stage took.
        self.seconds: t.Dict[str, float] = {}
        self.id = new_id(self._began)
        client_major, self._client_version = client.prepare(subject.cluster["server_version_num"])
        self._codec = codec_for(request.compress, client_major)
        self._dumper = Dumper(client, runner, now, request.jobs, self._codec, request.lock_wait, deadline)
        _require_decoder(self._codec, runner)

    @contextlib.contextmanager
    def _stage(self, name: str) -> t.Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - began, 2)

    def _left(self) -> float:
        return max(1.0, self._deadline - time.monotonic())

    def into(self, store: LocalStore) -> _manifest.Manifest:
        """Make the set in a local store; its manifest.

        :raises MaintenanceError: it cannot be made; nothing of it is left.
        """
        hidden = store.begin(self.id)
        try:
            dumps = os.path.join(hidden, "databases")
            os.mkdir(dumps, 0o711)
            os.chmod(dumps, 0o711)
            described = [self._database(database, hidden) for database in self._subject.databases]
            os.chmod(dumps, 0o700)
            if self._request.with_globals:
                self._files.append(self._globals_file(hidden))
            if self._subject.found:
                os.mkdir(os.path.join(hidden, "files"), 0o700)
            for found in self._subject.found:
                self._archive_place(found, hidden)
            manifest = _manifest.seal(self._content(described))
            store.commit(self.id, manifest)
        except BaseException as exc:
            with contextlib.suppress(OSError, MaintenanceError):
                self._client.sweep()
            with contextlib.suppress(OSError):
                store.discard(os.path.basename(hidden))
            if isinstance(exc, OSError):
                raise _unwritten(exc, f"below {store.root}") from exc
            raise
        return manifest

    def straight_to(self, offsite: Offsite) -> _manifest.Manifest:
        """Make the set off-site without staging it here; its manifest.

        :raises MaintenanceError: it cannot be made; nothing of it is left.
        """
        try:
            with offsite.uploading(self.id):
                try:
                    described = [self._stream(database, offsite) for database in self._subject.databases]
                except BaseException:
                    with contextlib.suppress(OSError, MaintenanceError):
                        self._client.sweep()
                    raise
                if self._request.with_globals:
                    self._files.append(self._stream_globals(offsite))
                for found in self._subject.found:
                    self._stream_archive(found, offsite)
                with self._stage("read_back"):
                    offsite.store.read_back(self.id, [each for file in self._files for each in file["objects"]])
                return offsite.commit(self.id, self._content(described))
        except OSError as exc:
            raise _unwritten(exc, f"into {offsite.store.root}") from exc

    def _content(self, described: t.Sequence[t.Mapping[str, t.Any]]) -> _manifest.Manifest:
        cluster = self._subject.cluster
        return {
            "schema": _manifest.SCHEMA,
            "id": self.id,
            "host": socket.gethostname(),
            "client": self._client.name,
            "system_identifier": cluster["system_identifier"],
            "server_version": cluster["server_version"],
            "client_version": self._client_version,
            "snapshot_time": min(d["snapshot_time"] for d in described),
            "started": format_utc(self._began),
            "finished": format_utc(self._now()),
            "databases": list(described),
            "archives": self._archives,
            "tags": list(self._request.tags),
            "roles": cluster["roles"] or [],
            "globals": {"included": self._request.with_globals, "passwords": bool(cluster["sees_passwords"])},
            "application_release": self._request.release,
            "files": sorted(self._files, key=lambda f: str(f["path"])),
            "bytes": sum(f["bytes"] for f in self._files),
            "verification": [{"level": "decode", "at": format_utc(self._now())}],
        }

    def _database(self, database: t.Mapping[str, t.Any], hidden: str) -> t.Dict[str, t.Any]:
        """Dump one database into the set, decode what was written, and compare; its part of the manifest."""
        name = database["name"]
        inside = os.path.join("databases", _manifest.directory_name(name))
        directory = os.path.join(hidden, inside)
        os.mkdir(directory, 0o700)
        self._client.writable_by(directory)
        streamed = not self._client.directory_format
        target = os.path.join(directory, "dump.custom") if streamed else directory
        with self._stage("dump"):
            taken = self._dumper.to_file(name, target)
            own(directory)
        described = taken.described(
            database,
            format="custom" if streamed else "directory",
            path=os.path.relpath(target, hidden),
            compress=self._codec,
        )
        with self._stage("verify"):
            verify = self._verify_file if streamed else self._verify_directory
            made = verify(described, target, inside)
        described["bytes"] = sum(file["bytes"] for file in made)
        self._files += made
        return described

    def _verify_directory(self, described: t.Dict[str, t.Any], target: str, inside: str) -> t.List[t.Dict[str, t.Any]]:
        """Assign each table and large object its file, read every file once, and compare."""
        suffix = _decode.SUFFIX[self._codec.partition(":")[0]]
        entries = {entry.oid: entry.dump_id for entry in _decode.table_data(self._client.contents(target))}
        present = {os.path.relpath(os.path.join(d, n), target) for d, _s, names in os.walk(target) for n in names}
        expected: t.Dict[str, t.Tuple[str, int]] = {}
        problems: t.List[_manifest.Problem] = []
        for table in described["tables"]:
            dump_id = entries.pop(table["oid"], None)
            file = f"{dump_id}.dat{suffix}"
            if dump_id is None or file not in present:
                problems.append((inside, f"the rows of {table['quoted']} are missing"))
                continue
            table["file"] = os.path.join(inside, file)
            expected[file] = ("rows", table["rows"])
        for item in described["large_objects"]:
            file = f"blob_{item['oid']}.dat{suffix}"
            if file not in present:
                problems.append((inside, f"the large object {item['oid']} is missing"))
                continue
            item["file"] = os.path.join(inside, file)
            expected[file] = ("bytes", item["bytes"])
        problems += [(inside, f"it holds rows of a table (oid {oid}) that was not counted") for oid in entries]

        def look(name: str) -> t.Dict[str, t.Any]:
            if time.monotonic() > self._deadline:
                raise MaintenanceError("The verification did not end within the time limit.", "Raise timeout.")
            path = os.path.join(target, name)
            if name not in expected:
                size, sha256 = _decode.digest(path)
            else:
                size, sha256 = self._compare(path, os.path.join(inside, name), expected[name], problems)
            return {"path": os.path.join(inside, name), "bytes": size, "sha256": sha256}

        largest_first = sorted(present, key=lambda n: -os.lstat(os.path.join(target, n)).st_size)
        with ThreadPoolExecutor(max_workers=self._request.jobs) as pool:
            made = list(pool.map(look, largest_first))
        if problems:
            raise _manifest.problem_error(problems, f"The dump of {described['name']}")
        return made

    def _compare(
        self, path: str, shown: str, expected: t.Tuple[str, int], problems: t.List[_manifest.Problem]
    ) -> t.Tuple[int, str]:
        kind, number = expected
        try:
            content = _decode.read(path, self._runner)
            held = content.rows() if kind == "rows" else content.decoded
        except _decode.DamagedError as exc:
            problems.append((shown, exc.message))
            return 0, ""
        if held != number:
            problems.append((shown, f"it holds {held} {kind} instead of {number}"))
        return content.size, content.sha256

    def _verify_file(self, described: t.Dict[str, t.Any], target: str, inside: str) -> t.List[t.Dict[str, t.Any]]:
        """Let the server's own pg_restore turn the dump back into SQL, and count in that."""
        entries = {entry.oid for entry in _decode.table_data(self._client.contents(target))}
        unknown = entries - {table["oid"] for table in described["tables"]}
        if unknown:
            problems = [(inside, f"it holds rows of a table (oid {oid}) that was not counted") for oid in unknown]
            raise _manifest.problem_error(problems, f"The dump of {described['name']}")
        tables = {table["quoted"].encode("utf-8"): table["oid"] for table in described["tables"]}
        with open(target, "rb") as file, Decoding(self._client, self._runner, tables, file) as decoding:
            counted, status = decoding.result(self._left())
        streamed_problems(described, counted, status)
        size, sha256 = _decode.digest(target)
        return [{"path": described["path"], "bytes": size, "sha256": sha256}]

    def _stream(self, database: t.Mapping[str, t.Any], offsite: Offsite) -> t.Dict[str, t.Any]:
        """Dump one database off-site, decoding and counting it on the way; its part of the manifest."""
        path = os.path.join("databases", _manifest.directory_name(database["name"]), "dump.custom")
        with self._stage("dump"):
            going = offsite.outgoing(self.id, path)
            try:
                with time_limit(self._left(), f"The dump of {database['name']}", going.stop):
                    taken, counted, status = self._dumper.to_stream(database["name"], going.write)
                    described = taken.described(database, format="custom", path=path, compress=self._codec)
                    streamed_problems(described, counted, status)
                    file = going.close()
            except BaseException:
                going.abort()
                raise
        self._files.append(file)
        described["bytes"] = file["bytes"]
        return described

    def _globals(self, file: t.BinaryIO) -> int:
        """Write roles, memberships and tablespaces, without the passwords' hashes where the role may not read them.

        :return: bytes before compression
        """
        passwords = self._subject.cluster["sees_passwords"]
        argv = ["pg_dumpall", "--globals-only", "--no-password", *([] if passwords else ["--no-role-passwords"])]
        script = self._client.run(argv, self._request.login_db, self._left()).stdout
        if "PostgreSQL database cluster dump complete" not in script:
            raise MaintenanceError("pg_dumpall did not write the roles to their end.", "Look at PostgreSQL's log.")
        data = script.encode("utf-8")
        program = self._codec.partition(":")[0]
        if program == "none":
            file.write(data)
        else:
            self._runner.run([program, "--stdout", "--quiet"], timeout=60, stdin=data, stdout=file)
        file.flush()
        return len(data)

    def _globals_name(self) -> str:
        return "globals.sql" + _decode.SUFFIX[self._codec.partition(":")[0]]

    def _globals_file(self, hidden: str) -> t.Dict[str, t.Any]:
        name = self._globals_name()
        path = os.path.join(hidden, name)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            expected = self._globals(file)
            os.fsync(file.fileno())
        content = self._read_globals(path, name, expected)
        return {"path": name, "bytes": content.size, "sha256": content.sha256}

    def _stream_globals(self, offsite: Offsite) -> t.Dict[str, t.Any]:
        name = self._globals_name()
        # A few kilobytes with the hashes of passwords: in memory, so that nothing of them can stay on the disk.
        with os.fdopen(os.memfd_create(name), "w+b") as file:
            expected = self._globals(file)
            self._read_globals(f"/proc/self/fd/{file.fileno()}", name, expected)
            going = offsite.outgoing(self.id, name)
            try:
                file.seek(0)
                with time_limit(self._left(), "Handing on the roles", going.stop):
                    _decode.feed(file, going.write)
                    return going.close()
            except BaseException:
                going.abort()
                raise

    def _read_globals(self, path: str, name: str, expected: int) -> _decode.Content:
        try:
            content = _decode.read(path, self._runner, name)
        except _decode.DamagedError as exc:
            raise _manifest.problem_error([(name, exc.message)], "The dump of the roles") from exc
        if content.decoded != expected:
            problem = (name, f"it holds {content.decoded} bytes instead of {expected}")
            raise _manifest.problem_error([problem], "The dump of the roles")
        return content

    def _archive_place(self, found: _archive.Found, hidden: str) -> None:
        """Archive the files of one place into the set, decode the archive, and compare."""
        name = _archive.file_name(found.place, self._request.compress.partition(":")[0])
        path = os.path.join(hidden, name)
        with self._stage("files"):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                with _archive.archiving(found, self._request.compress, self._runner, file) as archiving:
                    members, changed = archiving.finish(self._left())
                os.fsync(file.fileno())
            try:
                held, size, sha256 = _archive.count(path, self._runner, self._left())
            except _decode.DamagedError as exc:
                raise _manifest.problem_error([(name, exc.message)], f"The archive {found.place.name}") from exc
            self._add_archive(found, name, members, held, changed, size)
        self._files.append({"path": name, "bytes": size, "sha256": sha256})

    def _stream_archive(self, found: _archive.Found, offsite: Offsite) -> None:
        """Archive the files of one place off-site, decoding the archive on the way."""
        name = _archive.file_name(found.place, self._request.compress.partition(":")[0])
        with self._stage("files"):
            going = offsite.outgoing(self.id, name)
            try:
                with (
                    _archive.archiving(found, self._request.compress, self._runner, subprocess.PIPE) as archiving,
                    _archive.Counting(name, self._runner) as counting,
                ):
                    what = f"Archiving {found.place.name}"
                    with time_limit(self._left(), what, going.stop, archiving.stop, counting.stop):
                        _decode.feed(archiving.output, _both(going.write, counting.write))
                        members, changed = archiving.finish(self._left())
                        held = counting.members(self._left())
                        file = going.close()
            except _decode.DamagedError as exc:
                going.abort()
                raise _manifest.problem_error([(name, exc.message)], f"The archive {found.place.name}") from exc
            except BaseException:
                going.abort()
                raise
            self._add_archive(found, name, members, held, changed, file["bytes"])
        self._files.append(file)

    def _add_archive(self, found: _archive.Found, name: str, members: int, held: int, changed: bool, size: int) -> None:
        if held != members:
            problem = (name, f"it holds {held} members instead of {members}")
            raise _manifest.problem_error([problem], f"The archive {found.place.name}")
        self._archives.append(
            {
                "name": found.place.name,
                "path": found.place.path,
                "file": name,
                "include": list(found.members),
                "exclude": list(found.place.exclude),
                "missing": list(found.missing),
                "links": list(found.links),
                # Enough to know that there are some, and to say which.
                "secrets": list(found.secrets[:20]),
                "members": members,
                "bytes": size,
                "unpacked_bytes": found.bytes,
                "changed_while_read": changed,
            }
        )


def _both(first: t.Callable[[bytes], t.Any], second: t.Callable[[bytes], t.Any]) -> t.Callable[[bytes], None]:
    def take(chunk: bytes) -> None:
        first(chunk)
        second(chunk)

    return take


def _unwritten(exc: OSError, where: str) -> MaintenanceError:
    place = f" ({exc.filename})" if exc.filename else ""
    return MaintenanceError(
        f"The set could not be written {where}: {exc.strerror}{place}.",
        "Nothing was replaced. Look at that disk, then take the backup again.",
    )


def _require_decoder(codec: str, runner: Runner) -> None:
    program = codec.partition(":")[0]
    if program != "none" and not runner.find(program):
        raise ProgramError(f"The program {program} is not installed.", remedy="Run playbooks/prepare.yml on this host.")
