# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the Python environment is used again, extended, made anew, or left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from labkit.process import LabError
from projectkit import python

DEMO = {"interpreter": "3.11", "place": "/a b/.venv", "demo.txt": "1"}
TEST = {**DEMO, "test.txt": "2"}


def venv(tmp_path: Path, mark: object) -> Path:
    made = tmp_path / ".venv"
    (made / "bin").mkdir(parents=True)
    (made / "bin" / "python").touch()
    if mark is not None:
        (made / python.MARK).write_text(json.dumps(mark))
    return made


def test_none_is_there(tmp_path: Path) -> None:
    assert python.state(tmp_path / ".venv", DEMO) == "new"


@pytest.mark.parametrize(
    ("mark", "want", "state"),
    [
        (DEMO, DEMO, "ready"),
        (TEST, DEMO, "ready"),
        (DEMO, TEST, "extend"),
        ({}, DEMO, "new"),
        ({**DEMO, "demo.txt": "old"}, DEMO, "new"),
        ({**TEST, "test.txt": "old"}, TEST, "new"),
        ({**TEST, "interpreter": "3.12"}, DEMO, "new"),
        ({**TEST, "place": "/elsewhere"}, DEMO, "new"),
        (None, DEMO, "foreign"),
    ],
)
def test_state(tmp_path: Path, mark: object, want: dict[str, str], state: str) -> None:
    assert python.state(venv(tmp_path, mark), want) == state


def test_an_interpreter_that_is_gone(tmp_path: Path) -> None:
    made = venv(tmp_path, DEMO)
    (made / "bin" / "python").unlink()
    (made / "bin" / "python").symlink_to(tmp_path / "uninstalled")
    assert python.state(made, DEMO) == "new"


def test_somebody_elses_environment_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = venv(tmp_path, None)
    monkeypatch.setattr(python, "CACHE", tmp_path / ".cache")
    monkeypatch.setattr(python, "VENV", made)
    with pytest.raises(LabError, match=r"was not made by make: move it away"):
        python.ensure("demo")
    assert (made / "bin" / "python").exists()


def test_an_interpreter_without_venv_is_one_sentence(tmp_path: Path) -> None:
    lame = tmp_path / "python3"
    lame.write_text("#!/bin/sh\nexit 1\n")
    lame.chmod(0o755)
    with pytest.raises(LabError, match=r"python3 has neither venv nor ensurepip: install them"):
        python.require_venv(str(lame))


def test_packages_that_cannot_be_had_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = venv(tmp_path, {})
    (made / "bin" / "python").write_text("#!/bin/sh\necho 'No matching distribution found'; exit 1\n")
    (made / "bin" / "python").chmod(0o755)
    monkeypatch.setattr(python, "LOGS", tmp_path)
    with pytest.raises(LabError, match=r"of demo.txt could not be installed \(No matching distribution found\): check"):
        python.install(made, tmp_path / "demo.txt")
