# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Hands one message to apprise, in a process of its own, which can be stopped and whose logs nobody else gets to see.

The question comes as JSON on the standard input, the answer leaves as JSON on the standard output. The URL is a secret,
and so may be anything that apprise says: the answer is made of this file's own words, numbers, and names of services.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import sys
import typing as t
import warnings

# Elsewhere the host of a URL is a token or a topic.
_HOSTED = ("mailto", "mailtos", "json", "jsons", "xml", "xmls", "form", "forms")
_REASONS = (
    (r"error=(\d{3})\b", "it answered {}"),
    (r"\((\d{3}), b['\"]", "it answered {}"),
    (r"SMTP AUTH extension not supported|No suitable authentication method", "it takes no user and password"),
    (r"CERTIFICATE_VERIFY_FAILED|certificate verify failed", "its certificate is not trusted"),
    (r"Connection refused", "nothing listens there"),
    (r"Name or service not known|[Nn]ame resolution|NameResolutionError|No address associated", "its name is unknown"),
    (r"timed out|Timeout", "it did not answer in time"),
    (r"Network is unreachable|No route to host", "no way leads to it"),
    (r"[Cc]onnection (?:aborted|reset|unexpectedly closed)|RemoteDisconnected", "it closed the connection"),
    (r"SSLError|\[SSL", "no TLS connection could be made"),
)


class Captured(logging.Handler):
    """Keeps what is logged, and passes nothing on."""

    def __init__(self) -> None:
        super().__init__(0)
        self.lines: t.List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def reason(lines: t.Iterable[str]) -> str:
    """Why a message was not delivered, in words of C(_REASONS) alone."""
    said = "\n".join(lines)
    for pattern, words in _REASONS:
        found = re.search(pattern, said)
        if found:
            return words.format(*found.groups())
    return "it gave no reason"


def handle(question: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """Read the URL, and send the message if there is one.

    :param question: C(url); C(message) with C(subject), C(body) and C(type), or None
    :return: C(problem) (missing: no apprise, url: it is none for apprise, delivery; empty: all is well), C(service),
        C(host) (empty where it may be a secret), C(reason)
    """
    answer = {"problem": "", "service": "", "host": "", "reason": ""}
    try:
        apprise = importlib.import_module("apprise")
    except ImportError:
        return {**answer, "problem": "missing"}
    captured = Captured()
    root = logging.getLogger()
    root.handlers = [captured]
    root.setLevel(logging.DEBUG)
    sender = apprise.Apprise()
    try:
        service = apprise.Apprise.instantiate(question["url"], suppress_exceptions=True)
        if not service or not sender.add(service):
            return {**answer, "problem": "url"}
    except Exception:
        return {**answer, "problem": "url"}
    answer["service"] = str(service.service_name)
    scheme = question["url"].partition(":")[0].lower()
    if scheme in _HOSTED:
        host = str(getattr(service, "smtp_host", None) or service.host or "")
        answer["host"] = f"{host}:{service.port}" if service.port else host
    message = question["message"]
    if not message:
        return answer
    try:
        delivered = sender.notify(
            title=message["subject"],
            body=message["body"],
            notify_type=getattr(apprise.NotifyType, message["type"].upper()),
            body_format=apprise.NotifyFormat.TEXT,
        )
    except Exception as exc:
        captured.lines.append(f"{type(exc).__name__} {exc}")
        delivered = False
    return answer if delivered else {**answer, "problem": "delivery", "reason": reason(captured.lines)}


def main() -> None:
    """Keep the standard output for the answer alone."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    warnings.simplefilter("ignore")
    with out:
        json.dump(handle(json.load(sys.stdin)), out)


if __name__ == "__main__":
    main()
