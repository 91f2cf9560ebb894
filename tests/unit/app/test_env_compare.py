# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An environment that is compared by digest: verdicts by name, no value anywhere."""

from __future__ import annotations

import json

from ansible_collections.dihya.migration.plugins.module_utils._app.env_compare import compare, salted, verdicts

SALT = "s" * 40
LIVE = {"KEY": "canary-a", "MAIL": "canary-b", "OLD": "canary-c", "DATABASE_URL": "canary-d", "GONE": "canary-e"}
COMING = {"KEY": "canary-a", "MAIL": "canary-z", "FRESH": "canary-f", "DATABASE_URL": "canary-new"}


def digests(values: dict[str, str]) -> dict[str, str]:
    return {name: salted(SALT, value) for name, value in values.items()}


def test_each_variable_has_one_verdict():
    assert verdicts(LIVE, digests(COMING), SALT, ["DATABASE_URL", "GONE"]) == {
        "KEY": "same", "MAIL": "differs", "OLD": "missing", "FRESH": "new", "DATABASE_URL": "expected", "GONE": "expected"}


def test_a_digest_under_another_salt_is_no_proof():
    assert verdicts({"KEY": "x"}, {"KEY": salted("other", "x")}, SALT, []) == {"KEY": "differs"}
    assert verdicts({"KEY": "x"}, digests({"KEY": "x "}), SALT, []) == {"KEY": "differs"}


def given(path, **more) -> dict:
    return {"path": str(path), "digests": digests(COMING), "salt": SALT, "may_differ": ["DATABASE_URL"],
            "subjects": {"digests": "backend_environment", "path": "backend_source_env_file"}, **more}


def test_findings_name_variables_and_never_values_or_digests(tmp_path):
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in LIVE.items()))
    result = compare(given(tmp_path / ".env"))
    assert [(row["subject"], row["finding"]) for row in result["findings"]] == [
        ("backend_environment", "MAIL differ from the live environment file"),
        ("backend_environment", "GONE, OLD stand in the live environment file only")]
    assert result["journal"]["counts"] == {"variables_same": 1, "variables_expected": 1, "variables_new": 1, "variables_differs": 1,
                                           "variables_missing": 2}
    text = json.dumps(result)
    assert "canary" not in text and not any(digest in text for digest in digests({**LIVE, **COMING}).values())


def test_a_file_that_cannot_be_read_is_a_finding(tmp_path):
    (row,) = compare(given(tmp_path / "none"))["findings"]
    assert row["subject"] == "backend_source_env_file" and "cannot be read" in row["finding"] and row["remedy"]
    (tmp_path / "bad").write_text("what canary-g is this\n")
    (row,) = compare(given(tmp_path / "bad"))["findings"]
    assert "line 1" in row["finding"] and "canary" not in row["finding"]
