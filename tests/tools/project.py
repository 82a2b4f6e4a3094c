# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Makefile's targets do: set-up, demonstration, gates, tests. Standard library only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit(
        f"make: this is Python {sys.version.split()[0]}, and 3.11 or newer is needed: "
        "name another interpreter with make ... PYTHON=python3.11"
    )

HERE = Path(__file__).resolve().parent
# Nothing is left beside the sources, by this program and by those that it starts.
sys.dont_write_bytecode = True
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
sys.path[:0] = [str(HERE), str(HERE.parent / "lab")]

from projectkit.cli import main  # noqa: E402 - only an interpreter that is new enough reads the rest

if __name__ == "__main__":
    sys.exit(main())
