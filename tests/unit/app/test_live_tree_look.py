# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Preflight looks at trees that an application goes on using."""

from __future__ import annotations

import os

from ansible_collections.dihya.migration.plugins.module_utils._app.inspect import inspect
from ansible_collections.dihya.migration.plugins.module_utils._app.look import Look


def test_what_a_live_tree_loses_while_it_is_looked_at_is_no_finding(tmp_path, monkeypatch):
    for name in ("kept", "session", "upload", "cache/page"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    real_walk, real_access = os.walk, os.access

    def walk(*arguments, **options):
        for folder, directories, names in real_walk(*arguments, **options):
            if folder == str(tmp_path):
                (tmp_path / "session").unlink()
                (tmp_path / "cache/page").unlink()
                (tmp_path / "cache").rmdir()
            yield folder, directories, names

    def access(path, mode):
        if os.path.basename(path) == "upload":
            os.unlink(path)
        return real_access(path, mode)
    monkeypatch.setattr(os, "walk", walk)
    monkeypatch.setattr(os, "access", access)
    look = Look("readable", "backend_source_path", str(tmp_path), [], 0, None, None, {})
    assert inspect([look]) == [] and look.facts["files"] == 2
