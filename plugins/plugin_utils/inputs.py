# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Are the variables of a migration well formed? Pure: variables and argument specs in, findings out.

Ansible's own role validation stops at the first role, accepts misspelt names and prints malformed values. A finding
here names the variable, the host and the remedy, never a value.
"""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding

Spec = Mapping[str, Any]

IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
MOMENT_FIELDS = frozenset({"start", "end", "when", "until"})


def check_option(name: str, spec: Spec, value: Any, host: str) -> list[Finding]:
    """Findings about one variable of one host against its option in ``argument_specs.yml``."""
    where = f"{name} ({host})"
    kind, elements = spec.get("type", "str"), spec.get("elements")
    if value is None:
        return [finding(where, "is required and not set", f"set {name}")] if spec.get("required") else []
    if spec.get("required") and value == []:
        return [finding(where, "is required and empty", f"set {name}")]
    if ArgumentSpecValidator({name: {"type": kind}}).validate({name: value}).error_messages:
        return [finding(where, f"is not a valid {kind}", f"give {name} a value of type {kind}")]
    if spec.get("choices") and kind != "list" and value not in spec["choices"]:
        return [finding(where, "is none of its choices", "choose one of " + ", ".join(map(str, spec["choices"])))]
    if kind == "list" and isinstance(value, list):
        of_item = {**spec, "type": elements or "raw", "elements": None, "required": False}
        return [found for index, item in enumerate(value) for found in check_option(f"{name}[{index}]", of_item, item, host)]
    if kind == "dict" and isinstance(value, Mapping):
        found = check_options(spec.get("options") or {}, value, host, prefix=f"{name}.")
        return found + (check_place(name, value, host) if name.startswith("migration_backup_copies[") else [])
    return check_form(name, kind, value, host)


def check_options(options: Mapping[str, Spec], values: Mapping[str, Any], host: str, prefix: str) -> list[Finding]:
    """Findings about the keys of a dictionary: missing, malformed, or unknown ones."""
    found = [item for name, spec in options.items() for item in check_option(prefix + name, spec, values.get(name), host)]
    for name in sorted(set(map(str, values)) - set(options)) if options else []:
        near = difflib.get_close_matches(name, list(options), 1)
        found.append(
            finding(
                f"{prefix}{name} ({host})",
                "is not an option",
                f"did you mean {prefix}{near[0]}?" if near else "remove it; options are " + ", ".join(options),
            )
        )
    return found


def check_form(name: str, kind: str, value: Any, host: str) -> list[Finding]:
    """Findings about the form of a scalar that its type alone does not tell: id, path, port, moment."""
    where, leaf = f"{name} ({host})", re.split(r"[._]", name.split("[")[0])[-1]
    if name == "migration_id" and not IDENTIFIER.match(str(value)):
        return [finding(where, "is malformed", "use 1 to 63 characters a-z, 0-9 and -, the first no -")]
    if kind == "path" and (not str(value).startswith("/") or ".." in str(value).split("/")):
        return [finding(where, "is no absolute path, or climbs with ..", "give an absolute path without ..")]
    if leaf == "port" and kind == "int" and not 1 <= int(value) <= 65535:
        return [finding(where, "is no port", "give a number from 1 to 65535")]
    if name.split("[")[0].startswith("migration_") and "." in name and leaf in MOMENT_FIELDS and not is_moment(str(value)):
        return [finding(where, "is no moment in time", "write it as 2026-11-28T22:00:00+01:00")]
    return []


def check_place(name: str, place: Mapping[str, Any], host: str) -> list[Finding]:
    """Findings about a second place for backups: a directory, or a bucket with its configuration, never both or half of one."""
    if {key for key in ("path", "remote", "config") if place.get(key)} in ({"path"}, {"remote", "config"}):
        return []
    return [finding(f"{name} ({host})", "is no place", "name either path, or remote and config")]


def is_moment(text: str) -> bool:
    """Whether ``text`` is an RFC 3339 date and time with offset."""
    try:
        return datetime.datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text)).tzinfo is not None
    except ValueError:
        return False


def check_names(names: Iterable[str], known: Iterable[str], strict: str, host: str) -> list[Finding]:
    """Findings about variable names: every unknown one with the prefix ``strict``, elsewhere only near misses."""
    known = sorted(set(known))
    found = []
    for name in sorted(set(names) - set(known)):
        near = difflib.get_close_matches(name, known, 1, 0.6 if name.startswith(strict) else 0.9)
        if near or name.startswith(strict):
            found.append(
                finding(
                    f"{name} ({host})",
                    "is not a variable of this collection",
                    f"did you mean {near[0]}?" if near else "remove it, or correct its name",
                )
            )
    return found


def check_groups(groups: Mapping[str, list[str]], stacks: Iterable[str], hosts: Iterable[str]) -> list[Finding]:
    """Findings about who is who: a mover must exist, and no name may be on both sides."""
    found = []
    if not groups.get("mover") and "mover" not in set(hosts):
        found.append(finding("inventory", "has no mover", "name the host that runs the database tools mover, or put it in a group mover"))
    for host in sorted(set(groups.get("source") or []) & set(groups.get("target") or [])):
        found.append(finding(host, "is in source and in target", "give a machine that is both two inventory names"))
    sided = set(groups.get("source") or []) | set(groups.get("target") or [])
    for stack in stacks:
        for host in sorted(set(groups.get(stack) or []) - sided - set(groups.get("mover") or ["mover"])):
            found.append(finding(host, f"runs {stack} on neither side", "put it in the group source or target"))
    return found


def unique(findings: Iterable[Finding]) -> list[Finding]:
    """Findings without repetition; the same one on many hosts is told once, naming them all."""
    merged: dict[tuple[str, str, str], list[str]] = {}
    for item in findings:
        name, _bracket, host = item["subject"].partition(" (")
        merged.setdefault((name, item["finding"], item["remedy"]), []).append(host.rstrip(")"))
    return [
        finding(f"{name} ({', '.join(sorted(set(hosts)))})" if any(hosts) else name, text, remedy)
        for (name, text, remedy), hosts in merged.items()
    ]
