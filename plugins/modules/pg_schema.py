#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_schema
short_description: Move the schema of a PostgreSQL database by Flyway, Liquibase or raw SQL files, and tell what that touched
version_added: 0.1.0
description:
  - Reads the versions on record and what is pending, applies it, proves that nothing is pending any more, and compares the catalogs
    of before and after. A table that was touched without being named in O(expected_changes) is a failure.
  - What a tool only wrote into tables shows in their row digests; compare those with M(dihya.migration.pg_verify) afterwards.
  - A history that does not fit the files is a failure, before anything is applied. Such are an applied file that was changed or is
    missing, and a database that is newer than the files.
  - Flyway and Liquibase get their login in a configuration file that exists in memory only; C(psql) gets it by the passfile. Both tools
    are told to ask the network for nothing but the database.
author: Dihya Migration contributors (@dihya)
extends_documentation_fragment:
  - dihya.migration.postgresql
  - dihya.migration.postgresql.long
attributes:
  check_mode:
    support: full
    description: The module reads only, in sessions in which the server refuses every write, and writes no file.
  diff_mode: {support: none, description: The steps are returned as RV(pending).}
options:
  server:
    description: The server with the database.
    type: dict
    required: true
    suboptions:
      host: {description: Name or address of the server., type: str, required: true}
      port: {description: Port of the server., type: int, default: 5432}
      user: {description: Login role. It owns what the tool makes., type: str, required: true}
      password:
        description: Password of the login, in check mode only. What may outlive its controller takes C(passfile) instead.
        type: str
      passfile: {description: Path of a libpq password file with mode 0600., type: path}
      dbname: {description: Database to connect to for cluster-wide work., type: str, default: postgres}
      sslmode:
        description: How the connection is secured, as libpq names it.
        type: str
        default: verify-full
        choices: [disable, allow, prefer, require, verify-ca, verify-full]
      sslrootcert: {description: Path of the certificates that may sign the server's., type: path}
      connect_timeout: {description: Seconds to wait for a connection., type: int, default: 10}
  database:
    description: The database whose schema is moved.
    type: str
    required: true
  tool:
    description:
      - Who moves it. V(sql) applies the files C(*.sql) of O(path) by C(psql) in the order of their names (numbers count as numbers),
        each once and in one transaction with its record. A file must not end the transaction by itself.
    type: str
    required: true
    choices: [flyway, liquibase, sql]
  path:
    description: Directory on this host with the files of the tool; the tool is started in it.
    type: path
    required: true
  changelog:
    description: The changelog below O(path). Needed for Liquibase.
    type: str
  command:
    description: Program and first arguments that start the tool. By default C(flyway) or C(liquibase) of the search path.
    type: list
    elements: str
    default: []
  history_table:
    description:
      - C(schema.table) in which the tool records what it applied, plain names only. Flyway takes its schema as the default schema too.
      - By default C(public.flyway_schema_history), C(public.databasechangelog) or C(public.schema_files).
    type: str
  baseline:
    description: >-
      With O(tool=sql), the last file whose content a database without a record already has. It and those before it are only
      recorded.
    type: str
  environment:
    description: Additional variables for the tool that are no secrets, for instance its placeholders.
    type: dict
    default: {}
  expected_changes:
    description: Tables C(schema.table) that the tool may change or make. Its own are known.
    type: list
    elements: str
    default: []
  log_dir:
    description: Directory for what the tool prints, made with mode 0700; the files have mode 0600.
    type: path
    required: true
  timeout:
    description: Seconds that each call of the tool may take.
    type: float
    default: 3600
"""

EXAMPLES = r"""
- name: Move the schema with Flyway
  dihya.migration.pg_schema:
    server: {host: db.new.example, user: crm_owner, passfile: /run/dihya/pgpass}
    database: crm
    tool: flyway
    path: /srv/crm/migrations
    expected_changes: [public.customer]
    log_dir: /var/lib/dihya-migration/crm/log

- name: See what is pending for raw SQL files
  dihya.migration.pg_schema:
    server: {host: db.old.example, user: crm_owner, passfile: /run/dihya/pgpass}
    database: crm
    tool: sql
    path: /srv/crm/sql
    baseline: 0041_invoices.sql
    log_dir: /var/lib/dihya-migration/crm/log
  check_mode: true
"""

RETURN = r"""
msg: {description: Versions before and after and how many changes were or would be applied., type: str, returned: always}
before: {description: What was on record as applied., type: list, elements: str, returned: success}
pending: {description: What was not applied yet., type: list, elements: str, returned: success}
after: {description: What is on record now., type: list, elements: str, returned: success}
touched: {description: "Tables that were made, dropped or changed, the tool's own included.", type: list, elements: str, returned: success}
objects: {description: "Other objects that were (C(kind name)).", type: list, elements: str, returned: success}
own_tables: {description: Tables in which the tool keeps its records., type: list, elements: str, returned: success}
duration: {description: Seconds., type: float, returned: success}
journal: {description: The facts for the migration's journal., type: dict, returned: success}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import held
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import ENDPOINT_SPEC, Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.schema import SchemaRequest, move_schema
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import LONG_SPEC

SPEC = {
    **LONG_SPEC,
    "server": {"type": "dict", "required": True, "options": ENDPOINT_SPEC},
    "database": {"type": "str", "required": True},
    "tool": {"type": "str", "required": True, "choices": ["flyway", "liquibase", "sql"]},
    "path": {"type": "path", "required": True},
    "changelog": {"type": "str"},
    "command": {"type": "list", "elements": "str", "default": []},
    "history_table": {"type": "str"},
    "baseline": {"type": "str"},
    "environment": {"type": "dict", "default": {}},
    "expected_changes": {"type": "list", "elements": "str", "default": []},
    "log_dir": {"type": "path", "required": True},
    "timeout": {"type": "float", "default": 3600},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True, required_if=[("tool", "liquibase", ["changelog"])])
    options = {name: value for name, value in module.params.items() if name != "jobs"}
    try:
        lease_file, run_id = options.pop("lease_file"), options.pop("run_id")
        if module.check_mode:  # it only looks, and writes no file
            lease_file = options["progress_file"] = None
        lease = held(lease_file, run_id, "pg_schema")
        options["server"] = Endpoint.from_options(options["server"])
        options["environment"] = {str(name): str(value) for name, value in options["environment"].items()}
        with lease:
            result = move_schema(SchemaRequest(**options, look_only=module.check_mode))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
