# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' variables: what is documented is what there is."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"


def read(role: str, file: str) -> t.Any:
    return yaml.safe_load((ROLES / role / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize("role", sorted(path.parent.parent.name for path in ROLES.glob("*/defaults/main.yml")))
def test_each_variable_with_a_default_is_in_the_specification_and_the_other_way_round(role: str) -> None:
    specified = {
        name: option
        for entry in read(role, "meta/argument_specs.yml")["argument_specs"].values()
        for name, option in entry.get("options", {}).items()
    }
    required = {name for name, option in specified.items() if option.get("required")}
    assert set(specified) - required == set(read(role, "defaults/main.yml"))


def test_the_flag_s_owner_is_the_run_s_owner_outside_of_runs_too() -> None:
    run = "".join(read("maintenance_run", "defaults/main.yml")["maintenance_run_owner"].split())
    window = "".join(read("maintenance_window", "defaults/main.yml")["maintenance_window_owner"].split())
    assert window == "{{maintenance_run_owner|default(" + run.removeprefix("{{").removesuffix("}}") + ")}}"
