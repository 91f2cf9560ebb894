# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the tests of this folder share."""

from __future__ import annotations

from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import Endpoint

from demo.postgres_server import HOST


def endpoint_of(server, **changes):
    options = {"host": HOST, "port": server.port, "user": "postgres", "password": server.password, "sslmode": "disable"}
    return Endpoint(**{**options, **changes})

