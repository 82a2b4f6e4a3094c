#!/usr/bin/python
# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: health_check
short_description: Ask HTTP endpoints and look at the containers of Compose projects
version_added: 0.1.0
author:
  - Boardroom Maintenance contributors (@boardroom-maintenance)
description:
  - Asks many HTTP endpoints at once from the managed host, and holds the containers of Compose projects against the
    services that the projects declare. Everything is looked at, however bad the first thing is.
  - What is found, good or bad, becomes a finding; the module itself never fails for it. Whether a bad finding makes a
    run red is decided by the report.
  - It fails for bad input only. Nothing to check at all is bad input, so that nothing forgotten in an inventory looks
    healthy.
  - Certificates are always judged; proxies of the environment are not used. Each endpoint has a time limit for the
    whole exchange, which also holds against a server that sends a byte a second.
extends_documentation_fragment:
  - boardroom.maintenance._step
  - boardroom.maintenance._step.looks
options:
  endpoints:
    description:
      - What to ask. Up to 32 are asked at the same moment, so one that hangs does not delay the others.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - What the endpoint is called in findings. Each has its own name.
        type: str
        required: true
      url:
        description:
          - An V(http://) or V(https://) URL, asked with GET. It may hold no user or password; give these in
            O(endpoints[].headers). Its query appears in no message.
        type: str
        required: true
      status:
        description:
          - HTTP statuses that are right.
        type: list
        elements: int
        default: [200]
      json:
        description:
          - Fields that the JSON body must have, and their values. Dots in a name lead into objects and lists, as in
            V(checks.database) or V(nodes.0.state). V(true) is neither V(1) nor the text V(true).
        type: dict
        default: {}
      body_contains:
        description:
          - A text that the body must contain. The first MiB of a body is read.
        type: str
        default: ''
      latency_warning:
        description:
          - Milliseconds, from the connection to the last byte of the body, from which on the endpoint is slow.
        type: float
      latency_critical:
        description:
          - Milliseconds from which on it is far too slow.
        type: float
      timeout:
        description:
          - Seconds for the whole exchange, from the name to the last byte; at most a day.
        type: float
        default: 5
      retries:
        description:
          - How often to ask again, a second apart, before something critical is believed.
        type: int
        default: 0
      connect_to:
        description:
          - V(address) or V(address:port) to connect to instead of the URL's own, such as V(127.0.0.1:443). The server
            is still asked for the URL's name, and its certificate must hold that.
        type: str
        default: ''
      ca_path:
        description:
          - File (PEM) or directory, on the managed host, of the certificate authorities to judge by. The host's own
            store when not given.
        type: path
      headers:
        description:
          - Headers to send. Their values are treated as secret, and hidden wherever they would appear in the result.
        type: dict
        default: {}
      follow_redirects:
        description:
          - Follow up to 5 redirects. Without it, a redirect is the answer. Authorization and Cookie headers are sent to
            the first server only.
        type: bool
        default: false
  projects:
    description:
      - Compose projects whose containers to look at, started by Compose v1 or v2.
    type: list
    elements: dict
    default: []
    suboptions:
      project_src:
        description:
          - Directory of the project.
        type: path
        required: true
      project_name:
        description:
          - Name of the project, when it was started with one of its own (C(compose -p)). Its containers are then chosen
            by that name, and not by the directory.
        type: str
        default: ''
      files:
        description:
          - Compose files, relative to O(projects[].project_src), when they are not those that Compose finds itself.
        type: list
        elements: str
        default: []
      services:
        description:
          - Services that must run. Those that the project declares, without those of inactive profiles, when not given.
        type: list
        elements: str
        default: []
      ignore:
        description:
          - Services not to look at, such as jobs that end by themselves.
        type: list
        elements: str
        default: []
      restarts_within:
        description:
          - For how long a restart by the engine is a warning, as a number with V(s), V(m), V(h) or V(d).
        type: str
        default: 24h
seealso:
  - module: boardroom.maintenance.maintenance_flag
"""

EXAMPLES = r"""
- name: Is the application well?
  boardroom.maintenance.health_check:
    endpoints:
      - name: application
        url: http://127.0.0.1:8000/health
        json: {status: healthy}
        latency_warning: 500
        latency_critical: 3000
      - name: public
        url: https://boardroom.example/health
        connect_to: 127.0.0.1:443
        json: {status: healthy}
    projects:
      - project_src: /srv/boardroom
        ignore: [migrate]

- name: An endpoint that wants a token
  boardroom.maintenance.health_check:
    endpoints:
      - name: metrics
        url: https://boardroom.example/metrics
        body_contains: http_requests_total
        headers:
          Authorization: "Bearer {{ boardroom_metrics_token }}"
"""

RETURN = r"""
findings:
  description:
    - What was seen, good and bad. RV(findings[].check) is V(health.endpoint) (does it answer, with the right status),
      V(health.json) (one for each wrong field), V(health.body), V(health.latency) (in ms), V(container.state) (one for
      each service), V(container.health) or V(container.restarts).
  returned: success
  type: list
  elements: dict
  contains:
    check: {description: Stable name of the check., type: str, sample: health.endpoint}
    subject: {description: The endpoint or the service., type: str, sample: application}
    status: {description: "V(ok), V(warning), V(unknown) or V(critical).", type: str, sample: ok}
    value: {description: What was measured., type: raw, sample: 200}
    unit: {description: Unit of the value., type: str, sample: ms}
    threshold: {description: What the value was held against., type: raw, sample: "200"}
    message: {description: One sentence., type: str, sample: "application: http://127.0.0.1:8000/health answers 200."}
    remedy: {description: What to do next; empty when all is well., type: str, sample: ""}
worst:
  description: The worst status among the findings.
  returned: success
  type: str
  sample: ok
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.boardroom.maintenance.plugins.module_utils._engine._compose import Engine
from ansible_collections.boardroom.maintenance.plugins.module_utils._findings import worst
from ansible_collections.boardroom.maintenance.plugins.module_utils._health import (
    Endpoint,
    Project,
    look_at_endpoints,
    look_at_project,
    require_sense,
)
from ansible_collections.boardroom.maintenance.plugins.module_utils._http import MAX_REDIRECTS, Request
from ansible_collections.boardroom.maintenance.plugins.module_utils._step import ARGUMENTS, Context, Outcome, execute
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import parse_duration

ENDPOINT_OPTIONS: t.Dict[str, t.Dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "status": {"type": "list", "elements": "int", "default": [200]},
    "json": {"type": "dict", "default": {}},
    "body_contains": {"type": "str", "default": ""},
    "latency_warning": {"type": "float"},
    "latency_critical": {"type": "float"},
    "timeout": {"type": "float", "default": 5},
    "retries": {"type": "int", "default": 0},
    "connect_to": {"type": "str", "default": ""},
    "ca_path": {"type": "path"},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "follow_redirects": {"type": "bool", "default": False},
}

PROJECT_OPTIONS: t.Dict[str, t.Dict[str, t.Any]] = {
    "project_src": {"type": "path", "required": True},
    "project_name": {"type": "str", "default": ""},
    "files": {"type": "list", "elements": "str", "default": []},
    "services": {"type": "list", "elements": "str", "default": []},
    "ignore": {"type": "list", "elements": "str", "default": []},
    "restarts_within": {"type": "str", "default": "24h"},
}


def endpoint_of(given: t.Mapping[str, t.Any]) -> Endpoint:
    """An endpoint from the module's options."""
    request = Request(
        url=given["url"],
        timeout=given["timeout"],
        connect_to=given["connect_to"],
        ca_path=given["ca_path"] or "",
        headers={str(name): str(value) for name, value in given["headers"].items()},
        redirects=MAX_REDIRECTS if given["follow_redirects"] else 0,
    )
    same = ("name", "status", "body_contains", "latency_warning", "latency_critical", "retries")
    return Endpoint(request=request, fields=given["json"], **{name: given[name] for name in same})


def project_of(given: t.Mapping[str, t.Any]) -> Project:
    """A project from the module's options."""
    within = parse_duration(given["restarts_within"], "restarts_within")
    return Project(**{**given, "restarts_within": within})


def look(params: t.Mapping[str, t.Any], context: Context) -> Outcome:
    """Look at everything."""
    endpoints = [endpoint_of(given) for given in params["endpoints"]]
    projects = [project_of(given) for given in params["projects"]]
    require_sense(endpoints, projects)
    findings = look_at_endpoints(endpoints)
    engine = Engine(context.runner)
    for project in projects:
        findings += look_at_project(project, engine, context.now)
    bad = [one for one in findings if one["status"] != "ok"]
    message = f"{len(bad)} of {len(findings)} checks are not well." if bad else f"All {len(findings)} checks are well."
    return Outcome(False, message, findings, {"worst": worst(findings)}, {"checks": len(findings), "bad": len(bad)})


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "endpoints": {"type": "list", "elements": "dict", "default": [], "options": ENDPOINT_OPTIONS},
            "projects": {"type": "list", "elements": "dict", "default": [], "options": PROJECT_OPTIONS},
        },
        supports_check_mode=True,
    )
    execute(module, lambda context: look(module.params, context), mutates=False)


if __name__ == "__main__":
    main()
