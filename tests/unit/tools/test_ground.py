# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment of runs, and pip's settings."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
from labkit.process import LabError
from projectkit import ground


def test_a_users_own_settings_do_not_reach_a_run() -> None:
    own = {
        "ANSIBLE_COLLECTIONS_PATH": "/stale",
        "PYTHONPATH": "/stale",
        "PYTEST_ADDOPTS": "-x",
        "LANG": "de",
        "TERM": "xterm",
    }
    env = ground.environment(own, "/tmp/s")
    assert not {"ANSIBLE_COLLECTIONS_PATH", "PYTHONPATH", "PYTEST_ADDOPTS"} & env.keys()
    assert env["TERM"] == "xterm"
    assert env["ANSIBLE_CONFIG"] == str(ground.ROOT / "ansible.cfg")
    assert env["LC_ALL"] == "C.UTF-8"


def test_everything_that_a_run_writes_lies_in_the_checkout() -> None:
    env = ground.environment({}, "/tmp/s")
    for name in ("ANSIBLE_HOME", "PIP_CACHE_DIR", "UV_CACHE_DIR", "HYPOTHESIS_STORAGE_DIRECTORY"):
        assert Path(env[name]).is_relative_to(ground.CACHE)


def test_pips_settings_are_carried_over() -> None:
    listed = (
        ":env:.cert='/etc/ca.pem'\n:env:.config-file='/dev/null'\nglobal.cert='/old.pem'\n"
        "global.extra-index-url='file:///a\\nfile:///b'\ninstall.user='true'\n"
    )
    parser = configparser.RawConfigParser()
    parser.read_string(ground.pip_settings(listed))
    assert dict(parser["global"]) == {"cert": "/etc/ca.pem", "extra-index-url": "file:///a\nfile:///b"}


def test_no_settings_are_an_empty_section() -> None:
    assert ground.pip_settings("") == "[global]\n"


def test_too_little_disk_says_how_much_is_needed() -> None:
    ground.require_disk(0.0, "nothing")
    with pytest.raises(LabError, match="and the Python environment needs 1e\\+09 GB: make room"):
        ground.require_disk(1e9, "the Python environment")


def test_the_directory_for_sockets_is_short_and_goes_away() -> None:
    with ground.short_directory() as made:
        assert Path(made).is_dir()
    assert not Path(made).exists()
