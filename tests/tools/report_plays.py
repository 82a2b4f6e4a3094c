# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real ansible-playbook runs against this machine, with journals made before: for the tests of report and message."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import report_examples as examples

ROOT = Path(__file__).resolve().parents[2]


class Played(t.NamedTuple):
    """A playbook that has ended."""

    rc: int
    output: str

    def told(self, task: str) -> dict[str, t.Any]:
        """What a task returned, as the callback with JSON lines shows it."""
        match = re.search(rf"^TASK \[[^\n]*{re.escape(task)}\][^\n]*\n.*?=> (\{{.*?^\}})$", self.output, re.M | re.S)
        assert match, self.output
        return t.cast("dict[str, t.Any]", json.loads(match.group(1)))


def play(folder: Path, tasks: list[dict[str, t.Any]], *arguments: str, hosts: dict[str, t.Any] | None = None) -> Played:
    """Run tasks on this machine as one or several hosts."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"hosts": {name: {**local, **more} for name, more in (hosts or {"app1": {}}).items()}}}
    group = {"group/boardroom.maintenance.maintenance": {"state_dir": "{{ state_dir | default('/nonexistent') }}"}}
    book = [{"hosts": "all", "gather_facts": False, "module_defaults": group, "tasks": tasks}]
    (folder / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
    (folder / "play.json").write_text(json.dumps(book), encoding="utf-8")
    program = str(Path(sys.executable).parent / "ansible-playbook")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE")}
    done = subprocess.run(
        [program, "-i", str(folder / "hosts.json"), str(folder / "play.json"), *arguments],
        cwd=folder,
        env={
            **kept,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "playbooks" / "collections"),
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_CALLBACK_FORMAT_PRETTY": "true",
            "ANSIBLE_NOCOLOR": "1",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    return Played(done.returncode, done.stdout)


def close_run(folder: Path, run: examples.Run, *arguments: str, note: str = "", **more: t.Any) -> tuple[Played, Path]:
    """Let the role close a run whose journals lie in the hosts' state directories; more are variables of the role."""
    hosts: dict[str, t.Any] = {}
    for name, given in run.hosts.items():
        state = folder / name
        state.mkdir(mode=0o700)
        hosts[name] = {"state_dir": str(state)}
        if given["reachable"]:
            lines = [json.dumps({**record, "host": name}) for record in given["records"]]
            (state / "journal.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            # Nothing listens there.
            hosts[name].update(ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=1)
    frame = run.frame
    facts = {
        "__maintenance_run_id": frame["run_id"],
        "__maintenance_run_started": frame["started"],
        "__maintenance_run_frame": {name: frame[name] for name in ("title", "playbook", "checklist", "steps")},
    }
    settings = {
        "maintenance_run_owner": "alice@laptop",
        "maintenance_run_report_dir": str(folder / "reports"),
        "maintenance_run_record_host": "",
        "maintenance_run_contacts": frame["contacts"],
        "maintenance_run_note": note or "{{ maintenance_note | default('') }}",
        **more,
    }
    role = {"name": "boardroom.maintenance.maintenance_run", "tasks_from": "report"}
    known = {"name": "Know the run", "ansible.builtin.set_fact": facts, "when": "ansible_connection == 'local'"}
    tasks = [known, {"name": "Close the run", "ansible.builtin.include_role": role, "vars": settings}]
    played = play(folder, tasks, *arguments, hosts=hosts)
    return played, folder / "reports" / frame["run_id"]


def shape(options: dict[str, t.Any], inner: str) -> dict[str, t.Any]:
    """What documentation and argument spec have in common."""
    keys = ("type", "elements", "choices", "default")
    return {
        name: {
            **{key: option.get(key) for key in keys},
            "required": option.get("required", False),
            "options": shape(option.get(inner, {}), inner),
        }
        for name, option in options.items()
    }
