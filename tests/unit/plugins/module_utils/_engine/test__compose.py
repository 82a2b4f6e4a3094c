# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine says, read from answers that real engines gave (recorded/)."""

from __future__ import annotations

import copy
import json
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._engine._compose import (
    ContainerError,
    Engine,
    EngineError,
    client_environment,
)
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Completed, ProgramError, Runner

RECORDED = Path(__file__).parent / "recorded"


class Docker(Runner):
    """Answers as the clients did when they were recorded."""

    def __init__(self, recording: str) -> None:
        super().__init__()
        said = json.loads((RECORDED / f"{recording}.json").read_text(encoding="utf-8"))
        self.listed: str = said["ps"]
        self.inspected: list[dict[str, t.Any]] = said["inspect"]
        self.programs = {"docker", "docker-compose"}
        self.plugin = True
        self.services = "app\ndb\n"
        self.failure: tuple[int, str] | None = None
        self.hangs = False
        self.calls: list[list[str]] = []
        self.options: list[dict[str, t.Any]] = []

    def find(self, program: str) -> t.Optional[str]:
        return f"/usr/bin/{program}" if program in self.programs else None

    def run(self, argv: t.Sequence[str], **options: t.Any) -> Completed:
        self.calls.append(list(argv))
        self.options.append(options)
        if self.hangs:
            raise ProgramError("docker did not end within 30 s and was stopped.")
        if "compose" in argv[1:2] and not self.plugin:
            return Completed(list(argv), 1, "", "docker: 'compose' is not a docker command.", 0.0)
        if self.failure and "version" not in argv:
            return Completed(list(argv), self.failure[0], "", self.failure[1], 0.0)
        if "ps" in argv:
            return Completed(list(argv), 0, self.listed, "", 0.0)
        if "inspect" in argv:
            known = {c["Id"]: c for c in self.inspected}
            gone = [i for i in argv[3:] if i not in known]
            said = "".join(f"Error: No such container: {i}\n" for i in gone)
            return Completed(
                list(argv), int(bool(gone)), json.dumps([known[i] for i in argv[3:] if i in known]), said, 0.0
            )
        return Completed(list(argv), 0, self.services, "", 0.0)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded directories exist here, too."""
    monkeypatch.setattr("os.path.isdir", lambda path: str(path).startswith("/srv/"))


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("recording", "name"), [("compose-1.29", "boardroom_app_1"), ("compose-2.26", "boardroom-app-1")]
)
def test_both_generations_of_compose_are_read(recording: str, name: str) -> None:
    (container,) = Engine(Docker(recording)).containers("/srv/boardroom")
    assert (container.name, container.service, container.number) == (name, "app", 1)
    assert (container.state, container.health, container.restart_policy) == ("running", "healthy", "unless-stopped")
    assert container.image_id.startswith("sha256:")
    assert not container.oneoff
    assert container.started_at.startswith("2026-11-24T10:")


@pytest.mark.usefixtures("place")
def test_projects_are_told_apart_by_their_directory_or_name() -> None:
    engine = Engine(Docker("compose-2.26"))
    assert [c.service for c in engine.containers("/srv/contained")] == ["app", "cache", "db"]
    assert [c.service for c in engine.containers("/anywhere", "contained")] == ["app", "cache", "db"]
    assert engine.containers("/srv/other") == []
    assert engine.one("/srv/contained", "db").name == "contained-db-1"


@pytest.mark.usefixtures("place")
def test_one_inspection_is_enough_and_the_program_is_asked_for_json() -> None:
    docker = Docker("compose-2.26")
    Engine(docker).containers("/srv/contained")
    assert [call[1] for call in docker.calls] == ["ps", "container"]
    # Identifiers that were cut would not be found again.
    assert {"--all", "--no-trunc"} < set(docker.calls[0])


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("label", ["True", "true"])
def test_a_job_of_compose_run_is_no_container_of_the_service(label: str) -> None:
    docker = Docker("compose-1.29")
    docker.inspected[0]["Config"]["Labels"]["com.docker.compose.oneoff"] = label
    (container,) = Engine(docker).containers("/srv/boardroom")
    assert container.oneoff
    with pytest.raises(ContainerError, match="has no container"):
        Engine(docker).one("/srv/boardroom", "app")


@pytest.mark.usefixtures("place")
def test_the_one_container_must_run_and_be_alone() -> None:
    docker = Docker("compose-1.29")
    docker.inspected[0]["State"]["Status"] = "exited"
    with pytest.raises(ContainerError, match=r"The service app .* is not running: boardroom_app_1 is exited"):
        Engine(docker).one("/srv/boardroom", "app")
    docker.inspected[0]["State"]["Status"] = "running"
    second = copy.deepcopy(docker.inspected[0])
    second["Id"], second["Name"] = "b" * 64, "/boardroom_app_2"
    docker.inspected.append(second)
    docker.listed += f'"{"b" * 64}" "boardroom" "/srv/boardroom"\n'
    with pytest.raises(ContainerError, match=r"has 2 running containers \(boardroom_app_1, boardroom_app_2\)"):
        Engine(docker).one("/srv/boardroom", "app")


@pytest.mark.usefixtures("place")
def test_a_container_that_goes_while_it_is_looked_at_is_no_error() -> None:
    docker = Docker("compose-2.26")
    docker.inspected = [c for c in docker.inspected if c["Name"] != "/contained-db-1"]
    assert [c.service for c in Engine(docker).containers("/srv/contained")] == ["app", "cache"]


@pytest.mark.usefixtures("place")
def test_odd_names_are_read_whole() -> None:
    docker = Docker("compose-1.29")
    docker.listed = docker.listed.replace('"/srv/boardroom"', '"/srv/two \\" words"').replace('"boardroom"', '"odd"')
    assert len(Engine(docker).containers('/srv/two " words')) == 1


UNREACHABLE = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        (lambda d: d.programs.clear(), "missing", "there is no program docker"),
        (lambda d: setattr(d, "failure", (1, UNREACHABLE)), "unreachable", "does not answer"),
        (
            lambda d: setattr(d, "failure", (1, "permission denied while trying to connect")),
            "denied",
            "refuses this user",
        ),
        (lambda d: setattr(d, "failure", (1, "Error response from daemon: broken")), "failed", "broken"),
        (lambda d: setattr(d, "hangs", True), "timeout", "did not answer within 30 s"),
        (lambda d: setattr(d, "listed", "warning: x\n"), "failed", "a line that was not asked for"),
    ],
)
def test_why_nothing_is_known_is_told_apart(change: t.Callable[[Docker], object], kind: str, sentence: str) -> None:
    docker = Docker("compose-2.26")
    change(docker)
    with pytest.raises(EngineError, match=sentence) as caught:
        Engine(docker).containers("/srv/boardroom")
    assert caught.value.kind == kind


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="There is no project directory") as caught:
        Engine(Docker("compose-2.26")).containers(str(tmp_path / "no"))
    assert caught.value.kind == "directory"


@pytest.mark.usefixtures("place")
def test_declared_services_come_from_either_compose() -> None:
    docker = Docker("compose-2.26")
    docker.services = "db\n\napp\napp\n"
    assert Engine(docker).services("/srv/x", ["a.yml"], "name") == ["app", "db"]
    assert docker.calls[-1] == [
        "docker",
        "compose",
        "--file",
        "a.yml",
        "--project-name",
        "name",
        "config",
        "--services",
    ]
    docker.plugin = False
    assert Engine(docker).services("/srv/x") == ["app", "db"]
    assert docker.calls[-1] == ["docker-compose", "config", "--services"]
    docker.programs.discard("docker-compose")
    with pytest.raises(EngineError, match="Compose is not installed"):
        Engine(docker).services("/srv/x")


@pytest.mark.usefixtures("place")
def test_a_compose_file_that_cannot_be_read_says_why() -> None:
    docker = Docker("compose-2.26")
    docker.failure = (
        15,
        'time="x" level=warning msg="The X variable is not set"\nyaml: line 3: mapping values are wrong\n',
    )
    with pytest.raises(
        EngineError, match=r"cannot read the project in /srv/x: yaml: line 3: mapping values are wrong\."
    ) as caught:
        Engine(docker).services("/srv/x")
    assert caught.value.kind == "project"
    assert caught.value.remedy == "Try it there by hand: docker compose config."


# What Compose 2.26 and 1.29 really say.
COMPLAINTS = {
    "validating /srv/x/docker-compose.yml: services.app Additional property imagge is not allowed\n": (
        "validating /srv/x/docker-compose.yml: services.app Additional property imagge is not allowed."
    ),
    "The Compose file './x.yml' is invalid because:\nUnsupported config option for services.app: 'imagge'\n": (
        "The Compose file './x.yml' is invalid because: Unsupported config option for services.app: 'imagge'."
    ),
    "The NOPE variable is not set. Defaulting to a blank string.\nService 'app' depends on service 'none' which is "
    "undefined.\n": "Service 'app' depends on service 'none' which is undefined.",
    "\n        Can't find a suitable configuration file in this directory or any\n        parent. Are you in the right "
    "directory?\n\n        Supported filenames: docker-compose.yml\n": (
        "Can't find a suitable configuration file in this directory or any parent. Are you in the right directory?"
    ),
    "": "exit status 1",
}


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("said", COMPLAINTS)
def test_a_complaint_is_told_whole_and_without_the_noise(said: str) -> None:
    docker = Docker("compose-2.26")
    docker.failure, docker.plugin = (1, said), False
    with pytest.raises(EngineError) as caught:
        Engine(docker).services("/srv/x", ["a.yml"])
    assert caught.value.message == f"Compose cannot read the project in /srv/x: {COMPLAINTS[said]}"
    assert caught.value.remedy == "Try it there by hand: docker-compose --file a.yml config."


def test_a_client_that_hangs_is_ended(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    docker.chmod(0o755)
    began = time.monotonic()
    with pytest.raises(EngineError, match=r"did not answer within 0\.3 s") as caught:
        Engine(Runner(path=[str(tmp_path)]), timeout=0.3).containers(str(tmp_path))
    assert caught.value.kind == "timeout"
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("said", "rc", "sentence"), [("{}", 0, "something else than JSON"), ("[]", 1, "broken pipe")])
def test_an_inspection_that_fails_is_no_empty_project(
    said: str, rc: int, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = Docker("compose-2.26")
    run = docker.run

    def inspected(argv: t.Sequence[str], **options: t.Any) -> Completed:
        if "inspect" in argv:
            return Completed(list(argv), rc, said, "Error: No such container: x\nbroken pipe\n" if rc else "", 0.0)
        return run(argv, **options)

    monkeypatch.setattr(docker, "run", inspected)
    with pytest.raises(EngineError, match=sentence) as caught:
        Engine(docker).containers("/srv/contained")
    assert caught.value.kind == "failed"


@pytest.mark.usefixtures("place")
def test_what_cannot_be_started_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    docker = Docker("compose-2.26")

    def refused(argv: t.Sequence[str], **options: t.Any) -> Completed:
        raise ProgramError("Could not start docker: Permission denied.", remedy="Mend it.")

    monkeypatch.setattr(docker, "run", refused)
    with pytest.raises(EngineError, match="Could not start docker") as caught:
        Engine(docker).containers("/srv/boardroom")
    assert (caught.value.kind, caught.value.remedy) == ("failed", "Mend it.")


def test_the_engine_that_the_environment_names_is_asked_and_nothing_else_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/other.sock")
    monkeypatch.setenv("SECRET", "hunter22")
    assert client_environment() == {"DOCKER_HOST": "unix:///run/other.sock"}
    docker = Docker("compose-2.26")
    Engine(docker).services(str(tmp_path))
    # Compose reads .env and the files of the directory that it is started in.
    assert docker.options[-1]["cwd"] == str(tmp_path)
    assert all(options["env"] == {"DOCKER_HOST": "unix:///run/other.sock"} for options in docker.options)


@pytest.mark.usefixtures("place")
def test_a_container_without_details_is_described_all_the_same() -> None:
    docker = Docker("compose-1.29")
    for key in ("HostConfig", "RestartCount"):
        del docker.inspected[0][key]
    docker.inspected[0]["State"] = {"Health": {"Status": "none"}}
    del docker.inspected[0]["Config"]["Labels"]["com.docker.compose.container-number"]
    (container,) = Engine(docker).containers("/srv/boardroom")
    assert (container.state, container.health, container.restart_policy) == ("unknown", "", "no")
    assert (container.number, container.restarts, container.oom_killed) == (0, 0, False)


def test_a_project_is_the_same_through_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    docker = Docker("compose-1.29")
    docker.listed = docker.listed.replace("/srv/boardroom", str(link))
    assert len(Engine(docker).containers(str(real))) == 1
    docker.listed = docker.listed.replace(str(link), str(real))
    assert len(Engine(docker).containers(str(link))) == 1
