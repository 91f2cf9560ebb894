# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an application gets the environment that it had, name by name; values meet only as salted digests."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._app import env_file
from ansible_collections.dihya.migration.plugins.module_utils._command import cut
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._finding import finding

SAME, DIFFERS, MISSING, NEW, EXPECTED = "same", "differs", "missing", "new", "expected"
REMEDIES = {
    DIFFERS: ("{names} differ from the live environment file", "correct the vault, or name what is meant to differ in {subject}"),
    MISSING: ("{names} stand in the live environment file only", "add them to the vault, or name what is no longer needed in {subject}"),
}


def salted(salt: str, value: str) -> str:
    """What stands for ``value``: without the salt, which is made for one run, nobody can try values against it."""
    return hashlib.sha256(f"{salt}{value}".encode()).hexdigest()


def verdicts(live: Mapping[str, str], digests: Mapping[str, str], salt: str, may_differ: Collection[str]) -> dict[str, str]:
    """For each name ``same``, ``differs``, ``missing`` (live only), ``new`` (not live), or ``expected`` to be other; pure."""
    found = {}
    for name in sorted({*live, *digests}):
        if name in live and name in digests and hmac.compare_digest(salted(salt, live[name]), str(digests[name])):
            found[name] = SAME
        elif name in may_differ:
            found[name] = EXPECTED
        else:
            found[name] = NEW if name not in live else DIFFERS if name in digests else MISSING
    return found


def compare(options: Mapping[str, Any]) -> dict[str, Any]:
    """Read the live file and judge; names and verdicts only. A file that cannot be read is a finding as well."""
    subject = {**{name: name for name in ("path", "digests", "may_differ")}, **options["subjects"]}
    found: dict[str, str] = {}
    findings = []
    try:
        found = verdicts(_read(options["path"]), options["digests"], options["salt"], options["may_differ"])
    except MigrationError as error:
        remedy = "correct the path or the file, or let the user read it"
        findings.append(finding(subject["path"], cut(error.message), remedy))
    for verdict, (text, remedy) in REMEDIES.items():
        names = [name for name, seen in found.items() if seen == verdict]
        if names:
            findings.append(finding(subject["digests"], cut(text.format(names=", ".join(names))),
                                    remedy.format(subject=subject["may_differ"])))
    counts = {verdict: sum(1 for seen in found.values() if seen == verdict) for verdict in (SAME, EXPECTED, NEW, DIFFERS, MISSING)}
    summary = f"{counts[SAME]} of {len(found)} variables are as in the live environment file"
    journal = {"summary": summary, "changed": False, "counts": {f"variables_{name}": number for name, number in counts.items()}}
    return {"changed": False, "msg": summary, "verdicts": found, "findings": findings, "journal": journal}


def _read(path: str) -> dict[str, str]:
    """The live file, whoever may read it there: its mode is the old site's."""
    try:
        with open(path, encoding="utf-8") as stream:
            return env_file.parse(stream.read(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise MigrationError(f"the environment file {path} cannot be read ({type(error).__name__})") from None
