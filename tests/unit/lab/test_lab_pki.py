# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Certificates of the lab's own authority, as openssl judges them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from labkit import pki
from labkit.layout import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    made = Lab(tmp_path_factory.mktemp("a checkout"))
    made.make_state()
    pki.ensure_authority(made)
    return made


def verify(lab: Lab, chain: str, folder: Path) -> str:
    """What `openssl verify` says with every strict check switched on."""
    leaf = folder / "leaf.pem"
    leaf.write_text(chain.split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n")
    done = subprocess.run(
        [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-verify_hostname",
            pki.SERVER_NAME,
            "-CAfile",
            str(lab.state / "ca" / "ca.pem"),
            str(leaf),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_good_certificate_passes_the_strict_check(lab: Lab, tmp_path: Path) -> None:
    chain, key = pki.good_certificate(lab, "demo", "10.240.0.10")
    assert ": OK" in verify(lab, chain, tmp_path)
    assert chain.count("BEGIN CERTIFICATE") == 2
    assert "PRIVATE KEY" in key


def test_an_expired_certificate_is_only_expired(lab: Lab, tmp_path: Path) -> None:
    said = verify(lab, pki.expired_certificate(lab, "demo", "10.240.0.10")[0], tmp_path)
    assert "certificate has expired" in said
    assert said.count("error ") <= 2


def test_the_authority_is_made_once_and_closed(lab: Lab) -> None:
    before = (lab.state / "ca" / "ca.pem").read_text()
    pki.ensure_authority(lab)
    assert (lab.state / "ca" / "ca.pem").read_text() == before
    assert (lab.state / "ca" / "ca.key").stat().st_mode & 0o077 == 0


def test_ssh_key_is_made_once(lab: Lab) -> None:
    path = lab.state / "id_ed25519"
    public = pki.ensure_ssh_key(path, "ops")
    assert public.startswith("ssh-ed25519 ")
    assert pki.ensure_ssh_key(path, "other") == public
    assert path.stat().st_mode & 0o077 == 0
