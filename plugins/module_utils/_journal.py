# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""What this host has been through: one JSON object a line, appended by every step, kept where the work is done."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import typing as t

from ._errors import MaintenanceError

Record = t.Dict[str, t.Any]

SCHEMA = 1
# About a year of hourly runs; the file before it is kept too.
ROTATE_BYTES = 16 * 1024 * 1024


class Journal:
    """The journal in one state directory.

    :param state_dir: directory of the collection's state on this host; made (0700) when missing
    """

    def __init__(self, state_dir: str) -> None:
        self.path = os.path.join(state_dir, "journal.jsonl")
        self._older = os.path.join(state_dir, "journal.1.jsonl")
        self._dir = state_dir

    def append(self, record: Record) -> None:
        """Add one record; it is on the disk when this returns.

        :raises MaintenanceError: it could not be written.
        """
        line = json.dumps({"schema": SCHEMA, **record}, ensure_ascii=False, sort_keys=True, default=str) + "\n"
        try:
            os.makedirs(self._dir, mode=0o700, exist_ok=True)
            with self._open() as file:
                # A write that a crash or a full disk cut short must not swallow this line.
                if file.seek(0, os.SEEK_END) > 0:
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        line = "\n" + line
                file.write(line.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            raise MaintenanceError(
                f"The journal {self.path} could not be written: {exc.strerror}.",
                "Free space or mend the rights of the directory; without its record a run is never green.",
            ) from exc

    @contextlib.contextmanager
    def _open(self) -> t.Iterator[t.BinaryIO]:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                state = os.fstat(file.fileno())
                if state.st_nlink == 0:
                    # Another writer rotated it away between open and lock.
                    continue
                if state.st_size >= ROTATE_BYTES:
                    os.replace(self.path, self._older)
                    continue
                yield t.cast(t.BinaryIO, file)
                return

    def read(self, run_ids: t.Optional[t.Collection[str]] = None) -> t.Tuple[t.List[Record], int]:
        """Records, oldest first, and the number of lines that are no record (cut short by a crash).

        :param run_ids: only records of these runs
        """
        records: t.List[Record] = []
        damaged = 0
        for path in (self._older, self.path):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    for line in file:
                        record = _parse(line)
                        if record is None:
                            damaged += bool(line.strip())
                        elif run_ids is None or record.get("run_id") in run_ids:
                            records.append(record)
            except FileNotFoundError:
                continue
        return records, damaged

    def verdicts(self, before: str = "") -> t.Dict[str, Record]:
        """The newest record of kind verdict of each playbook: how its last run ended, as people were told.

        :param before: leave out those of this run and of runs that began after it; empty: none
        """
        newest: t.Dict[str, Record] = {}
        for path in (self._older, self.path):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    for line in file:
                        # Most lines are steps, and long; they need not be parsed for this.
                        record = _parse(line) if '"verdict"' in line else None
                        if record is None or record.get("kind") != "verdict":
                            continue
                        if not before or str(record.get("run_id")) < before:
                            newest[str(record.get("playbook"))] = record
            except FileNotFoundError:
                continue
        return newest


def _parse(line: str) -> t.Optional[Record]:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
