# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running jobs side by side, with real processes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from projectkit import jobs
from projectkit.jobs import Job, Result


def python(name: str, code: str, needs: Sequence[str] = (), seconds: float = 30.0) -> Job:
    return Job(name, [sys.executable, "-c", code], needs=needs, seconds=seconds)


def run(tmp_path: Path, *listed: Job, fail_fast: bool = False) -> dict[str, Result]:
    done = jobs.run(listed, logs=tmp_path / "logs", env=os.environ, cwd=tmp_path, fail_fast=fail_fast)
    assert [result.job.name for result in done] == [job.name for job in listed]
    return {result.job.name: result for result in done}


def test_results_and_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(tmp_path, python("good", "print('fine')"), python("bad", "print('why it is bad'); exit(3)"))
    assert done["good"].problem == ""
    assert done["bad"].problem == "exit status 3"
    assert done["good"].log.read_text() == "fine\n"
    shown = capsys.readouterr().err
    assert "why it is bad" in shown
    assert "good: ok" in shown
    assert "bad: FAILED (exit status 3)" in shown


def test_two_run_at_a_time_and_no_more(tmp_path: Path) -> None:
    # Each waits for the other's file, so neither would end if they ran one after the other.
    code = "import pathlib, time\npathlib.Path('{0}').touch()\nwhile not pathlib.Path('{1}').exists(): time.sleep(0.01)"
    late = "import pathlib; assert pathlib.Path('a').exists() and pathlib.Path('b').exists()"
    done = run(tmp_path, python("a", code.format("a", "b")), python("b", code.format("b", "a")), python("c", late))
    assert [result.problem for result in done.values()] == ["", "", ""]


def test_a_need_is_awaited_and_its_failure_is_a_failure(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        python("image", "import pathlib, time; time.sleep(0.3); pathlib.Path('made').touch()"),
        python("scenario", "import pathlib; assert pathlib.Path('made').exists()", needs=["image"]),
        python("broken", "exit(1)"),
        python("lost", "pass", needs=["broken"]),
    )
    assert done["scenario"].problem == ""
    assert done["lost"].problem == "not run, since broken failed"


def test_a_job_past_its_time_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('child', 'w').write(str(child.pid))\ntime.sleep(60)"
    )
    done = run(tmp_path, python("slow", code, seconds=1.0))
    assert done["slow"].problem == "did not end within 1 s"
    child = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    deadline = time.monotonic() + 5
    # Gone, or a zombie that nobody has collected yet.
    while child.exists() and child.read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.exists() or child.read_text().split()[2] == "Z"


def test_fail_fast_ends_the_rest(tmp_path: Path) -> None:
    started = time.monotonic()
    done = run(
        tmp_path,
        python("slow", "import time; time.sleep(60)"),
        python("bad", "exit(1)"),
        python("later", "pass"),
        fail_fast=True,
    )
    assert time.monotonic() - started < 20
    assert done["slow"].problem == "exit status -15"
    assert done["later"].problem == "not run after the first failure"
