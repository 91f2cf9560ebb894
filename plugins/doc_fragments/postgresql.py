# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options and requirements that the PostgreSQL modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragments ``dihya.migration.postgresql``, ``….long``, ``….encrypt``, ``….managed`` and ``….tablespaces``."""

    DOCUMENTATION = r"""
options:
  jobs:
    description:
      - How many workers may be busy at once, in all databases together, each with a connection of its own to each server that is read.
      - As many as the smaller server has cores are the fastest. A server does not tell its cores, so they are not found by themselves.
    type: int
    default: 2
  bin_dir:
    description: Directory of the PostgreSQL client tools. Without it they are looked for on the search path.
    type: path
  application_name:
    description: What the sessions call themselves in the server's lists.
    type: str
    default: dihya
requirements:
  - psycopg2
  - the PostgreSQL client tools pg_dump, pg_restore, pg_dumpall and psql, not older than either server
"""

    LONG = r"""
options:
  progress_file:
    description:
      - File in which the module says where it is, replaced at most twice a second.
      - A dump counts the bytes of the tables that were read, of one under way too (servers before PostgreSQL 14 tell whole tables only).
        A restore counts the tables and indexes that are there again, in the sizes of the source; indexes of an encrypted backup at its end.
      - What the client tools print is kept beside it, in files that only their owner can read.
    type: path
  lease_file:
    description: File on which the module holds a lock while it works, so that there is never a second one.
    type: path
  run_id:
    description: Who holds the lease, for whoever finds it taken.
    type: str
"""

    ENCRYPT = r"""
options:
  encrypt:
    description:
      - Encrypt backups with the program C(age). Each of the recipients can read all of a backup.
      - Every database becomes one stream of C(pg_dump) that is piped through C(age); nothing lies on disk in clear at any moment.
        Such a backup is restored by one worker per database. Names, sizes and digests in the manifest stay readable.
      - Only for backups of format C(directory).
    type: dict
    suboptions:
      recipients:
        description: X25519 recipients, the public keys that C(age-keygen) prints (C(age1...)).
        type: list
        elements: str
        default: []
      recipients_files: {description: Paths of files with one recipient a line., type: list, elements: path, default: []}
"""

    MANAGED = r"""
options:
  owners:
    description:
      - Roles that take the place of others, by the name of the role on the source. What belonged to the one, or was granted to it, is the
        other's on the target. The role itself is not made.
      - Needed for owners in whose name the login of the target cannot act, such as the administrators of a managed service.
    type: dict
    default: {}
  service_roles:
    description:
      - Roles that belong to the service and stay with it, as names or shell patterns. They are not made, what was granted to them is not
        granted, and each is named in findings and result.
      - Where the login of the target is no superuser, the role that made the source's cluster is one of them.
    type: list
    elements: str
    default: ["rds_*", "rdsadmin", "rdsrepladmin", "rdstopmgr", "azure_*", "azuresu", "cloudsql*"]
  leave_out:
    description:
      - What is not restored although it is in the backup, each as V(extension NAME), V(event trigger NAME), V(publication NAME) or
        V(subscription NAME). For what a plain login may not create, or the service provides itself.
    type: list
    elements: str
    default: []
"""

    TABLESPACES = r"""
options:
  tablespaces:
    description:
      - Tablespaces of the target by the name of those of the source. They must exist. Databases, tables, materialized views and indexes
        that lie in the one lie in the other afterwards. Tables are put there while they are empty, indexes once they are built.
      - What lies in a tablespace that is not named here lies in C(pg_default) afterwards, which findings and result say.
    type: dict
    default: {}
"""
