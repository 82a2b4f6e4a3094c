# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Every module of this package adds its ROUTES."""

from __future__ import annotations

import importlib
import pkgutil

from starlette.routing import Route


def routes() -> list[Route]:
    """The routes of all modules."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [route for name in names for route in importlib.import_module(f"{__name__}.{name}").ROUTES]
