# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of every module that talks to PostgreSQL."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of C(module_utils/_postgres/_options.py)."""

    DOCUMENTATION = r"""
options:
  client:
    description:
      - Where PostgreSQL and its programs run.
      - V(host) is a server on this host, or one that this host reaches by TCP. The programs
        (C(psql), C(pg_dump), C(pg_restore), C(pg_dumpall)) are this host's, of the server's version or newer.
      - V(exec) is a server in a container of a Compose project; everything runs in that container.
      - V(sibling) is the same, but dumps run in a throw-away container of the server's own image beside it, with
        parallel jobs and without the right to anything but its output.
    type: str
    choices: [host, exec, sibling]
    default: host
  login_user:
    description:
      - PostgreSQL role to connect as.
      - With O(client=host), through the socket and without a password, the programs run as the operating system user
        of the same name, as peer authentication asks for.
    type: str
    default: postgres
  login_password:
    description:
      - Password of the role. It goes to PostgreSQL's programs through their environment.
    type: str
  login_host:
    description:
      - Name or address of the server, or the directory of its socket. The usual socket when not given.
    type: str
  login_port:
    description:
      - Port of the server.
    type: int
    default: 5432
  login_db:
    description:
      - Database to connect to first.
    type: str
    default: postgres
  passfile:
    description:
      - File with passwords, as PostgreSQL reads it (C(.pgpass)).
    type: path
  ssl_mode:
    description:
      - How much TLS is asked for on TCP connections; PostgreSQL's own default when not given.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
  ca_cert:
    description:
      - File with the certificate authority that the server is judged by.
    type: path
  project_src:
    description:
      - Directory of the Compose project that the server belongs to.
      - Required with O(client=exec) and O(client=sibling).
    type: path
  service:
    description:
      - Service of the Compose project that is the server.
      - Required with O(client=exec) and O(client=sibling).
    type: str
  container_user:
    description:
      - Operating system user to run programs as in the server's container.
    type: str
    default: postgres
"""
