# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail server and a web server that keep what they are sent, as lines of JSON in the file that is named."""

from __future__ import annotations

import email
import email.policy
import http.server
import json
import sys
import threading
import typing as t

from aiosmtpd.controller import Controller

LOCK = threading.Lock()


def keep(record: dict[str, t.Any]) -> None:
    """Add a line to the file."""
    with LOCK, open(sys.argv[1], "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


class Mail:
    """What aiosmtpd calls."""

    async def handle_DATA(self, _server: object, _session: object, envelope: t.Any) -> str:
        """Keep a mail."""
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = mail.get_body(("plain", "html"))
        text = body.get_content().replace("\r\n", "\n") if body else ""
        keep({"kind": "mail", "to": envelope.rcpt_tos, "subject": mail["subject"], "text": text})
        return "250 OK"


class Web(http.server.BaseHTTPRequestHandler):
    """Takes webhooks and pings."""

    def do_POST(self) -> None:
        """Keep a webhook's content."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        keep({"kind": "webhook", "path": self.path, **json.loads(body)})
        self.answer()

    def do_GET(self) -> None:
        """Keep a ping."""
        keep({"kind": "ping", "path": self.path})
        self.answer()

    def answer(self) -> None:
        """All is well."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    Controller(Mail(), hostname="127.0.0.1", port=2525).start()
    http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Web).serve_forever()
