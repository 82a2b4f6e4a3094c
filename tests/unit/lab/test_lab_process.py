# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Starting programs: one sentence for whatever goes wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from labkit import process
from labkit.process import LabError


def test_output_and_standard_input() -> None:
    done = process.run([sys.executable, "-c", "print(input()[::-1])"], data=b"abc\n")
    assert done.stdout == "cba\n"


def test_a_missing_program_is_named() -> None:
    with pytest.raises(LabError, match="no-such-program is not installed"):
        process.run(["no-such-program"])


def test_a_failure_gives_the_last_line() -> None:
    with pytest.raises(LabError, match=r"failed \(3\): second"):
        process.run([sys.executable, "-c", "import sys; print('first\\nsecond', file=sys.stderr); sys.exit(3)"])


def test_a_time_limit() -> None:
    with pytest.raises(LabError, match="did not end within 0 s"):
        process.run([sys.executable, "-c", "import time; time.sleep(20)"], timeout=0.2)


def test_long_command_shows_life_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "HEARTBEAT", 0.1)
    code = "import time; print('unpacking', flush=True); time.sleep(0.5); print('no space left'); exit(1)"
    with pytest.raises(LabError, match="build failed: no space left"):
        process.run_long([sys.executable, "-c", code], "build", tmp_path / "build.log")
    assert "build: 0 s, unpacking" in capsys.readouterr().err


def test_long_command_is_ended_at_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "HEARTBEAT", 0.1)
    with pytest.raises(LabError, match="did not end within 0 s"):
        process.run_long(
            [sys.executable, "-c", "import time; time.sleep(20)"], "pull", tmp_path / "pull.log", timeout=0.3
        )


@pytest.mark.parametrize(
    ("text", "line"), [("a\nb\n\n", "b"), ("10%\r20%\r", "20%"), ("", "no output"), ("  \n", "no output")]
)
def test_last_line(text: str, line: str) -> None:
    assert process.last_line(text) == line


def test_write_atomic_sets_the_mode_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process.write_atomic(tmp_path / "new" / "file", "text", 0o600)
    assert (tmp_path / "new" / "file").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
