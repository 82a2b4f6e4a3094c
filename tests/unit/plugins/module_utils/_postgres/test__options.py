# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of every module that talks to PostgreSQL."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.boardroom.maintenance.plugins.doc_fragments._postgres import ModuleDocFragment
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _options
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._client import HostClient, Login
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Runner


def validated(**options: t.Any) -> t.Any:
    return ArgumentSpecValidator(_options.ARGUMENTS, required_if=_options.REQUIRED_IF).validate(options)


def test_what_is_documented_is_what_is_taken() -> None:
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert set(documented) == set(_options.ARGUMENTS)
    for name, option in documented.items():
        spec = _options.ARGUMENTS[name]
        assert (option["type"], option.get("default"), option.get("choices")) == (
            spec["type"],
            spec.get("default"),
            spec.get("choices"),
        ), name


def test_what_is_not_given_is_left_to_postgresql() -> None:
    client = _options.client_of(validated().validated_parameters, Runner())
    assert isinstance(client, HostClient)
    assert client.login == Login()


def test_what_is_given_is_what_is_used() -> None:
    given = {
        "login_user": "app",
        "login_password": "p",
        "login_host": "db.example",
        "login_port": 6000,
        "passfile": "/etc/pass",
        "ssl_mode": "verify-full",
        "ca_cert": "/etc/ca.pem",
    }
    client = _options.client_of(validated(**given).validated_parameters, Runner())
    assert client.login == Login("app", "p", "db.example", 6000, "/etc/pass", "verify-full", "/etc/ca.pem")
    assert client.subject == "app at db.example, port 6000"


@pytest.mark.parametrize("client", ["exec", "sibling"])
def test_a_server_in_a_container_must_be_told(client: str) -> None:
    assert "project_src, service" in validated(client=client).error_messages[0]
    assert validated(client=client, project_src="/srv/app", service="db").error_messages == []


def test_the_password_is_one_that_ansible_hides() -> None:
    assert validated(login_password="hunter22")._no_log_values == {"hunter22"}
