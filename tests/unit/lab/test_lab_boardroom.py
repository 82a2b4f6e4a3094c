# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""The sample application's repository is the same everywhere; its generator writes what it should."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from labkit.layout import LAB_SOURCE

SOURCE = LAB_SOURCE / "boardroom"


def load(name: str) -> ModuleType:
    """A script of the application's folder as a module."""
    spec = importlib.util.spec_from_file_location(name, SOURCE / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


repository = load("make_repository")
generate = load("generate")
TAGS = [release.tag for release in repository.HISTORY]


def git(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        ["git", f"--git-dir={folder}", *arguments], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("repository") / "boardroom.git"
    repository.make(target)
    return target


def test_every_release_is_tagged_and_says_its_name(made: Path) -> None:
    assert sorted(git(made, "tag").splitlines()) == sorted(TAGS)
    for tag in TAGS:
        assert git(made, "show", f"{tag}:VERSION") == tag
        assert f"## {tag} " in git(made, "show", f"{tag}:CHANGELOG.md")
    assert git(made, "fsck", "--strict") == ""


def test_the_hashes_depend_on_the_sources_alone(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = tmp_path / "gitconfig"
    hostile.write_text(
        "[user]\nname = X\nemail = x@x.example\n[init]\ndefaultBranch = odd\ndefaultObjectFormat = sha256\n"
        "[core]\nautocrlf = true\n[commit]\ngpgSign = true\n[tag]\ngpgSign = true\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(hostile))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "X")
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    again = tmp_path / "two words" / "again.git"
    again.parent.mkdir()
    done = subprocess.run(
        [sys.executable, str(SOURCE / "make_repository.py"), str(again)], check=False, cwd=tmp_path, umask=0o077
    )
    assert done.returncode == 0
    monkeypatch.delenv("GIT_DIR")
    assert git(again, "show-ref") == git(made, "show-ref")
    assert git(again, "symbolic-ref", "HEAD") == "refs/heads/main"


def test_an_existing_repository_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    script = str(SOURCE / "make_repository.py")
    done = subprocess.run([sys.executable, script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("exists")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_hosts_run_a_release_that_has_a_newer_one(made: Path) -> None:
    current = (SOURCE / "RELEASE").read_text().strip()
    assert current in TAGS
    assert git(made, "describe", "main") == "v1.4.0" != current
    assert git(made, "merge-base", "--is-ancestor", current, "main") == ""


def test_the_broken_release_differs_in_its_health_only(made: Path) -> None:
    changed = git(made, "diff", "--name-only", "v1.4.0", "broken").splitlines()
    assert sorted(changed) == ["CHANGELOG.md", "VERSION", "app/health.py"]
    assert "broken" not in git(made, "log", "--format=%D", "main")


def test_secrets_and_data_stay_out_of_the_repository(made: Path) -> None:
    names = git(made, "ls-tree", "-r", "--name-only", "main").splitlines()
    assert {".gitignore", ".dockerignore", "docker-compose.yml", "docker-compose.contained.yml"} <= set(names)
    assert not [name for name in names if name.startswith((".env", "logs", "uploads"))]
    assert "lab-" not in git(made, "grep", "-h", "-i", "-e", "secret", "-e", "password", "main")
    assert "/.env*" in git(made, "show", "main:.gitignore").splitlines()


def test_the_migrations_are_one_chain_that_every_release_extends(made: Path) -> None:
    seen: list[str] = []
    for tag in (tag for tag in TAGS if tag != "broken"):
        names = git(made, "ls-tree", "--name-only", tag, "migrations/versions/").splitlines()
        assert names[: len(seen)] == seen
        assert len(names) > len(seen)
        seen = names
    previous = "None"
    for name in seen:
        text = git(made, "show", f"main:{name}")
        assert re.findall(r"^down_revision = (.*)$", text, re.MULTILINE) == [previous]
        previous = re.findall(r"^revision = (.*)$", text, re.MULTILINE)[0]
    assert len(seen) >= 4


def test_only_the_first_compose_file_publishes_a_port(made: Path) -> None:
    outside = yaml.safe_load(git(made, "show", "main:docker-compose.yml"))["services"]
    inside = yaml.safe_load(git(made, "show", "main:docker-compose.contained.yml"))["services"]
    assert outside["app"]["ports"] == ["127.0.0.1:8000:8000"]
    assert set(inside) == {"app", "db", "cache"}
    assert not [name for name, service in inside.items() if "ports" in service]
    assert all("healthcheck" in service for service in [*outside.values(), *inside.values()])


# The generator


def sql(number: int, base: int = 0) -> str:
    return "".join(generate.batch(number, dict.fromkeys(generate.COUNTS, base)))


def rows(text: str) -> Iterator[tuple[str, list[str]]]:
    """Table and lines of every COPY of a batch."""
    for found in re.finditer(r"^COPY (\w+) \(([^)]*)\) FROM stdin;\n(.*?)^\\\.$", text, re.MULTILINE | re.DOTALL):
        lines = found[3].splitlines()
        assert {line.count("\t") for line in lines} == {found[2].count(",")}, found[1]
        yield found[1], lines


def test_the_same_batch_is_the_same_everywhere() -> None:
    # Hosts fill themselves with their own Python (3.11, 3.13). Whoever changes the generator changes this line, too.
    assert hashlib.sha256(sql(0).encode()).hexdigest()[:16] == "8cb7bc323ea9a790"


def test_batches_differ_and_are_transactions() -> None:
    assert sql(1) != sql(2)
    for number in (0, 1):
        text = sql(number)
        assert text.startswith("BEGIN;\n")
        assert text.endswith("COMMIT;\n")
        assert text.count("\nBEGIN") == 0


def test_every_table_gets_its_rows_with_numbers_after_the_base() -> None:
    found = dict(rows(sql(1, 5000)))
    found["users"] = found.pop("fresh_users")
    for table, count in generate.COUNTS.items():
        numbers = [int(line.split("\t")[0]) for line in found[table]]
        assert numbers == list(range(5001, 5001 + count)), table
    authors = {int(line.split("\t")[2]) for line in found["documents"]}
    assert authors <= set(range(5001, 5001 + generate.COUNTS["users"]))


def test_a_comment_answers_an_earlier_one() -> None:
    answers = [line.split("\t") for line in dict(rows(sql(1)))["comments"]]
    assert all(int(parent) == int(number) - 1 for number, _document, parent, *_rest in answers if parent != r"\N")
    assert sum(parent != r"\N" for _number, _document, parent, *_rest in answers) == 750


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, r"\N"),
        ("", ""),
        (r"\N", r"\\N"),
        (r"\.", r"\\."),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        (True, "t"),
        (b"\x00\xff", r"\\x00ff"),
        ({"a": 'é"\n'}, r'{"a": "é\\"\\n"}'),
        (7, "7"),
    ],
)
def test_values_in_the_text_format_of_copy(value: object, written: str) -> None:
    assert generate.field(value) == written


def test_strange_texts_reach_the_database_as_they_are() -> None:
    bodies = [line.split("\t")[4] for line in dict(rows(sql(3)))["comments"]][: len(generate.STRANGE)]
    unescape = {r"\\": "\\", r"\n": "\n", r"\t": "\t", r"\r": "\r"}
    assert tuple(re.sub(r"\\[\\ntr]", lambda m: unescape[m[0]], body) for body in bodies) == generate.STRANGE


def test_the_data_compress_as_business_data_do() -> None:
    text = sql(1).encode()
    assert 2.2 < len(text) / len(zlib.compress(text, 6)) < 4
    assert 3.5e6 < len(text) < 5e6


def test_months() -> None:
    assert [generate.first_of_month(n) for n in (0, 11, 12, 24)] == [
        "2023-01-01",
        "2023-12-01",
        "2024-01-01",
        "2025-01-01",
    ]
