#!/usr/bin/python
# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_analyze
short_description: Update PostgreSQL's statistics where due, list the largest tables, warn of what will hurt later
version_added: 0.1.0
author:
  - Boardroom Maintenance contributors (@boardroom-maintenance)
description:
  - Runs C(ANALYZE) in each database that has a table whose statistics are missing or older than O(max_age).
  - Lists the largest tables of all databases together.
  - Looks for invalid indexes and for transaction ids running out.
  - On a standby nothing is analyzed.
extends_documentation_fragment:
  - boardroom.maintenance._step
  - boardroom.maintenance._step.changes
  - boardroom.maintenance._postgres
attributes:
  diff_mode:
    support: none
options:
  databases:
    description:
      - Names of the databases, or V(all) for every one that is no template.
    type: list
    elements: str
    default: [all]
  max_age:
    description:
      - Statistics at most this old are good enough, whoever made them; a number with V(s), V(m), V(h), V(d) or V(w).
    type: str
    default: 1d
  limit:
    description:
      - How many of the largest tables to list.
    type: int
    default: 10
  timeout:
    description:
      - Time limit of C(ANALYZE) in one database.
    type: str
    default: 1h
requirements:
  - C(psql) on the host, or C(docker) for a server in a container
"""

EXAMPLES = r"""
- name: Weekly care of one database
  boardroom.maintenance.pg_analyze:
    databases: [boardroom_prod]
  become: true
"""

RETURN = r"""
analyzed:
  description: Databases whose statistics were updated (or would be, in check mode).
  returned: success
  type: list
  elements: str
largest:
  description: The largest tables of all databases, largest first.
  returned: success
  type: list
  elements: dict
  contains:
    database: {description: Its database., type: str}
    schema: {description: Its schema., type: str}
    table: {description: Its name., type: str}
    bytes: {description: Size with indexes and TOAST., type: int}
    index_bytes: {description: Size of its indexes., type: int}
    estimated_rows: {description: Number of rows as the statistics have it., type: int}
findings:
  description:
    - V(database.reachable), V(database.size), V(database.invalid_index), V(database.wraparound), and
      V(database.statistics) for tables that could not be analyzed.
  returned: always
  type: list
  elements: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _options
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._care import care
from ansible_collections.boardroom.maintenance.plugins.module_utils._step import ARGUMENTS, Context, Outcome, execute
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import parse_duration


def work(params: t.Mapping[str, t.Any], context: Context) -> Outcome:
    """Analyze, list, look."""
    max_age = parse_duration(params["max_age"], "max_age")
    timeout = parse_duration(params["timeout"], "timeout")
    if params["limit"] < 1:
        raise MaintenanceError(f"limit is {params['limit']}, but must be at least 1.")
    client = _options.client_of(params, context.runner)
    done = care(client, params["login_db"], params["databases"], max_age, params["limit"], timeout, context.check_mode)
    names = ", ".join(done.analyzed)
    would = "would be" if context.check_mode else "were"
    msg = f"Statistics of {names} {would} updated." if names else "All statistics are young enough."
    seen = {"analyzed": done.analyzed, "largest": done.largest}
    return Outcome(bool(done.analyzed), msg, done.findings, seen, seen)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            **_options.ARGUMENTS,
            "databases": {"type": "list", "elements": "str", "default": ["all"]},
            "max_age": {"type": "str", "default": "1d"},
            "limit": {"type": "int", "default": 10},
            "timeout": {"type": "str", "default": "1h"},
        },
        required_if=_options.REQUIRED_IF,
        supports_check_mode=True,
    )
    execute(module, lambda context: work(module.params, context), mutates=True)


if __name__ == "__main__":
    main()
