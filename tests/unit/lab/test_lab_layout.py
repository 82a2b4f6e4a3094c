# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Names of one checkout's lab never meet those of another."""

from __future__ import annotations

import itertools
from ipaddress import ip_network
from pathlib import Path

import pytest
from labkit.layout import Lab
from labkit.process import LabError


def test_two_checkouts_share_no_name(tmp_path: Path) -> None:
    one, other = Lab(tmp_path / "one"), Lab(tmp_path / "two words")
    assert one.id != other.id
    assert Lab(tmp_path / "one").id == one.id
    for name in ("container", "volume"):
        assert getattr(one, name)("demo") != getattr(other, name)("demo")
    assert one.image("host", "1") != other.image("host", "1")


def test_subnets_are_distinct_and_leave_the_nested_engines_alone(tmp_path: Path) -> None:
    taken = [ip_network(subnet) for subnet, _octets in Lab(tmp_path).subnets()]
    assert len(set(taken)) == len(taken) > 2000
    for nested in (ip_network("10.231.0.0/24"), ip_network("10.232.0.0/16")):
        assert not any(subnet.overlaps(nested) for subnet in itertools.islice(taken, 2560))


def test_state_is_closed_to_others(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    with lab.locked("images"):
        assert lab.state.stat().st_mode & 0o077 == 0


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="cannot be made"):
        Lab(tmp_path / "file").make_state()
