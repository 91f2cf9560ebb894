#!/usr/bin/python
# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_freeze
short_description: Stop the writes to PostgreSQL databases, prove that nothing wrote since, and undo it exactly
version_added: 0.1.0
description:
  - Captures who owns what and who may do what, writes a script that undoes the freeze without Ansible, stops the writes,
    and takes a fence, the number of the server's next transaction, which any later write moves.
  - The fence is the proof, the freeze is not. It is one for the whole server, so no other database of it may be written to.
  - Sessions whose application name has the same text as O(application_name) before its last C(/) count as ours.
author: Dihya Migration contributors (@dihya)
extends_documentation_fragment:
  - dihya.migration.postgresql
attributes:
  check_mode:
    support: full
    description: Tells what would be run, and tries what it needs (psql, ssh, the program, the script's dry run); writes nothing to a disk.
  diff_mode:
    support: full
    description: Shows the statements that are or would be run.
options:
  source:
    description: The server whose databases are frozen.
    type: dict
    required: true
    suboptions: &endpoint
      host: {description: Name or address of the server., type: str, required: true}
      port: {description: Port of the server., type: int, default: 5432}
      user:
        description: Login role. It needs the right to change grants and to see all sessions, as a superuser does.
        type: str
        required: true
      password: {description: Password of the login., type: str}
      passfile: {description: Path of a libpq password file with mode 0600. The script O(reopen_script) reads it too., type: path}
      dbname: {description: Database to connect to for cluster-wide work., type: str, default: postgres}
      sslmode:
        description: How the connection is secured, as libpq names it.
        type: str
        default: verify-full
        choices: [disable, allow, prefer, require, verify-ca, verify-full]
      sslrootcert: {description: Path of the certificates that may sign the server's., type: path}
      connect_timeout: {description: Seconds to wait for a connection., type: int, default: 10}
  target:
    description: The server on which the dump was restored; for O(state=lifted).
    type: dict
    suboptions: *endpoint
  databases:
    description: The databases to freeze, or the one word V(all).
    type: list
    elements: str
    required: true
  state:
    description:
      - V(frozen) stops the writes; done before, it changes nothing.
      - V(open) undoes that and fails unless everything captured is as before; not frozen, it changes nothing. What others made or
        dropped meanwhile, and whatever they did since the timer of O(longest) opened the source, is no failure; RV(explained) names it.
      - Where the server refuses a statement of that, all others are run, and O(undo) too, before it fails.
      - V(fenced) changes nothing and fails when anything was written since O(fence).
      - V(lifted) gives the same databases on O(target) the owners and privileges of before the freeze, whose reduced ones
        travelled in a dump made behind it.
    type: str
    choices: [frozen, open, fenced, lifted]
    default: frozen
  method:
    description:
      - V(command) runs O(command), which stops the application or makes its proxy refuse writes.
      - V(revoke_connect) takes the right to connect from every role but superusers and the login itself, and ends their sessions.
      - V(pg_hba) puts lines that reject these roles before all others of the server's C(pg_hba.conf), has it read again, and ends their
        sessions. It runs on O(on), as a user who may write that file and signal the server (its own user, or root).
      - V(pgbouncer) has O(pgbouncer) C(PAUSE) the databases, which lets transactions end and holds clients back until C(RESUME). After a
        migration it goes on when PgBouncer knows the new server.
    type: str
    choices: [command, revoke_connect, pg_hba, pgbouncer]
    default: command
  command:
    description: What stops the writes. A string is split as a shell would, but no shell runs it. It must do no harm when run twice.
    type: raw
  undo:
    description: What undoes O(command); same form.
    type: raw
  pgbouncer:
    description: The console of the PgBouncer that every client comes through, and a login that may use it (C(admin_users)).
    type: dict
    suboptions:
      host: {description: Name or address., type: str, required: true}
      port: {description: Port., type: int, default: 6432}
      user: {description: Login., type: str, required: true}
      password: {description: Its password., type: str}
      passfile: {description: "libpq password file with mode 0600, by default that of O(source).", type: path}
      sslmode:
        description: How the connection is secured, as libpq names it.
        type: str
        default: verify-full
        choices: [disable, allow, prefer, require, verify-ca, verify-full]
      sslrootcert: {description: Path of the certificates that may sign PgBouncer's., type: path}
      databases: {description: "What PgBouncer calls them, where that is not O(databases).", type: list, elements: str, default: []}
  "on":
    description:
      - The host on which programs of O(method) run, reached by ssh from the host that runs the module; without it they run there.
      - A name, or a dictionary of V(host), V(user), V(port), V(identity) and V(known_hosts), the last two being paths.
        The host key must be known.
      - What runs there is told to end (C(SIGTERM)) when the module is ended before it.
    type: raw
  keep_readers:
    description:
      - Lets clients go on reading. Every role but superusers and the login loses the rights to write to tables and sequences.
      - Without it, no other client may be connected when the writes are stopped.
    type: bool
    default: false
  capture_file:
    description: Where the capture goes, with mode 0600, before the first change. Its state is beside it, in a file ending in C(.state).
    type: path
    required: true
  reopen_script:
    description: Where to write the script that undoes the freeze, with mode 0700, before the first change.
    type: path
  longest:
    description:
      - Seconds for which the source may stay frozen; V(0) sets no limit. After that a timer on this host runs O(reopen_script), whoever
        died meanwhile, unless O(disarm) was faster. It needs neither Ansible nor Python, and ends with a restart of the host.
      - The timer begins with the first change of O(state=frozen). A source that it opened breaks the fence. A timer that does not live
        any more begins anew when this module is run again.
      - The passwords that the script needs are kept beside O(capture_file), with mode 0600, for as long as the timer lives; passfiles that
        are gone before do not keep it from its work.
    type: int
    default: 0
  lease:
    description:
      - Seconds after which the same timer takes the run for dead, and runs O(reopen_script) although O(longest) is not over, when none
        of O(signs) was written to; V(0) waits for O(longest). It is late by at most five seconds, or a quarter of the lease.
    type: int
    default: 0
  signs:
    description: Files on this host that are written to for as long as the run goes on; of no use without O(lease).
    type: list
    elements: path
    default: []
  disarm:
    description:
      - Takes the timer of O(longest) away for good, with O(state=fenced), before the fence is looked at. It belongs right before clients
        are let into the target. It fails when the timer was faster.
    type: bool
    default: false
  fence:
    description: The fence that must still hold with O(state=fenced). By default the one that O(state=frozen) took.
    type: str
  proof:
    description:
      - A file written by M(dihya.migration.pg_verify) with C(digest_file) since the freeze. When only the transaction number moved,
        with O(state=fenced), rows and objects are read again and compared with it, and privileges and roles with those of the freeze;
        when all are equal the fence is explained, not broken. Tables that it leaves out are not looked at, and one of C(scope=rows) proves
        nothing here. The fence has to stand still meanwhile. Where maintenance moves it, all is read again, three times at most.
        Where definitions could not be read, as they are no UTF-8 in a database without an encoding, it explains nothing either.
      - Without it, only maintenance (ANALYZE, VACUUM) explains a moved fence, when the server's statistics count no row written since.
    type: path
  other_clients:
    description: What to do when clients are still connected after the freeze and O(keep_readers) is false.
    type: str
    choices: [fail, list]
    default: fail
  lease_file:
    description: File on this host that is held while the module works, but in check mode, so that no second one works beside it.
    type: path
  run_id:
    description: Written into O(lease_file) to tell who holds it.
    type: str
  settle:
    description: Seconds to wait for clients to leave and for transactions that write to end.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: Stop the application and take the fence
  dihya.migration.pg_freeze:
    source: {host: db.old.example, user: migrator, passfile: /run/dihya/pgpass}
    databases: [crm]
    command: systemctl stop crm
    undo: systemctl start crm
    'on': {host: app1.old.example, user: deploy}
    capture_file: /var/lib/dihya-migration/crm/postgresql/capture.json
    reopen_script: /var/lib/dihya-migration/crm/postgresql/reopen
  register: frozen

- name: Fail when anything was written since
  dihya.migration.pg_freeze:
    source: {host: db.old.example, user: migrator, passfile: /run/dihya/pgpass}
    databases: [crm]
    state: fenced
    fence: "{{ frozen.fence.value }}"
    capture_file: /var/lib/dihya-migration/crm/postgresql/capture.json
"""

RETURN = r"""
msg:
  description: What was done, or why nothing was.
  type: str
  returned: always
state:
  description: V(frozen), V(freezing) when a freeze did not come to its end, V(reopened) when the timer opened the source, or V(open).
  type: str
  returned: always
fence:
  description: The transaction number that must not move (C(value)), when it was read (C(at)) and where (C(source)).
  type: dict
  returned: when frozen
held:
  description: The value of the fence that was held, which tells this freeze from others. That of RV(fence) is moved by maintenance.
  type: str
  returned: with O(state=fenced)
capture_sha256:
  description: SHA-256 of O(capture_file).
  type: str
  returned: when something was captured
clients:
  description: Sessions of others in the databases, counted by user, application name, address and database.
  type: list
  elements: dict
  returned: with O(state=frozen)
statements:
  description: What is run, in order; in check mode, what would be run.
  type: list
  elements: str
  returned: when there is something to do
explained:
  description: Why a fence that moved still holds; with O(state=open), what others changed since the freeze began.
  type: list
  elements: dict
  returned: with O(state=fenced), and where there is something to tell
journal:
  description: The facts for the journal.
  type: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres.endpoint import ENDPOINT_SPEC
from ansible_collections.dihya.migration.plugins.module_utils._postgres.freeze_module import run
from ansible_collections.dihya.migration.plugins.module_utils._postgres.tools import COMMON_SPEC

BOUNCER_SPEC = {
    **{name: ENDPOINT_SPEC[name] for name in ("host", "user", "password", "passfile", "sslmode", "sslrootcert")},
    "port": {"type": "int", "default": 6432},
    "databases": {"type": "list", "elements": "str", "default": []},
}
SPEC = {
    **COMMON_SPEC,
    "source": {"type": "dict", "required": True, "options": ENDPOINT_SPEC},
    "target": {"type": "dict", "options": ENDPOINT_SPEC},
    "databases": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": ["frozen", "open", "fenced", "lifted"], "default": "frozen"},
    "method": {"type": "str", "choices": ["command", "revoke_connect", "pg_hba", "pgbouncer"], "default": "command"},
    "pgbouncer": {"type": "dict", "options": BOUNCER_SPEC},
    "command": {"type": "raw"},
    "undo": {"type": "raw"},
    "on": {"type": "raw"},
    "keep_readers": {"type": "bool", "default": False},
    "capture_file": {"type": "path", "required": True},
    "reopen_script": {"type": "path"},
    "longest": {"type": "int", "default": 0},
    "lease": {"type": "int", "default": 0},
    "signs": {"type": "list", "elements": "path", "default": []},
    "disarm": {"type": "bool", "default": False},
    "fence": {"type": "str"},
    "proof": {"type": "path"},
    "other_clients": {"type": "str", "choices": ["fail", "list"], "default": "fail"},
    "settle": {"type": "int", "default": 10},
    "lease_file": {"type": "path"},
    "run_id": {"type": "str"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True, required_if=[("state", "lifted", ["target"])])
    try:
        result = run(module.params, module.check_mode)
    except MigrationError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
