# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real processes, real http servers."""

from __future__ import annotations

import pytest

from tests.support.proxies import unused_ports

# The applications that these tests move have tests of their own.
collect_ignore = ["site", "library_django", "library_node", "schema_tools_node"]


@pytest.fixture
def free_port():
    """Call to get a TCP port of 127.0.0.1 that nothing holds now."""
    return lambda: unused_ports(1)[0]
