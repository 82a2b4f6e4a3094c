# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our verifier is PostgreSQL's own, and that of RFC 7677."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _scram

PASSWORD = "correct horse; \"battery\" 'staple' \\ ~"
# What two servers stored (pg_authid.rolpassword) after ALTER ROLE ... PASSWORD with that password in clear.
STORED = {
    "17.12": "SCRAM-SHA-256$4096:hr1X8uORoufxnPaelLYkJw==$B1p8/2HlmDKYpUMe0gXQIwUtOC4/hkU+W2/piRYz+5U="
    ":uHULKLcQLLQDx5C0UOJkMSKU+fSIwdPLhzEsSaz3Img=",
    "15.20": "SCRAM-SHA-256$4096:XkWj2yqf4+MhoyH6QiJFPw==$uki6Btub5Kc1NaE+UdtJzZbMyspCfaKZlFJmA5O/2/w="
    ":pJJ72YuqJhBtJ7YdD95o+CwycshqPzVKFXzLbhVEWbE=",
}


@pytest.mark.parametrize("version", STORED)
def test_what_a_server_stored_is_computed_again_to_the_letter(version: str) -> None:
    stored = STORED[version]
    salt = base64.b64decode(stored.split("$")[1].partition(":")[2])
    assert _scram.verifier(PASSWORD, 4096, salt) == stored
    assert _scram.fits(PASSWORD, stored)
    assert not _scram.fits(PASSWORD + " ", stored)


def test_the_keys_are_those_of_the_example_in_rfc_7677() -> None:
    """The proof and the server's signature of that exchange follow from them."""
    made = _scram.verifier("pencil", 4096, base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    stored_key, server_key = (base64.b64decode(word) for word in made.split("$")[2].split(":"))
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    exchange = (f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}").encode()
    signature = hmac.digest(server_key, exchange, "sha256")
    assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client_key = bytes(a ^ b for a, b in zip(proof, hmac.digest(stored_key, exchange, "sha256"), strict=True))
    assert hashlib.sha256(client_key).digest() == stored_key


def test_each_verifier_has_a_salt_of_its_own_and_the_iterations_that_are_asked_for() -> None:
    made = {_scram.verifier("secret", 5000) for _time in range(3)}
    assert len(made) == 3
    assert all(each.startswith("SCRAM-SHA-256$5000:") and _scram.fits("secret", each) for each in made)


@pytest.mark.parametrize(
    "stored",
    ["", "secret", "md5abd877fbbafb1c8e9dc5f3a7a35cd6ab", "SCRAM-SHA-256$4096:a$b:c", "SCRAM-SHA-256$4096:=$=:="],
)
def test_what_is_no_verifier_fits_no_password(stored: str) -> None:
    assert not _scram.fits("secret", stored)


@pytest.mark.parametrize("password", ["", "pässword", "tab\there", "line\n", "soft\u00adhyphen", "del\x7f"])
def test_a_password_that_programs_would_encode_in_more_than_one_way_is_refused(password: str) -> None:
    with pytest.raises(MaintenanceError, match="password must be made of printable ASCII characters"):
        _scram.require_plain(password, "password")
    _scram.require_plain(PASSWORD, "password")
