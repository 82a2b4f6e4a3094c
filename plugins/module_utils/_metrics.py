# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Numbers for Prometheus, as files that node_exporter's textfile collector reads."""

from __future__ import annotations

import os
import re
import typing as t

from ._errors import MaintenanceError
from ._lock import write_atomically

_NAME = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")
_LABEL = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")


class Gauge(t.NamedTuple):
    """One number and what it means.

    :param name: with its unit at the end, such as C(boardroom_backup_newest_bytes)
    :param help: one sentence
    """

    name: str
    help: str
    value: float


def render(gauges: t.Iterable[Gauge], labels: t.Mapping[str, str]) -> str:
    """The text of a file that holds these gauges.

    :param labels: borne by each of them
    :raises ValueError: a name is none that Prometheus takes.
    """
    for label in labels:
        if not _LABEL.match(label):
            raise ValueError(f"{label!r} is no name of a label")
    shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    lines = []
    for gauge in gauges:
        if not _NAME.match(gauge.name):
            raise ValueError(f"{gauge.name!r} is no name of a metric")
        lines.append(f"# HELP {gauge.name} {_escaped(gauge.help, quotes=False)}")
        lines.append(f"# TYPE {gauge.name} gauge")
        lines.append(f"{gauge.name}{{{shown}}} {gauge.value!r}")
    return "\n".join([*lines, ""])


def _escaped(text: str, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def require_directory(directory: str, name: str = "textfile_dir") -> None:
    """Refuse a directory that no file can be put into.

    :param name: of the option that held it
    :raises MaintenanceError: it is not there.
    """
    if not os.path.isabs(directory) or not os.path.isdir(directory):
        raise MaintenanceError(
            f"{name} is {directory!r}, but there is no such directory.",
            "Give the directory of node_exporter's --collector.textfile.directory.",
        )


def write(directory: str, name: str, text: str) -> str:
    """Replace a file of the collector as a whole, readable for its user; its path.

    :param name: of the file, without its suffix; what cannot stand in a file's name becomes C(_)
    :raises MaintenanceError: it cannot be written.
    """
    path = os.path.join(directory, re.sub(r"[^A-Za-z0-9_.-]", "_", name) + ".prom")
    try:
        write_atomically(path, text, 0o644)
    except OSError as exc:
        raise MaintenanceError(f"The metrics {path} cannot be written: {exc.strerror}.") from exc
    return path
