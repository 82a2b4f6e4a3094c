# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The project's own driver: what the Makefile's targets do. It builds on the lab's way of running programs."""
