# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page that says what the fault tests saw (docs/reliability.md)."""

from __future__ import annotations

import datetime
import re
import subprocess

import support

PAGE = support.ROOT / "docs" / "reliability.md"
NOT_ASKED = "n/a"
# In this order on the page.
SECTIONS = (
    "The server",
    "The disk",
    "Programs that fail, hang or lie",
    "Containers",
    "Kills",
    "Two runs at once",
    "Whole runs",
    "The sets",
    "The store",
    "Off-site: S3",
    "Off-site: encryption, streams and what lies there",
    "Retention",
    "Rights, names and passwords",
)


def revision() -> str:
    """The checkout's revision, and whether it is exactly that."""
    git = ["git", "-C", str(support.ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    status = [*git, "status", "--porcelain", "--", ":!docs/reliability.md"]
    changed = subprocess.run(status, capture_output=True, text=True, check=True)
    return head.stdout.strip() + (" with uncommitted changes" if changed.stdout.strip() else "")


class Page:
    """Collects what was observed."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []
        self.versions: dict[str, str] = {}
        # When in each stage it was killed, one line a stage.
        self.histogram: list[str] = []
        self.partial = False
        # What is tested is what stood there when the run began.
        self.began = ""

    def add(self, section: str, fault: str, ours: str, runbook: str = NOT_ASKED) -> None:
        """One row of the table."""
        self.rows.append((section, fault, ours, runbook))

    def write(self, count: int, seconds: float) -> None:
        """Write the page."""
        ended = revision()
        state = self.began if self.began == ended else f"{self.began} at the start, {ended} at the end"
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        lines = [
            "<!--",
            "Copyright (c) 2026, Boardroom Maintenance contributors",
            "SPDX-License-Identifier: GPL-3.0-or-later",
            "Written by tests/faults/faultpage.py at the end of a whole, successful run; do not edit.",
            "-->",
            "# Reliability: faults and kills",
            "",
            (
                f"Every fault below was done to a real server, from outside, by `make faults` on"
                f" {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}: revision {state}, {versions},"
                f" {count} tests in {seconds / 60:.0f} minutes."
            ),
            "",
            (
                "Where a row begins with 'failed', the test asserts that the module fails in one sentence without"
                " traceback; that every set that was there is the same afterwards, byte by byte; that nothing half-done"
                " is left; and that no program of the backup still runs (the second of two runs: the sentence only)."
                " The other rows say what was asserted. No password may appear in any answer."
            ),
            "",
            (
                "The right column is the runbook's `backup_db.sh`, unchanged, under the same fault; its connection was"
                f" adapted by `~/.pgpass` only. A dump is whole when it ends with PostgreSQL's own last line."
                f" {NOT_ASKED}: the fault does not apply to it, or was not done to it."
            ),
        ]
        section = ""
        known = list(dict.fromkeys(row[0] for row in self.rows))
        order = sorted(known, key=lambda name: SECTIONS.index(name) if name in SECTIONS else len(SECTIONS))
        for row in sorted(self.rows, key=lambda row: order.index(row[0])):
            if row[0] != section:
                section = row[0]
                lines += ["", f"## {section}", ""]
                lines += ["| fault | boardroom.maintenance | the runbook's script |", "| --- | --- | --- |"]
            cells = [re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in row[1:]]
            lines.append(f"| {' | '.join(cells)} |")
        if self.histogram:
            lines += ["", "## When it was killed", ""]
            lines += ["Kills by SIGKILL in each tenth of a stage, by the clock of the process outside that killed.", ""]
            lines += ["```text", *self.histogram, "```"]
        PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
