#!/usr/bin/python
# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup_role
short_description: Make the PostgreSQL role that takes backups and can do nothing else
version_added: 0.1.0
author:
  - Boardroom Maintenance contributors (@boardroom-maintenance)
description:
  - Makes a role, or makes one right, as which M(boardroom.maintenance.pg_backup) can dump every row of a server of
    PostgreSQL 14 or newer without being a superuser.
  - The role is C(LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS), so that row security never hides
    rows from a dump; a member of C(pg_read_all_data), also for what is made later; may C(CONNECT) to the databases that
    are dumped even where that was revoked from C(PUBLIC); and its transactions are read-only unless it asks for others.
  - All of it happens in one transaction, or nothing.
  - A superuser, or a role that owns anything, is refused, so that a name given by mistake takes no right from a role
    that others work with. Memberships that it has beside C(pg_read_all_data) are reported and left.
  - Then the module logs in as the role and sees that it can read all of each database. What C(pg_dump) leaves out for
    any role that is no superuser (subscriptions; options of user mappings to foreign servers) is told in RV(left_out).
  - The role can read whatever the server holds, the stored hashes of passwords too. Guard it as the sets themselves.
  - "To remove it by hand: C(DROP OWNED BY boardroom_backup; DROP ROLE boardroom_backup;)."
extends_documentation_fragment:
  - boardroom.maintenance._step
  - boardroom.maintenance._step.changes
  - boardroom.maintenance._postgres
options:
  login_user:
    description:
      - Superuser that makes the role.
  name:
    description:
      - Name of the role.
      - With peer authentication there must be an operating system user of the same name; the role
        P(boardroom.maintenance.postgres_access#role) makes it.
    type: str
    default: boardroom_backup
  password:
    description:
      - Its password, of printable ASCII characters. Not needed with peer authentication; one that is there stays when
        this is not given.
      - Only its SCRAM-SHA-256 verifier goes to the server, on C(psql)'s standard input, so that no log of the server's
        holds the password.
    type: str
  databases:
    description:
      - Names of the databases that it dumps, or V(all) for every one that is no template.
    type: list
    elements: str
    default: [all]
  connection_limit:
    description:
      - How many sessions it may have at a time, V(-1) for any number. A dump takes three more than its jobs. Left as it
        is when not given.
    type: int
  large_objects:
    description:
      - Let it read all large objects, by its setting C(lo_compat_privileges), which C(pg_read_all_data) does not cover.
      - With that setting PostgreSQL judges no right to large objects at all, so that whoever has this role could also
        change or remove them. When V(false), the role must be granted C(SELECT) on each one, and a dump fails where it
        is not, naming it.
    type: bool
    default: true
  check_login:
    description:
      - Log in as the role, and see that it can read everything.
      - Skipped in check mode while there is something to change.
    type: bool
    default: true
requirements:
  - C(psql) on the host, or C(docker) for a server in a container
seealso:
  - module: boardroom.maintenance.pg_backup
"""

EXAMPLES = r"""
- name: Make the role for backups of one database, by peer authentication
  boardroom.maintenance.pg_backup_role:
    databases: [boardroom_prod]
  become: true

- name: Make it in a server in a container, with a password
  boardroom.maintenance.pg_backup_role:
    client: sibling
    project_src: /srv/boardroom
    service: db
    password: "{{ vault_backup_password }}"
  become: true
"""

RETURN = r"""
changes:
  description: What was changed (or would be, in check mode), each in a few words.
  returned: success
  type: list
  elements: str
  sample: [role made, member of pg_read_all_data]
databases:
  description: Names of the databases that it dumps.
  returned: success
  type: list
  elements: str
left_out:
  description:
    - What C(pg_dump) leaves out for this role, one sentence for each database. Unknown when the login was not tried.
  returned: success
  type: list
  elements: str
findings:
  description:
    - V(database.reachable), V(database.backup_role); V(backup.left_out) for each of RV(left_out); on failure
      V(database.access) or V(database.reachable).
  returned: always
  type: list
  elements: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._findings import Finding
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _access, _options
from ansible_collections.boardroom.maintenance.plugins.module_utils._step import ARGUMENTS, Context, Outcome, execute


def work(params: t.Mapping[str, t.Any], context: Context) -> Outcome:
    """Make the role, then log in as it."""
    wanted = _access.Wanted(
        name=params["name"],
        databases=params["databases"],
        login_db=params["login_db"],
        password=params["password"] or "",
        connection_limit=params["connection_limit"],
        large_objects=params["large_objects"],
    )
    _access.require_sane(wanted)
    if params["client"] == "host" and not context.runner.find("psql"):
        raise MaintenanceError(
            "The program psql is not installed on this host.",
            "Install PostgreSQL or its client (postgresql-client), or say in the inventory which container the server "
            "runs in (maintenance_postgres_client).",
        )
    made = _access.make(_options.client_of(params, context.runner), wanted, context.check_mode)
    findings: t.List[Finding] = list(made.findings)
    if params["check_login"] and not (made.changes and context.check_mode):
        login = {**params, "login_user": wanted.name, "login_password": wanted.password}
        findings += _access.prove(_options.client_of(login, context.runner), wanted, made.databases)
    left_out = [f["message"] for f in findings if f["check"] == "backup.left_out"]
    would = "would be made right" if context.check_mode else "was made right"
    msg = (
        f"The role {wanted.name} {would}: {'; '.join(made.changes)}."
        if made.changes
        else f"The role {wanted.name} is as it should be."
    )
    values = {"changes": made.changes, "databases": made.databases, "left_out": left_out}
    diff = {"before": made.before, "after": made.after} if made.changes else None
    return Outcome(bool(made.changes), msg, findings, values, values, diff, left_out)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            **_options.ARGUMENTS,
            "name": {"type": "str", "default": "boardroom_backup"},
            "password": {"type": "str", "no_log": True},
            "databases": {"type": "list", "elements": "str", "default": ["all"]},
            "connection_limit": {"type": "int"},
            "large_objects": {"type": "bool", "default": True},
            "check_login": {"type": "bool", "default": True},
        },
        required_if=_options.REQUIRED_IF,
        supports_check_mode=True,
    )
    execute(module, lambda context: work(module.params, context), mutates=True)


if __name__ == "__main__":
    main()
