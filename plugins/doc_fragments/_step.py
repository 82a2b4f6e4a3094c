# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options and attributes that every module of the collection has."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of C(module_utils/_step.py)."""

    DOCUMENTATION = r"""
options:
  run_id:
    description:
      - The run (one execution of a playbook) that this step belongs to. The playbooks set it for all modules
        with C(module_defaults).
      - With it, a module that changes the host works only while the run holds the lease
        (M(boardroom.maintenance.run_lock)), and renews it.
    type: str
  step:
    description:
      - Name of the step in the journal and the report. The module's own name when not given.
    type: str
  state_dir:
    description:
      - Directory of the collection's state on the host, which holds the journal and the lease.
    type: path
    default: /var/lib/boardroom-maintenance
  lock_wait:
    description:
      - How long, in seconds, a module that changes the host waits for another one that is at work on it.
        Modules that only look never wait.
    type: int
    default: 30
"""

    CHANGES = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and return what would change, without changing it.
  diff_mode:
    support: full
    description: Will return details on what has changed (or would change), when in diff mode.
  platform:
    platforms: posix
    support: full
    description: Target operating systems on which the module works.
"""

    LOOKS = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode); the module changes nothing in any mode. Nothing is journaled then.
  diff_mode:
    support: none
    description: Will return details on what has changed (or would change), when in diff mode.
  platform:
    platforms: posix
    support: full
    description: Target operating systems on which the module works.
"""
