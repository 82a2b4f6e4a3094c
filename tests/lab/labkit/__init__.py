# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Build, start, harm and remove the hosts of the lab. Standard library and the docker CLI only."""
