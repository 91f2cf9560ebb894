# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What in one database may be other on the target than here, for a reason that no comparison of both servers shows."""

from __future__ import annotations

from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.globals import rows

# Expressions that a restore computes and in which a function takes part that somebody made in this database. A check that is not valid
# comes after the rows and looks at none of them.
CALLERS = """
WITH own AS (
  SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e')
), calls AS (
  SELECT d.classid, d.objid FROM pg_catalog.pg_depend d JOIN own o ON o.oid = d.refobjid
  WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  UNION SELECT d.classid, d.objid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_operator p ON p.oid = d.refobjid
  JOIN own o ON o.oid = p.oprcode WHERE d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass
)
SELECT CASE k.conrelid WHEN 0 THEN 'domain ' || k.contypid::pg_catalog.regtype ELSE 'table ' || k.conrelid::pg_catalog.regclass END
  || ' (check ' || k.conname || ')' AS name
FROM calls c JOIN pg_catalog.pg_constraint k ON c.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = c.objid
WHERE k.contype = 'c' AND k.convalidated AND k.coninhcount = 0
UNION SELECT 'table ' || a.attrelid::pg_catalog.regclass || ' (generated column ' || a.attname || ')'
FROM calls c JOIN pg_catalog.pg_attrdef f ON c.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND f.oid = c.objid
JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum AND pg_catalog.to_jsonb(a) ->> 'attgenerated' = 's'
UNION SELECT CASE r.relkind WHEN 'm' THEN 'materialized view ' ELSE 'index ' END || r.oid::pg_catalog.regclass
FROM calls c LEFT JOIN pg_catalog.pg_rewrite w ON c.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = c.objid
JOIN pg_catalog.pg_class r ON r.relkind = 'm' AND r.oid = w.ev_class
  OR r.relkind = 'i' AND NOT r.relispartition AND c.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND r.oid = c.objid
ORDER BY 1"""

# Dictionaries whose words lie in files beside the server's programs.
DICTIONARIES = """
SELECT d.oid::pg_catalog.regdictionary::text AS name FROM pg_catalog.pg_ts_dict d WHERE d.oid >= 16384
AND d.dictinitoption ~* '(file|stopwords|synonyms|rules) *=' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
  WHERE e.classid = 'pg_catalog.pg_ts_dict'::pg_catalog.regclass AND e.objid = d.oid AND e.deptype = 'e') ORDER BY 1"""


def callers(connection: Any) -> list[str]:
    """Checks, stored generated columns, indexes and materialized views that call a function of this database."""
    return [row["name"] for row in rows(connection, CALLERS)]


def dictionaries(connection: Any) -> list[str]:
    """Text search dictionaries of users that read files of the server's host."""
    return [row["name"] for row in rows(connection, DICTIONARIES)]
