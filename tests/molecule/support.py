# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios' tests share: playbook runs as an operator makes them, and a look at the lab's hosts."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import testinfra

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "tests" / "lab" / "lab.py"
SECRETS = [
    s for s in (ROOT / "tests" / "lab" / "secrets.txt").read_text(encoding="utf-8").split("\n") if s and s[0] != "#"
]
STATE = "/var/lib/boardroom-maintenance"
BACKUPS = "/var/backups/boardroom-maintenance/main"


def host(name: str) -> t.Any:
    """The lab's host by SSH, with sudo."""
    return testinfra.get_host(f"ssh://{name}?sudo=true", ssh_config=str(ROOT / ".lab" / "ssh_config"))


def lab(*arguments: str) -> None:
    """Run a command of the lab."""
    subprocess.run([sys.executable, str(LAB), *arguments], check=True, timeout=600)


def _ssh(name: str, argv: t.Sequence[str]) -> list[str]:
    return ["ssh", "-F", str(ROOT / ".lab" / "ssh_config"), name, shlex.join(["sudo", *argv])]


def feed(name: str, argv: t.Sequence[str], text: bytes) -> None:
    """Run a program on a host with this input."""
    subprocess.run(_ssh(name, argv), input=text, check=True, timeout=60)


def open_on(name: str, argv: t.Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program on a host, its input and output open."""
    return subprocess.Popen(_ssh(name, argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def environment() -> dict[str, str]:
    """A terminal's environment, without what Molecule adds."""
    places = ("ANSIBLE_HOME", "ANSIBLE_SSH_CONTROL_PATH_DIR")
    kept = {k: v for k, v in os.environ.items() if k in places or not k.startswith(("MOLECULE", "ANSIBLE"))}
    return {**kept, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}


def command(scenario: str, playbook: str, *arguments: str) -> list[str]:
    """The command line of an operator."""
    program = str(Path(sys.executable).parent / "ansible-playbook")
    inventory = str(ROOT / "molecule" / scenario / "inventory")
    return [program, "-i", inventory, str(ROOT / "playbooks" / f"{playbook}.yml"), *arguments]


class Played(t.NamedTuple):
    """A playbook that has ended."""

    rc: int
    output: str

    def recap(self, name: str) -> dict[str, int]:
        """The recap's counts for a host (ok, changed, unreachable, failed, ...)."""
        line = re.search(rf"^{re.escape(name)} +: (.*)$", self.output, re.MULTILINE)
        assert line, self.output
        return {k: int(v) for k, v in (pair.split("=") for pair in line.group(1).split())}


def play(scenario: str, playbook: str, *arguments: str) -> Played:
    """Run a playbook to its end."""
    done = subprocess.run(
        command(scenario, playbook, *arguments),
        cwd="/",
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    return Played(done.returncode, done.stdout)


def play_on(name: str, playbook: str, *arguments: str, inventory: str = "itself") -> Played:
    """Run a playbook on a host that is its own controller (scenario schedule), as its user ops."""
    argv = [
        "ansible-playbook",
        "-i",
        f"/srv/maintenance/inventory/{inventory}",
        f"/srv/maintenance/playbooks/{playbook}.yml",
        *arguments,
    ]
    # Debian's ansible.cfg is not the checkout's, and a login gives the user's own environment.
    shell = f"cd /srv/maintenance && ANSIBLE_NOCOLOR=1 {shlex.join(argv)}"
    done = subprocess.run(
        _ssh(name, ["runuser", "--login", "ops", "--command", shell]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    return Played(done.returncode, done.stdout)


def module(scenario: str, name: str, which: str, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Run a module of the collection on a host, as an operator does ad hoc; its result, also when it fails."""
    program = str(Path(sys.executable).parent / "ansible")
    inventory = str(ROOT / "molecule" / scenario / "inventory")
    call = ["-m", f"boardroom.maintenance.{which}", "-a", json.dumps(arguments), "--become"]
    done = subprocess.run(
        [program, "-i", inventory, name, *call],
        cwd="/",
        env={**environment(), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert "=> {" in done.stdout, done.stdout + done.stderr
    result: dict[str, t.Any] = json.loads("{" + done.stdout.partition("=> {")[2])
    return {"failed": done.returncode != 0, **result}


def start(scenario: str, playbook: str, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a playbook in a process group of its own; its output goes to a file."""
    with log.open("wb") as file:
        return subprocess.Popen(
            command(scenario, playbook, *arguments),
            cwd="/",
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def reports(scenario: str) -> list[Path]:
    """Directories of the scenario's reports, oldest first."""
    directory = ROOT / ".demo" / "molecule" / scenario
    return sorted(p.parent for p in directory.glob("*/report.json") if not p.parent.is_symlink())


def newest_report(scenario: str) -> dict[str, t.Any]:
    """The newest report of a scenario."""
    made: dict[str, t.Any] = json.loads((reports(scenario)[-1] / "report.json").read_text(encoding="utf-8"))
    return made


def journal(name: str) -> list[dict[str, t.Any]]:
    """The journal of a host."""
    text = host(name).run("cat %s/journal.jsonl", STATE).stdout
    return [json.loads(line) for line in text.splitlines()]


def lease(name: str) -> dict[str, str] | None:
    """The lease that stands on a host."""
    file = host(name).file(f"{STATE}/lease.json")
    return json.loads(file.content_string) if file.exists else None


def wait_for(what: str, true: t.Callable[[], t.Any], seconds: float = 120) -> t.Any:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = true()
        if value:
            return value
        time.sleep(0.3)
    raise AssertionError(f"not within {seconds:g} s: {what}")
