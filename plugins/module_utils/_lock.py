# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""One writer at a time, on two levels: a kernel lock for a step, a lease for a run."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import tempfile
import time
import typing as t

from ._errors import MaintenanceError
from ._time import format_duration, format_utc, parse_utc

LEASE_FIELDS = ("run_id", "owner", "purpose", "since", "renewed", "expires")


def write_atomically(path: str, text: str, mode: int = 0o600) -> None:
    """Replace a file by rename, so that a reader sees the old or the new text; on the disk when it returns."""
    directory = os.path.dirname(path)
    descriptor, temporary = tempfile.mkstemp(prefix=".tmp-", dir=directory)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(directory)


def sync_directory(directory: str) -> None:
    """Make renames and removals in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def kernel_lock(path: str, holder: t.Mapping[str, t.Any], wait: float = 0.0) -> t.Iterator[None]:
    """Hold the lock of this host while a step changes it; it is gone with the process, however that ends.

    :param path: the lock file
    :param holder: who holds it (module, run_id, ...), shown to those who find it taken
    :param wait: seconds to wait for another holder
    :raises MaintenanceError: it is still taken after that time, or the file cannot be opened.
    """
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise MaintenanceError(f"The lock {path} cannot be opened: {exc.strerror}; run as root (become).") from exc
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    file.seek(0)
                    raise MaintenanceError(_busy(file.read()), "Wait for it, or stop that process.") from None
                time.sleep(0.1)
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), **holder}, file)
        file.flush()
        yield


def _busy(text: str) -> str:
    try:
        holder = json.loads(text)
    except ValueError:
        holder = {}
    run = f" of run {holder['run_id']}" if holder.get("run_id") else ""
    return (
        f"Another step is changing this host: {holder.get('module', 'a module')}{run}, "
        f"process {holder.get('pid', 'unknown')}, since {holder.get('since', 'an unknown time')}."
    )


class LeaseHeldError(MaintenanceError):
    """Another run holds the lease and its time has not run out."""


class Lease:
    """The lease of one host, a file in its state directory. Change it only under C(kernel_lock)."""

    def __init__(self, state_dir: str) -> None:
        self.path = os.path.join(state_dir, "lease.json")

    def read(self) -> t.Optional[t.Dict[str, str]]:
        """The lease that stands, expired or not; None when there is none.

        :raises MaintenanceError: the file is damaged.
        """
        try:
            with open(self.path, encoding="utf-8") as file:
                lease = json.load(file)
            fields = {name: str(lease[name]) for name in LEASE_FIELDS}
            for name in ("since", "renewed", "expires"):
                parse_utc(fields[name])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise MaintenanceError(
                f"The lease file {self.path} is damaged.", "Look at it; remove it if no maintenance is running."
            ) from None
        return fields

    def check(self, run_id: str, now: datetime.datetime, take_over: bool = False) -> t.Optional[t.Dict[str, str]]:
        """Whether a run may take the lease; changes nothing.

        :return: the lease of another run that would be replaced (expired, or taken over), if any
        :raises LeaseHeldError: another run's lease is live and C(take_over) is false.
        """
        standing = self.read()
        if standing is None or standing["run_id"] == run_id:
            return None
        if not expired(standing, now) and not take_over:
            held = format_duration((now - parse_utc(standing["since"])).total_seconds())
            raise LeaseHeldError(
                f"Run {standing['run_id']} ({standing['purpose']}, started by {standing['owner']}) holds this host "
                f"since {standing['since']} ({held} ago), until {standing['expires']} unless renewed.",
                "Wait for it; if that run is dead, take over with -e maintenance_take_over=true.",
                holder=standing,
            )
        return standing

    def acquire(
        self,
        run_id: str,
        owner: str,
        purpose: str,
        ttl: int,
        now: datetime.datetime,
        take_over: bool = False,
    ) -> t.Optional[t.Dict[str, str]]:
        """Take or renew the lease for a run.

        :param ttl: seconds until it expires unless renewed
        :return: the lease of another run that was replaced (expired, or taken over), if any
        :raises LeaseHeldError: another run's lease is live and C(take_over) is false.
        """
        replaced = self.check(run_id, now, take_over)
        standing = self.read()
        since = parse_utc(standing["since"]) if standing and replaced is None else now
        self._write(run_id, owner, purpose, since, now, ttl)
        return replaced

    def renew(self, run_id: str, now: datetime.datetime) -> None:
        """Put the expiry of this run's lease as far ahead as it was when taken.

        :raises MaintenanceError: the lease is not this run's (any more).
        """
        standing = self.read()
        if standing is None or standing["run_id"] != run_id:
            holder = f"run {standing['run_id']} ({standing['purpose']})" if standing else "nobody"
            raise MaintenanceError(
                f"Run {run_id} does not hold the lease of this host; {holder} does.",
                "Start the playbook again; a run that lost its lease must not go on.",
            )
        ttl = int((parse_utc(standing["expires"]) - parse_utc(standing["renewed"])).total_seconds())
        self._write(run_id, standing["owner"], standing["purpose"], parse_utc(standing["since"]), now, ttl)

    def release(self, run_id: str) -> bool:
        """Give the lease back; False when it is not this run's, which is then left alone."""
        standing = self.read()
        if standing is None or standing["run_id"] != run_id:
            return False
        os.unlink(self.path)
        sync_directory(os.path.dirname(self.path))
        return True

    def _write(
        self,
        run_id: str,
        owner: str,
        purpose: str,
        since: datetime.datetime,
        now: datetime.datetime,
        ttl: int,
    ) -> None:
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        values = (
            run_id,
            owner,
            purpose,
            format_utc(since),
            format_utc(now),
            format_utc(now + datetime.timedelta(seconds=ttl)),
        )
        write_atomically(self.path, json.dumps(dict(zip(LEASE_FIELDS, values)), indent=1) + "\n")


def expired(lease: t.Mapping[str, str], now: datetime.datetime) -> bool:
    """Whether the time of a lease has run out.

    A lease from the future, after the clock was set back, is live: taking it over needs a person.
    """
    return now >= parse_utc(lease["expires"])
