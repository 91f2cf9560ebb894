# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packages come from where pip was told to take them, whatever installs them."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from dev import installer

OURS, OTHER = pathlib.Path("/ours/bin/python"), pathlib.Path("/other/bin/python")


class Failed(Exception):
    """A command did not succeed."""


@pytest.mark.parametrize(("told", "variables"), [
    ("", {}),
    ("global.cert='/ca.pem'\nglobal.timeout='9'\n", {"SSL_CERT_FILE": "/ca.pem"}),
    (":env:.index-url='https://mirror/simple'\nglobal.index-url='https://other/simple'\n", {"UV_DEFAULT_INDEX": "https://mirror/simple"}),
    ("install.find-links='/wheels'\n", {"UV_FIND_LINKS": "/wheels"}),
])
def test_uv_is_told_what_pip_was_told(told, variables):
    assert installer.variables_for_uv(told) == {"UV_SYSTEM_CERTS": "true", **variables}


@pytest.mark.parametrize("told", [
    "global.no-index='true'\n", "global.proxy='http://proxy:3128'\n", "global.extra-index-url='https://a/simple'\n",
    "global.index-url='https://a/simple\\nhttps://b/simple'\n", "global.client-cert='/me.pem'\n", "global.trusted-host='mirror'\n",
])
def test_where_uv_cannot_be_told_all_of_it_pip_installs(told, monkeypatch):
    monkeypatch.setattr(installer.subprocess, "run", lambda argv, **_options: subprocess.CompletedProcess(argv, 0, told))
    ran = []
    installer.install(OURS, OTHER, ["x==1"], lambda argv, **_options: ran.append(argv), Failed)
    assert installer.variables_for_uv(told) is None
    assert ran == [[str(OURS), "-m", "pip", "--python", str(OTHER), "install", "--disable-pip-version-check", "--no-input", "x==1"]]


def test_what_uv_cannot_do_pip_does_or_explains(monkeypatch):
    monkeypatch.setattr(installer.subprocess, "run", lambda argv, **_options: subprocess.CompletedProcess(argv, 0, ""))
    ran = []

    def run(argv, **_options):
        ran.append(argv[0])
        if argv[0] == "/ours/bin/uv":
            raise Failed

    installer.install(OURS, OTHER, ["x==1"], run, Failed)
    assert ran == [str(OURS), "/ours/bin/uv", str(OURS)]
