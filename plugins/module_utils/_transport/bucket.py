# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``bucket``: objects in S3, MinIO or whatever else rclone reaches. Credentials stand in rclone's own file and nowhere else."""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from ansible_collections.dihya.migration.plugins.module_utils._command import find_tool, kill_group, start
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

RCLONE = "rclone"
# A name of the configuration, then a bucket. What begins with a colon or has a comma would be a connection string with secrets in it.
PLACE = re.compile(r"(?P<remote>[A-Za-z0-9_][A-Za-z0-9_.+@ -]*):(?P<path>[^\0-\x1f\x7f]+)\Z")
CHUNK = 1 << 20
PART, PARTS = 8 << 20, 9_000  # S3 takes at most 10,000 parts
PATIENCE = 120.0
ABSENT = 3
# What rclone and S3 say, and what that means to the reader; nothing else of their words is shown.
SAYS = (
    (b"NoSuchBucket", "there is no such bucket"),
    (b"directory not found", "there is no such bucket or path"),
    (b"SignatureDoesNotMatch", "it does not accept these credentials"),
    (b"InvalidAccessKeyId", "it does not accept these credentials"),
    (b"AccessDenied", "these credentials may not do that"),
    (b"StatusCode: 403", "these credentials may not do that"),
    (b"didn't find section", "the configuration does not name this remote"),
    (b"connection refused", "nothing listens there"),
    (b"no such host", "its name is unknown"),
    (b"certificate", "its TLS certificate is not accepted"),
    (b"timeout", "it does not answer"),
    (b"deadline exceeded", "it does not answer"),
    (b"no space left", "it has no room left"),
)


@dataclass(frozen=True)
class Bucket:
    """A place for objects: ``remote`` as rclone writes it (``NAME:BUCKET/PREFIX``), ``config`` the path of its private configuration."""

    remote: str
    config: str

    @classmethod
    def from_options(cls, options: Sequence[dict[str, Any]]) -> list[Bucket]:
        """The places of the module option ``buckets``; raises one :class:`MigrationError` with everything that is wrong with them."""
        places = [cls((one.get("remote") or "").rstrip("/"), one.get("config") or "") for one in options]
        found = [finding for place in places for finding in place.problems()]
        if found:
            raise MigrationError("buckets: " + "; ".join(found), subject="buckets", findings=found)
        return places

    def problems(self) -> list[str]:
        """What stands against using it, as far as this host can tell without the network."""
        match = PLACE.match(self.remote)
        if match is None or "," in self.remote or ".." in self.remote.split("/"):
            return ["remote must be NAME:BUCKET/PREFIX, where NAME is a section of config (a connection string may hold secrets)"]
        try:
            status = os.stat(self.config)
        except OSError as error:
            return [f"config {self.config}: {error.strerror}"]
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
            return [f"config {self.config} must be a file that only its owner can read: chmod 600 {self.config}"]
        sections = configparser.RawConfigParser(strict=False)
        try:
            sections.read(self.config, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            return [f"config {self.config} is no configuration of rclone (an encrypted one cannot be used)"]
        if not sections.has_section(match["remote"]):
            return [f"config {self.config} does not name the remote {match['remote']}"]
        return []

    def at(self, path: str) -> str:
        """The place of the object ``path`` as rclone writes it."""
        return f"{self.remote}/{path}"

    def names(self, path: str = "") -> list[str]:
        """Sorted names of objects, and of prefixes with a final ``/``, directly below ``path``. Raises when the bucket is missing."""
        status, out, said = self._run(["lsf", "--max-depth", "1", self.at(path) if path else self.remote])
        if status == ABSENT and (path or "/" in self.remote.partition(":")[2]):
            return []
        self._require(status, said, "listed")
        return sorted(line for line in os.fsdecode(out).split("\n") if line)

    def read(self, path: str, limit: int = 1 << 30) -> bytes | None:
        """The bytes of a small object, None when it is not there."""
        name = path.rpartition("/")
        if name[2] not in self.names(name[0]):
            return None
        status, out, said = self._run(["cat", "--count", str(limit), self.at(path)])
        self._require(status, said, "read")
        return out

    def write(self, path: str, data: bytes) -> None:
        """Put a small object."""
        with self.sending(path, len(data)) as stream:
            stream.write(data)

    def digest(self, path: str, tick: Any = lambda amount: None) -> tuple[int, str]:
        """Size and SHA-256 of an object, read whole from the remote."""
        digest, size = hashlib.sha256(), 0
        with tempfile.TemporaryFile() as errors:
            process = start(self._argv(["cat", self.at(path)]), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                            on_death=signal.SIGKILL)
            try:
                stdout: IO[bytes] = process.stdout  # type: ignore[assignment]  # it is a pipe
                for chunk in iter(lambda: stdout.read(CHUNK), b""):
                    digest.update(chunk)
                    size += len(chunk)
                    tick(len(chunk))
                status = process.wait(PATIENCE)
            finally:
                kill_group(process)
                if process.stdout is not None:
                    process.stdout.close()
            self._require(status, _said(errors), "read")
        return size, digest.hexdigest()

    @contextlib.contextmanager
    def sending(self, path: str, bound: int) -> Iterator[IO[bytes]]:
        """A stream to the object ``path``, of at most ``bound`` bytes, sent in parts.

        The object exists once this returns; an error leaves it unfinished.
        """
        part = max(PART, -(-bound // PARTS))
        argv = self._argv(["rcat", "--s3-chunk-size", f"{-(-part // 1024)}Ki", "--s3-no-check-bucket", self.at(path)])
        with tempfile.TemporaryFile() as errors:
            # Killed with us: it would take the end of its input for the end of the object.
            process = start(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, on_death=signal.SIGKILL)
            try:
                if process.stdin is None:
                    raise AssertionError("process.stdin is set before")
                yield process.stdin
                process.stdin.close()
                status = process.wait()
            except BrokenPipeError:
                status = process.wait()
                self._require(status or 1, _said(errors), "written to")
            finally:
                kill_group(process)  # before its input is closed, which it would take for the end of the object
                if process.stdin is not None:
                    with contextlib.suppress(BrokenPipeError):
                        process.stdin.close()
            self._require(status, _said(errors), "written to")

    def remove(self, path: str, first: str, last: str, parts: Sequence[str]) -> None:
        """Remove the objects directly below ``path``, the one called ``first`` first and those whose names begin with ``last`` last, and
        uploads that nobody finished of ``parts``, which are sent in parts."""
        found = [name for name in self.names(path) if not name.endswith("/")]
        for name in sorted(found, key=lambda name: (name != first, name.startswith(last))):
            self.delete(f"{path}/{name}")
        self.forget_unfinished(path, parts)

    def delete(self, path: str) -> None:
        """Remove one object."""
        status, _out, said = self._run(["deletefile", self.at(path)])
        self._require(status, said, "written to")

    def work(self, words: Sequence[str], names: Iterable[str] | None, done: str, tick: Any = lambda amount: None) -> bytes:
        """What one rclone says that does ``words`` for the objects ``names`` (all of them when None; never call it with none).

        ``tick`` gets the bytes as they move. Raises when it fails; ``done`` is what the place then cannot be. A prefix with nothing below
        it is none of that.
        """
        chosen = [] if names is None else ["--files-from-raw", "-"]
        stats = ["--transfers=16", "--checkers=16", "--use-json-log", "--stats=1s", "--stats-log-level=NOTICE"]
        with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as out:
            asked.write("".join(f"{name}\n" for name in names or ()).encode())
            asked.seek(0)
            process = start(self._argv([*words, *chosen, *stats]), stdin=asked, stdout=out, stderr=subprocess.PIPE, on_death=signal.SIGKILL)
            said, moved = b"", 0
            try:
                stderr: IO[bytes] = process.stderr  # type: ignore[assignment]  # it is a pipe
                for line in stderr:
                    found = _moved(line)
                    if found is None:
                        said = (said + line)[-(1 << 16):]
                    elif found > moved:
                        tick(found - moved)
                        moved = found
                status = process.wait()
            finally:
                kill_group(process)
                if process.stderr is not None:
                    process.stderr.close()
            if status == ABSENT and "/" in self.remote.partition(":")[2]:
                return b""
            self._require(status, said, done)
            out.seek(0)
            return out.read()

    def version(self) -> tuple[int, int]:
        """Of rclone itself."""
        _status, out, _log = self._run(["version"])
        found = re.search(rb"v(\d+)\.(\d+)", out)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    def identity(self) -> str:
        """The place by its server, which two configurations may call differently; without anything secret."""
        sections = configparser.RawConfigParser(strict=False)
        sections.read(self.config, encoding="utf-8")
        name, _colon, path = self.remote.partition(":")
        told = [sections.get(name, option, fallback="") for option in ("type", "endpoint", "provider", "region")]
        server = told[1].partition("://")[2].rpartition("@")[2].rstrip("/") if "://" in told[1] else told[1].rpartition("@")[2]
        return f"bucket {path} at {server or ' '.join(word for word in (told[0], told[2], told[3]) if word)}"[:300]

    def forget_unfinished(self, path: str, names: Iterable[str]) -> None:
        """End the unfinished uploads of the objects ``names`` directly below ``path``: nobody sees them, but they are paid for.

        Of these objects alone. Rclone takes a path for the beginning of a name, and the upload of ``path-2`` may be somebody else's who is
        at it now; MinIO and versitygw tell of an upload only when its whole name is asked for. Not every remote has this, and not every one
        tells whose an upload is.
        """
        for name in names:
            place = f"{path}/{name}"
            status, told, _log = self._run(["backend", "list-multipart-uploads", self.at(place)])
            if status == 0 and any(f"/{key}".endswith(f"/{place}") for key in _uploads(told)):
                self._run(["backend", "cleanup", self.at(place), "-o", "max-age=0s"])

    def _argv(self, words: Sequence[str]) -> list[str]:
        patience = ["--contimeout=20s", "--timeout=120s", "--retries=2", "--low-level-retries=4", "--ask-password=false"]
        return [find_tool(RCLONE), f"--config={self.config}", *patience, *words]

    def _run(self, words: Sequence[str]) -> tuple[int, bytes, bytes]:
        process = start(self._argv(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        on_death=signal.SIGKILL)
        try:
            out, said = process.communicate(timeout=PATIENCE * 5)
        except subprocess.TimeoutExpired:
            raise MigrationError(f"{self.remote} does not answer") from None
        finally:
            kill_group(process)
        return process.returncode, out, said

    def _require(self, status: int, said: bytes, done: str) -> None:
        if status != 0:
            reason = next((meaning for words, meaning in SAYS if words in said), f"rclone ended with status {status}")
            raise MigrationError(f"{self.remote} cannot be {done}: {reason}", subject="buckets")


def _uploads(told: bytes) -> list[str]:
    """The keys of unfinished uploads in what rclone tells of them."""
    try:
        return [str(one["Key"]) for listed in json.loads(told).values() for one in listed or []]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _moved(line: bytes) -> int | None:
    """The bytes that a line of rclone's log counts, None when it says something else."""
    try:
        return int(json.loads(line)["stats"]["bytes"])
    except (ValueError, KeyError, TypeError):
        return None


def _said(errors: IO[bytes]) -> bytes:
    errors.seek(0)
    return errors.read(1 << 16)
