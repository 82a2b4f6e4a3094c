# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""What is missing for an engine is told apart."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from labkit import engine
from labkit.layout import Lab
from labkit.process import LabError

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("complaint", "meaning"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?",
            "absent",
        ),
        (
            (
                "failed to connect to the docker API at unix:///x.sock: dial unix /x.sock: connect: no such file or "
                "directory"
            ),
            "absent",
        ),
        (
            "permission denied while trying to connect to the docker API at unix:///x.sock",
            "rights",
        ),
        ("Got permission denied while trying to connect", "rights"),
        ("Error response from daemon: client version 1.50 is too new", "other"),
    ],
)
def test_diagnosis(complaint: str, meaning: str) -> None:
    assert engine.diagnose(complaint) == meaning


def test_too_little_disk_is_said_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def usage(folder: Path) -> Usage:
        asked.append(folder)
        return Usage(100e9, 97e9, 3e9)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(LabError, match=r"only 3\.0 GB are free .* make at least 8 GB free"):
        engine.check_disk(Path("/usr/no/such/folder"))
    assert asked == [Path("/usr")]


def test_enough_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage(100e9, 1e9, 99e9))
    engine.check_disk(Path("/"))


def test_no_engine_and_not_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(engine, "may_be_root", lambda: None)
    with pytest.raises(LabError, match="no Docker engine runs here and this user is not root"):
        engine.ensure(Lab(tmp_path))


def _fake_docker(folder: Path, complaint: str) -> None:
    script = folder / "docker"
    script.write_text(f'#!/bin/sh\necho "{complaint}" >&2\nexit 1\n')
    script.chmod(0o755)


def test_engine_without_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_docker(tmp_path, "permission denied while trying to connect to the Docker daemon socket")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(engine, "may_be_root", lambda: None)
    with pytest.raises(LabError, match="this user may not use it: add the user to the group docker"):
        engine.connect()


def test_engine_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_docker(tmp_path, "Cannot connect to the Docker daemon. Is the docker daemon running?")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(LabError, match="no Docker engine runs here: run"):
        engine.connect()
