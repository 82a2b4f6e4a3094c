# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""What a backup set says of itself, and whether its files are still what it says."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import subprocess
import typing as t
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

from .._errors import MaintenanceError
from .._process import ProgramError, Runner, pipe_of
from .._storage._local import MANIFEST, Entry
from .._time import parse_utc
from . import _archive, _decode
from ._client import client_version, programs

SCHEMA = 1
# From the quickest look to the closest.
CHECKS = ("none", "sizes", "hashes", "decode")
# A set whose snapshot lies further in the future than this was made under another clock, and proves nothing.
CLOCK_TOLERANCE = datetime.timedelta(minutes=5)

Manifest = t.Dict[str, t.Any]
Problem = t.Tuple[str, str]


def seal(manifest: Manifest) -> Manifest:
    """The manifest with a checksum over its own content."""
    return {**manifest, "checksum": checksum(manifest)}


def checksum(manifest: t.Mapping[str, t.Any]) -> str:
    """SHA-256 of everything else in the manifest, in one fixed notation."""
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode("utf-8")).hexdigest()


def directory_name(database: str) -> str:
    """Name of the directory or file that holds a database's dump: safe for every name PostgreSQL allows."""
    quoted = urllib.parse.quote(database, safe="")
    return quoted.replace(".", "%2E") if quoted.startswith(".") else quoted


def snapshot_time(manifest: Manifest) -> datetime.datetime:
    """The moment that a set brings back."""
    return parse_utc(manifest["snapshot_time"])


def verified(manifest: Manifest) -> bool:
    """Whether the set was decoded and its rows were counted when it was made."""
    return any(v["level"] in ("decode", "restore") for v in manifest.get("verification", []))


def fresh(
    manifest: Manifest, identity: str, databases: t.Collection[str], now: datetime.datetime, max_age: float
) -> bool:
    """Whether a set is a verified one of this cluster, holds these databases, and is at most C(max_age) seconds old."""
    age = now - snapshot_time(manifest)
    return (
        manifest["system_identifier"] == identity
        and set(databases) <= {d["name"] for d in manifest["databases"]}
        and verified(manifest)
        and -CLOCK_TOLERANCE <= age <= datetime.timedelta(seconds=max_age)
    )


def problem(entry: Entry) -> str:
    """Why a set's manifest does not count; empty when it does."""
    if entry.manifest is None:
        return entry.problem
    if entry.manifest.get("schema") != SCHEMA:
        return f"its schema is {entry.manifest.get('schema')!r}, and only {SCHEMA} is known"
    if entry.manifest.get("checksum") != checksum(entry.manifest):
        return "it was changed after it was written"
    if entry.manifest.get("id") != entry.id:
        return f"it is that of the set {entry.manifest.get('id')!r}"
    return ""


def damage(entry: Entry, check: str, runner: Runner, jobs: int = 2) -> t.List[Problem]:
    """What is wrong with a set: pairs of file (relative to the set) and reason. An empty list: nothing.

    :param check: how closely to look; one of C(CHECKS)
    :param jobs: number of files read at a time
    """
    wrong = problem(entry)
    if wrong or entry.manifest is None:
        return [(MANIFEST, wrong)]
    if check == "none":
        return []
    manifest = entry.manifest
    known = {file["path"] for file in manifest["files"]}
    problems: t.List[Problem] = [
        (path, "it does not belong to the set") for path in _paths(entry.path) if path not in known and path != MANIFEST
    ]
    expected = _expected(manifest) if check == "decode" else {}
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        looked = pool.map(lambda f: _look(entry.path, f, check, expected.get(f["path"]), runner), manifest["files"])
        problems += [found for found in looked if found]
    if check == "decode":
        for database in manifest["databases"]:
            if database["format"] == "custom" and not any(p[0] == database["path"] for p in problems):
                problems += _decode_custom(entry.path, database, _restorer(manifest, runner))
    return sorted(problems)


def _paths(directory: str) -> t.Iterator[str]:
    for folder, _directories, names in os.walk(directory):
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), directory)


def _expected(manifest: Manifest) -> t.Dict[str, t.Tuple[str, int]]:
    """Rows, or bytes of a large object, that a data file must hold after decoding."""
    return {
        **{
            table["file"]: ("rows", table["rows"])
            for d in manifest["databases"]
            for table in d["tables"]
            if table["file"]
        },
        **{
            item["file"]: ("bytes", item["bytes"])
            for d in manifest["databases"]
            for item in d["large_objects"]
            if item["file"]
        },
        **{archive["file"]: ("members", archive["members"]) for archive in manifest.get("archives", [])},
    }


def _look(
    directory: str, file: t.Mapping[str, t.Any], check: str, expected: t.Optional[t.Tuple[str, int]], runner: Runner
) -> t.Optional[Problem]:
    path = os.path.join(directory, file["path"])
    try:
        size = os.lstat(path).st_size
        if size != file["bytes"]:
            return file["path"], f"it has {size} bytes instead of {file['bytes']}"
        if check == "sizes":
            return None
        if check == "hashes" or expected is None:
            hashed = _decode.digest(path)[1]
        elif expected[0] == "members":
            held, _size, hashed = _archive.count(path, runner)
            if held != expected[1]:
                return file["path"], f"it holds {held} members instead of {expected[1]}"
        else:
            content = _decode.read(path, runner)
            hashed = content.sha256
            kind, number = expected
            held = content.rows() if kind == "rows" else content.decoded
            if held != number:
                return file["path"], f"it holds {held} {kind} instead of {number}"
        if hashed != file["sha256"]:
            return file["path"], "its content has changed (SHA-256)"
    except FileNotFoundError:
        return file["path"], "it is missing"
    except _decode.DamagedError as exc:
        return file["path"], exc.message
    except OSError as exc:
        return file["path"], f"it cannot be read ({exc.strerror})"
    return None


def _restorer(manifest: Manifest, runner: Runner) -> Runner:
    """A runner that finds a pg_restore of the version that dumped the set, or of a newer one.

    :raises ProgramError: there is none; an older one would take the set for damaged.
    """
    version = manifest["client_version"]
    fitting, have = programs(runner, client_version(f"(PostgreSQL) {version}")[0])
    if not fitting:
        raise ProgramError(
            f"Set {manifest['id']} needs pg_restore {version} or newer to be decoded; this host has: {have}.",
            remedy="Install that postgresql-client on this host, or look with check: hashes.",
        )
    return fitting[0].runner


def _decode_custom(directory: str, database: t.Mapping[str, t.Any], runner: Runner) -> t.List[Problem]:
    tables = {table["quoted"].encode("utf-8"): table["oid"] for table in database["tables"]}
    argv = ["pg_restore", "--data-only", "--file=-", os.path.join(directory, database["path"])]
    process = runner.start(argv, stderr=subprocess.DEVNULL)
    try:
        output = pipe_of(process.stdout)
        counted = _decode.count_script(output, tables)
        output.close()
        status = process.wait()
    finally:
        runner.stop(process)
    return compare_custom(database, counted, status)


def compare_custom(database: t.Mapping[str, t.Any], counted: _decode.Counted, status: int) -> t.List[Problem]:
    """Differences between what was counted in a streamed dump and its manifest.

    :param status: exit status of the program that decoded it
    """
    path = database["path"]
    if not counted.complete or status != 0:
        return [(path, "it cannot be decoded to its end")]
    problems = [
        (path, f"it holds {counted.rows.get(table['oid'], 'no')} rows of {table['quoted']} instead of {table['rows']}")
        for table in database["tables"]
        if counted.rows.get(table["oid"]) != table["rows"]
    ]
    for item in database["large_objects"]:
        held = counted.large_objects.get(item["oid"])
        if held != item["bytes"]:
            problems.append(
                (path, f"it holds {held} bytes of the large object {item['oid']} instead of {item['bytes']}")
            )
    return problems


def require_programs(manifests: t.Iterable[Manifest], runner: Runner) -> None:
    """Refuse to decode without the programs that it takes.

    :raises ProgramError: one is not installed, or too old.
    """
    needed = set()
    for manifest in manifests:
        for database in manifest["databases"]:
            if database["format"] == "directory":
                needed.add(database["compress"].partition(":")[0])
            else:
                _restorer(manifest, runner)
    for program in sorted(needed - {"none"}):
        if not runner.find(program):
            raise ProgramError(
                f"The program {program} is not installed.", remedy="Run playbooks/prepare.yml on this host."
            )


def problem_error(problems: t.Sequence[Problem], what: str) -> MaintenanceError:
    """The error for a new dump that does not hold what it should."""
    shown = "; ".join(f"{path}: {reason}" for path, reason in problems[:3])
    more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
    return MaintenanceError(
        f"{what} is not what the database held, and is thrown away: {shown}{more}.",
        "Nothing was replaced. Look at the disk and at PostgreSQL's log, then take the backup again.",
    )
