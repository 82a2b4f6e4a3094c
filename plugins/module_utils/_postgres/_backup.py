# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Take one verified backup set, unless one that is good enough is there."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
import typing as t

from .._errors import MaintenanceError
from .._findings import Finding, finding
from .._process import Runner
from .._size import format_size, parse_share
from .._storage._local import LocalStore
from .._storage._s3 import S3Error
from .._time import format_duration, utc_now
from . import _archive, _manifest
from ._client import Client
from ._dump import locks_told
from ._make import Making, Subject
from ._offsite import Offsite
from ._queries import CLUSTER, DATABASES, LARGE_OBJECTS_SIZE, TABLES
from ._readable import examine
from ._request import Request, chosen, compression

# A set may be this much larger than the one before it without running into the space that must stay free.
GROWTH = 1.2
PASSWORDS = "the hashes of the roles' passwords"


@dataclasses.dataclass
class Result:
    """What came of it.

    :param manifest: of the new set, or of the one that is good enough; None in check mode when one would be taken
    :param path: where it lies: a directory, or its address off-site when nothing of it lies here
    :param offsite: address of its copy; empty when there is none
    :param swept: what interrupted runs had left
    :param seconds: what each stage took
    """

    changed: bool
    msg: str
    manifest: t.Optional[_manifest.Manifest]
    path: str
    findings: t.List[Finding]
    swept: t.List[str]
    offsite: str = ""
    seconds: t.Dict[str, float] = dataclasses.field(default_factory=dict)
    warnings: t.List[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class _Plan:
    subject: Subject
    good_enough: t.Optional[_manifest.Manifest]
    need: int
    findings: t.Sequence[Finding] = ()


class Backup:
    """Takes a set of one server into one store, and copies it off-site.

    :param client: reaches the server
    :param store: where the sets lie
    :param runner: starts the programs that decode
    :param offsite: where copies go, or the sets themselves when they are streamed; None: nowhere
    :param now: the clock
    """

    def __init__(
        self,
        client: Client,
        store: LocalStore,
        runner: Runner,
        offsite: t.Optional[Offsite] = None,
        now: t.Callable[[], datetime.datetime] = utc_now,
    ) -> None:
        self._client = client
        self._store = store
        self._runner = runner
        self._offsite = offsite
        self._now = now

    def take(self, request: Request, check_mode: bool = False) -> Result:
        """Take a set, unless one that is young enough is there.

        :raises MaintenanceError: it cannot be taken; the sets that are there stay as they are.
        """
        compression(request.compress)
        deadline = time.monotonic() + request.timeout
        found = [_archive.find(place) for place in request.places]
        for place in request.places:
            _archive.require_outside(place, self._store.root)
        if found:
            _archive.require_programs(request.compress, self._runner)
        if self._offsite:
            self._offsite.require_keys()
        self._store.require_ready()
        with self._store_failures([]):
            plan = self._plan(request, found)
        self._require_secrecy(plan.subject, request)
        reachable = finding(
            "database.reachable",
            self._client.subject,
            "ok",
            f"PostgreSQL {plan.subject.cluster['server_version']} answers.",
        )
        result = Result(False, "", None, "", [reachable, *plan.findings], self._store.leftovers())
        # What an interrupted run left must not be why there is no space; in check mode it is only counted.
        spare = sum(self._store.taken(name) for name in result.swept) if check_mode else 0
        if not check_mode:
            self._client.sweep()
            for name in result.swept:
                self._store.discard(name)
        if self._offsite:
            result.swept += self._offsite.left() if check_mode else self._offsite.clear_up()
        if plan.good_enough:
            return self._with(result, plan.good_enough, request, deadline, check_mode)
        if not request.stream:
            self._require_space(plan.need, request.min_free, spare)
        names = ", ".join(d["name"] for d in plan.subject.databases)
        if check_mode:
            how = "straight to" if request.stream else "and copied to"
            where = f" {how} {self._offsite.store.root}" if self._offsite else ""
            result.changed = True
            result.msg = f"A set of {names} would be taken{where} (at most about {format_size(plan.need)})."
            return result
        making = Making(self._client, self._runner, self._now, request, plan.subject, deadline)
        result.changed, result.seconds = True, making.seconds
        if request.stream and self._offsite:
            with self._store_failures(result.findings):
                manifest = making.straight_to(self._offsite)
            result.path = result.offsite = self._offsite.store.path(manifest["id"])
        else:
            manifest = making.into(self._store)
            result.path = self._store.path(manifest["id"])
        result.manifest = manifest
        rows = sum(d["rows_total"] for d in manifest["databases"])
        result.msg = (
            f"Set {manifest['id']} of {names}: {format_size(manifest['bytes'])}, {rows} rows, "
            "every table decoded and counted."
        )
        result.findings.append(finding("backup.verified", manifest["id"], "ok", result.msg, manifest["bytes"], "bytes"))
        result.warnings = _warnings(manifest)
        if not request.stream:
            self._copy(result, manifest, deadline)
        return result

    @contextlib.contextmanager
    def _store_failures(self, found: t.Sequence[Finding]) -> t.Iterator[None]:
        """A store off-site that fails is a finding of its own, beside those that were found before."""
        try:
            yield
        except S3Error as exc:
            root = self._offsite.store.root if self._offsite else ""
            failed = finding("backup.offsite", root, "critical", exc.message, remedy=exc.remedy)
            raise MaintenanceError(exc.message, exc.remedy, findings=[*found, failed]) from exc

    def _with(
        self, result: Result, manifest: _manifest.Manifest, request: Request, deadline: float, check_mode: bool
    ) -> Result:
        """Leave it at the set that is good enough, off-site too."""
        age = format_duration((self._now() - _manifest.snapshot_time(manifest)).total_seconds())
        result.manifest = manifest
        result.msg = f"The verified set {manifest['id']} is {age} old and young enough; no new one is taken."
        if request.stream and self._offsite:
            result.path = result.offsite = self._offsite.store.path(manifest["id"])
            return result
        result.path = self._store.path(manifest["id"])
        if self._offsite and check_mode:
            with self._store_failures(result.findings):
                there = self._offsite.store.has(manifest["id"])
            if there:
                result.offsite = self._offsite.store.path(manifest["id"])
            else:
                self._offsite.require_secrecy(_secrets(manifest))
                result.changed = True
                result.msg += f" It would be copied to {self._offsite.store.root}."
            return result
        self._copy(result, manifest, deadline)
        return result

    def _copy(self, result: Result, manifest: _manifest.Manifest, deadline: float) -> None:
        """Copy a set off-site unless it is there.

        :raises MaintenanceError: it could not be copied; the local set stays.
        """
        if not self._offsite:
            return
        root = self._offsite.store.root
        began = time.monotonic()
        try:
            if not self._offsite.store.has(manifest["id"]):
                # An earlier set may hold more than is asked for now.
                self._offsite.require_secrecy(_secrets(manifest))
                self._offsite.copy(manifest["id"], result.path, manifest, deadline)
                result.changed = True
                result.msg += f" Copied to {root} and read back."
        except MaintenanceError as exc:
            message = f"Set {manifest['id']} is whole in {result.path}, but not off-site: {exc.message}"
            remedy = exc.remedy or "Run this again; with -e maintenance_backup_max_age=11h it only copies that set."
            failed = finding("backup.offsite", root, "critical", message, remedy=remedy)
            raise MaintenanceError(message, remedy, findings=[*result.findings, failed]) from exc
        result.seconds["copy"] = round(time.monotonic() - began, 2)
        result.offsite = self._offsite.store.path(manifest["id"])

    def _plan(self, request: Request, found: t.Sequence[_archive.Found]) -> _Plan:
        with self._client.session(request.login_db) as session:
            (cluster,) = session.query(CLUSTER, request.timeout)
            existing = session.query(DATABASES, request.timeout)
        databases = chosen(request.databases, existing)
        subject = Subject(cluster, databases, found)
        if not request.force and request.max_age > 0:
            good = self._good_enough(request, subject)
            if good:
                return _Plan(subject, good, 0)
        # What the role cannot read is an error before anything is written; what pg_dump leaves out for it is told.
        left_out = examine(self._client, [d["name"] for d in databases])
        return _Plan(subject, None, self._expected_bytes(subject, request.lock_wait), left_out)

    def _good_enough(self, request: Request, subject: Subject) -> t.Optional[_manifest.Manifest]:
        """The newest set that is as asked and young enough."""
        streamed = request.stream and self._offsite is not None
        names = [d["name"] for d in subject.databases]
        entries = self._offsite.store.entries() if streamed and self._offsite else self._store.entries()
        good = None
        for entry in entries:
            manifest = entry.manifest
            # A set with a file missing or cut short is not good enough, whatever its manifest says.
            if (
                manifest
                and not _manifest.problem(entry)
                and _manifest.fresh(manifest, subject.cluster["system_identifier"], names, self._now(), request.max_age)
                and all(any(_archive.holds(a, p) for a in manifest.get("archives", [])) for p in request.places)
                and (manifest["globals"]["included"] or not request.with_globals)
                and set(request.tags) <= set(manifest.get("tags", []))
                and (streamed or not _manifest.damage(entry, "sizes", self._runner))
            ):
                good = manifest
        return good

    def _require_secrecy(self, subject: Subject, request: Request) -> None:
        if self._offsite:
            secrets = [f"{each.place.name}/{name}" for each in subject.found for name in each.secrets]
            if request.with_globals and subject.cluster["sees_passwords"]:
                secrets.append(PASSWORDS)
            self._offsite.require_secrecy(secrets)

    def _expected_bytes(self, subject: Subject, lock_wait: int) -> int:
        """Bytes that the set may take: as the last one of each database, else as its tables and files.

        :param lock_wait: seconds to wait for a lock on a table
        """
        identity = subject.cluster["system_identifier"]
        known: t.Dict[str, int] = {}
        archived: t.Dict[str, t.Mapping[str, t.Any]] = {}
        for entry in self._store.entries():
            manifest = entry.manifest
            if manifest and not _manifest.problem(entry) and manifest["system_identifier"] == identity:
                known.update({d["name"]: d["bytes"] for d in manifest["databases"]})
                archived.update({a["name"]: a for a in manifest.get("archives", [])})
        need = 0.0
        for found in subject.found:
            last = archived.get(found.place.name)
            # It was compressed as well as these will be; there may be many more by now.
            more = found.bytes / max(1, last["unpacked_bytes"]) if last else 1
            need += last["bytes"] * GROWTH * max(1, more) if last else found.bytes
        for database in subject.databases:
            if database["name"] in known:
                need += known[database["name"]] * GROWTH
            else:
                with locks_told(database["name"]), self._client.session(database["name"]) as session:
                    session.run(f"SET lock_timeout = '{lock_wait}s'")
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


def _secrets(manifest: _manifest.Manifest) -> t.List[str]:
    """What a set holds of secrets, in words."""
    archives = manifest.get("archives", [])
    secrets = [f"{archive['name']}/{name}" for archive in archives for name in archive.get("secrets", [])]
    both = manifest["globals"]["included"] and manifest["globals"]["passwords"]
    return [*secrets, PASSWORDS] if both else secrets


def _warnings(manifest: _manifest.Manifest) -> t.List[str]:
    """What is in the set, but not as somebody may think."""
    said = []
    if manifest["globals"]["included"] and not manifest["globals"]["passwords"]:
        said.append("The roles are in the set without the hashes of their passwords, which this role may not read.")
    for archive in manifest["archives"]:
        if archive["missing"]:
            said.append(f"{archive['name']}: there is no {', '.join(archive['missing'])} in {archive['path']}.")
        for link in archive["links"]:
            said.append(f"{archive['name']}: {link} is a symbolic link; what it leads to is not in the set.")
        if archive["changed_while_read"]:
            said.append(f"{archive['name']}: files changed while they were read, as logs do.")
    return said
