#!/usr/bin/python
# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup
short_description: Take one verified backup set of PostgreSQL
version_added: 0.1.0
author:
  - Boardroom Maintenance contributors (@boardroom-maintenance)
description:
  - Takes one set of one or several databases and of the cluster's roles into a directory below O(dest).
  - A session exports a snapshot; C(pg_dump) dumps it while the session counts the rows of every table in the same
    snapshot. Then every data file is read once, hashed, decoded, and its rows are compared with those counts. Large
    objects are compared by their size.
  - The set becomes visible only when all of it agrees, by a rename, its manifest written last. What an interrupted run
    left is swept by the next one. Sets that are there are never touched.
  - With O(client=host) and O(client=sibling) a dump is C(pg_dump)'s directory format with parallel jobs; with
    O(client=exec) it is one file in its custom format, streamed out of the container.
  - With O(files) the application's files go into the same set after the databases, as archives of tar; each is
    decoded and its members are counted.
  - With O(s3) the set is then copied off-site, encrypted to O(recipients), read back and compared, its manifest last.
    A copy that fails leaves the local set, and the next call only copies. With O(stream) nothing of it is staged here.
  - Does nothing when a verified set of the same cluster, databases, files and tags is younger than O(max_age).
extends_documentation_fragment:
  - boardroom.maintenance._step
  - boardroom.maintenance._step.changes
  - boardroom.maintenance._postgres
  - boardroom.maintenance._s3
attributes:
  diff_mode:
    support: none
options:
  databases:
    description:
      - Names of the databases, or V(all) for every one that is no template.
    type: list
    elements: str
    default: [all]
  dest:
    description:
      - Directory that holds the sets, as C(dest/instance/id). With O(client=host) every directory above must let the
        operating system user that dumps pass through. With O(stream) it holds only notes of uploads under way.
    type: path
    default: /var/backups/boardroom-maintenance
  instance:
    description:
      - Directory below O(dest) for the sets of this server; give each server its own.
    type: str
    default: main
  jobs:
    description:
      - Number of tables that are dumped, and of files that are verified, at a time.
    type: int
    default: 2
  compress:
    description:
      - V(zstd), V(gzip) or V(none), with a level as in V(zstd:3). Before PostgreSQL 16, V(gzip) takes the
        place of V(zstd).
    type: str
    default: zstd:2
  min_free:
    description:
      - What must stay free on the file system of O(dest), as a share (V(10%)) or a size (V(5GiB)). The set is
        expected to be as large as the last one of the same databases plus a fifth, or as their tables.
    type: str
    default: 10%
  max_age:
    description:
      - A verified set this young, counted from its snapshot, is good enough when it holds what is asked for (databases,
        files, roles, tags); a number with V(s), V(m), V(h), V(d) or V(w). V(0) means that a set is always taken.
    type: str
    default: "0"
  force:
    description:
      - Take a set whatever the age of the newest.
    type: bool
    default: false
  globals:
    description:
      - Include roles, memberships and tablespaces. Hashes of passwords are included where the role may read them.
    type: bool
    default: true
  timeout:
    description:
      - Time limit of the whole set, as a number with V(s), V(m), V(h) or V(d).
    type: str
    default: 3h
  lock_wait_timeout:
    description:
      - How long to wait for a lock on a table, such as one that a migration holds; as a number with V(s) or V(m).
    type: str
    default: 30s
  release:
    description:
      - The application's release, for the manifest.
    type: str
    default: ""
  files:
    description:
      - Files of the application that belong into the set, one archive for each item. Owners, modes, extended attributes
        and access control lists are kept.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the archive, C(files/NAME.tar.zst) in the set.
        type: str
        required: true
      path:
        description: Absolute path of the directory that the archive is taken from.
        type: path
        required: true
      include:
        description: What of it, as paths relative to it. Without any, all of it.
        type: list
        elements: str
        default: []
      exclude:
        description:
          - Names or paths that are left out, at any depth, such as V(*.tmp), V(cache) or V(logs/old). Only C(*), C(?),
            C([abc]) and C([!abc]) are special; C(*) also stands for slashes.
        type: list
        elements: str
        default: []
      optional:
        description: What is missing of C(include) is left out with a warning, not refused; something must be there.
        type: bool
        default: false
  recipients:
    description:
      - Public keys that the copy off-site is encrypted to with C(age); C(age1...) or an SSH key. Any one of the
        private keys decrypts it; keep them elsewhere. Local sets stay as they are, readable by root only, on the host
        that holds the database itself.
    type: list
    elements: str
    default: []
  stream:
    description:
      - Write the set straight to O(s3); nothing of the dump is staged on this host. The dump is one file in the custom
        format of C(pg_dump), decoded and counted on its way.
    type: bool
    default: false
  tags:
    description:
      - Words that go into the manifest, for C(keep_tags) of M(boardroom.maintenance.pg_backup_prune).
    type: list
    elements: str
    default: []
requirements:
  - C(zstd) or C(gzip) on the host
  - With O(client=host), C(psql), C(pg_dump), C(pg_dumpall) and C(pg_restore) of the server's major version or newer
  - With the others, C(docker)
  - With O(files), C(tar); with O(s3), C(boto3) (Debian's C(python3-boto3)); with O(recipients), C(age)
seealso:
  - module: boardroom.maintenance.pg_backup_info
  - module: boardroom.maintenance.pg_backup_prune
"""

EXAMPLES = r"""
- name: Take a set of one database, unless there is one from the last eleven hours
  boardroom.maintenance.pg_backup:
    databases: [boardroom_prod]
    max_age: 11h
  become: true

- name: Take a set of all databases of a server in a container
  boardroom.maintenance.pg_backup:
    client: sibling
    project_src: /srv/boardroom
    service: db
    login_password: "{{ vault_postgres_password }}"
  become: true

- name: Database and uploads in one set, and an encrypted copy of it off-site
  boardroom.maintenance.pg_backup:
    databases: [boardroom_prod]
    files:
      - name: application
        path: /srv/boardroom
        include: [.env.production, docker-compose.yml, logs, uploads]
        exclude: ["*.tmp"]
    s3:
      bucket: boardroom-backups
      endpoint_url: https://s3.example.com
      access_key: "{{ vault_s3_access_key }}"
      secret_key: "{{ vault_s3_secret_key }}"
    recipients:
      - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  become: true
"""

RETURN = r"""
backup:
  description: The manifest of the new set, or of the one that is good enough, without its lists of files and tables.
  returned: success, except in check mode when a set would be taken
  type: dict
  contains:
    id: {description: Name of the set., type: str, sample: 20261124T020000Z-9f3a1c2e}
    path: {description: Its directory., type: str}
    bytes: {description: Size of all its files., type: int}
    rows: {description: Number of rows in all tables., type: int}
    tables: {description: Number of tables., type: int}
    archives: {description: Names of its archives of files., type: list, elements: str}
    tags: {description: Its tags., type: list, elements: str}
    passwords: {description: Whether the roles' password hashes are in it., type: bool}
    databases: {description: Names of its databases., type: list, elements: str}
    snapshot_time: {description: The moment that it brings back (UTC)., type: str, sample: "2026-11-24T02:00:00Z"}
    started: {description: When it was begun (UTC)., type: str}
    finished: {description: When it was complete (UTC)., type: str}
    server_version: {description: Version of the server., type: str, sample: "17.6"}
    client_version: {description: Version of pg_dump., type: str}
    system_identifier: {description: Identity of the cluster., type: str}
    migration_revisions: {description: Revisions of Alembic by database., type: dict}
    verification: {description: What it has passed (C(level)) and when (C(at))., type: list, elements: dict}
offsite:
  description: Address of the copy off-site; empty when there is none.
  returned: success
  type: str
  sample: s3://boardroom-backups/main/20261124T020000Z-9f3a1c2e
seconds:
  description: Time that each stage took, in seconds (C(dump), C(verify), C(files), C(copy), C(read_back)).
  returned: success
  type: dict
swept:
  description: Names of what interrupted runs had left, and was removed (or would be, in check mode).
  returned: success
  type: list
  elements: str
findings:
  description:
    - V(database.reachable), V(backup.verified), and on failure what is critical (V(database.reachable),
      V(backup.space), V(backup.offsite)).
  returned: always
  type: list
  elements: dict
"""

import os
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _backup, _options, _request
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._archive import places
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._offsite import Offsite
from ansible_collections.boardroom.maintenance.plugins.module_utils._size import parse_share
from ansible_collections.boardroom.maintenance.plugins.module_utils._step import ARGUMENTS, Context, Outcome, execute
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import LocalStore, store_root
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3 import S3Store
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3_options import S3_SPEC, s3_options
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import parse_duration

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def request_of(params: t.Mapping[str, t.Any]) -> _request.Request:
    """What the options ask for; each is judged before anything is touched."""
    if params["jobs"] < 1:
        raise MaintenanceError(f"jobs is {params['jobs']}, but must be at least 1.")
    _request.compression(params["compress"])
    parse_share(params["min_free"], 1, "min_free")
    # To PostgreSQL no time at all means without end.
    limits = {name: parse_duration(params[name], name) for name in ("timeout", "lock_wait_timeout")}
    for name, seconds in limits.items():
        if seconds < 1:
            raise MaintenanceError(f"{name} is {params[name]}, but must be at least 1s.")
    for tag in params["tags"]:
        if not _TAG.fullmatch(tag):
            raise MaintenanceError(f"tags has {tag!r}, but a tag is a word of letters, digits, -, _ and dots.")
    for option in ("stream", "recipients"):
        if params[option] and not params["s3"]:
            raise MaintenanceError(f"{option} needs s3: local sets are neither streamed nor encrypted.")
    return _request.Request(
        databases=params["databases"],
        login_db=params["login_db"],
        jobs=params["jobs"],
        compress=params["compress"],
        min_free=params["min_free"],
        max_age=parse_duration(params["max_age"], "max_age"),
        force=params["force"],
        timeout=limits["timeout"],
        lock_wait=limits["lock_wait_timeout"],
        with_globals=params["globals"],
        release=params["release"],
        places=tuple(places(params["files"])),
        tags=tuple(params["tags"]),
        stream=params["stream"],
    )


def offsite_of(params: t.Mapping[str, t.Any], store: LocalStore, context: Context) -> t.Optional[Offsite]:
    """Where the copies go, if anywhere."""
    if not params["s3"]:
        return None
    options = s3_options(params["s3"])
    secrets_allowed = options.allow_unencrypted_secrets
    # A server that hangs must not outlast the set's own time limit by much.
    remote = S3Store(options, params["instance"], patience=parse_duration(params["timeout"], "timeout"))
    return Offsite(remote, store, params["recipients"], secrets_allowed, context.runner)


def work(params: t.Mapping[str, t.Any], context: Context) -> Outcome:
    """Take the set."""
    request = request_of(params)
    store = LocalStore(store_root(params["dest"], params["instance"]))
    offsite = offsite_of(params, store, context)
    client = _options.client_of(params, context.runner)
    result = _backup.Backup(client, store, context.runner, offsite).take(request, context.check_mode)
    shown = summary(result.manifest, result.path) if result.manifest else {}
    values: t.Dict[str, t.Any] = {
        "swept": result.swept,
        "offsite": result.offsite,
        "seconds": result.seconds,
        **({"backup": shown} if shown else {}),
    }
    record = {**shown, "offsite": result.offsite, "stage_seconds": result.seconds} if shown else {}
    return Outcome(result.changed, result.msg, result.findings, values, record, warnings=result.warnings)


def summary(manifest: t.Mapping[str, t.Any], path: str) -> t.Dict[str, t.Any]:
    """The facts of a manifest that fit into a report."""
    same = (
        "id",
        "bytes",
        "snapshot_time",
        "started",
        "finished",
        "server_version",
        "client_version",
        "system_identifier",
    )
    databases = manifest["databases"]
    return {
        **{key: manifest[key] for key in (*same, "verification")},
        "path": path if "://" in path else os.path.abspath(path),
        "databases": [d["name"] for d in databases],
        "rows": sum(d["rows_total"] for d in databases),
        "tables": sum(len(d["tables"]) for d in databases),
        "archives": [archive["name"] for archive in manifest.get("archives", [])],
        "tags": list(manifest.get("tags", [])),
        "passwords": manifest["globals"]["passwords"],
        "migration_revisions": {d["name"]: d["migration_revisions"] for d in databases if d["migration_revisions"]},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            **_options.ARGUMENTS,
            "databases": {"type": "list", "elements": "str", "default": ["all"]},
            "dest": {"type": "path", "default": "/var/backups/boardroom-maintenance"},
            "instance": {"type": "str", "default": "main"},
            "jobs": {"type": "int", "default": 2},
            "compress": {"type": "str", "default": "zstd:2"},
            "min_free": {"type": "str", "default": "10%"},
            "max_age": {"type": "str", "default": "0"},
            "force": {"type": "bool", "default": False},
            "globals": {"type": "bool", "default": True},
            "timeout": {"type": "str", "default": "3h"},
            "lock_wait_timeout": {"type": "str", "default": "30s"},
            "release": {"type": "str", "default": ""},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "path": {"type": "path", "required": True},
                    "include": {"type": "list", "elements": "str", "default": []},
                    "exclude": {"type": "list", "elements": "str", "default": []},
                    "optional": {"type": "bool", "default": False},
                },
            },
            "s3": S3_SPEC,
            # Public keys; but who gives a private one by mistake must not find it in a log.
            "recipients": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "stream": {"type": "bool", "default": False},
            "tags": {"type": "list", "elements": "str", "default": []},
        },
        required_if=_options.REQUIRED_IF,
        supports_check_mode=True,
    )
    execute(module, lambda context: work(module.params, context), mutates=True)


if __name__ == "__main__":
    main()
