# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting, from files that pytest itself writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from projectkit import counts
from projectkit.counts import Counts

TESTS = """
import pytest

def test_good(): pass

@pytest.mark.parametrize("n", [1, 2])
def test_two(n): pass

def test_bad(): assert False

@pytest.fixture
def broken(): raise OSError("gone")

def test_error(broken): pass

def test_skipped(): pytest.skip("not here")
"""


def results(tmp_path: Path, text: str) -> list[Path]:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(text)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml=out.xml", "test_it.py"]
    subprocess.run(argv, cwd=tmp_path, check=False, capture_output=True, timeout=60)
    return [tmp_path / "out.xml"]


def test_every_kind_of_outcome_is_counted(tmp_path: Path) -> None:
    assert counts.read(results(tmp_path, TESTS)) == Counts(passed=3, failed=2, skipped=1)


def test_a_file_that_does_not_import_is_a_failure(tmp_path: Path) -> None:
    assert counts.read(results(tmp_path, "import nothing_of_this_name")) == Counts(failed=1)


def test_no_files_are_no_tests() -> None:
    assert counts.read([]).ran == 0


def test_the_line() -> None:
    assert str(Counts(3, 1)) == "3 passed, 1 failed"
    assert str(Counts(3, 0, 2) + Counts(1)) == "4 passed, 0 failed, 2 skipped"
