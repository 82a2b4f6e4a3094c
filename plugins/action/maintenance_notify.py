# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell people how a run ended: the controller does it, which knows the report and reaches the services."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.boardroom.maintenance.plugins.action.maintenance_report import CONTACTS
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._step import ARGUMENTS
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._notify import Run, critical, decide, green
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._notify_send import deliver, ping, ping_request
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._report_model import plain

_TEXT: t.Dict[str, t.Any] = {"type": "str", "default": ""}

ARGUMENT_SPEC: t.Dict[str, t.Any] = {
    **ARGUMENTS,
    "run_id": {"type": "str", "required": True},
    "title": {"type": "str", "required": True},
    "playbook": {"type": "str", "required": True},
    "verdict": {"type": "str", "choices": ["ok", "warning", "failed", "unfinished", "check"], "required": True},
    "summary": {"type": "str", "required": True},
    "findings": {"type": "list", "elements": "dict", "default": []},
    "contacts": CONTACTS,
    "report": _TEXT,
    "record_host": _TEXT,
    "previous": {"type": "dict", "default": {}},
    "window": {
        "type": "dict",
        "default": {},
        "options": {"used": {"type": "bool", "default": False}, "since": _TEXT, "until": _TEXT},
    },
    "urls": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "ping_url": {"type": "str", "default": "", "no_log": True},
    "timeout": {"type": "int", "default": 30},
}
_RUN = (
    "run_id",
    "title",
    "playbook",
    "verdict",
    "summary",
    "findings",
    "contacts",
    "report",
    "record_host",
    "previous",
    "window",
)


def notify(options: t.Mapping[str, t.Any], check_mode: bool) -> t.Dict[str, t.Any]:
    """Send what is to be sent unless in check mode.

    :param options: the module's options, in JSON's own types
    :raises MaintenanceError: a URL or the library is not as it must be.
    """
    if not 1 <= options["timeout"] <= 600:
        raise MaintenanceError(f"timeout is {options['timeout']}, but must be from 1 to 600 seconds.")
    run = Run(**{name: options[name] for name in _RUN})
    wanted = decide(run)
    request = ping_request(options["ping_url"], 10.0) if options["ping_url"] else None
    deliveries = deliver(options["urls"], None if check_mode else wanted, options["timeout"])
    problems = [one.problem for one in deliveries if one.problem]
    warning, pinged = "", "none"
    if request:
        pinged = "withheld"
        if green(run.verdict) and not problems and not check_mode:
            warning = ping(request)
            pinged = "failed" if warning else "sent"
    done = f"{wanted.kind}: {wanted.subject}" if wanted and options["urls"] else "Nothing new."
    return {
        "changed": False,
        "failed": bool(problems),
        "msg": " ".join(problems) or done,
        "message": wanted._asdict() if wanted else {},
        "delivered": [one.service for one in deliveries if wanted and not one.problem and not check_mode],
        "ping": pinged,
        "critical": critical(run.findings),
        **({"warnings": [warning]} if warning else {}),
    }


class ActionModule(ActionBase):
    """The translation between Ansible and C(plugin_utils/_notify*.py)."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[t.Dict[str, t.Any]] = None) -> t.Dict[str, t.Any]:
        result: t.Dict[str, t.Any] = super().run(tmp, task_vars)
        # Ansible does not say what types this has.
        validate: t.Callable[..., t.Tuple[t.Any, t.Dict[str, t.Any]]] = self.validate_argument_spec
        _valid, options = validate(ARGUMENT_SPEC)
        try:
            result.update(notify(plain(options), bool(self._task.check_mode)))
        except MaintenanceError as exc:
            result.update(failed=True, changed=False, msg=f"{exc.message} {exc.remedy}".strip())
        return result
