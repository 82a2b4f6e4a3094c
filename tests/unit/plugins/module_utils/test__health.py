# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints and containers, judged."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import json
import socket
import threading
import time
import typing as t

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._engine._compose import (
    Container,
    Engine,
    EngineError,
)
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._health import (
    Endpoint,
    Project,
    find_field,
    look_at_endpoints,
    look_at_project,
    parse_started,
    require_sense,
)
from ansible_collections.boardroom.maintenance.plugins.module_utils._http import Request, Response

NOW = datetime.datetime(2026, 11, 24, 12, 0, 0, tzinfo=datetime.timezone.utc)
HEALTHY = {"status": "healthy", "database": {"pool": [1, 2]}, "ready": True, "load": 0.5}


class Handler(http.server.BaseHTTPRequestHandler):
    """/status/N answers N; /slow takes its time; anything else is healthy."""

    def do_GET(self) -> None:
        part = self.path.split("/")
        status = int(part[2]) if part[1] == "status" else 200
        if part[1] == "slow":
            time.sleep(0.3)
        body = b"<html>" if part[1] == "page" else json.dumps(HEALTHY).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def base() -> t.Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent() -> t.Iterator[str]:
    """A server that takes connections and never says a word."""
    with contextlib.closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def ask(url: str, **more: t.Any) -> dict[str, dict[str, t.Any]]:
    timeout = more.pop("timeout", 5.0)
    found = look_at_endpoints([Endpoint("application", Request(url, timeout=timeout), **more)])
    assert all(f["subject"] == "application" for f in found)
    return {f["check"]: f for f in found}


def test_a_healthy_application(base: str) -> None:
    fields = {"status": "healthy", "ready": True, "load": 0.5}
    found = ask(f"{base}/health", fields=fields, latency_warning=5000)
    assert {check: f["status"] for check, f in found.items()} == {
        "health.endpoint": "ok",
        "health.json": "ok",
        "health.latency": "ok",
    }


@pytest.mark.parametrize("status", [500, 502, 503, 404, 301])
def test_a_wrong_status_is_critical(base: str, status: int) -> None:
    found = ask(f"{base}/status/{status}")["health.endpoint"]
    assert (found["status"], found["value"], found["threshold"]) == ("critical", status, "200")
    assert found["remedy"]


def test_other_statuses_can_be_right(base: str) -> None:
    assert ask(f"{base}/status/401", status=(200, 401))["health.endpoint"]["status"] == "ok"


@pytest.mark.parametrize(
    "fields", [{"status": "unhealthy"}, {"missing": 1}, {"ready": "yes"}, {"load": 1}, {"status": None}, {"ready": 1}]
)
def test_a_field_that_is_not_what_it_should_be_is_critical_and_named(base: str, fields: dict[str, t.Any]) -> None:
    found = ask(f"{base}/health", fields=fields)["health.json"]
    assert found["status"] == "critical"
    assert next(iter(fields)) in found["message"]


def test_what_is_no_json_is_critical(base: str) -> None:
    assert ask(f"{base}/page", fields={"status": "healthy"})["health.json"]["status"] == "critical"


def test_an_error_page_is_one_finding_and_not_three() -> None:
    answers = [Response("", "", 502, {}, b"<html>bad gateway</html>")]
    endpoint = Endpoint("a", Request("http://x/"), fields={"status": "healthy"}, body_contains="healthy")
    found = look_at_endpoints([endpoint], lambda request: answers[0])
    assert [(f["check"], f["status"]) for f in found if f["status"] != "ok"] == [("health.endpoint", "critical")]
    assert "nginx gets no answer from the application" in found[0]["remedy"]


def test_a_text_in_the_body_is_looked_for(base: str) -> None:
    there = ask(f"{base}/health", body_contains='"status": "healthy"')["health.body"]
    assert (there["status"], there["remedy"]) == ("ok", "")
    missing = ask(f"{base}/health", body_contains="schön")["health.body"]
    assert missing["status"] == "critical"
    assert missing["message"] == "application: the body does not contain 'schön'."
    assert missing["remedy"]


def test_a_body_that_was_cut_is_said_to_be() -> None:
    cut = Response("", "", 200, {}, b'{"a": [', truncated=True)
    endpoint = Endpoint("a", Request("http://x/"), fields={"status": 1}, body_contains="end")
    found = {f["check"]: f for f in look_at_endpoints([endpoint], lambda request: cut)}
    assert found["health.json"]["message"] == "a: the answer is longer than what is read of it."
    assert "(of which the first 7 bytes were read)" in found["health.body"]["message"]


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff\xfe", b"", b"{"])
def test_no_body_can_break_the_check(body: bytes) -> None:
    answer = Response("", "", 200, {}, body)
    endpoint = Endpoint("a", Request("http://x/"), fields={"status": 1})
    found = {f["check"]: f["status"] for f in look_at_endpoints([endpoint], lambda request: answer)}
    assert found["health.json"] == "critical"


def test_long_values_are_shortened_in_the_finding() -> None:
    answer = Response("", "", 200, {}, json.dumps({"list": list(range(1000)), "text": "x" * 1000}).encode())
    endpoint = Endpoint("a", Request("http://x/"), fields={"list": [], "text": ""})
    found = [f for f in look_at_endpoints([endpoint], lambda request: answer) if f["check"] == "health.json"]
    assert [len(str(f["value"])) for f in found] == [100, 200]
    assert all(len(f["message"]) < 200 for f in found)


def test_slowness_is_judged(base: str) -> None:
    assert ask(f"{base}/slow", latency_warning=100)["health.latency"]["status"] == "warning"
    assert ask(f"{base}/slow", latency_warning=50, latency_critical=100)["health.latency"]["status"] == "critical"


def test_nobody_there_is_critical_with_the_reason() -> None:
    with contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    found = ask(f"http://127.0.0.1:{port}/")["health.endpoint"]
    assert found["status"] == "critical"
    assert "refuses the connection" in found["message"]


def test_those_that_hang_delay_nobody_and_not_each_other(base: str, silent: str) -> None:
    # More than are asked at once, the bad ones first: they take one round of their time limit, no more.
    endpoints = [Endpoint(f"hangs {n}", Request(silent, timeout=1.0)) for n in range(20)]
    endpoints += [Endpoint(f"good {n}", Request(f"{base}/health", timeout=5.0)) for n in range(30)]
    began = time.monotonic()
    found = [f for f in look_at_endpoints(endpoints) if f["check"] == "health.endpoint"]
    assert time.monotonic() - began < 3
    assert [f["status"] for f in found] == ["critical"] * 20 + ["ok"] * 30
    assert [f["subject"] for f in found] == [e.name for e in endpoints]


def test_what_is_critical_is_asked_again_when_told_so() -> None:
    answers = [Response("timeout", "did not answer"), Response("", "", 200, {}, b"{}")]
    pauses: list[float] = []
    endpoint = Endpoint("application", Request("http://x/"), retries=2)
    found = look_at_endpoints([endpoint], lambda request: answers.pop(0), pauses.append)
    assert [f["status"] for f in found if f["check"] == "health.endpoint"] == ["ok"]
    assert len(pauses) == 1


def test_what_stays_critical_is_believed_after_the_last_attempt() -> None:
    asked: list[Request] = []
    pauses: list[float] = []

    def silent(request: Request) -> Response:
        asked.append(request)
        return Response("timeout", "did not answer")

    (found,) = look_at_endpoints([Endpoint("a", Request("http://x/"), retries=2)], silent, pauses.append)
    assert (found["status"], len(asked), pauses) == ("critical", 3, [1.0, 1.0])


def test_fields_are_found_by_their_dotted_names() -> None:
    assert find_field(HEALTHY, "database.pool") == (True, [1, 2])
    assert find_field(HEALTHY, "database.none")[0] is False
    assert find_field({"a.b": 1}, "a.b") == (True, 1)


def test_fields_are_found_in_lists_and_behind_keys_with_dots() -> None:
    document = {"nodes": [{"state": "up"}, {"state": "down"}], "a.b": {"c": 2}, "a": {"x": 3}}
    assert find_field(document, "nodes.1.state") == (True, "down")
    assert find_field(document, "nodes.0") == (True, {"state": "up"})
    assert find_field(document, "a.b.c") == (True, 2)
    assert find_field(document, "a.x") == (True, 3)
    for name in ("nodes.2", "nodes.-1", "nodes.x", "nodes.²", "a.b.c.d", ""):
        assert find_field(document, name) == (False, None)


@pytest.mark.parametrize(
    ("got", "expected", "same"),
    [
        ("1.0", "1", True),
        ("[1, true]", "[1.0, true]", True),
        ("[1, true]", "[1, 1]", False),
        ("[1]", "[1, 2]", False),
        ('{"a": {"b": 0}}', '{"a": {"b": false}}', False),
        ('{"a": 1}', '{"a": 1, "b": 2}', False),
        ("null", "null", True),
        ('"1"', "1", False),
    ],
)
def test_values_are_compared_as_json_has_them(got: str, expected: str, same: bool) -> None:
    answer = Response("", "", 200, {}, f'{{"field": {got}}}'.encode())
    endpoint = Endpoint("a", Request("http://x/"), fields={"field": json.loads(expected)})
    found = {f["check"]: f["status"] for f in look_at_endpoints([endpoint], lambda request: answer)}
    assert found["health.json"] == ("ok" if same else "critical")


GOOD = Endpoint("a", Request("http://x/"))


@pytest.mark.parametrize(
    ("endpoints", "projects", "sentence"),
    [
        ([], [], "There is nothing to check"),
        ([GOOD, GOOD], [], "Two endpoints have the name 'a'"),
        ([GOOD._replace(name=" ")], [], "An endpoint has no name"),
        ([GOOD._replace(request=Request("ftp://x/"))], [], "endpoint a: ftp://x/ is not a URL"),
        ([GOOD._replace(status=(99,))], [], "endpoint a: status must be"),
        ([GOOD._replace(latency_warning=5, latency_critical=1)], [], "latency_warning"),
        ([GOOD._replace(latency_critical=float("nan"))], [], "endpoint a: a latency must be more than 0"),
        ([GOOD._replace(latency_warning=float("inf"))], [], "endpoint a: a latency must be more than 0"),
        ([GOOD._replace(retries=-1)], [], "retries is -1, but cannot be less than 0"),
        ([], [Project("srv")], "must be an absolute path"),
        ([], [Project("/srv"), Project("/srv")], "is given twice"),
        ([], [Project("/srv", services=["a"], ignore=["a"])], "stands in services and in ignore"),
    ],
)
def test_bad_input_is_one_sentence(endpoints: list[Endpoint], projects: list[Project], sentence: str) -> None:
    with pytest.raises(MaintenanceError, match=sentence):
        require_sense(endpoints, projects)


CONTAINER = Container(
    id="a" * 64,
    name="boardroom-app-1",
    project="boardroom",
    service="app",
    number=1,
    oneoff=False,
    state="running",
    health="healthy",
    exit_code=0,
    restarts=0,
    oom_killed=False,
    started_at="2026-11-24T02:00:00.123456789Z",
    image="app",
    image_id="sha256:1",
    restart_policy="always",
)


class FakeEngine:
    """Says what it is told."""

    def __init__(
        self, containers: t.Sequence[Container] | EngineError, services: t.Sequence[str] | EngineError
    ) -> None:
        self._containers = containers
        self._services = services

    def containers(self, project_src: str, project_name: str = "") -> t.Any:
        if isinstance(self._containers, EngineError):
            raise self._containers
        return list(self._containers)

    def services(self, project_src: str, files: t.Sequence[str] = (), project_name: str = "") -> t.Any:
        if isinstance(self._services, EngineError):
            raise self._services
        return list(self._services)


def judge(containers: t.Any, services: t.Any = ("app",), **project: t.Any) -> dict[tuple[str, str], str]:
    engine = t.cast(Engine, FakeEngine(containers, services))
    found = look_at_project(Project("/srv/boardroom", **project), engine, NOW)
    return {(f["check"], f["subject"]): f["status"] for f in found}


def test_a_service_that_runs_is_well() -> None:
    assert judge([CONTAINER]) == {
        ("container.state", "boardroom/app"): "ok",
        ("container.health", "boardroom/app"): "ok",
        ("container.restarts", "boardroom/app"): "ok",
    }


@pytest.mark.parametrize("state", ["exited", "restarting", "paused", "dead", "created", "removing", "unknown"])
def test_one_that_does_not_run_is_critical(state: str) -> None:
    assert judge([CONTAINER._replace(state=state, exit_code=137)])["container.state", "boardroom/app"] == "critical"


def test_a_declared_service_without_a_container_is_critical() -> None:
    assert judge([CONTAINER], ("app", "worker"))["container.state", "boardroom/worker"] == "critical"
    assert ("container.state", "boardroom/worker") not in judge([CONTAINER], ("app", "worker"), ignore=["worker"])


def test_a_one_off_job_does_not_stand_for_its_service() -> None:
    assert judge([CONTAINER._replace(oneoff=True)])["container.state", "boardroom/app"] == "critical"


@pytest.mark.parametrize(("health", "status"), [("unhealthy", "critical"), ("starting", "warning")])
def test_health_is_judged(health: str, status: str) -> None:
    assert judge([CONTAINER._replace(health=health)])["container.health", "boardroom/app"] == status


def test_no_check_is_no_finding_of_health() -> None:
    assert ("container.health", "boardroom/app") not in judge([CONTAINER._replace(health="")])


def test_restarts_are_a_warning_while_they_are_young() -> None:
    restarted = CONTAINER._replace(restarts=3)
    assert judge([restarted])["container.restarts", "boardroom/app"] == "warning"
    assert judge([restarted], restarts_within=3600)["container.restarts", "boardroom/app"] == "ok"
    assert judge([CONTAINER._replace(oom_killed=True)])["container.restarts", "boardroom/app"] == "warning"


@pytest.mark.parametrize(
    ("kind", "status"), [("unreachable", "critical"), ("missing", "critical"), ("denied", "unknown")]
)
def test_an_engine_that_does_not_answer_is_never_well(kind: str, status: str) -> None:
    assert judge(EngineError(kind, "No.")) == {("container.state", "boardroom"): status}


def test_a_project_that_cannot_be_read_is_unknown_and_its_containers_are_still_judged() -> None:
    found = judge([CONTAINER._replace(health="unhealthy")], EngineError("project", "Bad file."))
    assert found["container.state", "boardroom"] == "unknown"
    assert found["container.health", "boardroom/app"] == "critical"


def test_a_project_without_services_is_not_well() -> None:
    assert judge([], ()) == {("container.state", "boardroom"): "unknown"}


def look(*containers: Container, **project: t.Any) -> dict[str, dict[str, t.Any]]:
    engine = t.cast(Engine, FakeEngine(containers, ("app",)))
    return {f["check"]: f for f in look_at_project(Project("/srv/boardroom", **project), engine, NOW)}


def test_how_a_container_is_down_is_told_with_what_to_do() -> None:
    killed = look(CONTAINER._replace(state="exited", exit_code=137, oom_killed=True))["container.state"]
    assert killed["message"] == "boardroom/app: boardroom-app-1 is exited (exit status 137, out of memory)."
    assert (killed["value"], killed["threshold"], killed["unit"]) == (0, 1, "containers")
    # The last word of a check about a container that is gone by now is no news.
    assert "container.health" not in look(CONTAINER._replace(state="exited", health="unhealthy"))
    paused = look(CONTAINER._replace(state="paused"))["container.state"]
    assert paused["remedy"] == "Continue it with docker unpause boardroom-app-1."
    looping = look(CONTAINER._replace(state="restarting", exit_code=1))["container.state"]
    assert looping["remedy"].startswith("It ends as soon as it is started")


def test_one_of_several_containers_that_is_down_or_unwell_is_enough() -> None:
    second = CONTAINER._replace(name="boardroom-app-2", number=2)
    assert look(CONTAINER, second)["container.state"]["message"] == "boardroom/app runs in 2 containers."
    down = look(CONTAINER, second._replace(state="exited"))["container.state"]
    assert (down["status"], down["value"], down["threshold"]) == ("critical", 1, 2)
    unwell = look(CONTAINER._replace(health="starting"), second._replace(health="unhealthy"))["container.health"]
    assert (unwell["status"], unwell["value"]) == ("critical", "unhealthy")


def test_a_restart_is_dated_and_one_that_never_started_has_no_date() -> None:
    once = look(CONTAINER._replace(restarts=1))["container.restarts"]
    assert once["message"] == "boardroom/app: boardroom-app-1 was restarted once, last 10 h ago."
    often = look(CONTAINER._replace(restarts=3))["container.restarts"]
    assert ("was restarted 3 times" in often["message"], often["value"]) == (True, 3)
    assert parse_started("0001-01-01T00:00:00Z") is None
    assert parse_started("") is None


def test_services_can_be_named_instead_of_asked_for() -> None:
    engine = t.cast(Engine, FakeEngine([CONTAINER], EngineError("missing", "Compose is not installed.")))
    found = look_at_project(Project("/srv/boardroom", services=["app"]), engine, NOW)
    assert {f["status"] for f in found} == {"ok"}


def test_a_project_is_called_by_its_name_or_directory() -> None:
    assert [Project("/srv/a/").label, Project("/srv/a", "b").label, Project("/").label] == ["a", "b", "/"]
