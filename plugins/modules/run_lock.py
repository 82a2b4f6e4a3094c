#!/usr/bin/python
# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_lock
short_description: Take or give back the lease that one maintenance run holds on a host
version_added: 0.1.0
author:
  - Boardroom Maintenance contributors (@boardroom-maintenance)
description:
  - A run (one execution of a playbook) holds a lease on every host it will change, so that two runs never
    work on one host at a time, whichever controllers they come from.
  - The lease names its run, owner and purpose, and expires unless renewed; every step of the run that changes
    the host renews it. A lease whose time has run out is taken over by the next run, which reports the broken one.
  - Beside the lease, each module that changes the host takes a kernel lock for as long as it works. An expired
    lease is not taken over while a step of its run is still at work.
  - The lease belongs to the run's own bookkeeping, as its journal does, and not to the state of the host; so
    C(changed) is always V(false).
extends_documentation_fragment:
  - boardroom.maintenance._step
  - boardroom.maintenance._step.changes
attributes:
  diff_mode:
    support: none
options:
  state:
    description:
      - V(held) takes the lease for O(run_id), or renews it.
      - V(released) gives it back; another run's lease is left alone.
    type: str
    choices: [held, released]
    default: held
  run_id:
    required: true
  owner:
    description:
      - Who started the run, as other runs will be told, such as V(alice@laptop).
    type: str
    default: unknown
  purpose:
    description:
      - What the run is for, usually the name of the playbook.
    type: str
    default: maintenance
  ttl:
    description:
      - How long after its last renewal the lease expires, as a number with V(s), V(m), V(h) or V(d).
    type: str
    default: 1h
  take_over:
    description:
      - Take the lease even if another run's is live. That run can then change nothing more on this host, and is
        recorded as broken.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Hold this host for the run
  boardroom.maintenance.run_lock:
    run_id: 20261124T020000Z-9f3a1c2e
    owner: alice@laptop
    purpose: weekly
    ttl: 1h

- name: Give it back
  boardroom.maintenance.run_lock:
    run_id: 20261124T020000Z-9f3a1c2e
    state: released
"""

RETURN = r"""
held:
  description: Whether the run holds the lease now.
  returned: success
  type: bool
lease:
  description: The lease as it stands now; empty when there is none.
  returned: success
  type: dict
  contains:
    run_id: {description: The run that holds it., type: str, sample: 20261124T020000Z-9f3a1c2e}
    owner: {description: Who started that run., type: str, sample: alice@laptop}
    purpose: {description: What that run is for., type: str, sample: weekly}
    since: {description: When it was taken (UTC)., type: str, sample: "2026-11-24T02:00:00Z"}
    renewed: {description: When it was renewed last (UTC)., type: str, sample: "2026-11-24T02:04:10Z"}
    expires: {description: When it expires unless renewed (UTC)., type: str, sample: "2026-11-24T03:04:10Z"}
broken_run:
  description: The lease of a run that never gave it back and was replaced; empty when there was none.
  returned: success
  type: dict
  sample: {}
holder:
  description: The live lease of another run, which stands in the way.
  returned: when another run holds the host
  type: dict
findings:
  description: One finding, its check V(run.unfinished), when a broken run was replaced.
  returned: always
  type: list
  elements: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._findings import finding
from ansible_collections.boardroom.maintenance.plugins.module_utils._journal import Journal
from ansible_collections.boardroom.maintenance.plugins.module_utils._lock import Lease, LeaseHeldError, expired
from ansible_collections.boardroom.maintenance.plugins.module_utils._step import ARGUMENTS, Context, Outcome, execute
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import format_utc, parse_duration


def hold(params: t.Mapping[str, t.Any], context: Context) -> Outcome:
    """Take or renew the lease; close the run that left one behind."""
    run_id = params["run_id"]
    ttl = parse_duration(params["ttl"], "ttl")
    if ttl < 60:
        raise MaintenanceError(f"ttl is {params['ttl']}, but a lease must last at least 1m.")
    lease = Lease(context.state_dir)
    renewed = (lease.read() or {}).get("run_id") == run_id
    if context.check_mode:
        broken = lease.check(run_id, context.now, params["take_over"])
    else:
        broken = lease.acquire(run_id, params["owner"], params["purpose"], ttl, context.now, params["take_over"])
    findings = []
    if broken:
        reason = "expired" if expired(broken, context.now) else "taken over"
        findings.append(
            finding(
                "run.unfinished",
                broken["run_id"],
                "warning",
                f"Run {broken['run_id']} ({broken['purpose']}, started by {broken['owner']} at {broken['since']}) "
                f"never ended; its lease {'had expired' if reason == 'expired' else 'was taken over'}.",
                remedy="Look at its last step below, and run that playbook again if its work is still needed.",
            )
        )
        _note(context, "run_closed", broken["run_id"], by=run_id, reason=reason, **_who(broken))
    if not renewed:
        _note(context, "run_opened", run_id, **_who(params))
    values = {"held": not context.check_mode, "lease": lease.read() or {}, "broken_run": broken or {}}
    return Outcome(False, f"Run {run_id} holds this host for {params['ttl']}.", findings, values)


def release(params: t.Mapping[str, t.Any], context: Context) -> Outcome:
    """Give the lease back if it is this run's."""
    lease = Lease(context.state_dir)
    mine = (lease.read() or {}).get("run_id") == params["run_id"]
    if mine and not context.check_mode:
        lease.release(params["run_id"])
        _note(context, "run_closed", params["run_id"], reason="finished", **_who(params))
    message = "The lease is given back." if mine else "The lease was not this run's and is left alone."
    return Outcome(False, message, [], {"held": False, "lease": lease.read() or {}, "broken_run": {}})


def _who(source: t.Mapping[str, t.Any]) -> t.Dict[str, str]:
    return {"owner": source["owner"], "purpose": source["purpose"]}


def _note(context: Context, kind: str, run_id: str, **more: t.Any) -> None:
    if not context.check_mode:
        Journal(context.state_dir).append({"kind": kind, "run_id": run_id, "at": format_utc(context.now), **more})


def refused(params: t.Mapping[str, t.Any], context: Context) -> t.Optional[LeaseHeldError]:
    """The refusal by another run's live lease, if any: known before waiting for a step of that run to end."""
    try:
        Lease(context.state_dir).check(params["run_id"], context.now, params["take_over"])
    except LeaseHeldError as exc:
        return exc
    return None


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "run_id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["held", "released"], "default": "held"},
            "owner": {"type": "str", "default": "unknown"},
            "purpose": {"type": "str", "default": "maintenance"},
            "ttl": {"type": "str", "default": "1h"},
            "take_over": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    work = hold if module.params["state"] == "held" else release

    def before(context: Context) -> None:
        refusal = refused(module.params, context) if work is hold else None
        if refusal:
            raise refusal

    execute(module, lambda context: work(module.params, context), mutates=True, holds_lease=False, before=before)


if __name__ == "__main__":
    main()
