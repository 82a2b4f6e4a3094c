#!/usr/bin/python
# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup_prune
short_description: Remove backup sets that are no longer to be kept
version_added: 0.1.0
author:
  - Boardroom Maintenance contributors (@boardroom-maintenance)
description:
  - Removes those sets of M(boardroom.maintenance.pg_backup) that no rule asks to keep, from a directory or, with O(s3),
    from a bucket. Each store has its own rules.
  - Only whole, verified sets of one cluster are ever removed. Every database stays in at least
    O(minimum_redundancy) of them, whatever its age. Damaged sets count for nothing and are left for an operator.
  - Removes nothing, and says why, while the newest set is older than O(recovery_point_objective) or suspicious
    (O(size_drop)), while a set bears a time in the future, while sets of several clusters lie in the store and
    O(system_identifier) names none, and while there is no good set.
  - A set becomes invisible before its files go. What a run that was killed left is swept by the next one.
  - In check mode it says what would go, and why each of the others stays.
extends_documentation_fragment:
  - boardroom.maintenance._step
  - boardroom.maintenance._step.changes
  - boardroom.maintenance._s3
options:
  dest:
    description:
      - Directory that holds the sets.
    type: path
    default: /var/backups/boardroom-maintenance
  instance:
    description:
      - Directory below O(dest), or below the prefix of O(s3), for the sets of this server.
    type: str
    default: main
  keep_within:
    description:
      - Keep every set that is at most this old; a number with V(s), V(m), V(h), V(d) or V(w).
      - At least one of O(keep_within), O(keep_daily), O(keep_weekly) and O(keep_monthly) must be given.
    type: str
    default: "0"
  keep_daily:
    description:
      - Of the last so many days (UTC) that have a set, keep the newest set of each; of sets with different databases,
        the newest of each database.
    type: int
    default: 0
  keep_weekly:
    description:
      - The same by weeks, which begin on Monday.
    type: int
    default: 0
  keep_monthly:
    description:
      - The same by months.
    type: int
    default: 0
  keep_tags:
    description:
      - Keep every set that bears one of these tags.
    type: list
    elements: str
    default: []
  minimum_redundancy:
    description:
      - Number of newest sets of each database that stay in any case; at least 1.
    type: int
    default: 2
  recovery_point_objective:
    description:
      - Nothing is removed while the newest set is older than this; a number with V(s), V(m), V(h), V(d) or V(w).
    type: str
    default: 24h
  size_drop:
    description:
      - Nothing is removed while the newest set of a database has lost more than this share of its rows, or of the size
        of its dump, against the median of up to seven sets before it, or while a large table is missing from it.
        V(100%) turns this off.
    type: str
    default: 50%
  accept:
    description:
      - Names of suspicious sets that are right as they are. What comes after is held against them, not against what was
        before.
    type: list
    elements: str
    default: []
  system_identifier:
    description:
      - Whose sets may be removed, as M(boardroom.maintenance.pg_backup) returns it. Needed when the store holds
        sets of several clusters, as after a major upgrade.
    type: str
    default: ""
  incomplete_ttl:
    description:
      - What an interrupted upload left in a bucket is swept when nothing was added to it for this long; a number with
        V(s), V(m), V(h), V(d) or V(w). In a directory nothing else can be at work, and it is swept at once.
    type: str
    default: 24h
requirements:
  - With O(s3), C(boto3) on the host
seealso:
  - module: boardroom.maintenance.pg_backup
  - module: boardroom.maintenance.pg_backup_info
"""

EXAMPLES = r"""
- name: Keep the sets of seven days here
  boardroom.maintenance.pg_backup_prune:
    keep_within: 7d
    keep_tags: [pre-upgrade]
  become: true

- name: Keep thirty days and twelve months off-site
  boardroom.maintenance.pg_backup_prune:
    keep_daily: 30
    keep_monthly: 12
    s3:
      bucket: boardroom-backups
      region: eu-central-1
  become: true

- name: What would go, and why does each of the others stay?
  boardroom.maintenance.pg_backup_prune:
    keep_within: 7d
  become: true
  check_mode: true
  diff: true
"""

RETURN = r"""
kept:
  description: The sets that stay, oldest first, each with the reasons.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: Name of the set., type: str, sample: 20261124T020000Z-9f3a1c2e}
    reasons: {description: What keeps it., type: list, elements: str, sample: [newest of day 2026-11-24]}
removed:
  description: The sets that were removed, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: Name of the set., type: str}
    snapshot_time: {description: The moment that it would have brought back (UTC)., type: str}
    bytes: {description: Size of all its files., type: int}
held:
  description: Why nothing is removed, one sentence each; empty when nothing speaks against it.
  returned: success
  type: list
  elements: str
swept:
  description: Names of what interrupted runs had left, and was removed (or would be, in check mode).
  returned: success
  type: list
  elements: str
freed_bytes:
  description: Size of the removed sets.
  returned: success
  type: int
findings:
  description:
    - V(backup.retention), a warning when nothing is removed; and one for each set that could not be removed, as while
      Object Lock keeps it. V(backup.leftover) when something could not be swept.
  returned: always
  type: list
  elements: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _prune, _retention, _stores, _trend
from ansible_collections.boardroom.maintenance.plugins.module_utils._step import ARGUMENTS, Context, Outcome, execute
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3 import S3_SPEC
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import parse_duration


def request_of(params: t.Mapping[str, t.Any], context: Context) -> _prune.Request:
    """What the options ask for; each is judged before anything is touched."""
    policy = _retention.Policy(
        keep_within=parse_duration(params["keep_within"], "keep_within"),
        keep_daily=params["keep_daily"],
        keep_weekly=params["keep_weekly"],
        keep_monthly=params["keep_monthly"],
        keep_tags=tuple(params["keep_tags"]),
        minimum_redundancy=params["minimum_redundancy"],
    )
    policy.require_sane()
    _trend.require_ids(params["accept"], context.now)
    return _prune.Request(
        policy=policy,
        objective=parse_duration(params["recovery_point_objective"], "recovery_point_objective"),
        drop=_trend.parse_drop(params["size_drop"]),
        accept=tuple(params["accept"]),
        identity=params["system_identifier"],
        incomplete_ttl=parse_duration(params["incomplete_ttl"], "incomplete_ttl"),
    )


def work(params: t.Mapping[str, t.Any], context: Context) -> Outcome:
    """Remove what is no longer to be kept."""
    request = request_of(params, context)
    result = _prune.prune(_stores.store_of(params), request, context.runner, context.now, context.check_mode)
    record = {
        "removed": [each.id for each in result.removed],
        "kept": len(result.plan.keep) + len(result.refused),
        "freed_bytes": result.freed,
        "held": [hold.reason for hold in result.plan.held],
    }
    return Outcome(result.changed, result.msg, result.findings, result.shown(), record, result.diff())


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "dest": {"type": "path", "default": "/var/backups/boardroom-maintenance"},
            "instance": {"type": "str", "default": "main"},
            "s3": S3_SPEC,
            "keep_within": {"type": "str", "default": "0"},
            "keep_daily": {"type": "int", "default": 0},
            "keep_weekly": {"type": "int", "default": 0},
            "keep_monthly": {"type": "int", "default": 0},
            "keep_tags": {"type": "list", "elements": "str", "default": []},
            "minimum_redundancy": {"type": "int", "default": 2},
            "recovery_point_objective": {"type": "str", "default": "24h"},
            "size_drop": {"type": "str", "default": "50%"},
            "accept": {"type": "list", "elements": "str", "default": []},
            "system_identifier": {"type": "str", "default": ""},
            "incomplete_ttl": {"type": "str", "default": "24h"},
        },
        supports_check_mode=True,
    )
    execute(module, lambda context: work(module.params, context), mutates=True)


if __name__ == "__main__":
    main()
