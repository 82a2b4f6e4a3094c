# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy for ansible-test and the content of the built collection."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from labkit.process import LabError
from projectkit import collection, python
from projectkit.ground import ROOT


def test_the_copy_has_no_linked_directory_and_nothing_ignored(tmp_path: Path) -> None:
    copy = collection.copy_to(tmp_path)
    assert copy == tmp_path / "ansible_collections" / "boardroom" / "maintenance"
    assert (copy / "galaxy.yml").read_bytes() == (ROOT / "galaxy.yml").read_bytes()
    assert (copy / "plugins" / "modules" / "run_lock.py").exists()
    assert not [path for path in copy.rglob("*") if path.is_symlink() and path.is_dir()]
    assert not [name for name in (".cache", ".venv", ".lab", "playbooks/collections") if (copy / name).exists()]


def test_a_copy_is_made_anew(tmp_path: Path) -> None:
    stale = collection.copy_to(tmp_path) / "plugins" / "modules" / "removed.py"
    stale.touch()
    collection.copy_to(tmp_path)
    assert not stale.exists()


def test_pips_version_is_read_from_ansible_test() -> None:
    assert collection.pip_versions("default_packages = dict(\n    pip='25.2',\n)\n") == ["25.2"]
    with pytest.raises(LabError, match="no longer says which pip"):
        collection.pip_versions("nothing")


def test_the_content_of_the_built_collection_is_judged() -> None:
    right = {name for name in collection.files() if name.startswith(("plugins/", "roles/", "playbooks/", "docs/"))}
    right |= {"README.md", "LICENSE", "CHANGELOG.md", "meta/runtime.yml", "MANIFEST.json", "FILES.json"}
    assert collection.content_problems(right) == []
    problems = collection.content_problems(right - {"LICENSE"} | {"tests/unit/x.py", ".gitignore"})
    assert problems == [
        "missing in the built collection: LICENSE",
        "should not be in the built collection: .gitignore",
        "should not be in the built collection: tests/unit/x.py",
    ]


def test_a_shim_that_does_not_run_is_not_on_the_search_path(tmp_path: Path) -> None:
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / "python3.9").write_text("#!/bin/sh\nexit 127\n")
    (shims / "python3.9").chmod(0o755)
    folders = collection.search_path(f"{shims}:/usr/bin", tmp_path / "place").split(":")
    assert folders[0] == str(tmp_path / "place")
    assert str(shims) not in folders
    assert folders[-1] == "/usr/bin"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert python.runs(str(tmp_path / "place" / f"python{version}"), version)
