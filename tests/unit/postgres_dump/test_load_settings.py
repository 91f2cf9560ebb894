# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A load gets as much memory as the server gives to its shared buffers, shared by its sessions, and all the time that it takes."""

from __future__ import annotations

import pytest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.load_settings import load_settings


@pytest.mark.parametrize(("own", "blocks", "jobs", "memory"), [
    ("65536", "16384", 2, 65536),  # 64 MB each, as the server's own
    ("65536", "16384", 1, 131072),
    ("65536", "2097152", 4, 1048576),  # of 16 GB, 1 GiB each is enough
    ("4194304", "2097152", 4, 4194304),  # who set more gets it
    ("65536", "16", 8, 65536),
])
def test_memory_is_shared_out_and_never_less_than_the_servers_own(own, blocks, jobs, memory):
    found = load_settings({"maintenance_work_mem": own, "shared_buffers": blocks}, jobs, 180000)
    assert found[:2] == [f"maintenance_work_mem={memory}kB", "synchronous_commit=off"]


@pytest.mark.parametrize("version", [130000, 160000, 180000])
def test_no_limit_of_time_that_the_server_knows_ends_a_load(version):
    found = load_settings({"maintenance_work_mem": "65536", "shared_buffers": "16384"}, 2, version)
    assert found[2:] == ["statement_timeout=0", "lock_timeout=0", "idle_in_transaction_session_timeout=0",
                         *["idle_session_timeout=0"][:version >= 140000], *["transaction_timeout=0"][:version >= 170000]]
