# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup sets that were emptied, cut, bit-flipped or robbed of a file: named with set and file each time."""

from __future__ import annotations

import json

import pytest
import support

NAME = "molecule-failure-1"

DAMAGE = {
    "emptied": "import os,sys; os.truncate(sys.argv[1], 0)",
    "cut": "import os,sys; os.truncate(sys.argv[1], os.path.getsize(sys.argv[1]) // 2)",
    "flipped": (
        "import sys; f=open(sys.argv[1],'r+b'); b=f.read(); n=len(b)//2; f.seek(n); f.write(bytes([b[n]^1])); f.close()"
    ),
    "deleted": "import os,sys; os.unlink(sys.argv[1])",
}


@pytest.fixture
def spoilt() -> object:
    """A copy of the newest set's largest data file, put back afterwards."""
    host = support.host(NAME)
    name = sorted(host.run("ls -1 %s", support.BACKUPS).stdout.split())[-1]
    manifest = json.loads(host.file(f"{support.BACKUPS}/{name}/manifest.json").content_string)
    path = max((f for f in manifest["files"] if ".dat" in f["path"]), key=lambda f: f["bytes"])["path"]
    full = f"{support.BACKUPS}/{name}/{path}"
    assert host.run("cp -p %s /root/kept", full).rc == 0
    yield host, name, path, full
    assert host.run("cp -p /root/kept %s", full).rc == 0


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_with_set_and_file(spoilt: object, kind: str) -> None:
    host, name, path, full = spoilt
    assert host.run("python3 -c %s %s", DAMAGE[kind], full).rc == 0
    played = support.play("failure", "weekly", "--limit", NAME)
    assert played.rc != 0
    damage = [f for f in support.newest_report("failure")["findings"] if f["check"] == "backup.damage"]
    critical = [f for f in damage if f["status"] == "critical"]
    assert critical, damage
    assert any(name in f"{f['subject']} {f['message']}" and path in f"{f['subject']} {f['message']}" for f in critical)


def test_after_putting_it_back_weekly_is_green() -> None:
    played = support.play("failure", "weekly", "--limit", NAME)
    assert played.rc == 0, played.output
