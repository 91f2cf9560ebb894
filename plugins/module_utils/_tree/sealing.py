# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of a copied tree that only the holder of an identity can read: they pass through ``age`` on their way to the disk.

``config/.env`` is stored as ``config/.env.age``, never in clear at any moment. What it held can be compared with a later source without
being opened: the manifest has one salted scrypt digest over all of them, so that nobody can try likely contents against it quickly
(a plain SHA-256 of a short file would tell what is in it).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import secrets
import subprocess
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._age import SUFFIX, Seal, check_sealed, problems, refuse
from ansible_collections.dihya.migration.plugins.module_utils._command import kill_group, start
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._tree import content
from ansible_collections.dihya.migration.plugins.module_utils._tree.entry import Entry, first_names, shown
from ansible_collections.dihya.migration.plugins.module_utils._tree.scan import excluder, hidden

SECRETS = (".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "id_rsa", "id_ecdsa", "id_ed25519", ".netrc",
           ".pgpass", ".npmrc", ".vault_pass*", "credentials.json", "key.properties", "secrets.y*ml")
ENCRYPTED = SUFFIX.encode()
# What C. Percival's paper on scrypt (2009) proposes for interactive use: about 50 ms and 16 MiB for each guess.
COST = {"n": 1 << 14, "r": 8, "p": 1}


@dataclass(frozen=True)
class Sealing:
    """Which files of a tree are stored encrypted (``patterns`` as those of ``exclude``), and for whom."""

    patterns: Sequence[str]
    seal: Seal
    readers: Sequence[str]

    @classmethod
    def from_options(cls, options: dict[str, Any] | None) -> Sealing | None:
        """The sealing of the module option ``encrypt``, tried; None when nothing is to be encrypted. Raises :class:`MigrationError`."""
        seal = Seal.from_options(options)
        if options is None or seal is None:
            return None
        refuse(problems(seal, None))
        return cls(tuple(options["patterns"]), seal, tuple(sorted(seal.keys())))

    @functools.cached_property
    def _named(self) -> Callable[[bytes], bool]:
        return excluder(self.patterns)

    def covers(self, path: bytes) -> bool:
        """Whether the file ``path``, or a directory above it, is named by a pattern."""
        return hidden(path, self._named)

    def require_free(self, path: bytes, there: Container[bytes]) -> None:
        """Raise when one name of the tree would become another one that is ``there``, or the other way round."""
        pairs = [(path, path + ENCRYPTED), (path[:-len(ENCRYPTED)], path)] if path.endswith(ENCRYPTED) else [(path, path + ENCRYPTED)]
        for clear, stored in pairs:
            if self.covers(clear) and (stored if clear == path else clear) in there:
                raise MigrationError(f"{shown(clear)} cannot be stored encrypted: {shown(stored)} is there already", subject="encrypt")

    def require(self, entries: Sequence[Entry]) -> None:
        """Raise unless every file of the scanned or received ``entries`` that is covered can be stored encrypted."""
        there = {entry.path for entry in entries}
        for entry in entries:
            if entry.is_file:
                self.require_free(entry.path, there)
        linked = [entry.path for entry in entries if entry.link_of is not None and (
            self.covers(entry.path) or self.covers(entry.link_of))]
        if linked:
            raise MigrationError(f"{first_names(linked)} cannot be stored encrypted: the file has several names (hard links)",
                                 subject="encrypt")

    def write(self, target: bytes, data: Iterable[bytes], entry: Entry, owner: tuple[int, int] | None,
              attributes: dict[str, bytes] | None, _source: int | None = None) -> str:
        """What :func:`content.write_file` does, the bytes encrypted and the name with ``.age``; the digest is that of the clear bytes."""
        digest = hashlib.sha256()
        descriptor = os.open(target + ENCRYPTED, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            process = start(self.seal.argv(), stdin=subprocess.PIPE, stdout=descriptor, stderr=subprocess.DEVNULL)
            try:
                status = _feed(process, data, digest)
            except BaseException:
                kill_group(process)
                raise
            if status != 0:
                raise MigrationError(f"age could not encrypt {shown(entry.path)} (exit status {status}): is there room?", subject="encrypt")
            content.dress(descriptor, entry, owner, attributes)
        except OSError as error:
            raise content.cannot_write(entry.path, error) from None
        finally:
            os.close(descriptor)
        return digest.hexdigest()

    def store(self, target: bytes, entries: list[Entry]) -> None:
        """Let ``entries`` of a tree just written to ``target`` say what is stored there instead of what the source has."""
        for entry in entries:
            if entry.is_file and self.covers(entry.path):
                full = content.place(target, entry.path) + ENCRYPTED
                check_sealed(os.fsdecode(full), self.seal)
                descriptor = content.open_source(full, entry.path)
                try:
                    size = os.fstat(descriptor).st_size
                    digest = content.digest_of(descriptor, size)
                finally:
                    os.close(descriptor)
                entry.clear_size, entry.clear_sha256 = entry.size, entry.sha256
                entry.path, entry.size, entry.sha256 = entry.path + ENCRYPTED, size, digest
        entries.sort(key=lambda entry: entry.path)

    def facts(self, entries: Sequence[Entry]) -> dict[str, Any]:
        """What the manifest says of the stored ``entries`` that are encrypted; public."""
        salt = secrets.token_hex(16)
        return {"files": len(sealed(entries)), "recipients": list(self.readers), "patterns": list(self.patterns), "salt": salt,
                "scrypt": token(clear_digests(entries), salt),
                "with": f"age; scrypt with {COST} over path and SHA-256 of what each of them holds"}

    def chooses_as(self, known: dict[str, Any] | None) -> bool:
        """Whether an earlier copy, of which :meth:`facts` told ``known``, was encrypted by the same patterns for the same readers."""
        return known is not None and (known["recipients"], known["patterns"]) == (list(self.readers), list(self.patterns))

    def agrees(self, known: dict[str, Any] | None, digests: Mapping[bytes, str | None]) -> bool:
        """Whether an earlier copy, of which :meth:`facts` told ``known``, holds what has ``digests`` now, for the same readers."""
        return (known is not None and (known["recipients"], known["files"]) == (list(self.readers), len(digests))
                and secrets.compare_digest(known["scrypt"], token(digests, known["salt"])))


def _feed(process: subprocess.Popen, data: Iterable[bytes], digest: Any) -> int:
    if process.stdin is None:
        raise MigrationError("age has no input")
    try:
        for chunk in data:
            digest.update(chunk)
            process.stdin.write(chunk)
        process.stdin.close()
    except BrokenPipeError:  # it ended before its input did: its status tells
        pass
    return process.wait()


def sealed(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that are stored encrypted."""
    return [entry for entry in entries if entry.clear_size is not None]


def in_clear(name: str, entries: Iterable[Entry]) -> list[str]:
    """What the journal does not take for proved of the copy ``name``, of which nothing is encrypted: one sentence or none."""
    named = excluder(SECRETS)
    count = sum(entry.is_file and hidden(entry.path, named) for entry in entries)
    said = f"that no secret lies in clear in the copy of {name}: {count} files have names of secrets, and no recipient of age is named"
    return [said] if count else []


def clear_digests(entries: Iterable[Entry]) -> dict[bytes, str | None]:
    """The clear digests of the encrypted ones of stored ``entries``, by their path at the source."""
    return {entry.path[:-len(ENCRYPTED)]: entry.clear_sha256 for entry in sealed(entries)}


def token(digests: Mapping[bytes, str | None], salt: str) -> str:
    """Hexadecimal scrypt digest over paths and clear digests."""
    lines = [path + b"\0" + (digest or "").encode() + b"\0" for path, digest in sorted(digests.items())]
    return hashlib.scrypt(b"".join(lines), salt=bytes.fromhex(salt), dklen=32, **COST).hex()


def as_source(entries: Iterable[Entry], digests: Mapping[bytes, str | None]) -> list[Entry]:
    """Stored ``entries`` as they were at the source, sorted; what was encrypted has its clear size and its digest of ``digests``."""
    found = []
    for entry in entries:
        if entry.clear_size is not None:
            path = entry.path[:-len(ENCRYPTED)]
            entry = dataclasses.replace(entry, path=path, size=entry.clear_size, sha256=digests.get(path), clear_size=None)
        found.append(entry)
    return sorted(found, key=lambda entry: entry.path)
