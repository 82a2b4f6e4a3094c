#!/usr/bin/python
# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance_flag
short_description: Put up and take down the maintenance page of nginx
version_added: 0.1.0
author:
  - Boardroom Maintenance contributors (@boardroom-maintenance)
description:
  - Makes and removes the file that nginx tests for (C(if (-f ...)) and that makes it answer 503.
  - The file says who put it up, why, since when and until when. Anybody on the host can read it.
  - A systemd timer on the host itself removes the file when its time is over, also after a reboot, whatever became of
    the run. It removes only the flag that it was made for.
  - A flag that somebody else put up stays as it is, one made by C(touch) included.
  - With O(verify_url), each change is proven by a request through nginx.
extends_documentation_fragment:
  - boardroom.maintenance._step
  - boardroom.maintenance._step.changes
options:
  state:
    description:
      - V(enabled) puts the flag up, V(disabled) takes it down, V(queried) only says whether it is up.
    type: str
    choices: [enabled, disabled, queried]
    required: true
  path:
    description:
      - The file. Its directory must exist, and nginx's own user must be able to pass through each directory above it.
    type: path
    default: /var/www/maintenance.flag
  reason:
    description:
      - What other operators, and visitors where the page shows it, are told. No secret.
    type: str
    default: Scheduled maintenance
  owner:
    description:
      - Who is at work. The user who called C(sudo) (C(become)) when not given.
    type: str
  expires_in:
    description:
      - The host lifts the flag after this time, a number with V(s), V(m), V(h) or V(d), from V(1m) to V(366d); or
        V(never).
    type: str
    default: 2h
  renew:
    description:
      - With O(state=enabled), move the expiry of a flag that the same run (or, without O(run_id), the same owner for
        the same reason) put up. Otherwise such a flag is left as it is.
    type: bool
    default: false
  only_own:
    description:
      - With O(state=disabled), leave a flag that this run (O(run_id)) did not put up.
    type: bool
    default: false
  verify_url:
    description:
      - A URL behind nginx that must answer 503 while the flag is up, and must not afterwards. Not probed when not
        given. Its query appears in no message.
      - A flag that nginx does not see is taken back, and the module fails.
    type: str
  connect_to:
    description:
      - Address and port to connect to instead of the URL's own, such as V(127.0.0.1:443).
    type: str
    default: ""
  ca_path:
    description:
      - Certificate authority that the URL is judged by. The host's own store when not given.
    type: path
requirements:
  - systemd, unless O(expires_in=never)
"""

EXAMPLES = r"""
- name: Put the maintenance page up for at most half an hour
  boardroom.maintenance.maintenance_flag:
    state: enabled
    owner: alice@laptop
    reason: The database is moved to a larger disk
    expires_in: 30m
    verify_url: https://boardroom.example/
  become: true

- name: Take it down
  boardroom.maintenance.maintenance_flag:
    state: disabled
    verify_url: https://boardroom.example/
  become: true
"""

RETURN = r"""
enabled:
  description: Whether the flag is up now (or would be, in check mode).
  returned: success
  type: bool
flag:
  description: What the flag says; empty when it is not up, or was made by hand.
  returned: success
  type: dict
  contains:
    schema: {description: Version of the flag's format., type: int, sample: 1}
    id: {description: This flag and no other., type: str}
    owner: {description: Who put it up., type: str, sample: alice@laptop}
    reason: {description: Why., type: str}
    since: {description: Since when (UTC)., type: str, sample: "2026-11-24T02:00:00Z"}
    expires: {description: When the host lifts it (UTC); V(null) for never., type: str}
    run_id: {description: The run that put it up; empty outside of runs., type: str}
findings:
  description:
    - V(maintenance.flag) when it is up already, or was queried; it is critical when its time is past.
    - V(maintenance.page) for what the URL answered.
  returned: always
  type: list
  elements: dict
"""

import json
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.boardroom.maintenance.plugins.module_utils import _http
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._maintenance._expiry import Expiry
from ansible_collections.boardroom.maintenance.plugins.module_utils._maintenance._flag import Change, Flag, Probe, Wish
from ansible_collections.boardroom.maintenance.plugins.module_utils._step import ARGUMENTS, Context, Outcome, execute
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import parse_duration


def request_of(params: t.Mapping[str, t.Any]) -> t.Optional[_http.Request]:
    """The probe that the options ask for."""
    if not params["verify_url"]:
        return None
    request = _http.Request(
        url=params["verify_url"], connect_to=params["connect_to"], ca_path=params["ca_path"] or "", timeout=5.0
    )
    _http.check(request, "verify_url")
    return request


def wish_of(params: t.Mapping[str, t.Any]) -> Wish:
    """What the flag should say."""
    forever = params["expires_in"] == "never"
    seconds = None if forever else parse_duration(params["expires_in"], "expires_in")
    if seconds is not None and not 60 <= seconds <= 366 * 86400:
        raise MaintenanceError(f"expires_in is {params['expires_in']}, but must be from 1m to 366d, or never.")
    owner = params["owner"] or os.environ.get("SUDO_USER") or "unknown"
    return Wish(owner, params["reason"], seconds, params["run_id"] or "", params["renew"])


def work(params: t.Mapping[str, t.Any], context: Context) -> Outcome:
    """Change the flag, or look at it."""
    if not os.path.isabs(params["path"]):
        raise MaintenanceError(f"path is {params['path']!r}, but must be an absolute path.")
    if not params["path"].isprintable():
        raise MaintenanceError(f"path is {params['path']!r}, but must have no control characters.")
    wish = wish_of(params)
    flag = Flag(params["path"], Expiry(context.runner, params["path"]), Probe(request_of(params)))
    if params["state"] == "enabled":
        change = flag.enable(wish, context.now, context.check_mode)
    elif params["state"] == "disabled":
        change = flag.disable(wish.run_id, params["only_own"], context.now, context.check_mode)
    else:
        change = flag.look(context.now)
    return outcome_of(change, params["path"])


def outcome_of(change: Change, path: str) -> Outcome:
    """The module's result for a change."""
    shown = json.loads(change.content.text()) if change.content else {}
    up = bool(change.after) or any(f["check"] == "maintenance.flag" and f["status"] != "ok" for f in change.findings)
    diff = {"before": change.before, "after": change.after, "before_header": path, "after_header": path}
    return Outcome(change.changed, change.msg, change.findings, {"enabled": up, "flag": shown}, {"flag": shown}, diff)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "state": {"type": "str", "choices": ["enabled", "disabled", "queried"], "required": True},
            "path": {"type": "path", "default": "/var/www/maintenance.flag"},
            "reason": {"type": "str", "default": "Scheduled maintenance"},
            "owner": {"type": "str"},
            "expires_in": {"type": "str", "default": "2h"},
            "renew": {"type": "bool", "default": False},
            "only_own": {"type": "bool", "default": False},
            "verify_url": {"type": "str"},
            "connect_to": {"type": "str", "default": ""},
            "ca_path": {"type": "path"},
        },
        supports_check_mode=True,
    )
    execute(
        module, lambda context: work(module.params, context), mutates=module.params["state"] in ("enabled", "disabled")
    )


if __name__ == "__main__":
    main()
