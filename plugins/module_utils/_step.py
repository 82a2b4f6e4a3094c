# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""What surrounds the work of every module: kernel lock, lease, journal, errors in one sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import socket
import typing as t

from ansible.module_utils.common.parameters import remove_values

from ._errors import MaintenanceError
from ._findings import Finding
from ._journal import Journal
from ._lock import Lease, kernel_lock
from ._process import Runner
from ._time import format_utc, utc_now

STATE_DIR = "/var/lib/boardroom-maintenance"
LOCK_PATH = "/run/boardroom-maintenance.lock"

ARGUMENTS: t.Dict[str, t.Dict[str, t.Any]] = {
    "run_id": {"type": "str"},
    "step": {"type": "str"},
    "state_dir": {"type": "path", "default": STATE_DIR},
    "lock_wait": {"type": "int", "default": 30},
}


@dataclasses.dataclass
class Outcome:
    """What a step did and saw.

    :param msg: one sentence for a person
    :param values: further keys of the module's result
    :param record: small facts for the journal and the report (sizes, ids, durations); no secret
    :param diff: before and after, as Ansible shows them
    """

    changed: bool
    msg: str
    findings: t.List[Finding] = dataclasses.field(default_factory=list)
    values: t.Dict[str, t.Any] = dataclasses.field(default_factory=dict)
    record: t.Dict[str, t.Any] = dataclasses.field(default_factory=dict)
    diff: t.Optional[t.Dict[str, t.Any]] = None
    warnings: t.List[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Context:
    """What a step is given beside its own options."""

    check_mode: bool
    runner: Runner
    now: datetime.datetime
    run_id: t.Optional[str]
    state_dir: str


class _Module(t.Protocol):
    """The part of AnsibleModule that is used here."""

    params: t.Dict[str, t.Any]
    check_mode: bool
    no_log_values: t.Set[str]
    _name: str
    _diff: bool

    def exit_json(self, **kwargs: t.Any) -> t.NoReturn: ...
    def fail_json(self, msg: str, **kwargs: t.Any) -> t.NoReturn: ...
    def warn(self, warning: str) -> None: ...


def lock_path(state_dir: str) -> str:
    """Where the kernel lock lies: below /run, or beside a state directory that is not the usual one."""
    return LOCK_PATH if state_dir == STATE_DIR else os.path.join(state_dir, "lock")


def execute(
    module: t.Any,
    work: t.Callable[[Context], Outcome],
    *,
    mutates: bool,
    holds_lease: bool = True,
    journaled: bool = True,
    before: t.Callable[[Context], None] = lambda context: None,
) -> None:
    """Do the work of a module and end it with its result.

    A step that mutates takes the kernel lock, and within a run (C(run_id)) renews the run's lease first. Its
    record goes to the journal whether it succeeds or fails. In check mode nothing of this is written.

    :param module: the AnsibleModule
    :param mutates: the work changes the host
    :param holds_lease: the run must hold the lease; false only for what takes and gives it
    :param journaled: leave a record; false only for what reads the journal
    :param before: refuses, by an error, what need not wait for the lock
    """
    bound = t.cast(_Module, module)
    params = bound.params
    began = utc_now()
    context = Context(
        check_mode=bound.check_mode,
        runner=Runner(secrets=[str(value) for value in bound.no_log_values]),
        now=began,
        run_id=params["run_id"] or None,
        state_dir=params["state_dir"],
    )
    outcome: t.Optional[Outcome] = None
    error: t.Optional[Exception] = None
    try:
        before(context)
        with _exclusive(bound, context, mutates, holds_lease):
            outcome = work(context)
    except Exception as exc:  # pylint: disable=broad-except
        error = exc
    if journaled and not bound.check_mode:
        try:
            _record(bound, context, outcome, error)
        except MaintenanceError as exc:
            error = error or exc
    if error is not None or outcome is None:
        _fail(bound, context, error or MaintenanceError("The step came to no end."))
        return
    for warning in outcome.warnings:
        bound.warn(warning)
    result = {**outcome.values, "changed": outcome.changed, "msg": outcome.msg, "findings": outcome.findings}
    if outcome.diff is not None and bound._diff:
        result["diff"] = outcome.diff
    bound.exit_json(**result)


@contextlib.contextmanager
def _exclusive(module: _Module, context: Context, mutates: bool, holds_lease: bool) -> t.Iterator[None]:
    if not mutates or context.check_mode:
        yield
        return
    holder = {"module": _name(module), "run_id": context.run_id, "since": format_utc(context.now)}
    with kernel_lock(lock_path(context.state_dir), holder, module.params["lock_wait"]):
        if context.run_id and holds_lease:
            Lease(context.state_dir).renew(context.run_id, utc_now())
        yield
        if context.run_id and holds_lease:
            # A long step must not leave the next one with a lease that ran out meanwhile.
            Lease(context.state_dir).renew(context.run_id, utc_now())


def _record(module: _Module, context: Context, outcome: t.Optional[Outcome], error: t.Optional[Exception]) -> None:
    ended = utc_now()
    record = {
        "kind": "step",
        "run_id": context.run_id,
        "step": module.params["step"] or _name(module),
        "module": _name(module),
        "host": socket.gethostname(),
        "started": format_utc(context.now),
        "finished": format_utc(ended),
        "seconds": round((ended - context.now).total_seconds(), 1),
        "changed": bool(outcome and outcome.changed),
        "failed": error is not None,
        "msg": context.runner.redact(_sentence(error) if error else outcome.msg if outcome else ""),
        "remedy": error.remedy if isinstance(error, MaintenanceError) else "",
        "findings": outcome.findings if outcome else getattr(error, "details", {}).get("findings", []),
        "data": outcome.record if outcome else {},
    }
    try:
        Journal(context.state_dir).append(remove_values(record, module.no_log_values))
    except MaintenanceError as exc:
        if context.run_id:
            raise
        # An observer used ad hoc by an ordinary user may not write here; it still answers.
        module.warn(exc.message)


def _name(module: _Module) -> str:
    """The module's short name; Ansible gives the full one or the short one, as the task was written."""
    return module._name.rpartition(".")[2]


def _sentence(error: Exception) -> str:
    if isinstance(error, MaintenanceError):
        return error.message
    return f"Unexpected {type(error).__name__}: {error}"


def _fail(module: _Module, context: Context, error: Exception) -> None:
    message = context.runner.redact(_sentence(error))
    if isinstance(error, MaintenanceError):
        said = f"{message} {error.remedy}".strip()
        module.fail_json(msg=said, remedy=error.remedy, **{"findings": [], **error.details})
    else:
        module.fail_json(msg=message, findings=[], exception=error)
