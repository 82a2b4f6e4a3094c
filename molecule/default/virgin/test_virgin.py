# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host on which nothing of ours has ever run."""

from __future__ import annotations

import support

NAME = "molecule-default"
# What a host writes by itself, or by being logged into, whatever we do.
LIVELY = [
    "/var/log",
    "/var/lib/postgresql",
    "/var/lib/redis",
    "/srv/boardroom/logs",
    "/home/ops",
    "/var/lib/systemd",
    "/run",
    "/tmp",
]


def files() -> set[str]:
    """Every file: path, mode, owner, size and time of change."""
    prune: list[str] = []
    for path in LIVELY:
        prune += ["-path", path, "-o"]
    argv = ["find", "/", "-xdev", "(", *prune[:-1], ")", "-prune", "-o", "-printf", "%p %m %U:%G %s %T@ %l\\n"]
    done = support.host(NAME).run(" ".join(["%s"] * len(argv)), *argv)
    assert done.rc == 0, done.stderr
    return set(done.stdout.splitlines())


def test_check_mode_of_prepare_changes_nothing() -> None:
    before = files()
    assert len(before) > 5000
    played = support.play("default", "prepare", "--check", "--diff")
    assert played.rc == 0, played.output
    assert played.recap(NAME)["changed"] >= 1
    after = files()
    assert after ^ before == set()


def test_weekly_says_that_the_host_is_not_prepared() -> None:
    played = support.play("default", "weekly")
    assert played.rc != 0
    assert f"Host {NAME} is not prepared: run playbooks/prepare.yml" in played.output
    assert not support.host(NAME).file(support.STATE).exists
