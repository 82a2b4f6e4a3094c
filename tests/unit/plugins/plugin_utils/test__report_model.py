# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values from Ansible and from journals, made plain."""

from __future__ import annotations

import json
import typing as t

import report_examples as examples
from ansible.template import trust_as_template
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._report_model import Finding, Step, plain
from hypothesis import given
from hypothesis import strategies as st


def test_tagged_values_of_ansible_become_plain() -> None:
    made = plain({trust_as_template("key"): [trust_as_template("{{ x }}"), 1, None, True, 1.5]})
    assert made == {"key": ["{{ x }}", 1, None, True, 1.5]}
    assert [type(item) for item in (*made, *made["key"])] == [str, str, int, type(None), bool, float]


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(value=json_like)
def test_anything_becomes_strict_json(value: t.Any) -> None:
    made = plain(value)
    text = json.dumps(made, allow_nan=False, ensure_ascii=False)
    assert json.loads(text.encode("utf-8")) == made


def test_nesting_has_an_end() -> None:
    deep: t.Any = "end"
    for _level in range(500):
        deep = [deep]
    json.dumps(plain(deep))


@given(raw=st.dictionaries(st.sampled_from(list(examples.record("a", "b", 0, 1, "c"))), json_like))
def test_any_record_can_be_read(raw: t.Any) -> None:
    step = Step.read(raw, "app1")
    assert step.step
    assert step.seconds >= 0
    assert all(isinstance(item, Finding) for item in step.findings)
