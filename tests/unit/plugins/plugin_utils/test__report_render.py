# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's pages, read back as a browser and a Markdown reader read them."""

from __future__ import annotations

import json
import re
import typing as t

import pytest
import report_examples as examples
from ansible_collections.boardroom.maintenance.plugins.plugin_utils import _report_render as render
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._report_judge import opened
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._report_model import Frame, Report
from hypothesis import given, settings
from hypothesis import strategies as st

Close = t.Callable[..., Report]


def seen(text: t.Any) -> str:
    """Text as a page shows it: in one line, without what is no text."""
    return " ".join(str(render.printable(str(text))).split())


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_a_page_is_whole_and_needs_nothing_from_outside(closed: Close, page: t.Any, name: str) -> None:
    source = render.render_html(closed(examples.EXAMPLES[name]()).as_json())
    made = page(source)
    assert made.open == [], "an element is not closed"
    assert "script" not in made.tags
    assert ("html", "lang", "en") in made.attributes
    assert {"header", "main", "footer", "h1"} <= set(made.tags)
    addresses = [value for _tag, attribute, value in made.attributes if attribute in ("src", "href", "action", "data")]
    assert all(address.startswith(("#", "data:image/svg+xml,", "tel:", "mailto:")) for address in addresses)
    assert "@import" not in source
    assert "url(" not in source
    ids = [value for _tag, attribute, value in made.attributes if attribute == "id"]
    assert len(ids) == len(set(ids))
    named = {value for _tag, attribute, value in made.attributes if attribute == "aria-labelledby"}
    assert named <= set(ids)


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_every_table_names_its_columns(closed: Close, page: t.Any, name: str) -> None:
    made = page(render.render_html(closed(examples.EXAMPLES[name]()).as_json()))
    assert made.tags.count("table") == made.tags.count("thead")
    scopes = [value for tag, attribute, value in made.attributes if (tag, attribute) == ("th", "scope")]
    assert len(scopes) == made.tags.count("th") > 0


def test_status_comes_first_and_contacts_only_in_red(closed: Close, page: t.Any, markdown: t.Any) -> None:
    red, good = closed(examples.stopped()).as_json(), closed(examples.green()).as_json()
    text = page(render.render_html(red)).text
    places = [text.index(word) for word in ("Failed", "Alice Founder", "What needs attention", "Checklist")]
    assert places == sorted(places)
    assert "+1 555 0100" in text
    assert "Alice Founder" in markdown(render.render_markdown(red)).text
    assert "Alice Founder" not in render.render_html(good)
    assert "Alice Founder" not in render.render_markdown(good)


def test_a_finding_stands_with_value_bound_remedy_and_steps(closed: Close, page: t.Any, markdown: t.Any) -> None:
    content = closed(examples.stopped()).as_json()
    for text in (page(render.render_html(content)).text, markdown(render.render_markdown(content)).text):
        assert "Measured 1 d 7 h, bound 1 d" in text
        assert "Start it (systemctl start postgresql)" in text
        assert "een by health_before, health_after" in text


def test_what_recovered_is_told(closed: Close, page: t.Any, markdown: t.Any) -> None:
    content = closed(examples.warnings()).as_json()
    for text in (page(render.render_html(content)).text, markdown(render.render_markdown(content)).text):
        assert "Recovered during the run" in text
        assert "Was warning at health_before, 02:00:02: application took 2480 ms." in text


def test_checklist_facts_and_sizes_stand_in_both(closed: Close, page: t.Any, markdown: t.Any) -> None:
    content = closed(examples.stopped()).as_json()
    assert "Backup all data: failed (backup, 02:00:04)" in markdown(render.render_markdown(content)).text
    assert "Backup all data failed · backup, 02:00:04" in page(render.render_html(content)).text
    content = closed(examples.green()).as_json()
    for text in (page(render.render_html(content)).text, markdown(render.render_markdown(content)).text):
        assert "211,402" in text
        assert "14 MB" in text
        assert "meeting_minutes" in text
        assert "Analyzed boardroom_prod." in text


def test_the_broken_run_is_shown(closed: Close, page: t.Any, markdown: t.Any) -> None:
    content = closed(examples.after_killed()).as_json()
    for text in (page(render.render_html(content)).text, markdown(render.render_markdown(content)).text):
        assert examples.BROKEN in text
        assert "Mon 23 Nov 2026, 02:00:02 UTC" in text


def test_a_run_that_has_only_begun_is_red(page: t.Any, markdown: t.Any) -> None:
    content = opened(Frame(**examples.frame(expected_hosts=["app1"]))).as_json()
    for text in (page(render.render_html(content)).text, markdown(render.render_markdown(content)).text):
        assert "Not finished" in text
        assert "Alice Founder" in text
        assert "app1" in text
        assert "All well" not in text
    assert json.loads(render.render_json(content))["verdict"] == "unfinished"


def test_a_note_that_is_html_shows_as_text(closed: Close, page: t.Any, markdown: t.Any) -> None:
    content = closed(examples.green(), notes="Tried <b>by hand</b>.\n\n1. first | second").as_json()
    source = render.render_html(content)
    assert "Tried &lt;b&gt;by hand&lt;/b&gt;." in source
    assert "Tried <b>by hand</b>. 1. first | second" in page(source).text
    assert "Tried <b>by hand</b>. 1. first | second" in markdown(render.render_markdown(content)).text


def test_hostile_text_is_nothing_but_text(closed: Close, page: t.Any, markdown: t.Any) -> None:
    content = closed(examples.hostile()).as_json()
    plain = closed(examples.stopped()).as_json()
    made = page(render.render_html(content))
    assert "script" not in made.tags
    assert "<script>alert(1)</script> | `x`" in made.text
    assert "\x1b" not in made.text
    assert "\u202e" not in made.text
    assert "49" not in made.text
    read = markdown(render.render_markdown(content))
    assert not {"script", "img", "a", "b", "del"} & set(read.tags)
    assert "<script>alert(1)</script> | `x`" in read.text
    # No cell more or less than in a table of harmless words.
    harmless = markdown(render.render_markdown(plain))
    for tag in ("h1", "li", "blockquote"):
        assert read.tags.count(tag) >= harmless.tags.count(tag)
    rows = re.findall(r"^\|.*\|$", render.render_markdown(content), re.MULTILINE)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {2, 5, 6, 7}
    assert re.search(r"@<!-- -->bob", render.render_markdown(content))


def test_huge_texts_stay_readable_and_whole(closed: Close, page: t.Any, markdown: t.Any) -> None:
    run = examples.stopped()
    huge = "line of a traceback\n" * 20_000
    run.hosts["app1"]["records"][3]["findings"][0]["message"] = huge
    run.hosts["app1"]["records"][5]["findings"][0]["message"] = huge
    report = closed(run)
    content = report.as_json()
    assert len(report.summary) < 500
    assert seen(huge) in page(render.render_html(content)).text
    assert "cut; whole in report.json" in render.render_markdown(content)
    assert len(render.render_markdown(content)) < 20_000
    assert json.loads(render.render_json(content))["findings"][0]["message"] == huge


words = st.text(max_size=60) | st.sampled_from(
    [
        "| a | b |",
        "<b>",
        "# x",
        "- x",
        "1. x",
        "```",
        "***",
        "[a](b)",
        "&amp;",
        "\\",
        "_a_b_",
        "~~x~~",
        "\r\n",
        "�",
        "===",
        "----",
        "+",
    ]
)
names = st.from_regex(r"[a-z]{1,6}\.[a-z_]{1,8}", fullmatch=True) | words
values = st.none() | st.integers() | st.floats() | st.booleans() | words | st.lists(st.integers(), max_size=3)
found = st.fixed_dictionaries(
    {
        "check": names,
        "subject": words,
        "status": st.sampled_from(["ok", "warning", "unknown", "critical", "odd"]),
        "value": values,
        "unit": st.sampled_from(["", "s", "ms", "bytes", "%"]) | words,
        "threshold": values,
        "message": words,
        "remedy": words,
    }
)


@settings(max_examples=60, deadline=None)
@given(findings=st.lists(found, max_size=5), others=st.lists(found, max_size=3), failed=st.booleans())
def test_every_finding_appears_in_all_three(
    closed: Close, page: t.Any, markdown: t.Any, findings: t.Any, others: t.Any, failed: bool
) -> None:
    run = examples.two_hosts()
    run.hosts["app1"]["records"][3].update(findings=findings, failed=failed)
    run.hosts["app2"]["records"][5].update(findings=others)
    content = closed(run).as_json()
    html = page(render.render_html(content))
    read = markdown(render.render_markdown(content))
    written = json.loads(render.render_json(content))["findings"]
    assert html.open == [] == read.open
    for host, given_findings in (("app1", findings), ("app2", others)):
        for item in given_findings:
            message = item["message"].encode("utf-8", "surrogatepass").decode("utf-8", "replace")
            status = item["status"] if item["status"] != "odd" else "critical"
            assert [
                one for one in written if (one["host"], one["message"], one["status"]) == (host, message, status)
            ], item
            for shown in (message, item["remedy"] if status != "ok" else "", item["subject"]):
                text = seen(shown.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
                assert text in html.text, "HTML"
                assert text in read.text, "Markdown"


@given(value=words)
def test_escaped_markdown_is_one_paragraph_of_that_text(markdown: t.Any, value: str) -> None:
    text = seen(value.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
    read = markdown(render.escape_markdown(text))
    assert read.tags == (["p"] if text else [])
    assert read.text == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "", ""),
        (0, "", "0"),
        (True, "", "yes"),
        (1234567, "rows", "1,234,567 rows"),
        (1, "containers", "1 container"),
        (38, "ms", "38 ms"),
        (97.25, "%", "97.25%"),
        (14_022_118, "bytes", "14 MB"),
        (0.4, "s", "0.4 s"),
        (112_000, "s", "1 d 7 h"),
        ([200, 204], "", "200, 204"),
        ({"a": [1]}, "", '{"a": [1]}'),
        ("healthy", "", "healthy"),
    ],
)
def test_values_are_written_for_people(value: t.Any, unit: str, text: str) -> None:
    assert render.measure(value, unit) == text


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("bytes", 14_022_118, "14 MB"),
        ("dump_seconds", 5.25, "5.2 s"),
        ("rows", 211_402, "211,402"),
        ("databases", ["a", "b"], "a, b"),
        ("databases", [], "\N{EN DASH}"),
        ("verified", {"level": "decode", "bytes": 1000}, "level decode; bytes 1.0 kB"),
    ],
)
def test_facts_are_written_for_people(key: str, value: t.Any, text: str) -> None:
    assert render.fact(key, value) == text
