# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is in an archive of pg_dump, and which of its entries are restored."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._age import opening
from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool, run, start
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import identifier

# What belongs to no schema and may be left out: nothing else of an application is lost with it unseen.
KINDS = ("extension", "event trigger", "publication", "subscription")
ENTRY = re.compile(r"^\d+; \d+ \d+ (COMMENT - )?(EXTENSION|EVENT TRIGGER|PUBLICATION|SUBSCRIPTION) (?:- )?(.+)$")
PARTS = re.compile(r"^\d+; \d+ \d+ PUBLICATION (?:TABLE|TABLES IN SCHEMA) \S+ (.+)$")
NUMBERS = re.compile(r"^\d+; \d+ \d+ ")
# The words that an entry of privileges has for each kind of a capture.
WORDS = {"TABLE": ("TABLE",), "SEQUENCE": ("SEQUENCE",), "ROUTINE": ("FUNCTION", "PROCEDURE", "AGGREGATE"), "SCHEMA": ("SCHEMA",),
         "TYPE": ("TYPE", "DOMAIN"), "LANGUAGE": ("LANGUAGE",), "FOREIGN DATA WRAPPER": ("FOREIGN DATA WRAPPER",),
         "FOREIGN SERVER": ("FOREIGN SERVER",)}
NAME = re.compile(r'"((?:[^"]|"")+)"|([^".(]+)')


def listed(archive: str, encrypted: bool, identity: str | None, bin_dir: str | None) -> str:
    """What pg_restore lists of an archive."""
    argv = [find_tool("pg_restore", bin_dir), "--list"]
    if not encrypted:
        return run([*argv, archive], check=False).stdout
    quiet: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with start(opening(archive, str(identity)), **quiet) as opened, start(argv, stdin=opened.stdout, **quiet) as lister:
        if opened.stdout:
            opened.stdout.close()  # so that age ends when pg_restore has read the list at the beginning
        return lister.communicate()[0].decode("utf-8", "replace")


def extensions_in(listing: str) -> set[str]:
    """Names of the extensions that an archive creates."""
    return set(re.findall(r"^\d+; 3079 \d+ EXTENSION - (\S+) *$", listing, re.MULTILINE))


def indexes_in(listing: str) -> int:
    """How many entries of an archive build an index: those of primary keys are constraints."""
    return len(re.findall(r"^\d+; \d+ \d+ (?:INDEX|CONSTRAINT) ", listing, re.MULTILINE))


def check_leave_out(items: Iterable[str]) -> None:
    """Raise unless every item is a kind of ``KINDS`` and a name."""
    wrong = [item for item in items if not any(item.startswith(kind + " ") and item != kind + " " for kind in KINDS)]
    if wrong:
        raise MigrationError(f"leave_out names {wrong[0]}: only {', '.join(KINDS)} can be left out, each with its name",
                             subject="leave_out")


def without(listing: str, leave_out: Sequence[str], members: Mapping[str, Collection[str]] | None = None) -> str:
    """The listing without the entries of what is left out, and their comments.

    ``members`` are identities by kind of what belongs to the extensions among them: without the extension neither rows nor
    privileges of theirs can be restored.
    """
    begins = tuple(_entries_of(members or {}))
    return "".join(line + "\n" for line in listing.splitlines()
                   if not any(_is_of(line, item) for item in leave_out) and not NUMBERS.sub("", line).startswith(begins))


def _entries_of(members: Mapping[str, Collection[str]]) -> Iterator[str]:
    """How the entries begin that pg_dump writes of ``members``: rows of configuration tables, and privileges that were changed."""
    for kind, identities in members.items():
        for identity in identities:
            names = [quoted.replace('""', '"') or plain for quoted, plain in NAME.findall(identity.partition("(")[0])]
            schema, name = names if len(names) == 2 else ("-", names[0])
            yield from (f"ACL {schema} {word} {name}{'(' if kind == 'ROUTINE' else ' '}" for word in WORDS[kind])
            if kind == "TABLE":
                yield from (f"TABLE DATA {schema} {name} ", f"ACL {schema} COLUMN {name}.")
            elif kind == "SEQUENCE":
                yield f"SEQUENCE SET {schema} {name} "


def _is_of(line: str, item: str) -> bool:
    kind = next(kind for kind in KINDS if item.startswith(kind + " "))
    name = item[len(kind) + 1:]
    found = ENTRY.match(line)
    if found and found.group(2) == kind.upper() and not PARTS.match(line):
        # A name is followed by its owner; a comment has it quoted as in SQL.
        rest = found.group(3)
        return any(rest == one or rest.startswith(one + " ") for one in ([name, identifier(name)] if found.group(1) else [name]))
    part = PARTS.match(line)
    # The entry of a published table ends with publication, table and owner.
    return bool(part and kind == "publication" and part.group(1).startswith(name + " "))
