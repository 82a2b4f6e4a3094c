# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run gates and tests side by side: a log for each, one line for each result, signs of life between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labkit.process import last_line, say, tail

HEARTBEAT = 30.0
"""Seconds between two signs of life while no result comes in."""
POLL = 0.1
SHOWN = 6000
"""Characters of a failed job's log that are shown."""


@dataclass(frozen=True)
class Job:
    """One gate, or one group of tests when it says where its results lie."""

    name: str
    argv: Sequence[str]
    needs: Sequence[str] = ()
    results: Path | None = None
    """Directory in which the job leaves JUnit files: then it must have run a test."""
    seconds: float = 1500.0
    shared: bool = False
    """Whether several runs may do it at the same time."""
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """How a job ended. problem is empty when all was well."""

    job: Job
    seconds: float
    log: Path
    problem: str = ""


class Running:
    """A started job, in a process group of its own."""

    def __init__(self, job: Job, log: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.job, self.log = job, log
        self.started = time.monotonic()
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                list(job.argv),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**env, **job.env},
                cwd=cwd,
                start_new_session=True,
            )

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def ended(self) -> Result | None:
        """The result, or None while the job runs. A job past its time is ended."""
        code = self.process.poll()
        if code is None:
            if self.elapsed() < self.job.seconds:
                return None
            self.kill()
            return self._result(f"did not end within {self.job.seconds:.0f} s")
        return self._result("" if code == 0 else f"exit status {code}")

    def _result(self, problem: str) -> Result:
        return Result(self.job, self.elapsed(), self.log, problem)

    def kill(self) -> None:
        """End the job and all that it started: asked first, then made to."""
        for sign, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(self.process.pid, sign)
            except ProcessLookupError:
                break
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                continue


def run(
    jobs: Sequence[Job],
    *,
    logs: Path,
    env: Mapping[str, str],
    cwd: Path,
    slots: int = 2,
    fail_fast: bool = False,
) -> list[Result]:
    """Run jobs, slots at a time, in their order as far as their needs allow. Returns their results in that order.

    A job whose need failed is not run, and is a failure. With fail_fast the first failure ends everything else.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting, running = list(jobs), list[Running]()
    done: dict[str, Result] = {}
    told = time.monotonic()

    def finish(result: Result) -> None:
        nonlocal told
        done[result.job.name] = result
        told = time.monotonic()
        tell(result, len(done), len(jobs))

    try:
        while waiting or running:
            for job in list(waiting):
                lost = [need for need in job.needs if need in done and done[need].problem]
                if lost or (fail_fast and any(result.problem for result in done.values())):
                    waiting.remove(job)
                    why = f"not run, since {lost[0]} failed" if lost else "not run after the first failure"
                    finish(Result(job, 0.0, logs / f"{job.name}.log", why))
                elif len(running) < slots and all(need in done for need in job.needs):
                    waiting.remove(job)
                    running.append(Running(job, logs / f"{job.name}.log", env, cwd))
            for one in list(running):
                result = one.ended()
                if result is not None:
                    running.remove(one)
                    finish(result)
                    if fail_fast and result.problem:
                        for other in running:
                            other.kill()
            if time.monotonic() - told > HEARTBEAT:
                told = time.monotonic()
                for one in running:
                    say(f"  {one.job.name}: {one.elapsed():.0f} s, {last_line(tail(one.log))[:100]}")
            time.sleep(POLL)
    finally:
        for one in running:
            one.kill()
    return [done[job.name] for job in jobs]


def tell(result: Result, number: int, of: int) -> None:
    """One line for a result; the end of the log when it is bad."""
    if result.problem and result.seconds:
        print(f"----- {result.job.name}: the end of {result.log}", file=sys.stderr)
        print(tail(result.log, size=SHOWN).rstrip(), file=sys.stderr)
        print("-----", file=sys.stderr, flush=True)
    verdict = f"FAILED ({result.problem})" if result.problem else "ok"
    say(f"[{number:>2}/{of}] {result.job.name}: {verdict}, {result.seconds:.0f} s")
