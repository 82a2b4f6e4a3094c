# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""One bounded question over HTTP or HTTPS: an answer, or the reason why there is none.

Ansible's own client has no limit for the whole exchange: a server that sends a byte a second holds it for ever. Here
every wait, from the name to the last byte, is for what is left of one deadline.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import ipaddress
import os
import re
import socket
import ssl
import threading
import time
import typing as t
import urllib.parse

from ._errors import MaintenanceError

MAX_BODY = 1024 * 1024
MAX_REDIRECTS = 5
_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
_SAFE = "/%:@!$&'()*+,;=~-._?"
_LEAVE_BEHIND = ("authorization", "cookie", "proxy-authorization")
_LONGEST = 86400
_LOADING = threading.Lock()


class Request(t.NamedTuple):
    """What to ask.

    :param timeout: seconds for the whole exchange, redirects included
    :param connect_to: C(address), C(address:port) or C([address]:port) to connect to instead of the URL's own; the name
        in the URL is still what the server is asked for and what its certificate must hold
    :param ca_path: certificate authorities to judge by, a file or a directory; empty: the host's own store
    :param headers: sent beside Host and User-Agent
    :param max_body: bytes of the body to read; the rest is left
    :param redirects: how many redirects to follow
    """

    url: str
    timeout: float = 5.0
    connect_to: str = ""
    ca_path: str = ""
    headers: t.Mapping[str, str] = {}
    max_body: int = MAX_BODY
    redirects: int = 0


class Response(t.NamedTuple):
    """An answer (C(reason) is empty), or why there is none.

    :param reason: dns, refused, unreachable, timeout, closed, not_http, tls_expired, tls_not_yet_valid, tls_untrusted,
        tls_name, tls or redirects
    :param message: the reason in words, to follow "URL " in a sentence
    :param headers: names in lower case
    :param truncated: the body is longer than was asked for
    :param seconds: from the first step to the last byte
    """

    reason: str
    message: str
    status: int = 0
    headers: t.Mapping[str, str] = {}
    body: bytes = b""
    truncated: bool = False
    seconds: float = 0.0


class _NoAnswerError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class _Target(t.NamedTuple):
    scheme: str
    host: str
    port: int
    path: str
    origin: str
    connect_host: str
    connect_port: int


def shown(url: str) -> str:
    """The URL without query, fragment and user, which may hold secrets: fit for messages."""
    try:
        parts = urllib.parse.urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "the URL"
    return urllib.parse.urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def check(request: Request, where: str) -> None:
    """Refuse what cannot be asked, before anything is.

    :param where: names the option in the message, such as C(endpoint application)
    :raises MaintenanceError: the first thing that is wrong.
    """
    try:
        _target(request.url, request.connect_to)
    except ValueError as exc:
        raise MaintenanceError(f"{where}: {exc}") from None
    if not 0 < request.timeout <= _LONGEST:
        raise MaintenanceError(
            f"{where}: timeout is {request.timeout:g}, but must be more than 0 and at most {_LONGEST} seconds."
        )
    for name, value in request.headers.items():
        if not _TOKEN.match(name) or re.search(r"[\r\n\0]", str(value)) or not _latin(str(value)):
            # Not the value: it may be a secret.
            raise MaintenanceError(f"{where}: the header {name!r} has characters that a header cannot have.")
    if request.ca_path:
        try:
            _tls(request.ca_path)
        except (OSError, ssl.SSLError):
            raise MaintenanceError(
                f"{where}: there is no certificate authority to read in ca_path {request.ca_path}.",
                "Give a PEM file on the managed host, or leave ca_path out to use the host's own store.",
            ) from None


def fetch(request: Request, clock: t.Callable[[], float] = time.monotonic) -> Response:
    """Ask once. Certificates are always judged; no proxy is taken from the environment.

    :raises MaintenanceError: the request itself is wrong; see C(check).
    """
    if request.url.startswith("https:"):
        # Reading the authorities takes longer than many an answer, and is not the server's doing; once is enough.
        with _LOADING, contextlib.suppress(OSError):
            _tls(request.ca_path)
    began = clock()
    deadline = _Deadline(began + request.timeout, clock)
    try:
        response = _follow(request, deadline)
    except _NoAnswerError as exc:
        response = Response(exc.reason, exc.message)
    except _OutOfTimeError:
        response = Response("timeout", f"did not answer completely within {request.timeout:g} s")
    return response._replace(seconds=clock() - began)


def _follow(request: Request, deadline: _Deadline) -> Response:
    try:
        target = _target(request.url, request.connect_to)
    except ValueError as exc:
        raise MaintenanceError(f"{exc}") from None
    first, url, headers = target.origin, request.url, dict(request.headers)
    for _hop in range(request.redirects + 1):
        response = _ask(target, headers, request, deadline)
        location = response.headers.get("location", "")
        if not request.redirects or response.status not in (301, 302, 303, 307, 308) or not location:
            return response
        url = urllib.parse.urljoin(url, location)
        try:
            target = _target(url, "")
        except ValueError:
            raise _NoAnswerError("redirects", "redirects to something that is no HTTP URL") from None
        if target.origin == first:
            target = _target(url, request.connect_to)
        else:
            # What was meant for one server is not told to another.
            headers = {k: v for k, v in headers.items() if k.lower() not in (*_LEAVE_BEHIND, "host")}
    raise _NoAnswerError("redirects", f"redirects more than {request.redirects} times")


def _ask(target: _Target, headers: t.Mapping[str, str], request: Request, deadline: _Deadline) -> Response:
    connected = _connect(target, deadline)
    try:
        if target.scheme == "https":
            connected = _shake_hands(connected, target, request.ca_path, deadline)
        connected.settimeout(deadline.left())
        connected.sendall(_head(target, headers))
        return _read(connected, request.max_body, deadline)
    except (socket.timeout, TimeoutError):
        raise _OutOfTimeError from None
    except (ConnectionError, http.client.RemoteDisconnected, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        raise _NoAnswerError("closed", "closed the connection before its answer was complete") from None
    except http.client.IncompleteRead:
        raise _NoAnswerError("closed", "closed the connection in the middle of its answer") from None
    except (http.client.HTTPException, ValueError):
        raise _NoAnswerError("not_http", "does not answer in HTTP") from None
    except ssl.SSLError as exc:
        raise _tls_reason(exc) from None
    except OSError as exc:
        raise _NoAnswerError("closed", f"broke the connection: {exc.strerror or exc}") from None
    finally:
        connected.close()


def _connect(target: _Target, deadline: _Deadline) -> socket.socket:
    addresses = _resolve(target.connect_host, target.connect_port, deadline)
    place = f"{target.connect_host} port {target.connect_port}"
    problem = _NoAnswerError("unreachable", f"has no address at {place}")
    for number, (family, address) in enumerate(addresses):
        connecting = socket.socket(family, socket.SOCK_STREAM)
        try:
            # An address that swallows packets leaves the others their share of the time.
            connecting.settimeout(deadline.left() / (len(addresses) - number))
            connecting.connect(address)
            return connecting
        except (socket.timeout, TimeoutError):
            problem = _NoAnswerError("timeout", f"did not accept a connection at {place} in time")
        except ConnectionRefusedError:
            problem = _NoAnswerError(
                "refused", f"cannot be reached: {place} refuses the connection; nothing listens there"
            )
        except OSError as exc:
            problem = _NoAnswerError("unreachable", f"cannot be reached at {place}: {exc.strerror or exc}")
        except BaseException:
            connecting.close()
            raise
        connecting.close()
    raise problem


def _resolve(host: str, port: int, deadline: _Deadline) -> t.List[t.Tuple[int, t.Any]]:
    """Addresses of a name. The system's resolver knows no limit, so it works in a thread that may be left behind."""
    found: t.List[t.Tuple[int, t.Any]] = []
    problem: t.List[str] = []

    def ask() -> None:
        try:
            for family, _kind, _protocol, _name, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append((family, address))
        except (OSError, UnicodeError) as exc:
            problem.append(getattr(exc, "strerror", "") or str(exc))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(deadline.left())
    if thread.is_alive():
        raise _NoAnswerError("dns", f"cannot be reached: the name {host} was not resolved in time")
    if problem or not found:
        raise _NoAnswerError(
            "dns", f"cannot be reached: the name {host} is unknown ({''.join(problem) or 'no address'})"
        )
    return found


@functools.cache
def _tls(ca_path: str) -> ssl.SSLContext:
    # Only the given authorities count, where some are given.
    folder = os.path.isdir(ca_path)
    context = ssl.create_default_context(
        cafile=ca_path if ca_path and not folder else None, capath=ca_path if folder else None
    )
    # Python 3.13 also refuses certificates for flaws that nginx, curl and browsers pass over (a private authority
    # without keyUsage); a probe must see what visitors see.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    return context


def _shake_hands(connected: socket.socket, target: _Target, ca_path: str, deadline: _Deadline) -> socket.socket:
    try:
        context = _tls(ca_path)
    except OSError:
        raise _NoAnswerError("tls", f"cannot be judged: {ca_path} cannot be read") from None
    connected.settimeout(deadline.left())
    try:
        return context.wrap_socket(connected, server_hostname=target.host)
    except ssl.SSLEOFError:
        raise _NoAnswerError("closed", "closed the connection during the TLS handshake") from None
    except ssl.SSLError as exc:
        if "timed out" in str(exc):
            raise _OutOfTimeError from None
        raise _tls_reason(exc) from None


def _tls_reason(exc: ssl.SSLError) -> _NoAnswerError:
    if isinstance(exc, ssl.SSLCertVerificationError):
        said = exc.verify_message
        if exc.verify_code == 10:
            return _NoAnswerError("tls_expired", "has a certificate that has expired")
        if exc.verify_code == 9:
            return _NoAnswerError("tls_not_yet_valid", "has a certificate that is not valid yet")
        if exc.verify_code in (62, 64):
            return _NoAnswerError("tls_name", f"has a certificate for another name: {said}")
        if exc.verify_code in (2, 18, 19, 20, 21):
            return _NoAnswerError("tls_untrusted", f"has a certificate of an unknown authority: {said}")
        return _NoAnswerError("tls", f"has a certificate that cannot be trusted: {said}")
    if exc.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return _NoAnswerError("tls", "does not speak TLS on that port")
    return _NoAnswerError("tls", f"fails in TLS: {(exc.reason or str(exc)).replace('_', ' ').lower()}")


def _head(target: _Target, headers: t.Mapping[str, str]) -> bytes:
    default = {
        "Host": target.origin.partition("://")[2],
        "User-Agent": "boardroom-maintenance",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    own = {str(name).lower() for name in headers}
    fields = {**{k: v for k, v in default.items() if k.lower() not in own}, **headers}
    lines = [f"GET {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _read(connected: socket.socket, max_body: int, deadline: _Deadline) -> Response:
    answer = http.client.HTTPResponse(t.cast(socket.socket, _Reading(connected, deadline)), method="GET")
    try:
        answer.begin()
        body = answer.read(max_body + 1)
        if len(body) <= max_body and answer.length:
            raise http.client.IncompleteRead(b"", answer.length)
        headers: t.Dict[str, str] = {}
        for name, value in answer.getheaders():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        return Response("", "", answer.status, headers, body[:max_body], len(body) > max_body)
    finally:
        answer.close()


class _OutOfTimeError(Exception):
    pass


class _Deadline:
    def __init__(self, at: float, clock: t.Callable[[], float]) -> None:
        self._at = at
        self._clock = clock

    def left(self) -> float:
        """Seconds that are left, more than 0.

        :raises _OutOfTimeError: none are.
        """
        left = self._at - self._clock()
        if left <= 0:
            raise _OutOfTimeError
        return left


class _Reading(io.RawIOBase):
    """A socket to read from, each wait no longer than what is left; shaped as http.client wants it."""

    def __init__(self, connected: socket.socket, deadline: _Deadline) -> None:
        self._socket = connected
        self._deadline = deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        """What http.client asks of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        self._socket.settimeout(self._deadline.left())
        return self._socket.recv_into(buffer)


def _target(url: str, connect_to: str) -> _Target:
    """Take a URL apart.

    :raises ValueError: it cannot be asked, with the reason as a sentence.
    """
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError("the URL has a space or a control character in it; write a space as %20.")
    try:
        parts = urllib.parse.urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError as exc:
        raise ValueError(f"{shown(url)} is no URL: {exc}.") from None
    if parts.scheme not in _PORTS:
        raise ValueError(f"{shown(url) or 'an empty text'} is not a URL that begins with http:// or https://.")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "the URL holds a user or password; give them in headers (Authorization), which are never shown."
        )
    if not host:
        raise ValueError(f"{shown(url)} names no host.")
    host = _ascii(host, url)
    path = urllib.parse.quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        path += "?" + urllib.parse.quote(parts.query, safe=_SAFE)
    bracketed = f"[{host}]" if ":" in host else host
    usual = _PORTS[parts.scheme]
    number = usual if port is None else port
    if not 0 < number < 65536:
        raise ValueError(f"{shown(url)} has the port {number}, which does not exist.")
    origin = f"{parts.scheme}://{bracketed}" + ("" if number == usual else f":{number}")
    connect_host, connect_port = _place(connect_to, number) if connect_to else (host, number)
    return _Target(parts.scheme, host, number, path, origin, connect_host, connect_port)


def _place(text: str, default_port: int) -> t.Tuple[str, int]:
    wrong = ValueError(f"connect_to is {text!r}, but must be address:port, such as 127.0.0.1:443 or [::1]:443.")
    match = re.match(r"^(?:\[([0-9a-fA-F:.%]+)\]|([^\s:\[\]/@]+))(?::(\d{1,5}))?$", text)
    if match:
        port = int(match.group(3)) if match.group(3) else default_port
        if not 0 < port < 65536:
            raise wrong
        return match.group(1) or match.group(2), port
    try:
        return str(ipaddress.IPv6Address(text)), default_port
    except ValueError:
        raise wrong from None


def _ascii(host: str, url: str) -> str:
    try:
        return host if ":" in host else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError(f"{shown(url)} names a host that cannot exist.") from None


def _latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeError:
        return False
    return True
