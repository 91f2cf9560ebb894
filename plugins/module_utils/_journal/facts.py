# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The only things that may enter the journal: a schema of facts, checked without I/O.

To allow a new fact, add it to a table below; nothing else has to change. Values that Ansible templates turned into
text (``"True"``, ``"12"``) become what the schema asks for where that loses nothing.
"""

from __future__ import annotations

import math
import re
from typing import Any, Callable

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

LONGEST = 300
"""Characters that a text may have: longer ones are output, and output carries rows and secrets."""

VERBS = ("preflight", "backup", "freeze", "migrate", "verify", "commit", "rollback")
STATUSES = ("started", "ok", "failed", "skipped", "not_applicable")
RUN = "migration"
"""The ``stack`` of events that concern the whole run."""
RECORDED_RUN_VERBS = ("checklist", "frozen", "commit_point", "reopened")
OUTCOMES = ("ok", "rolled_back", "rollback_incomplete", "interrupted", "waiting", "failed_after_commit", "refused")
PURPOSES = ("migrate", "backup", "verify", "commit", "rollback")

Check = Callable[[Any, str], Any]
"""Takes a value and where it stands, returns the value as it is journaled or raises :class:`MigrationError`."""


def _refuse(where: str, expected: str) -> MigrationError:
    return MigrationError(f"the journal refuses {where}: {expected}")  # never the value: it may be a secret


def text(value: Any, where: str) -> str:
    """A text of at most 300 characters."""
    if not isinstance(value, str):
        raise _refuse(where, "it must be a text")
    if len(value) > LONGEST:
        raise _refuse(where, f"it has {len(value)} characters, at most {LONGEST} are allowed")
    return str(value)


def flag(value: Any, where: str) -> bool:
    """True or false."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise _refuse(where, "it must be true or false")
    return value


def integer(value: Any, where: str) -> int:
    """A whole number."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refuse(where, "it must be a whole number")
    return int(value)


def number(value: Any, where: str) -> float:
    """A finite number."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?(e[+-]?[0-9]{1,3})?", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _refuse(where, "it must be a number")
    return float(value)


def scalar(value: Any, where: str) -> Any:
    """A text, a number or true/false: identities and fence values come in all of these."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and math.isfinite(value):
        return value
    return text(value, where)


def digest(value: Any, where: str) -> str:
    """Hexadecimal or decimal digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not re.fullmatch(r"-?[0-9A-Fa-f]+", text(value, where)):
        raise _refuse(where, "it must be hexadecimal or decimal digits")
    return str(value)


def choice(*allowed: str) -> Check:
    """One of ``allowed``."""
    def check(value: Any, where: str) -> str:
        if value not in allowed:
            raise _refuse(where, f"it must be one of {', '.join(allowed)}")
        return str(value)
    return check


def mapping(of: Check) -> Check:
    """Free names, each with a value that passes ``of``."""
    def check(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _refuse(where, "it must be a mapping")
        return {text(name, f"a name in {where}"): of(item, f"{where}.{name}") for name, item in value.items()}
    return check


def listing(of: Check) -> Check:
    """A list of values that pass ``of``."""
    def check(value: Any, where: str) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise _refuse(where, "it must be a list")
        return [of(item, f"{where}[{index}]") for index, item in enumerate(value)]
    return check


def record(fields: dict[str, Check], required: tuple[str, ...] = ()) -> Check:
    """A mapping of known names only; ``required`` ones must be there. A value of None counts as absent."""
    def check(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _refuse(where, "it must be a mapping")
        unknown = sorted(str(name)[:40] for name in value if name not in fields)
        if unknown:
            raise _refuse(where, f"it has unknown keys: {', '.join(unknown)} (known: {', '.join(sorted(fields))})")
        present = {str(name): item for name, item in value.items() if item is not None}
        missing = [name for name in required if name not in present]
        if missing:
            raise _refuse(where, f"it lacks {', '.join(missing)}")
        return {name: fields[name](item, f"{where}.{name}") for name, item in present.items()}
    return check


def text_or_details(value: Any, where: str) -> Any:
    """A text, or named details of one (path, sha256, who, until…)."""
    return mapping(scalar)(value, where) if isinstance(value, dict) else text(value, where)


VERDICTS = ("proved", "attested", "waived", "not_demonstrated", "failed")
CREATED_KINDS = ("database", "role", "release", "unit", "process", "path", "snapshot")

VIOLATION: dict[str, Check] = {
    "rule": text, "impact": text, "page": text, "language": text, "before": integer, "after": integer,
    "verdict": choice("new", "known", "gone", "found"), "criteria": text,
}
SCORE: dict[str, Check] = {"page": text, "language": text, "what": text, "before": number, "after": number}

VERB_FACTS = record({
    "summary": text,
    "duration": number,
    "changed": flag,
    "not_applicable": text,
    "counts": mapping(integer),
    "digests": mapping(digest),
    "proofs": listing(record({"kind": text, "path": text, "sha256": digest, "host": text}, ("kind", "path"))),
    "tests": listing(record(
        {
            "name": text, "verdict": choice("passed", "failed", "skipped"),
            "passed": integer, "failed": integer, "skipped": integer, "log": text,
        },
        ("name", "verdict"),
    )),
    "not_proved": listing(text),
    "skipped": listing(text),
    "removed": listing(text),
    # What clients had written since it was proved and a rollback threw away: rows then and now.
    "discarded": listing(record({"object": text, "before": integer, "after": integer}, ("object", "before", "after"))),
    "explained": listing(record({"rule": text, "object": text}, ("rule",))),
    "created": listing(record({"kind": choice(*CREATED_KINDS), "name": text, "identity": scalar}, ("kind", "name"))),
    "fence": record({"value": scalar, "at": text, "source": text}),
    "evidence": listing(record(  # ``elsewhere``: of a copy of a backup in another place
        {"item": text, "observed": text, "sha256": digest, "until": text, "verdict": text, "elsewhere": flag}, ("item",),
    )),
    "versions": mapping(text),
    "error": record({"message": text, "subject": text, "remedy": text}),
    "plan_seconds": number,
    "quality": record({  # of the pages of a site; ``more`` violations than are listed
        "pages": listing(text), "languages": listing(text), "more": integer,
        "violations": listing(record(VIOLATION, ("rule", "verdict"))), "scores": listing(record(SCORE, ("page", "what", "after"))),
    }),
    "identities": listing(text),  # of sources and targets; recording them locks them
})

CHECKLIST_FACTS = record({
    "summary": text,
    "checklist": listing(record(
        {"item": text, "expected": text, "observed": text, "verdict": choice(*VERDICTS), "evidence": text_or_details}, ("item", "verdict"),
    )),
    "plan_seconds": number,  # of all stacks together: a later run compares with it what is left of the window
    "findings": listing(record({"subject": text, "finding": text, "remedy": text, "blocking": flag}, ("subject", "finding", "blocking"))),
})

RUN_FACTS = record({
    "purpose": choice(*PURPOSES),
    "operator": text,
    "controller": text,
    "ansible_version": text,
    "stacks": listing(text),
    "strategy": text,
    "profile": text,
    "language": text,
    "description": text,
    "ticket": text,
    "window": record({"start": text, "end": text}),
    "resumed": flag,
})

END_FACTS = record({
    "outcome": choice(*OUTCOMES),
    "cause": record({"stack": text, "verb": text, "host": text, "task": text, "message": text}),
    "rollback": listing(record({"stack": text, "host": text, "verdict": text}, ("stack",))),
    "not_proved": listing(text),  # of the run itself
}, ("outcome",))


def check_facts(stack: str, verb: str, facts: Any) -> dict[str, Any]:
    """The facts of an event of ``stack`` and ``verb`` as they are journaled; raises :class:`MigrationError`."""
    where = f"facts of {stack} {verb}"
    return (CHECKLIST_FACTS if (stack, verb) == (RUN, "checklist") else VERB_FACTS)(facts, where)
