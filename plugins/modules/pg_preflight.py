#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_preflight
short_description: Find out everything that stands against moving databases to another PostgreSQL server
version_added: 0.1.0
author: Dihya Migration contributors (@dihya)
description:
  - Looks at both servers, the client tools and the place for the backup, changes nothing, and returns all findings together.
  - A finding is no failure of the module. When one server cannot be reached, the other is looked at all the same.
  - Whether both endpoints lead to the same server is found with an advisory lock, not by comparing addresses.
  - The privilege to create roles on the target is tried in a transaction that is rolled back.
  - Tables with 2 MiB and more of long values are read once, without those values, for rows that are too long for C(pg_dump).
extends_documentation_fragment:
  - dihya.migration.postgresql
  - dihya.migration.postgresql.encrypt
  - dihya.migration.postgresql.managed
  - dihya.migration.postgresql.tablespaces
options:
  source:
    description: The server that is to be moved.
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
  target:
    description: The server to move to.
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
  dump_bin_dir:
    description:
      - Directory of C(pg_dump) and C(pg_dumpall) when they are others than those of O(bin_dir).
      - A dump is best made by the tools that came with the source, and restored by those that came with the target.
    type: path
  backup_dir:
    description: Where backups are to be made. It need not exist yet.
    type: path
  dumps:
    description: How many dumps will be written to O(backup_dir). A migration writes a second one in its freeze.
    type: int
    default: 1
  copies:
    description: Directories to which a second copy of a dump will go.
    type: list
    elements: path
    default: []
  drill_dir:
    description: The O(dihya.migration.pg_restore_drill#module:work_dir) of a drill that will be made, for RV(expected).
    type: path
  known_clients:
    description: Users, application names or addresses of clients that are expected on the source. Any other client is a finding.
    type: list
    elements: str
    default: []
  identity:
    description: Path on this host of the C(age) identity that will open encrypted backups. It is tried on a text encrypted for O(encrypt).
    type: path
  restores:
    description: Whether backups will be restored from this host, for which encrypted ones need O(identity).
    type: bool
    default: true
  pin_settings:
    description: What M(dihya.migration.pg_restore_cluster) will be told to pin. It is tried on the target, and rolled back.
    type: list
    elements: str
    default: []
  accept_settings:
    description:
      - Names of settings that may differ although the same statement will mean something else on the target (C(TimeZone), C(DateStyle),
        C(default_text_search_config) and the like). Such a difference stands against the move unless the setting is pinned, comes with
        every database, or is named here; then C(not_proved) of RV(journal) tells it. So does one that a login has for itself, by its
        role, its database or the environment, as it then does not see what others have.
    type: list
    elements: str
    default: []
  logins:
    description:
      - Passwords of roles by name. They need not be read on the source; roles without one are named in a finding.
      - A role that exists on the target with another password hash than on the source is logged in with its password there, which
        proves it as M(dihya.migration.pg_verify) will. Any other difference of such a role is a finding, as it is without a password.
    type: dict
    default: {}
attributes:
  check_mode: {support: full, description: The module never changes anything.}
  diff_mode: {support: none, description: There is no change to show.}
"""

EXAMPLES = r"""
- name: Look before anything changes
  dihya.migration.pg_preflight:
    source: {host: db.old.example, user: migrator, passfile: /run/migration/source.pgpass}
    target: {host: db.new.example, user: migrator, passfile: /run/migration/target.pgpass}
    databases: [crm]
    backup_dir: /var/backups/migration
  register: looked

- name: Stop when something stands in the way
  ansible.builtin.assert:
    that: looked.findings | selectattr('blocking') | length == 0
"""

RETURN = r"""
findings:
  description: What was found, each with C(subject), C(finding), C(remedy) and C(blocking); what blocks comes first.
  type: list
  elements: dict
  returned: always
plan:
  description: What will move, each with C(stack), C(what), C(from), C(to), C(amount) and C(seconds).
  type: list
  elements: dict
  returned: always
databases: {description: Names of the databases that were meant and exist., type: list, elements: str, returned: always}
versions: {description: "Versions of C(source), C(target) and C(client), those that are known.", type: dict, returned: always}
identity: {description: C(system_identifier) and C(name) of each server that was reached., type: dict, returned: always}
clients:
  description: Client sessions seen on the source (C(user), C(application_name), C(client_addr)).
  type: list
  elements: dict
  returned: always
expected:
  description:
    - What to give to M(dihya.migration.pg_restore_drill) before there is a backup. Bytes that the C(databases) take on a throw-away server,
      and those of the C(backup) where it comes to lie on the file system of O(drill_dir).
  type: dict
  returned: always
room:
  description:
    - What dumps and restore may take of each file system that can be looked at from here, each with C(subject), C(bytes), and C(seen) with
      C(free_bytes) and C(filesystem). It is for filter P(dihya.migration.scarce_room#filter).
  type: list
  elements: dict
  returned: always
seconds:
  description:
    - Predicted duration of dump, restore and proof, from the size of the databases and what two cores of an ordinary machine were measured
      to handle. It knows neither disks nor network of yours; a restore drill measures the restore.
  type: float
  returned: always
journal: {description: The facts for the migration's journal., type: dict, returned: always}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._age import SEAL_SPEC, Seal
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import ADAPT_SPEC
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import ENDPOINT_SPEC, Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.placement import PLACEMENT_SPEC
from ansible_collections.dihya.migration.plugins.module_utils._postgres.preflight_facts import PreflightRequest, preflight
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import COMMON_SPEC

SPEC = dict(
    COMMON_SPEC,
    source={"type": "dict", "required": True, "options": ENDPOINT_SPEC},
    target={"type": "dict", "required": True, "options": ENDPOINT_SPEC},
    databases={"type": "list", "elements": "str", "required": True},
    dump_bin_dir={"type": "path"},
    backup_dir={"type": "path"},
    dumps={"type": "int", "default": 1},
    copies={"type": "list", "elements": "path", "default": []},
    drill_dir={"type": "path"},
    known_clients={"type": "list", "elements": "str", "default": []},
    encrypt={"type": "dict", "options": SEAL_SPEC},
    identity={"type": "path", "no_log": False},  # a path, not a secret
    restores={"type": "bool", "default": True},
    pin_settings={"type": "list", "elements": "str", "default": []},
    accept_settings={"type": "list", "elements": "str", "default": []},
    logins={"type": "dict", "default": {}, "no_log": True},
    **ADAPT_SPEC,
    **PLACEMENT_SPEC,
)


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    options = dict(module.params)
    try:
        sides = {side: Endpoint.from_options(options[side]) for side in ("source", "target")}
        seal = Seal.from_options(options.pop("encrypt"))
        result = preflight(PreflightRequest(**dict(options, **sides), seal=seal))
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
