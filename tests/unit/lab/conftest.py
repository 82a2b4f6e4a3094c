# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""The lab is no installed package: tests import it from where it lies."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))
