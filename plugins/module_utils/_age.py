# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What only the holder of an identity can read: everything passes through the program ``age``.

Nothing lies on disk in clear at any moment: what other tools print is piped, what we hold ourselves goes from memory. The
recipients are public and stand in the inventory and in the manifest; the identity is a file that its owner lends for a
restore: it is read in place by age and copied nowhere.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool, kill_group, run, start
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._files import fsync_file

AGE = "age"
SUFFIX = ".age"
INTRODUCTION = b"age-encryption.org/v1\n"
STANZA = re.compile(rb"-> (X25519|ssh-rsa|ssh-ed25519) ")
RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")
SEAL_SPEC: dict[str, dict[str, Any]] = {
    # Public, but one of them may be a secret key that somebody pasted by mistake: it is refused, and must not be shown.
    "recipients": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "recipients_files": {"type": "list", "elements": "path", "default": []},
}
RECIPIENTS, IDENTITY = "recipients", "identity"
PATIENCE = 60.0  # seconds that age gets for the small things we hold in memory

Problem = tuple[str, str, str]
"""Subject, finding and remedy."""


@dataclass(frozen=True)
class Seal:
    """For whom a backup is encrypted: X25519 recipients and files of recipients, each of whom can read all of it."""

    recipients: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: dict[str, Any] | None) -> Seal | None:
        """The seal of a module option declared by ``SEAL_SPEC``, None when nothing is to be encrypted."""
        return cls(tuple(options["recipients"]), tuple(options["recipients_files"])) if options is not None else None

    def argv(self) -> list[str]:
        """The command that encrypts its input to its output."""
        return [find_tool(AGE), "--encrypt", *(f"--recipient={one}" for one in self.recipients),
                *(f"--recipients-file={path}" for path in self.files)]

    def keys(self) -> list[str]:
        """All recipients, those in the files too."""
        found = list(self.recipients)
        for path in self.files:
            with open(path, encoding="utf-8") as stream:
                found += [line for line in map(str.strip, stream) if line and not line.startswith("#")]
        return found


def opening(path: str, identity: str) -> list[str]:
    """The command that decrypts the file ``path`` to its output."""
    return [find_tool(AGE), "--decrypt", f"--identity={identity}", path]


def seal(data: bytes, path: str, how: Seal) -> None:
    """Write ``data`` encrypted to ``path`` (mode 0600) and make it durable."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        status, _out = _pass(how.argv(), data, descriptor)
    finally:
        os.close(descriptor)
    if status != 0:
        raise MigrationError(f"age could not encrypt {os.path.basename(path)} (exit status {status}): is there room, are the "
                             "recipients valid?", subject="encrypt")
    fsync_file(path)


def unseal(path: str, identity: str) -> bytes:
    """What is encrypted in ``path``, in memory."""
    status, out = _pass(opening(path, identity), b"", subprocess.PIPE)
    if status != 0:
        raise MigrationError(f"{os.path.basename(path)} cannot be decrypted with {identity}: lend the identity of one of the backup's "
                             "recipients", subject="identity")
    return out


def _pass(argv: Sequence[str], data: bytes, stdout: int) -> tuple[int, bytes]:
    process = start(argv, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.DEVNULL)
    try:
        out, _err = process.communicate(data, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        kill_group(process)
        raise MigrationError(f"age did not end within {PATIENCE:g} s and was stopped") from None
    except BaseException:
        kill_group(process)
        raise
    return process.returncode, out or b""


def check_sealed(path: str, how: Seal) -> None:
    """Raise :class:`MigrationError` unless ``path`` is an age file that names as many recipients as were asked for."""
    with open(path, "rb") as stream:
        lines = [stream.readline(4096)]
        while lines[-1] and not lines[-1].startswith(b"--- ") and len(lines) < 100_000:
            lines.append(stream.readline(4096))
    stanzas = sum(bool(STANZA.match(line)) for line in lines)
    if lines[0] != INTRODUCTION or not lines[-1].startswith(b"--- ") or stanzas != len(how.keys()):
        raise MigrationError(f"{os.path.basename(path)} is not encrypted for {len(how.keys())} recipients as it should be")


def problems(how: Seal | None, identity: str | None, needed: bool = False) -> list[Problem]:
    """Everything that stands against encrypting for ``how`` and opening it again with ``identity``, all at once.

    age itself is tried, on a random text. ``needed`` tells that something will have to be opened. Subjects are ``recipients`` and
    ``identity``: who asks knows the variables.
    """
    if how is None and not identity:
        return []
    try:
        find_tool(AGE)
    except MigrationError:
        return [(RECIPIENTS, "the program age is not installed", "install the package age on the mover")]
    found = _recipients(how) if how is not None else []
    if identity:
        found += _identity(identity, None if found else how)
    elif needed:
        found.append((IDENTITY, "backups are encrypted, and to restore them here an identity is needed",
                      "name the file of one recipient's identity on the mover"))
    return found


def _recipients(how: Seal) -> list[Problem]:
    found: list[Problem] = [] if how.recipients or how.files else [(RECIPIENTS, "no recipient is named", "name at least one")]
    for number, recipient in enumerate(how.recipients, 1):  # never shown: somebody may have pasted a secret key
        if recipient.upper().startswith("AGE-SECRET-KEY-"):
            found.append((RECIPIENTS, f"recipient {number} is a secret key", "make a new pair, and name its public key (age1…)"))
        elif not RECIPIENT.fullmatch(recipient) or not _accepted(Seal((recipient,))):
            found.append((RECIPIENTS, f"recipient {number} is not valid", "name what age-keygen prints as the public key (age1…)"))
    for path in how.files:
        if not os.access(path, os.R_OK) or not _accepted(Seal((), (path,))):
            found.append((RECIPIENTS, f"{path} is no readable file of recipients", "put it on the mover, one recipient a line"))
    return found


def _accepted(how: Seal) -> bool:
    return _pass(how.argv(), b"", subprocess.DEVNULL)[0] == 0


def _identity(path: str, how: Seal | None) -> list[Problem]:
    try:
        found = os.stat(path)
    except OSError as error:
        return [(IDENTITY, f"{path} cannot be read: {error.strerror}", "put the identity file on the mover for as long as the run lasts")]
    if not stat.S_ISREG(found.st_mode) or not os.access(path, os.R_OK):
        return [(IDENTITY, f"{path} is no file that can be read", "name the identity file")]
    if found.st_mode & 0o077:
        return [(IDENTITY, f"{path} can be read by others", f"chmod 600 {path}")]
    if how is None:
        return []
    token = secrets.token_hex(16).encode()
    _status, sealed = _pass(how.argv(), token, subprocess.PIPE)
    if _pass([find_tool(AGE), "--decrypt", f"--identity={path}"], sealed, subprocess.PIPE) != (0, token):
        return [(IDENTITY, f"{path} opens nothing that is encrypted for the recipients",
                 "lend the identity of one of them, without a passphrase")]
    return []


def refuse(found: list[Problem]) -> None:
    """Raise one :class:`MigrationError` with all of ``found``."""
    if found:
        raise MigrationError("; ".join(f"{text}: {remedy}" for _subject, text, remedy in found), subject=found[0][0],
                             findings=[f"{text}: {remedy}" for _subject, text, remedy in found])


def version() -> str:
    """The version of age."""
    return run([find_tool(AGE), "--version"], timeout=20).stdout.strip()
