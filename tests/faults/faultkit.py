# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fault tests share: modules called ad hoc, harm at a chosen moment, and the runbook's script beside them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
import typing as t
from pathlib import Path

import support

NAME = "faults-1"
INVENTORY = Path(__file__).resolve().parent / "inventory"
DEST = "/var/backups/boardroom-maintenance"
DATABASE = "boardroom_prod"
RUNBOOK_DIR = "/backups/postgres"
SCRIPT = "/root/backup_db.sh"
SUPERUSER_PASSWORD = "faults-superuser-0xFA017"
# Passwords of the tests' own roles; like the lab's secrets they may appear in no output.
SECRETS = [*support.SECRETS, SUPERUSER_PASSWORD]

# Waits on the host itself until something is so, then acts at once; the way by SSH would be too slow.
WATCH = """
import glob, os, subprocess, sys, time
condition, action = sys.argv[1:3]
def written(pattern):
    total = 0
    for path in glob.glob(pattern, recursive=True, include_hidden=True):
        try:
            total += os.stat(path).st_size if os.path.isfile(path) else 0
        except OSError:
            pass
    return total
def running(word):
    found = []
    for entry in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            words = open(entry, "rb").read().decode("utf-8", "replace").split("\\0")
        except OSError:
            continue
        if os.path.basename(words[0]).startswith(word):
            found.append(int(entry.split("/")[2]))
    return found
deadline = time.monotonic() + 90
print("watching", flush=True)
while not eval(condition):
    if time.monotonic() > deadline:
        sys.exit("the moment never came: " + condition)
    time.sleep(0.002)
while True:
    done = subprocess.run(["bash", "-c", action], capture_output=True, text=True)
    if done.returncode == 0:
        break
    if time.monotonic() > deadline:
        sys.exit("the harm could not be done: " + done.stdout + done.stderr)
    time.sleep(0.01)
print(done.stdout, flush=True)
"""
# A dump is at work: its data files have content.
DUMPING = f"running('pg_dump') and written('{DEST}/*/.incomplete-*/databases/*/*.dat*') > 0"
STREAMING = f"written('{DEST}/*/.incomplete-*/databases/*/dump.custom') > 100000"
SIBLING = f"written('{DEST}/*/.incomplete-*/databases/*/*.dat*') > 0"
SCRIPT_DUMPING = f"written('{RUNBOOK_DIR}/*.sql') > 1000000"


class Answer(t.NamedTuple):
    """What a module answered."""

    failed: bool
    result: dict[str, t.Any]

    @property
    def msg(self) -> str:
        """Its sentence."""
        return str(self.result["msg"])

    def found(self, check: str) -> list[dict[str, t.Any]]:
        """Its findings of a kind that are not ok."""
        return [f for f in self.result["findings"] if f["check"] == check and f["status"] != "ok"]


@dataclasses.dataclass
class Script:
    """What the runbook's script left: its exit status, and its files by name."""

    rc: int
    files: list[dict[str, t.Any]]

    def said(self) -> str:
        """One cell of the table."""
        return f"exit {self.rc}; {self.left()}"

    def left(self) -> str:
        """Its files."""
        if not self.files:
            return "no file"
        shown = []
        for file in self.files:
            kind = "`.sql.gz`" if file["name"].endswith(".gz") else "`.sql`"
            whole = "a whole dump" if file["whole"] else "**no whole dump**"
            tested = f", `gzip -t` says {'good' if file['gzip'] == 0 else 'bad'}" if kind == "`.sql.gz`" else ""
            shown.append(f"{kind} of {file['bytes']} bytes, {whole}{tested}")
        return "left " + "; ".join(shown)


class Site:
    """The host under test."""

    name = NAME

    def __init__(self, sockets: str) -> None:
        """Keep one connection open for all commands; its socket lies in this directory."""
        self._shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={sockets}/%C", "-o", "ControlPersist=120"]

    def sh(self, script: str, check: bool = True, timeout: float = 180) -> str:
        """Run a shell script on the host as root; its output."""
        done = subprocess.run(
            ["ssh", "-F", str(support.ROOT / ".lab" / "ssh_config"), *self._shared, NAME, "sudo bash -s"],
            input=f"cd /\n{script}\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout

    def sql(self, statement: str, database: str = "postgres", check: bool = True) -> str:
        """Run SQL as the superuser."""
        env = f"PGDATABASE={shlex.quote(database)}"
        quoted = shlex.quote(statement)
        run = f"printf %s {quoted} | runuser -u postgres -- env {env} psql -XAtq -v ON_ERROR_STOP=1"
        return self.sh(run, check=check).strip()

    def python(self, code: str, *arguments: str) -> str:
        """Run Python on the host as root; its output."""
        return self.sh(shlex.join(["python3", "-c", code, *arguments]))

    def command(self, module: str, arguments: t.Mapping[str, t.Any]) -> list[str]:
        """The command line of a module called ad hoc."""
        program = str(Path(sys.executable).parent / "ansible")
        wanted = json.dumps(dict(arguments), ensure_ascii=False)
        return [
            *(program, "-i", str(INVENTORY), NAME, "--become", "--one-line"),
            *("-m", f"boardroom.maintenance.{module}", "-a", wanted),
        ]

    def start(
        self, module: str, arguments: t.Mapping[str, t.Any] | None = None, pipelining: bool = True
    ) -> subprocess.Popen[str]:
        """Start a module; without pipelining its process on the host bears its name."""
        env = {**support.environment(), "ANSIBLE_PIPELINING": str(pipelining)}
        return subprocess.Popen(
            self.command(module, backup_of(arguments) if module == "pg_backup" else arguments or {"check": "sizes"}),
            cwd="/",
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    def finish(self, process: subprocess.Popen[str]) -> Answer:
        """Wait for a started module; whatever it says holds no secret and no traceback."""
        output = process.communicate(timeout=300)[0]
        assert "Traceback" not in output, output
        match = re.search(rf"^{NAME} \| (\S+?) (?:\(rc=\S+\) )?=> (\{{.*\}})\s*$", output, re.MULTILINE)
        assert match, output
        result = json.loads(match.group(2))
        for text in (output, *_texts(result)):
            assert not any(secret in text for secret in SECRETS), f"a secret in what {NAME} answered"
        assert match.group(1).rstrip("!") in ("SUCCESS", "CHANGED", "FAILED"), output
        return Answer(match.group(1).startswith("FAILED"), result)

    def call(self, module: str, arguments: t.Mapping[str, t.Any] | None = None) -> Answer:
        """Call a module and wait for it."""
        return self.finish(self.start(module, arguments))

    def backup(self, **arguments: t.Any) -> Answer:
        """Call pg_backup."""
        return self.call("pg_backup", arguments)

    def info(self, **arguments: t.Any) -> Answer:
        """Call pg_backup_info."""
        return self.call("pg_backup_info", arguments)

    def watch(self, condition: str, action: str) -> subprocess.Popen[bytes]:
        """Start to wait on the host for a moment, to act in it. Wait for its end with C(acted)."""
        watcher = support.open_on(NAME, ["python3", "-c", WATCH, condition, action])
        assert watcher.stdout and watcher.stdout.readline() == b"watching\n"
        return watcher

    def acted(self, watcher: subprocess.Popen[bytes]) -> str:
        """What a watcher's action said; it did act."""
        output = watcher.communicate(timeout=120)[0].decode()
        assert watcher.returncode == 0, output
        return output.strip()

    def backup_while(self, condition: str, action: str, **arguments: t.Any) -> Answer:
        """Call pg_backup, and do harm in the moment that a condition names."""
        watcher = self.watch(condition, action)
        answer = self.call("pg_backup", arguments)
        self.acted(watcher)
        return answer

    def tree(self) -> str:
        """Every complete set: names, modes, sizes, times and content."""
        return self.sh(
            f"cd {DEST} && find . -mindepth 2 -path '*/.incomplete-*' -prune -o -mindepth 2 "
            r"-printf '%P %M %U %s %T@\n' | LC_ALL=C sort; "
            "find . -path '*/.incomplete-*' -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum"
        )

    def leftovers(self) -> str:
        """What is hidden in the store, and which programs of a backup still run."""
        return self.sh(
            f"find {DEST} -mindepth 2 -maxdepth 2 -name '.incomplete-*'; pgrep -a 'pg_dump|pg_restore|pg_dumpall|zstd'",
            check=False,
        ).strip()

    @contextlib.contextmanager
    def nothing_lost(self) -> t.Iterator[None]:
        """The sets that are there are the same, byte by byte, and nothing half-done stands beside them."""
        before = self.tree()
        assert "manifest.json" in before
        yield
        assert self.tree() == before
        assert self.leftovers() == ""

    def script(self, harm: tuple[str, str] | None = None, prefix: str = "", keep: bool = False) -> Script:
        """Run the runbook's script as it is.

        :param harm: a moment and what to do in it
        :param prefix: put before the command line
        """
        if not keep:
            self.sh(f"rm -f {RUNBOOK_DIR}/*")
        watcher = self.watch(*harm) if harm else None
        said = self.sh(f"{prefix} bash {SCRIPT} >/root/script.log 2>&1 </dev/null; echo status=$?")
        # The shell reports a killed script beside it, before or after.
        match = re.search(r"^status=(\d+)$", said, re.MULTILINE)
        assert match, said
        rc = int(match.group(1))
        if watcher:
            self.acted(watcher)
        return self.script_result(rc)

    def script_result(self, rc: int) -> Script:
        """What stands in the runbook's directory."""
        look = """
import glob, json, os, subprocess
found = []
for path in sorted(glob.glob("/backups/postgres/*")):
    if not os.path.isfile(path):
        continue
    gz = path.endswith(".gz")
    test = subprocess.run(["gzip", "-t", path], capture_output=True).returncode if gz else None
    text = subprocess.run(["zcat" if gz else "cat", path], capture_output=True).stdout
    marks = (b"-- PostgreSQL database dump\\n", b"-- PostgreSQL database dump complete\\n")
    whole = [text.count(mark) for mark in marks] == [1, 1]
    found.append({"name": os.path.basename(path), "gzip": test, "whole": whole, "bytes": os.path.getsize(path)})
print(json.dumps(found))
"""
        return Script(rc, json.loads(self.python(look)))

    def await_postgres(self) -> None:
        """Wait until PostgreSQL answers."""
        support.wait_for(
            "PostgreSQL answers", lambda: "1" in self.sql("SELECT 1", check=False).splitlines(), seconds=60
        )


def _texts(value: t.Any) -> t.Iterator[str]:
    """Every text in a result, as it was before JSON escaped it."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    else:
        yield str(value)


def backup_of(arguments: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """Arguments of pg_backup, with what most tests mean."""
    return {"databases": [DATABASE], **(arguments or {})}


def one_sentence(answer: Answer, *words: str) -> str:
    """The module failed, and says why in words for a person; what it said."""
    assert answer.failed, answer.result
    assert answer.msg and "\n" not in answer.msg and len(answer.msg) < 700, answer.msg
    assert "Unexpected" not in answer.msg, answer.msg
    for word in words:
        assert word in answer.msg, f"{word!r} is not in: {answer.msg}"
    return answer.msg


def quoted(answer: Answer) -> str:
    """A cell of the table: the answer's sentence, without its remedy."""
    remedy = str(answer.result.get("remedy") or "")
    text = answer.msg[: -len(remedy)].strip() if remedy and answer.msg.endswith(remedy) else answer.msg
    return "failed: '" + text + "'" if answer.failed else "'" + text + "'"


def keep_host() -> bool:
    """Whether the host outlives the tests, for work on them."""
    return bool(os.environ.get("FAULTS_KEEP_HOST"))
