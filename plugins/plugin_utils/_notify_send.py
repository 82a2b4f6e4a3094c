# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Delivery of a message to each of several services, and the ping of a dead man's switch. URLs are secrets."""

from __future__ import annotations

import json
import os
import re
import sys
import typing as t
import urllib.parse

from ansible_collections.boardroom.maintenance.plugins.module_utils import _http
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import ProgramError, Runner
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._notify import Message

CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_notify_child.py")
TYPES = {"red": "failure", "warning": "warning", "recovery": "success", "completion": "info"}
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]{0,15}(?=://)")


class Delivery(t.NamedTuple):
    """How one service took it.

    :param service: kind and host, such as C(E-Mail at mail.example), or the URL's place in the list
    :param problem: a sentence; empty: all is well
    """

    service: str
    problem: str


def deliver(
    urls: t.Sequence[str], message: t.Optional[Message], timeout: float, python: str = sys.executable
) -> t.List[Delivery]:
    """Send a message to every service, whatever becomes of the others.

    :param urls: as apprise knows them
    :param message: None: the URLs are only looked at, so that a wrong one is known before it is needed
    :param timeout: seconds for each service
    :param python: the interpreter that has apprise
    :raises MaintenanceError: apprise is not installed.
    """
    return [_deliver(number, url, message, timeout, python) for number, url in enumerate(urls, 1)]


def _deliver(number: int, url: str, message: t.Optional[Message], timeout: float, python: str) -> Delivery:
    place = f"URL {number} of maintenance_notify_urls"
    told = message and {"subject": message.subject, "body": message.body, "type": TYPES[message.kind]}
    question = json.dumps({"url": url, "message": told}).encode("utf-8")
    runner = Runner(secrets=[url])
    try:
        done = runner.run([python, CHILD], timeout=timeout, stdin=question, env=dict(os.environ))
        answer = json.loads(done.stdout)
    except ProgramError as exc:
        # What it said may hold the URL.
        why = f"it was not delivered within {timeout:g} s" if exc.rc is None else "apprise broke down"
        return Delivery(place, f"The message to {place} failed: {why}.")
    except ValueError:
        return Delivery(place, f"The message to {place} failed: apprise broke down.")
    if answer["problem"] == "missing":
        raise MaintenanceError(
            f"Notifications need the Python library apprise on the controller, for {python}.",
            "Install it there (pip install apprise, or Debian's package apprise), or leave maintenance_notify_urls "
            "empty.",
        )
    if answer["problem"] == "url":
        scheme = _SCHEME.match(url)
        kind = f" ({scheme.group()}://...)" if scheme else ""
        return Delivery(
            place, f"{place}{kind} is none that apprise understands: see the page of that service in its documentation."
        )
    service = answer["service"] + (f" at {answer['host']}" if answer["host"] else "")
    if answer["problem"]:
        return Delivery(service, f"The message to {service} ({place}) was not delivered: {answer['reason']}.")
    return Delivery(service, "")


def ping_request(url: str, timeout: float) -> _http.Request:
    """What to ask of the watcher.

    :raises MaintenanceError: the URL cannot be asked. It is not shown: its path is the watcher's secret.
    """
    request = _http.Request(url=url, timeout=timeout, max_body=1024, redirects=2)
    try:
        _http.check(request, "ping_url")
    except MaintenanceError:
        raise MaintenanceError(
            "The ping URL is none that can be asked: it must begin with https:// or http://, name a host, and hold "
            "neither spaces nor a user.",
            "Mend the entry of maintenance_ping_urls.",
        ) from None
    return request


def ping(request: _http.Request) -> str:
    """Tell the watcher that a run was green.

    :return: why it was not told, as a sentence; empty: it was
    """
    host = urllib.parse.urlsplit(request.url).hostname
    response = _http.fetch(request)
    if response.reason:
        return f"The ping of {host} failed: it {response.message}."
    if not 200 <= response.status < 300:
        return f"The ping of {host} failed: it answered {response.status}."
    return ""
