# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of programs and threads must leave behind: nothing."""

from __future__ import annotations

import contextlib
import os
import threading
import typing as t

import pytest


@pytest.fixture
def nothing_left() -> t.Iterator[None]:
    """At the end of a test its threads and programs are gone, and no pipe is left open."""
    before, opened = set(threading.enumerate()), pipes()
    yield
    # A client of S3 and the server that it talks to keep theirs.
    kept = ("s3-part", "(serve_forever)", "(process_request_thread)")
    for thread in set(threading.enumerate()) - before:
        if not any(word in thread.name for word in kept):
            thread.join(5)
            assert not thread.is_alive(), thread
    with pytest.raises(ChildProcessError):
        # One that runs still, or was not waited for.
        os.waitpid(-1, os.WNOHANG)
    assert pipes() <= opened


def pipes() -> set[str]:
    """The pipes that this process holds open."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            place = os.readlink(f"/proc/self/fd/{descriptor}")
            if place.startswith("pipe:"):
                found.add(place)
    return found
