# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sequences that are behind the column they number (serial, identity, OWNED BY): what they give next may be there already."""

from __future__ import annotations

from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import rows

AT_ONCE = 200  # subqueries in one query
OWNED = """
SELECT s.seqrelid::regclass::text, d.refobjid::regclass::text, quote_ident(a.attname), s.seqincrement > 0
FROM pg_sequence s JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid
  AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid JOIN pg_class c ON c.oid = d.refobjid
WHERE NOT s.seqcycle AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
  AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' ORDER BY 1
"""
# A sequence that gave no number yet gives last_value itself. An index on the column makes the look at it short.
BEHIND = {
    True: "SELECT {0} WHERE (SELECT max({1}) FROM {2}) > (SELECT last_value::numeric - 1 + is_called::int FROM {3})",
    False: "SELECT {0} WHERE (SELECT min({1}) FROM {2}) < (SELECT last_value::numeric + 1 - is_called::int FROM {3})",
}


def read_behind(connection: Any) -> list[str]:
    """Names of the sequences that are behind, in the database of ``connection``, whose session is pinned."""
    owned, found = rows(connection, OWNED), []
    for start in range(0, len(owned), AT_ONCE):
        some = owned[start:start + AT_ONCE]
        parts = [BEHIND[rises].format(index, column, table, name) for index, (name, table, column, rises) in enumerate(some)]
        found += [some[index][0] for (index,) in rows(connection, " UNION ALL ".join(parts))]
    return sorted(found)
