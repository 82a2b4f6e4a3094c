# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Take one verified backup set."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import re
import socket
import subprocess
import tempfile
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .._errors import MaintenanceError
from .._findings import Finding, finding
from .._process import ProgramError, Runner, pipe_of
from .._size import format_size, parse_share
from .._storage._local import LocalStore, own
from .._time import format_duration, format_utc, new_id, utc_now
from . import _decode, _manifest
from ._client import Client, Dump
from ._session import DatabaseError, Session

SUFFIX = {"zstd": ".zst", "gzip": ".gz", "none": ""}
# Methods and their highest level.
COMPRESSION = {"zstd": 19, "gzip": 9, "none": 0}
# Since PostgreSQL 16 pg_dump compresses with zstd.
ZSTD_SINCE = 16
# What pg_dump says when the session that exported its snapshot has ended.
SNAPSHOT_GONE = "could not import the requested snapshot"
# A set may be this much larger than the one before it without running into the space that must stay free.
GROWTH = 1.2

# A limit of -2 marks a database whose removal was interrupted; nobody can connect to it.
DATABASES = """
SELECT datname AS name, pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype,
       CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) ELSE 0 END AS size_bytes
FROM pg_database WHERE datallowconn AND NOT datistemplate AND datconnlimit <> -2 ORDER BY datname
"""
CLUSTER = """
SELECT current_setting('server_version') AS server_version,
       current_setting('server_version_num')::int AS server_version_num,
       (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier, pg_is_in_recovery() AS standby,
       has_table_privilege('pg_authid', 'SELECT') AS sees_passwords,
       (SELECT json_agg(rolname ORDER BY rolname) FROM pg_roles WHERE rolname !~ '^pg_') AS roles
"""
# The tables whose rows pg_dump writes: ordinary ones and partitions, and those of extensions that hold a user's
# settings. On a standby it leaves out unlogged tables, which are empty there.
TABLES = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, format('%I.%I', n.nspname, c.relname) AS quoted,
       coalesce(settings.condition, '') AS condition, pg_table_size(c.oid) AS size_bytes
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT e.extcondition[i] AS condition FROM pg_extension e, generate_subscripts(e.extconfig, 1) i
    WHERE e.extconfig[i] = c.oid
) settings ON true
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT (c.relpersistence = 'u' AND pg_is_in_recovery())
  AND (settings.condition IS NOT NULL OR NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
      AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'))
ORDER BY n.nspname, c.relname
"""
# By the functions that pg_dump reads with: every owner may use them, but only superusers see pg_largeobject. Each is
# opened for reading (0x40000), measured by going to its end (2), and closed before the next one.
LARGE_OBJECTS = """
SELECT m.oid::bigint AS oid, s.bytes + 0 * lo_close(s.fd) AS bytes
FROM pg_largeobject_metadata m CROSS JOIN LATERAL (
    SELECT o.fd, lo_lseek64(o.fd, 0, 2) AS bytes FROM (SELECT lo_open(m.oid, 262144) AS fd OFFSET 0) o OFFSET 0
) s ORDER BY 1
"""
LARGE_OBJECTS_SIZE = "SELECT pg_table_size('pg_largeobject') AS bytes"
EXTENSIONS = "SELECT extname AS name, extversion AS version FROM pg_extension ORDER BY extname"
REVISIONS = """
SELECT format('%I.%I', n.nspname, c.relname) AS quoted FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'version_num'
WHERE c.relname = 'alembic_version' AND c.relkind = 'r' ORDER BY 1
"""


@dataclasses.dataclass(frozen=True)
class Request:
    """What a set is asked for.

    :param databases: names, or C(all)
    :param compress: C(zstd:3), C(gzip:6) or C(none)
    :param min_free: what must stay free, as C(10%) or C(5GiB)
    :param max_age: a verified set at most this many seconds old is good enough
    :param timeout: seconds for the whole set
    :param lock_wait: seconds to wait for a lock on a table
    :param release: the application's release, as the caller knows it
    """

    databases: t.Sequence[str]
    login_db: str = "postgres"
    jobs: int = 2
    compress: str = "zstd:3"
    min_free: str = "10%"
    max_age: int = 0
    force: bool = False
    timeout: int = 10800
    lock_wait: int = 30
    with_globals: bool = True
    release: str = ""


@dataclasses.dataclass
class Result:
    """What came of it.

    :param manifest: of the new set, or of the one that is good enough; None in check mode when one would be taken
    """

    changed: bool
    msg: str
    manifest: t.Optional[_manifest.Manifest]
    path: str
    findings: t.List[Finding]
    swept: t.List[str]


@dataclasses.dataclass(frozen=True)
class _Plan:
    cluster: t.Dict[str, t.Any]
    databases: t.List[t.Dict[str, t.Any]]
    good_enough: t.Optional[_manifest.Manifest]
    need: int


class Backup:
    """Takes a set of one server into one store.

    :param client: reaches the server
    :param store: where the sets lie
    :param runner: starts the programs that decode
    :param now: the clock
    """

    def __init__(
        self, client: Client, store: LocalStore, runner: Runner, now: t.Callable[[], datetime.datetime] = utc_now
    ) -> None:
        self._client = client
        self._store = store
        self._runner = runner
        self._now = now

    def take(self, request: Request, check_mode: bool = False) -> Result:
        """Take a set, unless one that is young enough is there.

        :raises MaintenanceError: it cannot be taken; the sets that are there stay as they are.
        """
        compression(request.compress)
        deadline = time.monotonic() + request.timeout
        self._store.require_mounted()
        plan = self._plan(request)
        reachable = finding(
            "database.reachable", self._client.subject, "ok", f"PostgreSQL {plan.cluster['server_version']} answers."
        )
        swept = self._store.leftovers()
        # What an interrupted run left must not be why there is no space; in check mode it is only counted.
        spare = sum(self._store.taken(name) for name in swept) if check_mode else 0
        if not check_mode:
            self._client.sweep()
            for name in swept:
                self._store.discard(name)
        if plan.good_enough:
            age = format_duration((self._now() - _manifest.snapshot_time(plan.good_enough)).total_seconds())
            msg = f"The verified set {plan.good_enough['id']} is {age} old and young enough; no new one is taken."
            path = self._store.path(plan.good_enough["id"])
            return Result(False, msg, plan.good_enough, path, [reachable], swept)
        self._require_space(plan.need, request.min_free, spare)
        names = ", ".join(d["name"] for d in plan.databases)
        if check_mode:
            msg = f"A set of {names} would be taken (at most about {format_size(plan.need)})."
            return Result(True, msg, None, "", [reachable], swept)
        manifest = self._make(request, plan, deadline)
        rows = sum(d["rows_total"] for d in manifest["databases"])
        msg = (
            f"Set {manifest['id']} of {names}: {format_size(manifest['bytes'])}, {rows} rows, "
            "every table decoded and counted."
        )
        taken = finding("backup.verified", manifest["id"], "ok", msg, manifest["bytes"], "bytes")
        return Result(True, msg, manifest, self._store.path(manifest["id"]), [reachable, taken], swept)

    def _plan(self, request: Request) -> _Plan:
        with self._client.session(request.login_db) as session:
            (cluster,) = session.query(CLUSTER)
            existing = session.query(DATABASES)
        databases = chosen(request.databases, existing)
        if not request.force and request.max_age > 0:
            names = [d["name"] for d in databases]
            for entry in reversed(self._store.entries()):
                manifest = entry.manifest
                # A set with a file missing or cut short is not good enough, whatever its manifest says.
                if (
                    manifest
                    and not _manifest.damage(entry, "none", self._runner)
                    and _manifest.fresh(manifest, cluster["system_identifier"], names, self._now(), request.max_age)
                    and not _manifest.damage(entry, "sizes", self._runner)
                ):
                    return _Plan(cluster, databases, manifest, 0)
        return _Plan(cluster, databases, None, self._expected_bytes(cluster["system_identifier"], databases))

    def _expected_bytes(self, identity: str, databases: t.Sequence[t.Mapping[str, t.Any]]) -> int:
        """Bytes that the set may take: as the last one of each database, else as its tables."""
        known: t.Dict[str, int] = {}
        for entry in self._store.entries():
            manifest = entry.manifest
            if (
                manifest
                and not _manifest.damage(entry, "none", self._runner)
                and manifest["system_identifier"] == identity
            ):
                known.update({d["name"]: d["bytes"] for d in manifest["databases"]})
        need = 0.0
        for database in databases:
            if database["name"] in known:
                need += known[database["name"]] * GROWTH
            else:
                with self._client.session(database["name"]) as session:
                    need += sum(table["size_bytes"] for table in session.query(TABLES))
                    need += session.value(LARGE_OBJECTS_SIZE)
        return int(need)

    def _require_space(self, need: int, min_free: str, spare: int) -> None:
        free, size = self._store.free()
        free += spare
        keep = parse_share(min_free, size, "min_free")
        if free - need < keep:
            what = (
                f"but of the {format_size(free)} that are free at {self._store.root}, {format_size(keep)} must stay so"
            )
            remedy = "Free space there, move dest to a larger disk, or lower min_free."
            message = f"The set may take {format_size(need)}, {what} (min_free)."
            found = finding(
                "backup.space", self._store.root, "critical", message, free, "bytes", need + keep, remedy=remedy
            )
            raise MaintenanceError(message, remedy, findings=[found])

    def _make(self, request: Request, plan: _Plan, deadline: float) -> _manifest.Manifest:
        began = self._now()
        client_major, client_version = self._client.prepare(plan.cluster["server_version_num"])
        codec = codec_for(request.compress, client_major)
        self._require_decoder(codec)
        set_id = new_id(began)
        hidden = self._store.begin(set_id)
        try:
            dumps = os.path.join(hidden, "databases")
            os.mkdir(dumps, 0o711)
            os.chmod(dumps, 0o711)
            files: t.List[t.Dict[str, t.Any]] = []
            described = [self._database(request, d, codec, hidden, files, deadline) for d in plan.databases]
            os.chmod(dumps, 0o700)
            if request.with_globals:
                files.append(self._globals(request, plan.cluster["sees_passwords"], codec, hidden, deadline))
            manifest = _manifest.seal(
                {
                    "schema": _manifest.SCHEMA,
                    "id": set_id,
                    "host": socket.gethostname(),
                    "client": self._client.name,
                    "system_identifier": plan.cluster["system_identifier"],
                    "server_version": plan.cluster["server_version"],
                    "client_version": client_version,
                    "snapshot_time": min(d["snapshot_time"] for d in described),
                    "started": format_utc(began),
                    "finished": format_utc(self._now()),
                    "databases": described,
                    "roles": plan.cluster["roles"] or [],
                    "globals": {"included": request.with_globals, "passwords": bool(plan.cluster["sees_passwords"])},
                    "application_release": request.release,
                    "files": sorted(files, key=lambda f: str(f["path"])),
                    "bytes": sum(f["bytes"] for f in files),
                    "verification": [{"level": "decode", "at": format_utc(self._now())}],
                }
            )
            self._store.commit(set_id, manifest)
        except BaseException as exc:
            with contextlib.suppress(OSError, MaintenanceError):
                self._client.sweep()
            with contextlib.suppress(OSError):
                self._store.discard(os.path.basename(hidden))
            if isinstance(exc, OSError):
                raise MaintenanceError(
                    f"The set could not be written below {self._store.root}: {exc.strerror}.",
                    "Nothing was replaced. Look at that disk, then take the backup again.",
                ) from exc
            raise
        return manifest

    def _require_decoder(self, codec: str) -> None:
        program = codec.partition(":")[0]
        if program != "none" and not self._runner.find(program):
            raise ProgramError(
                f"The program {program} is not installed.", remedy="Run playbooks/prepare.yml on this host."
            )

    def _database(
        self,
        request: Request,
        database: t.Mapping[str, t.Any],
        codec: str,
        hidden: str,
        files: t.List[t.Dict[str, t.Any]],
        deadline: float,
    ) -> t.Dict[str, t.Any]:
        """Dump one database, decode what was written, and compare; its part of the manifest."""
        name = database["name"]
        inside = os.path.join("databases", _manifest.directory_name(name))
        directory = os.path.join(hidden, inside)
        os.mkdir(directory, 0o700)
        self._client.writable_by(directory)
        streamed = not self._client.directory_format
        target = os.path.join(directory, "dump.custom") if streamed else directory
        taken = self._now()
        with self._client.session(name) as session:
            session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            session.run(f"SET LOCAL lock_timeout = '{request.lock_wait}s'")
            snapshot = session.value("SELECT pg_export_snapshot()")
            dump = Dump(name, target, snapshot, request.jobs, codec, f"{request.lock_wait}s")
            tables, facts = self._dump_and_count(session, dump, deadline)
        own(directory)
        described = {
            **{key: database[key] for key in ("name", "size_bytes", "encoding", "collate", "ctype")},
            **facts,
            "snapshot_time": format_utc(taken),
            "format": "custom" if streamed else "directory",
            "path": os.path.relpath(target, hidden),
            "compress": codec,
            "tables": tables,
            "rows_total": sum(table["rows"] for table in tables),
        }
        verify = self._verify_streamed if streamed else self._verify_directory
        made = verify(described, target, inside, codec, request.jobs, deadline)
        described["bytes"] = sum(file["bytes"] for file in made)
        files += made
        return described

    def _dump_and_count(
        self, session: Session, dump: Dump, deadline: float
    ) -> t.Tuple[t.List[t.Dict[str, t.Any]], t.Dict[str, t.Any]]:
        """Let pg_dump write while the rows of the same snapshot are counted."""
        with tempfile.TemporaryFile() as said:
            process = self._client.start_dump(dump, said)
            try:
                refused: t.Optional[MaintenanceError] = None
                try:
                    tables, facts = self._count(session, process, deadline)
                except MaintenanceError as exc:
                    # When pg_dump has failed too, its own reason is the better one.
                    refused = exc
                    if process.poll() is None:
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            process.wait(timeout=2)
                status = None if refused and process.poll() is None else self._await(process, dump.database, deadline)
                if status:
                    said.seek(0)
                    complaint = said.read().decode("utf-8", "replace")
                    # A refused statement ends the session's transaction, and the snapshot with it: then that is the
                    # cause, and pg_dump's complaint only its echo.
                    if refused and SNAPSHOT_GONE in complaint:
                        raise refused
                    raise dump_failed(dump.database, status, self._runner.redact(complaint))
                if refused:
                    raise refused
                return tables, facts
            finally:
                self._runner.stop(process)

    def _await(self, process: subprocess.Popen[bytes], database: str, deadline: float) -> int:
        try:
            return process.wait(timeout=max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise MaintenanceError(
                f"The dump of {database} did not end within its time limit and was stopped.",
                "Raise timeout (in the inventory postgres_backup_timeout), or the number of jobs.",
            ) from None

    def _count(
        self, session: Session, process: subprocess.Popen[bytes], deadline: float
    ) -> t.Tuple[t.List[t.Dict[str, t.Any]], t.Dict[str, t.Any]]:
        def left() -> float:
            return max(1.0, deadline - time.monotonic())

        tables = []
        for table in session.query(TABLES):
            if process.poll() not in (None, 0):
                raise MaintenanceError("pg_dump has ended before the rows were counted.")
            count = session.value(f"SELECT count(*) FROM ONLY {table['quoted']} {table['condition']}", left())
            kept = {key: table[key] for key in ("oid", "schema", "name", "quoted")}
            tables.append({**kept, "rows": count, "file": ""})
        revisions: t.List[str] = []
        for where in session.query(REVISIONS):
            revisions += [
                row["version_num"] for row in session.query(f"SELECT version_num FROM {where['quoted']} ORDER BY 1")
            ]
        objects = session.query(LARGE_OBJECTS, left())
        facts = {
            "extensions": session.query(EXTENSIONS),
            "migration_revisions": revisions,
            "large_objects": [{**item, "file": ""} for item in objects],
        }
        return tables, facts

    def _verify_directory(
        self, described: t.Dict[str, t.Any], target: str, inside: str, codec: str, jobs: int, deadline: float
    ) -> t.List[t.Dict[str, t.Any]]:
        """Assign each table and large object its file, read every file once, and compare."""
        suffix = SUFFIX[codec.partition(":")[0]]
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
            if time.monotonic() > deadline:
                raise MaintenanceError("The verification did not end within the time limit.", "Raise timeout.")
            path = os.path.join(target, name)
            if name not in expected:
                size, sha256 = _decode.digest(path)
            else:
                size, sha256 = self._compare(path, os.path.join(inside, name), expected[name], problems)
            return {"path": os.path.join(inside, name), "bytes": size, "sha256": sha256}

        largest_first = sorted(present, key=lambda n: -os.lstat(os.path.join(target, n)).st_size)
        with ThreadPoolExecutor(max_workers=jobs) as pool:
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

    def _verify_streamed(
        self, described: t.Dict[str, t.Any], target: str, inside: str, codec: str, jobs: int, deadline: float
    ) -> t.List[t.Dict[str, t.Any]]:
        """Let the server's own pg_restore turn the dump back into SQL, and count in that."""
        entries = {entry.oid for entry in _decode.table_data(self._client.contents(target))}
        counted = {table["oid"] for table in described["tables"]}
        problems = [(inside, f"it holds rows of a table (oid {oid}) that was not counted") for oid in entries - counted]
        tables = {table["quoted"].encode("utf-8"): table["oid"] for table in described["tables"]}
        with open(target, "rb") as file:
            argv = ["pg_restore", "--data-only", "--file=-"]
            process = self._client.start(
                argv, "postgres", stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        try:
            output = pipe_of(process.stdout)
            found = _decode.count_script(output, tables)
            output.close()
            status = self._await(process, described["name"], deadline)
        finally:
            self._runner.stop(process)
        problems += _manifest.compare_custom(described, found, status)
        if problems:
            raise _manifest.problem_error(problems, f"The dump of {described['name']}")
        size, sha256 = _decode.digest(target)
        return [{"path": described["path"], "bytes": size, "sha256": sha256}]

    def _globals(
        self, request: Request, passwords: bool, codec: str, hidden: str, deadline: float
    ) -> t.Dict[str, t.Any]:
        """Roles, memberships and tablespaces; without the passwords' hashes where the role may not read them."""
        argv = ["pg_dumpall", "--globals-only", "--no-password", *([] if passwords else ["--no-role-passwords"])]
        script = self._client.run(argv, request.login_db, max(1.0, deadline - time.monotonic())).stdout
        if "PostgreSQL database cluster dump complete" not in script:
            raise MaintenanceError("pg_dumpall did not write the roles to their end.", "Look at PostgreSQL's log.")
        program = codec.partition(":")[0]
        name = "globals.sql" + SUFFIX[program]
        path = os.path.join(hidden, name)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            if program == "none":
                file.write(script.encode("utf-8"))
            else:
                self._runner.run(
                    [program, "--stdout", "--quiet"], timeout=60, stdin=script.encode("utf-8"), stdout=file
                )
            file.flush()
            os.fsync(file.fileno())
        try:
            content = _decode.read(path, self._runner)
        except _decode.DamagedError as exc:
            raise _manifest.problem_error([(name, exc.message)], "The dump of the roles") from exc
        expected = len(script.encode("utf-8"))
        if content.decoded != expected:
            raise _manifest.problem_error(
                [(name, f"it holds {content.decoded} bytes instead of {expected}")], "The dump of the roles"
            )
        return {"path": name, "bytes": content.size, "sha256": content.sha256}


def chosen(wanted: t.Sequence[str], existing: t.Sequence[t.Dict[str, t.Any]]) -> t.List[t.Dict[str, t.Any]]:
    """The databases that are asked for; C(all) means every one that is no template.

    :raises MaintenanceError: none is asked for, or one does not exist.
    """
    if list(wanted) == ["all"]:
        return list(existing)
    by_name = {d["name"]: d for d in existing}
    missing = [name for name in wanted if name not in by_name]
    if missing or not wanted:
        what = f"The server has no database {', '.join(map(repr, missing))}" if missing else "No database is asked for"
        raise MaintenanceError(
            f"{what}; it has {', '.join(by_name) or 'none'}.",
            "Correct databases (in the inventory maintenance_databases).",
        )
    return [by_name[name] for name in dict.fromkeys(wanted)]


def compression(text: str) -> t.Tuple[str, str]:
    """Method and level of C(zstd:3), C(gzip) or C(none).

    :raises MaintenanceError: anything else.
    """
    method, colon, level = text.partition(":")
    top = COMPRESSION.get(method)
    if top is None or (colon and not (level.isdigit() and 1 <= int(level) <= top)):
        raise MaintenanceError(f"compress is {text!r}, but must be zstd, gzip or none, with a level as in zstd:3.")
    return method, level


def codec_for(compress: str, client_major: int) -> str:
    """What this pg_dump can do of what was asked for: before 16 it knows gzip only, and a level alone names it."""
    method, level = compression(compress)
    if client_major >= ZSTD_SINCE:
        return compress
    return "none" if method == "none" else f"gzip:{level}" if method == "gzip" and level else "gzip"


def dump_failed(database: str, status: int, stderr: str) -> MaintenanceError:
    """The error of a pg_dump that failed: its first complaint, which is the cause, in one sentence."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    causes = [line for line in lines if "error:" in line.lower() or "fatal:" in line.lower()]
    how = f"was killed by signal {-status}" if status < 0 else f"failed with exit status {status}"
    said = (causes or lines or ["without a message"])[0]
    said = re.sub(r"^pg_dump: (error|fatal): ", "", said)
    remedy = "The set was thrown away and nothing was replaced."
    if "timeout" in stderr and "lock" in stderr.lower():
        # pg_dump waits for locks under a statement_timeout, and complains of that.
        said = "a table stayed locked for longer than lock_wait_timeout"
        remedy += " Something holds a table locked, such as a migration: wait for it, then run this playbook again."
    elif "no password supplied" in stderr or "password authentication failed" in stderr:
        remedy += " Give the role's password: login_password, in the inventory maintenance_postgres_password."
    elif "No space left" in stderr:
        remedy += " Free space there, or move dest to a larger disk."
    return DatabaseError(
        f"pg_dump of {database} {how}: {said.rstrip('.')}.", remedy=remedy, rc=status, stderr_tail=stderr[-2000:]
    )
