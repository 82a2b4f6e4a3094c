# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""The containers of a Compose project and the services that it declares, through the command line clients.

Works with Compose v1 (C(docker-compose), 1.25.2 and later) and v2 (C(docker compose)): both label each container with
the project's directory, and this reads labels only, never the table that is meant for people.
"""

from __future__ import annotations

import json
import os
import typing as t

from .._errors import MaintenanceError
from .._process import Completed, ProgramError, Runner, failed

_LABEL = "com.docker.compose."
# What tells the client which engine to talk to, when Ansible's `environment` sets it.
_CLIENT_ENV = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")

_NO_ANSWER = "Start it (systemctl start docker) and look at journalctl -u docker."


class EngineError(MaintenanceError):
    """The engine, its client or the project's directory cannot be used: nothing is known about the containers.

    C(kind) is C(missing) (no client), C(unreachable) (nobody answers), C(denied) (no rights), C(timeout),
    C(directory) (no such project directory), C(project) (its files cannot be read) or C(failed) (anything else).
    """

    def __init__(self, kind: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.kind = kind


class ContainerError(MaintenanceError):
    """The engine answered, but a service has not exactly one running container."""


class Container(t.NamedTuple):
    """What C(docker inspect) says of a container, reduced.

    :param number: which of its service's containers it is, from 1
    :param oneoff: made by C(compose run)
    :param state: created, running, paused, restarting, removing, exited or dead
    :param health: healthy, unhealthy or starting; empty when there is no check
    :param restarts: how often the engine restarted it since it was made
    :param started_at: as the engine says it (UTC, RFC 3339)
    :param image: as the Compose file named it
    :param image_id: C(sha256:...)
    :param restart_policy: no, always, unless-stopped or on-failure
    """

    id: str
    name: str
    project: str
    service: str
    number: int
    oneoff: bool
    state: str
    health: str
    exit_code: int
    restarts: int
    oom_killed: bool
    started_at: str
    image: str
    image_id: str
    restart_policy: str


class Engine:
    """The engine of this host.

    :param program: the Docker client
    :param timeout: seconds that one call of a client may take
    """

    def __init__(self, runner: Runner, program: str = "docker", timeout: float = 30.0) -> None:
        self._runner = runner
        self._program = program
        self._timeout = timeout
        self._compose: t.Optional[t.List[str]] = None

    def containers(self, project_src: str, project_name: str = "") -> t.List[Container]:
        """All containers of a project, stopped and one-off ones too, by service and number; an empty list: none exist.

        :param project_src: the project's directory, which is compared with links resolved
        :param project_name: choose by this name, wherever the project was started from
        :raises EngineError: they cannot be known.
        """
        if not project_name:
            _require_directory(project_src)
        ids = [
            fields[0]
            for fields in self._listed()
            if (fields[1] == project_name if project_name else _same_directory(fields[2], project_src))
        ]
        found = [_container(described) for described in self._inspect(ids)]
        return sorted(found, key=lambda c: (c.oneoff, c.service, c.number, c.name))

    def services(self, project_src: str, files: t.Sequence[str] = (), project_name: str = "") -> t.List[str]:
        """The services that a project declares, those of inactive profiles left out, sorted by name.

        :param files: Compose files, relative to C(project_src); none: those that Compose finds itself
        :raises EngineError: no directory, no Compose, or a Compose file that cannot be read.
        """
        _require_directory(project_src)
        options = [word for file in files for word in ("--file", file)]
        if project_name:
            options += ["--project-name", project_name]
        done = self._run([*self._compose_command(), *options, "config", "--services"], cwd=project_src)
        if done.rc != 0:
            why = _complaint(done.stderr) or f"exit status {done.rc}"
            raise EngineError(
                "project",
                f"Compose cannot read the project in {project_src}: {why}",
                f"Try it there by hand: {' '.join([*self._compose_command(), *options, 'config'])}.",
            )
        return sorted({line.strip() for line in done.stdout.splitlines() if line.strip()})

    def one(self, project_src: str, service: str, project_name: str = "") -> Container:
        """The one running container of a service.

        :raises ContainerError: it has none, several, or none that runs.
        :raises EngineError: the containers cannot be known.
        """
        found = [c for c in self.containers(project_src, project_name) if c.service == service and not c.oneoff]
        running = [c for c in found if c.state == "running"]
        where = f"of the project {project_name}" if project_name else f"of the project in {project_src}"
        if len(running) == 1:
            return running[0]
        if len(running) > 1:
            names = ", ".join(c.name for c in running)
            raise ContainerError(
                f"The service {service} {where} has {len(running)} running containers ({names}), but one is needed.",
                "Name the project, or scale the service to one container.",
            )
        if found:
            states = ", ".join(f"{c.name} is {c.state}" for c in found)
            raise ContainerError(
                f"The service {service} {where} is not running: {states}.", "Start it with compose up -d."
            )
        raise ContainerError(
            f"The service {service} {where} has no container.",
            "Check the service's name, or start it with compose up -d.",
        )

    def _listed(self) -> t.Iterator[t.List[str]]:
        """Id, project and directory of every Compose container, as the engine's labels have them."""
        labels = " ".join('{{json (.Label "%s")}}' % (_LABEL + name) for name in ("project", "project.working_dir"))
        done = self._docker(
            ["ps", "--all", "--no-trunc", "--filter", f"label={_LABEL}project", "--format", "{{json .ID}} " + labels]
        )
        for line in done.stdout.splitlines():
            if line.strip():
                # JSON strings with a space between them: as a list they are one JSON text, whatever is in the names.
                yield _decode_line(line)

    def _inspect(self, ids: t.Sequence[str]) -> t.List[t.Dict[str, t.Any]]:
        if not ids:
            return []
        done = self._docker(["container", "inspect", *ids], check=False)
        if done.rc != 0 and not _only_gone(done.stderr):
            raise _engine_error(done)
        try:
            described = json.loads(done.stdout or "[]")
        except ValueError:
            described = None
        if not isinstance(described, list):
            raise EngineError("failed", f"{self._program} inspect answered with something else than JSON.")
        return described

    def _docker(self, arguments: t.Sequence[str], check: bool = True) -> Completed:
        done = self._run([self._program, *arguments])
        if check and done.rc != 0:
            raise _engine_error(done)
        return done

    def _compose_command(self) -> t.List[str]:
        if self._compose is None:
            plugin = [self._program, "compose"]
            if self._runner.find(self._program) and self._run([*plugin, "version", "--short"]).rc == 0:
                self._compose = plugin
            elif self._runner.find("docker-compose"):
                self._compose = ["docker-compose"]
            else:
                raise EngineError("missing", "Compose is not installed.", "Install the distribution's docker-compose.")
        return self._compose

    def _run(self, argv: t.Sequence[str], cwd: t.Optional[str] = None) -> Completed:
        if not self._runner.find(argv[0]):
            raise EngineError(
                "missing", f"Docker is not installed: there is no program {argv[0]}.", "Install docker.io."
            )
        try:
            return self._runner.run(argv, timeout=self._timeout, cwd=cwd, env=client_environment(), check=False)
        except ProgramError as exc:
            if exc.rc is None and "did not end within" in exc.message:
                raise EngineError(
                    "timeout", f"The Docker engine did not answer within {self._timeout:g} s.", _NO_ANSWER
                ) from exc
            raise EngineError("failed", exc.message, exc.remedy) from exc


def client_environment() -> t.Dict[str, str]:
    """What must be passed on so that every client talks to the same engine."""
    return {name: os.environ[name] for name in _CLIENT_ENV if os.environ.get(name)}


def _require_directory(project_src: str) -> None:
    if not os.path.isdir(project_src):
        raise EngineError(
            "directory",
            f"There is no project directory {project_src}.",
            "Correct the path (project_src, in the inventory maintenance_app_dir).",
        )


def _same_directory(label: str, project_src: str) -> bool:
    # Compose v2 keeps a link in the label when it was started through one.
    return bool(label) and os.path.realpath(label) == os.path.realpath(project_src)


def _decode_line(line: str) -> t.List[str]:
    decoder = json.JSONDecoder()
    values: t.List[str] = []
    position = 0
    try:
        while position < len(line):
            value, position = decoder.raw_decode(line, position)
            values.append(str(value))
            while position < len(line) and line[position] == " ":
                position += 1
    except ValueError:
        values = []
    if len(values) != 3:
        raise EngineError("failed", f"docker ps answered with a line that was not asked for: {line[:200]!r}.")
    return values


def _container(described: t.Mapping[str, t.Any]) -> Container:
    config = described.get("Config") or {}
    labels = config.get("Labels") or {}
    state = described.get("State") or {}
    health = (state.get("Health") or {}).get("Status") or ""
    number = str(labels.get(_LABEL + "container-number") or "")
    policy = (described.get("HostConfig") or {}).get("RestartPolicy") or {}
    return Container(
        id=str(described.get("Id") or ""),
        name=str(described.get("Name") or "").lstrip("/"),
        project=str(labels.get(_LABEL + "project") or ""),
        service=str(labels.get(_LABEL + "service") or ""),
        number=int(number) if number.isdigit() else 0,
        oneoff=str(labels.get(_LABEL + "oneoff") or "").lower() == "true",
        state=str(state.get("Status") or "unknown"),
        health="" if health == "none" else str(health),
        exit_code=int(state.get("ExitCode") or 0),
        restarts=int(described.get("RestartCount") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        started_at=str(state.get("StartedAt") or ""),
        image=str(config.get("Image") or ""),
        image_id=str(described.get("Image") or ""),
        restart_policy=str(policy.get("Name") or "no"),
    )


def _engine_error(done: Completed) -> EngineError:
    """The reason in the client's complaint; the wordings are those of 20.10 to 29."""
    said = done.stderr.lower()
    if "permission denied" in said:
        return EngineError("denied", "The Docker engine refuses this user.", "Run as root (become).")
    if any(
        words in said for words in ("cannot connect", "failed to connect", "is the docker daemon running", "dial unix")
    ):
        return EngineError("unreachable", "The Docker engine does not answer: it is not running.", _NO_ANSWER)
    return EngineError("failed", f"{failed(done).message.rstrip('.')}.")


def _only_gone(stderr: str) -> bool:
    """Whether the only complaint is about containers that went away between listing and inspecting."""
    lines = [line.lower() for line in stderr.splitlines() if line.strip()]
    return bool(lines) and all("no such container" in line or "no such object" in line for line in lines)


def _complaint(text: str) -> str:
    """The complaint in one line: its first paragraph, without the warnings (unset variables, old keys) before it."""
    lines: t.List[str] = []
    for line in (line.strip() for line in text.splitlines()):
        if "level=warning" in line or line.lower().startswith("warning") or "variable is not set" in line:
            continue
        if line:
            lines.append(line)
        elif lines:
            break
    said = " ".join(lines)
    return said[:500] if said.endswith((".", "?")) else f"{said[:500]}." if said else ""
