# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Every target is a command of tests/tools/project.py; `make help` lists them.
#   make demo PYTHON=python3.13     another interpreter
#   make unit ARGS="-k lock -x"     arguments for the command
PYTHON ?= python3
COMMANDS := help demo test lint unit sanity molecule faults bench matrix lock clean

.DEFAULT_GOAL := help
.PHONY: $(COMMANDS)
$(COMMANDS):
	@command -v "$(PYTHON)" >/dev/null || { echo "make: $(PYTHON) is not installed: install Python 3.11 or newer" >&2; exit 1; }
	@"$(PYTHON)" tests/tools/project.py $@ $(ARGS)
