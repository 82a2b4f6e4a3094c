# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""The content of a report as HTML, Markdown and JSON. All words in it come from hosts and people: all are escaped."""

from __future__ import annotations

import functools
import json
import os
import re
import typing as t

import jinja2
from ansible_collections.boardroom.maintenance.plugins.module_utils._size import format_size
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import format_duration, parse_utc

Content = t.Dict[str, t.Any]

_TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_report_templates")
# Longer texts are folded in HTML, and cut in Markdown; report.json holds them whole.
_LONG = 600
_NONE = "\N{EN DASH}"

VERDICTS = {
    "ok": ("ok", "All well"),
    "warning": ("warning", "Warnings"),
    "failed": ("critical", "Failed"),
    "unfinished": ("critical", "Not finished"),
}
STATES = {
    "done": ("ok", "done"),
    "failed": ("critical", "failed"),
    "not_done": ("critical", "not done"),
    "not_asked": ("none", "not part of this run"),
    "operator": ("person", "by hand"),
    "unknown": ("unknown", "not known"),
}
PHASES = (("pre", "Before"), ("during", "During"), ("post", "After"))

# Control characters and those that turn the direction of text round: they could make a page say what is not there.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MARKDOWN = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
# What makes a list, a heading or a rule of a line when it stands at its beginning.
_MARKDOWN_START = re.compile(r"^(\d{0,9})([.)+-](?= |$)|#{1,6}(?= |$)|=+$|--+$)")
_MENTION = re.compile(r"(?<![\w@])@(?=\w)")


_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_LABELS = {"id": "Set", "bytes": "Size"}
_FIRST_FACTS = ("id", "databases", "bytes", "rows", "tables", "snapshot_time", "started", "finished", "path")
# Modules whose facts only count their findings.
_ALL_IN_FINDINGS = ("health_check",)


class Verbatim(str):
    """Text that is Markdown already."""


def render_json(content: Content) -> str:
    """The content itself, for programs."""
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def render_html(content: Content) -> str:
    """One page that needs nothing but itself: no script, no outside resource."""
    return _environment(autoescape=True, finalize=printable).get_template("report.html.j2").render(**_view(content))


def render_markdown(content: Content) -> str:
    """The same for an issue or a chat."""
    template = _environment(autoescape=False, finalize=escape_markdown).get_template("report.md.j2")
    text = template.render(**_view(content))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def printable(value: t.Any) -> t.Any:
    """Text without characters that are no text; all else as it is."""
    if isinstance(value, str) and _UNPRINTABLE.search(value):
        return type(value)(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", value.replace("\r\n", "\n")))
    return value


def escape_markdown(value: t.Any) -> str:
    """One line of Markdown that shows the value's text and nothing else: no HTML, no table cell, no mention."""
    if isinstance(value, Verbatim):
        return value
    text = " ".join(str(printable(str(value))).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _MARKDOWN.sub(lambda match: "\\" + match.group(), text)
    text = _MARKDOWN_START.sub(lambda match: f"{match.group(1)}\\{match.group(2)}", text)
    return _MENTION.sub("@<!-- -->", text)


def duration(seconds: float) -> str:
    """C(0.4 s), C(42 s), C(1 h 5 min)."""
    return f"{seconds:.1f} s" if 0 < abs(seconds) < 10 else format_duration(seconds)


def measure(value: t.Any, unit: str = "") -> str:
    """A value with its unit, as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        if unit.lower() in ("b", "byte", "bytes"):
            return format_size(value)
        if unit in ("s", "second", "seconds"):
            return duration(value) if value >= 0 else f"-{duration(-value)}"
        number = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")
        word = unit[:-1] if value == 1 and len(unit) > 3 and unit.endswith("s") else unit
        return f"{number}{'' if unit == '%' else ' '}{word}".strip()
    if isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value):
        value = ", ".join(measure(item) for item in value)
    elif isinstance(value, (list, dict)):
        value = json.dumps(value, ensure_ascii=False)
    return f"{value} {unit}".strip()


def moment(text: str) -> str:
    """C(Tue 24 Nov 2026, 02:00:00 UTC)."""
    try:
        return f"{parse_utc(text):%a %-d %b %Y, %H:%M:%S} UTC"
    except ValueError:
        return text or _NONE


def clock(text: str) -> str:
    """C(02:00:00)."""
    try:
        return f"{parse_utc(text):%H:%M:%S}"
    except ValueError:
        return _NONE


def fact(key: str, value: t.Any) -> str:
    """A fact that a step recorded; the end of its name says the unit."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        name = key.lower()
        if name == "bytes" or name.endswith(("_bytes", "size")):
            return format_size(value)
        if name == "seconds" or name.endswith("_seconds"):
            return duration(value)
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return moment(value)
    if isinstance(value, dict):
        return "; ".join(f"{name} {fact(name, item)}" for name, item in value.items()) or _NONE
    return measure(value) or _NONE


def label(key: str) -> str:
    """C(server_version) as C(Server version)."""
    words = re.sub(r"_(bytes|seconds)$", "", key).replace("_", " ").strip()
    return _LABELS.get(key, words[:1].upper() + words[1:])


def _cut(value: t.Any) -> str:
    text = str(value)
    return text if len(text) <= _LONG * 2 else text[: _LONG * 2].rsplit(" ", 1)[0] + " ... (cut; whole in report.json)"


def _quoted(value: t.Any) -> Verbatim:
    # Two spaces at the end break the line.
    return Verbatim("\n".join(f"> {escape_markdown(line)}  " for line in str(value).splitlines()))


def _code(value: t.Any) -> str:
    return Verbatim(f"`{value}`") if re.fullmatch(r"[\w.:/@-]+", str(value)) else str(value)


@functools.lru_cache(maxsize=2)
def _environment(autoescape: bool, finalize: t.Callable[[t.Any], t.Any]) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=autoescape,
        finalize=finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        size=format_size,
        span=duration,
        measure=measure,
        moment=moment,
        clock=clock,
        cut=_cut,
        quoted=_quoted,
        code=_code,
    )
    return environment


def _view(content: Content) -> Content:
    """What both pages show, from what report.json holds."""
    verdict = content["verdict"]
    tone, word = VERDICTS[verdict]
    findings = content["findings"]
    return {
        "report": content,
        "tone": tone,
        "word": word,
        "red": tone == "critical",
        "long": _LONG,
        "states": STATES,
        "attention": [item for item in findings if item["status"] != "ok"],
        "recovered": [item for item in findings if item["recovered"]],
        "fine": [item for item in findings if item["status"] == "ok" and not item["recovered"]],
        "phases": [
            (title, [item for item in content["checklist"] if item["phase"] == phase]) for phase, title in PHASES
        ],
        "timeline": _timeline(content),
        "changes": [step for step in content["steps"] if step["changed"]],
        "facts": _facts(content),
        "largest": _largest(content),
    }


def _timeline(content: Content) -> t.List[Content]:
    """For each host its steps, with their places on a line as long as the longest host's work, in per cent."""
    lanes = []
    for host in content["hosts"]:
        records = [step for step in content["steps"] if step["host"] == host["name"] and step["started"]]
        begin = min((parse_utc(step["started"]).timestamp() for step in records), default=0.0)
        rows: t.Dict[str, Content] = {}
        for step in records:
            name, at = step["step"], step["started"]
            fresh: Content = {"step": name, "at": at, "seconds": 0.0, "failed": False, "changed": False, "bars": []}
            row = rows.setdefault(name, fresh)
            if step["failed"] or not row["failed"]:
                row["msg"] = step["msg"]
            row["seconds"] += step["seconds"]
            row["failed"] = row["failed"] or step["failed"]
            row["changed"] = row["changed"] or step["changed"]
            row["bars"].append((parse_utc(step["started"]).timestamp() - begin, step["seconds"]))
        lanes.append({"host": host, "rows": list(rows.values())})
    every = [row for lane in lanes for row in lane["rows"]]
    length = max((sum(place) for row in every for place in row["bars"]), default=0) or 1
    for row in every:
        row["bars"] = [(round(100 * start / length, 2), round(100 * took / length, 2)) for start, took in row["bars"]]
    return lanes


def _facts(content: Content) -> t.List[Content]:
    """What steps recorded beside findings: each backup set by itself, then for each host what its other steps say."""
    sets: t.List[Content] = []
    others: t.Dict[str, Content] = {}
    for step in content["steps"]:
        if not step["data"] or step["module"] in _ALL_IN_FINDINGS:
            continue
        if step["module"] == "pg_backup":
            block: Content = {
                "title": "Backup set",
                "note": f"{step['host']}, {step['step']}",
                "pairs": [],
                "tables": [],
            }
            sets.append(block)
            prefix = ""
        else:
            fresh: Content = {"title": "Other steps", "note": step["host"], "pairs": [], "tables": []}
            block = others.setdefault(step["host"], fresh)
            prefix = f"{step['step']}: "
        for key, value in sorted(step["data"].items(), key=_fact_place):
            if key == "largest" or value in (None, "", [], {}):
                continue
            if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
                names = list(dict.fromkeys(name for item in value for name in item))
                rows = [[fact(name, item[name]) if name in item else _NONE for name in names] for item in value]
                block["tables"].append(
                    {"title": prefix + label(key), "head": [label(name) for name in names], "rows": rows}
                )
            else:
                block["pairs"].append((prefix + label(key), fact(key, value)))
    return [block for block in (*sets, *others.values()) if block["pairs"] or block["tables"]]


def _fact_place(pair: t.Tuple[str, t.Any]) -> int:
    """The journal sorts its keys by their letters; what a reader looks for comes first."""
    return _FIRST_FACTS.index(pair[0]) if pair[0] in _FIRST_FACTS else len(_FIRST_FACTS)


def _largest(content: Content) -> t.List[Content]:
    """The runbook's size table, as pg_analyze records it: the largest tables of all databases."""
    rows = []
    for step in content["steps"]:
        found = step["data"].get("largest")
        for raw in found if isinstance(found, list) else []:
            if isinstance(raw, dict) and isinstance(raw.get("bytes"), (int, float)):
                name = raw.get("table", raw.get("name", ""))
                rows.append({**raw, "host": step["host"], "table": name, "schema": raw.get("schema", "")})
    rows.sort(key=lambda row: -row["bytes"])
    top = rows[0]["bytes"] if rows else 0
    for row in rows:
        row["share"] = round(100 * row["bytes"] / top, 1) if top else 0
    return rows
