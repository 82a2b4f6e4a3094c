# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line of the driver: one command for each target of the Makefile."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from labkit import process
from labkit.process import LabError, say

from projectkit import bench, collection, demo, gates, lock, matrix, python
from projectkit.ground import CACHE, DEMO, ROOT, VENV

Command = Callable[[list[str]], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, or non-zero after one sentence on standard error."""
    process.SPEAKER = "make"
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["help"]
    signal.signal(signal.SIGTERM, _terminated)
    try:
        if name not in COMMANDS:
            raise LabError(f"there is no command {name}: use {', '.join(COMMANDS)}")
        return COMMANDS[name][1](rest)
    except LabError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"{error.filename or 'the system'}: {error.strerror}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def show_help(_arguments: list[str]) -> int:
    """List the targets."""
    print("make TARGET, of which these are there:\n")
    for name, (text, _command) in COMMANDS.items():
        if text:
            print(f"  {name:<10}{text}")
    print("\nPYTHON=python3.13 names another interpreter, ARGS='...' passes arguments on.")
    return 0


def test(arguments: list[str]) -> int:
    """Every gate and every test."""
    unknown = [word for word in arguments if word != "--fail-fast"]
    if unknown:
        raise LabError(f"make test knows no {unknown[0]}: only ARGS=--fail-fast")
    return gates.run(gates.everything(), fail_fast=bool(arguments))


def molecule(arguments: list[str]) -> int:
    """One scenario, or all."""
    names = arguments[:1] or list(gates.SCENARIOS)
    return gates.run([gates.images(), *(gates.scenario(name, arguments[1:]) for name in names)])


def gate(arguments: list[str]) -> int:
    """A gate of the driver's own, as a program of its own."""
    return {"sanity": collection.sanity, "installed": collection.installed}[arguments[0]]()


def clean(_arguments: list[str]) -> int:
    """Remove what the other commands made, in the engine and in the checkout."""
    demo.lab("clean")
    ours = [CACHE, DEMO]
    if (VENV / python.MARK).exists():
        ours.append(VENV)
    for path in ours:
        if path.exists():
            say(f"removing {os.path.relpath(path, ROOT)}")
            shutil.rmtree(path)
    return 0


COMMANDS: dict[str, tuple[str, Command]] = {
    "demo": ("build a real host in a container, maintain it with weekly.yml, name the report", demo.run),
    "test": ("every gate and every test; ARGS=--fail-fast ends at the first failure", test),
    "lint": ("the gates that only read the sources", lambda _: gates.run(gates.lint())),
    "unit": ("the unit tests; ARGS go to pytest", lambda rest: gates.run([gates.unit(rest)])),
    "sanity": ("ansible-test sanity", lambda _: gates.run([gates.sanity()])),
    "molecule": ("the scenarios, or one: ARGS=bookworm", molecule),
    "faults": ("the long fault and kill tests; ARGS go to pytest", lambda rest: gates.run([gates.faults(rest)])),
    "bench": ("one of the benchmarks: ARGS=backup", bench.run),
    "matrix": ("unit tests, syntax and a weekly run with each ansible-core on its Python", lambda _: matrix.run()),
    "lock": ("write the lock files; ARGS=--upgrade takes newer versions", lock.run),
    "clean": ("remove what the others made, and nothing else", clean),
    "help": ("this list", show_help),
    "gate": ("", gate),
}
