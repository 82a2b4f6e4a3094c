# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report says of a run, before it is written down."""

from __future__ import annotations

import datetime
import typing as t

import pytest
import report_examples as examples
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.plugin_utils import _report_judge
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._report_model import Frame, Report

Close = t.Callable[..., Report]


def states(report: Report) -> dict[str, str]:
    return {item["item"]: item["state"] for item in report.checklist}


def bad(report: Report) -> list[tuple[str, str, str]]:
    return [(item.host, item.check, item.status) for item in report.findings if item.status != "ok"]


def test_a_green_run_is_green(closed: Close) -> None:
    report = closed(examples.green())
    assert (report.verdict, bad(report)) == ("ok", [])
    assert report.summary == "All 15 checks on 1 host are ok."
    assert report.counts == {"ok": 15, "warning": 0, "unknown": 0, "critical": 0}
    assert (report.finished, report.seconds) == ("2026-11-24T02:00:26Z", 26.0)
    assert states(report) == {
        "Announce maintenance window": "operator",
        "Backup all data": "done",
        "Test in staging": "operator",
        "Prepare rollback plan": "done",
        "Enable maintenance mode": "not_asked",
        "Monitor progress": "done",
        "Test each change": "done",
        "Document actions": "done",
        "Verify all services": "done",
        "Check monitoring": "operator",
        "Update documentation": "operator",
        "Send completion notice": "operator",
    }


def test_a_step_that_this_run_was_not_to_do_leaves_the_others_to_answer(closed: Close) -> None:
    both = {"phase": "pre", "item": "Backup all data", "steps": ["backup", "offsite_check"]}
    other = {"phase": "pre", "item": "Off-site", "steps": ["offsite_check"]}
    frame = examples.frame(checklist=[both, other])
    report = closed(examples.Run(frame, examples.green().hosts))
    assert states(report) == {"Backup all data": "done", "Off-site": "not_asked"}
    planned = examples.frame(checklist=[both], steps=[*examples.STEPS, "offsite_check"])
    assert states(closed(examples.Run(planned, examples.green().hosts))) == {"Backup all data": "not_done"}


def test_two_looks_at_the_same_thing_are_one_finding_that_names_both(closed: Close) -> None:
    report = closed(examples.green())
    looks = [item for item in report.findings if (item.check, item.subject) == ("health.endpoint", "public")]
    assert [item.steps for item in looks] == [["health_before", "health_after"]]
    assert looks[0].at == examples.at(22.8)


def test_the_same_thing_on_two_hosts_is_two_findings(closed: Close) -> None:
    report = closed(examples.two_hosts())
    assert report.verdict == "ok"
    assert report.summary == "All 30 checks on 2 hosts are ok."


def test_what_recovered_is_ok_and_says_so(closed: Close) -> None:
    report = closed(examples.warnings())
    slow = next(item for item in report.findings if (item.check, item.subject) == ("health.latency", "application"))
    assert (slow.status, slow.recovered) == ("ok", True)
    assert slow.history == [
        {
            "step": "health_before",
            "at": "2026-11-24T02:00:02Z",
            "status": "warning",
            "message": "application took 2480 ms.",
        }
    ]
    assert report.verdict == "warning"
    assert report.summary == ("1 warning on app1: The index idx_users_email is invalid (database.invalid_index).")


def test_what_went_bad_during_the_run_is_bad(closed: Close) -> None:
    run = examples.green()
    run.hosts["app1"]["records"][6]["findings"][0].update(status="critical", message="application answered 500.")
    report = closed(run)
    assert report.verdict == "failed"
    assert report.findings[0].history[0]["status"] == "ok"
    assert not report.findings[0].recovered


def test_several_things_that_one_step_says_of_one_subject_are_all_kept(closed: Close) -> None:
    run = examples.green()
    for place in (2, 6):
        run.hosts["app1"]["records"][place]["findings"] += [
            examples.found("health.json", "application", "critical", f"application: {field} is wrong.")
            for field in ("database", "cache")
        ]
    said = [item.message for item in closed(run).findings if item.status == "critical"]
    assert said == ["application: database is wrong.", "application: cache is wrong."]


def test_a_stopped_database_comes_first_and_its_failed_steps_do_not_repeat_it(closed: Close) -> None:
    report = closed(examples.stopped())
    assert report.verdict == "failed"
    assert [(item.check, item.status) for item in report.findings[:5]] == [
        ("database.reachable", "critical"),
        ("health.endpoint", "critical"),
        ("health.json", "critical"),
        ("health.endpoint", "critical"),
        ("backup.age", "warning"),
    ]
    assert report.findings[0].steps == ["backup", "database_care"]
    assert not [item for item in report.findings if item.check == "run.step"]
    assert report.summary.startswith("4 critical findings and 1 warning; first on app1: PostgreSQL does not answer")
    assert "(database.reachable)" in report.summary
    assert states(report)["Backup all data"] == "failed"
    assert states(report)["Prepare rollback plan"] == "done"


def test_a_failed_step_stays_red_when_its_cause_was_gone_later(closed: Close) -> None:
    run = examples.stopped()
    run.hosts["app1"]["records"][5].update(
        failed=False, findings=[examples.found("database.reachable", "main", "ok", "PostgreSQL answers.")]
    )
    report = closed(run)
    steps = [item for item in report.findings if item.check == "run.step"]
    assert [(item.subject, item.status) for item in steps] == [("backup", "critical")]
    assert "PostgreSQL does not answer" in steps[0].message
    assert report.verdict == "failed"


def test_a_step_that_failed_without_a_finding_is_one(closed: Close) -> None:
    run = examples.green()
    run.hosts["app1"]["records"][3].update(failed=True, findings=[], msg="No space left.", remedy="Free some.")
    report = closed(run)
    assert bad(report) == [("app1", "run.step", "critical")]
    first = report.findings[0]
    assert (first.subject, first.message) == ("backup", "Step backup failed: No space left.")
    assert first.remedy == "Free some."


def failed_task(module: str, step: str = "backup") -> dict[str, t.Any]:
    return {
        "schema": 1,
        "kind": "task_failed",
        "run_id": examples.RUN,
        "step": step,
        "task": "Do it",
        "module": module,
        "msg": "It broke",
        "started": examples.at(5),
    }


def test_a_failed_task_of_another_module_is_named(closed: Close) -> None:
    run = examples.green()
    run.hosts["app1"]["records"][3] = failed_task("ansible.builtin.command")
    report = closed(run)
    assert [item.message for item in report.findings if item.status == "critical"] == [
        "Step backup failed in the task 'Do it': It broke."
    ]
    assert states(report)["Backup all data"] == "failed"


def test_a_failed_task_of_our_own_module_is_not_told_twice(closed: Close) -> None:
    run = examples.stopped()
    run.hosts["app1"]["records"].insert(4, failed_task("boardroom.maintenance.pg_backup"))
    assert not [item for item in closed(run).findings if item.check == "run.step"]


def test_a_module_of_ours_that_could_not_even_record_its_failure_is_named(closed: Close) -> None:
    run = examples.green()
    run.hosts["app1"]["records"][3] = failed_task("boardroom.maintenance.pg_backup")
    assert bad(closed(run)) == [("app1", "run.step", "critical")]


def test_a_host_that_was_cut_off_is_named_first(closed: Close) -> None:
    run = examples.stopped()
    run.hosts.update({"app2": examples.cut_off().hosts["app2"]})
    report = closed(run)
    assert (report.findings[0].check, report.findings[0].subject) == ("run.record", "app2")
    assert "No route to host" in report.findings[0].message
    records = [item for item in report.findings if item.check == "run.record"]
    assert len(records) == 1
    assert states(report)["Verify all services"] == "unknown"
    assert states(report)["Backup all data"] == "failed"


def test_a_host_without_a_record_is_named(closed: Close) -> None:
    run = examples.two_hosts()
    run.hosts["app2"] = examples.journal([])
    report = closed(run)
    assert bad(report) == [("app2", "run.record", "critical")]
    assert states(report)["Backup all data"] == "not_done"
    assert next(item for item in report.checklist if item["item"] == "Backup all data")["hosts"] == ["app2"]


def test_a_planned_step_without_a_record_is_named(closed: Close) -> None:
    run = examples.green()
    del run.hosts["app1"]["records"][4:7]
    report = closed(run)
    assert report.findings[0].message == (
        "app1 left no record of these steps: backup_check, database_care, health_after."
    )
    assert report.verdict == "failed"


def test_a_host_that_was_expected_and_is_not_there_is_named(closed: Close) -> None:
    report = closed(examples.green(), expected_hosts=["app1", "app9"])
    assert bad(report) == [("app9", "run.record", "critical")]


def test_a_run_of_no_host_is_red(closed: Close) -> None:
    report = closed(examples.Run(examples.frame(), {}))
    assert report.verdict == "failed"


def test_damaged_lines_are_a_warning(closed: Close) -> None:
    run = examples.green()
    run.hosts["app1"]["damaged_lines"] = 2
    report = closed(run)
    assert bad(report) == [("app1", "run.journal", "warning")]
    assert "2 lines" in report.findings[0].message


def test_a_record_that_is_no_record_is_counted_as_damaged(closed: Close) -> None:
    run = examples.green()
    run.hosts["app1"]["records"][2].update(findings=["what?", 5, {}], data="no", seconds="long", started="then")
    report = closed(run)
    assert ("app1", "run.journal", "warning") in bad(report)
    # A finding without a status is the worst there is.
    assert ("app1", "unnamed", "critical") in bad(report)


def test_a_run_that_never_ended_is_shown_with_its_last_steps(closed: Close) -> None:
    report = closed(examples.after_killed())
    assert bad(report) == [("app1", "run.unfinished", "warning")]
    assert report.findings[0].subject == examples.BROKEN
    assert [run.run_id for run in report.broken_runs] == [examples.BROKEN]
    broken = report.broken_runs[0]
    assert (broken.owner, broken.purpose, broken.reason) == ("alice@laptop", "weekly", "expired")
    assert [step["step"] for step in broken.last_steps] == ["lease", "health_before"]
    # Its steps are none of this run's.
    assert report.hosts[0].records == 7


@pytest.mark.parametrize(
    ("status", "fail_on", "verdict"),
    [
        ("ok", "warning", "ok"),
        ("warning", "critical", "warning"),
        ("warning", "unknown", "warning"),
        ("warning", "warning", "failed"),
        ("unknown", "critical", "warning"),
        ("unknown", "unknown", "failed"),
        ("critical", "critical", "failed"),
        ("critical", "warning", "failed"),
        ("nonsense", "critical", "failed"),
    ],
)
def test_the_verdict_follows_fail_on(closed: Close, status: str, fail_on: str, verdict: str) -> None:
    run = examples.green()
    run.hosts["app1"]["records"][4]["findings"].append(examples.found("x.y", "z", status, "Seen."))
    assert closed(run, fail_on=fail_on).verdict == verdict


def test_check_mode_is_never_green(closed: Close) -> None:
    silent = examples.Run(examples.frame(), {"app1": examples.journal([])})
    report = closed(silent, check_mode=True)
    assert (report.verdict, report.findings) == ("check", [])
    assert "Ansible's output" in report.summary
    assert closed(examples.green(), check_mode=True).verdict == "check"
    assert closed(examples.stopped(), check_mode=True).verdict == "failed"
    assert closed(examples.cut_off(), check_mode=True).verdict == "failed"


def test_opened_says_not_finished() -> None:
    report = _report_judge.opened(Frame(**examples.frame(expected_hosts=["app1", "app2"])))
    assert report.verdict == "unfinished"
    assert [host.name for host in report.hosts] == ["app1", "app2"]
    # Where the last host is lost, nothing runs that could write another report: this one names them.
    assert bad(report) == [("app1", "run.record", "critical"), ("app2", "run.record", "critical")]
    assert "no record has come from app1, app2" in report.summary
    assert report.contacts == examples.CONTACTS
    assert set(states(report).values()) == {"operator", "unknown"}


def test_causes_are_ordered_by_their_longest_known_beginning() -> None:
    checks = ["backup.age", "run.step", "elsewhere.odd", "health.json", "database.reachable", "run.record"]
    assert sorted(checks, key=_report_judge.cause) == [
        "run.record",
        "database.reachable",
        "health.json",
        "elsewhere.odd",
        "run.step",
        "backup.age",
    ]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"run_id": "../../etc"}, "run_id is '../../etc', but must be a time and eight hex digits"),
        ({"run_id": "latest"}, "run_id is 'latest'"),
        ({"started": "yesterday"}, "started is 'yesterday', but must be a time in UTC"),
    ],
)
def test_wrong_words_are_refused(wrong: dict[str, str], sentence: str) -> None:
    with pytest.raises(MaintenanceError, match=sentence.replace(".", r"\.")):
        Frame(**examples.frame(**wrong))


@pytest.mark.parametrize("journal", ["text", {"records": "text"}, {"records": ["text"]}])
def test_a_journal_of_another_form_is_refused(journal: t.Any) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    with pytest.raises(MaintenanceError, match=r"hosts\[app1\] must be"):
        _report_judge.closed(Frame(**examples.frame()), {"app1": journal}, now)
