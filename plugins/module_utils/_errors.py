# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""The one error that ends a step."""

from __future__ import annotations

import typing as t


class MaintenanceError(Exception):
    """A step cannot be done.

    The message is one sentence for an operator: what, where, what to do. C(remedy) is the next action when
    the sentence itself does not hold it; C(details) become keys of the module's result (never a secret).
    """

    def __init__(self, message: str, remedy: str = "", **details: t.Any) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details = details
