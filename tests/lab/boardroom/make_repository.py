# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Make Boardroom's git repository: the same commits with the same hashes on every machine.

Usage: make_repository.py PATH (a bare repository, which must not exist)

A release is the one before it plus the files of releases/TAG; a file called dot-NAME there is .NAME in the repository.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

RELEASES = Path(__file__).resolve().parent / "releases"
AUTHOR = b"Alice Founder <alice@boardroom.test>"
LICENCE = """\
<!--
SPDX-License-Identifier: GPL-3.0-or-later
Copyright (c) 2026, Boardroom Maintenance contributors
-->
"""


@dataclass(frozen=True)
class Release:
    """One tagged commit."""

    tag: str
    day: str
    changes: str
    parent: str | None
    ref: str = "refs/heads/main"


HISTORY = (
    Release("v1.0.0", "2025-01-13", "Boards, meetings, documents, uploads.", None),
    Release("v1.1.0", "2025-03-03", "Comments, votes, an audit trail by year.", "v1.0.0"),
    Release("v1.2.0", "2025-06-16", "Search, attachments, a report of activity.", "v1.1.0"),
    Release("v1.3.0", "2025-10-06", "Settings, invoices, the archive of former systems.", "v1.2.0"),
    Release("v1.4.0", "2026-02-02", "Documents have a status.", "v1.3.0"),
    # Health asks for a table whose migration was forgotten. Not on main, and tagged without a tag object.
    Release("broken", "2026-02-09", "Feature flags.", "v1.4.0", "refs/tags/broken"),
)
"""Oldest first."""


def overlay(tag: str) -> dict[str, bytes]:
    """The files that a release adds or replaces, by their path in the repository."""
    folder = RELEASES / tag
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(folder).as_posix()
            files[name.replace("dot-", ".", 1) if name.startswith("dot-") else name] = path.read_bytes()
    return files


def ancestry(release: Release) -> list[Release]:
    """A release and those it stands on, newest first."""
    by_tag = {known.tag: known for known in HISTORY}
    line = [release]
    while line[-1].parent:
        line.append(by_tag[line[-1].parent])
    return line


def tree(release: Release) -> dict[str, bytes]:
    """Every file of a release."""
    line = ancestry(release)
    files: dict[str, bytes] = {}
    for step in reversed(line):
        files |= overlay(step.tag)
    changelog = "\n".join(f"## {step.tag} ({step.day})\n\n{step.changes}\n" for step in line)
    files["CHANGELOG.md"] = f"{LICENCE}# Changes\n\n{changelog}".encode()
    files["VERSION"] = f"{release.tag}\n".encode()
    return files


def data(content: bytes) -> bytes:
    """A block of git's fast-import format."""
    return b"data %d\n%s\n" % (len(content), content)


def stream() -> Iterator[bytes]:
    """The whole history in git's fast-import format."""
    marks = {release.tag: number for number, release in enumerate(HISTORY, 1)}
    for release in HISTORY:
        moment = int(datetime.fromisoformat(release.day).replace(hour=9, tzinfo=UTC).timestamp())
        who = b"%s %d +0000\n" % (AUTHOR, moment)
        yield b"commit %s\nmark :%d\n" % (release.ref.encode(), marks[release.tag])
        yield b"author " + who + b"committer " + who
        yield data(f"{release.tag}: {release.changes}\n".encode())
        if release.parent:
            yield b"from :%d\n" % marks[release.parent]
        yield b"deleteall\n"
        for name, content in sorted(tree(release).items()):
            yield b'M 100644 inline "%s"\n' % name.encode() + data(content)
        if not release.ref.startswith("refs/tags/"):
            yield b"tag %s\nfrom :%d\ntagger " % (release.tag.encode(), marks[release.tag])
            yield who + data(f"Boardroom {release.tag}\n".encode())
    yield b"done\n"


def make(target: Path) -> None:
    """Make the bare repository. CalledProcessError when git refuses."""
    # The user's own configuration and a surrounding repository must have no say.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TEMPLATE_DIR": ""}
    argv = ["git", "init", "--quiet", "--bare", "--initial-branch=main", "--object-format=sha1", str(target)]
    subprocess.run(argv, env=environment, check=True)
    subprocess.run(
        ["git", f"--git-dir={target}", "fast-import", "--quiet", "--done"],
        input=b"".join(stream()),
        env=environment,
        check=True,
    )


def main() -> int:
    """Run from the command line."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    target = Path(sys.argv[1])
    if target.exists():
        print(f"make_repository.py: {target} exists", file=sys.stderr)
        return 1
    make(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
