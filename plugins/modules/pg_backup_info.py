#!/usr/bin/python
# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup_info
short_description: List backup sets, and find damage, age and gaps
version_added: 0.1.0
author:
  - Boardroom Maintenance contributors (@boardroom-maintenance)
description:
  - Lists the sets that M(boardroom.maintenance.pg_backup) took, and says what is wrong with them, naming set and file.
  - PostgreSQL need not run.
extends_documentation_fragment:
  - boardroom.maintenance._step
  - boardroom.maintenance._step.looks
options:
  dest:
    description:
      - Directory that holds the sets.
    type: path
    default: /var/backups/boardroom-maintenance
  instance:
    description:
      - Directory below O(dest) for the sets of this server.
    type: str
    default: main
  check:
    description:
      - How closely each set is looked at.
      - V(none) reads the manifests; V(sizes) compares names and sizes of all files; V(hashes) reads every byte and
        compares SHA-256; V(decode) also decodes every table and counts its rows again.
    type: str
    choices: [none, sizes, hashes, decode]
    default: sizes
  recovery_point_objective:
    description:
      - No more than this may ever be lost. The newest whole set that is older is critical, and a warning from four
        fifths of it on; a longer time between two sets is a warning. A number with V(s), V(m), V(h), V(d) or V(w).
    type: str
    default: 24h
  jobs:
    description:
      - Number of files read at a time.
    type: int
    default: 2
requirements:
  - With O(check=decode), C(zstd) or C(gzip), as the sets were compressed, and C(pg_restore) for sets that were streamed
    (O(boardroom.maintenance.pg_backup#module:client=exec))
seealso:
  - module: boardroom.maintenance.pg_backup
"""

EXAMPLES = r"""
- name: Is the newest set young enough, and are all files there?
  boardroom.maintenance.pg_backup_info:
  become: true
  register: backups

- name: Read and decode every set again
  boardroom.maintenance.pg_backup_info:
    check: decode
    recovery_point_objective: 24h
  become: true
"""

RETURN = r"""
sets:
  description: The sets, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: Name of the set., type: str, sample: 20261124T020000Z-9f3a1c2e}
    path: {description: Its directory., type: str}
    snapshot_time: {description: The moment that it brings back (UTC)., type: str}
    age_seconds: {description: Time since then in seconds., type: int}
    bytes: {description: Size of all its files., type: int}
    rows: {description: Number of rows in all tables., type: int}
    databases: {description: Names of its databases., type: list, elements: str}
    system_identifier: {description: Identity of the cluster., type: str}
    server_version: {description: Version of the server., type: str}
    verification: {description: What it has passed (C(level)) and when (C(at))., type: list, elements: dict}
    verified: {description: Whether it was decoded and counted when it was made., type: bool}
    problems: {description: "What is wrong now, each with C(file) and C(reason).", type: list, elements: dict}
findings:
  description:
    - V(backup.age) and V(backup.damage) always; V(backup.gap), V(backup.leftover) where there are any; or only
      V(backup.store) when the directory is missing, unreadable, or not mounted.
  returned: always
  type: list
  elements: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _catalogue
from ansible_collections.boardroom.maintenance.plugins.module_utils._step import ARGUMENTS, Context, Outcome, execute
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import LocalStore, store_root
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import parse_duration


def work(params: t.Mapping[str, t.Any], context: Context) -> Outcome:
    """Look over the sets."""
    if params["jobs"] < 1:
        raise MaintenanceError(f"jobs is {params['jobs']}, but must be at least 1.")
    objective = parse_duration(params["recovery_point_objective"], "recovery_point_objective")
    store = LocalStore(store_root(params["dest"], params["instance"]))
    seen = _catalogue.look(store, params["check"], objective, context.now, context.runner, params["jobs"])
    bad = [f for f in seen.findings if f["status"] != "ok"]
    msg = bad[0]["message"] if bad else f"{len(seen.sets)} set(s), all whole."
    return Outcome(False, msg, seen.findings, {"sets": seen.sets}, {"sets": len(seen.sets)})


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "dest": {"type": "path", "default": "/var/backups/boardroom-maintenance"},
            "instance": {"type": "str", "default": "main"},
            "check": {"type": "str", "choices": ["none", "sizes", "hashes", "decode"], "default": "sizes"},
            "recovery_point_objective": {"type": "str", "default": "24h"},
            "jobs": {"type": "int", "default": 2},
        },
        supports_check_mode=True,
    )
    execute(module, lambda context: work(module.params, context), mutates=False)


if __name__ == "__main__":
    main()
