# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""The hosts of the lab: bring them up, take them down, reach them."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from labkit import machine, pki
from labkit.bake import BAKED_MEGABYTES
from labkit.engine import Docker
from labkit.images import Builder
from labkit.layout import LABEL, Lab
from labkit.machine import File
from labkit.process import LabError, run, run_long, say, write_atomic

OPS = "ops"
OPS_ID = 1000
FIRST_HOST = 10
START_SECONDS = 90
CONTAINED_MEGABYTES = 12


@dataclass
class Host:
    """What the lab remembers of a host (.lab/hosts/NAME.json)."""

    name: str
    kind: str
    address: str
    container: str
    image: str
    application: bool
    megabytes: int


@dataclass(frozen=True)
class Room:
    """What a new host has beyond the usual.

    memory is its limit, as Docker takes it (14g); tmpfs a directory that lies in it, on the S3 server its data.
    """

    memory: str = ""
    tmpfs: str = ""

    def options(self, kind: str) -> list[str]:
        """Options of `docker create`."""
        memory = ["--memory", self.memory] if self.memory else []
        directory = self.tmpfs and kind != "s3"
        return [*memory, *(["--tmpfs", f"{self.tmpfs}:exec,mode=1777"] if directory else [])]

    def volume_options(self) -> list[str]:
        """Options of `docker volume create` for the S3 server: --tmpfs would keep the closed mode of its directory."""
        return ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=mode=1777"] if self.tmpfs else []


USUAL_ROOM = Room()


def load(lab: Lab) -> dict[str, Host]:
    """Every host of the lab by name."""
    found = (Host(**json.loads(path.read_text())) for path in sorted(lab.state.glob("hosts/*.json")))
    return {host.name: host for host in found}


def get(lab: Lab, name: str) -> Host:
    """The host called name. LabError when there is none."""
    hosts = load(lab)
    if name not in hosts:
        known = ", ".join(hosts) or "none yet"
        raise LabError(f"there is no host called {name} in this lab (hosts: {known}): make it with `lab.py up {name}`")
    return hosts[name]


def save(lab: Lab, host: Host) -> None:
    """Remember a host and make it known to ssh."""
    write_atomic(lab.state / "hosts" / f"{host.name}.json", json.dumps(asdict(host), indent=2) + "\n")
    write_ssh(lab)


def ssh_quote(text: str) -> str:
    """A path as a value in an ssh configuration: in quotes, percent signs doubled."""
    return '"' + text.replace("%", "%%") + '"'


def ssh_config(lab: Lab, hosts: Sequence[Host]) -> str:
    """The ssh client configuration that reaches the hosts by their names."""
    blocks = [
        f"Host {host.name}\n    HostName {host.address}\n    HostKeyAlias {host.container}\n"
        for host in hosts
        if host.kind != "s3"
    ]
    common = (
        "Host *\n"
        f"    User {OPS}\n"
        f"    IdentityFile {ssh_quote(str(lab.state / 'id_ed25519'))}\n"
        "    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {ssh_quote(str(lab.state / 'known_hosts'))}\n"
        "    GlobalKnownHostsFile /dev/null\n"
        "    StrictHostKeyChecking yes\n"
        "    PasswordAuthentication no\n"
        "    ConnectTimeout 10\n"
    )
    return "# Written by tests/lab/lab.py\n" + "\n".join([*blocks, common])


def write_ssh(lab: Lab) -> None:
    """Write ssh_config and known_hosts for all hosts."""
    hosts = list(load(lab).values())
    keys = []
    for host in hosts:
        public = lab.state / "hosts" / host.name / "ssh_host_ed25519_key.pub"
        if public.exists():
            keys.append(f"{host.container} {' '.join(public.read_text().split()[:2])}\n")
    write_atomic(lab.state / "known_hosts", "".join(keys))
    write_atomic(lab.state / "ssh_config", ssh_config(lab, hosts))


def ssh_argv(lab: Lab, name: str, *command: str) -> list[str]:
    """The ssh command line that reaches a host."""
    return ["ssh", "-F", str(lab.state / "ssh_config"), name, *command]


class Hosts:
    """Changes to the hosts of one lab."""

    def __init__(self, lab: Lab, docker: Docker) -> None:
        self.lab = lab
        self.docker = docker

    def network(self) -> str:
        """The lab's network, made when missing. Returns the first three octets of its addresses."""
        found = self.docker.inspect("network", self.lab.prefix)
        if found is not None:
            return str(found["IPAM"]["Config"][0]["Subnet"]).rsplit(".", 1)[0]
        for subnet, octets in self.lab.subnets():
            try:
                self.docker(
                    "network",
                    "create",
                    "--driver",
                    "bridge",
                    "--subnet",
                    subnet,
                    "--gateway",
                    f"{octets}.1",
                    "--label",
                    self.lab.label,
                    self.lab.prefix,
                )
            except LabError as error:
                if "overlap" in str(error).lower():
                    continue
                raise
            return octets
        raise LabError("no free subnet for the lab's network between 10.240.0.0 and 10.249.255.0")

    def state_of(self, host: Host) -> str:
        """State of the host's container: running, exited, paused, absent, ..."""
        found = self.docker.inspect("container", host.container)
        return str(found["State"]["Status"]) if found else "absent"

    def up(self, name: str, kind: str | None = None, megabytes: int | None = None, room: Room = USUAL_ROOM) -> Host:
        """Bring a host up; nothing happens when it runs. Returns when it answers.

        room counts for a host that is made now.
        """
        started = time.monotonic()
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
            raise LabError(f"{name} is no name for a host: use lower-case letters, digits and hyphens")
        with self.lab.locked(f"host-{name}"):
            host = load(self.lab).get(name)
            if host and kind and host.kind != kind:
                raise LabError(f"{name} exists and is of kind {host.kind}: take it down first, or use another name")
            state = self.state_of(host) if host else "absent"
            if host and state != "absent":
                self._say_if_outdated(host)
            if host and state == "running" and not self._outgrown(host, megabytes):
                self._await(host)
                say(f"{name} runs ({host.kind}, {host.address}), {time.monotonic() - started:.1f} s")
                return host
            if host is None or state == "absent":
                host = self._make(name, kind or (host.kind if host else "trixie"), room)
            if state == "paused":
                self.docker("unpause", host.container)
            elif state != "running":
                say(f"starting {name}")
                self.docker("start", host.container)
            self._await(host)
            if self._outgrown(host, megabytes):
                self.grow(host, int(megabytes or 0))
            say(f"{name} is up ({host.kind}, {host.address}), {time.monotonic() - started:.1f} s")
            return host

    def _say_if_outdated(self, host: Host) -> None:
        if host.image != Builder(self.lab, self.docker).plan(host.kind)[-1].image:
            say(f"{host.name} was made from older sources of the lab; `lab.py down {host.name}` and `up` renew it")

    def _outgrown(self, host: Host, megabytes: int | None) -> bool:
        return bool(host.application and megabytes and megabytes > host.megabytes)

    def _make(self, name: str, kind: str, room: Room) -> Host:
        builder = Builder(self.lab, self.docker)
        builder.ensure([kind])
        ready = builder.plan(kind)[-1]
        volume = None
        with self.lab.locked("hosts"):
            pki.ensure_authority(self.lab)
            pki.ensure_ssh_key(self.lab.state / "id_ed25519", f"ops@{self.lab.prefix}")
            octets = self.network()
            hosts = load(self.lab)
            taken = {host.address for host in hosts.values() if host.name != name}
            address = (
                hosts[name].address
                if name in hosts
                else next(
                    f"{octets}.{number}" for number in range(FIRST_HOST, 250) if f"{octets}.{number}" not in taken
                )
            )
            host = Host(
                name,
                kind,
                address,
                self.lab.container(name),
                ready.image,
                application=kind in {"trixie", "bookworm"},
                megabytes=BAKED_MEGABYTES,
            )
            save(self.lab, host)
        if kind != "bare":
            volume = self.lab.volume(name)
            self.docker("volume", "rm", "--force", volume)
            if ready.seed:
                say(f"copying the nested engine's data for {name}")
                machine.copy_volume(self.lab, self.docker, ready.image, ready.seed, volume)
            else:
                self.docker("volume", "create", *room.volume_options(), "--label", self.lab.label, volume)
        machine.create(
            self.lab,
            self.docker,
            name,
            ready.image,
            network=self.lab.prefix,
            address=address,
            volume=volume,
            s3=kind == "s3",
            options=room.options(kind),
        )
        if kind != "s3":
            machine.put(self.docker, host.container, self.identity(host))
            with self.lab.locked("hosts"):
                write_ssh(self.lab)
        return host

    def identity(self, host: Host) -> dict[str, File]:
        """The files that make one host out of an image that all share."""
        folder = self.lab.state / "hosts" / host.name
        host_key = folder / "ssh_host_ed25519_key"
        public = pki.ensure_ssh_key(host_key, host.name)
        files = {
            "/home/ops/.ssh/authorized_keys": File(
                (self.lab.state / "id_ed25519.pub").read_text(), 0o600, OPS_ID, OPS_ID
            ),
            "/etc/ssh/ssh_host_ed25519_key": File(host_key.read_text(), 0o600),
            "/etc/ssh/ssh_host_ed25519_key.pub": File(public + "\n"),
        }
        if host.kind != "bare":
            files |= machine.certificate_files(*pki.good_certificate(self.lab, host.name, host.address))
            files[machine.AUTHORITY] = File((self.lab.state / "ca" / "ca.pem").read_text())
        return files

    def _await(self, host: Host) -> None:
        """Wait until a started host answers as its kind should."""
        if host.kind == "s3":
            machine.wait(lambda: s3_answers(host.address), f"{host.name} did not answer S3", START_SECONDS)
            self._ensure_bucket(host)
            return
        machine.wait(
            lambda: run(ssh_argv(self.lab, host.name, "true"), check=False, timeout=30).returncode == 0,
            f"{host.name} did not answer ssh",
            START_SECONDS,
        )

    def await_application(self, host: Host) -> None:
        """Wait until the sample application on a host is healthy."""
        if host.application:
            machine.wait(
                lambda: machine.answers_healthy(self.docker, host.container),
                f"the application on {host.name} did not become healthy",
                START_SECONDS,
            )

    def grow(self, host: Host, megabytes: int) -> None:
        """Let the application's generator fill the database up to a size."""
        run_long(
            [
                *self.docker.argv,
                "exec",
                "-w",
                "/",
                host.container,
                "runuser",
                "-u",
                "postgres",
                "--",
                "python3",
                "/opt/boardroom-lab/generate.py",
                "--megabytes",
                str(megabytes),
            ],
            f"growing the database of {host.name} to {megabytes} MB",
            self.lab.logs / f"{host.name}.log",
        )
        host.megabytes = megabytes
        with self.lab.locked("hosts"):
            save(self.lab, host)

    def contained(self, host: Host, *, undo: bool = False) -> None:
        """Start (undo: remove) the application's second project, with its own database, in /srv/contained."""
        if host.kind != "trixie":
            raise LabError(f"{host.name} is of kind {host.kind}: only hosts of kind trixie have the second project")
        task = ["down"] if undo else ["up", str(CONTAINED_MEGABYTES)]
        run_long(
            [*self.docker.argv, "exec", "-w", "/", host.container, "bash", "/opt/boardroom-lab/contained.sh", *task],
            f"{'removing' if undo else 'starting'} the second project on {host.name}",
            self.lab.logs / f"{host.name}.log",
        )

    def _ensure_bucket(self, host: Host) -> None:
        """Make the bucket of the backups unless it exists."""
        shell = [
            "exec",
            "-i",
            host.container,
            "/opt/seaweedfs/bin/weed",
            "shell",
            "-master",
            f"{host.address}:9333",
        ]
        if "boardroom-backups" not in self.docker(*shell, data=b"s3.bucket.list\nexit\n", timeout=60):
            self.docker(*shell, data=b"s3.bucket.create -name boardroom-backups\nexit\n", timeout=60)

    def down(self, names: Sequence[str]) -> None:
        """Remove hosts with everything they hold."""
        known = load(self.lab)
        for name in names:
            with self.lab.locked(f"host-{name}"):
                existed = name in known
                container, volume = self.lab.container(name), self.lab.volume(name)
                if self.docker.inspect("container", container):
                    existed = True
                    self.docker("rm", "--force", "--volumes", container)
                self.docker("volume", "rm", "--force", volume)
                with self.lab.locked("hosts"):
                    shutil.rmtree(self.lab.state / "hosts" / name, ignore_errors=True)
                    (self.lab.state / "hosts" / f"{name}.json").unlink(missing_ok=True)
                    write_ssh(self.lab)
                say(f"{name} is down" if existed else f"{name} did not exist")

    def listing(self) -> Iterator[tuple[str, str, str, str]]:
        """Name, kind, address and state of every host."""
        for host in load(self.lab).values():
            yield host.name, host.kind, host.address, self.state_of(host)

    def clean(self) -> None:
        """Remove everything of this lab from the engine."""
        mine = ["--filter", f"label={LABEL}={self.lab.id}"]
        containers = self.docker("ps", "-aq", *mine).split()
        if containers:
            self.docker("rm", "--force", "--volumes", *containers, timeout=300)
        volumes = self.docker("volume", "ls", "-q", *mine).split()
        if volumes:
            self.docker("volume", "rm", "--force", *volumes, timeout=300)
        for network in self.docker("network", "ls", "-q", *mine).split():
            self.docker("network", "rm", network)
        # First the tagged images, then what an interrupted build left.
        for listing in (
            ["--format", "{{.Repository}}:{{.Tag}}", f"{self.lab.prefix}/*"],
            ["-q", "--filter", "dangling=true", *mine],
        ):
            for image in self.docker("images", *listing).split():
                self.docker("rmi", "--force", image, check=False, timeout=300)
        say(f"removed {len(containers)} container(s), {len(volumes)} volume(s), network and images of the lab")


def s3_answers(address: str) -> bool:
    """Whether an S3 server answers (a refusal of the anonymous question is an answer)."""
    try:
        with urllib.request.urlopen(f"http://{address}:8333/", timeout=3):
            return True
    except urllib.error.HTTPError as error:
        return error.code in {403, 404}
    except OSError:
        return False
