# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""What a report is made of. C(Report.as_json) is the content of report.json; the pages are rendered from that alone."""

from __future__ import annotations

import dataclasses
import math
import re
import typing as t

from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._findings import STATUSES
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import parse_utc

SCHEMA = 1
# Sorts by time, as _time.new_id makes it; it becomes the name of a directory.
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_DEPTH = 40


def plain(value: t.Any, depth: int = 0) -> t.Any:
    """The same value in JSON's own types, valid as UTF-8: no tagged string or lazy container of Ansible is left."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, t.Mapping) and depth < _DEPTH:
        return {plain(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and depth < _DEPTH:
        return [plain(item, depth + 1) for item in value]
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str.__str__(str(value))
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


@dataclasses.dataclass(frozen=True)
class Frame:
    """What is known of a run from its beginning; one field for each option of the module."""

    run_id: str
    title: str
    playbook: str
    started: str
    started_by: str
    expected_hosts: t.List[str] = dataclasses.field(default_factory=list)
    steps: t.List[str] = dataclasses.field(default_factory=list)
    checklist: t.List[t.Dict[str, t.Any]] = dataclasses.field(default_factory=list)
    contacts: t.List[t.Dict[str, str]] = dataclasses.field(default_factory=list)
    notes: str = ""
    fail_on: str = "critical"

    def __post_init__(self) -> None:
        """:raises MaintenanceError: run_id or started is not what it must be."""
        if not _RUN_ID.fullmatch(self.run_id):
            raise MaintenanceError(
                f"run_id is {self.run_id!r}, but must be a time and eight hex digits such as 20261124T020000Z-9f3a1c2e."
            )
        try:
            parse_utc(self.started)
        except ValueError:
            raise MaintenanceError(
                f"started is {self.started!r}, but must be a time in UTC such as 2026-11-24T02:00:00Z."
            ) from None


@dataclasses.dataclass
class Finding:
    """One observation of one host, at its latest look.

    :ivar steps: all steps that looked at it, in order
    :ivar step: the last of them; C(at) is when that step ended
    :ivar history: what the earlier looks said when it was something else: C(step), C(at), C(status), C(message)
    :ivar recovered: it is ok now and was not before
    """

    check: str
    subject: str
    status: str
    value: t.Any
    unit: str
    threshold: t.Any
    message: str
    remedy: str
    host: str
    step: str = ""
    at: str = ""
    steps: t.List[str] = dataclasses.field(default_factory=list)
    history: t.List[t.Dict[str, str]] = dataclasses.field(default_factory=list)
    recovered: bool = False

    @property
    def key(self) -> t.Tuple[str, str, str]:
        """What makes two looks the same look."""
        return (self.host, self.check, self.subject)

    @classmethod
    def read(cls, raw: t.Mapping[str, t.Any], host: str, step: str = "", at: str = "") -> Finding:
        """Read a finding of a journal; a status that nobody knows counts as critical."""
        status = str(raw.get("status"))
        return cls(
            check=_text(raw, "check") or "unnamed",
            subject=_text(raw, "subject"),
            status=status if status in STATUSES else "critical",
            value=raw.get("value"),
            unit=_text(raw, "unit"),
            threshold=raw.get("threshold"),
            message=_text(raw, "message"),
            remedy=_text(raw, "remedy"),
            host=host,
            step=step,
            at=at,
            steps=[step] if step else [],
        )


@dataclasses.dataclass
class Step:
    """One record of the journal: a module that worked (C(kind) step), or a task that failed (task_failed)."""

    host: str
    step: str
    kind: str
    module: str
    task: str
    started: str
    finished: str
    seconds: float
    changed: bool
    failed: bool
    msg: str
    remedy: str
    data: t.Dict[str, t.Any]
    findings: t.List[Finding]
    damaged: bool = False

    @classmethod
    def read(cls, raw: t.Mapping[str, t.Any], host: str) -> Step:
        """Read a record; what is not as it must be becomes empty and C(damaged)."""
        step, module = _text(raw, "step"), _text(raw, "module")
        started = _moment(raw.get("started"))
        finished = _moment(raw.get("finished")) or started
        found = raw.get("findings") or []
        observed = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
        seconds = raw.get("seconds")
        data = raw.get("data")
        return cls(
            host=host,
            step=step or module or "unnamed",
            kind=_text(raw, "kind"),
            module=module.rpartition(".")[2],
            task=_text(raw, "task"),
            started=started,
            finished=finished,
            seconds=max(0.0, float(seconds)) if isinstance(seconds, (int, float)) else 0.0,
            changed=raw.get("changed") is True,
            failed=_text(raw, "kind") == "task_failed" or raw.get("failed") is True,
            msg=_text(raw, "msg"),
            remedy=_text(raw, "remedy"),
            data=data if isinstance(data, dict) else {},
            findings=[Finding.read(item, host, step or module, finished) for item in observed],
            damaged=not started or not isinstance(found, list) or len(observed) < len(found),
        )


@dataclasses.dataclass
class Host:
    """How one host took part in the run."""

    name: str
    reachable: bool
    error: str = ""
    damaged_lines: int = 0
    records: int = 0
    failed: int = 0
    changed: int = 0


@dataclasses.dataclass
class BrokenRun:
    """An earlier run that never ended, with the last steps that it recorded."""

    run_id: str
    host: str
    owner: str
    purpose: str
    reason: str
    last_steps: t.List[t.Dict[str, t.Any]]


@dataclasses.dataclass
class Report:
    """All of it."""

    run_id: str
    title: str
    playbook: str
    started: str
    finished: str
    seconds: float
    started_by: str
    verdict: str
    summary: str
    fail_on: str
    counts: t.Dict[str, int]
    findings: t.List[Finding]
    hosts: t.List[Host]
    steps: t.List[Step]
    planned_steps: t.List[str]
    checklist: t.List[t.Dict[str, t.Any]]
    broken_runs: t.List[BrokenRun]
    contacts: t.List[t.Dict[str, str]]
    notes: str

    def as_json(self) -> t.Dict[str, t.Any]:
        """The content of report.json. The findings stand once, not again in the steps."""
        content = dataclasses.asdict(self)
        for step in content["steps"]:
            del step["findings"], step["damaged"]
        return t.cast(t.Dict[str, t.Any], plain({"schema": SCHEMA, **content}))


def _text(raw: t.Mapping[str, t.Any], key: str) -> str:
    value = raw.get(key)
    return "" if value is None else str(value)


def _moment(value: t.Any) -> str:
    """The time if it is one, else nothing."""
    try:
        parse_utc(str(value))
    except ValueError:
        return ""
    return str(value)
