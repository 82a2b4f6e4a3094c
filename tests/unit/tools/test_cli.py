# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, the Makefile, and the sentences for what is missing."""

from __future__ import annotations

import contextlib
import re
import subprocess
from pathlib import Path

import pytest
from projectkit import bench, cli, demo, gates, matrix, python
from projectkit.ground import ROOT
from projectkit.jobs import Job, Result

DRIVER = ROOT / "tests" / "tools" / "project.py"


def test_the_makefile_has_every_command() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^COMMANDS := (.*)$", text, re.MULTILINE)
    assert targets
    assert set(targets.group(1).split()) == {name for name, (shown, _command) in cli.COMMANDS.items() if shown}


def test_make_finds_no_interpreter() -> None:
    argv = ["make", "-C", str(ROOT), "help", "PYTHON=python3.99"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "python3.99 is not installed: install Python 3.11 or newer" in done.stderr


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["help"]) == 0
    assert "demo      build a real host" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "make: there is no command nonsense: use demo, test, "),
        (["test", "--quick"], "make: make test knows no --quick"),
        (["molecule", "nightly"], "make: there is no scenario nightly"),
    ],
)
def test_wrong_input_is_one_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(sentence)
    assert shown.count("\n") == 1


def test_absent_fault_tests_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gates, "ROOT", tmp_path)
    assert cli.main(["faults"]) == 1
    assert "there are no fault tests in" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["nonsense", "--rounds", "3"]])
def test_a_benchmark_that_is_not_there_is_one_sentence_with_those_that_are(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", *arguments]) == 1
    assert re.fullmatch(r"make: name one of the benchmarks in .+: backup\n", capsys.readouterr().err)


def test_arguments_go_to_the_benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []

    def started(argv: list[str], env: dict[str, str], **_options: object) -> subprocess.CompletedProcess[str]:
        seen.append((argv, env))
        return subprocess.CompletedProcess(argv, 3)

    monkeypatch.setattr(python, "ensure", lambda _name: None)
    monkeypatch.setattr(bench, "private_home", lambda _env: {})
    monkeypatch.setattr(gates, "reserved", lambda _names: contextlib.nullcontext())
    monkeypatch.setattr(subprocess, "run", started)
    assert cli.main(["bench", "backup", "--rounds", "5"]) == 3
    ((argv, env),) = seen
    assert argv[1:] == [str(ROOT / "tests" / "benchmarks" / "backup"), "--rounds", "5"]
    assert str(ROOT / "tests" / "lab") in env["PYTHONPATH"].split(":")


def test_clean_leaves_somebody_elses_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "lab", lambda *_words: None)
    for name in ("CACHE", "DEMO", "VENV", "ROOT"):
        monkeypatch.setattr(cli, name, tmp_path if name == "ROOT" else tmp_path / name)
        (tmp_path / name).mkdir()
    assert cli.main(["clean"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"ROOT", "VENV"}
    (tmp_path / "VENV" / python.MARK).touch()
    assert cli.main(["clean"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"ROOT"}


def test_the_newest_report_is_found_by_the_name_of_its_run(tmp_path: Path) -> None:
    assert demo.newest_report(tmp_path) is None
    for run in ("20261124T020000Z-ffffffff", "20261125T020000Z-00000000"):
        (tmp_path / run).mkdir()
        (tmp_path / run / "report.html").touch()
    (tmp_path / "zlatest").symlink_to("20261124T020000Z-ffffffff")
    assert demo.newest_report(tmp_path) == tmp_path / "20261125T020000Z-00000000" / "report.html"


def test_the_matrix_names_what_was_not_run(tmp_path: Path) -> None:
    results = {
        "2.19-unit": Result(Job("2.19-unit", []), 12.3, tmp_path),
        "2.19-syntax": Result(Job("2.19-syntax", []), 2.0, tmp_path, "exit status 4"),
    }
    text = matrix.table(results, {"2.19"}, [("3.11", "2.19"), ("3.12", "2.20")])
    assert text.splitlines()[2:] == [
        "| 3.11 | 2.19 | ok, 12 s | FAILED (exit status 4) | not run (no host) |",
        "| 3.12 | 2.20 | not run (no interpreter) | not run (no interpreter) | not run (no interpreter) |",
    ]
