# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page that says what the fault tests saw (docs/reliability.md)."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import re
import subprocess
import typing as t
from pathlib import Path

import support

PAGE = support.ROOT / "docs" / "reliability.md"
# What tests saw that have passed. It counts while the code is the same, so that one that failed can be run again alone.
KEPT = support.ROOT / ".cache" / "faults.json"
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


def digest(test: Path) -> str:
    """Of all that a test's result depends on: the collection, the kits, and its own file."""
    here = Path(__file__).resolve().parent
    kits = [path for path in here.rglob("*.py") if not path.name.startswith("test_")]
    shipped = [path for part in ("plugins", "roles", "playbooks") for path in (support.ROOT / part).rglob("*")]
    whole = hashlib.sha256()
    for path in sorted(each for each in {*kits, *shipped, test} if each.suffix in (".py", ".yml", ".j2")):
        if path.is_file():
            whole.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


@dataclasses.dataclass
class Observed:
    """What one test saw.

    :param digest: of what it ran
    :param revision: of the checkout then
    :param versions: of the programs, as shown
    """

    digest: str
    revision: str
    versions: str
    date: str
    rows: list[list[str]] = dataclasses.field(default_factory=list)
    histogram: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


class Page:
    """Collects what was observed: in this run, and by tests that passed earlier on the same code."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        # What is tested is what stood there when the run began.
        self.began = ""
        self._passed: dict[str, Observed] = {}
        self._now: Observed | None = None

    def begin(self, test: Path) -> None:
        """A test begins."""
        date = f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}"
        self._now = Observed(digest(test), "", "", date)

    def passed(self, name: str, seconds: float) -> None:
        """The test that began last has passed."""
        if self._now:
            self._now.revision, self._now.seconds = self.began, seconds
            self._now.versions = ", ".join(f"{what} {version}" for what, version in self.versions.items())
            self._passed[name] = self._now
        self._now = None

    def add(self, section: str, fault: str, ours: str, runbook: str = NOT_ASKED) -> None:
        """One row of the table."""
        if self._now:
            self._now.rows.append([section, fault, ours, runbook])

    def add_kills(self, line: str) -> None:
        """When in a stage it was killed."""
        if self._now:
            self._now.histogram.append(line)

    def finish(self, tests: t.Mapping[str, Path]) -> None:
        """Keep what was seen; write the page when every test has passed on this code.

        :param tests: every test that there is, in order, and its file
        """
        known: dict[str, Observed] = {}
        if KEPT.exists():
            known = {name: Observed(**each) for name, each in json.loads(KEPT.read_text(encoding="utf-8")).items()}
        known.update(self._passed)
        digests = {path: digest(path) for path in set(tests.values())}
        known = {name: each for name, each in known.items() if name in tests and each.digest == digests[tests[name]]}
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({name: dataclasses.asdict(each) for name, each in known.items()}, indent=1)
        KEPT.write_text(text, encoding="utf-8")
        if tests and known.keys() == tests.keys():
            self._write([known[name] for name in tests])

    def _write(self, seen: t.Sequence[Observed]) -> None:
        def one(values: t.Iterable[str]) -> str:
            return " and ".join(dict.fromkeys(values))

        minutes = sum(each.seconds for each in seen) / 60
        rows = [row for each in seen for row in each.rows]
        histogram = [line for each in seen for line in each.histogram]
        lines = [
            "<!--",
            "Copyright (c) 2026, Boardroom Maintenance contributors",
            "SPDX-License-Identifier: GPL-3.0-or-later",
            "Written by tests/faults/faultpage.py when every test has passed on the same code; do not edit.",
            "-->",
            "# Reliability: faults and kills",
            "",
            (
                f"Every fault below was done to a real server, from outside, by `make faults` on"
                f" {one(each.date for each in seen)}: revision {one(each.revision for each in seen)},"
                f" {one(each.versions for each in seen)}; {len(seen)} tests, all passed, {minutes:.0f} minutes in all."
            ),
            "",
            (
                "Where a row begins with 'failed', the test asserts that the module fails in one sentence without"
                " traceback; that every set that was there is the same afterwards, byte by byte; that nothing half-done"
                " is left; and that no program of the backup still runs (the second of two runs: the sentence only)."
                " Off-site: that no set can be seen that is not whole, those before it are the same, and what an upload"
                " that could not be ended left there is gone after the next plain run, which must succeed."
                " The other rows say what was asserted. No password and no key may appear in any answer."
            ),
            "",
            (
                "The right column is the runbook's `backup_db.sh`, unchanged, under the same fault; its connection was"
                f" adapted by `~/.pgpass` only; where the fault is the store's, with the runbook's line `aws s3 cp`."
                f" A dump is whole when it ends with PostgreSQL's own last line."
                f" {NOT_ASKED}: the fault does not apply to it, or was not done to it."
            ),
        ]
        section = ""
        known = list(dict.fromkeys(row[0] for row in rows))
        order = sorted(known, key=lambda name: SECTIONS.index(name) if name in SECTIONS else len(SECTIONS))
        for row in sorted(rows, key=lambda row: order.index(row[0])):
            if row[0] != section:
                section = row[0]
                lines += ["", f"## {section}", ""]
                lines += ["| fault | boardroom.maintenance | the runbook's script |", "| --- | --- | --- |"]
            cells = [re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in row[1:]]
            lines.append(f"| {' | '.join(cells)} |")
        if histogram:
            lines += ["", "## When it was killed", ""]
            lines += ["Kills by SIGKILL in each tenth of a stage, by the clock of the process outside that killed.", ""]
            lines += ["```text", *histogram, "```"]
        PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
