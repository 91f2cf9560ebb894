#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_dumpall
short_description: Back up the databases of a PostgreSQL server into one verified directory
version_added: 0.1.0
author: Dihya Migration contributors (@dihya)
description:
  - Dumps the chosen databases in parallel, each from one snapshot, together with roles, memberships, database settings and privileges.
  - The backup is staged under a hidden name, every file is listed with its SHA-256 in a manifest, and one rename publishes it.
    The manifest also says which moment of each database the backup holds, by the server's snapshot, its position in the log of
    transactions and its time.
  - What an earlier run left behind when it was killed is removed.
  - The result of every program is checked. What servers print may hold rows, so it goes to files that only their owner can read.
extends_documentation_fragment:
  - dihya.migration.postgresql
  - dihya.migration.postgresql.long
  - dihya.migration.postgresql.encrypt
options:
  source:
    description: The server to dump.
    type: dict
    required: true
    suboptions:
      host: {description: Name or address of the server., type: str, required: true}
      port: {description: Port of the server., type: int, default: 5432}
      user: {description: Login role., type: str, required: true}
      password:
        description: Password of the login. The client tools need O(source.passfile) instead.
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
  databases:
    description: Names of the databases, or the one word V(all). V(all) leaves out templates and a V(postgres) with nothing in it.
    type: list
    elements: str
    required: true
  dest:
    description: Directory in which the backup gets a directory of its own, C(<name>_YYYY-MM-DD_HHMM).
    type: path
    required: true
  name:
    description: First part of that name.
    type: str
    default: postgresql
  format:
    description:
      - V(directory) is what M(dihya.migration.pg_restore_cluster) restores.
      - V(plain) is one file C(backup.sql) with roles, and every database behind a C(\connect), to be restored by a superuser with
        C(psql -v ON_ERROR_STOP=1 -f backup.sql). Roles that exist there are left as they are; databases of the same name must not exist.
        Settings and privileges on parameters that every role has (C(ALTER ROLE ALL), C(TO PUBLIC)) come last; a setting that the server
        has of its own stays, and libraries to preload are left out. What C(pg_dumpall) itself writes has no such settings.
        Its C(\restrict) key, where the client knows one, is kept in O(dest)/.restrict-key, so that equal data give equal bytes.
    type: str
    default: directory
    choices: [directory, plain]
  compression:
    description: Value for C(pg_dump --compress); V(auto) takes the fastest method that the client was built with.
    type: str
    default: auto
  capture_file:
    description:
      - JSON file with owners, privileges and settings as they were before a freeze, of each database (M(dihya.migration.pg_freeze)).
      - Without it they are read now.
    type: path
  digests:
    description:
      - Whether to count and digest the rows of every table, in the snapshot that is dumped, and to keep the definitions of all objects and
        the values of sequences, so that M(dihya.migration.pg_verify) and M(dihya.migration.pg_restore_drill) can compare with the backup.
      - Definitions are in a file of the backup of their own, encrypted when the backup is. Passwords in the options of foreign servers and
        user mappings are digested in it.
    type: bool
    default: false
  reuse:
    description:
      - An earlier backup. When it is intact and of the same server, databases and format, nothing is dumped. With O(digests) it must have
        been made with them, and with O(capture_file) from that capture. The server shows by its system identifier; where the login may not
        execute C(pg_control_system()), which everybody may by default, a new backup is made.
      - With C(*) in its last part it is the newest backup of which the name fits, where there is one.
    type: path
  keep:
    description:
      - How many verified backups of this name and O(migration_id) stay in O(dest), the new one included; V(0) sets no limit.
      - An older one is removed when it is also older than O(expires). A damaged one does not count; the newest that was restored in a drill
        always stays, and so does one that a restore reads at this moment. Nothing is removed unless the new one is intact.
      - Only directories that this module made in this very place are removed, never a copy or anything without its manifest.
    type: int
    default: 0
  expires:
    description: Age in days from which a backup may be removed (see O(keep), of which at least one stays); V(0) sets no limit.
    type: int
    default: 0
  migration_id:
    description: Migration to which the backup belongs. Backups of others in O(dest) are never removed.
    type: str
attributes:
  check_mode: {support: full, description: Reads the server and says what would be dumped.}
  diff_mode: {support: full, description: "The plan, or the new backup, against the backups that go."}
"""

EXAMPLES = r"""
- name: Back up one database
  dihya.migration.pg_dumpall:
    source: {host: db.old.example, user: migrator, passfile: /run/migration/source.pgpass}
    databases: [crm]
    dest: /var/backups/migration
    jobs: 4

- name: Back up for two people, each of whom can restore it
  dihya.migration.pg_dumpall:
    source: {host: db.old.example, user: migrator, passfile: /run/migration/source.pgpass}
    databases: [crm]
    dest: /var/backups/migration
    encrypt:
      recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
      recipients_files: [/etc/migration/operators.txt]

- name: Back up, and keep the last seven backups and those of the last month
  dihya.migration.pg_dumpall:
    source: {host: db.old.example, user: migrator, passfile: /run/migration/source.pgpass}
    databases: [crm]
    dest: /var/backups/migration
    keep: 7
    expires: 30
"""

RETURN = r"""
path: {description: The backup's directory., type: str, returned: success}
manifest_sha256: {description: SHA-256 of its C(manifest.json)., type: str, returned: when a backup exists}
databases: {description: Names of the databases in it., type: list, elements: str, returned: success}
counts: {description: "Numbers of databases, tables, files and bytes.", type: dict, returned: when a backup exists}
versions: {description: Versions of the server and of pg_dump., type: dict, returned: when a backup exists}
duration: {description: Seconds., type: float, returned: when a backup exists}
stale_removed: {description: Names of staging directories of killed runs that were removed., type: list, elements: str, returned: changed}
findings:
  description: Everything that stands against O(encrypt).
  type: list
  elements: str
  returned: when there is something
expired_removed:
  description: Paths of backups removed because of O(keep) or O(expires). In check mode those that would be.
  type: list
  elements: str
  returned: changed
expired_left:
  description: Names of directories that stayed although they look like older backups, each with the reason.
  type: list
  elements: str
  returned: changed
journal: {description: The facts for the migration's journal., type: dict, returned: when a backup exists}
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._age import SEAL_SPEC, Seal
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import held
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump import dump
from ansible_collections.dihya.migration.plugins.module_utils._postgres.dump_request import DumpRequest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import ENDPOINT_SPEC, Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import LONG_SPEC

SPEC = dict(
    LONG_SPEC,
    source={"type": "dict", "required": True, "options": ENDPOINT_SPEC},
    databases={"type": "list", "elements": "str", "required": True},
    dest={"type": "path", "required": True},
    name={"type": "str", "default": "postgresql"},
    format={"type": "str", "default": "directory", "choices": ["directory", "plain"]},
    compression={"type": "str", "default": "auto"},
    capture_file={"type": "path"},
    digests={"type": "bool", "default": False},
    reuse={"type": "path"},
    encrypt={"type": "dict", "options": SEAL_SPEC},
    keep={"type": "int", "default": 0},
    expires={"type": "int", "default": 0},
    migration_id={"type": "str"},
)


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    options = dict(module.params)
    os.umask(0o077)
    try:
        lease = held(options.pop("lease_file"), options.pop("run_id"), "pg_dumpall")
        seal = Seal.from_options(options.pop("encrypt"))
        request = DumpRequest(**dict(options, source=Endpoint.from_options(options["source"]), seal=seal))
        with lease:
            result = dump(request, module.check_mode)
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
