# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Searches files for secrets, also where they are packed, encoded or escaped."""

from __future__ import annotations

import base64
import bz2
import contextlib
import hashlib
import html
import io
import json
import lzma
import os
import pathlib
import re
import stat
import tarfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SHORTEST = 12  # characters of a canary: a shorter one is found by chance
DEEPEST = 6  # containers inside containers that are opened
LARGEST = 1 << 29  # bytes of one unpacked stream
PIECE = 1 << 16  # bytes that are unpacked at a time
# Where a run of digits is too short, so is what begins within it.
BASE64 = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-](?:[A-Za-z0-9+/_-]|\\?\r?\n|\\n){39,}={0,2}")
ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]")


@dataclass(frozen=True)
class Find:
    """Where a canary lies: the file, what had to be opened on the way, and how it is written there."""

    path: str
    inside: str
    canary: str
    form: str


def find_secrets(paths: Iterable[str | os.PathLike[str]], canaries: Mapping[str, str]) -> list[Find]:
    """Every place below ``paths`` that holds one of ``canaries`` (a name for each value).

    Looks at names of files, targets of links and contents, also inside gzip, bzip2, xz, zip, tar, zlib streams and
    base64, and through the escapes of URLs, JSON, HTML, SQL and the shell. Raises ``OSError`` for what cannot be read
    and ``ValueError`` for a canary too short to mean anything or a stream too large: nothing is passed over in silence.
    """
    forms = {name: spellings(value) for name, value in canaries.items()}
    known: dict[bytes, list[tuple[str, str, str]]] = {}  # a copy holds what the first one does
    found = []
    for path in _files(paths):
        found += [Find(path, "its name", name, form) for name, form in _match(os.fsencode(path), forms)]
        if os.path.islink(path):
            found += [Find(path, "link", name, form) for name, form in _match(os.fsencode(os.readlink(path)), forms)]
            continue
        content = pathlib.Path(path).read_bytes()
        digest = hashlib.sha256(content).digest()
        if digest not in known:
            known[digest] = [(inside, *hit) for inside, data in _layers(content, "", 0) for hit in _match(data, forms)]
        found += [Find(path, *hit) for hit in known[digest]]
    return found


def spellings(value: str) -> dict[str, list[bytes]]:
    """Each way in which ``value`` may be written, as bytes to look for."""
    if len(value) < SHORTEST:
        raise ValueError(f"a canary needs {SHORTEST} characters to mean anything")
    raw = value.encode()
    strings = {
        "plain": {value}, "url": {urllib.parse.quote(value), urllib.parse.quote_plus(value), urllib.parse.quote(value, safe="")},
        "json": {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(json.dumps(value))[3:-3]},
        "html": {html.escape(value), html.escape(value, quote=False)}, "sql": {value.replace("'", "''")},
        "shell": {value.replace("'", "'\"'\"'"), value.replace("'", "'\\''")}, "yaml": {value.replace("\\", "\\\\").replace('"', '\\"')},
    }
    strings["url"] |= {re.sub("%..", lambda match: match[0].lower(), text) for text in strings["url"]}
    found = {form: [text.encode() for text in texts] for form, texts in strings.items()}
    found["utf-16"] = [value.encode("utf-16-le"), value.encode("utf-16-be")]
    found["hex"] = [raw.hex().encode(), raw.hex().upper().encode()]
    found["base64"] = [part for shift in range(3) for part in _aligned(raw, shift)]
    return found


def _aligned(raw: bytes, shift: int) -> set[bytes]:
    """The base64 digits of ``raw`` that do not depend on its neighbours when it begins ``shift`` bytes into a group."""
    begin = (shift * 8 + 5) // 6
    end = (shift + len(raw)) * 8 // 6
    padded = b"\0" * shift + raw
    return {base64.b64encode(padded)[begin:end], base64.urlsafe_b64encode(padded)[begin:end]}


def _match(data: bytes, forms: Mapping[str, Mapping[str, list[bytes]]]) -> Iterator[tuple[str, str]]:
    for name, spelled in forms.items():
        form = next((form for form, needles in spelled.items() if any(needle in data for needle in needles)), None)
        if form:
            yield name, form


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    for path in (os.fspath(path) for path in paths):
        if not os.path.isdir(path) or os.path.islink(path):
            if os.path.islink(path) or stat.S_ISREG(os.lstat(path).st_mode):
                yield path
            continue
        for entry in sorted(os.listdir(path)):
            yield from _files([os.path.join(path, entry)])


def _layers(data: bytes, inside: str, depth: int) -> Iterator[tuple[str, bytes]]:
    """``data`` and everything packed in it, each with the way to it."""
    yield inside, data
    if depth == DEEPEST:
        return
    for how, unpacked in _unpack(data):
        yield from _layers(unpacked, f"{inside}/{how}".lstrip("/"), depth + 1)


def _unpack(data: bytes) -> Iterator[tuple[str, bytes]]:
    for magic, how, opener in ((b"\x1f\x8b", "gzip", lambda: zlib.decompressobj(31)), (b"BZh", "bzip2", bz2.BZ2Decompressor),
                               (b"\xfd7zXZ\0", "xz", lzma.LZMADecompressor)):
        if data.startswith(magic):
            yield how, _expand(data, opener)
    if b"PK\x03\x04" in data[:65536]:
        yield from _zip_members(data)
    if data[257:262] == b"ustar":
        yield from _tar_members(data)
    view = memoryview(data)  # a slice of it copies nothing
    for match in ZLIB.finditer(data):
        unpacked = _expand(view[match.start():], zlib.decompressobj, once=True)
        if unpacked:
            yield f"zlib@{match.start()}", unpacked
    for match in BASE64.finditer(data):
        text = re.sub(rb"\\n|\\?\r?\n", b"", match[0]).rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        yield f"base64@{match.start()}", base64.b64decode(text[:len(text) // 4 * 4] + _rest(text))


def _rest(text: bytes) -> bytes:
    """The last, incomplete group of base64 digits, padded; one digit alone carries nothing."""
    digits = text[len(text) // 4 * 4:]
    return digits + b"=" * (4 - len(digits)) if len(digits) > 1 else b""


def _zip_members(data: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile:  # cut off before its directory: what begins there is still to be read
        for match in re.finditer(rb"PK\x03\x04.{22}(..)(..)", data, re.DOTALL):
            begin = match.end() + int.from_bytes(match[1], "little") + int.from_bytes(match[2], "little")
            yield f"zip@{match.start()}", _expand(memoryview(data)[begin:], lambda: zlib.decompressobj(-15), once=True)
        return
    for member in archive.infolist():
        if member.file_size > LARGEST:
            raise ValueError("a member of an archive is too large to be searched")
        if not member.is_dir():
            yield f"zip:{member.filename}", member.filename.encode() + b"\n" + archive.read(member)


def _tar_members(data: bytes) -> Iterator[tuple[str, bytes]]:
    with contextlib.suppress(tarfile.ReadError), tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            yield f"tar:{member.name}", f"{member.name}\n{member.linkname}\n".encode() + (stream.read() if stream else b"")


def _expand(data: bytes | memoryview, opener: Callable[[], Any], once: bool = False) -> bytes:
    """What the compressed streams in ``data`` hold, as far as they go: a killed writer leaves torn ones."""
    out, begin, stream = [], 0, opener()
    while begin < len(data):
        piece = data[begin:begin + PIECE]
        try:
            out.append(stream.decompress(piece))
        except (OSError, EOFError, zlib.error, lzma.LZMAError):
            break
        if sum(map(len, out)) > LARGEST:
            raise ValueError("a packed stream is too large to be searched")
        begin += len(piece) - len(stream.unused_data)
        if stream.eof:
            if once:
                break
            stream = opener()
    return b"".join(out)
