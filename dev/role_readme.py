#!/usr/bin/env python3
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes each role's README.md from its meta/argument_specs.yml and meta/main.yml.

`.venv/bin/python dev/role_readme.py` writes them; `--check` writes nothing and fails, naming each file that is not up to date.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import sys
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
VERBS = ("main", "preflight", "backup", "freeze", "migrate", "verify", "commit", "rollback")


def render(role: str, specs: dict[str, Any], description: str) -> str:
    """The README of one role, from its argument specs (entry point → spec)."""
    entries = sorted(specs, key=lambda name: (VERBS.index(name) if name in VERBS else len(VERBS), name))
    lines = [f"# dihya.migration.{role}", "", plain(description), "",
             "<!-- Written by dev/role_readme.py from meta/argument_specs.yml: change that file, not this one. -->", "",
             "## Entry points", "", "| `tasks_from` | what it does |", "| --- | --- |"]
    lines += [f"| `{entry}` | {cell(summary(specs[entry]))} |" for entry in entries]
    options = merge(specs, entries)
    if options:
        lines += ["", "## Variables", "", "| variable | type | default | used by | meaning |", "| --- | --- | --- | --- | --- |"]
        lines += [row(name, option, used, len(entries)) for name, (option, used) in options.items()]
    for name, (option, _used) in options.items():
        if option.get("options"):
            lines += suboptions(name, option["options"])
    return "\n".join(lines) + "\n"


def merge(specs: dict[str, Any], entries: list[str]) -> dict[str, tuple[dict[str, Any], list[str]]]:
    """Every option once, required ones first, with the entry points that take it."""
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for entry in entries:
        for name, option in (specs[entry].get("options") or {}).items():
            found.setdefault(name, (option, []))[1].append(entry)
    return dict(sorted(found.items(), key=lambda item: (not item[1][0].get("required"), item[0])))


def row(name: str, option: dict[str, Any], used: list[str], entries: int) -> str:
    """One line of the table of variables."""
    where = "all" if len(used) == entries else ", ".join(f"`{entry}`" for entry in used)
    return f"| `{name}` | {kind(option)} | {default(option)} | {where} | {meaning(option)} |"


def suboptions(name: str, options: dict[str, Any]) -> list[str]:
    """A table for the keys of a dictionary variable, and for theirs."""
    lines = ["", f"### `{name}`", "", "| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    lines += [f"| `{key}` | {kind(option)} | {default(option)} | {meaning(option)} |" for key, option in options.items()]
    for key, option in options.items():
        if option.get("options"):
            lines += suboptions(f"{name}.{key}", option["options"])
    return lines


def kind(option: dict[str, Any]) -> str:
    """Type of an option as a reader says it."""
    name = option.get("type", "str")
    return f"list of {option.get('elements', 'str')}" if name == "list" else name


def default(option: dict[str, Any]) -> str:
    """Default of an option, or that it is required."""
    if option.get("required"):
        return "**required**"
    value = option.get("default")
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "`" + text.replace("|", "\\|") + "`" if text else "`''`"


def meaning(option: dict[str, Any]) -> str:
    """Description, and the choices when there are any."""
    text = cell(option.get("description") or "")
    choices = option.get("choices")
    return f"{text} One of {', '.join(f'`{choice}`' for choice in choices)}.".strip() if choices else text


def summary(spec: dict[str, Any]) -> str:
    """What an entry point does, in a line."""
    return str(spec.get("short_description") or first(spec.get("description")))


def first(description: Any) -> str:
    """First sentence-bearing line of a description, which may be a list."""
    return str(description[0]) if isinstance(description, list) and description else str(description or "")


def cell(text: Any) -> str:
    """Text of a table cell."""
    return plain(" ".join(map(str, text)) if isinstance(text, list) else str(text)).replace("|", "\\|")


def plain(text: str) -> str:
    """Ansible's markup as Markdown, on one line."""
    text = re.sub(r"\b[CVOEP]\(([^()]*(?:\([^()]*\)[^()]*)*)\)", lambda match: f"`{match[1].split('#')[0]}`", text)
    text = re.sub(r"\bM\(([^)]*)\)", r"`\1`", text)
    text = re.sub(r"\bB\(([^)]*)\)", r"**\1**", text)
    text = re.sub(r"\bI\(([^)]*)\)", r"*\1*", text)
    text = re.sub(r"\bL\(([^,)]*),\s*([^)]*)\)", r"[\1](\2)", text)
    text = re.sub(r"\bU\(([^)]*)\)", r"<\1>", text)
    return " ".join(text.split())


def readme_of(role: pathlib.Path) -> str:
    """What the README of the role in directory ``role`` should hold; raises ``ValueError`` when it has no specs."""
    path = role / "meta" / "argument_specs.yml"
    if not path.exists():
        raise ValueError("it has no meta/argument_specs.yml")
    specs = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("argument_specs") or {}
    meta = role / "meta" / "main.yml"
    info = (yaml.safe_load(meta.read_text(encoding="utf-8")) or {}) if meta.exists() else {}
    described = (info.get("galaxy_info") or {}).get("description")
    return render(role.name, specs, described or first((specs.get("main") or {}).get("description")) or f"The role {role.name}.")


def main() -> int:
    """Write or check every role's README."""
    parser = argparse.ArgumentParser(description="Write each role's README.md from its argument specs.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a README is not up to date")
    check = parser.parse_args().check
    wrong = 0
    for role in sorted(path.parent for path in (ROOT / "roles").glob("*/tasks")):
        try:
            text = readme_of(role)
        except (ValueError, yaml.YAMLError) as error:
            print(f"roles/{role.name}: {error}")
            wrong += 1
            continue
        path = role / "README.md"
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if check:
            print(f"roles/{role.name}/README.md is not what its argument specs say: run .venv/bin/python dev/role_readme.py")
            wrong += 1
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote roles/{role.name}/README.md")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
