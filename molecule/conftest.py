# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of results for each of a scenario's test stages, which Molecule starts with the same options."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Name the file after the stage's directory, such as virgin.xml."""
    directory = os.environ.get("JUNIT_DIRECTORY")
    if directory:
        stage = Path(config.args[0]).parent.name
        config.option.xmlpath = str(Path(directory) / f"{stage}.xml")
