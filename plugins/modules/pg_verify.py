#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_verify
short_description: Prove that PostgreSQL databases hold the same rows, objects, privileges and settings as their source
version_added: 0.1.0
description:
  - Digests every row of every table and large object on both sides and compares the catalogs, across major versions.
  - A difference is explained by a named rule, or it is a failure that names database and table. Which rows differ is looked for only
    between two servers (O(source)), in tables with a primary key; the message names their number and, where the key is made of integers,
    its range. Of a backup (O(manifest)) or an earlier verification (O(baseline)) only digests of whole tables are at hand.
  - Databases are read one after the other. Each side has a connection for every one of O(jobs), and one more that holds the snapshot.
  - The digest has 64 bits a row. It detects accidents, not an adversary.
  - A role whose password hash alone differs, as it does with another salt, is logged in with the password that the target's passfile has
    for it. Where that succeeds the difference is explained.
  - Nothing is changed. Definitions of the source are printed by the target inside transactions that are rolled back.
author: Dihya Migration contributors (@dihya)
extends_documentation_fragment:
  - dihya.migration.postgresql
  - dihya.migration.postgresql.long
  - dihya.migration.postgresql.managed
  - dihya.migration.postgresql.tablespaces
attributes:
  check_mode: {support: full, description: The module only reads the servers; in check mode it writes no file either.}
  diff_mode: {support: none, description: Nothing is changed.}
options:
  source:
    description: The server to compare with. Exactly one of O(source), O(manifest), O(baseline) and O(created_file) is needed.
    type: dict
    suboptions: &endpoint
      host: {description: Name or address of the server., type: str, required: true}
      port: {description: Port of the server., type: int, default: 5432}
      user: {description: Login role., type: str, required: true}
      password:
        description: Password of the login. As the module may work long, prefer a passfile.
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
  manifest:
    description:
      - Directory of a backup made by M(dihya.migration.pg_dumpall) with digests, to compare with instead of a server.
      - A sequence that was used while the backup was made may have any value that it had meanwhile; it is listed as explained. What an
        older backup does not hold (definitions of objects, values of sequences) is named in RV(not_proved).
    type: path
  identity:
    description: Path on this host of the C(age) identity that opens the backup O(manifest) when that is encrypted.
    type: path
  baseline:
    description:
      - File written to O(digest_file) by an earlier verification, to compare rows with instead of a server.
      - So it is proved again, after schema tools or a back end's own migrations have run, that the tables they did not touch are as they
        were. A table that was made, dropped or changed since is a failure unless it is in O(expected_changes); each of those, and every
        other object that was, is in RV(explained). Definitions are compared where the file was written with O(scope=all); else that is
        in RV(not_proved). Owners and privileges of objects count as definitions here, those of roles are not compared.
    type: path
  created_file:
    description:
      - Record written by M(dihya.migration.pg_restore_cluster). Nothing is compared but the identity (OID) of the databases it names.
      - So a later look is quick and finds a target database that was dropped or replaced.
    type: path
  target:
    description: The server that must hold the same.
    type: dict
    required: true
    suboptions: *endpoint
  databases:
    description: Names of the databases on the source, or the one word V(all).
    type: list
    elements: str
    required: true
  capture_file:
    description:
      - What M(dihya.migration.pg_freeze) captured before the freeze. With O(source), roles, owners, privileges and settings
        are compared with it and not with those of the frozen source.
      - With O(baseline) it says which roles moved and which databases admitted them, for O(logins).
    type: path
  rename:
    description: What databases are called on the target, by their name on the source.
    type: dict
    default: {}
  scope:
    description:
      - Whether to compare rows, catalogs (objects, roles, privileges, settings) or both. With O(baseline), of catalogs only definitions,
        owners and privileges of objects.
    type: str
    default: all
    choices: [rows, catalog, all]
  expected_changes:
    description: Tables C(schema.table) that a schema tool changed or made. Their differences are listed as explained.
    type: list
    elements: str
    default: []
  pin_settings:
    description: What M(dihya.migration.pg_restore_cluster) was told to pin. Such settings of restored databases are listed as explained.
    type: list
    elements: str
    default: []
  logins:
    description:
      - Roles that must be able to log in on the target to each of the databases to which the source gave them the right to connect, by a
        privilege of their own, of PUBLIC or of a role whose privileges they have. Where that is not known they must to all, as a role must
        of which nothing is known. Their passwords are looked up in the target's passfile.
      - Where it is given, be it empty, every other role that may log in is named as not proved, except for superusers and the user
        of O(target).
    type: list
    elements: str
  proved_backup:
    description:
      - Directory of the backup from which O(target) was restored, made of O(source) while nothing wrote, without digests. When all is
        equal, what was read of O(source) is kept beside it, encrypted when it is, so that it can be compared with (O(manifest)) and
        restored for trial (M(dihya.migration.pg_restore_drill)) later, as if it had been made with digests.
      - Needs O(source) and O(scope=all), and no O(expected_changes).
    type: path
  digest_file:
    description:
      - Where to write the digests when all is equal, with mode 0600, for O(baseline).
      - With O(baseline) those of the target, in which the expected changes stand as they are now.
    type: path
  differences_file:
    description: Where to write the keys of rows that differ, with mode 0600.
    type: path
"""

EXAMPLES = r"""
- name: Prove that the restore is equal to the frozen source
  dihya.migration.pg_verify:
    source: {host: db.old.example, user: migrator, passfile: /run/dihya/pgpass}
    target: {host: db.new.example, user: migrator, passfile: /run/dihya/pgpass}
    databases: [crm]
    digest_file: /var/lib/dihya-migration/crm/postgresql/digests.json

- name: Prove, after the schema migration, that it touched nothing else
  dihya.migration.pg_verify:
    baseline: /var/lib/dihya-migration/crm/postgresql/digests.json
    target: {host: db.new.example, user: migrator, passfile: /run/dihya/pgpass}
    databases: [crm]
    expected_changes: [public.alembic_version, public.customer]
    logins: [crm_app]
"""

RETURN = r"""
msg: {description: What was found., type: str, returned: always}
equal: {description: Whether all is equal or explained., type: bool, returned: always}
tables: {description: Number of tables whose rows were compared., type: int, returned: success}
rows: {description: Number of rows in them., type: int, returned: success}
digests:
  description: Rows and digest (C(rows), C(digest)) on the target, by database and table.
  type: dict
  returned: success
explained: {description: "Differences that a rule explains (C(rule), C(object)).", type: list, elements: dict, returned: success}
not_proved: {description: What could not be compared., type: list, elements: str, returned: success}
differences: {description: Differences that nothing explains; the first twenty., type: list, elements: str, returned: failure}
failures: {description: How many there are., type: int, returned: failure}
duration: {description: Seconds., type: float, returned: success}
journal: {description: The facts for the migration's journal., type: dict, returned: success}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._lease import held
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import ADAPT_SPEC
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import ENDPOINT_SPEC, Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.placement import PLACEMENT_SPEC
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import LONG_SPEC
from ansible_collections.dihya.migration.plugins.module_utils._postgres.verify import VerifyRequest, verify

SPEC = {
    **LONG_SPEC,
    **ADAPT_SPEC,
    **PLACEMENT_SPEC,
    "source": {"type": "dict", "options": ENDPOINT_SPEC},
    "manifest": {"type": "path"},
    "identity": {"type": "path", "no_log": False},  # a path, not a secret
    "baseline": {"type": "path"},
    "target": {"type": "dict", "required": True, "options": ENDPOINT_SPEC},
    "databases": {"type": "list", "elements": "str", "required": True},
    "created_file": {"type": "path"},
    "capture_file": {"type": "path"},
    "rename": {"type": "dict", "default": {}},
    "scope": {"type": "str", "default": "all", "choices": ["rows", "catalog", "all"]},
    "expected_changes": {"type": "list", "elements": "str", "default": []},
    "pin_settings": {"type": "list", "elements": "str", "default": []},
    "logins": {"type": "list", "elements": "str"},
    "proved_backup": {"type": "path"},
    "digest_file": {"type": "path"},
    "differences_file": {"type": "path"},
}
KNOWN = ["source", "manifest", "baseline", "created_file"]


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True, mutually_exclusive=[KNOWN], required_one_of=[KNOWN])
    options = {name: value for name, value in module.params.items() if name != "bin_dir"}
    if module.check_mode:
        options.update(proved_backup=None, digest_file=None, differences_file=None)
    try:
        lease = held(options.pop("lease_file"), options.pop("run_id"), "pg_verify")
        for side in ("source", "target"):
            options[side] = Endpoint.from_options(options[side]) if options[side] else None
        with lease:
            result = verify(VerifyRequest(**options))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
