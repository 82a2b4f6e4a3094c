# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Reports on the controller's disk: C(DEST/RUN_ID/report.html), C(.md), C(.json), and C(DEST/latest)."""

from __future__ import annotations

import contextlib
import os
import secrets
import typing as t

from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._lock import write_atomically

LATEST = "latest"


def store(dest: str, run_id: str, texts: t.Mapping[str, str]) -> t.Dict[str, str]:
    """Write the files of one report; only their owner can read them, since they name people and the inside of hosts.

    :param dest: directory of all reports, made (0700) when missing
    :param texts: content by kind, such as C(html)
    :return: absolute path by kind
    :raises MaintenanceError: it could not be written.
    """
    directory = os.path.join(os.path.abspath(dest), run_id)
    paths = {kind: os.path.join(directory, f"report.{kind}") for kind in texts}
    try:
        os.makedirs(os.path.dirname(directory), mode=0o700, exist_ok=True)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        os.chmod(directory, 0o700)
        for kind, text in texts.items():
            write_atomically(paths[kind], text, 0o600)
    except OSError as exc:
        why = "it is no directory" if isinstance(exc, (FileExistsError, NotADirectoryError)) else exc.strerror
        raise MaintenanceError(
            f"The report cannot be written to {os.path.abspath(dest)} on the controller: {why}.",
            "Make that directory writable, or name another one with -e maintenance_report_dir=DIRECTORY.",
        ) from exc
    _point_latest(os.path.dirname(directory), run_id)
    return paths


def _point_latest(dest: str, run_id: str) -> None:
    """Let C(latest) name the newest run; a comfort, so a file system without links does without."""
    link = os.path.join(dest, LATEST)
    temporary = os.path.join(dest, f".{LATEST}-{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        # Ids sort by time: of two runs at once the newer one stays.
        if os.path.islink(link) and os.readlink(link) > run_id:
            return
        os.symlink(run_id, temporary)
        try:
            os.replace(temporary, link)
        except OSError:
            os.unlink(temporary)
