# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy in front of an S3 server that does harm when it is told to.

It runs on the host under test with nothing but Python:

    S3PROXY_KEY=id:secret python3 s3proxy.py PORT SERVER:PORT

``PUT /-/rules`` takes a list of rules (see Rule), ``GET /-/log`` gives what was asked since then. Requests go on as
they came, with the client's own signature; only what the proxy itself changes is signed again, with the server's key.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import hmac
import http.client
import http.server
import json
import os
import re
import socket
import struct
import sys
import threading
import time
import typing as t
import urllib.parse

CHUNK = 64 * 1024
# What belongs to one connection, not to the request.
HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length"}
# What would tell the server that a changed body is not the one that was sent.
PROOFS = re.compile(r"^(content-md5|x-amz-checksum-.*|x-amz-sdk-checksum-algorithm|x-amz-trailer|x-amz-decoded-.*)$")


@dataclasses.dataclass
class Rule:
    """One harm, and the requests it is done to.

    :param do: C(answer) with status and code instead of the server; C(cut) the connection when half of the request was
        read; C(hang) and never answer; C(flip) a bit, C(truncate) or C(drop) the body on its way to the server, which
        is told nothing of it; C(flip-answer) or C(truncate-answer) on the way back; C(vanish): what was uploaded is
        deleted at once; C(omit): a listing lacks the keys that match C(keys); C(slow): C(rate) bytes a second;
        C(late): only after C(wait) seconds; C(lose): the server does it, and its answer is lost
    :param method: regular expression of the whole method
    :param path: regular expression found in /bucket/key
    :param query: regular expression found in the query
    :param header: regular expression found in the name of one of its headers, in lower case
    :param lacks: the same, of headers that it must not have
    :param skip: so many requests pass before the first harm
    :param times: so many requests are harmed; 0: all
    :param latch: once it has struck, it strikes every request whatsoever
    """

    do: str
    method: str = ".*"
    path: str = ""
    query: str = ""
    header: str = ""
    lacks: str = ""
    skip: int = 0
    times: int = 0
    latch: bool = False
    status: int = 500
    code: str = "InternalError"
    keys: str = ""
    rate: int = 1_000_000
    wait: float = 0.0
    seen: int = 0
    struck: int = 0

    def strikes(self, method: str, path: str, query: str, headers: str) -> bool:
        """Whether this request is harmed; counts it.

        :param headers: their names, one a line
        """
        if self.latch and self.struck:
            self.struck += 1
            return True
        if not (re.fullmatch(self.method, method) and re.search(self.path, path) and re.search(self.query, query)):
            return False
        if not re.search(self.header, headers, re.M) or (self.lacks and re.search(self.lacks, headers, re.M)):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.times and self.struck >= self.times):
            return False
        self.struck += 1
        return True


class Server(http.server.ThreadingHTTPServer):
    """The proxy's state.

    :param backend: address of the S3 server
    :param key: access key and secret
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, backend: str, key: tuple[str, str]) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.backend = backend
        self.key = key
        self.lock = threading.Lock()
        self.rules: list[Rule] = []
        self.log: list[dict[str, t.Any]] = []
        # Of the parts of an upload: the ETags that the client was given, and those that the server knows.
        self.etags: dict[str, dict[str, str]] = {}

    def rule_for(self, method: str, path: str, query: str, headers: str) -> Rule | None:
        """The first rule that strikes."""
        with self.lock:
            return next((rule for rule in self.rules if rule.strikes(method, path, query, headers)), None)

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that goes away is no event."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Answer(t.NamedTuple):
    """What the server said."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection of a client."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: t.Any) -> None:
        """Say nothing: a header may hold what is secret."""

    def __getattr__(self, name: str) -> t.Any:
        if name.startswith("do_"):
            return self._any
        raise AttributeError(name)

    def _any(self) -> None:
        path, _mark, query = self.path.partition("?")
        path = urllib.parse.unquote(path)
        if path.startswith("/-/"):
            self._control(path)
            return
        rule = self.server.rule_for(self.command, path, query, "\n".join(name.lower() for name in self.headers))
        did = rule.do if rule else ""
        entry: dict[str, t.Any] = {"method": self.command, "path": path, "query": query, "did": did, "status": 0}
        with self.server.lock:
            self.server.log.append(entry)
        self._serve(rule, entry)

    def _control(self, path: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            if self.command == "PUT" and path == "/-/rules":
                self.server.rules = [Rule(**each) for each in json.loads(body)]
                self.server.log = []
            struck = [rule.struck for rule in self.server.rules]
            said = json.dumps({"log": self.server.log, "struck": struck}).encode()
        self._answer(Answer(200, [("Content-Type", "application/json")], said))

    def _serve(self, rule: Rule | None, entry: dict[str, t.Any]) -> None:
        do = rule.do if rule else ""
        length = int(self.headers.get("Content-Length") or 0)
        if do == "cut":
            self.rfile.read(length // 2)
            self._reset()
            return
        body = self._body(length, rule.rate if rule and do == "slow" else 0)
        entry["bytes"] = len(body)
        if do == "hang":
            # Until the client loses patience and goes.
            with contextlib.suppress(OSError):
                self.connection.recv(1)
            self.close_connection = True
            return
        if rule and do == "answer":
            entry["status"] = rule.status
            self._answer(_refusal(rule))
            return
        if rule and do == "late":
            time.sleep(rule.wait)
        if do in ("flip", "truncate", "drop") and length:
            answer = self._altered(do, body)
        else:
            known = self.server.etags.get(self._upload(), {}) if self.command == "POST" else {}
            for given, real in known.items():
                body = body.replace(given.encode(), real.encode())
            answer = self._ask(self.command, self.path, self._signed(body) if known else self._headers(), body)
        if do == "vanish" and answer.status == 200:
            self._ask("DELETE", self.path.partition("?")[0], self._signed(b"", "DELETE"), b"")
        if rule and do == "omit":
            answer = answer._replace(body=_without(answer.body, rule.keys))
        if do in ("flip-answer", "truncate-answer") and answer.status in (200, 206):
            answer = answer._replace(body=_harmed(do.partition("-")[0], answer.body))
        entry["status"] = answer.status
        if do == "lose":
            self._reset()
            return
        self._answer(answer, rule.rate if rule and do == "slow" else 0)

    def _body(self, length: int, rate: int) -> bytes:
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            return b"".join(self._chunks())
        parts = []
        while length:
            part = self.rfile.read(min(length, CHUNK))
            if not part:
                break
            length -= len(part)
            parts.append(part)
            if rate:
                time.sleep(len(part) / rate)
        return b"".join(parts)

    def _chunks(self) -> t.Iterator[bytes]:
        while True:
            size = int(self.rfile.readline().partition(b";")[0], 16)
            part = self.rfile.read(size)
            self.rfile.readline()
            if not size:
                return
            yield part

    def _headers(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower() not in HOP}

    def _upload(self) -> str:
        """The upload in parts that a request belongs to, if any."""
        return "".join(urllib.parse.parse_qs(self.path.partition("?")[2]).get("uploadId", []))

    def _altered(self, do: str, body: bytes) -> Answer:
        """Hand on another body, and answer as if it were this one."""
        if "STREAMING" in (self.headers.get("x-amz-content-sha256") or ""):
            body = _unframed(body)
        given = f'"{hashlib.md5(body).hexdigest()}"'
        if do == "drop":
            return Answer(200, [("ETag", given)], b"")
        harmed = _harmed(do, body)
        answer = self._ask(self.command, self.path, self._signed(harmed), harmed)
        headers = []
        for name, value in answer.headers:
            if name.lower() == "etag":
                self.server.etags.setdefault(self._upload(), {})[given.strip('"')] = value.strip('"')
                headers.append((name, given))
            elif not name.lower().startswith("x-amz-checksum"):
                headers.append((name, value))
        return answer._replace(headers=headers)

    def _signed(self, body: bytes, method: str = "") -> dict[str, str]:
        """The request's headers with a signature of the proxy's own, and no proof of the body (Signature Version 4)."""
        path, _mark, query = self.path.partition("?")
        now = datetime.datetime.now(datetime.timezone.utc)
        scope = f"{now:%Y%m%d}/us-east-1/s3/aws4_request"
        kept = {k.lower(): v for k, v in self._headers().items() if not PROOFS.match(k.lower())}
        if "aws-chunked" in kept.get("content-encoding", ""):
            del kept["content-encoding"]
        kept = {k: v for k, v in kept.items() if k not in ("authorization", "x-amz-security-token")}
        kept["x-amz-date"] = f"{now:%Y%m%dT%H%M%SZ}"
        kept["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
        names = sorted(k for k in kept if k == "host" or k.startswith("x-amz-"))
        pairs = sorted(urllib.parse.parse_qsl("" if method else query, keep_blank_values=True))
        request = [
            method or self.command,
            path,
            urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote, safe="-_.~"),
            *(f"{name}:{kept[name].strip()}" for name in names),
            "",
            ";".join(names),
            kept["x-amz-content-sha256"],
        ]
        hashed = hashlib.sha256("\n".join(request).encode()).hexdigest()
        text = "\n".join(["AWS4-HMAC-SHA256", kept["x-amz-date"], scope, hashed])
        key = ("AWS4" + self.server.key[1]).encode()
        for step in scope.split("/"):
            key = hmac.new(key, step.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        credential = f"{self.server.key[0]}/{scope}"
        kept["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(names)}, Signature={signature}"
        )
        return kept

    def _ask(self, method: str, path: str, headers: t.Mapping[str, str], body: bytes) -> Answer:
        """Ask the server; an error of the way there is the client's as well."""
        backend = http.client.HTTPConnection(self.server.backend, timeout=120)
        try:
            backend.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                backend.putheader(name, value)
            if body or method in ("PUT", "POST"):
                backend.putheader("Content-Length", str(len(body)))
            backend.endheaders(body or None)
            answer = backend.getresponse()
            read = answer.read()
            return Answer(answer.status, answer.getheaders(), read)
        except OSError:
            self._reset()
            raise
        finally:
            backend.close()

    def _answer(self, answer: Answer, rate: int = 0) -> None:
        self.send_response_only(answer.status)
        length = str(len(answer.body))
        for name, value in answer.headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in HOP:
                self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            for at in range(0, len(answer.body), CHUNK):
                part = answer.body[at : at + CHUNK]
                self.wfile.write(part)
                if rate:
                    time.sleep(len(part) / rate)

    def _reset(self) -> None:
        """End the connection as a failing network does."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Nothing is sent any more: what stands in the writer is empty by now.
        self.connection.close()


def _refusal(rule: Rule) -> Answer:
    text = f"<Error><Code>{rule.code}</Code><Message>Told to answer so.</Message></Error>"
    return Answer(rule.status, [("Content-Type", "application/xml")], text.encode())


def _harmed(do: str, body: bytes) -> bytes:
    """A body of which one bit, or the second half, is not what it was."""
    middle = len(body) // 2
    if do == "truncate":
        return body[:middle]
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :] if body else body


def _without(listing: bytes, keys: str) -> bytes:
    """A listing without the objects and common prefixes that match."""

    def kept(found: re.Match[bytes]) -> bytes:
        inside = re.search(rb"<(?:Key|Prefix)>(.*?)</(?:Key|Prefix)>", found.group(), re.DOTALL)
        return b"" if inside and re.search(keys, urllib.parse.unquote(inside.group(1).decode())) else found.group()

    return re.sub(rb"<(Contents|CommonPrefixes)>.*?</\1>", kept, listing, flags=re.DOTALL)


def _unframed(body: bytes) -> bytes:
    """The content of an aws-chunked body."""
    parts = []
    while body:
        size, _end, body = body.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if not length:
            break
        parts.append(body[:length])
        body = body[length + 2 :]
    return b"".join(parts)


def main(arguments: t.Sequence[str]) -> None:
    """Serve until the end."""
    name, _colon, secret = os.environ["S3PROXY_KEY"].partition(":")
    Server(int(arguments[0]), arguments[1], (name, secret)).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
