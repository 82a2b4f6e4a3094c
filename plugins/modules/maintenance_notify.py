#!/usr/bin/python
# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance_notify
short_description: Tell people how a maintenance run ended, when that is news
version_added: 0.1.0
author:
  - Boardroom Maintenance contributors (@boardroom-maintenance)
description:
  - It sends one message for each change of state. A run that ends as the one before it is no news, however red it is;
    a critical finding that was not there last time is.
  - A first run is told only when it is not V(ok).
  - A message of recovery says what is well again. A run during which the maintenance page was up is always told
    (completion notice). A run that never ended is told in red by the run that closes it (finding C(run.unfinished)).
  - Every red message names whom to call, and what to do about the first causes.
  - After a run that is not red, and whose messages went out, it asks for O(ping_url) (a dead man's switch), so that the
    watcher behind it alarms when a run is red, could not begin, or was never started.
  - The library apprise sends the messages, in a process of its own. Whatever it logs is dropped, since it may hold
    URLs.
  - When a message cannot be delivered, the task fails with one sentence that names the kind of service; the other
    services are tried all the same. URLs are looked at in every run, so that a wrong one is known before it is needed.
  - A ping that fails is a warning only, since the watcher alarms by itself.
requirements:
  - Python library apprise on the controller (1.2.0 or newer; in Debian, the package apprise), when O(urls) is not empty
notes:
  - It works on the controller, without a connection to the host of the task; use C(run_once).
  - O(step), O(state_dir) and O(lock_wait) are accepted because the collection's action group sets them for all its
    modules; they have no effect here.
extends_documentation_fragment:
  - boardroom.maintenance._step
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode). Nothing is sent then, and RV(message) is what would be.
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
      - The run that has ended.
    required: true
  title:
    description:
      - What the run is called in the message.
    type: str
    required: true
  playbook:
    description:
      - Name of the playbook without C(.yml).
    type: str
    required: true
  verdict:
    description:
      - How the run ended, as M(boardroom.maintenance.maintenance_report) returns it. V(check) is never told.
    type: str
    choices: [ok, warning, failed, unfinished, check]
    required: true
  summary:
    description:
      - One sentence about it, from the report.
    type: str
    required: true
  findings:
    description:
      - The report's findings, the worst first.
    type: list
    elements: dict
    default: []
  contacts:
    description:
      - Whom to call, named in every red message.
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
  report:
    description:
      - Path of the report on the controller.
    type: str
    default: ""
  record_host:
    description:
      - Name of the host that keeps a copy of the report.
    type: str
    default: ""
  previous:
    description:
      - How the last run of this playbook ended that was told, from C(verdicts) of M(boardroom.maintenance.run_journal)
        (C(verdict) and C(critical)). Empty means that there was none.
    type: dict
    default: {}
  window:
    description:
      - The maintenance window of the run.
    type: dict
    default: {}
    suboptions:
      used:
        description: Whether the maintenance page was up.
        type: bool
        default: false
      since:
        description: Since when (UTC).
        type: str
        default: ""
      until:
        description: When it was taken down (UTC). Empty means that no record says so.
        type: str
        default: ""
  urls:
    description:
      - Where to send messages, as apprise writes it, such as V(mailto://user:password@mail.example?to=ops@example.com).
        They are secrets; keep them in a vault.
    type: list
    elements: str
    default: []
  ping_url:
    description:
      - URL that is asked for (GET) after a run that is not red. It is a secret too.
    type: str
    default: ""
  timeout:
    description:
      - How long each service may take, in seconds, from 1 to 600.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: Tell how the run ended
  boardroom.maintenance.maintenance_notify:
    run_id: 20261124T020000Z-9f3a1c2e
    title: Weekly maintenance
    playbook: weekly
    verdict: "{{ report.verdict }}"
    summary: "{{ report.summary }}"
    findings: "{{ report.findings }}"
    report: "{{ report.paths.html }}"
    previous: "{{ journal.verdicts.weekly | default({}) }}"
    contacts:
      - {name: Alice Founder, role: first call, phone: "+1 555 0100"}
    urls: "{{ maintenance_notify_urls }}"
    ping_url: "{{ maintenance_ping_urls.weekly | default('') }}"
  run_once: true
"""

RETURN = r"""
message:
  description: What was sent, or would be in check mode or if there were a URL. Empty when the run is no news.
  returned: success
  type: dict
  contains:
    kind: {description: "V(red), V(warning), V(recovery) or V(completion).", type: str, sample: red}
    subject: {description: One short line., type: str, sample: "FAILED: Hourly look: app1: PostgreSQL does not answer"}
    body: {description: Plain text., type: str}
delivered:
  description: Services that took the message, each with its kind and, where that is no secret, its host.
  returned: success
  type: list
  elements: str
  sample: [Slack, "E-Mail at mail.example"]
ping:
  description: V(none) (no URL), V(sent), V(withheld) (the run is red, a message failed, or check mode) or V(failed).
  returned: success
  type: str
  sample: sent
critical:
  description:
    - Check, subject and host of each critical finding, which M(boardroom.maintenance.run_journal) is to remember.
  returned: success
  type: list
  elements: list
  sample: [[database.reachable, boardroom_prod, app1]]
"""
