# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""The lab: real hosts in containers for the demo, the tests and the benchmarks (see README.md)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from labkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
