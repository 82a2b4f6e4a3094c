# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Does the application answer, and do its containers run? Everything is looked at; what is bad becomes a finding."""

from __future__ import annotations

import concurrent.futures
import datetime
import json
import math
import os
import re
import time
import typing as t

from ._engine._compose import Container, Engine, EngineError
from ._errors import MaintenanceError
from ._findings import Finding, finding, judge
from ._http import Request, Response, check, fetch, shown
from ._time import format_duration

# Endpoints asked at the same moment; more would measure this host instead of the application.
AT_ONCE = 32
_RETRY_PAUSE = 1.0

_LOOK_AT_SERVICE = "Look at the service's log (docker compose logs); after a bad release go back to the one before."
_START_SERVICE = (
    "Start it with docker compose up -d, and look at its log; a job that is meant to end belongs into the "
    "project's ignore list."
)


class Endpoint(t.NamedTuple):
    """One URL and what its answer must be.

    :param status: acceptable HTTP statuses
    :param fields: dotted names of fields in the JSON body, with the values that they must have
    :param body_contains: text that the body must hold; empty: any body
    :param latency_warning: milliseconds for the whole answer; None: no bound
    :param latency_critical: milliseconds for the whole answer; None: no bound
    :param retries: further attempts, a second apart, before something critical is believed
    """

    name: str
    request: Request
    status: t.Sequence[int] = (200,)
    fields: t.Mapping[str, t.Any] = {}
    body_contains: str = ""
    latency_warning: t.Optional[float] = None
    latency_critical: t.Optional[float] = None
    retries: int = 0


class Project(t.NamedTuple):
    """One Compose project and the services that must run.

    :param services: the services to look at; empty: those that the project declares
    :param ignore: services not to look at, such as jobs that end
    :param restarts_within: a restart by the engine is a warning for so many seconds
    """

    project_src: str
    project_name: str = ""
    files: t.Sequence[str] = ()
    services: t.Sequence[str] = ()
    ignore: t.Sequence[str] = ()
    restarts_within: float = 86400

    @property
    def label(self) -> str:
        """What the project is called in findings."""
        return self.project_name or os.path.basename(os.path.normpath(self.project_src)) or self.project_src


def require_sense(endpoints: t.Sequence[Endpoint], projects: t.Sequence[Project]) -> None:
    """Refuse what cannot be checked, before anything is.

    :raises MaintenanceError: the first thing that is wrong.
    """
    if not endpoints and not projects:
        raise MaintenanceError(
            "There is nothing to check: give endpoints or projects.",
            "In the inventory, set maintenance_endpoints or maintenance_app_dir.",
        )
    names: t.Set[str] = set()
    for endpoint in endpoints:
        where = f"endpoint {endpoint.name}"
        if not endpoint.name.strip():
            raise MaintenanceError(f"An endpoint has no name ({shown(endpoint.request.url)}).")
        if endpoint.name in names:
            raise MaintenanceError(f"Two endpoints have the name {endpoint.name!r}; give each one its own.")
        names.add(endpoint.name)
        check(endpoint.request, where)
        if not endpoint.status or any(not 100 <= status <= 599 for status in endpoint.status):
            raise MaintenanceError(f"{where}: status must be one or several numbers from 100 to 599.")
        if endpoint.retries < 0:
            raise MaintenanceError(f"{where}: retries is {endpoint.retries}, but cannot be less than 0.")
        low, high = endpoint.latency_warning, endpoint.latency_critical
        # Written so that it refuses what is no number (nan, inf), too.
        if any(bound is not None and not 0 < bound < math.inf for bound in (low, high)):
            raise MaintenanceError(f"{where}: a latency must be more than 0 milliseconds.")
        if low is not None and high is not None and low > high:
            raise MaintenanceError(f"{where}: latency_warning ({low:g}) is above latency_critical ({high:g}).")
    places: t.Set[t.Tuple[str, str]] = set()
    for project in projects:
        if not os.path.isabs(project.project_src):
            raise MaintenanceError(f"project_src is {project.project_src!r}, but must be an absolute path.")
        place = (project.project_src, project.project_name)
        if place in places:
            raise MaintenanceError(f"The project in {project.project_src} is given twice.")
        places.add(place)
        both = sorted(set(project.services) & set(project.ignore))
        if both:
            raise MaintenanceError(f"{project.label}: {both[0]} stands in services and in ignore.")


def look_at_endpoints(
    endpoints: t.Sequence[Endpoint],
    ask: t.Callable[[Request], Response] = fetch,
    pause: t.Callable[[float], None] = time.sleep,
) -> t.List[Finding]:
    """Ask all endpoints at once; their findings in the endpoints' order."""
    if not endpoints:
        return []
    with concurrent.futures.ThreadPoolExecutor(min(AT_ONCE, len(endpoints))) as pool:
        found = pool.map(lambda endpoint: _look_at_endpoint(endpoint, ask, pause), endpoints)
        return [one for several in found for one in several]


def _look_at_endpoint(
    endpoint: Endpoint, ask: t.Callable[[Request], Response], pause: t.Callable[[float], None]
) -> t.List[Finding]:
    for left in range(endpoint.retries, -1, -1):
        found = _judge_answer(endpoint, ask(endpoint.request))
        if left == 0 or all(one["status"] != "critical" for one in found):
            break
        pause(_RETRY_PAUSE)
    return found


def _judge_answer(endpoint: Endpoint, response: Response) -> t.List[Finding]:
    url = shown(endpoint.request.url)
    expected = " or ".join(str(status) for status in endpoint.status)
    if response.reason:
        remedy = {
            "refused": "Start the application (docker compose up -d), and look at its log for why it stopped.",
            "tls_expired": "Renew the certificate and reload nginx.",
        }.get(
            response.reason,
            "Ask the URL by hand on this host (curl -v), and look at the logs of nginx and the service.",
        )
        message = f"{endpoint.name}: {url} {response.message}."
        return [finding("health.endpoint", endpoint.name, "critical", message, threshold=expected, remedy=remedy)]
    right = response.status in endpoint.status
    found = [
        finding(
            "health.endpoint",
            endpoint.name,
            "ok" if right else "critical",
            f"{endpoint.name}: {url} answers {response.status}{'' if right else f', expected {expected}'}.",
            value=response.status,
            threshold=expected,
            remedy="" if right else _what_status_means(response.status),
        )
    ]
    found += _judge_json(endpoint, response, right)
    if endpoint.body_contains:
        found += _judge_body(endpoint, response, right)
    milliseconds = round(response.seconds * 1000, 1)
    latency = judge(milliseconds, endpoint.latency_warning, endpoint.latency_critical)
    bound = (
        endpoint.latency_critical if latency == "critical" else endpoint.latency_warning or endpoint.latency_critical
    )
    found.append(
        finding(
            "health.latency",
            endpoint.name,
            latency,
            f"{endpoint.name}: {url} took {milliseconds:g} ms" + (f", limit {bound:g} ms." if latency != "ok" else "."),
            value=milliseconds,
            unit="ms",
            threshold=bound,
            remedy="" if latency == "ok" else "Look at the load of the host and the slow queries of the database.",
        )
    )
    return found


def _what_status_means(status: int) -> str:
    if status in (502, 504):
        return "nginx gets no answer from the application: " + _LOOK_AT_SERVICE
    if status == 503:
        return "The application is unwell, or the maintenance page is up: look at the maintenance flag and the log."
    if 300 <= status < 400:
        return "The URL redirects: give the one it leads to, or set follow_redirects."
    return _LOOK_AT_SERVICE


def _judge_body(endpoint: Endpoint, response: Response, right_status: bool) -> t.List[Finding]:
    there = endpoint.body_contains.encode("utf-8") in response.body
    if not there and not right_status:
        # An error page has not the text of the right one; its status says so already.
        return []
    cut = f" (of which the first {len(response.body)} bytes were read)" if response.truncated and not there else ""
    said = f"the body {'contains' if there else 'does not contain'} {endpoint.body_contains!r}{cut}"
    status, remedy = ("ok", "") if there else ("critical", _LOOK_AT_SERVICE)
    return [finding("health.body", endpoint.name, status, f"{endpoint.name}: {said}.", remedy=remedy)]


def _judge_json(endpoint: Endpoint, response: Response, right_status: bool) -> t.List[Finding]:
    if not endpoint.fields:
        return []
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        if not right_status:
            # An error page is no JSON; its status says so already.
            return []
        why = "is longer than what is read of it" if response.truncated else "is not JSON"
        message = f"{endpoint.name}: the answer {why}."
        return [finding("health.json", endpoint.name, "critical", message, remedy=_LOOK_AT_SERVICE)]
    found = []
    for field, expected in endpoint.fields.items():
        there, got = find_field(document, field)
        if there and _same(got, expected):
            continue
        said = f"is {_short(got)}" if there else "is missing"
        found.append(
            finding(
                "health.json",
                endpoint.name,
                "critical",
                f"{endpoint.name}: the field {field} {said}, expected {_short(expected)}.",
                value=_plain(got) if there else None,
                threshold=_plain(expected),
                remedy=_LOOK_AT_SERVICE,
            )
        )
    if not found:
        names = ", ".join(endpoint.fields)
        found.append(finding("health.json", endpoint.name, "ok", f"{endpoint.name}: {names} as expected."))
    return found


def find_field(document: t.Any, name: str) -> t.Tuple[bool, t.Any]:
    """Whether a JSON document has a field, and its value.

    :param name: keys, and places in lists, separated by dots; a key may hold dots itself
    """
    if isinstance(document, dict):
        if name in document:
            return True, document[name]
        # The longest key that leads on; most keys have no dot, so this is the first attempt but one.
        for dot in [found.start() for found in re.finditer(r"\.", name)][::-1]:
            if name[:dot] in document:
                there, value = find_field(document[name[:dot]], name[dot + 1 :])
                if there:
                    return True, value
    elif isinstance(document, list):
        place, _dot, rest = name.partition(".")
        if place.isascii() and place.isdigit() and int(place) < len(document):
            return find_field(document[int(place)], rest) if rest else (True, document[int(place)])
    return False, None


def _same(got: t.Any, expected: t.Any) -> bool:
    """Equality as JSON has it: true is not 1, but 1 is 1.0."""
    if isinstance(got, bool) or isinstance(expected, bool):
        return got is expected
    if isinstance(got, dict) and isinstance(expected, dict):
        return got.keys() == expected.keys() and all(_same(got[key], expected[key]) for key in got)
    if isinstance(got, list) and isinstance(expected, list):
        return len(got) == len(expected) and all(_same(a, b) for a, b in zip(got, expected))
    return bool(got == expected)


def _short(value: t.Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else text[:97] + "..."


def _plain(value: t.Any) -> t.Any:
    return value if isinstance(value, (bool, int, float)) else value[:200] if isinstance(value, str) else _short(value)


def look_at_project(project: Project, engine: Engine, now: datetime.datetime) -> t.List[Finding]:
    """Hold the containers of a project against the services that it declares."""
    try:
        containers = [c for c in engine.containers(project.project_src, project.project_name) if not c.oneoff]
    except EngineError as exc:
        status = "critical" if exc.kind in ("missing", "unreachable", "directory") else "unknown"
        message = f"{project.label}: {exc.message.rstrip('.')}."
        return [finding("container.state", project.label, status, message, remedy=exc.remedy)]
    found: t.List[Finding] = []
    services = list(project.services)
    if not services:
        try:
            services = engine.services(project.project_src, project.files, project.project_name)
        except EngineError as exc:
            message = f"{project.label}: which services must run is not known: {exc.message}"
            remedy = f"{exc.remedy} Or name them in the project's services.".strip()
            found.append(finding("container.state", project.label, "unknown", message, remedy=remedy))
            services = sorted({c.service for c in containers})
    services = [service for service in services if service not in project.ignore]
    if not services and not found:
        message = f"{project.label}: the project has no service to look at."
        remedy = "Look at its Compose file, profiles and the project's ignore list."
        found.append(finding("container.state", project.label, "unknown", message, remedy=remedy))
    for service in services:
        found += _judge_service(project, service, [c for c in containers if c.service == service], now)
    return found


def _judge_service(
    project: Project, service: str, containers: t.Sequence[Container], now: datetime.datetime
) -> t.List[Finding]:
    subject = f"{project.label}/{service}"
    if not containers:
        message = f"{subject} has no container."
        return [finding("container.state", subject, "critical", message, 0, "containers", 1, _START_SERVICE)]
    down = [c for c in containers if c.state != "running"]
    running = len(containers) - len(down)
    if down:
        message = f"{subject}: {'; '.join(_how_down(c) for c in down)}."
    elif running == 1:
        message = f"{subject} runs."
    else:
        message = f"{subject} runs in {running} containers."
    status, remedy = ("critical", _remedy_for(down[0])) if down else ("ok", "")
    found = [finding("container.state", subject, status, message, running, "containers", len(containers), remedy)]
    checked = [c for c in containers if c.state == "running" and c.health]
    if checked:
        found.append(_judge_health(subject, checked))
    found.append(_judge_restarts(subject, containers, project.restarts_within, now))
    return found


def _how_down(container: Container) -> str:
    if container.state in ("exited", "dead", "restarting"):
        memory = ", out of memory" if container.oom_killed else ""
        return f"{container.name} is {container.state} (exit status {container.exit_code}{memory})"
    return f"{container.name} is {container.state}"


def _remedy_for(container: Container) -> str:
    if container.state == "paused":
        return f"Continue it with docker unpause {container.name}."
    if container.state == "restarting":
        return "It ends as soon as it is started: " + _LOOK_AT_SERVICE
    return _START_SERVICE


def _judge_health(subject: str, checked: t.Sequence[Container]) -> Finding:
    bad = [c for c in checked if c.health != "healthy"]
    if not bad:
        return finding("container.health", subject, "ok", f"{subject} is healthy.", "healthy")
    worst = "unhealthy" if any(c.health == "unhealthy" for c in bad) else bad[0].health
    return finding(
        "container.health",
        subject,
        "warning" if worst == "starting" else "critical",
        f"{subject}: {'; '.join(f'{c.name} is {c.health}' for c in bad)}.",
        worst,
        threshold="healthy",
        remedy="Wait for its start, then look again." if worst == "starting" else _LOOK_AT_SERVICE,
    )


def _judge_restarts(subject: str, containers: t.Sequence[Container], within: float, now: datetime.datetime) -> Finding:
    said = []
    for container in containers:
        started = parse_started(container.started_at)
        ago = (now - started).total_seconds() if started else 0.0
        if container.oom_killed:
            said.append(f"{container.name} was killed for want of memory")
        elif container.restarts > 0 and ago <= within:
            times = "once" if container.restarts == 1 else f"{container.restarts} times"
            said.append(f"{container.name} was restarted {times}, last {format_duration(ago)} ago")
    total = sum(c.restarts for c in containers)
    if not said:
        return finding("container.restarts", subject, "ok", f"{subject} was not restarted lately.", total, "restarts")
    message = f"{subject}: {'; '.join(said)}."
    return finding("container.restarts", subject, "warning", message, total, "restarts", 1, _LOOK_AT_SERVICE)


def parse_started(text: str) -> t.Optional[datetime.datetime]:
    """The time in an engine's C(2026-11-24T02:00:00.123456789Z); None when it never started."""
    try:
        moment = datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return None
    return moment if moment.year > 1 else None
