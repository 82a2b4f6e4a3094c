# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Command line of the lab."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence

from labkit import engine
from labkit.harm import BACKUP_DIRECTORY, HARMS, Harm
from labkit.hosts import Hosts, Room, get, load, ssh_argv
from labkit.images import KINDS, Builder
from labkit.layout import Lab
from labkit.process import LabError, say


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(
        prog="lab.py", description="Real hosts in containers for the demo, the tests and the benchmarks."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    commands.add_parser("engine", help="find a Docker engine, or install and start one")

    images = commands.add_parser("images", help="build the images that are missing")
    images.add_argument("kinds", nargs="*", metavar="KIND", help=f"one of {', '.join(KINDS)} (default: all)")

    up = commands.add_parser("up", help="create and start a host, and wait until it answers")
    up.add_argument("name")
    up.add_argument("--kind", choices=KINDS, help="default: trixie")
    up.add_argument(
        "--bare",
        dest="kind",
        action="store_const",
        const="bare",
        help="Debian trixie with sshd, sudo and python3, nothing else",
    )
    up.add_argument("--megabytes", type=_positive, metavar="N", help="grow the database to N MB")
    up.add_argument("--memory", default="", metavar="SIZE", help="memory limit of a new host, such as 14g")
    up.add_argument("--tmpfs", default="", metavar="DIR", help="a directory of a new host that lies in its memory")

    down = commands.add_parser("down", help="remove hosts and their data")
    down.add_argument("names", nargs="*", metavar="NAME")
    down.add_argument("--all", action="store_true", help="every host of this lab")

    commands.add_parser("list", help="name, kind, address and state of every host")

    execute = commands.add_parser("exec", help="run a command on a host as root, past ssh")
    execute.add_argument("name")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD...")

    ssh = commands.add_parser("ssh", help="log in to a host")
    ssh.add_argument("name")
    ssh.add_argument("argv", nargs=argparse.REMAINDER, metavar="[CMD...]")

    harm = commands.add_parser("harm", help="do damage on request")
    harm.add_argument("name")
    harm.add_argument("harm", choices=sorted(HARMS), metavar="KIND", help=", ".join(sorted(HARMS)))
    harm.add_argument("--undo", action="store_true", help="repair it")
    harm.add_argument(
        "--path", default=BACKUP_DIRECTORY, help="disk-full: the directory to fill (default: %(default)s)"
    )
    harm.add_argument(
        "--free", type=int, default=1, metavar="MB", help="disk-full: what stays free (default: %(default)s)"
    )

    contained = commands.add_parser(
        "contained", help="start the application's second project, with its own database, in /srv/contained"
    )
    contained.add_argument("name")
    contained.add_argument("--undo", action="store_true", help="remove it with its data")

    commands.add_parser("clean", help="remove everything this lab made")
    return top


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of megabytes")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, or 1 with one sentence on standard error."""
    try:
        return _dispatch(parser().parse_args(arguments), Lab.here())
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130


def _dispatch(args: argparse.Namespace, lab: Lab) -> int:
    if args.command in {"engine", "images", "up"}:
        docker = engine.ensure(lab)
        if args.command == "engine":
            say(f"Docker engine {docker('version', '--format', '{{.Server.Version}}')} is there")
        elif args.command == "images":
            unknown = [kind for kind in args.kinds if kind not in KINDS]
            if unknown:
                raise LabError(f"there is no kind of host called {unknown[0]}: use {', '.join(KINDS)}")
            Builder(lab, docker).ensure(args.kinds or KINDS)
        else:
            hosts = Hosts(lab, docker)
            room = Room(args.memory, args.tmpfs)
            hosts.await_application(hosts.up(args.name, args.kind, args.megabytes, room))
        return 0
    if args.command == "clean":
        return _clean(lab)
    docker = engine.connect()
    hosts = Hosts(lab, docker)
    if args.command == "down":
        if not args.names and not args.all:
            raise LabError("down which host? Name it, or say --all")
        hosts.down(list(load(lab)) if args.all else args.names)
    elif args.command == "list":
        for row in hosts.listing():
            print("  ".join(f"{column:<16}" for column in row).rstrip())
    elif args.command == "contained":
        hosts.contained(get(lab, args.name), undo=args.undo)
    elif args.command == "harm":
        Harm(lab, docker, get(lab, args.name), path=args.path, free=args.free).do(args.harm, undo=args.undo)
    else:
        host = get(lab, args.name)
        command = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
        if args.command == "ssh":
            argv = ssh_argv(lab, host.name, *command)
        else:
            if not command:
                raise LabError(f"exec what on {host.name}? Say it after --")
            terminal = ["-it"] if sys.stdin.isatty() and sys.stdout.isatty() else ["-i"]
            argv = [*docker.argv, "exec", *terminal, host.container, *command]
        sys.stdout.flush()
        os.execvp(argv[0], argv)
    return 0


def _clean(lab: Lab) -> int:
    if not lab.state.exists():
        say("nothing to clean")
        return 0
    try:
        docker = engine.connect()
    except LabError as error:
        say(f"{error}; removing {lab.state} only")
    else:
        Hosts(lab, docker).clean()
        engine.stop(lab, docker)
    record = lab.state / "installed-packages"
    if record.exists():
        say(f"Debian packages installed for the lab, which stay: {' '.join(record.read_text().split())}")
    shutil.rmtree(lab.state)
    return 0
