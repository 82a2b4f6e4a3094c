# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the report of a run: it needs the journals of all hosts, so it works on the controller."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._step import ARGUMENTS
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import utc_now
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._report_judge import closed, opened
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._report_model import Frame, plain
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._report_render import (
    render_html,
    render_json,
    render_markdown,
)
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._report_store import store

_STRINGS: t.Dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
_TEXT: t.Dict[str, t.Any] = {"type": "str", "default": ""}
CONTACTS: t.Dict[str, t.Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {"name": {"type": "str", "required": True}, "role": _TEXT, "phone": _TEXT, "email": _TEXT},
}

ARGUMENT_SPEC: t.Dict[str, t.Any] = {
    **ARGUMENTS,
    "run_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["opened", "closed"], "required": True},
    "title": {"type": "str", "required": True},
    "playbook": {"type": "str", "required": True},
    "started": {"type": "str", "required": True},
    "started_by": {"type": "str", "default": "unknown"},
    "dest": {"type": "path", "required": True},
    "expected_hosts": _STRINGS,
    "steps": _STRINGS,
    "checklist": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "phase": {"type": "str", "choices": ["pre", "during", "post"], "required": True},
            "item": {"type": "str", "required": True},
            "steps": _STRINGS,
            "note": _TEXT,
        },
    },
    "contacts": CONTACTS,
    "notes": _TEXT,
    "fail_on": {"type": "str", "choices": ["warning", "unknown", "critical"], "default": "critical"},
    "hosts": {"type": "dict", "default": {}},
}
_FRAME = (
    "run_id",
    "title",
    "playbook",
    "started",
    "started_by",
    "expected_hosts",
    "steps",
    "checklist",
    "contacts",
    "notes",
    "fail_on",
)


def report(options: t.Mapping[str, t.Any], check_mode: bool) -> t.Dict[str, t.Any]:
    """Make the report and write it unless in check mode.

    :param options: the module's options, in JSON's own types
    :raises MaintenanceError: an option is wrong, or the files cannot be written.
    """
    frame = Frame(**{name: options[name] for name in _FRAME})
    made = opened(frame) if options["state"] == "opened" else closed(frame, options["hosts"], utc_now(), check_mode)
    content = made.as_json()
    paths: t.Dict[str, str] = {}
    if not check_mode:
        texts = {"html": render_html(content), "md": render_markdown(content), "json": render_json(content)}
        paths = store(options["dest"], frame.run_id, texts)
    elif options["state"] == "opened":
        content.update(verdict="check", summary="Check mode: no report is written.")
    result = {name: content[name] for name in ("verdict", "summary", "findings", "counts")}
    stats = {
        "maintenance_run_id": frame.run_id,
        "maintenance_verdict": content["verdict"],
        "maintenance_summary": content["summary"],
        "maintenance_report": paths.get("html", ""),
        "maintenance_counts": content["counts"],
    }
    return {**result, "paths": paths, "stats": stats, "changed": False}


class ActionModule(ActionBase):
    """The translation between Ansible and C(plugin_utils/_report_*.py)."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[t.Dict[str, t.Any]] = None) -> t.Dict[str, t.Any]:
        result: t.Dict[str, t.Any] = super().run(tmp, task_vars)
        # Ansible does not say what types this has.
        validate: t.Callable[..., t.Tuple[t.Any, t.Dict[str, t.Any]]] = self.validate_argument_spec
        _valid, options = validate(ARGUMENT_SPEC)
        try:
            result.update(report(plain(options), bool(self._task.check_mode)))
        except MaintenanceError as exc:
            result.update(failed=True, changed=False, msg=f"{exc.message} {exc.remedy}".strip())
        return result
