# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is asked of ``bucket_release``, and what this host knows of the last release in a bucket."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field

from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import private_directory, publish_json, read_json

SAVED, PUTTING, ACTIVATED = "saved", "putting", "activated"


@dataclass
class Request:
    """What is asked for; the options of the module of the same names."""

    bucket: dict[str, str]
    name: str
    state: str
    record_file: str
    dest: str | None = None
    src: str | None = None
    exclude: list[str] = field(default_factory=list)
    assets: list[str] = field(default_factory=list)
    assets_from: str | None = None
    public: bool | None = None
    remove_others: bool = False
    apart_from: list[str] = field(default_factory=list)
    subject: str = "bucket"
    progress_file: str | None = None
    lease_file: str | None = None
    run_id: str | None = None
    check_mode: bool = False


@dataclass
class Record:
    """What this host knows of the last release in the bucket: where what was there before lies, and which keys are ours."""

    remote: str
    release: str
    saved: str
    touched: list[str]
    state: str


def read_record(request: Request) -> Record | None:
    """What this host knows, None when it knows nothing of this place."""
    try:
        record = Record(**read_json(request.record_file))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        raise MigrationError(f"{request.record_file} cannot be read: what was put into the bucket is unknown",
                             subject="record_file") from None
    if record.remote != request.bucket["remote"].rstrip("/"):
        raise MigrationError(f"{request.record_file} is about {record.remote}: roll back what was put there, or remove it",
                             subject="record_file")
    return record


def write_record(request: Request, record: Record) -> None:
    """Keep it, private, before what it says is done."""
    private_directory(os.path.dirname(request.record_file))
    publish_json(request.record_file, asdict(record))
