# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The search for secrets finds them wherever they may hide; a search that cannot fail would prove nothing."""

from __future__ import annotations

import base64
import gzip
import io
import json
import lzma
import os
import tarfile
import urllib.parse
import zipfile
import zlib

import pytest

from tests.support.canaries import find_secrets

CANARY = "c4nary/+é'\"&<x>-%1"
RAW = CANARY.encode()


def zipped(data):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("args.json", data)
    return out.getvalue()


def tarred(data, mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        member = tarfile.TarInfo("dump/globals.sql")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


HIDING = {
    "plain": b"password=" + RAW,
    "url": b"postgresql://u:" + urllib.parse.quote(CANARY, safe="").encode() + b"@h/",
    "url-lower": urllib.parse.quote_plus(CANARY).lower().encode(),
    "json": json.dumps({"p": CANARY}).encode(),
    "json-utf8": json.dumps({"p": CANARY}, ensure_ascii=False).encode(),
    "json-in-json": json.dumps({"p": json.dumps(CANARY)}).encode(),
    "html": b"<td>c4nary/+\xc3\xa9&#x27;&quot;&amp;&lt;x&gt;-%1</td>",
    "sql": b"PASSWORD '" + RAW.replace(b"'", b"''") + b"'",
    "utf-16": CANARY.encode("utf-16-le"),
    "hex": RAW.hex().encode(),
    **{f"base64-{shift}": base64.b64encode(b"x" * shift + RAW + b"tail") for shift in range(3)},
    "base64-wrapped": base64.encodebytes(b"long enough to be wrapped over two lines or more " + RAW * 3),
    "base64-url": base64.urlsafe_b64encode(b"\xff\xfe" + RAW),
    "gzip": gzip.compress(b"x" * 99 + RAW),
    "xz": lzma.compress(RAW),
    "zip": zipped(RAW),
    "zip-after-a-script": b"#!/bin/sh\nexec unzip\n" + zipped(RAW),
    "tar": tarred(RAW),
    "tar.gz": tarred(RAW, "w:gz"),
    "zlib-in-a-pdf": b"%PDF-1.7 stream\n" + zlib.compress(b"BT (" + RAW + b") ET") + b"\nendstream",
    "module-payload": b'ZIPDATA = """' + base64.b64encode(zipped(json.dumps({"password": CANARY}))) + b'"""',
    "torn-gzip": gzip.compress(RAW + os.urandom(4000))[:2000],
    "torn-zip": zipped(RAW + os.urandom(4000))[:2000],
    "torn-tar.gz": tarred(RAW + os.urandom(40000), "w:gz")[:20000],
    "zip-in-tar-in-gzip": gzip.compress(tarred(zipped(RAW))),
}


@pytest.mark.parametrize("how", HIDING)
def test_a_secret_is_found(tmp_path, how):
    (tmp_path / "file").write_bytes(HIDING[how])
    assert {find.canary for find in find_secrets([tmp_path], {"db": CANARY})} == {"db"}


@pytest.mark.parametrize("how", HIDING)
def test_another_secret_is_not(tmp_path, how):
    (tmp_path / "file").write_bytes(HIDING[how])
    assert find_secrets([tmp_path], {"db": "another-canary-of-this-test"}) == []


def test_names_and_links_are_searched(tmp_path):
    (tmp_path / "canary-in-a-name").touch()
    (tmp_path / "link").symlink_to("/nowhere/canary-in-a-link")
    found = find_secrets([tmp_path], {"name": "canary-in-a-name", "link": "canary-in-a-link"})
    assert {(find.canary, find.inside) for find in found} == {("name", "its name"), ("link", "link")}


def test_what_is_no_file_is_passed_over(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert find_secrets([tmp_path], {"x": "a-canary-of-this-test"}) == []


def test_a_canary_that_chance_could_write_is_refused(tmp_path):
    with pytest.raises(ValueError, match="12 characters"):
        find_secrets([tmp_path], {"x": "short"})
