#!/usr/bin/python
# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_journal
short_description: Read the journal of a host, or note in it a task that failed or a verdict
version_added: 0.1.0
author:
  - Boardroom Maintenance contributors (@boardroom-maintenance)
description:
  - Every module of the collection appends what it did and found to the journal on its own host
    (C(journal.jsonl) in O(state_dir)), so that the record of a run survives the controller.
  - This module reads the records of some runs, for the report.
  - With O(failed_task) it notes a task that is none of the collection's modules and has failed.
  - With O(verdict) it notes how the run ended, as people were told. The journal of the record host so remembers what
    M(boardroom.maintenance.maintenance_notify) compares the next run with.
  - Neither changes the host's state, so C(changed) is always V(false).
extends_documentation_fragment:
  - boardroom.maintenance._step
  - boardroom.maintenance._step.looks
attributes:
  check_mode:
    description: Can run in C(check_mode); nothing is noted then.
options:
  run_ids:
    description:
      - Runs whose records are returned. None of it means O(run_id) alone.
    type: list
    elements: str
    default: []
  failed_task:
    description:
      - The task to note.
    type: dict
    suboptions:
      name:
        description: Name of the task.
        type: str
        required: true
      module:
        description: Name of its module.
        type: str
        default: ""
      msg:
        description: Why it failed.
        type: str
        default: ""
  verdict:
    description:
      - How the run O(run_id) ended.
    type: dict
    suboptions:
      playbook:
        description: Name of the playbook without C(.yml).
        type: str
        required: true
      verdict:
        description: The report's verdict.
        type: str
        choices: [ok, warning, failed, unfinished]
        required: true
      critical:
        description: Check, subject and host of each critical finding.
        type: list
        elements: list
        default: []
"""

EXAMPLES = r"""
- name: Read what this run did here
  boardroom.maintenance.run_journal:
    run_ids: [20261124T020000Z-9f3a1c2e]
  register: journal

- name: Note which task failed
  boardroom.maintenance.run_journal:
    run_id: 20261124T020000Z-9f3a1c2e
    step: backup
    failed_task:
      name: "{{ ansible_failed_task.name }}"
      module: "{{ ansible_failed_task.action }}"
      msg: "{{ ansible_failed_result.msg | default('') }}"

- name: Remember how the run ended
  boardroom.maintenance.run_journal:
    run_id: 20261124T020000Z-9f3a1c2e
    verdict:
      playbook: weekly
      verdict: "{{ report.verdict }}"
      critical: "{{ notified.critical }}"
"""

RETURN = r"""
records:
  description: Records of the runs, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: V(step), V(task_failed), V(run_opened), V(run_closed) or V(verdict).
      type: str
    run_id: {description: The run it belongs to., type: str}
    step: {description: Name of the step., type: str}
    started: {description: When the step began (UTC)., type: str}
    finished: {description: When it ended (UTC)., type: str}
    changed: {description: Whether it changed the host., type: bool}
    failed: {description: Whether it failed., type: bool}
    msg: {description: What it said., type: str}
    findings: {description: What it found., type: list, elements: dict}
verdicts:
  description:
    - How the last run of each playbook ended, as people were told, by the playbook's name. The run O(run_id) itself and
      those that began after it are left out.
  returned: success
  type: dict
  sample:
    weekly:
      kind: verdict
      run_id: 20261117T020000Z-0badc0de
      playbook: weekly
      verdict: failed
      critical: [[database.reachable, boardroom_prod, app1]]
      at: "2026-11-17T02:00:26Z"
damaged_lines:
  description: Number of lines of the journal that are no record, such as one that a crash cut short.
  returned: success
  type: int
findings:
  description: Always empty; the findings of the steps stand in RV(records).
  returned: always
  type: list
  elements: dict
"""

import socket
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._journal import Journal
from ansible_collections.boardroom.maintenance.plugins.module_utils._step import ARGUMENTS, Context, Outcome, execute
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import format_utc


def work(params: t.Mapping[str, t.Any], context: Context) -> Outcome:
    """Note a failed task or a verdict if there is one; read the records."""
    journal = Journal(context.state_dir)
    failed = params["failed_task"]
    if failed and not context.check_mode:
        journal.append(
            {
                "kind": "task_failed",
                "run_id": context.run_id,
                "step": params["step"] or "",
                "host": socket.gethostname(),
                "task": failed["name"],
                "module": failed["module"],
                "msg": context.runner.redact(failed["msg"]),
                "started": format_utc(context.now),
            }
        )
    verdict = params["verdict"]
    if verdict and not context.run_id:
        raise MaintenanceError("verdict needs run_id, the run that ended so.")
    if verdict and not context.check_mode:
        journal.append({"kind": "verdict", "run_id": context.run_id, "at": format_utc(context.now), **verdict})
    run_ids = params["run_ids"] or ([context.run_id] if context.run_id else None)
    records, damaged = journal.read(run_ids)
    values = {
        "records": records,
        "damaged_lines": damaged,
        "verdicts": journal.verdicts(context.run_id or ""),
    }
    return Outcome(False, f"{len(records)} records.", [], values)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "run_ids": {"type": "list", "elements": "str", "default": []},
            "failed_task": {
                "type": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "module": {"type": "str", "default": ""},
                    "msg": {"type": "str", "default": ""},
                },
            },
            "verdict": {
                "type": "dict",
                "options": {
                    "playbook": {"type": "str", "required": True},
                    "verdict": {"type": "str", "choices": ["ok", "warning", "failed", "unfinished"], "required": True},
                    "critical": {"type": "list", "elements": "list", "default": []},
                },
            },
        },
        supports_check_mode=True,
    )
    execute(module, lambda context: work(module.params, context), mutates=False, journaled=False)


if __name__ == "__main__":
    main()
