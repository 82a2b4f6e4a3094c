# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark of the backups: `make bench ARGS=backup`. Writes docs/performance.md after a whole run."""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import benchsets
import benchtable
from benchhost import DATABASE, KEY, PLACE, SECRET, SMALL, Site, noted
from benchtable import Measured
from labkit import process
from labkit.process import LabError, say, write_atomic
from projectkit.ground import ROOT, git, program, short_directory

PAGE = ROOT / "docs" / "performance.md"
SETS = f"{PLACE}/sets"
BARE = f"{PLACE}/bare"
RUNBOOK = f"{PLACE}/runbook"
HISTORY = "bench-history"
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
- Memory: the resident sizes of all processes of the call together, looked at every 0.1 s; largest: its largest
  single process, as the kernel kept it (of a module, its Python). PostgreSQL's own processes are in neither.
- Disk: the most that the call took of the disk while it ran; left: what it left there.
- Modules run as Ansible runs them, by SSH and sudo. Measured is their process on the host, its start and all imports
  included; Ansible's own time on the controller is not in it.
- The runbook's script is run line by line: `{RUNBOOK_LINES["dump"].replace(RUNBOOK + "/", "")}`, `gzip`, `aws s3 cp`,
  `find -delete`. It verifies nothing.
- `pg_backup` hashes in the reading in which it decodes. For the first limit the whole call is taken without its stage
  `verify`, and the time of row 2 is put back.
- The database is made by SQL: pgbench's tables, and messages of words that are frequent and rare as in a language, with
  jsonb and a GIN index, users, boards, foreign keys, a materialized view, a large object. Real data may compress worse.
"""


class Benchmark:
    """The rounds of one run."""

    def __init__(self, site: Site, only: Sequence[str]) -> None:
        self._site = site
        self._only = only
        self.results: dict[str, list[Measured]] = {}
        self.history = 0

    def round(self) -> None:
        """Every row once."""
        for key, run in self._runs().items():
            if not self._only or key in self._only:
                for name, measured in run().items():
                    self.results.setdefault(name, []).append(noted(name, measured))

    def _runs(self) -> dict[str, Callable[[], dict[str, Measured]]]:
        return {
            "dump": self._dump,
            "script": self._script,
            "local": self._local,
            "s3": lambda: {"s3": self._backup("s3", s3=True)},
            "age": lambda: {"age": self._backup("age", s3=True, recipients=[self._site.recipient])},
            "stream": lambda: {"stream": self._backup("stream", s3=True, stream=True)},
            "stream_small": lambda: {
                "stream_small": self._backup("stream-small", s3=True, stream=True, databases=[SMALL])
            },
            "info": lambda: {"info": self._look("pg_backup_info")},
            "prune": lambda: {"prune": self._look("pg_backup_prune")},
        }

    def _dump(self) -> dict[str, Measured]:
        argv = ["pg_dump", "-Fd", "-j2", "-Z", "zstd:3", "-f", BARE, DATABASE]
        measured = self._site.run(["runuser", "-u", "postgres", "--", *argv], BARE)
        self._site.sh(f"rm -r {BARE}")
        return {"dump": measured}

    def _script(self) -> dict[str, Measured]:
        env = {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": f"http://{self._site.store}:8333",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self._site.sh(f"mkdir {RUNBOOK}")
        self._site.bucket("bench-script")
        lines = [self._site.run(["bash", "-c", line], RUNBOOK, env) for line in RUNBOOK_LINES.values()]
        for name, line in zip(RUNBOOK_LINES, lines, strict=True):
            noted(f"script, {name}", line)
        local = lines[0].then(lines[1])
        # The file and its archive lie side by side while gzip works.
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
        return {"hashes": hashes, "local": _with(measured, size=hashes.size)}

    def _backup(self, name: str, s3: bool, **more: object) -> Measured:
        bucket = f"bench-{name}"
        self._site.bucket(bucket)
        measured, result = self._site.module("pg_backup", self._arguments(s3=self._site.s3(bucket), **more))
        if name == "s3" and not self.history:
            self._make_history(bucket, result["backup"]["id"])
        left = int(result["backup"]["bytes"])
        self._site.sh(f"rm -rf {SETS}")
        self._site.bucket(bucket, remove=True)
        return _with(measured, size=left)
