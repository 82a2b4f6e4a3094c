# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""From the journals of a run to its report: what is true now, what comes first, how it ended."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._findings import STATUSES, severity
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import format_utc, parse_utc
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._report_model import (
    BrokenRun,
    Finding,
    Frame,
    Host,
    Report,
    Step,
)

# Cause before effect: what lies lower in the stack comes first among findings that are equally bad. The longest
# entry that a check begins with decides; a check of no entry comes at the place of "".
CAUSES = (
    "run.record",  # the host could not be seen at all
    "host",
    "disk",
    "engine",
    "database",
    "cache",
    "container",
    "proxy",
    "certificate",
    "health",
    "window",
    "",
    "run.step",  # a step failed and could not say what it found
    "backup",
    "run.journal",
    "run.unfinished",
)
_LAST_STEPS = 5
_SUMMARY_CHARS = 240


def opened(frame: Frame) -> Report:
    """The report of a run that has only begun; it stays when its controller dies, or loses its last host."""
    remedy = (
        f"If the run is over: see whether host and controller run and reach each other, then run {frame.playbook}.yml "
        "again; lease and maintenance page expire by themselves."
    )
    missing = [
        _finding("run.record", name, "critical", f"No record of this run has come from {name}.", name, remedy)
        for name in frame.expected_hosts
    ]
    names = f"no record has come from {', '.join(frame.expected_hosts)}"
    why = "it is still at work, its controller died, or no host could be reached any more"
    return Report(
        **_frame(frame),
        finished="",
        seconds=0.0,
        verdict="unfinished",
        summary=f"The run has not finished, and {names}: {why}.",
        counts={**dict.fromkeys(STATUSES, 0), "critical": len(missing)},
        findings=missing,
        hosts=[Host(name, True) for name in frame.expected_hosts],
        steps=[],
        checklist=[
            {**item, "state": item["state"] if item["state"] == "operator" else "unknown"}
            for item in (_item(entry, [], frame, []) for entry in frame.checklist)
        ],
        broken_runs=[],
    )


def closed(frame: Frame, hosts: t.Mapping[str, t.Any], now: datetime.datetime, check_mode: bool = False) -> Report:
    """The report of a run that has come to its end.

    :param hosts: for each host C(reachable), C(error), C(records) and C(damaged_lines) of its journal
    :param now: when the run ended
    :param check_mode: the hosts keep no journal then, so that a missing record means nothing
    :raises MaintenanceError: C(hosts) is not of that form.
    """
    seen: t.List[Host] = []
    steps: t.List[Step] = []
    broken: t.List[BrokenRun] = []
    findings: t.List[Finding] = []
    for name in [*hosts, *(name for name in frame.expected_hosts if name not in hosts)]:
        given = hosts.get(name, {})
        records = _records(name, given)
        mine = [
            Step.read(record, name)
            for record in records
            if record.get("run_id") == frame.run_id and record.get("kind") in ("step", "task_failed")
        ]
        host = Host(
            name=name,
            reachable=name in hosts and bool(given.get("reachable", True)),
            error=" ".join(str(given.get("error") or "").split()),
            damaged_lines=int(given.get("damaged_lines") or 0) + sum(step.damaged for step in mine),
            records=len(mine),
            failed=sum(step.failed for step in mine),
            changed=sum(step.changed for step in mine),
        )
        seen.append(host)
        steps += mine
        broken += _broken(name, records, frame)
        findings += _record_findings(host, mine, frame, check_mode)
        findings += _step_findings(mine, frame)
    if not seen:
        said = "No host took part in this run."
        findings.append(_finding("run.record", "run", "critical", said, "", "Look at inventory and --limit."))
    places = {host.name: place for place, host in enumerate(seen)}
    findings.sort(key=lambda item: (-severity(item.status), cause(item.check), places.get(item.host, -1)))
    counts = {status: sum(item.status == status for item in findings) for status in STATUSES}
    verdict = _verdict(findings, frame.fail_on, check_mode)
    return Report(
        **_frame(frame),
        finished=format_utc(now),
        seconds=max(0.0, round((now - parse_utc(frame.started)).total_seconds(), 1)),
        verdict=verdict,
        summary=_summary(verdict, findings, counts, seen, check_mode),
        counts=counts,
        findings=findings,
        hosts=seen,
        steps=steps,
        checklist=[_item(entry, steps, frame, seen) for entry in frame.checklist],
        broken_runs=broken,
    )


def cause(check: str) -> int:
    """Place of a check in C(CAUSES): the smaller, the nearer to the cause."""
    parts = check.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in CAUSES:
            return CAUSES.index(prefix)
    return CAUSES.index("")


def _frame(frame: Frame) -> t.Dict[str, t.Any]:
    return {
        "run_id": frame.run_id,
        "title": frame.title,
        "playbook": frame.playbook,
        "started": frame.started,
        "started_by": frame.started_by,
        "fail_on": frame.fail_on,
        "planned_steps": list(frame.steps),
        "contacts": list(frame.contacts),
        "notes": frame.notes,
    }


def _records(name: str, given: t.Any) -> t.List[t.Dict[str, t.Any]]:
    records = given.get("records", []) if isinstance(given, t.Mapping) else None
    if not isinstance(records, list) or not all(isinstance(record, t.Mapping) for record in records):
        raise MaintenanceError(f"hosts[{name}] must be a dictionary whose records are a list of dictionaries.")
    return records


def _finding(
    check: str, subject: str, status: str, message: str, host: str, remedy: str, step: str = "", at: str = ""
) -> Finding:
    raw = {"check": check, "subject": subject, "status": status, "message": message, "remedy": remedy}
    return Finding.read(raw, host, step, at)


def _record_findings(host: Host, steps: t.List[Step], frame: Frame, check_mode: bool) -> t.List[Finding]:
    """Whether the host's record of this run is there and whole."""
    findings = []
    missing = [name for name in frame.steps if name not in {step.step for step in steps}]
    message = remedy = ""
    if not host.reachable:
        message = f"The record of {host.name} could not be read: {host.error or 'it could not be reached'}"
        remedy = (
            f"See whether the host runs and answers by SSH, then run {frame.playbook}.yml again; its lease and its "
            "maintenance page expire by themselves."
        )
    elif check_mode:
        pass
    elif not steps:
        message = f"{host.name} left no record of this run"
        remedy = "Ansible's output says what happened to this host."
    elif missing:
        these = "these steps" if len(missing) > 1 else "this step"
        message = f"{host.name} left no record of {these}: {', '.join(missing)}"
        remedy = f"Ansible's output says why; run {frame.playbook}.yml again."
    if message:
        findings.append(_finding("run.record", host.name, "critical", message.rstrip(".") + ".", host.name, remedy))
    if host.damaged_lines:
        count = f"{host.damaged_lines} line{'s' if host.damaged_lines > 1 else ''}"
        findings.append(
            _finding(
                "run.journal",
                host.name,
                "warning",
                f"The journal of {host.name} holds {count} that cannot be read in full.",
                host.name,
                "A crash or a full disk cuts lines short; if there was neither, look at journal.jsonl on the host.",
            )
        )
    return findings


def _step_findings(steps: t.List[Step], frame: Frame) -> t.List[Finding]:
    """What the steps of one host found, and which of them failed without saying why in a finding."""
    # A step may say several things of one subject; only a later step's look takes their place.
    merged: t.Dict[t.Tuple[str, str, str], t.List[Finding]] = {}
    for step in steps:
        looks: t.Dict[t.Tuple[str, str, str], t.List[Finding]] = {}
        for look in step.findings:
            looks.setdefault(look.key, []).append(look)
        for key, look_now in looks.items():
            merged[key] = _later(merged[key], look_now) if key in merged else look_now
    failures: t.Dict[str, Finding] = {}
    for step in steps:
        if not step.failed or _told_by_module(step, steps):
            continue
        causes = [now for look in step.findings if look.status == "critical" for now in merged[look.key]]
        # A cause that was gone later must not make the failed step green.
        if all(now.status != "critical" for now in causes) and step.step not in failures:
            failures[step.step] = _failure(step, frame)
    return [*(look for looks in merged.values() for look in looks), *failures.values()]


def _told_by_module(step: Step, steps: t.List[Step]) -> bool:
    """Whether a failed task is one of our modules, which has left its own record of the failure."""
    return step.kind == "task_failed" and any(
        other.kind == "step" and other.failed and (other.step, other.module) == (step.step, step.module)
        for other in steps
    )


def _failure(step: Step, frame: Frame) -> Finding:
    task = f" in the task {step.task!r}" if step.task else ""
    return _finding(
        "run.step",
        step.step,
        "critical",
        f"Step {step.step} failed{task}: {(step.msg or 'it gave no reason').rstrip('.')}.",
        step.host,
        step.remedy or f"Mend that, then run {frame.playbook}.yml again.",
        step.step,
        step.finished,
    )


def _later(earlier: t.List[Finding], later: t.List[Finding]) -> t.List[Finding]:
    """The later look is the truth; it keeps who else looked, and what was seen when it was something else."""
    statuses = {look.status for look in later}
    history = list(earlier[0].history)
    history += [
        {"step": look.step, "at": look.at, "status": look.status, "message": look.message}
        for look in earlier
        if look.status not in statuses
    ]
    for look in later:
        look.steps = list(dict.fromkeys([*earlier[0].steps, *look.steps]))
    later[0].history = history
    later[0].recovered = statuses == {"ok"} and any(look["status"] != "ok" for look in history)
    return later


def _broken(name: str, records: t.List[t.Dict[str, t.Any]], frame: Frame) -> t.List[BrokenRun]:
    """The other runs among the records: those that this run had to close."""
    runs: t.Dict[str, t.List[t.Dict[str, t.Any]]] = {}
    for record in records:
        run_id = str(record.get("run_id") or "")
        if run_id and run_id != frame.run_id:
            runs.setdefault(run_id, []).append(record)
    result = []
    for run_id, own in runs.items():
        notes = [record for record in own if str(record.get("kind")).startswith("run_")]
        told: t.Dict[str, t.Any] = {key: value for record in notes for key, value in record.items()}
        steps = [Step.read(record, name) for record in own if record.get("kind") in ("step", "task_failed")]
        shown = ("step", "finished", "seconds", "changed", "failed", "msg")
        last = [{name: getattr(step, name) for name in shown} for step in steps[-_LAST_STEPS:]]
        owner, purpose, reason = (str(told.get(key) or "") for key in ("owner", "purpose", "reason"))
        result.append(BrokenRun(run_id, name, owner, purpose, reason, last))
    return result


def _item(entry: t.Mapping[str, t.Any], steps: t.List[Step], frame: Frame, hosts: t.List[Host]) -> t.Dict[str, t.Any]:
    """One entry of the checklist, filled in by what really ran.

    C(state) is done, failed, not_done (it was to run and did not, on some host at least), not_asked (this run was
    not to do it), operator (no step does it), or unknown (the run has not ended, or a host's record is not read).
    """
    named = list(entry.get("steps") or [])
    # A step that this run was not to do (no store off-site) leaves the others to answer for the item.
    names = [name for name in named if name in frame.steps] or named
    ran = [step for step in steps if step.step in names]
    failed_on = [host.name for host in hosts if any(step.failed and step.host == host.name for step in ran)]
    missing_on = [
        host.name
        for host in hosts
        if any(name not in {step.step for step in ran if step.host == host.name} for name in names)
    ]
    if not names:
        state = "operator"
    elif failed_on:
        state = "failed"
    elif ran and not missing_on:
        state = "done"
    elif ran or any(name in frame.steps for name in names):
        unread = {host.name for host in hosts if not host.reachable}
        state = "unknown" if missing_on and unread.issuperset(missing_on) else "not_done"
    else:
        state = "not_asked"
    return {
        "phase": entry["phase"],
        "item": entry["item"],
        "note": entry.get("note") or "",
        "steps": names,
        "state": state,
        "at": max((step.finished for step in ran), default=""),
        "seconds": round(sum(step.seconds for step in ran), 1),
        "hosts": failed_on if state == "failed" else missing_on if state in ("not_done", "unknown") else [],
    }


def _verdict(findings: t.List[Finding], fail_on: str, check_mode: bool) -> str:
    worst = max((severity(item.status) for item in findings), default=0)
    if worst >= severity(fail_on):
        return "failed"
    if check_mode:
        return "check"
    return "warning" if worst > 0 else "ok"


def _summary(
    verdict: str, findings: t.List[Finding], counts: t.Mapping[str, int], hosts: t.List[Host], check_mode: bool
) -> str:
    """One sentence: how many, and the first."""
    before = "Check mode, nothing was changed or recorded: " if check_mode else ""
    if verdict == "check" and not any(counts[status] for status in STATUSES[1:]):
        return f"{before}findings and predicted changes stand in Ansible's output."
    where = f"{len(hosts)} host{'s' if len(hosts) != 1 else ''}"
    if verdict == "ok":
        recovered = sum(item.recovered for item in findings)
        again = f"; {recovered} recovered during the run" if recovered else ""
        if not counts["ok"]:
            return f"All steps on {where} ended well."
        return f"All {counts['ok']} checks on {where} are ok{again}."
    words = {"critical": "critical finding", "unknown": "unknown finding", "warning": "warning"}
    told = [f"{counts[name]} {word}{'s' if counts[name] > 1 else ''}" for name, word in words.items() if counts[name]]
    first = findings[0]
    host = f" on {first.host}" if first.host else ""
    message = " ".join(first.message.split()).rstrip(".")
    if len(message) > _SUMMARY_CHARS:
        message = message[:_SUMMARY_CHARS].rsplit(" ", 1)[0] + " ..."
    listed = " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)
    only = "" if sum(counts[status] for status in words) == 1 else "; first"
    return f"{before}{listed}{only}{host}: {message} ({first.check})."
