# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The objects of one database in a normal form that is the same on every major version.

A catalog is ``{kind: {identity: {property: value}}}``. Identities are quoted names, never OIDs. Members of extensions and
of the system are left out (their ACLs are in ``capture``). NOT NULL comes from pg_attribute: only new versions have
constraints for it. Properties named ``definition``, ``expression``, ``using`` and ``check`` are printed by the server,
and may be printed in another way by another major version (see ``normal``).
"""

from __future__ import annotations

from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import rows, sequences

Catalog = dict[str, dict[str, dict[str, Any]]]

MEMBER = "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid} AND d.deptype = 'e')"
USER = "n.nspname NOT IN ('pg_catalog','information_schema','pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'"
NAME = "quote_ident(n.nspname) || '.' || quote_ident({})"
RELATION = NAME.format("c.relname")
FROM_RELATION = "JOIN pg_class c ON c.oid = {} JOIN pg_namespace n ON n.oid = c.relnamespace"
IN_RELATION = f"{USER} AND {MEMBER.format(catalog='pg_class', oid='c.oid')}"
ACTIONS = "obj_description({oid}, '{catalog}')"
NAMES = "(SELECT json_agg(v ORDER BY v) FROM unnest({}::text[]) v)"
# Since 15.20 the server stamps every column with a version of its own, which no other major version accepts.
ATTRIBUTE_OPTIONS = "(SELECT json_agg(v ORDER BY v) FROM unnest(a.attoptions) v WHERE v NOT LIKE 'pg\\_attver=%')"


def comment(catalog: str, oid: str) -> str:
    """SQL of the comment on an object."""
    return ACTIONS.format(catalog=catalog, oid=oid)


def simple(catalog: str, alias: str, name: str, namespace: str, properties: str, extra: str = "") -> str:
    """SQL of a kind whose identity is ``schema.name``, with its owner left to ``capture`` where that has it."""
    return (f"SELECT {NAME.format(f'{alias}.{name}')}{extra}, json_build_object('comment', {comment(catalog, f'{alias}.oid')}"
            f"{', ' + properties if properties else ''}) FROM {catalog} {alias} JOIN pg_namespace n ON n.oid = {alias}.{namespace}"
            f" WHERE {USER} AND {MEMBER.format(catalog=catalog, oid=f'{alias}.oid')}")


QUERIES: dict[str, str] = {
    "schema": f"""SELECT quote_ident(n.nspname), json_build_object('comment', {comment('pg_namespace', 'n.oid')}) FROM pg_namespace n
        WHERE {USER} AND n.nspname !~ '^pg_' AND {MEMBER.format(catalog='pg_namespace', oid='n.oid')}""",
    "extension": f"""SELECT quote_ident(e.extname), json_build_object('version', e.extversion, 'schema', e.extnamespace::regnamespace::text,
        'comment', {comment('pg_extension', 'e.oid')}) FROM pg_extension e""",
    "table": f"""SELECT {RELATION}, json_build_object('kind', c.relkind, 'persistence', c.relpersistence,
        'options', {NAMES.format('c.reloptions')}, 'toast_options', (SELECT {NAMES.format('t.reloptions')} FROM pg_class t
          WHERE t.oid = c.reltoastrelid), 'method', (SELECT a.amname FROM pg_am a WHERE a.oid = c.relam AND c.relkind <> 'p'),
        'tablespace', (SELECT t.spcname FROM pg_tablespace t WHERE t.oid = c.reltablespace), 'replica_identity', c.relreplident,
        'row_security', c.relrowsecurity, 'force_row_security', c.relforcerowsecurity, 'partition_key', pg_get_partkeydef(c.oid),
        'partition_bound', pg_get_expr(c.relpartbound, c.oid),
        'parents', (SELECT json_agg(i.inhparent::regclass::text ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid),
        'of_type', nullif(c.reloftype, 0)::regtype::text, 'populated', c.relispopulated,
        'foreign', (SELECT json_build_array(s.srvname, encode(sha256(convert_to(coalesce(f.ftoptions::text, ''), 'UTF8')), 'hex'))
          FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid),
        'comment', {comment('pg_class', 'c.oid')})
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','p','v','m','f','c') AND {IN_RELATION}""",
    "column": f"""SELECT {RELATION} || '.' || quote_ident(a.attname), json_build_object('of', {RELATION},
        'position', row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum), 'type', format_type(a.atttypid, a.atttypmod),
        'not_null', a.attnotnull, 'identity', a.attidentity, 'generated', a.attgenerated, 'expression', pg_get_expr(b.adbin, b.adrelid),
        'collation', nullif(a.attcollation, t.typcollation)::regcollation::text, 'storage', nullif(a.attstorage, t.typstorage),
        'compression', {{compression}}, 'statistics', nullif(a.attstattarget, -1), 'options', {ATTRIBUTE_OPTIONS},
        'comment', col_description(c.oid, a.attnum))
        FROM pg_attribute a {FROM_RELATION.format('a.attrelid')} JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef b ON b.adrelid = a.attrelid AND b.adnum = a.attnum
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r','p','v','m','f','c') AND {IN_RELATION}""",
    "view": f"""SELECT {RELATION}, json_build_object('of', {RELATION}, 'definition', pg_get_viewdef(c.oid))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v','m') AND {IN_RELATION}""",
    "index": f"""SELECT {NAME.format('x.relname')}, json_build_object('of', {RELATION}, 'definition', pg_get_indexdef(i.indexrelid),
        'valid', i.indisvalid, 'ready', i.indisready, 'clustered', i.indisclustered, 'replica_identity', i.indisreplident,
        'tablespace', (SELECT t.spcname FROM pg_tablespace t WHERE t.oid = x.reltablespace), 'comment', {comment('pg_class', 'x.oid')})
        FROM pg_index i {FROM_RELATION.format('i.indrelid')} JOIN pg_class x ON x.oid = i.indexrelid WHERE {IN_RELATION}""",
    "constraint": f"""SELECT {RELATION} || ' ' || quote_ident(o.conname), json_build_object('of', {RELATION}, 'kind', o.contype,
        'definition', pg_get_constraintdef(o.oid), 'validated', o.convalidated, 'local', o.conislocal,
        'comment', {comment('pg_constraint', 'o.oid')})
        FROM pg_constraint o {FROM_RELATION.format('o.conrelid')} WHERE o.contype NOT IN ('n', 't') AND {IN_RELATION}""",
    "trigger": f"""SELECT {RELATION} || ' ' || quote_ident(t.tgname), json_build_object('of', {RELATION}, 'enabled', t.tgenabled,
        'definition', pg_get_triggerdef(t.oid), 'comment', {comment('pg_trigger', 't.oid')})
        FROM pg_trigger t {FROM_RELATION.format('t.tgrelid')} WHERE NOT t.tgisinternal AND {IN_RELATION}""",
    "rule": f"""SELECT {RELATION} || ' ' || quote_ident(r.rulename), json_build_object('of', {RELATION}, 'enabled', r.ev_enabled,
        'definition', pg_get_ruledef(r.oid), 'comment', {comment('pg_rewrite', 'r.oid')})
        FROM pg_rewrite r {FROM_RELATION.format('r.ev_class')} WHERE r.rulename <> '_RETURN' AND {IN_RELATION}""",
    "policy": f"""SELECT {RELATION} || ' ' || quote_ident(p.polname), json_build_object('of', {RELATION}, 'command', p.polcmd,
        'permissive', p.polpermissive, 'roles', (SELECT json_agg(CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r) END::text
          ORDER BY pg_get_userbyid(r)) FROM unnest(p.polroles) r), 'using', pg_get_expr(p.polqual, p.polrelid),
        'check', pg_get_expr(p.polwithcheck, p.polrelid), 'comment', {comment('pg_policy', 'p.oid')})
        FROM pg_policy p {FROM_RELATION.format('p.polrelid')} WHERE {IN_RELATION}""",
    "sequence": f"""SELECT {RELATION}, json_build_object('of', (SELECT d.refobjid::regclass::text FROM pg_depend d
          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refobjsubid > 0 AND d.deptype IN ('a','i') LIMIT 1),
        'type', s.seqtypid::regtype::text, 'start', s.seqstart, 'increment', s.seqincrement, 'max', s.seqmax, 'min', s.seqmin,
        'cache', s.seqcache, 'cycle', s.seqcycle, 'persistence', c.relpersistence, 'comment', {comment('pg_class', 'c.oid')})
        FROM pg_sequence s {FROM_RELATION.format('s.seqrelid')} WHERE c.relpersistence <> 't' AND {IN_RELATION}""",
    "routine": f"""SELECT {NAME.format('p.proname')} || '(' || pg_get_function_identity_arguments(p.oid) || ')', json_build_object(
        'kind', p.prokind, 'definition', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
        'returns', pg_get_function_result(p.oid), 'aggregate', (SELECT json_build_array(a.aggkind, a.aggnumdirectargs,
          a.aggtransfn::regproc::text, a.aggfinalfn::regproc::text, a.aggcombinefn::regproc::text, a.aggserialfn::regproc::text,
          a.aggdeserialfn::regproc::text, a.aggmtransfn::regproc::text, a.aggminvtransfn::regproc::text, a.aggmfinalfn::regproc::text,
          a.aggsortop::regoper::text, a.aggtranstype::regtype::text, a.aggtransspace, a.agginitval, a.aggfinalmodify, p.proparallel)
          FROM pg_aggregate a WHERE a.aggfnoid = p.oid), 'comment', {comment('pg_proc', 'p.oid')})
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {USER} AND {MEMBER.format(catalog='pg_proc', oid='p.oid')}""",
    "type": simple("pg_type", "t", "typname", "typnamespace", """'kind', t.typtype, 'labels',
        (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid), 'base',
        CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod) END, 'not_null', t.typnotnull, 'default', t.typdefault,
        'collation', nullif(t.typcollation, 0)::regcollation::text, 'constraints', (SELECT json_agg(json_build_array(o.conname,
          pg_get_constraintdef(o.oid), o.convalidated) ORDER BY o.conname) FROM pg_constraint o WHERE o.contypid = t.oid
          AND o.contype <> 'n'), 'subtype', (SELECT json_build_array(r.rngsubtype::regtype::text,
          nullif(r.rngcollation, 0)::regcollation::text, r.rngcanonical::regproc::text, r.rngsubdiff::regproc::text)
          FROM pg_range r WHERE r.rngtypid = t.oid), 'input', CASE t.typtype WHEN 'b' THEN t.typinput::regproc::text END""")
    + " AND t.typtype IN ('b','d','e','r') AND t.typelem = 0",
    "statistics": simple("pg_statistic_ext", "s", "stxname", "stxnamespace",
                         "'definition', pg_get_statisticsobjdef(s.oid), 'target', nullif(s.stxstattarget, -1)"),
    "collation": simple("pg_collation", "o", "collname", "collnamespace",
                        "'provider', o.collprovider, 'collate', o.collcollate, 'ctype', o.collctype,"
                        " 'deterministic', o.collisdeterministic"),
    "conversion": simple("pg_conversion", "o", "conname", "connamespace", "'procedure', o.conproc::regproc::text, 'default', o.condefault"),
    "operator": simple("pg_operator", "o", "oprname", "oprnamespace", "'procedure', o.oprcode::regproc::text, 'result', "
                       "o.oprresult::regtype::text, 'hashes', o.oprcanhash, 'merges', o.oprcanmerge, 'restrict', o.oprrest::regproc::text, "
                       "'join', o.oprjoin::regproc::text",
                       " || '(' || o.oprleft::regtype::text || ',' || o.oprright::regtype::text || ')'"),
    "operator class": simple("pg_opclass", "o", "opcname", "opcnamespace", "'type', o.opcintype::regtype::text, 'default', o.opcdefault",
                             " || ' ' || (SELECT m.amname FROM pg_am m WHERE m.oid = o.opcmethod)"),
    "operator family": simple("pg_opfamily", "o", "opfname", "opfnamespace", """'operators', (SELECT json_agg(json_build_array(
          a.amopstrategy, a.amopopr::regoperator::text, a.amoppurpose) ORDER BY a.amopstrategy, a.amopopr::regoperator::text) FROM pg_amop a
          WHERE a.amopfamily = o.oid), 'functions', (SELECT json_agg(json_build_array(a.amprocnum, a.amproc::regprocedure::text)
          ORDER BY a.amprocnum, a.amproc::regprocedure::text) FROM pg_amproc a WHERE a.amprocfamily = o.oid)""",
                              " || ' ' || (SELECT m.amname FROM pg_am m WHERE m.oid = o.opfmethod)"),
    "text search configuration": simple("pg_ts_config", "o", "cfgname", "cfgnamespace", """'parser', (SELECT p.prsname FROM pg_ts_parser p
          WHERE p.oid = o.cfgparser), 'mapping', (SELECT json_agg(json_build_array(m.maptokentype, m.mapseqno,
          m.mapdict::regdictionary::text) ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = o.oid)"""),
    "text search dictionary": simple("pg_ts_dict", "o", "dictname", "dictnamespace", "'options', o.dictinitoption"),
    "cast": f"""SELECT c.castsource::regtype::text || ' AS ' || c.casttarget::regtype::text, json_build_object('function',
        nullif(c.castfunc, 0)::regprocedure::text, 'context', c.castcontext, 'method', c.castmethod,
        'comment', {comment('pg_cast', 'c.oid')}) FROM pg_cast c
        WHERE c.oid >= 16384 AND {MEMBER.format(catalog='pg_cast', oid='c.oid')}""",
    "publication": f"""SELECT quote_ident(p.pubname), json_build_object('all_tables', p.puballtables, 'actions',
        json_build_array(p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot), 'owner', pg_get_userbyid(p.pubowner),
        'tables', (SELECT json_agg(json_build_array(r.prrelid::regclass::text, {{filter}}) ORDER BY r.prrelid::regclass::text)
          FROM pg_publication_rel r WHERE r.prpubid = p.oid), 'schemas', {{published_schemas}},
        'comment', {comment('pg_publication', 'p.oid')}) FROM pg_publication p""",
    "event trigger": f"""SELECT quote_ident(e.evtname), json_build_object('event', e.evtevent, 'function', e.evtfoid::regprocedure::text,
        'enabled', e.evtenabled, 'tags', {NAMES.format('e.evttags')}, 'owner', pg_get_userbyid(e.evtowner),
        'comment', {comment('pg_event_trigger', 'e.oid')}) FROM pg_event_trigger e
        WHERE {MEMBER.format(catalog='pg_event_trigger', oid='e.oid')}""",
    # Options of servers and user mappings hold passwords: only their digest leaves the server.
    "foreign server": f"""SELECT quote_ident(s.srvname), json_build_object('wrapper', w.fdwname, 'type', s.srvtype, 'version', s.srvversion,
        'options', encode(sha256(convert_to(coalesce(s.srvoptions::text, ''), 'UTF8')), 'hex'),
        'comment', {comment('pg_foreign_server', 's.oid')})
        FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw""",
    "user mapping": """SELECT quote_ident(u.srvname) || ' ' || quote_ident(coalesce(u.usename, 'public')), json_build_object('options',
        encode(sha256(convert_to(coalesce(u.umoptions::text, ''), 'UTF8')), 'hex')) FROM pg_user_mappings u""",
    "large object": """SELECT l.oid::text, json_build_object('owner', pg_get_userbyid(l.lomowner), 'comment', o.description)
        FROM pg_largeobject_metadata l JOIN pg_description o ON o.objoid = l.oid AND o.classoid = 'pg_largeobject'::regclass""",
    "security label": """SELECT l.objtype || ' ' || l.objname || ' ' || l.provider, json_build_object('label', l.label)
        FROM pg_seclabels l""",
}


def read_catalog(connection: Any) -> Catalog:
    """The catalog of the database of ``connection``, whose session is pinned."""
    version = connection.server_version
    parts = {
        "compression": "nullif(a.attcompression, '')" if version >= 140000 else "NULL",
        "filter": "pg_get_expr(r.prqual, r.prrelid), r.prattrs::text" if version >= 150000 else "NULL, NULL",
        "published_schemas": "(SELECT json_agg(s.pnnspid::regnamespace::text ORDER BY s.pnnspid::regnamespace::text) FROM"
                             " pg_publication_namespace s WHERE s.pnpubid = p.oid)" if version >= 150000 else "NULL",
    }
    found: Catalog = {}
    for kind, sql in QUERIES.items():
        for name, value in parts.items():
            sql = sql.replace("{" + name + "}", value)
        found[kind] = dict(rows(connection, sql))
    for name, (last, called) in sequences(connection).items():
        if name in found["sequence"]:
            found["sequence"][name].update(last_value=last, is_called=called)
    return found
