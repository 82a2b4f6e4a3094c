# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark of the backups: `make bench ARGS=backup`."""

from __future__ import annotations

import sys

from benchmark import main

if __name__ == "__main__":
    sys.exit(main())
