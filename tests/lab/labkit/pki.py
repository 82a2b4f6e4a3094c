# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Keys of the lab: certificate authority, server certificates, SSH keys, made by openssl and ssh-keygen."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from labkit.layout import Lab
from labkit.process import run

SERVER_NAME = "boardroom.test"
CA_DAYS = 3650
SERVER_DAYS = 90

CA_CONFIG = """\
[ca]
default_ca = lab
[lab]
database = {work}/index.txt
new_certs_dir = {work}
serial = {work}/serial
default_md = sha256
policy = anything
unique_subject = no
[anything]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
CN = {common_name}
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


def ensure_authority(lab: Lab) -> None:
    """Make the lab's certificate authority (.lab/ca/ca.pem and ca.key) unless it exists."""
    folder = lab.state / "ca"
    if (folder / "ca.pem").exists():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="boardroom-lab-") as work:
        config = Path(work) / "openssl.cnf"
        config.write_text(
            CA_CONFIG.format(work=work, common_name=f"Boardroom lab {lab.id} CA", names="DNS:unused.invalid")
        )
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(folder / "ca.key")])
        run(
            [
                "openssl",
                "req",
                "-x509",
                "-new",
                "-key",
                str(folder / "ca.key"),
                "-sha256",
                "-days",
                str(CA_DAYS),
                "-config",
                str(config),
                "-extensions",
                "authority",
                "-out",
                str(folder / "ca.pem.new"),
            ]
        )
    (folder / "ca.key").chmod(0o600)
    (folder / "ca.pem.new").rename(folder / "ca.pem")


def issue(lab: Lab, names: list[str], *, not_before: datetime, not_after: datetime) -> tuple[str, str]:
    """A server certificate of the lab's authority for the subject alternative names ("DNS:x", "IP:y").

    Returns the certificate chain and the private key, both PEM.
    """
    with tempfile.TemporaryDirectory(prefix="boardroom-lab-") as work:
        folder = Path(work)
        config = folder / "openssl.cnf"
        config.write_text(CA_CONFIG.format(work=work, common_name=SERVER_NAME, names=", ".join(names)))
        (folder / "index.txt").touch()
        key, request, certificate = folder / "key.pem", folder / "request.pem", folder / "certificate.pem"
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key)])
        run(["openssl", "req", "-new", "-key", str(key), "-config", str(config), "-out", str(request)])
        # "ca" instead of "x509 -req": it alone takes a validity that lies in the past.
        run(
            [
                "openssl",
                "ca",
                "-batch",
                "-notext",
                "-config",
                str(config),
                "-extensions",
                "server",
                "-rand_serial",
                "-cert",
                str(lab.state / "ca" / "ca.pem"),
                "-keyfile",
                str(lab.state / "ca" / "ca.key"),
                "-startdate",
                not_before.strftime("%Y%m%d%H%M%SZ"),
                "-enddate",
                not_after.strftime("%Y%m%d%H%M%SZ"),
                "-in",
                str(request),
                "-out",
                str(certificate),
            ]
        )
        return certificate.read_text() + (lab.state / "ca" / "ca.pem").read_text(), key.read_text()


def server_names(name: str, address: str) -> list[str]:
    """Every name a host of the lab is called by."""
    return [f"DNS:{SERVER_NAME}", f"DNS:{name}", "DNS:localhost", f"IP:{address}", "IP:127.0.0.1"]


def good_certificate(lab: Lab, name: str, address: str) -> tuple[str, str]:
    """A certificate that is valid now, as a host gets it when it is made."""
    now = datetime.now(UTC)
    return issue(
        lab,
        server_names(name, address),
        not_before=now - timedelta(days=1),
        not_after=now + timedelta(days=SERVER_DAYS),
    )


def expired_certificate(lab: Lab, name: str, address: str) -> tuple[str, str]:
    """A certificate that ended yesterday."""
    now = datetime.now(UTC)
    return issue(
        lab,
        server_names(name, address),
        not_before=now - timedelta(days=SERVER_DAYS),
        not_after=now - timedelta(days=1),
    )


def ensure_ssh_key(path: Path, comment: str) -> str:
    """Make an Ed25519 key pair at path unless it exists. Returns the public key's line."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
    return Path(f"{path}.pub").read_text().strip()
