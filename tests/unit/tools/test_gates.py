# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make test` makes of the results."""

from __future__ import annotations

from pathlib import Path

import pytest
from labkit import engine
from labkit.layout import Lab
from labkit.process import LabError
from projectkit import gates
from projectkit.ground import ROOT
from projectkit.jobs import Job, Result

GOOD = "<testsuites><testsuite><testcase name='a'/><testcase name='b'/></testsuite></testsuites>"
BAD = "<testsuites><testsuite><testcase name='a'/><testcase name='b'><failure/></testcase></testsuite></testsuites>"


def result(tmp_path: Path, name: str, xml: str | None, problem: str = "") -> Result:
    directory = tmp_path / name
    directory.mkdir()
    if xml is not None:
        (directory / "pytest.xml").write_text(xml)
    return Result(Job(name, ["true"], results=directory), 1.0, tmp_path / "log", problem)


def gate(tmp_path: Path, problem: str = "") -> Result:
    return Result(Job("ruff", ["true"]), 1.0, tmp_path / "log", problem)


def test_all_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gates.report([gate(tmp_path), result(tmp_path, "unit", GOOD), result(tmp_path, "more", GOOD)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "tests: 4 passed, 0 failed\n"
    assert "unit 2 passed, 0 failed; more 2 passed, 0 failed; gates 1 passed, 0 failed" in shown.err


def test_a_group_without_a_test_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gates.report([result(tmp_path, "unit", GOOD), result(tmp_path, "molecule-default", None)]) == 1
    assert "molecule-default (it ran no test)" in capsys.readouterr().err


def test_a_failed_test_is_a_failure_whatever_the_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gates.report([result(tmp_path, "unit", BAD)]) == 1
    assert capsys.readouterr().out == "tests: 1 passed, 1 failed\n"


def test_a_failed_gate_is_a_failure_though_all_tests_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gates.report([gate(tmp_path, "exit status 1"), result(tmp_path, "unit", GOOD)]) == 1
    shown = capsys.readouterr()
    assert "FAILED: ruff (exit status 1)" in shown.err
    assert shown.out == "tests: 2 passed, 0 failed\n"


def test_gates_alone_count_no_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gates.report([gate(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


def test_every_scenario_of_the_checkout_is_run() -> None:
    there = {file.parent.name for file in (ROOT / "molecule").glob("*/molecule.yml")}
    assert there == set(gates.SCENARIOS)


def test_every_need_is_a_job_that_comes_before() -> None:
    before: set[str] = set()
    for job in gates.everything():
        assert set(job.needs) <= before
        assert job.name not in before
        before.add(job.name)


def test_an_unknown_scenario_is_refused_by_name() -> None:
    with pytest.raises(LabError, match="there is no scenario nightly: use bookworm, default, failure"):
        gates.scenario("nightly")


def test_the_same_job_does_not_run_twice_at_a_time(tmp_path: Path) -> None:
    with gates.reserved(["unit", "ruff"], tmp_path):
        with gates.reserved(["mypy"], tmp_path):
            pass
        with (
            pytest.raises(LabError, match="ruff is at work in this checkout already"),
            gates.reserved(["mypy", "ruff"], tmp_path),
        ):
            raise AssertionError("two at work")
    with gates.reserved(["ruff"], tmp_path):
        pass


def test_programs_that_the_unit_tests_run_are_installed_where_they_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(Lab, "here", lambda: Lab(tmp_path))
    monkeypatch.setattr(engine, "install", lambda _lab, packages: asked.append(list(packages)))
    for name in ("tar", "gzip"):
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    gates.ensure_programs()
    assert asked == [["age", "zstd"]]
    for name in gates.PROGRAMS:
        (tmp_path / name).touch(0o755)
    gates.ensure_programs()
    assert len(asked) == 1
