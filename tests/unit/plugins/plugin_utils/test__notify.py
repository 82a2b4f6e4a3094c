# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a run is news, and what people read."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._notify import (
    Run,
    critical,
    decide,
    green,
    key,
)
from hypothesis import given
from hypothesis import strategies as st
from report_examples import CONTACTS

RUN = "20261124T020000Z-9f3a1c2e"
SUMMARY = "2 critical findings; first on app1: PostgreSQL does not answer (database.reachable)."


def found(check: str, status: str = "critical", subject: str = "main", host: str = "app1", **more: t.Any) -> t.Any:
    """A finding of a report."""
    words = {"message": f"{check} of {subject} is {status}.", "remedy": f"Mend {check}."}
    return {"check": check, "subject": subject, "status": status, "host": host, **words, **more}


def run(verdict: str, *findings: t.Any, previous: t.Any = None, **more: t.Any) -> Run:
    """A run that has ended."""
    facts: dict[str, t.Any] = {
        "run_id": RUN,
        "title": "Hourly look",
        "playbook": "hourly",
        "verdict": verdict,
        "summary": SUMMARY if findings else "All 12 checks on 1 host are ok.",
        "findings": list(findings),
        "contacts": CONTACTS,
        "report": "/home/ops/reports/latest/report.html",
        "record_host": "app1",
        "previous": previous or {},
    }
    return Run(**{**facts, **more})


def after(verdict: str, *findings: t.Any) -> dict[str, t.Any]:
    """What the journal remembers of a run."""
    return {"verdict": verdict, "critical": critical(findings)}


DATABASE = found("database.reachable")
DISK = found("disk.free", subject="/")
WARNING = found("backup.age", "warning")
UNFINISHED = found("run.unfinished", "warning", subject="20261123T020000Z-17c0ffee")
UP = {"used": True, "since": "2026-11-24T02:00:00Z", "until": "2026-11-24T02:14:00Z"}


@pytest.mark.parametrize(
    ("now", "kind"),
    [
        # The first run ever.
        (run("ok"), ""),
        (run("warning", WARNING), "warning"),
        (run("failed", DATABASE), "red"),
        # The same again.
        (run("ok", previous=after("ok")), ""),
        (run("warning", WARNING, previous=after("warning")), ""),
        (run("failed", DATABASE, previous=after("failed", DATABASE)), ""),
        # A change.
        (run("warning", WARNING, previous=after("ok")), "warning"),
        (run("failed", DATABASE, previous=after("ok")), "red"),
        (run("failed", DATABASE, previous=after("warning")), "red"),
        (run("failed", previous=after("ok")), "red"),
        (run("unfinished", previous=after("ok")), "red"),
        (run("warning", WARNING, previous=after("failed", DATABASE)), "recovery"),
        (run("ok", previous=after("failed", DATABASE)), "recovery"),
        (run("ok", previous=after("warning")), "recovery"),
        # As red as before, for another reason; for one reason less; on another host.
        (run("failed", DATABASE, DISK, previous=after("failed", DATABASE)), "red"),
        (run("failed", DATABASE, previous=after("failed", DATABASE, DISK)), ""),
        (run("failed", {**DATABASE, "host": "app2"}, previous=after("failed", DATABASE)), "red"),
        # A run that was killed is told by the one that closes it, whatever that one saw.
        (run("warning", UNFINISHED, previous=after("ok")), "red"),
        (run("warning", UNFINISHED, previous=after("warning")), "red"),
        # A window is told at its end, and a change of state in the same message.
        (run("ok", previous=after("ok"), window=UP), "completion"),
        (run("ok", window=UP), "completion"),
        (run("failed", DATABASE, previous=after("failed", DATABASE), window=UP), "completion"),
        (run("failed", DATABASE, previous=after("ok"), window=UP), "red"),
        (run("ok", previous=after("failed", DATABASE), window=UP), "recovery"),
        (run("ok", previous=after("ok"), window={"used": False}), ""),
        # Check mode says nothing of the world.
        (run("check", DATABASE, previous=after("failed")), ""),
        (run("check", window=UP), ""),
    ],
)
def test_what_is_news(now: Run, kind: str) -> None:
    message = decide(now)
    assert (message.kind if message else "") == kind


def test_a_red_message_says_what_is_wrong_what_to_do_and_whom_to_call() -> None:
    message = decide(run("failed", DATABASE, DISK, previous=after("ok")))
    assert message
    assert message.subject == "FAILED: Hourly look: app1: database.reachable of main is critical"
    assert message.body == (
        f"{SUMMARY}\n"
        "\n"
        "What is wrong:\n"
        "1. critical: app1: database.reachable of main is critical. (database.reachable)\n"
        "   What to do: Mend database.reachable.\n"
        "2. critical: app1: disk.free of / is critical. (disk.free)\n"
        "   What to do: Mend disk.free.\n"
        "\n"
        "Whom to call:\n"
        "- Alice Founder, first call, +1 555 0100, alice@boardroom.test\n"
        "- Bob Second, if Alice does not answer in 15 minutes, +1 555 0101\n"
        "\n"
        f"Run {RUN} of hourly.yml.\n"
        "Report on the controller: /home/ops/reports/latest/report.html\n"
        f"Copy on app1: /var/lib/boardroom-maintenance/reports/{RUN}\n"
    )


def test_what_is_new_comes_first_and_what_is_well_again_is_told() -> None:
    well = found("disk.free", "ok", subject="/", message="12 GB are free.", remedy="")
    cache = found("cache.memory")
    before = after("failed", DATABASE, DISK, found("gone.check"))
    message = decide(run("failed", DATABASE, cache, well, previous=before))
    assert message
    assert message.subject == "FAILED: Hourly look: app1: cache.memory of main is critical"
    assert "1. critical, new: app1: cache.memory of main is critical. (cache.memory)" in message.body
    assert "2. critical: app1: database.reachable of main is critical. (database.reachable)" in message.body
    assert "- disk.free of / on app1: 12 GB are free." in message.body
    assert "- gone.check of main on app1: is not reported any more" in message.body


def test_recovery_says_what_is_well_again_and_names_no_contacts() -> None:
    well = found("database.reachable", "ok", message="PostgreSQL answers.", remedy="")
    message = decide(run("ok", well, previous=after("failed", DATABASE), summary="All 12 checks on 1 host are ok."))
    assert message
    assert message.subject == "OK AGAIN: Hourly look: All 12 checks on 1 host are ok"
    assert "What is well again:\n- database.reachable of main on app1: PostgreSQL answers.\n" in message.body
    assert "Alice" not in message.body
    assert "What is wrong" not in message.body


def test_no_longer_red_names_the_warning_that_is_left() -> None:
    milder = found("database.reachable", "warning", message="PostgreSQL answers slowly.")
    message = decide(run("warning", milder, previous=after("failed", DATABASE)))
    assert message
    assert message.subject == "NO LONGER RED: Hourly look: app1: PostgreSQL answers slowly"
    assert "is no longer critical, but warning: PostgreSQL answers slowly." in message.body


def test_a_killed_run_is_named() -> None:
    words = "Run 20261123T020000Z-17c0ffee (weekly, started by alice@laptop) never ended; its lease had expired."
    message = decide(run("warning", WARNING, {**UNFINISHED, "message": words}, previous=after("warning")))
    assert message
    assert message.subject.startswith("UNFINISHED: Hourly look: app1: Run 20261123T020000Z-17c0ffee (weekly")
    assert f"1. warning: app1: {words} (run.unfinished)" in message.body
    assert "- Alice Founder, first call" in message.body


@pytest.mark.parametrize(
    ("window", "sentence"),
    [
        (UP, "The maintenance page was up from 2026-11-24T02:00:00Z to 2026-11-24T02:14:00Z, and is down."),
        (
            {"used": True, "since": "2026-11-24T02:00:00Z", "until": ""},
            "The maintenance page was put up from 2026-11-24T02:00:00Z; no record says that it was taken down.",
        ),
    ],
)
def test_a_completion_notice_says_from_when_to_when(window: dict[str, t.Any], sentence: str) -> None:
    message = decide(run("ok", window=window))
    assert message
    assert message.subject.startswith("DONE: Hourly look: ")
    assert sentence in message.body


def test_a_red_message_without_contacts_says_how_to_name_them() -> None:
    message = decide(run("failed", DATABASE, contacts=[]))
    assert message
    assert "- nobody is named: set maintenance_contacts" in message.body


def test_the_words_of_a_host_make_no_lines_and_no_message_without_end() -> None:
    loud = found("a.b", message="one\r\nBcc: eve@example.com\x1b[31m " + "x " * 5000, remedy="y" * 5000)
    message = decide(run("failed", *[{**loud, "subject": str(number)} for number in range(50)]))
    assert message
    assert "\n" not in message.subject
    assert len(message.subject) <= 110
    assert "\nBcc" not in message.body
    assert "\x1b" not in message.body
    assert len(message.body) < 8000
    assert "46 more stand in the report." in message.body


STATUSES = st.sampled_from(["ok", "warning", "unknown", "critical"])
FINDINGS = st.lists(
    st.builds(found, st.sampled_from(["a.b", "c.d", "run.unfinished"]), STATUSES, st.sampled_from(["x", "y"])),
    max_size=6,
    unique_by=key,
)


def verdict_of(findings: list[t.Any]) -> str:
    """The verdict that the report gives with fail_on=critical."""
    seen = {item["status"] for item in findings}
    return "failed" if "critical" in seen else "warning" if seen - {"ok"} else "ok"


@given(st.lists(FINDINGS, min_size=1, max_size=8), st.booleans())
def test_over_any_history_each_critical_finding_is_told_when_it_appears_and_nothing_is_told_twice(
    history: list[list[t.Any]], window: bool
) -> None:
    previous: dict[str, t.Any] = {}
    for findings in history:
        verdict = verdict_of(findings)
        now = run(verdict, *findings, previous=previous, window={**UP, "used": window})
        message = decide(now)
        known = {tuple(item) for item in previous.get("critical", [])}
        appeared = {tuple(item) for item in critical(findings)} - known
        if appeared:
            assert message
            assert message.kind == "red"
        if verdict != previous.get("verdict", "ok") or window:
            assert message
        if message and message.kind == "red":
            assert "Alice Founder" in message.body
            assert appeared or verdict == "failed" or "run.unfinished" in message.body
        previous = after(verdict, *findings)
        # The same state once more is no news, unless a run was closed or a window used.
        if not window and not any(item["check"] == "run.unfinished" for item in findings):
            assert decide(run(verdict, *findings, previous=previous)) is None


@pytest.mark.parametrize(
    ("verdict", "counts"), [("ok", True), ("warning", True), ("failed", False), ("unfinished", False), ("check", False)]
)
def test_a_ping_is_for_what_counts_as_done(verdict: str, counts: bool) -> None:
    assert green(verdict) is counts


def test_a_memory_of_another_form_is_no_error() -> None:
    assert decide(run("failed", DATABASE, previous={"verdict": None, "critical": None})) is not None
    assert decide(run("failed", DATABASE, previous={"verdict": "failed", "critical": [["database.reachable"]]}))
