# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Environment files: read exactly, refused when others can read them, never quoted in an error."""

from __future__ import annotations

import json

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._app import env_file
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError

from tests.support.backend_role import ask, role


def test_bare_single_and_double_quoted_values_comments_and_export():
    text = "# comment\n\nA=plain value\nexport B='$x \"y\"'\nC=\"line\\nbreak \\\"q\\\" é\"\nD=\nE=a=b\n"
    assert env_file.parse(text) == {"A": "plain value", "B": '$x "y"', "C": 'line\nbreak "q" é', "D": "", "E": "a=b"}


@pytest.mark.parametrize("value", ["", "simple", " spaces ", "quo\"te'", "new\nline", "back\\slash", "$HOME `id`", "ⵜⴰⵎⴰⵣⵉⵖⵜ", "#hash",
                                   "a\tb\r\n", "\\n", '\\"\n"\\', "\nA=1\n"])
def test_a_value_survives_the_way_that_the_role_writes_it_and_an_earlier_one_did(value, tmp_path):
    path = tmp_path / ".env"
    for text in (ask(role(backend_environment={"KEY": value, "LAST": 1}), "__backend_env_text"),
                 f"KEY={json.dumps(value, ensure_ascii=False)}\nLAST=1\n"):
        path.write_text(text, newline="")
        path.chmod(0o600)
        assert env_file.read(str(path)) == {"KEY": value, "LAST": "1"}


@pytest.mark.parametrize("text", [
    "canary-secret", "A B=canary-secret", 'A="canary-secret', 'A="canary-secret" more', 'A="x\\u0000canary-secret"',
    'A="canary\nB=secret', 'A="canary\nsecret" more\nB=1',
])
def test_a_wrong_line_is_named_by_number_and_never_quoted(text):
    with pytest.raises(MigrationError, match="line 2") as caught:
        env_file.parse("OK=1\n" + text)
    assert "canary" not in caught.value.message


def test_a_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    path.chmod(0o640)
    with pytest.raises(MigrationError, match="0640"):
        env_file.read(str(path))
    path.chmod(0o600)
    assert env_file.read(str(path)) == {"A": "1"}
