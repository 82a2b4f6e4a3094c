# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark of the backups: `make bench ARGS=backup`. Writes docs/performance.md after a whole run."""

from __future__ import annotations

import argparse
import datetime
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import benchsets
import benchtable
from benchhost import DATABASE, KEY, PLACE, PREFIX, SECRET, SMALL, Site, noted
from benchtable import Measured
from labkit import process
from labkit.process import LabError, say, write_atomic
from projectkit.ground import ROOT, git, program, short_directory

PAGE = ROOT / "docs" / "performance.md"
SETS = f"{PLACE}/sets"
BARE = f"{PLACE}/bare"
RUNBOOK = f"{PLACE}/runbook"
HISTORY = "bench-history"
MEGABYTES, COUNT = 3000, 1000
"""Size of the database, and sets in S3, that the limits speak of: with less no page is written."""
KEEP = {"keep_within": "30d", "keep_weekly": 26, "keep_monthly": 12}
RUNBOOK_LINES = {
    "dump": f"pg_dump -h localhost -U postgres {DATABASE} > {RUNBOOK}/boardroom.sql",
    "gzip": f"gzip {RUNBOOK}/boardroom.sql",
    "upload": f"aws s3 cp --no-progress {RUNBOOK}/boardroom.sql.gz s3://bench-script/",
    "find": f'find {RUNBOOK} -name "*.gz" -mtime +7 -delete',
}
NOTES = f"""
Everything lies in memory (tmpfs): PostgreSQL's data, the sets, the S3 server's data (SeaweedFS on the same machine). So
no disk and no network is in the numbers. PostgreSQL has its own settings: fsync on, shared_buffers 128 MB.

- Medians over the rounds, with the least and the most; in each round every row is run once, in this order.
- CPU s: the whole container of the host, client and server. Other: all else on the machine, the S3 server among it.
  Other work lengthens the seconds; the CPU seconds bear it better.
- Memory: the resident sizes of all processes of the call together, looked at every 0.1 s; largest: its largest
  single process, as the kernel kept it (of a module, its Python). PostgreSQL's own processes are in neither.
- Disk: the most that the call took of the disk while it ran; left: what it left there.
- Modules run as Ansible runs them, by SSH and sudo. Measured is their process on the host, its start and all imports
  included; Ansible's own time on the controller is not in it.
- The runbook's script is run line by line: `{RUNBOOK_LINES["dump"].replace(RUNBOOK + "/", "")}`, `gzip`, `aws s3 cp`,
  `find -delete`. It verifies nothing.
- `pg_backup` hashes in the reading in which it decodes. For the first limit the whole call is taken without its stage
  `verify`, and the time of row 3 is put back. Its bare dump is row 1, as promised; row 2 has `pg_backup`'s own level.
- The database is made by SQL: pgbench's tables, and messages of words that are frequent and rare as in a language, with
  jsonb and a GIN index, users, boards, foreign keys, a materialized view, a large object. Real data may compress worse.
"""


class Benchmark:
    """The rounds of one run."""

    def __init__(self, site: Site, only: Sequence[str], sets: int) -> None:
        self._site = site
        self._only = only
        self._sets = sets
        self._history: list[benchsets.Manifest] = []
        self._pattern: benchsets.Manifest | None = None
        self.results: dict[str, list[Measured]] = {}

    def round(self) -> None:
        """Every row once."""
        for key, run in self.runs().items():
            if not self._only or key in self._only:
                for name, measured in run().items():
                    self.results.setdefault(name, []).append(noted(name, measured))

    def runs(self) -> dict[str, Callable[[], dict[str, Measured]]]:
        """What is run in a round, in order; each gives the rows that it measured."""
        return {
            "dump": lambda: self._dump("dump", "zstd:3"),
            "dump_same": lambda: self._dump("dump_same", benchtable.COMPRESS),
            "script": self._script,
            "local": self._local,
            "s3": lambda: self._offsite("s3"),
            "age": lambda: self._offsite("age", recipients=[self._site.recipient]),
            "stream": lambda: self._offsite("stream", stream=True),
            "stream_small": lambda: self._offsite("stream_small", stream=True, databases=[SMALL]),
            "info": lambda: self._look("info"),
            "prune": lambda: self._look("prune", **KEEP),
        }

    def _dump(self, name: str, compress: str) -> dict[str, Measured]:
        argv = ["pg_dump", "-Fd", "-j2", "-Z", compress, "-f", BARE, DATABASE]
        measured = self._site.run(["runuser", "-u", "postgres", "--", *argv], BARE)
        self._site.sh(f"rm -r {BARE}")
        return {name: measured}

    def _script(self) -> dict[str, Measured]:
        env = {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": f"http://{self._site.store}:8333",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self._site.sh(f"mkdir -p {RUNBOOK}")
        self._site.bucket("bench-script")
        lines = [self._site.run(["bash", "-c", line], RUNBOOK, env) for line in RUNBOOK_LINES.values()]
        for name, line in zip(RUNBOOK_LINES, lines, strict=True):
            noted(f"script, {name}", line)
        local = lines[0].then(lines[1])
        self._site.sh(f"rm -r {RUNBOOK}")
        self._site.bucket("bench-script", remove=True)
        return {"script_local": local, "script": local.then(lines[2]).then(lines[3])}

    def _arguments(self, **more: object) -> dict[str, object]:
        return {"databases": [DATABASE], "dest": SETS, "min_free": "1%", **more}

    def _local(self) -> dict[str, Measured]:
        measured, result = self._site.module("pg_backup", self._arguments())
        path = result["backup"]["path"]
        hashing = ["bash", "-c", f"find {path} -type f -print0 | xargs -0 -n1 -P2 sha256sum >{PLACE}/hashes"]
        hashes = self._site.run(hashing, path)
        self._site.sh(f"rm -r {SETS}")
        return {"hashes": hashes, "local": replace(measured, size=hashes.size)}

    def _offsite(self, name: str, **more: object) -> dict[str, Measured]:
        bucket = f"bench-{name.replace('_', '-')}"
        self._site.bucket(bucket)
        measured, result = self._site.module("pg_backup", self._arguments(s3=self._site.s3(bucket), **more))
        if result["backup"]["id"] not in result["offsite"]:
            raise LabError(f"{name}: the set is not off-site: {result['msg']}")
        if self._pattern is None:
            self._pattern = benchsets.manifest(self._site.address, bucket, f"{PREFIX}/main/{result['backup']['id']}")
        left = int(self._site.sh(f"du -sb {SETS}").split()[0])
        self._site.sh(f"rm -r {SETS}")
        self._site.bucket(bucket, remove=True)
        return {name: replace(measured, size=left)}

    def _look(self, module: str, **more: object) -> dict[str, Measured]:
        """Look over the history, which is made at the first time."""
        if not self._history:
            if self._pattern is None:
                raise LabError("the history is made after a set that went off-site: let one of these run, too")
            say(f"  {self._sets} sets in the S3 server ...")
            newest = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
            self._history = list(benchsets.history(self._pattern, self._sets, newest))
            self._site.bucket(HISTORY)
            benchsets.fill(self._site.address, HISTORY, f"{PREFIX}/main", self._history)
        arguments = {"dest": SETS, "s3": self._site.s3(HISTORY), **more}
        measured, result = self._site.module(f"pg_backup_{module}", arguments, check=True)
        seen = result["sets"] if module == "info" else result["kept"] + result["removed"]
        good = not any(each.get("problems") for each in seen) and not result.get("held")
        if len(seen) != self._sets or not good:
            raise LabError(f"pg_backup_{module} saw {len(seen)} of {self._sets} sets: {result['findings']}")
        return {module: measured}


def page(benchmark: Benchmark, facts: str, sets: int, began: str) -> str:
    """The page in docs."""
    results = benchmark.results
    ended = revision()
    state = began if began == ended else f"{began} at the start, {ended} at the end"
    today = f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}"
    counts = f"{len(results['dump'])} rounds, {sets} sets of {benchsets.FILES} files in S3"
    intro = f"Measured by `make bench ARGS=backup` on {today}: revision {state}; {counts}; {facts}."
    lines = [
        "<!--",
        "Copyright (c) 2026, Boardroom Maintenance contributors",
        "SPDX-License-Identifier: GPL-3.0-or-later",
        "Written by tests/benchmarks/backup at the end of a whole run; do not edit.",
        "-->",
        "# Performance of the backups",
        "",
        intro,
        "",
        "## Limits",
        "",
        *benchtable.verdicts(results),
        "",
        "## All runs",
        "",
        *benchtable.table(results),
        "",
        "## Where the time goes",
        "",
        "By the modules' own account; the rest is their start, sessions, manifest, and waiting.",
        "",
        *benchtable.stages(results),
        "",
        "## How it was measured",
        NOTES,
    ]
    return "\n".join(lines)


def revision() -> str:
    """The checkout's revision, and whether it is exactly that."""
    changed = git("status", "--porcelain", "--", ":!docs/performance.md").strip()
    return git("rev-parse", "--short", "HEAD").strip() + (" with uncommitted changes" if changed else "")


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    found = argparse.ArgumentParser(prog="make bench ARGS='backup ...'", description=__doc__)
    found.add_argument(
        "--megabytes", type=int, default=MEGABYTES, help="MB, size of the database (default: %(default)s)"
    )
    found.add_argument("--rounds", type=int, default=benchtable.ROUNDS, help="default: %(default)s")
    found.add_argument("--sets", type=int, default=COUNT, help="sets in S3 (default: %(default)s)")
    found.add_argument("--only", nargs="+", default=[], metavar="ROW", help="run these rows only, and write no page")
    found.add_argument("--keep", action="store_true", help="leave the containers running")
    found.add_argument("--again", action="store_true", help="use the containers that --keep left, with their databases")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns 0 whatever the numbers are, 1 when something could not be run."""
    process.SPEAKER = "bench"
    args = parser().parse_args(arguments)
    try:
        with short_directory() as sockets:
            return measure(args, Site(sockets))
    except LabError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def measure(args: argparse.Namespace, site: Site) -> int:
    """Make the containers, run the rounds, print the tables, and write the page after a whole run."""
    started, began = time.monotonic(), revision()
    benchmark = Benchmark(site, args.only, args.sets)
    unknown = [key for key in args.only if key not in benchmark.runs()]
    if unknown:
        raise LabError(f"there is no row {unknown[0]}: use {', '.join(benchmark.runs())}")
    try:
        site.up(args.again)
        size = site.size(DATABASE) if args.again else site.fill(DATABASE, args.megabytes)
        tenth = site.size(SMALL) if args.again else site.fill(SMALL, args.megabytes / 10)
        versions = ", ".join(f"{name} {version}" for name, version in site.versions().items())
        facts = f"{versions}, ansible-core {core_version()}; {site.machine()}; database of {size / 1e6:.0f} MB"
        say(f"{facts}, and {tenth / 1e6:.0f} MB")
        for number in range(1, args.rounds + 1):
            say(f"round {number} of {args.rounds}")
            benchmark.round()
    finally:
        if not args.keep:
            site.down()
    for lines in (benchtable.table, benchtable.stages, benchtable.verdicts):
        print("\n".join(lines(benchmark.results)) + "\n", flush=True)
    say(f"{facts}; {time.monotonic() - started:.0f} s in all")
    small = size < 0.95e6 * MEGABYTES or args.sets < COUNT
    if small or not benchtable.is_whole(benchmark.results):
        what = f"{benchtable.ROUNDS} rounds of every row, {MEGABYTES} MB and {COUNT} sets"
        say(f"no whole run of at least {what}: {PAGE.relative_to(ROOT)} stays as it is")
    else:
        write_atomic(PAGE, page(benchmark, facts, args.sets, began))
        say(f"written: {PAGE.relative_to(ROOT)}")
    return 0


def core_version() -> str:
    """Version of ansible-core in the checkout's environment."""
    said = process.run([program("ansible"), "--version"]).stdout
    match = re.search(r"core ([0-9.]+)", said)
    return match.group(1) if match else "unknown"
