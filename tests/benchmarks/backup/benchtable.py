# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, as a table; and whether each limit is kept."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._request import Request

MEGABYTE = 1_000_000
COMPRESS = Request.compress
"""What pg_backup compresses with unless told otherwise."""
ROUNDS = 3
"""Fewer say nothing about the spread."""


@dataclass(frozen=True)
class Measured:
    """One run: seconds, CPU seconds, CPU seconds of everything else on the machine, bytes.

    size is what the run left, own_rss that of the largest single process, tree_rss that of all its processes, disk the
    most that it took of the disk; stages are seconds by the module's own account.
    """

    wall: float
    cpu: float
    other: float = 0.0
    own_rss: int = 0
    tree_rss: int = 0
    disk: int = 0
    size: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)

    def then(self, following: Measured) -> Measured:
        """This run and one right after it, as one."""
        return Measured(
            self.wall + following.wall,
            self.cpu + following.cpu,
            self.other + following.other,
            max(self.own_rss, following.own_rss),
            max(self.tree_rss, following.tree_rss),
            # What the first one left still lies there.
            max(self.disk, self.size + following.disk),
            following.size,
        )


@dataclass(frozen=True)
class Run:
    """A row of the table: what is run, and the row that it is compared with."""

    key: str
    title: str
    baseline: str = ""


RUNS = (
    Run("dump", "bare `pg_dump -Fd -j2 -Z zstd:3`"),
    Run("dump_same", f"bare `pg_dump -Fd -j2 -Z {COMPRESS}`, as `pg_backup` compresses"),
    Run("hashes", "`sha256sum` over a set, two at a time"),
    Run("script_local", "the runbook's script without the upload: `pg_dump > f.sql; gzip f.sql`"),
    Run("script", "the runbook's script, whole: that, `aws s3 cp`, `find -delete`", "script_local"),
    Run("local", "`pg_backup` to the local disk, verified", "script_local"),
    Run("s3", "`pg_backup` with `s3`: local set, copy, read back", "script"),
    Run("age", "the same, encrypted to a public key with age", "script"),
    Run("stream", "`pg_backup` with `stream: true`, read back", "script"),
    Run("stream_small", "`pg_backup` with `stream: true`, a tenth of the database"),
    Run("info", "`pg_backup_info` over the sets in S3"),
    Run("prune", "`pg_backup_prune` over the sets in S3, check mode"),
)

Results = Mapping[str, Sequence[Measured]]
"""The runs of each row by its key, one for each round."""


def middle(results: Results, key: str, value: Callable[[Measured], float]) -> float | None:
    """The median of a value over the rounds, or None when that was not run."""
    return statistics.median(map(value, results[key])) if results.get(key) else None


def ratio(results: Results, key: str, baseline: str, value: Callable[[Measured], float]) -> float | None:
    """One median by another one."""
    one, other = middle(results, key, value), middle(results, baseline, value)
    return one / other if one is not None and other else None


def without_verification(results: Results) -> float | None:
    """Dump, counts, hashes and all around them, by the bare dump: the whole call without what decodes and compares.

    The module hashes in the reading in which it decodes, so what hashing alone takes is put back.
    """
    calls = [each.wall - each.stages["verify"] for each in results.get("local", []) if "verify" in each.stages]
    hashes, bare = (middle(results, key, lambda m: m.wall) for key in ("hashes", "dump"))
    return (statistics.median(calls) + hashes) / bare if calls and hashes is not None and bare else None


@dataclass(frozen=True)
class Limit:
    """A promise: what must not be exceeded."""

    text: str
    most: float
    value: Callable[[Results], float | None]
    unit: str = ""


def _megabytes(key: str) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        found = middle(results, key, lambda m: m.own_rss)
        return None if found is None else found / MEGABYTE

    return value


def _by(key: str, baseline: str) -> Callable[[Results], float | None]:
    return lambda results: ratio(results, key, baseline, lambda m: m.wall)


def _seconds(key: str) -> Callable[[Results], float | None]:
    return lambda results: middle(results, key, lambda m: m.wall)


LIMITS = (
    Limit("local, with counts and hashes, without verification, by the bare dump", 1.25, without_verification),
    Limit("local, verification included, by the runbook's dump and gzip", 0.35, _by("local", "script_local")),
    Limit(
        "the local set's size, by the runbook's file",
        1.0,
        lambda results: ratio(results, "local", "script_local", lambda m: m.size),
    ),
    Limit("to S3 with read-back, by the runbook's whole script", 0.45, _by("s3", "script")),
    Limit("streamed to S3 with read-back, by the runbook's whole script", 0.45, _by("stream", "script")),
    Limit("memory of the streaming process", 170, _megabytes("stream"), "MB"),
    Limit("the same with a tenth of the database", 170, _megabytes("stream_small"), "MB"),
    Limit("listing the sets in S3", 10, _seconds("info"), "s"),
    Limit("memory of that", 150, _megabytes("info"), "MB"),
    Limit("retention plan over the sets in S3", 10, _seconds("prune"), "s"),
    Limit("memory of that", 150, _megabytes("prune"), "MB"),
)


def _cell(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _mb(value: float | None) -> str:
    return "" if not value else f"{value / MEGABYTE:.0f}"


def table(results: Results) -> list[str]:
    """The rows that were run, as lines of Markdown."""
    lines = [
        "| run | seconds | CPU s | other | by row | seconds | CPU | memory MB | largest MB | disk MB | left MB |",
        "|---" * 11 + "|",
    ]
    for number, run in enumerate(RUNS, 1):
        if not results.get(run.key):
            continue

        def of(value: Callable[[Measured], float], key: str = run.key) -> float | None:
            return middle(results, key, value)

        walls = [each.wall for each in results[run.key]]
        compared = bool(run.baseline and results.get(run.baseline))
        row = next(n for n, r in enumerate(RUNS, 1) if r.key == run.baseline) if compared else 0
        cells = [
            f"{number}. {run.title}",
            f"{_cell(of(lambda m: m.wall))} ({min(walls):.1f} to {max(walls):.1f})",
            _cell(of(lambda m: m.cpu)),
            _cell(of(lambda m: m.other)),
            f"{row}" if compared else "",
            _cell(ratio(results, run.key, run.baseline, lambda m: m.wall), 2) if compared else "",
            _cell(ratio(results, run.key, run.baseline, lambda m: m.cpu), 2) if compared else "",
            _mb(of(lambda m: m.tree_rss)),
            _mb(of(lambda m: m.own_rss)),
            _mb(of(lambda m: m.disk)),
            _mb(of(lambda m: m.size)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def stages(results: Results) -> list[str]:
    """Where the time of a backup goes, by the module's own account."""
    names = list(dict.fromkeys(name for runs in results.values() for each in runs for name in each.stages))
    if not names:
        return []
    lines = ["| seconds in | " + " | ".join(names) + " | all else |", "|---" * (len(names) + 2) + "|"]
    for number, run in enumerate(RUNS, 1):
        if any(each.stages for each in results.get(run.key, [])):
            spent = [statistics.median(each.stages.get(name, 0.0) for each in results[run.key]) for name in names]
            rest = middle(results, run.key, lambda m: m.wall - sum(m.stages.values()))
            lines.append(
                f"| row {number} | " + " | ".join(_cell(value or None) for value in spent) + f" | {_cell(rest)} |"
            )
    return lines


def verdicts(results: Results) -> list[str]:
    """Each limit, what was measured, and whether it is kept."""
    lines = ["| limit | at most | measured | |", "|---|---|---|---|"]
    for limit in LIMITS:
        value = limit.value(results)
        if value is None:
            measured, verdict = "not run", ""
        else:
            measured = f"{value:.2f}" if not limit.unit else f"{value:.1f} {limit.unit}"
            verdict = "kept" if value <= limit.most else "**not kept**"
        lines.append(f"| {limit.text} | {limit.most:g} {limit.unit}".rstrip() + f" | {measured} | {verdict} |")
    return lines


def is_whole(results: Results) -> bool:
    """Whether every row was run often enough to be published."""
    return all(len(results.get(run.key, [])) >= ROUNDS for run in RUNS)
