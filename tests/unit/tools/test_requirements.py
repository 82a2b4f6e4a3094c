# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock files: everything pinned, with hashes, and no address."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from projectkit.ground import REQUIREMENTS
from projectkit.matrix import PAIRS

LOCKS = sorted(REQUIREMENTS.glob("*.txt"))


def blocks(lock: Path) -> list[str]:
    """One requirement each, its continuation lines joined."""
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pins(lock: Path) -> set[tuple[str, str]]:
    return {(name, version) for name, _equals, version in (block.split()[0].partition("==") for block in blocks(lock))}


def names(source: Path) -> set[str]:
    """Names that a list of requirements asks for, with those of the lists that it includes."""
    found = set()
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            found |= names(source.parent / line[3:])
        elif line and not line.startswith("#"):
            found.add(re.split(r"[=<>;\s]", line)[0].lower())
    return found


def test_there_is_a_lock_for_each_use() -> None:
    assert {lock.stem for lock in LOCKS} == {"demo", "test", *(f"matrix-{core}" for _version, core in PAIRS)}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_package_is_pinned_with_hashes_and_no_address(lock: Path) -> None:
    assert "://" not in lock.read_text(encoding="utf-8")
    for block in blocks(lock):
        assert re.fullmatch(r"[a-z0-9-]+==\S+( ; [^#@]+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", block), block


@pytest.mark.parametrize(
    ("lock", "source"), [("demo", "demo"), ("test", "test"), *((f"matrix-{core}", "unit") for _version, core in PAIRS)]
)
def test_nothing_that_is_asked_for_is_missing(lock: str, source: str) -> None:
    assert names(REQUIREMENTS / f"{source}.in") <= {name for name, _pin in pins(REQUIREMENTS / f"{lock}.txt")}


def test_the_tests_packages_only_add_to_the_demonstrations() -> None:
    assert pins(REQUIREMENTS / "demo.txt") <= pins(REQUIREMENTS / "test.txt")


def test_each_core_of_the_matrix_is_locked() -> None:
    for _version, core in PAIRS:
        [version] = [v for name, v in pins(REQUIREMENTS / f"matrix-{core}.txt") if name == "ansible-core"]
        assert version.startswith(f"{core}.")
