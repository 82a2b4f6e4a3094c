# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Options of every module that talks to PostgreSQL; documented in C(doc_fragments/_postgres.py)."""

from __future__ import annotations

import typing as t

from .._process import Runner
from ._client import Client, Login, connect_client

ARGUMENTS: t.Dict[str, t.Dict[str, t.Any]] = {
    "client": {"type": "str", "choices": ["host", "exec", "sibling"], "default": "host"},
    "login_user": {"type": "str", "default": "postgres"},
    "login_password": {"type": "str", "no_log": True},
    "login_host": {"type": "str"},
    "login_port": {"type": "int", "default": 5432},
    "login_db": {"type": "str", "default": "postgres"},
    "passfile": {"type": "path", "no_log": False},
    "ssl_mode": {"type": "str", "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]},
    "ca_cert": {"type": "path"},
    "project_src": {"type": "path"},
    "service": {"type": "str"},
    "container_user": {"type": "str", "default": "postgres"},
}
REQUIRED_IF = [
    ("client", "exec", ("project_src", "service")),
    ("client", "sibling", ("project_src", "service")),
]


def client_of(params: t.Mapping[str, t.Any], runner: Runner) -> Client:
    """The client that a module's options ask for.

    :raises DatabaseError: the server's container does not run.
    """
    login = Login(
        user=params["login_user"],
        password=params["login_password"] or "",
        host=params["login_host"] or "",
        port=params["login_port"],
        passfile=params["passfile"] or "",
        ssl_mode=params["ssl_mode"] or "",
        ca_cert=params["ca_cert"] or "",
    )
    return connect_client(
        runner, login, params["client"], params["project_src"] or "", params["service"] or "", params["container_user"]
    )
