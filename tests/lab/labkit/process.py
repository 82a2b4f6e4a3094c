# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""The only place of the lab that starts programs: argument lists, a time limit, one sentence on failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

HEARTBEAT = 10.0
"""Seconds between two signs of life of a long step."""
SPEAKER = "lab"
"""Who speaks: the project's driver, which uses these functions too, puts its own name here."""


class LabError(Exception):
    """What is missing or went wrong, as one sentence for the person at the terminal."""


def say(message: str) -> None:
    """Tell the person what goes on. Standard error, so that `list` and `exec` keep standard output clean."""
    print(f"{SPEAKER}: {message}", file=sys.stderr, flush=True)


def run(
    argv: Sequence[str],
    *,
    check: bool = True,
    data: bytes | None = None,
    source: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """Run one short command and return its text output.

    data is written to, source is connected to, its standard input. Raises LabError when the program is
    missing, takes longer than timeout seconds or (with check) exits non-zero.
    """
    stdin: IO[bytes] | int | None = source if source is not None else subprocess.DEVNULL
    try:
        done = subprocess.run(
            list(argv),
            input=data,
            stdin=None if data is not None else stdin,
            capture_output=True,
            env={**os.environ, **env} if env else None,
            timeout=timeout,
            check=False,
        )
    except (FileNotFoundError, PermissionError):
        # A search path with a folder that is closed to us gives the second for a program that is not there.
        raise LabError(f"the program {argv[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{brief(argv)} did not end within {timeout:.0f} s") from None
    text = subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )
    if check and text.returncode != 0:
        raise LabError(f"{brief(argv)} failed ({text.returncode}): {last_line(text.stderr or text.stdout)}")
    return text


def run_long(
    argv: Sequence[str],
    title: str,
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = 3600.0,
    explain: bool = True,
) -> None:
    """Run a long command: its output goes to log, its newest line to the terminal every HEARTBEAT seconds.

    Raises LabError when it fails or takes longer than timeout seconds; with explain, the end of the log is
    shown first.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    say(f"{title} ...")
    with log.open("ab") as stream:
        begin = stream.tell()
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env} if env else None,
            )
        except (FileNotFoundError, PermissionError):
            raise LabError(f"the program {argv[0]} is not installed") from None
        try:
            while True:
                try:
                    code = process.wait(HEARTBEAT)
                    break
                except subprocess.TimeoutExpired:
                    elapsed = time.monotonic() - started
                    say(f"  {title}: {elapsed:.0f} s, {last_line(tail(log, begin))[:90]}")
                    if elapsed > timeout:
                        raise LabError(f"{title} did not end within {timeout:.0f} s (log: {log})") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code != 0:
        end = tail(log, begin)
        if explain:
            print(end, file=sys.stderr)
        raise LabError(f"{title} failed: {last_line(end)[:200]} (log: {log})")
    say(f"{title}: done in {time.monotonic() - started:.0f} s")


def tail(log: Path, begin: int = 0, size: int = 3000) -> str:
    """The last size bytes of log, not before begin."""
    with log.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(begin, stream.tell() - size))
        return stream.read().decode(errors="replace")


def last_line(text: str) -> str:
    """The last line of text that is not blank, which is where programs say what went wrong."""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def brief(argv: Sequence[str]) -> str:
    """The first words of a command, enough to recognise it."""
    words = " ".join(argv[:4])
    return words if len(argv) <= 4 else f"{words} ..."


def find_program(name: str) -> str | None:
    """Path of a program, also where only root's search path looks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def may_be_root() -> list[str] | None:
    """The prefix that makes a command run as root, or None when there is none."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    return ["sudo", "-n"] if run(["sudo", "-n", "true"], check=False, timeout=10).returncode == 0 else None


def write_atomic(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace path by text in one step, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    Path(name).chmod(mode)
    Path(name).replace(path)
