# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Are the translations of a Flutter application complete? Application resource bundles (``.arb``) against their template."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding

_ARGUMENT = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(,\s*(?:plural|select|selectordinal)\s*,|[,}])")
SHOWN = 5


def placeholders(message: str) -> set[str]:
    """Names of the arguments of an ICU message, those inside the branches of plural and select included.

    A brace that opens a branch is no argument, whatever its text: only one that opens a message's argument is.
    """
    names: set[str] = set()
    _message(message, 0, names)
    return names


def _message(text: str, at: int, names: set[str]) -> int:
    """Read a message from ``at`` to its end or its closing brace, and return the place after it."""
    while at < len(text) and text[at] != "}":
        if text[at] != "{":
            at += 1
            continue
        found = _ARGUMENT.match(text, at + 1)
        if not found:
            at += 1  # a brace that opens no argument is text
            continue
        names.add(found.group(1))
        at = _branches(text, found.end(), names) if found.group(2).count(",") == 2 else _end(text, found.end() - 1)
    return at + 1


def _branches(text: str, at: int, names: set[str]) -> int:
    """The branches ``=0{…} other{…}`` of a plural or select, to the place after its closing brace."""
    while at < len(text) and text[at] != "}":
        at = _message(text, at + 1, names) if text[at] == "{" else at + 1
    return at + 1


def _end(text: str, at: int) -> int:
    place = text.find("}", at)
    return len(text) if place < 0 else place + 1


def compare(name: str, template: Mapping[str, Any], bundle: Mapping[str, Any]) -> list[str]:
    """What is wrong with the translations ``bundle`` of ``name``: keys missing, added, empty, or with other placeholders."""
    wanted, found = ({key: str(value) for key, value in of.items() if not key.startswith("@")} for of in (template, bundle))
    common = sorted(wanted.keys() & found.keys())
    problems = {
        "lacks": sorted(wanted.keys() - found.keys()),
        "has keys that the template has not:": sorted(found.keys() - wanted.keys()),
        "leaves empty": [key for key in common if wanted[key].strip() and not found[key].strip()],
        "has other placeholders in": [
            key for key in common if found[key].strip() and placeholders(wanted[key]) != placeholders(found[key])
        ],
    }
    return [f"{name} {words} {_some(keys)}" for words, keys in problems.items() if keys]


def _some(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more


def file_of(template: str, language: str) -> str:
    """``app_en.arb``, ``tzm`` → ``app_tzm.arb``."""
    return f"{os.path.splitext(template)[0].rpartition('_')[0]}_{language}.arb"


def check(subject: str, directory: str, template: str, languages: Sequence[str]) -> list[Finding]:
    """Findings about the bundles of ``languages`` in ``directory``; the template itself is one of them."""
    bundles, found = {}, []
    for name in dict.fromkeys([template, *(file_of(template, language) for language in languages)]):
        try:
            with open(os.path.join(directory, name), encoding="utf-8") as stream:
                bundles[name] = json.load(stream)
            if not isinstance(bundles[name], dict):
                raise ValueError
        except OSError as error:
            found.append(finding(subject, f"{name} cannot be read: {error.strerror}", "add the translation, or correct mobile_l10n_path"))
            bundles.pop(name, None)
        except ValueError:
            found.append(finding(subject, f"{name} is no JSON object", "correct the file"))
            bundles.pop(name, None)
    if template in bundles:
        for name in sorted(bundles.keys() - {template}):
            found += [finding(subject, problem, "complete the translation") for problem in compare(name, bundles[template], bundles[name])]
    return found
