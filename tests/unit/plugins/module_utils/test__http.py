# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP probe against real servers, the bad ones too."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils import _http
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._http import Request, check, fetch, shown
from hypothesis import given
from hypothesis import strategies as st

Behaviour = Callable[[socket.socket, bytes], None]


@contextlib.contextmanager
def serving(behave: Behaviour, context: ssl.SSLContext | None = None, family: int = socket.AF_INET) -> Iterator[int]:
    """A server whose every connection is handed to `behave`, with the request that it read; yields its port."""
    listening = socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family)
    open_ones: list[socket.socket] = []

    def attend(accepted: socket.socket) -> None:
        with contextlib.suppress(OSError):
            talking = context.wrap_socket(accepted, server_side=True) if context else accepted
            open_ones.append(talking)
            asked = b""
            while b"\r\n\r\n" not in asked:
                piece = talking.recv(4096)
                if not piece:
                    return
                asked += piece
            behave(talking, asked)
            talking.close()

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _address = listening.accept()
                open_ones.append(accepted)
                threading.Thread(target=attend, args=(accepted,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()
        for talking in open_ones:
            talking.close()


def sends(data: bytes) -> Behaviour:
    return lambda talking, asked: talking.sendall(data)


def answer(status: str = "200 OK", body: bytes = b"fine", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def drips(first: bytes, piece: bytes, pause: float = 0.05) -> Behaviour:
    def behave(talking: socket.socket, asked: bytes) -> None:
        talking.sendall(first)
        while True:
            talking.sendall(piece)
            time.sleep(pause)

    return behave


def test_an_answer_has_status_headers_body_and_time() -> None:
    with serving(sends(answer("503 Service Unavailable", b"closed", "Retry-After: 120", "X-A: 1", "X-A: 2"))) as port:
        got = fetch(Request(f"http://127.0.0.1:{port}/x"))
    assert (got.reason, got.status, got.body, got.truncated) == ("", 503, b"closed", False)
    assert got.headers["retry-after"] == "120"
    assert got.headers["x-a"] == "1, 2"
    assert 0 < got.seconds < 5


def test_what_is_sent() -> None:
    heard: list[bytes] = []

    def behave(talking: socket.socket, asked: bytes) -> None:
        heard.append(asked)
        talking.sendall(answer())

    with serving(behave) as port:
        url = f"http://boardroom.test:{port}/a%20b/\u00e9?q=\u00e9&x=1#part"
        got = fetch(Request(url, connect_to=f"127.0.0.1:{port}", headers={"X-Key": "k1", "accept": "application/json"}))
    assert got.status == 200
    lines = heard[0].decode().split("\r\n")
    assert lines[0] == "GET /a%20b/%C3%A9?q=%C3%A9&x=1 HTTP/1.1"
    assert f"Host: boardroom.test:{port}" in lines
    assert "X-Key: k1" in lines
    assert [line for line in lines if line.lower().startswith("accept:")] == ["accept: application/json"]


def test_chunked_and_unlimited_bodies_are_read_up_to_the_bound() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n"
    with serving(sends(chunked)) as port:
        assert fetch(Request(f"http://127.0.0.1:{port}/")).body == b"abcdefg"
        short = fetch(Request(f"http://127.0.0.1:{port}/", max_body=5))
        assert (short.body, short.truncated) == (b"abcde", True)
        exact = fetch(Request(f"http://127.0.0.1:{port}/", max_body=7))
        assert (exact.body, exact.truncated) == (b"abcdefg", False)
    with serving(drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 100_000, 0)) as port:
        flood = fetch(Request(f"http://127.0.0.1:{port}/"))
    assert (flood.status, len(flood.body), flood.truncated) == (200, _http.MAX_BODY, True)


def test_ipv6_by_url_and_by_connect_to() -> None:
    with serving(sends(answer()), family=socket.AF_INET6) as port:
        assert fetch(Request(f"http://[::1]:{port}/")).status == 200
        assert fetch(Request("http://boardroom.test/", connect_to=f"[::1]:{port}")).status == 200


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(
            drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"), id="a byte of the body at a time"
        ),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\n", b"a"), id="a header line that never ends"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n", 0.1), id="headers that never end"),
        pytest.param(drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="continue for ever"),
        pytest.param(lambda talking, asked: time.sleep(10), id="silence"),
    ],
)
def test_the_deadline_holds_against(behave: Behaviour) -> None:
    began = time.monotonic()
    with serving(behave) as port:
        got = fetch(Request(f"http://127.0.0.1:{port}/", timeout=0.4))
    assert got.reason == "timeout", got
    assert "0.4 s" in got.message
    assert time.monotonic() - began < 1.5


def test_a_flood_of_headers_is_no_http() -> None:
    with serving(drips(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n" * 50, 0)) as port:
        assert fetch(Request(f"http://127.0.0.1:{port}/")).reason == "not_http"


def test_a_handshake_that_never_begins_ends_in_time(authority: Authority) -> None:
    with serving(lambda talking, asked: time.sleep(10)) as port:
        got = fetch(Request(f"https://127.0.0.1:{port}/", timeout=0.4, ca_path=authority.ca))
    assert got.reason == "timeout"
    assert got.seconds < 1.5


def test_a_name_that_is_not_resolved_in_time_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [release.wait(10)][:0])
    got = fetch(Request("http://slow.test/", timeout=0.2))
    release.set()
    assert got.reason == "dns"
    assert got.seconds < 1.5


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not_http"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "closed"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 70_000 + b"\r\n\r\n", "not_http"),
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab", "closed"),
    ],
)
def test_what_is_no_whole_answer(data: bytes, reason: str) -> None:
    with serving(sends(data)) as port:
        assert fetch(Request(f"http://127.0.0.1:{port}/")).reason == reason


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    got = fetch(Request(f"http://127.0.0.1:{port}/"))
    assert got.reason == "refused"
    assert f"127.0.0.1 port {port}" in got.message


def test_a_name_that_does_not_exist() -> None:
    assert fetch(Request("http://nobody.invalid/", timeout=10)).reason == "dns"


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9/")
    with serving(sends(answer())) as port:
        assert fetch(Request(f"http://127.0.0.1:{port}/")).status == 200


# Redirects


def redirects_to(location: str, heard: list[bytes] | None = None) -> Behaviour:
    def behave(talking: socket.socket, asked: bytes) -> None:
        if heard is not None:
            heard.append(asked)
        if asked.startswith(b"GET /end "):
            talking.sendall(answer())
        else:
            talking.sendall(answer("302 Found", b"", f"Location: {location}"))

    return behave


def test_a_redirect_is_an_answer_unless_asked_for() -> None:
    with serving(redirects_to("/end")) as port:
        assert fetch(Request(f"http://127.0.0.1:{port}/")).status == 302
        assert fetch(Request(f"http://127.0.0.1:{port}/", redirects=1)).status == 200
    with serving(redirects_to("/again")) as port:
        assert fetch(Request(f"http://127.0.0.1:{port}/", redirects=3)).reason == "redirects"
    with serving(redirects_to("file:///etc/passwd")) as port:
        assert fetch(Request(f"http://127.0.0.1:{port}/", redirects=3)).reason == "redirects"


def test_connect_to_and_secrets_stay_with_the_first_server() -> None:
    there: list[bytes] = []
    here: list[bytes] = []
    with (
        serving(redirects_to("/x", there)) as other,
        serving(redirects_to(f"http://127.0.0.1:{other}/end", here)) as port,
    ):
        request = Request(
            "http://boardroom.test/",
            connect_to=f"127.0.0.1:{port}",
            headers={"Authorization": "Bearer s3cret", "X-Trace": "1"},
            redirects=2,
        )
        assert fetch(request).status == 200
    assert b"s3cret" in here[0]
    assert b"s3cret" not in there[0]
    assert b"X-Trace: 1" in there[0]
    with serving(redirects_to("http://boardroom.test/end")) as port:
        assert fetch(Request("http://boardroom.test/", connect_to=f"127.0.0.1:{port}", redirects=1)).status == 200


# TLS, with an authority made by openssl


class Authority:
    def __init__(self, folder: Path, name: str = "lab") -> None:
        self.folder = folder
        self.ca = str(folder / f"{name}.pem")
        self._key = str(folder / f"{name}.key")
        self._openssl(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
            "-subj",
            f"/CN={name} CA",
            "-keyout",
            self._key,
            "-out",
            self.ca,
        )

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.folder)

    def server(self, name: str, san: str, *dates: str) -> ssl.SSLContext:
        base = self.folder / name
        self._openssl(
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            f"/CN={name}",
            "-keyout",
            f"{base}.key",
            "-out",
            f"{base}.csr",
        )
        (self.folder / "ext").write_text(f"subjectAltName={san}\n", encoding="utf-8")
        (self.folder / "index").write_text("", encoding="utf-8")
        (self.folder / "serial").write_text("01\n", encoding="utf-8")
        (self.folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
            "[p]\ncommonName=supplied\n",
            encoding="utf-8",
        )
        self._openssl(
            "ca",
            "-batch",
            "-config",
            "ca.cnf",
            "-cert",
            self.ca,
            "-keyfile",
            self._key,
            "-in",
            f"{base}.csr",
            "-out",
            f"{base}.pem",
            "-extfile",
            "ext",
            "-notext",
            *(dates or ("-days", "10")),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{base}.pem", f"{base}.key")
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def test_tls_by_name_while_connecting_elsewhere(authority: Authority) -> None:
    context = authority.server("good", "DNS:boardroom.test,IP:127.0.0.1")
    names: list[str | None] = []
    context.sni_callback = lambda talking, name, _context: names.append(name)
    with serving(sends(answer()), context) as port:
        assert (
            fetch(Request("https://boardroom.test/", connect_to=f"127.0.0.1:{port}", ca_path=authority.ca)).status
            == 200
        )
        assert names == ["boardroom.test"]
        assert fetch(Request(f"https://127.0.0.1:{port}/", ca_path=authority.ca)).status == 200
        # An authority that nobody named is not believed.
        unknown = fetch(Request("https://boardroom.test/", connect_to=f"127.0.0.1:{port}"))
        assert unknown.reason == "tls_untrusted"
        other = fetch(Request("https://example.test/", connect_to=f"127.0.0.1:{port}", ca_path=authority.ca))
        assert other.reason == "tls_name"
        assert "example.test" in other.message


@pytest.mark.parametrize(
    ("dates", "reason"),
    [
        (("-startdate", "20200101000000Z", "-enddate", "20200201000000Z"), "tls_expired"),
        (("-startdate", "20900101000000Z", "-enddate", "20900201000000Z"), "tls_not_yet_valid"),
    ],
)
def test_tls_out_of_its_time(authority: Authority, dates: tuple[str, ...], reason: str) -> None:
    context = authority.server("late", "DNS:boardroom.test", *dates)
    with serving(sends(answer()), context) as port:
        got = fetch(Request("https://boardroom.test/", connect_to=f"127.0.0.1:{port}", ca_path=authority.ca))
    assert got.reason == reason


def test_tls_is_asked_of_a_plain_server_and_the_other_way_round(authority: Authority) -> None:
    def plain(talking: socket.socket, asked: bytes) -> None:
        talking.sendall(answer("400 Bad Request"))

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def once() -> None:
            accepted, _address = listening.accept()
            accepted.recv(100)
            plain(accepted, b"")
            accepted.close()

        thread = threading.Thread(target=once)
        thread.start()
        got = fetch(Request(f"https://127.0.0.1:{listening.getsockname()[1]}/", ca_path=authority.ca))
        thread.join()
    assert (got.reason, got.message) == ("tls", "does not speak TLS on that port")
    with serving(sends(answer()), authority.server("good", "IP:127.0.0.1")) as port:
        assert fetch(Request(f"http://127.0.0.1:{port}/")).reason in ("closed", "not_http")


# Bad input


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request("ftp://x/"), "begins with http:// or https://"),
        (Request(""), "an empty text is not a URL"),
        (Request("x.example/health"), "begins with http:// or https://"),
        (Request("http:///health"), "names no host"),
        (Request("http://x:99999/"), "is no URL"),
        (Request("http://x:0/"), "port 0"),
        (Request("http://x/a b"), "%20"),
        (Request("http://x/\r\nHost: y"), "control character"),
        (Request("http://[::1/"), "no URL"),
        (Request("http://" + "a" * 70 + ".test/"), "cannot exist"),
        (Request("http://x/", connect_to="127.0.0.1:http"), "connect_to"),
        (Request("http://x/", connect_to="127.0.0.1:70000"), "connect_to"),
        (Request("http://x/", connect_to="http://127.0.0.1"), "connect_to"),
        (Request("http://x/", timeout=0), "more than 0 and at most 86400 seconds"),
        (Request("https://x/", ca_path="/nonexistent.pem"), "/nonexistent.pem"),
    ],
)
def test_bad_input_is_named(request_: Request, said: str) -> None:
    with pytest.raises(MaintenanceError, match=r"^endpoint a: ") as caught:
        check(request_, "endpoint a")
    assert said in caught.value.message


def test_a_secret_in_bad_input_is_not_shown() -> None:
    with pytest.raises(MaintenanceError) as caught:
        check(Request("http://alice:s3cret@x/"), "endpoint a")
    assert "s3cret" not in caught.value.message
    with pytest.raises(MaintenanceError) as caught:
        check(Request("http://x/", headers={"Authorization": "s3cret\r\nX: y"}), "endpoint a")
    assert "'Authorization'" in caught.value.message
    assert "s3cret" not in caught.value.message
    assert shown("https://u:p@x.test/health?token=s3cret#s3cret") == "https://x.test/health"


@given(st.text(max_size=40), st.text(max_size=20))
def test_any_text_is_asked_or_refused_in_one_sentence(rest: str, place: str) -> None:
    for url in (rest, "http://" + rest, "https://x/" + rest):
        try:
            check(Request(url, connect_to=place), "endpoint a")
        except MaintenanceError as exc:
            assert exc.message.startswith("endpoint a: ")
