# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secret files are private from their first byte, and their content is shown nowhere."""

from __future__ import annotations

import io
import json
import stat
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.dihya.migration.plugins.modules import secret_files

CANARY = "canary-9c51-é"


def run(monkeypatch: pytest.MonkeyPatch, check_mode: bool = False, **args: Any) -> dict[str, Any]:
    """The module's result, run in this process."""
    from ansible.module_utils import basic
    arguments = {"ANSIBLE_MODULE_ARGS": {"_ansible_check_mode": check_mode, "_ansible_diff": True, **args}}
    out = io.StringIO()
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(arguments).encode())
    if hasattr(basic, "_ANSIBLE_PROFILE"):
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
    with mock.patch.object(sys, "stdout", out), pytest.raises(SystemExit):
        secret_files.main()
    assert CANARY not in out.getvalue() and "canary" not in out.getvalue()
    return json.loads(out.getvalue())


def test_present_then_absent_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run" / "secrets" / "pgpass"
    files = [{"path": str(path), "content": CANARY}]
    (tmp_path / "run").mkdir()
    assert run(monkeypatch, files=files)["changed"]
    assert path.read_text(encoding="utf-8") == CANARY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not run(monkeypatch, files=files)["changed"]
    assert run(monkeypatch, files=files, state="absent")["changed"]
    assert not path.parent.exists()
    assert not run(monkeypatch, files=files, state="absent")["changed"]


def test_another_file_keeps_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "other").write_text("x")
    run(monkeypatch, files=[{"path": str(tmp_path / "secrets" / "a"), "content": CANARY}])
    run(monkeypatch, files=[{"path": str(tmp_path / "secrets" / "a")}], state="absent")
    assert [entry.name for entry in (tmp_path / "secrets").iterdir()] == ["other"]


def test_a_loose_mode_or_another_content_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pgpass"
    path.write_text(CANARY, encoding="utf-8")
    path.chmod(0o644)
    assert run(monkeypatch, files=[{"path": str(path), "content": CANARY}])["changed"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run(monkeypatch, files=[{"path": str(path), "content": CANARY + "2"}])["changed"]


def test_check_mode_writes_and_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secrets" / "pgpass"
    files = [{"path": str(path), "content": CANARY}]
    assert run(monkeypatch, check_mode=True, files=files)["changed"]
    assert not path.parent.exists()
    run(monkeypatch, files=files)
    assert run(monkeypatch, check_mode=True, files=files, state="absent")["changed"]
    assert path.exists()


@pytest.mark.parametrize("entry", [
    {"path": "relative", "content": CANARY}, {"path": "/proc/none/x", "content": CANARY}, {"path": "/nonexistent-x"},
])
def test_a_file_that_cannot_be_placed_is_a_clear_error(entry: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, files=[entry])
    assert result["failed"] and "Traceback" not in result["msg"]
