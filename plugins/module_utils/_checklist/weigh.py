# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The eight items weighed: facts in, verdicts and findings out. Pure but for the ``read`` it is given."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.dihya.migration.plugins.module_utils._checklist import evidence, statements, texts
from ansible_collections.dihya.migration.plugins.module_utils._checklist.times import parse
from ansible_collections.dihya.migration.plugins.module_utils._command import cut
from ansible_collections.dihya.migration.plugins.module_utils._finding import finding

Reader = Callable[[str], Optional[bytes]]
"""The bytes of a file on this host, None when there is no such file that may be read."""


@dataclass
class Inputs:
    """What is known. ``seconds`` is the predicted time of what is left to do, ``now`` is aware, ``stacks`` those of which each needs a
    backup, ``copies`` the number of places beside the first that were named for backups, ``planned`` names items whose evidence a
    step of this run is to make, ``frozen`` is true once clients may be frozen out."""

    now: datetime.datetime
    profile: str = "standard"
    phase: str = "final"
    facts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    attestations: list[dict[str, Any]] = field(default_factory=list)
    waivers: list[dict[str, Any]] = field(default_factory=list)
    window: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    stacks: list[str] = field(default_factory=list)
    copies: int = 0
    planned: list[str] = field(default_factory=list)
    frozen: bool = False

    def comes_later(self, item: str) -> bool:
        """Whether the evidence of ``item`` cannot be there yet, because a step that is still to come makes it."""
        return self.phase == "before_backup" and (item == "backup" or item in self.planned)


@dataclass(frozen=True)
class Observation:
    """One thing seen about an item; ``verdict`` is proved, failed, attested, waived or not_demonstrated."""

    verdict: str
    observed: str
    details: dict[str, Any] = field(default_factory=dict)


def weigh(inputs: Inputs, read: Reader) -> dict[str, Any]:
    """``items`` (eight of item, expected, observed, verdict, evidence), ``findings`` (all of them), ``blocked``."""
    findings: list[dict[str, Any]] = []
    seen: dict[str, list[Observation]] = {item: [] for item in texts.ITEMS}
    backups: list[dict[str, Any]] = []
    for item, entries in inputs.facts.items():
        if item not in texts.ITEMS:
            findings.append(finding(f"facts: {item}", "is no item of the checklist", "name one of " + ", ".join(texts.ITEMS)))
        elif not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            findings.append(finding(f"facts: {item}", "is not a list of observations", "give a list of verdict and observed"))
        else:
            told = [entry for entry in entries if item != "backup" or not evidence.is_nothing(entry)]
            seen[item] += [Observation(*evidence.from_fact(entry, inputs.now)) for entry in told]
            backups = entries if item == "backup" else backups
    seen["backup"] += _backups(inputs, backups)
    findings += _take_evidence(inputs, read, seen)
    seen["window"].append(_window(inputs))
    for kind, entries, check in (
        ("migration_attestations", inputs.attestations, statements.attestation),
        ("migration_waivers", inputs.waivers, statements.waiver),
    ):
        for place, entry in enumerate(entries):
            problem, found = check(entry, inputs.now, read)
            if problem:
                findings.append(finding(f"{kind}[{place}]", problem, "renew the entry or take it out"))
            else:
                seen[entry["item"]].append(Observation(*found))
    items = [_item(item, seen[item], inputs.comes_later(item)) for item in texts.ITEMS]
    findings += [found for entry in items for found in _judge(entry, inputs)]
    return {"items": items, "findings": findings, "blocked": any(entry["blocking"] for entry in findings)}


def _backups(inputs: Inputs, entries: list[dict[str, Any]]) -> list[Observation]:
    """What ``entries`` lack: of each stack a proved backup and a proved copy of it elsewhere; and which stacks have nothing to back up."""
    gaps, nothing, alone = [], [], []
    for stack in inputs.stacks or [""]:
        mine = [entry for entry in entries if stack in ("", entry.get("stack"))]
        if mine and all(map(evidence.is_nothing, mine)):
            nothing.append(texts.NOTHING_TO_BACK_UP.format(stack=stack, why=mine[0]["observed"]))
            continue
        proved = [entry for entry in mine if evidence.from_fact(entry, inputs.now)[0] == "proved"]
        if stack and all(entry.get("elsewhere") for entry in proved):
            gaps.append(texts.NO_BACKUP.format(stack=stack))
        if not any(entry.get("elsewhere") for entry in proved):
            alone.append(texts.NO_COPY_OF.format(stack=stack) if stack else texts.NO_COPY_SHOWN)
    gaps += alone if inputs.copies else [texts.NO_COPY] if alone else []
    if gaps and inputs.phase == "before_backup":
        gaps = [texts.LATER]
    return [Observation("not_demonstrated", gap) for gap in gaps] + [Observation("proved", told) for told in nothing]


def _take_evidence(inputs: Inputs, read: Reader, seen: dict[str, list[Observation]]) -> list[dict[str, Any]]:
    """Add the inventory's evidence to what was ``seen``; what this run must see itself it can fail or add to, not prove alone."""
    findings = []
    for place, entry in enumerate(inputs.evidence):
        problem, found = evidence.from_inventory(entry, inputs.now, read)
        if problem:
            findings.append(finding(f"migration_evidence[{place}]", problem, "correct the entry or take it out"))
        elif found[0] != "proved" or seen[entry["item"]] or entry["item"] in texts.FROM_FILES + texts.ATTESTABLE:
            seen[entry["item"]].append(Observation(*found))
    return findings


def _item(item: str, seen: list[Observation], later: bool) -> dict[str, Any]:
    """One failure fails the item, one gap leaves it open; a statement or waiver counts where nothing was seen."""
    if not seen and later:
        seen = [Observation("not_demonstrated", texts.LATER)]
    verdicts = [entry.verdict for entry in seen]
    order: tuple[str, ...] = ("failed", "not_demonstrated", "proved", "attested", "waived")
    if item == "rehearsal" and "waived" in verdicts and "failed" not in verdicts and "proved" not in verdicts:
        order = ("waived",)
    verdict = next((word for word in order if word in verdicts), "not_demonstrated")
    deciding = [entry for entry in seen if entry.verdict == verdict]
    observed = cut("; ".join(dict.fromkeys(entry.observed for entry in deciding if entry.observed)))
    return {
        "item": item,
        "expected": texts.EXPECTED[item],
        "observed": observed,
        "verdict": verdict,
        "evidence": _details(deciding),
    }


def _details(deciding: list[Observation]) -> dict[str, Any]:
    """Names and digests of what decided; several values of one name stand in one text of at most 300 characters."""
    merged: dict[str, list[str]] = {}
    for entry in deciding:
        for name, value in entry.details.items():
            if value and str(value) not in merged.setdefault(name, []):
                merged[name].append(str(value))
    return {name: cut(", ".join(values)) for name, values in merged.items() if values}


def _judge(entry: dict[str, Any], inputs: Inputs) -> list[dict[str, Any]]:
    """A failed item always blocks; an open one blocks an audited migration, once it could have been shown.

    The window is the one that only tells once clients are frozen out: to stop there would leave them so.
    """
    item, verdict = entry["item"], entry["verdict"]
    remedy = texts.REMEDIES[item]
    subject = f"checklist: {item}"
    if verdict == "failed":
        tells = item == "window" and inputs.frozen
        return [finding(subject, f"failed: {entry['observed'] or entry['expected']}", remedy, blocking=not tells)]
    if verdict != "not_demonstrated":
        return []
    shown = f" ({entry['observed']})" if entry["observed"] else ""
    if inputs.comes_later(item):
        return []
    return [finding(subject, f"not demonstrated: {entry['expected']}{shown}", remedy, blocking=inputs.profile == "audited")]


def _window(inputs: Inputs) -> Observation:
    given = {end: (inputs.window or {}).get(end) or "" for end in ("start", "end")}
    if not any(given.values()):
        return Observation("not_demonstrated", texts.WINDOW_NONE)
    start, end = parse(given["start"]), parse(given["end"])
    if start is None or end is None or start >= end:
        return Observation("failed", texts.WINDOW_MALFORMED)
    left, needed = int((end - inputs.now).total_seconds()), round(inputs.seconds)
    if inputs.now < start:
        return Observation("failed", texts.WINDOW_EARLY.format(start=given["start"]))
    if left <= 0:
        return Observation("failed", texts.WINDOW_LATE.format(end=given["end"]))
    if left < needed:
        return Observation("failed", texts.WINDOW_SHORT.format(left=left, needed=needed))
    return Observation("proved", texts.WINDOW_OPEN.format(end=given["end"], left=left, needed=needed), dict(given))
