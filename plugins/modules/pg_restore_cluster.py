#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_restore_cluster
short_description: Restore a backup into new databases of a PostgreSQL server, or remove what a restore made
version_added: 0.1.0
author: Dihya Migration contributors (@dihya)
description:
  - Checks every file of a backup of M(dihya.migration.pg_dumpall), then creates roles and databases and restores in parallel.
  - Before anything is made, everything is looked for that the target cannot take of the backup (extensions, locales, its version, values
    that another build or another C(lc_monetary) reads otherwise, more tables than its lock table holds, space where it is known), and
    whether C(pg_restore) is older than what made the backup, in check mode too, and all of it is told at once. A backup of an older
    version of this collection does not say which extensions and types it needs.
  - What does not stand against it but makes equality say less (bytes without an encoding, values that point into the old server, MD5
    hashes where the target asks for SCRAM) is in C(not_proved).
  - Stops at the first error.
  - A database is filled under a random name and takes its own when it is complete. A failed restore removes everything it made.
  - While it is filled, all its sessions together may use as much memory to build indexes as the server gives to its shared buffers
    (C(maintenance_work_mem), 1 GiB each at most, never less than the server's own), and no commit waits for the disk. These are settings
    of that database and are taken from it before it gets its name.
  - Settings and privileges of databases and roles are those of the backup's capture, so that a freeze of the source does not travel.
  - A database that exists and is not empty is never touched. An empty one steps aside under another name.
  - Roles that exist are left as they are and named in the result.
  - The login need not be a superuser. With C(CREATEROLE) and C(CREATEDB) it restores as the owner of each database and then gives owners,
    privileges and default privileges from the capture, as a member of the roles concerned, which it stays. Settings that it may not set
    and memberships that it may not grant are left out. Everything that is left out is named in C(left).
  - A role whose password hash is not in the backup gets the password that C(passfile) of O(target) has for it. Only its SCRAM verifier
    is sent. Without one there the role is named in C(left).
extends_documentation_fragment:
  - dihya.migration.postgresql
  - dihya.migration.postgresql.long
  - dihya.migration.postgresql.managed
  - dihya.migration.postgresql.tablespaces
options:
  target:
    description: The server to restore on.
    type: dict
    required: true
    suboptions:
      host: {description: Name or address of the server., type: str, required: true}
      port: {description: Port of the server., type: int, default: 5432}
      user: {description: Login role., type: str, required: true}
      password:
        description: Password of the login. The client tools need C(passfile) instead.
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
  state:
    description:
      - V(present) restores O(backup).
      - V(absent) drops exactly what O(created_file) records, by OID, with the sessions on those databases.
        Where the user of O(target) may not read the system identifier of its server, that has to be named as it was for the restore, and
        the databases have to have the names that they were given.
    type: str
    default: present
    choices: [present, absent]
  backup:
    description: Directory of the backup. Required when O(state=present).
    type: path
  identity:
    description:
      - Path on this host of the C(age) identity that opens an encrypted backup, without a passphrase and readable by its owner only.
        It is read where it lies and copied nowhere.
      - An encrypted archive is decrypted as a stream into C(pg_restore), by one worker per database, and is never in clear on disk.
    type: path
  created_file:
    description: JSON file in which everything is recorded before it is made. O(state=absent) and a later run need it.
    type: path
    required: true
  baseline:
    description:
      - Digest file of the last M(dihya.migration.pg_verify) of the databases, for O(state=absent).
      - Every table is digested again before its database is dropped; those that are no longer as they were proved are named with their
        rows in C(discarded). Where they cannot be counted, nothing is removed.
    type: path
  databases:
    description: Which databases of the backup; all of them by default.
    type: list
    elements: str
  rename:
    description: New names by name in the backup, for a drill beside the original.
    type: dict
    default: {}
  roles:
    description:
      - V(restore) creates the roles that are missing, with their password hashes.
      - V(require) fails when one is missing.
      - V(skip) creates none and restores without owners and privileges.
    type: str
    default: restore
    choices: [restore, require, skip]
  pin_settings:
    description:
      - Names of server settings whose value on the source is written as a setting of each restored database.
      - Nothing is restored where a name is unknown, or the user of O(target) may not set it.
    type: list
    elements: str
    default: []
attributes:
  check_mode: {support: full, description: Checks the backup and the target and says what would be made.}
  diff_mode: {support: full, description: The plan is shown.}
"""

EXAMPLES = r"""
- name: Restore on the new server
  dihya.migration.pg_restore_cluster:
    target: {host: db.new.example, user: migrator, passfile: /run/migration/target.pgpass}
    backup: /var/backups/migration/postgresql_2026-11-28_2201
    created_file: /var/lib/migration/created.json

- name: Restore an encrypted backup
  dihya.migration.pg_restore_cluster:
    target: {host: db.new.example, user: migrator, passfile: /run/migration/target.pgpass}
    backup: /var/backups/migration/postgresql_2026-11-28_2201
    identity: /run/migration/operator.age
    created_file: /var/lib/migration/created.json

- name: Take it back
  dihya.migration.pg_restore_cluster:
    target: {host: db.new.example, user: migrator, passfile: /run/migration/target.pgpass}
    created_file: /var/lib/migration/created.json
    state: absent
"""

RETURN = r"""
databases: {description: Name on the target by name in the backup., type: dict, returned: O(state=present)}
created:
  description: Databases and roles that were made, each with C(kind), C(name) and C(identity) (OID).
  type: list
  elements: dict
  returned: O(state=present)
existing_roles: {description: Roles of the backup that were there before., type: list, elements: str, returned: O(state=present)}
left:
  description:
    - What was not restored, because it would change something that was there before, or because it cannot travel.
    - Empty databases that had the name of a restored one, with the name that they have since. With O(state=absent) they get theirs back.
    - With O(state=absent), settings of every role that stay because they were changed since they were restored.
  type: list
  elements: str
  returned: when something was restored or removed
not_proved:
  description: What is to be known of the restored databases and roles that no comparison shows.
  type: list
  elements: str
  returned: O(state=present)
settled:
  description: Whether owners and privileges came from the capture, as they do where the login is no superuser or roles stay behind.
  type: bool
  returned: O(state=present)
leftovers_removed: {description: What an interrupted run had made and this one removed first., type: list, elements: str, returned: changed}
removed: {description: What was removed., type: list, elements: str, returned: O(state=absent)}
discarded:
  description:
    - The tables that were no longer as O(baseline) says when they were removed, each with C(object) (database and table) and its rows
      then and now, C(before) and C(after).
  type: list
  elements: dict
  returned: O(state=absent) with O(baseline)
counts: {description: Numbers of databases and roles made., type: dict, returned: O(state=present)}
versions: {description: Versions of the server and of pg_restore., type: dict, returned: O(state=present)}
duration: {description: Seconds., type: float, returned: O(state=present)}
findings:
  description: Everything that stands against the restore, each with its remedy.
  type: list
  elements: str
  returned: when there is something
damaged: {description: Files of the backup that are not as they were written., type: list, elements: str, returned: when there are any}
journal: {description: The facts for the migration's journal., type: dict, returned: success}
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import held
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import ADAPT_SPEC
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import ENDPOINT_SPEC, Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.placement import PLACEMENT_SPEC
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore import absent, restore
from ansible_collections.dihya.migration.plugins.module_utils._postgres.restore_request import RestoreRequest
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import LONG_SPEC

SPEC = dict(
    LONG_SPEC,
    **ADAPT_SPEC,
    **PLACEMENT_SPEC,
    target={"type": "dict", "required": True, "options": ENDPOINT_SPEC},
    state={"type": "str", "default": "present", "choices": ["present", "absent"]},
    backup={"type": "path"},
    identity={"type": "path", "no_log": False},  # a path, not a secret
    baseline={"type": "path"},
    created_file={"type": "path", "required": True},
    databases={"type": "list", "elements": "str"},
    rename={"type": "dict", "default": {}},
    roles={"type": "str", "default": "restore", "choices": ["restore", "require", "skip"]},
    pin_settings={"type": "list", "elements": "str", "default": []},
)


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True, required_if=[("state", "present", ["backup"])])
    options = dict(module.params)
    os.umask(0o077)
    try:
        lease = held(options.pop("lease_file"), options.pop("run_id"), "pg_restore_cluster")
        work = restore if options.pop("state") == "present" else absent
        with lease:
            result = work(RestoreRequest(**dict(options, target=Endpoint.from_options(options["target"]))), module.check_mode)
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
