# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's nginx, on which maintenance mode is tried, is set up as the guide tells operators to do it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
IMAGE = ROOT / "tests" / "lab" / "images" / "trixie"


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(("place", "file"), [(0, "nginx-maps.conf"), (1, "nginx-site.conf")])
def test_every_line_of_the_guide_is_in_the_lab_s_nginx_in_this_order(place: int, file: str) -> None:
    guide = (ROOT / "docs" / "maintenance-mode.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```nginx\n(.*?)```", guide, re.DOTALL)
    assert len(snippets) == 2
    told = [line for line in lines(snippets[place]) if line not in ("server {", "# ...", "}")]
    assert len(told) > 5
    left = iter(lines((IMAGE / file).read_text(encoding="utf-8")))
    assert [line for line in told if line not in left] == []
