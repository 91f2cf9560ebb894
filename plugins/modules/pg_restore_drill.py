#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_restore_drill
short_description: Prove that a backup of PostgreSQL can be restored, and measure how long that takes
version_added: 0.1.0
author: Dihya Migration contributors (@dihya)
description:
  - Restores roles and databases of a backup of M(dihya.migration.pg_dumpall), compares every row, object, privilege and setting with
    the backup as M(dihya.migration.pg_verify) does, and removes everything again.
  - Preferably on a throw-away server of the target's version on this host. It takes connections over one private socket only, archives
    nothing, loads no library and runs no subscription. Where the host makes user namespaces it has no network at all.
  - PostgreSQL refuses to run as root. For root the server runs in a user namespace, or else as O(server_user).
  - A drill that passes adds the major version to C(restorable_on) in the manifest of the backup, with O(leave_out) to
    C(partly_restorable_on), and leaves its evidence in C(evidence.json) in O(work_dir).
  - A drill that was killed leaves no process that outlives it where user namespaces work. The next one ends and erases what is left.
extends_documentation_fragment:
  - dihya.migration.postgresql
  - dihya.migration.postgresql.long
  - dihya.migration.postgresql.managed
options:
  state:
    description:
      - V(present) makes the drill.
      - V(absent) only removes what drills have left whose worker is dead, here and on O(target).
    type: str
    default: present
    choices: [present, absent]
  backup:
    description:
      - Directory of the backup, made with digests. Required when O(state=present), except in check mode, which without it says only
        where a drill would be made, or whether O(evidence) may count.
    type: path
  identity:
    description: Path on this host of the C(age) identity that opens O(backup) when that is encrypted.
    type: path
  work_dir:
    description: Directory for drills alone, their throw-away server and records. Made with mode 0700 where it is missing.
    type: path
    required: true
  target:
    description:
      - The server that the databases move to. Its major version is the one to drill on.
      - Needed for O(server=scratch), and to fall back on it with O(server=auto).
    type: dict
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
  version:
    description:
      - Major version to drill on. Required without O(target), whose version it must be otherwise.
      - In check mode without O(backup) it is taken as it is, and O(target) is not asked.
    type: int
  server:
    description:
      - V(throwaway) restores on a throw-away server on this host.
      - V(scratch) restores under scratch names on O(target), beside everything else there.
      - V(auto) takes the first where server programs of the version are here and can run, and can take the backup (space, extensions,
        locales); else the second. The result says which and why.
    type: str
    default: auto
    choices: [auto, throwaway, scratch]
  server_bin_dir:
    description: Directory of C(initdb) and C(postgres). Without it they are looked for in O(bin_dir) and where distributions put them.
    type: path
  server_user:
    description:
      - Unprivileged account under which root runs the throw-away server where no user namespace can be made.
      - It must be able to enter O(work_dir) and the directory of the server's programs.
    type: str
  databases:
    description: Which databases of the backup; all of them by default. Only a drill of all is noted in the manifest.
    type: list
    elements: str
  evidence:
    description:
      - Path of the C(evidence.json) of an earlier drill, taken instead of a new one. It counts when it is at most 7 days old and of the
        same cluster (its system identifier; a physical copy has the same), databases, major versions, client tools, O(leave_out) and
        O(owners), no less than half and no more than twice as large, and the files of O(backup) are intact. Else the module fails and
        says why not. Where a login could not read the system identifier, that it is of the same cluster is in RV(not_proved).
    type: path
  expected:
    description:
      - In check mode without O(backup), the bytes that will be needed in O(work_dir), as M(dihya.migration.pg_preflight) returns them.
    type: dict
    default: {}
    suboptions:
      databases: {description: Bytes of the databases on a server., type: int, default: 0}
      backup: {description: Bytes of a backup that is written before to the same file system., type: int, default: 0}
  source_identifier:
    description:
      - In check mode without O(backup), the system identifier of the source, as M(dihya.migration.pg_preflight) returns it.
    type: str
attributes:
  check_mode: {support: full, description: Says where the drill would be made and why.}
  diff_mode: {support: full, description: The plan is shown.}
seealso:
  - module: dihya.migration.pg_restore_cluster
  - module: dihya.migration.pg_verify
"""

EXAMPLES = r"""
- name: Prove that last night's backup can be restored on version 18
  dihya.migration.pg_restore_drill:
    backup: /var/backups/migration/postgresql_2026-11-28_2201
    version: 18
    server: throwaway
    server_bin_dir: /usr/lib/postgresql/18/bin
    work_dir: /var/lib/migration/drill
  register: drilled

- name: Say how long a restore takes
  ansible.builtin.debug:
    msg: "{{ drilled.rto }} s, {{ drilled.tables }} tables, {{ drilled.limits | join('; ') }}"

- name: Drill beside everything else on a managed service
  dihya.migration.pg_restore_drill:
    backup: /var/backups/migration/postgresql_2026-11-28_2201
    target: {host: db.new.example, user: migrator, passfile: /run/migration/target.pgpass}
    server: scratch
    work_dir: /var/lib/migration/drill

- name: Take the drill of the rehearsal instead
  dihya.migration.pg_restore_drill:
    backup: /var/backups/migration/postgresql_2026-11-28_2201
    target: {host: db.new.example, user: migrator, passfile: /run/migration/target.pgpass}
    evidence: /var/lib/migration/rehearsal/drill/evidence.json
    work_dir: /var/lib/migration/drill
"""

RETURN = r"""
msg: {description: What was shown and where it was., type: str, returned: always}
server:
  description: V(throwaway), V(scratch), or V(evidence) when that of an earlier drill was taken.
  type: str
  returned: O(state=present)
reason: {description: Why there., type: str, returned: O(state=present)}
version: {description: Version of the server on which the drill was made., type: str, returned: O(state=present)}
rto:
  description: "Seconds that the restore took: check of the files, roles, databases, statistics."
  type: float
  returned: O(state=present)
seconds: {description: Seconds of C(restore) and C(compare)., type: dict, returned: O(state=present)}
tables: {description: Number of tables whose rows were compared., type: int, returned: O(state=present)}
rows: {description: Number of rows in them., type: int, returned: O(state=present)}
limits: {description: What a drill of this kind does not show., type: list, elements: str, returned: O(state=present)}
explained:
  description: Differences that a rule explains, each with C(rule) and C(object).
  type: list
  elements: dict
  returned: O(state=present)
not_proved: {description: What could not be compared., type: list, elements: str, returned: O(state=present)}
manifest_sha256:
  description: SHA-256 of the backup's manifest, after the drill was noted in it.
  type: str
  returned: O(state=present)
evidence_file: {description: Path of the evidence., type: str, returned: O(state=present)}
evidence_sha256: {description: SHA-256 of the evidence., type: str, returned: O(state=present)}
swept: {description: What was removed that dead drills had left., type: list, elements: str, returned: success}
duration: {description: Seconds that all of it took., type: float, returned: O(state=present)}
findings:
  description: Everything that stands against a throw-away server, or against the evidence.
  type: list
  elements: str
  returned: failure
damaged: {description: Files of the backup that are not as they were written., type: list, elements: str, returned: failure}
differences:
  description: Differences that nothing explains; the first twenty.
  type: list
  elements: str
  returned: failure
journal: {description: The facts for the migration's journal., type: dict, returned: success}
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.adapt import ADAPT_SPEC
from ansible_collections.dihya.migration.plugins.module_utils._postgres.drill import DrillRequest, alone, clear, drill
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import ENDPOINT_SPEC, Endpoint
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import LONG_SPEC

SPEC = dict(
    LONG_SPEC,
    **ADAPT_SPEC,
    state={"type": "str", "default": "present", "choices": ["present", "absent"]},
    backup={"type": "path"},
    identity={"type": "path", "no_log": False},  # a path, not a secret
    work_dir={"type": "path", "required": True},
    target={"type": "dict", "options": ENDPOINT_SPEC},
    version={"type": "int"},
    server={"type": "str", "default": "auto", "choices": ["auto", "throwaway", "scratch"]},
    server_bin_dir={"type": "path"},
    server_user={"type": "str"},
    databases={"type": "list", "elements": "str"},
    evidence={"type": "path"},
    expected={"type": "dict", "default": {}, "options": {name: {"type": "int", "default": 0} for name in ("databases", "backup")}},
    source_identifier={"type": "str"},
)


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    options = dict(module.params, target=Endpoint.from_options(module.params["target"]) if module.params["target"] else None)
    os.umask(0o077)
    work = drill if options.pop("state") == "present" else clear
    try:
        with alone(options["work_dir"], options.pop("lease_file"), options.pop("run_id"), module.check_mode):
            result = work(DrillRequest(**options), module.check_mode)
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
