# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole run dies: its controller is killed, or the host itself goes down. The host and the next run clear up."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
import support
from faultkit import DUMPING, INVENTORY, NAME, Site
from faultpage import Page
from labkit import engine
from labkit.hosts import get
from labkit.layout import Lab

SECTION = "Whole runs"
FLAG = "/var/www/maintenance.flag"
KILLS = 5
SEED = 20261125
TAKE_OVER = ("-e", "maintenance_take_over=true")
# Each run has work to do, and the maintenance page up meanwhile.
WORK = ("-e", "maintenance_backup_force=true", "-e", "maintenance_mode=true")
REPORTS = Path(INVENTORY).parents[2] / ".demo" / "faults"
# The application has nothing at its root, and says so itself.
UP = "404"
UNITS = "find /etc/systemd/system -name 'boardroom-maintenance-flag*'"
PAGE_CODE = "curl -s -o /dev/null -w '%{http_code}' --cacert /etc/boardroom-lab/ca.pem https://boardroom.test/"


class Run:
    """weekly.yml, as an operator starts it, in a process group of its own."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self._log = log
        weekly = str(support.ROOT / "playbooks" / "weekly.yml")
        program = str(Path(sys.executable).parent / "ansible-playbook")
        self.began = time.monotonic()
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [program, "-i", str(INVENTORY), weekly, *arguments],
                cwd="/",
                env=support.environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> int:
        """Wait for its end; the exit status."""
        return self._process.wait(timeout=300)

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """SIGKILL to the controller and all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def output(self) -> str:
        """What it said so far."""
        return self._log.read_text(encoding="utf-8")


def _report(run_id: str) -> dict[str, t.Any] | None:
    path = REPORTS / run_id / "report.json"
    made: dict[str, t.Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return made


def _newest() -> dict[str, t.Any]:
    found = sorted(p for p in REPORTS.glob("*/report.json") if not p.parent.is_symlink())
    made: dict[str, t.Any] = json.loads(found[-1].read_text(encoding="utf-8"))
    return made


def _lease(site: Site) -> dict[str, str] | None:
    text = site.sh(f"cat {support.STATE}/lease.json 2>/dev/null; true")
    standing: dict[str, str] | None = json.loads(text) if text else None
    return standing


def _no_step_is_at_work(site: Site) -> None:
    support.wait_for(
        "the step that was at work has ended",
        lambda: "free" in site.sh("flock -n /run/boardroom-maintenance.lock echo free", check=False),
    )


def _flag_is_gone(site: Site) -> bool:
    return "no" in site.sh(f"test -e {FLAG} || echo no; true")


def _closed(site: Site) -> dict[str, str]:
    """Runs that never ended by themselves, and the run that closed each."""
    lines = site.sh(f"grep -h run_closed {support.STATE}/journal.jsonl; true").splitlines()
    return {r["run_id"]: r["by"] for r in map(json.loads, lines) if "by" in r}


def _green(site: Site, log: Path, *arguments: str) -> dict[str, t.Any]:
    """A run that must succeed and leave nothing behind; its report."""
    run = Run(log, *arguments)
    assert run.wait() == 0, run.output()
    assert "Traceback" not in run.output()
    assert _lease(site) is None
    assert site.leftovers() == ""
    report = _newest()
    assert report["verdict"] in ("ok", "warning"), report
    return report


@pytest.fixture(scope="module", autouse=True)
def _fresh(site: Site) -> t.Iterator[None]:
    """Reports of these tests only; no flag when they are over."""
    subprocess.run(["rm", "-rf", str(REPORTS)], check=True)
    yield
    site.call("maintenance_flag", {"state": "disabled", "path": FLAG})


def test_controller_killed_at_random_moments(site: Site, page: Page, tmp_path: Path) -> None:
    undisturbed = Run(tmp_path / "undisturbed", *WORK)
    assert undisturbed.wait() == 0, undisturbed.output()
    longest = time.monotonic() - undisturbed.began
    chance = random.Random(SEED)
    broken: list[str] = []
    tasks: list[str] = []
    for number in range(KILLS):
        before = site.tree()
        run = Run(tmp_path / f"killed-{number}", *WORK, *TAKE_OVER, "-e", "maintenance_window_limit=10m")
        time.sleep((number + chance.random()) / KILLS * longest * 0.95)
        if run.ended():
            continue
        run.kill()
        _no_step_is_at_work(site)
        assert set(before.splitlines()) <= set(site.tree().splitlines())
        seen = site.info(check="hashes")
        assert not seen.failed and not seen.found("backup.damage"), seen.msg
        assert "Traceback" not in run.output()
        tasks.append(([line for line in run.output().splitlines() if line.startswith("TASK")] or ["its start"])[-1])
        lease = _lease(site)
        if lease and lease["run_id"] not in broken:
            broken.append(lease["run_id"])
            left = _report(lease["run_id"])
            # Opened right after the lease was taken: never green.
            assert left is None or left["verdict"] == "unfinished", left
    assert len(broken) >= 3, tasks
    report = _green(site, tmp_path / "last", *TAKE_OVER)
    closed = _closed(site)
    assert set(broken) <= set(closed), (broken, closed)
    named = [f["subject"] for f in report["findings"] if f["check"] == "run.unfinished"]
    assert named == [run for run in broken if closed[run] == report["run_id"]], (named, broken)
    page.add(
        SECTION,
        f"SIGKILL of Ansible on the controller at {len(tasks)} random moments of weekly.yml (seed {SEED})",
        f"{len(tasks)} of {len(tasks)}: earlier sets the same, all that is listed is whole; {len(broken)} runs left a "
        "lease and a report that says unfinished; each was closed by name by the next run, the last one is green",
        "has no run, no record of one and no lock",
    )


def test_flag_and_lease_run_out_after_the_run_is_dead(site: Site, page: Page, tmp_path: Path) -> None:
    site.call("maintenance_flag", {"state": "disabled", "path": FLAG})
    limits = ("-e", "maintenance_window_limit=1m", "-e", "maintenance_lease_ttl=1m")
    run = Run(tmp_path / "killed", *WORK, *limits)
    watcher = site.watch(DUMPING, f"test -e {FLAG} && {PAGE_CODE}")
    assert site.acted(watcher) == "503"
    lease = _lease(site)
    assert lease is not None
    run.kill()
    _no_step_is_at_work(site)
    refused_until = (_lease(site) or lease)["expires"]
    began = time.monotonic()
    support.wait_for("the host lifts the flag by itself", lambda: _flag_is_gone(site), seconds=90)
    seconds = time.monotonic() - began
    assert site.sh(PAGE_CODE).strip() == UP
    support.wait_for(
        "the timer removes itself",
        lambda: site.sh(f"systemctl list-timers --no-legend; {UNITS}").count("boardroom-maintenance-flag") == 0,
        seconds=20,
    )
    support.wait_for(
        "the lease has run out", lambda: site.sh("date -u +%Y-%m-%dT%H:%M:%SZ").strip() > refused_until, seconds=90
    )
    # Without the take-over variable.
    report = _green(site, tmp_path / "next")
    named = [f["subject"] for f in report["findings"] if f["check"] == "run.unfinished"]
    assert named == [lease["run_id"]]
    page.add(
        SECTION,
        "the controller dies while the maintenance page is up (flag and lease for one minute)",
        f"the host lifted the flag by itself ({seconds:.0f} s after the last step ended), and the application is "
        "reached again; the next run took the expired lease, named the broken run, and is green",
        "`touch` and `rm` by hand: the flag stays until somebody remembers it",
    )


def _reset() -> None:
    """The host stops between two instructions, and starts again."""
    host = get(Lab.here(), NAME)
    docker = engine.connect()
    docker("kill", "--signal", "KILL", host.container)
    docker("start", host.container)


def test_host_is_reset_in_mid_run(site: Site, page: Page, tmp_path: Path) -> None:
    before = site.tree()
    run = Run(tmp_path / "reset", *WORK, "-e", "maintenance_window_limit=1m")
    site.acted(site.watch(DUMPING, f"test -e {FLAG}"))
    lease = _lease(site)
    assert lease is not None
    _reset()
    rc = run.wait()
    assert rc not in (0, None) and "Traceback" not in run.output(), run.output()
    report = _newest()
    assert report["run_id"] == lease["run_id"] and report["verdict"] in ("failed", "unfinished"), report
    lost = [f for f in report["findings"] if f["subject"].startswith(NAME) and f["status"] == "critical"]
    assert lost, report["findings"]
    support.lab("up", NAME)
    site.forget_connection()
    site.await_postgres()
    assert site.tree() == before
    seen = site.info(check="hashes")
    assert not seen.found("backup.damage")
    half = seen.found("backup.leftover")
    assert len(half) == 1, seen.result
    support.wait_for("the host lifts the flag by itself", lambda: _flag_is_gone(site), seconds=90)
    assert site.sh(PAGE_CODE).strip() == UP
    refused = Run(tmp_path / "refused", *WORK)
    assert refused.wait() != 0 and f"Run {lease['run_id']}" in refused.output(), refused.output()
    after = _green(site, tmp_path / "next", *WORK, *TAKE_OVER)
    assert [f["subject"] for f in after["findings"] if f["check"] == "run.unfinished"] == [lease["run_id"]]
    assert set(before.splitlines()) < set(site.tree().splitlines())
    page.add(
        SECTION,
        "the host is reset in mid-dump, with the maintenance page up",
        f"the run is red and its report says: '{lost[0]['message']}'; after the start earlier sets are the same, the "
        "half-done one is not listed, the flag goes when its time is over; the next run says who holds the lease, "
        "with take-over it names the broken run, sweeps and is green",
        "a killed script: see above; nothing says that it did not end",
    )
