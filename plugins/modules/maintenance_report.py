#!/usr/bin/python
# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance_report
short_description: Write the report of a maintenance run on the controller
version_added: 0.1.0
author:
  - Boardroom Maintenance contributors (@boardroom-maintenance)
description:
  - At the beginning of a run, O(state=opened) writes a report that says V(unfinished). It stays when the controller
    dies, so that a run is green only when it is known to be.
  - At its end, O(state=closed) makes the real report from the journals of all hosts
    (M(boardroom.maintenance.run_journal)), those that failed or were cut off included.
  - A step that failed, a host without a record and a planned step without a record are critical findings.
  - Of several looks at the same thing (host, check and subject) the latest is the truth; the report says what the
    earlier ones saw.
  - Findings are sorted by severity, and those that are equally bad from cause to effect, so that a stopped database
    comes before the endpoints that fail because of it.
  - The files are C(report.html), C(report.md) and C(report.json) in O(dest)/O(run_id). Directory and files are only
    for the user who runs Ansible (0700 and 0600), since they name people and the inside of hosts. C(latest) in
    O(dest) is a link to the newest run.
  - The module never fails because of what it reports; RV(verdict) says how the run ended. The report is the run's own
    record and not the state of a host, so C(changed) is always V(false).
notes:
  - It works on the controller, without a connection to the host of the task; use C(run_once).
  - O(step), O(state_dir) and O(lock_wait) are accepted because the collection's action group sets them for all its
    modules; they have no effect here.
extends_documentation_fragment:
  - boardroom.maintenance._step
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode). Nothing is written then, and RV(verdict) is V(check) unless a finding given
      to it is as bad as O(fail_on); the hosts keep no journal in check mode, so that the report is never green.
  diff_mode:
    support: none
    description: Will return details on what has changed (or would change), when in diff mode.
  platform:
    platforms: posix
    support: full
    description: Target operating systems on which the module works.
options:
  run_id:
    description:
      - The run. It sorts by time and names the report's directory.
    required: true
  state:
    description:
      - V(opened) says that the run has begun, V(closed) how it ended.
    type: str
    choices: [opened, closed]
    required: true
  title:
    description:
      - What the run is called in the report.
    type: str
    required: true
  playbook:
    description:
      - Name of the playbook without C(.yml); remedies name it.
    type: str
    required: true
  started:
    description:
      - When the run began (UTC), such as V(2026-11-24T02:00:00Z).
    type: str
    required: true
  started_by:
    description:
      - Who started the run.
    type: str
    default: unknown
  dest:
    description:
      - Directory of all reports on the controller. It is made when missing.
    type: path
    required: true
  expected_hosts:
    description:
      - Hosts that take part in the run. One that O(hosts) does not hold is reported as missing.
    type: list
    elements: str
    default: []
  steps:
    description:
      - Names of the steps that the run does on each host. A host whose record lacks one is reported.
    type: list
    elements: str
    default: []
  checklist:
    description:
      - Entries of the checklist, filled in by what really ran.
    type: list
    elements: dict
    default: []
    suboptions:
      phase:
        description: When it is to be done.
        type: str
        choices: [pre, during, post]
        required: true
      item:
        description: What is to be done.
        type: str
        required: true
      steps:
        description: The steps that do it. None means that it is for the operator.
        type: list
        elements: str
        default: []
      note:
        description: What the operator should know or do, shown unless the entry is done.
        type: str
        default: ""
  contacts:
    description:
      - Whom to call, shown at the top of a red report.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the person.
        type: str
        required: true
      role:
        description: What the person is called for.
        type: str
        default: ""
      phone:
        description: Number as it is dialled; put it in quotes.
        type: str
        default: ""
      email:
        description: Address.
        type: str
        default: ""
  notes:
    description:
      - The operator's own words, such as lessons learned. They are shown as they are.
    type: str
    default: ""
  fail_on:
    description:
      - RV(verdict) is V(failed) when a finding is at least this bad. V(unknown) lies between the other two.
    type: str
    choices: [warning, unknown, critical]
    default: critical
  hosts:
    description:
      - With O(state=closed), what the journal of each host says, by the host's name in the inventory.
      - Each value is a dictionary with C(reachable) (bool), C(error) (why the journal could not be read),
        C(records) (as M(boardroom.maintenance.run_journal) returns them, those of this run and of runs that it had
        to close) and C(damaged_lines) (number).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Open the report
  boardroom.maintenance.maintenance_report:
    state: opened
    run_id: 20261124T020000Z-9f3a1c2e
    title: Weekly maintenance
    playbook: weekly
    started: "2026-11-24T02:00:00Z"
    started_by: alice@laptop
    expected_hosts: "{{ ansible_play_hosts_all }}"
    dest: ~/boardroom-maintenance/reports
  run_once: true

- name: Close it
  boardroom.maintenance.maintenance_report:
    state: closed
    run_id: 20261124T020000Z-9f3a1c2e
    title: Weekly maintenance
    playbook: weekly
    started: "2026-11-24T02:00:00Z"
    started_by: alice@laptop
    steps: [health_before, backup, health_after]
    checklist:
      - {phase: pre, item: Backup all data, steps: [backup]}
      - {phase: post, item: Check monitoring, note: Look at the dashboards.}
    contacts:
      - {name: Alice Founder, role: first call, phone: "+1 555 0100"}
    hosts:
      app1:
        reachable: true
        records: "{{ journal.records }}"
        damaged_lines: "{{ journal.damaged_lines }}"
    dest: ~/boardroom-maintenance/reports
  run_once: true
  register: report
"""

RETURN = r"""
verdict:
  description:
    - V(ok), V(warning), V(failed), V(unfinished) (the run has only begun) or V(check) (check mode found nothing bad,
      which proves nothing).
  returned: success
  type: str
  sample: failed
summary:
  description: One sentence that says how many findings there are and names the first.
  returned: success
  type: str
  sample: "2 critical findings and 1 warning; first on app1: PostgreSQL does not answer (database.reachable)."
findings:
  description: All findings, the worst first, and those that are equally bad from cause to effect.
  returned: success
  type: list
  elements: dict
  contains:
    check: {description: Dotted stable name of the check., type: str, sample: backup.age}
    subject: {description: What was looked at., type: str, sample: main}
    status: {description: "V(ok), V(warning), V(unknown) or V(critical).", type: str, sample: warning}
    value: {description: "What was measured, in RV(findings[].unit).", type: raw, sample: 31}
    unit: {description: Unit of the value and the threshold., type: str, sample: h}
    threshold: {description: "The bound that it was held against, in RV(findings[].unit).", type: raw, sample: 24}
    message: {description: One sentence for a person., type: str}
    remedy: {description: What an operator does next., type: str}
    host: {description: Name of the host in the inventory., type: str, sample: app1}
    step: {description: The step that looked last., type: str, sample: health_after}
    at: {description: When that step ended (UTC)., type: str, sample: "2026-11-24T02:04:10Z"}
    steps: {description: "All steps that looked, in order.", type: list, elements: str}
    history:
      description: What earlier looks saw when it was something else (C(step), C(at), C(status) and C(message)).
      type: list
      elements: dict
    recovered: {description: Whether it is ok now and was not before., type: bool}
counts:
  description: Number of findings by status.
  returned: success
  type: dict
  sample: {critical: 2, unknown: 0, warning: 1, ok: 17}
paths:
  description: Absolute paths of the files C(html), C(md) and C(json) on the controller. Empty in check mode.
  returned: success
  type: dict
  sample:
    html: /home/alice/boardroom-maintenance/reports/20261124T020000Z-9f3a1c2e/report.html
stats:
  description: The same in short, for M(ansible.builtin.set_stats) (AWX shows them as the job's artifacts).
  returned: success
  type: dict
  sample:
    maintenance_run_id: 20261124T020000Z-9f3a1c2e
    maintenance_verdict: failed
    maintenance_summary: >-
      2 critical findings and 1 warning; first on app1: PostgreSQL does not answer (database.reachable).
    maintenance_report: /home/alice/boardroom-maintenance/reports/20261124T020000Z-9f3a1c2e/report.html
    maintenance_counts: {critical: 2, unknown: 0, warning: 1, ok: 17}
"""
