# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs meet."""

from __future__ import annotations

from faultkit import DATABASE, DUMPING, RUNBOOK_DIR, SCRIPT, Site, one_sentence
from faultpage import Page

SECTION = "Two runs at once"
INSTANCE = "two"


def test_second_run_refuses_at_once(site: Site, page: Page) -> None:
    # The first stands still in its dump until the second has answered.
    watcher = site.watch(DUMPING, "pkill -STOP -x pg_dump")
    first = site.start("pg_backup", {"instance": INSTANCE})
    site.acted(watcher)
    try:
        second = site.backup(instance=INSTANCE, lock_wait=1)
    finally:
        site.sh("pkill -CONT -x pg_dump")
    answer = site.finish(first)
    assert not answer.failed, answer.msg
    said = one_sentence(second, "Another step is changing this host: pg_backup")
    site.sh(f"rm -f {RUNBOOK_DIR}/*")
    # Two at once begin in the same second of their file names.
    said_both = site.sh(
        "while [ $(date +%N | sed 's/^0*//;s/^$/0/') -gt 200000000 ]; do sleep 0.01; done; "
        f"bash {SCRIPT} >/dev/null 2>&1 </dev/null & one=$!; bash {SCRIPT} >/dev/null 2>&1 </dev/null & two=$!; "
        "wait $one; first=$?; wait $two; echo statuses $first $?"
    )
    statuses = said_both.split("statuses ")[1].split()
    script = site.script_result(max(int(status) for status in statuses))
    page.add(
        SECTION,
        "a second run while the first is at work, `lock_wait: 1`",
        f"the first succeeds; the second fails: '{said}'",
        f"both started in one second, exit statuses {' and '.join(statuses)}: {script.left()}",
    )


def test_second_run_waits(site: Site, page: Page) -> None:
    first = site.start("pg_backup", {"instance": INSTANCE})
    second = site.start("pg_backup", {"instance": INSTANCE, "lock_wait": 120})
    answers = [site.finish(first), site.finish(second)]
    assert all(not a.failed and a.result["changed"] for a in answers), [a.msg for a in answers]
    assert len({a.result["backup"]["id"] for a in answers}) == 2
    assert site.leftovers() == ""
    seen = site.info(instance=INSTANCE, check="hashes")
    assert not seen.found("backup.damage") and not seen.failed
    page.add(SECTION, "the same, `lock_wait: 120`", f"both succeed, one after the other ({DATABASE} twice, whole)")
