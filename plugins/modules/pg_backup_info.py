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
  - Says of the newest set of each database whether it is suspiciously small.
  - PostgreSQL need not run.
extends_documentation_fragment:
  - boardroom.maintenance._step
  - boardroom.maintenance._step.looks
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
  check:
    description:
      - How closely each set is looked at.
      - V(none) reads the manifests; V(sizes) compares names and sizes of all files; V(hashes) reads every byte and
        compares SHA-256; V(decode) also decodes every table and counts its rows again, which is possible only in a
        directory.
    type: str
    choices: [none, sizes, hashes, decode]
    default: sizes
  recovery_point_objective:
    description:
      - No more than this may ever be lost. The newest set that is older is critical, and a warning from four fifths of
        it on; a longer time between two sets is a warning. A number with V(s), V(m), V(h), V(d) or V(w).
    type: str
    default: 24h
  gaps_within:
    description:
      - Look for such times between sets that are younger than this; a number with V(s), V(m), V(h), V(d) or V(w), or
        V(0) for not at all. Older ones may have been thinned out by M(boardroom.maintenance.pg_backup_prune), so give
        no more than its O(boardroom.maintenance.pg_backup_prune#module:keep_within).
      - V(7d) when not given, and V(0) with O(s3).
    type: str
  size_drop:
    description:
      - A set is suspicious when a database in it has lost more than this share of its rows, or of the size of its dump,
        against the median of up to seven sets before it, or when a large table is missing. V(100%) turns this off.
    type: str
    default: 50%
  accept:
    description:
      - Names of suspicious sets that are right as they are. What comes after is held against them, not against what was
        before.
    type: list
    elements: str
    default: []
  textfile_dir:
    description:
      - Directory of node_exporter's textfile collector. Numbers for Prometheus are written there, as
        C(boardroom_backup_instance_store.prom), where the store is C(local) or the bucket; nothing when not given, in
        check mode, or when the store is out of reach.
    type: path
  jobs:
    description:
      - Number of files read at a time.
    type: int
    default: 2
requirements:
  - With O(s3), C(boto3) on the host
  - With O(check=decode), C(zstd) or C(gzip), as the sets were compressed, and C(pg_restore) for sets that were streamed
    (O(boardroom.maintenance.pg_backup#module:client=exec))
seealso:
  - module: boardroom.maintenance.pg_backup
  - module: boardroom.maintenance.pg_backup_prune
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

- name: What lies off-site, and how old is the newest of it?
  boardroom.maintenance.pg_backup_info:
    s3:
      bucket: boardroom-backups
      region: eu-central-1
    textfile_dir: /var/lib/prometheus/node-exporter
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
    path: {description: "Its directory, or its address in the bucket.", type: str}
    snapshot_time: {description: The moment that it brings back (UTC)., type: str}
    age_seconds: {description: Time since then in seconds., type: int}
    bytes: {description: Size of all its files., type: int}
    rows: {description: Number of rows in all tables., type: int}
    databases: {description: Names of its databases., type: list, elements: str}
    tags: {description: What it was marked with., type: list, elements: str}
    system_identifier: {description: Identity of the cluster., type: str}
    server_version: {description: Version of the server., type: str}
    verification: {description: What it has passed (C(level)) and when (C(at))., type: list, elements: dict}
    verified: {description: Whether it was decoded and counted when it was made., type: bool}
    problems: {description: "What is wrong now, each with C(file) and C(reason).", type: list, elements: dict}
metrics:
  description: File with the numbers for Prometheus.
  returned: when it was written
  type: str
findings:
  description:
    - V(backup.age) (newest whole set) and V(backup.verified_age) (newest verified one), or with O(s3) V(backup.offsite)
      in place of both; V(backup.damage).
    - V(backup.size_trend) once there is a verified set; V(backup.gap), V(backup.leftover) where there are any.
    - Only V(backup.store) when the directory is missing, unreadable or not mounted, or the bucket out of reach.
  returned: always
  type: list
  elements: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.boardroom.maintenance.plugins.module_utils import _metrics
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _catalogue, _stores, _trend
from ansible_collections.boardroom.maintenance.plugins.module_utils._step import ARGUMENTS, Context, Outcome, execute
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3 import S3_SPEC
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import parse_duration


def wanted_of(params: t.Mapping[str, t.Any], context: Context) -> _catalogue.Look:
    """What the options ask for; each is judged before anything is looked at."""
    if params["jobs"] < 1:
        raise MaintenanceError(f"jobs is {params['jobs']}, but must be at least 1.")
    if params["s3"] and params["check"] == "decode":
        raise MaintenanceError(
            "check: decode works on sets in a directory only; look at those in s3 with check: hashes."
        )
    if params["textfile_dir"]:
        _metrics.require_directory(params["textfile_dir"])
    _trend.require_ids(params["accept"], context.now)
    gaps_within = params["gaps_within"] or ("0" if params["s3"] else "7d")
    return _catalogue.Look(
        check=params["check"],
        objective=parse_duration(params["recovery_point_objective"], "recovery_point_objective"),
        gaps_within=parse_duration(gaps_within, "gaps_within"),
        drop=_trend.parse_drop(params["size_drop"]),
        accept=tuple(params["accept"]),
        jobs=params["jobs"],
    )


def work(params: t.Mapping[str, t.Any], context: Context) -> Outcome:
    """Look over the sets."""
    wanted = wanted_of(params, context)
    seen = _catalogue.look(_stores.store_of(params), wanted, context.now, context.runner)
    bad = [f for f in seen.findings if f["status"] != "ok"]
    msg = bad[0]["message"] if bad else f"{len(seen.sets)} set(s), all whole."
    values: t.Dict[str, t.Any] = {"sets": [each.shown(context.now) for each in seen.sets]}
    outcome = Outcome(False, msg, seen.findings, values, {"sets": len(seen.sets)})
    if params["textfile_dir"] and seen.reached and not context.check_mode:
        place = params["s3"]["bucket"] if params["s3"] else "local"
        labels = {"instance": params["instance"], "store": place}
        text = _metrics.render(_catalogue.gauges(seen.sets, context.now), labels)
        try:
            name = f"boardroom_backup_{params['instance']}_{place}"
            values["metrics"] = _metrics.write(params["textfile_dir"], name, text)
        except MaintenanceError as exc:
            # What was seen of the sets counts for more.
            outcome.warnings.append(exc.message)
    return outcome


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "dest": {"type": "path", "default": "/var/backups/boardroom-maintenance"},
            "instance": {"type": "str", "default": "main"},
            "s3": S3_SPEC,
            "check": {"type": "str", "choices": ["none", "sizes", "hashes", "decode"], "default": "sizes"},
            "recovery_point_objective": {"type": "str", "default": "24h"},
            "gaps_within": {"type": "str"},
            "size_drop": {"type": "str", "default": "50%"},
            "accept": {"type": "list", "elements": "str", "default": []},
            "textfile_dir": {"type": "path"},
            "jobs": {"type": "int", "default": 2},
        },
        supports_check_mode=True,
    )
    execute(module, lambda context: work(module.params, context), mutates=False)


if __name__ == "__main__":
    main()
