# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fault tests share: modules called ad hoc, harm at a chosen moment, and the runbook's script beside them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import typing as t
from pathlib import Path

import ansible.module_utils
import support
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._manifest import seal

NAME = "faults-1"
INVENTORY = Path(__file__).resolve().parent / "inventory"
DEST = "/var/backups/boardroom-maintenance"
DATABASE = "boardroom_prod"
RUNBOOK_DIR = "/backups/postgres"
SCRIPT = "/root/backup_db.sh"
SUPERUSER_PASSWORD = "faults-superuser-0xFA017"
# Passwords of the tests' own roles; like the lab's secrets they may appear in no output.
SECRETS = [*support.SECRETS, SUPERUSER_PASSWORD]

# Where the modules lie on the host, and how one is run there.
SHIPPED = "/root/faults-modules"
DIRECTLY = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
name = "ansible_collections.boardroom.maintenance.plugins.modules." + sys.argv[2]
sys.argv = [name]
runpy.run_module(name, run_name="__main__")
"""

# Waits on the host itself until something is so, then acts at once; the way by SSH would be too slow.
WATCH = """
import collections, glob, json, os, subprocess, sys, time, urllib.request
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
Request = collections.namedtuple("Request", "method path query status did bytes", defaults=[0])
def asked(part):
    answer = urllib.request.urlopen("http://127.0.0.1:9123/-/log", timeout=5)
    found = [Request(**each) for each in json.load(answer)["log"]]
    return [each for each in found if part in each.query]
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
# Stands in for a program. The real one lies beside it; {real} is its path.
STAND_IN = """#!/usr/bin/env python3
import glob, os, subprocess, sys
REAL = "{real}"
words = sys.argv[1:]
if "--version" in words:
    os.execv(REAL, [REAL, *words])
def real(**more):
    return subprocess.run([REAL, *words], **more)
def directory():
    return [word.partition("=")[2] for word in words if word.startswith("--file=")][0]
def largest():
    return max(glob.glob(directory() + "/*.dat.zst"), key=os.path.getsize)
def without_a_row(text):
    # The first row after the first COPY of users.
    head, mark, rest = text.partition(b"COPY public.users ")
    command, newline, rows = rest.partition(b"\\n")
    return head + mark + command + newline + rows.partition(b"\\n")[2]
streams = not any(word.startswith("--file=") for word in words)
{harm}
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

    def forget_connection(self) -> None:
        """End the shared connection; the next command opens another. For a host that has been down."""
        subprocess.run(
            ["ssh", "-F", str(support.ROOT / ".lab" / "ssh_config"), *self._shared, "-O", "exit", NAME],
            capture_output=True,
            check=False,
            timeout=30,
        )

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

    def write(self, path: str, content: bytes) -> None:
        """Write a file as root; one that is there keeps its mode."""
        support.feed(NAME, ["cp", "/dev/stdin", path], content)

    def install(self, package: str) -> None:
        """Have a package of Debian's on the host."""
        noninteractive = "DEBIAN_FRONTEND=noninteractive apt-get install -yq"
        self.sh(f"dpkg -s {package} >/dev/null 2>&1 || {noninteractive} {package}", timeout=600)

    def python(self, code: str, *arguments: str) -> str:
        """Run Python on the host as root; its output."""
        return self.sh(shlex.join(["python3", "-c", code, *arguments]))

    def command(self, module: str, arguments: t.Mapping[str, t.Any]) -> list[str]:
        """The command line of a module called ad hoc; C(interpreter) is the host's Python, not one of its options."""
        program = str(Path(sys.executable).parent / "ansible")
        given = dict(arguments)
        interpreter = given.pop("interpreter", None)
        wanted = json.dumps(given, ensure_ascii=False)
        return [
            *(program, "-i", str(INVENTORY), NAME, "--become", "--one-line"),
            *(("-e", f"ansible_python_interpreter={interpreter}") if interpreter else ()),
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

    def ship(self) -> None:
        """Put the modules on the host, for C(look) and C(again)."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name in ("modules", "module_utils"):
                inside = f"ansible_collections/boardroom/maintenance/plugins/{name}"
                tar.add(support.ROOT / "plugins" / name, inside)
            tar.add(Path(ansible.module_utils.__file__).parent, "ansible/module_utils")
        self.sh(f"rm -rf {SHIPPED}; mkdir -p {SHIPPED}/ansible; touch {SHIPPED}/ansible/__init__.py")
        support.feed(NAME, ["tar", "-x", "--no-same-owner", "-C", SHIPPED], packed.getvalue())

    def direct(self, module: str, arguments: t.Mapping[str, t.Any]) -> Answer:
        """Run a module on the host without Ansible in between: many times faster. Only where nothing is being proven
        of the way to the host, and no fault is at work.
        """
        given = {**arguments, "_ansible_module_name": f"boardroom.maintenance.{module}"}
        command = shlex.join(["sudo", "python3", "-c", DIRECTLY, SHIPPED, module])
        done = subprocess.run(
            ["ssh", "-F", str(support.ROOT / ".lab" / "ssh_config"), *self._shared, NAME, command],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": given}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said and done.stdout.strip(), said
        result = json.loads(done.stdout.strip().splitlines()[-1])
        for text in (said, *_texts(result)):
            assert not any(secret in text for secret in SECRETS), f"a secret in what {module} answered"
        return Answer(bool(result.get("failed")), result)

    def info(self, **arguments: t.Any) -> Answer:
        """Look with pg_backup_info, directly."""
        return self.direct("pg_backup_info", {"check": "sizes", **arguments})

    def again(self, **arguments: t.Any) -> Answer:
        """Take a plain set after a fault, with pg_backup, directly."""
        return self.direct("pg_backup", backup_of(arguments))

    def prune(self, **arguments: t.Any) -> Answer:
        """Call pg_backup_prune."""
        return self.call("pg_backup_prune", arguments)

    def manifest(self, path: str) -> dict[str, t.Any]:
        """The manifest of a set, without its checksum."""
        manifest: dict[str, t.Any] = json.loads(self.sh(f"cat {shlex.quote(path)}/manifest.json"))
        del manifest["checksum"]
        return manifest

    def forge(self, path: str, instance: str, moments: t.Iterable[datetime.datetime], **changes: t.Any) -> list[str]:
        """Copies of a set that were taken at other times; their ids, oldest first.

        :param path: of the set
        :param changes: to the copies' manifests
        """
        manifest = {**self.manifest(path), **changes}
        made = [seal(taken_at(manifest, moment)) for moment in sorted(moments)]
        code = (
            "import json, os, shutil, sys\n"
            "source, root = sys.argv[1:]\n"
            "os.makedirs(root, mode=0o711, exist_ok=True)\n"
            "for manifest in json.load(sys.stdin):\n"
            "    copy = shutil.copytree(source, os.path.join(root, manifest['id']))\n"
            "    with open(os.path.join(copy, 'manifest.json'), 'w') as file:\n"
            "        json.dump(manifest, file)\n"
        )
        support.feed(NAME, ["python3", "-c", code, path, f"{DEST}/{instance}"], json.dumps(made).encode())
        return [str(manifest["id"]) for manifest in made]

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

    def tree(self, instance: str = "*") -> str:
        """Every complete set: names, modes, sizes, times and content."""
        return self.sh(
            f"cd {DEST} && set -- $(find . -mindepth 2 -maxdepth 2 -path './{instance}/2*' | LC_ALL=C sort)\n"
            "test $# = 0 && exit\n"
            """find "$@" -printf '%p %M %U %s %T@\n'; find "$@" -type f -print0 | xargs -0 -r sha256sum"""
        )

    def leftovers(self, instance: str = "*") -> str:
        """What is hidden in the store, and which programs of a backup still run."""
        return self.sh(
            f"find {DEST} -mindepth 2 -maxdepth 2 -path '{DEST}/{instance}/.*'; "
            "pgrep -xa 'pg_dump|pg_restore|pg_dumpall|zstd|tar|age'",
            check=False,
        ).strip()

    @contextlib.contextmanager
    def nothing_lost(self) -> t.Iterator[None]:
        """The sets that are there are the same, byte by byte, and nothing half-done stands beside them."""
        before = self.tree()
        assert "manifest.json" in before
        yield
        assert self.tree() == before
        left = self.leftovers()
        assert left == "", left

    def script(
        self, harm: tuple[str, str] | None = None, prefix: str = "", keep: bool = False, path: str = SCRIPT
    ) -> Script:
        """Run the runbook's script as it is.

        :param harm: a moment and what to do in it
        :param prefix: put before the command line
        :param keep: leave there what lies in its directory
        """
        if not keep:
            self.sh(f"rm -f {RUNBOOK_DIR}/*")
        watcher = self.watch(*harm) if harm else None
        said = self.sh(f"{prefix} bash {path} >/root/script.log 2>&1 </dev/null; echo status=$?")
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


def taken_at(manifest: t.Mapping[str, t.Any], moment: datetime.datetime) -> dict[str, t.Any]:
    """A manifest as if its set had been taken at another time; not sealed."""
    text = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    return {
        **manifest,
        "id": f"{moment:%Y%m%dT%H%M%SZ}-0000fa17",
        "snapshot_time": text,
        "started": text,
        "finished": text,
        "databases": [{**each, "snapshot_time": text} for each in manifest["databases"]],
    }


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


@contextlib.contextmanager
def stands_in(site: Site, program: str, harm: str) -> t.Iterator[None]:
    """Another program answers to this one's name."""
    real = f"{program}.real"
    site.sh(f"mv {program} {real}")
    try:
        site.write(program, STAND_IN.format(real=real, harm=harm).encode())
        site.sh(f"chmod 755 {program}")
        yield
    finally:
        site.sh(f"mv {real} {program}")


def keep_host() -> bool:
    """Whether the host outlives the tests, for work on them."""
    return bool(os.environ.get("FAULTS_KEEP_HOST"))
