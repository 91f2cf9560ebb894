# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the release itself promises of the running application."""

from __future__ import annotations

import json
import os
import urllib.request


def test_it_answers_with_its_own_release():
    assert os.environ["TEST_TARGET"] == "read_only"
    with urllib.request.urlopen(os.environ["TEST_URL"], timeout=5) as answer:
        assert json.load(answer)["release"] in ("one", "two")
