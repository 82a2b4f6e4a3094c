# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus reads must be whole, readable for it, and in its grammar: one bad file hides all others."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils import _metrics
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._metrics import Gauge

SAMPLE = re.compile(r'^([a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\} (\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def parsed(text: str) -> dict[str, tuple[dict[str, str], float]]:
    """The samples of a file by name, in the grammar of Prometheus' text format, and no other."""
    assert text.endswith("\n")
    lines = text[:-1].split("\n")
    assert len(lines) % 3 == 0
    samples = {}
    for place in range(0, len(lines), 3):
        explained, typed, sample = lines[place : place + 3]
        match = SAMPLE.match(sample)
        assert match, sample
        name, labels, value = match.groups()
        assert re.match(rf"^# HELP {name} \S", explained)
        assert typed == f"# TYPE {name} gauge"
        assert name not in samples
        unescaped = {
            key: re.sub(r"\\.", lambda found: ESCAPES[found.group()], escaped) for key, escaped in LABEL.findall(labels)
        }
        samples[name] = (unescaped, float(value))
    return samples


def test_gauges_bear_their_labels() -> None:
    text = _metrics.render([Gauge("a_bytes", "How many.", 12345678901), Gauge("b_ratio", "Part.", 0.5)], {"x": "y"})
    assert parsed(text) == {"a_bytes": ({"x": "y"}, 12345678901.0), "b_ratio": ({"x": "y"}, 0.5)}
    # No digits are lost on a time or a size.
    assert 'a_bytes{x="y"} 12345678901\n' in text


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", '\\"\n', "ü", "a{b} c", "\\n"])
def test_labels_are_escaped(value: str) -> None:
    assert parsed(_metrics.render([Gauge("a", "Help.", 1)], {"store": value})) == {"a": ({"store": value}, 1.0)}


def test_help_is_escaped() -> None:
    assert parsed(_metrics.render([Gauge("a", "One\\two\nthree", 1)], {"x": "y"}))["a"][1] == 1.0


def test_names_that_prometheus_refuses_are_refused() -> None:
    with pytest.raises(ValueError, match="no name of a metric"):
        _metrics.render([Gauge("a-b", "Help.", 1)], {})
    with pytest.raises(ValueError, match="no name of a label"):
        _metrics.render([Gauge("a", "Help.", 1)], {"a-b": ""})


def test_a_file_is_replaced_as_a_whole_and_can_be_read_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _metrics.write(str(tmp_path), "boardroom_backup_main_local", "old\n")
    assert path == str(tmp_path / "boardroom_backup_main_local.prom")
    assert Path(path).stat().st_mode & 0o777 == 0o644

    def crash(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(MaintenanceError, match=r"cannot be written: No space left on device\.$"):
        _metrics.write(str(tmp_path), "boardroom_backup_main_local", "new\n")
    assert Path(path).read_text(encoding="utf-8") == "old\n"
    # Nor is anything left that the collector could take for metrics.
    assert os.listdir(tmp_path) == ["boardroom_backup_main_local.prom"]


def test_a_name_leads_nowhere_else(tmp_path: Path) -> None:
    path = _metrics.write(str(tmp_path), "a/../b c", "x\n")
    assert path == str(tmp_path / "a_.._b_c.prom")


@pytest.mark.parametrize("directory", ["relative", "/nowhere/at/all", "", __file__])
def test_a_directory_that_is_none_is_refused(directory: str) -> None:
    with pytest.raises(MaintenanceError, match="but there is no such directory"):
        _metrics.require_directory(directory)
