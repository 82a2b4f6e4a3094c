# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Let pg_dump write one database while the rows of the same snapshot are counted."""

from __future__ import annotations

import contextlib
import datetime
import re
import subprocess
import tempfile
import threading
import time
import typing as t

from .._errors import MaintenanceError
from .._process import Runner, late, pipe_of
from .._time import format_utc
from . import _decode, _manifest
from ._client import Client, Dump
from ._queries import EXTENSIONS, LARGE_OBJECTS, REVISIONS, TABLES
from ._session import DatabaseError, Session

THROWN_AWAY = "The set was thrown away and nothing was replaced."
LOCKED = " Something holds a table locked, such as a migration: wait for it, then run this playbook again."
# PostgreSQL's code for a lock that was not to be had in time (appendix A of its manual).
LOCK_NOT_AVAILABLE = "55P03"
# What pg_dump says when the session that exported its snapshot has ended.
SNAPSHOT_GONE = "could not import the requested snapshot"
# Seconds for what was told to end.
PATIENCE = 10.0


class Taken(t.NamedTuple):
    """What one snapshot held.

    :param at: when the snapshot was made
    :param tables: each with C(oid), C(schema), C(name), C(quoted), C(rows), and an empty C(file)
    :param facts: extensions, revisions of migrations, large objects
    """

    at: datetime.datetime
    tables: t.List[t.Dict[str, t.Any]]
    facts: t.Dict[str, t.Any]

    def described(self, database: t.Mapping[str, t.Any], **more: t.Any) -> t.Dict[str, t.Any]:
        """The database's part of the manifest."""
        return {
            **{key: database[key] for key in ("name", "size_bytes", "encoding", "collate", "ctype")},
            **self.facts,
            "snapshot_time": format_utc(self.at),
            "tables": self.tables,
            "rows_total": sum(table["rows"] for table in self.tables),
            **more,
        }


class Dumper:
    """Dumps databases of one server.

    :param codec: C(zstd:3), C(gzip:6) or C(none), as this pg_dump knows it
    :param lock_wait: seconds to wait for a lock on a table
    :param deadline: on the monotonic clock
    """

    def __init__(
        self,
        client: Client,
        runner: Runner,
        now: t.Callable[[], datetime.datetime],
        jobs: int,
        codec: str,
        lock_wait: int,
        deadline: float,
    ) -> None:
        self._client = client
        self._runner = runner
        self._now = now
        self._jobs = jobs
        self._codec = codec
        self._lock_wait = lock_wait
        self._deadline = deadline

    def _left(self) -> float:
        return max(1.0, self._deadline - time.monotonic())

    def to_file(self, name: str, target: str) -> Taken:
        """Dump a database into a directory or file of ours.

        :raises MaintenanceError: it cannot be dumped.
        """
        with self._snapshot(name, target) as (session, dump, tables, taken), tempfile.TemporaryFile() as said:
            process = self._client.start_dump(dump, said)
            try:
                facts = self._count(session, tables, process, name, said)
            finally:
                self._runner.stop(process)
            return Taken(taken, tables, facts)

    def to_stream(self, name: str, take: t.Callable[[bytes], t.Any]) -> t.Tuple[Taken, _decode.Counted, int]:
        """Dump a database and hand the dump on as it comes, while it is also decoded and counted.

        :param take: is given the chunks, on another thread
        :return: what the snapshot held, what the dump holds, and the exit status of the program that decoded it
        :raises MaintenanceError: it cannot be dumped, or C(take) refused.
        """
        with self._snapshot(name, "") as (session, dump, tables, taken), tempfile.TemporaryFile() as said:
            known = {table["quoted"].encode("utf-8"): table["oid"] for table in tables}
            with Decoding(self._client, self._runner, known) as decoding:
                process = self._client.start_stream(dump, said)
                pump = _Pump(process, self._runner, (take, decoding.write))
                try:
                    facts = self._count(session, tables, process, name, said)
                    pump.join(self._left())
                    if pump.is_alive():
                        raise late(f"Handing on the dump of {name}")
                except MaintenanceError as exc:
                    # Before the pump, which may wait for it.
                    decoding.stop()
                    pump.stop()
                    if pump.failure:
                        raise pump.failure from exc
                    raise
                finally:
                    pump.stop()
                if pump.failure:
                    raise pump.failure
                counted, status = decoding.result(self._left())
            return Taken(taken, tables, facts), counted, status

    @contextlib.contextmanager
    def _snapshot(
        self, name: str, target: str
    ) -> t.Iterator[t.Tuple[Session, Dump, t.List[t.Dict[str, t.Any]], datetime.datetime]]:
        """A session with an exported snapshot, the dump of it, and its tables."""
        taken = self._now()
        with locks_told(name), self._client.session(name) as session:
            session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", self._left())
            session.run(f"SET LOCAL lock_timeout = '{self._lock_wait}s'", self._left())
            snapshot = session.value("SELECT pg_export_snapshot()", self._left())
            dump = Dump(name, target, snapshot, self._jobs, self._codec, f"{self._lock_wait}s")
            yield session, dump, session.query(TABLES, self._left()), taken

    def _count(
        self,
        session: Session,
        tables: t.List[t.Dict[str, t.Any]],
        process: subprocess.Popen[bytes],
        database: str,
        said: t.BinaryIO,
    ) -> t.Dict[str, t.Any]:
        """Count while pg_dump writes, and wait for its end; the facts beside the tables' rows."""
        refused: t.Optional[MaintenanceError] = None
        facts: t.Dict[str, t.Any] = {}
        try:
            facts = self._count_rows(session, tables, process)
        except MaintenanceError as exc:
            # When pg_dump has failed too, its own reason is the better one.
            refused = exc
            if process.poll() is None:
                # A table that is locked for both keeps pg_dump as long.
                locked = isinstance(exc, DatabaseError) and exc.sqlstate == LOCK_NOT_AVAILABLE
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=self._lock_wait + 5 if locked else 2)
        status = None if refused and process.poll() is None else self.wait(process, f"The dump of {database}")
        if status:
            said.seek(0)
            complaint = said.read().decode("utf-8", "replace")
            # A refused statement ends the session's transaction, and the snapshot with it: then that is the
            # cause, and pg_dump's complaint only its echo.
            if refused and SNAPSHOT_GONE in complaint:
                raise refused
            raise dump_failed(database, status, self._runner.redact(complaint))
        if refused:
            raise refused
        return facts

    def wait(self, process: subprocess.Popen[bytes], what: str) -> int:
        """Exit status of a program that must end before the deadline.

        :raises MaintenanceError: it did not.
        """
        try:
            return process.wait(timeout=self._left())
        except subprocess.TimeoutExpired:
            raise late(what) from None

    def _count_rows(
        self, session: Session, tables: t.List[t.Dict[str, t.Any]], process: subprocess.Popen[bytes]
    ) -> t.Dict[str, t.Any]:
        for place, table in enumerate(tables):
            if process.poll() not in (None, 0):
                raise MaintenanceError("pg_dump has ended before the rows were counted.")
            count = session.value(f"SELECT count(*) FROM ONLY {table['quoted']} {table['condition']}", self._left())
            tables[place] = {
                **{key: table[key] for key in ("oid", "schema", "name", "quoted")},
                "rows": count,
                "file": "",
            }
        revisions: t.List[str] = []
        for where in session.query(REVISIONS, self._left()):
            select = f"SELECT version_num FROM {where['quoted']} ORDER BY 1"
            revisions += [row["version_num"] for row in session.query(select, self._left())]
        objects = session.query(LARGE_OBJECTS, self._left())
        return {
            "extensions": session.query(EXTENSIONS, self._left()),
            "migration_revisions": revisions,
            "large_objects": [{**item, "file": ""} for item in objects],
        }


class _Pump(threading.Thread):
    """Hands on what a program writes, until its end or a failure, which ends the program."""

    def __init__(
        self, process: subprocess.Popen[bytes], runner: Runner, takers: t.Sequence[t.Callable[[bytes], t.Any]]
    ) -> None:
        super().__init__(daemon=True)
        self.failure: t.Optional[BaseException] = None
        self._process = process
        self._runner = runner
        self._takers = takers
        self.start()

    def run(self) -> None:
        output = pipe_of(self._process.stdout)
        try:
            while True:
                chunk = output.read(_decode.CHUNK)
                if not chunk:
                    return
                for take in self._takers:
                    take(chunk)
        except BaseException as exc:  # pylint: disable=broad-except
            self.failure = exc
            self._runner.stop(self._process)

    def stop(self) -> None:
        """End the program and the handing on."""
        self._runner.stop(self._process)
        self.join(PATIENCE)
        if not self.is_alive():
            pipe_of(self._process.stdout).close()


class Decoding:
    """Lets pg_restore turn a dump that is written to it back into SQL, and counts in that; use it as a context.

    :param tables: oid of each table by its name as PostgreSQL quotes it
    :param stdin: the dump as an open file; else it is written
    """

    def __init__(self, client: Client, runner: Runner, tables: t.Mapping[bytes, int], stdin: t.Any = None) -> None:
        self._runner = runner
        self._counted: t.Optional[_decode.Counted] = None
        argv = ["pg_restore", "--data-only", "--file=-"]
        source = subprocess.PIPE if stdin is None else stdin
        self._process = client.start(argv, "postgres", stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._reader = threading.Thread(target=self._read, args=(tables,), daemon=True)
        self._reader.start()

    def _read(self, tables: t.Mapping[bytes, int]) -> None:
        with contextlib.suppress(ValueError):
            self._counted = _decode.count_script(pipe_of(self._process.stdout), tables)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the dump."""
        # A decoder that gave up is found when its status is read.
        with contextlib.suppress(BrokenPipeError):
            pipe_of(self._process.stdin).write(chunk)

    def result(self, timeout: float) -> t.Tuple[_decode.Counted, int]:
        """What the whole dump holds, and the exit status of pg_restore.

        :param timeout: seconds
        :raises MaintenanceError: it did not come to its end in time.
        """
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        deadline = time.monotonic() + timeout
        try:
            self._reader.join(timeout)
            status = self._process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise late("Decoding the dump") from None
        self._reader.join(1)
        return self._counted or _decode.Counted({}, {}, False), status

    def stop(self) -> None:
        """End it; what is written afterwards is dropped."""
        self._runner.stop(self._process)

    def __enter__(self) -> Decoding:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        self._reader.join(5)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def streamed_problems(described: t.Mapping[str, t.Any], counted: _decode.Counted, status: int) -> None:
    """Refuse a streamed dump that does not hold what the database held.

    :raises MaintenanceError: it does not.
    """
    if status < 0:
        # Out of memory, as a rule; it says nothing of the dump.
        raise MaintenanceError(
            f"pg_restore, which decodes the dump of {described['name']}, was killed by signal {-status}.",
            "Nothing was replaced. Look at this host's memory (journalctl -k), then take the backup again.",
        )
    problems = _manifest.compare_custom(described, counted, status)
    if counted.unknown:
        problems.append((described["path"], f"it holds rows of {counted.unknown} table(s) that were not counted"))
    if problems:
        raise _manifest.problem_error(problems, f"The dump of {described['name']}")


@contextlib.contextmanager
def locks_told(database: str) -> t.Iterator[None]:
    """Turn PostgreSQL's refusal to wait any longer for a lock into the sentence that a dump gives.

    :raises DatabaseError: in its place.
    """
    try:
        yield
    except DatabaseError as exc:
        if exc.sqlstate != LOCK_NOT_AVAILABLE:
            raise
        raise DatabaseError(
            f"A table of {database} stayed locked for longer than lock_wait_timeout.",
            exc.sqlstate,
            f"{THROWN_AWAY}{LOCKED}",
        ) from None


def dump_failed(database: str, status: int, stderr: str) -> MaintenanceError:
    """The error of a pg_dump that failed: its first complaint, which is the cause, in one sentence."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    causes = [line for line in lines if "error:" in line.lower() or "fatal:" in line.lower()]
    how = f"was killed by signal {-status}" if status < 0 else f"failed with exit status {status}"
    said = (causes or lines or ["without a message"])[0]
    said = re.sub(r"^pg_dump: (error|fatal): ", "", said)
    remedy = THROWN_AWAY
    if "timeout" in stderr and "lock" in stderr.lower():
        # pg_dump waits for locks under a statement_timeout, and complains of that.
        said = "a table stayed locked for longer than lock_wait_timeout"
        remedy += LOCKED
    elif "no password supplied" in stderr or "password authentication failed" in stderr:
        remedy += " Give the role's password: login_password, in the inventory maintenance_backup_password or else "
        remedy += "maintenance_postgres_password."
    elif "permission denied for" in stderr:
        remedy += " Grant it; for the role for backups (maintenance_backup_user) playbooks/prepare.yml does."
    elif "No space left" in stderr:
        remedy += " Free space there, or move dest to a larger disk."
    return DatabaseError(
        f"pg_dump of {database} {how}: {said.rstrip('.')}.", remedy=remedy, rc=status, stderr_tail=stderr[-2000:]
    )
