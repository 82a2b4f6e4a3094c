# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail server and a web server on this machine that keep what they are sent."""

from __future__ import annotations

import http.server
import socket
import threading
import typing as t

from aiosmtpd.controller import Controller


def free_port() -> int:
    """A port of 127.0.0.1 at which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


class Mails:
    """A mail server without users; C(taken) holds the mails as they came."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.port = free_port()
        self._server = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_DATA(self, _server: object, _session: object, envelope: t.Any) -> str:
        """What aiosmtpd calls with a mail."""
        self.taken.append(envelope.content)
        return "250 OK"

    def __enter__(self) -> Mails:
        self._server.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.stop()


class Web:
    """A web server; C(posts) holds path and body, C(gets) paths. What is below /refused is answered with 403."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, bytes]] = []
        self.gets: list[str] = []
        keeper = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                keeper.posts.append((self.path.partition("?")[0], body))
                self._answer()

            def do_GET(self) -> None:
                keeper.gets.append(self.path)
                self._answer()

            def _answer(self) -> None:
                self.send_response(403 if self.path.startswith("/refused") else 200)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Web:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
