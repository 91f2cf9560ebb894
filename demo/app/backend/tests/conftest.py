# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A client of the application on the database that DATABASE_URL names; no session of it can write."""

from __future__ import annotations

import pytest
from dihya_demo import create_app


@pytest.fixture(scope="session")
def client():
    return create_app(read_only=True).test_client()
