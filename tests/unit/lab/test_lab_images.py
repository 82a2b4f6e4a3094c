# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""An image's tag changes with what it is made from, and with nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from labkit import images
from labkit.engine import Docker
from labkit.images import Builder, digest_of
from labkit.layout import LAB_SOURCE, Lab
from labkit.process import LabError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "Dockerfile").write_text("FROM x\n")
    (source / "sub" / "script").write_text("true\n")
    return source


def test_digest_ignores_times_caches_and_pages(folder: Path) -> None:
    before = digest_of("1", folder)
    os.utime(folder / "Dockerfile", (0, 0))
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"1")
    (folder / "README.md").write_text("changed")
    (folder / ".hidden").write_text("changed")
    assert digest_of("1", folder) == before


def test_digest_sees_content_name_mode_and_text(folder: Path) -> None:
    digests = {digest_of("1", folder), digest_of("2", folder)}
    (folder / "sub" / "script").chmod(0o755)
    digests.add(digest_of("1", folder))
    (folder / "sub" / "script").write_text("false\n")
    digests.add(digest_of("1", folder))
    (folder / "sub" / "script").rename(folder / "sub" / "other")
    digests.add(digest_of("1", folder))
    assert len(digests) == 5


def test_digest_of_one_file(folder: Path) -> None:
    before = digest_of(folder / "Dockerfile")
    (folder / "sub" / "script").write_text("false\n")
    assert digest_of(folder / "Dockerfile") == before


def test_stages_build_on_each_other(tmp_path: Path) -> None:
    builder = Builder(Lab(tmp_path), Docker(["unused"]))
    bare, trixie, s3 = (builder.plan(kind) for kind in ("bare", "trixie", "s3"))
    assert trixie[: len(bare)][0].image == bare[0].image == s3[0].image
    assert trixie[1].image == bare[1].image
    assert trixie[-1].seed is not None
    assert trixie[-1].seed.endswith(trixie[-1].digest)
    assert all(stage.seed is None for stage in trixie[:-1])


def test_the_hand_made_host_shares_no_stage_but_what_the_application_needs(tmp_path: Path) -> None:
    builder = Builder(Lab(tmp_path), Docker(["unused"]))
    by_hand, managed = ({stage.title for stage in builder.plan(kind)} for kind in ("bookworm", "trixie"))
    assert by_hand & managed == {"base image, Debian trixie", "application image, app"}
    assert managed - by_hand >= {"application image, services", "managed host image, packages"}


def test_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no kind of host called jessie: use one of trixie, bookworm, bare, s3"):
        Builder(Lab(tmp_path), Docker(["unused"])).plan("jessie")


def test_every_secret_of_the_lab_is_listed() -> None:
    listed = (LAB_SOURCE / "secrets.txt").read_text().split()
    assert len(listed) == len(set(listed))
    found = {
        word.strip("'\"=:")
        for folder in (images.IMAGES, images.APPLICATION)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
        for line in path.read_text().splitlines()
        for word in re.split(r"[\s=:'@]+", line)
        if word.startswith("lab-") and "-0x" in word
    }
    assert found
    assert found == set(listed)
