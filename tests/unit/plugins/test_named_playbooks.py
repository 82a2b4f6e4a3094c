# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator is told to run at 2 a.m. exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_every_playbook_that_is_named_exists() -> None:
    named = {
        (name, str(path.relative_to(ROOT)))
        for folder in ("plugins", "roles", "playbooks", "docs", "inventory")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "collections" not in path.parts and path.suffix in {".py", ".yml", ".md", ".j2"}
        for name in re.findall(r"playbooks/([a-z_]+\.yml)", path.read_text(encoding="utf-8"))
    }
    assert {"prepare.yml", "backup.yml"} <= {name for name, _where in named}
    assert sorted((name, where) for name, where in named if not (ROOT / "playbooks" / name).exists()) == []
