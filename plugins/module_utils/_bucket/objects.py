# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects of a site in a bucket: what each is, how it is sent to browsers, and in which order they may appear. Pure."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._pages.caching import has_digest
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import FILE, Entry, raw, summary

PAGE = "index.html"
FOR_GOOD, ASK = "public, max-age=31536000, immutable", "no-cache"
HASHED, OTHER, PAGES, FIRST_PAGE, WORKER = 0, 1, 2, 3, 4
QUIET = (HASHED, OTHER)
# A worker of the browser keeps the page that it finds: it comes after it.
_WORKER = re.compile(r"(?:.*[-_.])?(?:sw|service-?worker|ngsw|ngsw-worker)\.(?:m?js|json)\Z", re.I)
_PAGES = re.compile(r".*\.(?:html?|webmanifest)\Z|(?:.*/)?manifest\.json\Z", re.I | re.S)
# Those of which systems and versions of Python have different opinions, or none.
TYPES = {
    "js": "text/javascript", "mjs": "text/javascript", "css": "text/css", "html": "text/html", "htm": "text/html", "txt": "text/plain",
    "json": "application/json", "map": "application/json", "webmanifest": "application/manifest+json", "wasm": "application/wasm",
    "svg": "image/svg+xml", "ico": "image/x-icon", "webp": "image/webp", "avif": "image/avif", "woff": "font/woff", "woff2": "font/woff2",
    "ttf": "font/ttf", "otf": "font/otf", "eot": "application/vnd.ms-fontobject", "xml": "application/xml", "md": "text/markdown",
    "gz": "application/gzip", "br": "application/octet-stream", "mp4": "video/mp4", "webm": "video/webm", "pdf": "application/pdf",
}
_KNOWN = mimetypes.MimeTypes(filenames=())
_JSON_WITHOUT_ENDING = ("apple-app-site-association",)
_OF_THE_STORE = ("btime", "mtime", "tier", "utime")


@dataclass(frozen=True)
class Stored:
    """One object: ``key`` below the place, ``size`` in bytes, hexadecimal ``sha256``, ``headers`` by lower-case name, sorted."""

    key: str
    size: int
    sha256: str
    headers: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As manifests have it."""
        return {"key": self.key, "size": self.size, "sha256": self.sha256, "headers": dict(self.headers)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Stored:
        """The object that :meth:`to_json` told; raises ``KeyError``, ``TypeError`` or ``ValueError`` on anything else."""
        return cls(str(value["key"]), int(value["size"]), str(value["sha256"]), headers_of(value["headers"]))


Site = dict[str, Stored]
"""Objects by their keys."""


def headers_of(metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What is sent with an object, of what rclone tells about it: not when and in which class the store keeps it."""
    return tuple(sorted((str(name).lower(), str(value)) for name, value in metadata.items() if name not in _OF_THE_STORE))


def content_type(key: str) -> str:
    """By the ending of the name alone, so that every host says the same."""
    name = key.rpartition("/")[2]
    ending = name.rpartition(".")[2].lower() if "." in name[1:] else ""
    found = TYPES.get(ending) or (_KNOWN.guess_type(f"x.{ending}")[0] if ending else None)
    found = found or ("application/json" if name in _JSON_WITHOUT_ENDING else "application/octet-stream")
    return f"{found}; charset=utf-8" if found.startswith("text/") else found


def is_hashed(key: str, assets: Sequence[str]) -> bool:
    """Whether another content would have another name: it is below a directory that the user named for that, and looks like it."""
    return has_digest(key) and key.startswith(tuple(f"{directory}/" for directory in assets))


def rank(key: str, hashed: bool) -> int:
    """When it may appear: what a page loads before the page, the first page after the others."""
    if hashed:
        return HASHED
    if _WORKER.match(key.rpartition("/")[2]):
        return WORKER
    if key == PAGE:
        return FIRST_PAGE
    return PAGES if _PAGES.match(key) else OTHER


def wanted(key: str, size: int, sha256: str, hashed: bool) -> Stored:
    """The object that a file of a build becomes."""
    return Stored(key, size, sha256, headers_of({"content-type": content_type(key), "cache-control": FOR_GOOD if hashed else ASK}))


def key_problems(keys: Iterable[str]) -> list[str]:
    """Those of ``keys`` that are no path of a file, sorted: they could be neither listed by line nor copied to a disk and back."""
    known = set(keys)
    directories = {key[:place] for key in known for place in range(len(key)) if key[place] == "/"}
    return sorted(key for key in known if not _plain(key) or key in directories)


def _plain(key: str) -> bool:
    if any(ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000 for letter in key):
        return False
    return all(part not in ("", ".", "..") for part in key.split("/"))


def digest(site: Site) -> str:
    """SHA-256 over all objects with their headers."""
    found = hashlib.sha256()
    for key in sorted(site):
        found.update(json.dumps(site[key].to_json(), sort_keys=True).encode() + b"\n")
    return found.hexdigest()


def weight(objects: Iterable[Stored]) -> int:
    """Their bytes."""
    return sum(one.size for one in objects)


def shown(site: Site) -> str:
    """The site in a few lines, for diffs."""
    return summary([Entry(raw(one.key), FILE, size=one.size) for one in site.values()])
