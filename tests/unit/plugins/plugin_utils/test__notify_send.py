# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delivery by apprise itself, to a real mail server and a real web server; pings."""

from __future__ import annotations

import email.policy
import json
import socket
import sys
import typing as t
from email import message_from_bytes
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.plugin_utils import _notify_child
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._notify import Message
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._notify_send import deliver, ping, ping_request
from sinks import Mails, Web, free_port

MESSAGE = Message(
    "red", "FAILED: Hourly look", "PostgreSQL <does> not answer & more.\n\n1. critical\n   What to do: look.\n"
)


@pytest.fixture(scope="module")
def mails() -> t.Iterator[Mails]:
    with Mails() as server:
        yield server


@pytest.fixture(scope="module")
def web() -> t.Iterator[Web]:
    with Web() as server:
        yield server


def test_a_mail_and_a_webhook_arrive_as_they_were_written(mails: Mails, web: Web) -> None:
    urls = [
        f"mailto://127.0.0.1:{mails.port}?from=maintenance@boardroom.test&to=alice@boardroom.test&format=text",
        f"json://127.0.0.1:{web.port}/hook/sesame",
    ]
    assert [(one.service, one.problem) for one in deliver(urls, MESSAGE, 20)] == [
        (f"E-Mail at 127.0.0.1:{mails.port}", ""),
        (f"JSON at 127.0.0.1:{web.port}", ""),
    ]
    sent = message_from_bytes(mails.taken[-1], policy=email.policy.default)
    assert (sent["subject"], sent["to"]) == (MESSAGE.subject, "alice@boardroom.test")
    assert sent.get_content().replace("\r\n", "\n").rstrip() == MESSAGE.body.rstrip()
    path, body = web.posts[-1]
    told = json.loads(body)
    assert (path, told["title"], told["type"]) == ("/hook/sesame", MESSAGE.subject, "failure")
    assert told["message"] == MESSAGE.body.rstrip()


def test_a_mail_in_html_keeps_lines_and_hides_no_words(mails: Mails) -> None:
    url = f"mailto://127.0.0.1:{mails.port}?from=maintenance@boardroom.test&to=alice@boardroom.test"
    assert [one.problem for one in deliver([url], MESSAGE, 20)] == [""]
    sent = message_from_bytes(mails.taken[-1], policy=email.policy.default)
    body = sent.get_body(("html", "plain"))
    assert body is not None
    text = body.get_content()
    assert "&lt;does&gt;" in text or "<does>" in text
    assert text.count("<br") >= 3 or text.count("\n") >= 4


def test_what_cannot_be_delivered_is_named_without_its_secrets_and_the_others_go_out(mails: Mails, web: Web) -> None:
    nobody = free_port()
    before = len(web.posts)
    urls = [
        f"json://user:hunter22@127.0.0.1:{nobody}/sesame",
        "slack://sesame",
        "https://hooks.example/sesame",
        f"json://127.0.0.1:{web.port}/refused/sesame?+X-Token=sesame",
        f"mailto://ops:hunter22@127.0.0.1:{mails.port}?from=maintenance@boardroom.test&to=alice@boardroom.test",
        f"jsons://127.0.0.1:{web.port}/sesame",
        f"json://127.0.0.1:{web.port}/hook/sesame",
    ]
    told = deliver(urls, MESSAGE, 20)
    here, there = f"JSON at 127.0.0.1:{web.port}", f"E-Mail at 127.0.0.1:{mails.port}"
    none = "is none that apprise understands: see the page of that service in its documentation."
    assert [one.problem.replace(" of maintenance_notify_urls", "") for one in told] == [
        f"The message to JSON at 127.0.0.1:{nobody} (URL 1) was not delivered: nothing listens there.",
        f"URL 2 (slack://...) {none}",
        f"URL 3 (https://...) {none}",
        f"The message to {here} (URL 4) was not delivered: it answered 403.",
        f"The message to {there} (URL 5) was not delivered: it takes no user and password.",
        f"The message to {here} (URL 6) was not delivered: no TLS connection could be made.",
        "",
    ]
    assert not any(secret in str(told) for secret in ("hunter22", "sesame"))
    assert [path for path, _body in web.posts[before:]] == ["/refused/sesame", "/hook/sesame"]


def test_a_service_that_does_not_answer_is_given_up(web: Web) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        urls = [f"json://127.0.0.1:{port}/sesame?cto=60&rto=60", f"json://127.0.0.1:{web.port}/hook/sesame"]
        told = deliver(urls, MESSAGE, 3)
    assert told[0].problem == "The message to URL 1 of maintenance_notify_urls failed: it was not delivered within 3 s."
    assert told[1].problem == ""


def test_without_a_message_the_urls_are_looked_at_and_nothing_is_sent(web: Web) -> None:
    before = len(web.posts)
    told = deliver([f"json://127.0.0.1:{web.port}/hook", "nosuch://x"], None, 20)
    assert [bool(one.problem) for one in told] == [False, True]
    assert len(web.posts) == before


def test_a_controller_without_apprise_is_told_what_to_install(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    # No packages beside Python's own.
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    with pytest.raises(MaintenanceError) as caught:
        deliver(["json://127.0.0.1/sesame"], MESSAGE, 20, str(bare))
    assert caught.value.message == f"Notifications need the Python library apprise on the controller, for {bare}."
    assert "pip install apprise" in caught.value.remedy
    assert "sesame" not in str(caught.value)
    # Where nobody is to be told, it is not needed.
    assert deliver([], MESSAGE, 20, str(bare)) == []


def test_a_host_is_named_only_where_it_is_no_token() -> None:
    assert deliver(["slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"], None, 20) == [("Slack", "")]


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("Failed to send JSON POST notification: error=404.", "it answered 404"),
        ("Socket Exception: (535, b'5.7.8 bad token sesame')", "it answered 535"),
        ("HTTPSConnectionPool(host='x'): Read timed out. /services/sesame", "it did not answer in time"),
        ("something about sesame", "it gave no reason"),
    ],
)
def test_a_reason_is_made_of_our_own_words(log: str, words: str) -> None:
    assert _notify_child.reason(["first", log]) == words


def test_a_ping_arrives_and_a_refused_one_is_told(web: Web) -> None:
    assert ping(ping_request(f"http://127.0.0.1:{web.port}/ping/sesame", 5)) == ""
    assert web.gets[-1] == "/ping/sesame"
    assert ping(ping_request(f"http://127.0.0.1:{web.port}/refused/sesame", 5)) == (
        "The ping of 127.0.0.1 failed: it answered 403."
    )
    port = free_port()
    assert ping(ping_request(f"http://127.0.0.1:{port}/sesame", 5)) == (
        f"The ping of 127.0.0.1 failed: it cannot be reached: 127.0.0.1 port {port} refuses the connection; "
        "nothing listens there."
    )


@pytest.mark.parametrize(
    "url", ["sesame", "ftp://h/sesame", "http://u:sesame@h/", "http:///sesame", "http://h/ses ame"]
)
def test_a_wrong_ping_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(MaintenanceError) as caught:
        ping_request(url, 5)
    assert "sesame" not in caught.value.message
    assert "maintenance_ping_urls" in caught.value.remedy
