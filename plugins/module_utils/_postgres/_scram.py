# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""The verifier that PostgreSQL stores instead of a password (SCRAM-SHA-256), so that the password never travels.

What is computed: RFC 5802, section 3, with SHA-256 as in RFC 7677. How it is written: PostgreSQL's documentation of the
catalogue C(pg_authid), after RFC 5803.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import typing as t

from .._errors import MaintenanceError

# PostgreSQL's own defaults.
ITERATIONS = 4096
SALT_BYTES = 16

_VERIFIER = re.compile(r"^SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+$")


def require_plain(password: str, name: str) -> None:
    """Refuse a password whose bytes depend on how it is normalised (SASLprep, RFC 4013).

    :param name: the option that held it
    :raises MaintenanceError: it is empty, or holds anything but printable ASCII.
    """
    if not password or not all(" " <= sign <= "~" for sign in password):
        raise MaintenanceError(
            f"{name} must be made of printable ASCII characters (letters without accents, digits, punctuation): "
            "programs disagree on how to encode others.",
            "Choose another password.",
        )


def verifier(password: str, iterations: int = ITERATIONS, salt: t.Optional[bytes] = None) -> str:
    """The verifier of a password that is plain (C(require_plain)).

    :param iterations: rounds of hashing
    :param salt: a new one when not given
    """
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    words = [base64.b64encode(part).decode("ascii") for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{words[0]}${words[1]}:{words[2]}"


def fits(password: str, stored: str) -> bool:
    """Whether a stored verifier is that of this password; one of another kind (MD5) never is."""
    match = _VERIFIER.match(stored)
    if match is None:
        return False
    try:
        salt = base64.b64decode(match.group(2), validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(verifier(password, int(match.group(1)), salt), stored)
