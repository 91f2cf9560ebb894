# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands against a release in a bucket, found before anything is changed and told all at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._bucket.objects import PAGE, key_problems
from ansible_collections.dihya.migration.plugins.module_utils._bucket.record import SAVED, Request, read_record
from ansible_collections.dihya.migration.plugins.module_utils._bucket.store import OLDEST, Store
from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import nearest_directory
from ansible_collections.dihya.migration.plugins.module_utils._finding import Finding, finding
from ansible_collections.dihya.migration.plugins.module_utils._transport.bucket import RCLONE, Bucket
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import first_names, raw

UNTRIED = "that the bucket takes files and keeps their headers: nothing is written in check mode"


def probe(request: Request) -> dict[str, Any]:
    """The module's result with ``findings``; nothing that is wrong makes it fail. Outside of check mode one object is put and removed."""
    found, facts, said = _place(request)
    summary = f"the bucket holds {facts['files']} objects" if facts else "the bucket cannot be used"
    journal: dict[str, Any] = {"summary": summary, "changed": False, "not_proved": said}
    if facts:
        journal.update(counts=facts, identities=[Bucket(request.bucket["remote"].rstrip("/"), request.bucket["config"]).identity()])
    return {"changed": False, "msg": summary, "findings": found, **facts, "journal": journal}


def _place(request: Request) -> tuple[list[Finding], dict[str, int], list[str]]:
    """Findings, what is in the bucket, and what was not tried."""
    remedy = "correct it or its configuration of rclone, or name another bucket"
    try:
        (place,) = Bucket.from_options([request.bucket])
    except MigrationError as error:
        return [finding(request.subject, wrong, remedy) for wrong in error.facts["findings"]], {}, []
    try:
        find_tool(RCLONE)
    except MigrationError as error:
        return [finding(request.subject, error.message.partition(": ")[0], "install rclone on this host")], {}, []
    try:
        version = place.version()
        if version < OLDEST:
            told = ".".join(map(str, version))
            return [finding(request.subject, f"rclone {told} is too old: it does not tell the headers of objects",
                            f"install rclone {'.'.join(map(str, OLDEST))} or later on this host")], {}, []
        store = Store(place)
        listed = store.listing()
        lost = None if request.check_mode else store.try_it()
    except MigrationError as error:
        return [finding(request.subject, error.message, remedy)], {}, []
    facts = {"files": len(listed), "bytes": sum(one["size"] for one in listed.values())}
    found = list(_contents(request, listed, facts["bytes"]))
    if lost:
        found.append(finding(request.subject, f"the store does not keep these headers of an object: {lost}",
                             "name a bucket whose store keeps them: browsers would get the wrong ones"))
    return found, facts, [UNTRIED] if request.check_mode else []


def _contents(request: Request, listed: dict[str, Any], size: int) -> Iterator[Finding]:
    """What is wrong with what the bucket holds, and with what is asked for."""
    wrong = key_problems(listed)
    if wrong:
        yield finding(request.subject, f"it holds objects whose names are no paths of files: {first_names(map(raw, wrong))}",
                      "remove them, or name a prefix without them")
    if request.public is None and listed and not _ours(request):
        page = f", {PAGE} among them" if PAGE in listed else ""
        yield finding(f"{request.subject}_public",
                      f"the bucket holds {len(listed)} objects{page}, and it is not said whether users see them",
                      "set it: true when the bucket is served to users now, false when it is not")
    near = [other for other in request.apart_from if _overlap(other.rstrip("/"), request.bucket["remote"].rstrip("/"))]
    if near:
        yield finding(request.subject, f"backups go to {near[0]}, where the site's users could read them", "name another bucket or prefix")
    if not request.assets:
        yield finding("frontend_keep_assets", "it is not set: browsers ask for every file of the bucket again on each visit",
                      "name the directories whose files have a digest in their names", blocking=False)
    if request.dest:
        free = shutil.disk_usage(nearest_directory(request.dest)).free
        if free < size * 1.2:
            yield finding("migration_backup_dir", f"{free >> 20} MiB are free where {int(size * 1.2) >> 20} MiB are needed",
                          "free space, or choose another file system")


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def _ours(request: Request) -> bool:
    """Whether an earlier try of this release put what is there."""
    try:
        record = read_record(request)
    except MigrationError:
        return False
    return record is not None and record.release == request.name and record.state != SAVED
