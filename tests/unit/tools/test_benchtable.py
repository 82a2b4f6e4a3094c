# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark of the backups makes of its numbers, and what it measures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import benchtable
import pytest
from benchtable import Measured
from projectkit.ground import ROOT

MEASURE = ROOT / "tests" / "benchmarks" / "backup" / "measure.py"


def runs(*walls: float, own_rss: int = 0, tree_rss: int = 0, size: int = 0) -> list[Measured]:
    return [Measured(wall, 2 * wall, own_rss=own_rss, tree_rss=tree_rss, size=size) for wall in walls]


def whole() -> dict[str, list[Measured]]:
    """Three rounds of every row, all alike."""
    return {run.key: runs(10, 11, 30, own_rss=100_000_000, size=7) for run in benchtable.RUNS}


def verdict(results: benchtable.Results, text: str) -> str:
    (line,) = [line for line in benchtable.verdicts(results) if text in line]
    return line


def test_ratios_are_those_of_the_medians() -> None:
    results = {"local": runs(9, 3, 4), "script_local": runs(10, 90, 20)}
    assert benchtable.ratio(results, "local", "script_local", lambda m: m.wall) == 4 / 20
    assert "| 0.20 | kept |" in verdict(results, "verification included")


def test_a_limit_that_is_exceeded_is_said_plainly() -> None:
    text = "| to S3 with read-back"
    exceeded = verdict({"s3": runs(46), "script": runs(100)}, text)
    assert exceeded.endswith("| 0.45 | 0.46 | **not kept** |")
    assert verdict({"s3": runs(45), "script": runs(100)}, text).endswith("| 0.45 | 0.45 | kept |")


def test_memory_is_that_of_the_largest_process() -> None:
    results = {"stream": runs(1, own_rss=171_000_000, tree_rss=900_000_000)}
    assert verdict(results, "memory of the streaming process").endswith("| 171.0 MB | **not kept** |")


def test_what_was_not_run_has_no_verdict() -> None:
    assert all(line.endswith("| not run |  |") for line in benchtable.verdicts({})[2:])
    assert len(benchtable.verdicts({})[2:]) == len(benchtable.LIMITS)
    assert benchtable.table({})[2:] == []
    assert benchtable.stages({}) == []


def test_without_verification_the_hashes_are_put_back() -> None:
    local = [Measured(20, 1, stages={"dump": 12, "verify": 6}), Measured(18, 1, stages={"dump": 12, "verify": 5})]
    results = {"local": local, "hashes": runs(1), "dump": runs(10)}
    assert benchtable.without_verification(results) == (13.5 + 1) / 10
    assert benchtable.without_verification({**results, "local": runs(20)}) is None


def test_a_script_takes_its_lines_time_and_the_most_of_their_memory_and_disk() -> None:
    dump = Measured(10, 5, 1, own_rss=3, tree_rss=9, disk=2000, size=2000)
    gzip = Measured(40, 39, 2, own_rss=4, tree_rss=4, disk=470, size=470)
    assert dump.then(gzip) == Measured(50, 44, 3, own_rss=4, tree_rss=9, disk=2470, size=470)


def test_the_table_names_the_row_that_is_compared_with() -> None:
    lines = benchtable.table(whole())[2:]
    assert [line.split(".")[0] for line in lines] == [f"| {number}" for number in range(1, len(benchtable.RUNS) + 1)]
    (local,) = [line for line in lines if "to the local disk, verified" in line]
    cells = [cell.strip() for cell in local.strip("|").split("|")]
    assert cells[1:4] == ["11.0 (10.0 to 30.0)", "22.0", "0.0"]
    assert cells[4:7] == ["4", "1.00", "1.00"]
    assert lines[3].startswith("| 4. the runbook's script without")


def test_every_line_of_a_table_has_as_many_cells() -> None:
    results = {**whole(), "local": [Measured(20, 1, stages={"dump": 12.0, "verify": 6.0})] * 3}
    for lines in (benchtable.table(results), benchtable.stages(results), benchtable.verdicts(results)):
        assert len({line.count("|") for line in lines}) == 1
    assert "| row 6 | 12.0 | 6.0 | 2.0 |" in benchtable.stages(results)


@pytest.mark.parametrize("lacking", ["prune", "hashes"])
def test_a_page_takes_three_rounds_of_every_row(lacking: str) -> None:
    results = whole()
    assert benchtable.is_whole(results)
    results[lacking] = results[lacking][:2]
    assert not benchtable.is_whole(results)
    del results[lacking]
    assert not benchtable.is_whole(results)


def measured(tmp_path: Path, code: str) -> tuple[subprocess.CompletedProcess[str], dict[str, float]]:
    out = tmp_path / "out.json"
    argv = [sys.executable, str(MEASURE), str(out), str(tmp_path), sys.executable, "-c", code]
    done = subprocess.run(argv, input="fed", capture_output=True, text=True, check=False)
    return done, json.loads(out.read_text(encoding="utf-8"))


def test_a_program_is_measured_and_keeps_its_input_output_and_status(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; held = bytearray(80_000_000); print(sys.stdin.read());"
        "child = [sys.executable, '-c', 'import time; held = bytearray(60_000_000); time.sleep(0.6)'];"
        "subprocess.run(child); sys.exit(7)"
    )
    done, found = measured(tmp_path, code)
    assert (done.returncode, done.stdout) == (7, "fed\n")
    assert found["rc"] == 7
    assert 0.6 <= found["wall"] < 30
    assert 80_000_000 < found["own_rss"] < 130_000_000
    assert found["tree_rss"] > 140_000_000


def test_a_signal_is_a_status_of_its_own(tmp_path: Path) -> None:
    _done, found = measured(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert found["rc"] == -9
