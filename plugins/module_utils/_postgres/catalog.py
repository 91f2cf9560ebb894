# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The objects of one database in a normal form that is the same on every major version.

A catalog is ``{kind: {identity: {property: value}}}``. Identities are quoted names, never OIDs. Members of extensions and
of the system are left out; owners and ACLs are in ``capture``. NOT NULL comes from pg_attribute; the constraints that 18
has for it are a kind of their own there. Properties named ``definition``, ``expression``, ``using`` and ``check`` are
printed by the server, and may be printed in another way by another major version (see ``normal``).
"""

from __future__ import annotations

from typing import Any

from ansible_collections.dihya.migration.plugins.module_utils._postgres.capture import rows, sequences

Catalog = dict[str, dict[str, dict[str, Any]]]
NOT_NULL_KIND = "not null constraint"

MEMBER = "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid} AND d.deptype = 'e')"
USER = "n.nspname NOT IN ('pg_catalog','information_schema','pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'"
NAME = "quote_ident(n.nspname) || '.' || quote_ident({})"
RELATION = NAME.format("c.relname")
FROM_RELATION = "JOIN pg_class c ON c.oid = {} JOIN pg_namespace n ON n.oid = c.relnamespace"
IN_RELATION = f"{USER} AND {MEMBER.format(catalog='pg_class', oid='c.oid')}"
NAMES = "(SELECT json_agg(v ORDER BY v) FROM unnest({}::text[]) v)"
# Since 15.20 the server stamps every column with a version of its own, which no other major version accepts.
ATTRIBUTE_OPTIONS = "(SELECT json_agg(v ORDER BY v) FROM unnest(a.attoptions) v WHERE v NOT LIKE 'pg\\_attver=%')"
MAPPING_KIND, SUBSCRIPTION_KIND = "user mapping", "subscription"
UNREADABLE = "unknown"  # in the place of what a login may not read: options of a user mapping, the connection of a subscription
# The server shows no options of a user mapping to others, as if there were none.
MAY_READ_MAPPING = """((SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) OR CASE WHEN u.umuser = 0
          THEN pg_has_role(s.srvowner, 'USAGE') ELSE u.usename = current_user
            AND (pg_has_role(s.srvowner, 'USAGE') OR has_server_privilege(s.oid, 'USAGE')) END)"""


def comment(catalog: str, oid: str) -> str:
    """SQL of the comment on an object."""
    return f"obj_description({oid}, '{catalog}')"


def options(expression: str) -> str:
    """SQL of the digest of options, which may hold passwords: they do not leave the server."""
    return f"encode(sha256(convert_to(coalesce({expression}::text, ''), 'UTF8')), 'hex')"


def qualified(catalog: str, name: str, namespace: str, oid: str) -> str:
    """SQL of ``schema.name`` of the object ``oid`` of a catalog that has no type for names."""
    return (f"(SELECT quote_ident(q.nspname) || '.' || quote_ident(e.{name}) FROM {catalog} e"
            f" JOIN pg_namespace q ON q.oid = e.{namespace} WHERE e.oid = {oid})")


def simple(catalog: str, alias: str, name: str, namespace: str, properties: str, extra: str = "") -> str:
    """SQL of a kind whose identity is ``schema.name``."""
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
          WHERE t.oid = c.reltoastrelid), 'method', (SELECT a.amname FROM pg_am a WHERE a.oid = c.relam),
        'tablespace', (SELECT t.spcname FROM pg_tablespace t WHERE t.oid = c.reltablespace), 'replica_identity', c.relreplident,
        'row_security', c.relrowsecurity, 'force_row_security', c.relforcerowsecurity, 'partition_key', pg_get_partkeydef(c.oid),
        'partition_bound', pg_get_expr(c.relpartbound, c.oid),
        'parents', (SELECT json_agg(i.inhparent::regclass::text ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid),
        'of_type', nullif(c.reloftype, 0)::regtype::text, 'populated', c.relispopulated,
        'foreign', (SELECT json_build_array(s.srvname, {options('f.ftoptions')})
          FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid),
        'comment', {comment('pg_class', 'c.oid')})
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','p','v','m','f','c') AND {IN_RELATION}""",
    "column": f"""SELECT {RELATION} || '.' || quote_ident(a.attname), json_build_object('of', {RELATION},
        'position', row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum), 'type', format_type(a.atttypid, a.atttypmod),
        'not_null', a.attnotnull{{and_validated}}, 'local', a.attislocal, 'identity', a.attidentity,
        'generated', a.attgenerated, 'expression', pg_get_expr(b.adbin, b.adrelid),
        'collation', nullif(a.attcollation, t.typcollation)::regcollation::text, 'storage', nullif(a.attstorage, t.typstorage),
        'compression', {{compression}}, 'statistics', nullif(a.attstattarget, -1), 'options', {ATTRIBUTE_OPTIONS},
        'foreign_options', CASE WHEN a.attfdwoptions IS NOT NULL THEN {options('a.attfdwoptions')} END,
        'comment', col_description(c.oid, a.attnum))
        FROM pg_attribute a {FROM_RELATION.format('a.attrelid')} JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef b ON b.adrelid = a.attrelid AND b.adnum = a.attnum
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r','p','v','m','f','c') AND {IN_RELATION}""",
    "view": f"""SELECT {RELATION}, json_build_object('of', {RELATION}, 'definition', pg_get_viewdef(c.oid))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v','m') AND {IN_RELATION}""",
    "index": f"""SELECT {NAME.format('x.relname')}, json_build_object('of', {RELATION}, 'definition', pg_get_indexdef(i.indexrelid),
        'valid', i.indisvalid, 'ready', i.indisready, 'clustered', i.indisclustered, 'replica_identity', i.indisreplident,
        'attached_to', (SELECT p.inhparent::regclass::text FROM pg_inherits p WHERE p.inhrelid = i.indexrelid), 'statistics',
        (SELECT json_agg(json_build_array(a.attnum, a.attstattarget) ORDER BY a.attnum) FROM pg_attribute a
          WHERE a.attrelid = i.indexrelid AND a.attstattarget >= 0),
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
          a.aggsortop::regoper::text, a.aggtranstype::regtype::text, a.aggtransspace, a.agginitval, a.aggfinalextra, a.aggfinalmodify,
          nullif(a.aggmtranstype, 0)::regtype::text, a.aggmtransspace, a.aggminitval, a.aggmfinalextra, a.aggmfinalmodify, p.proparallel)
          FROM pg_aggregate a WHERE a.aggfnoid = p.oid), 'comment', {comment('pg_proc', 'p.oid')})
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {USER} AND {MEMBER.format(catalog='pg_proc', oid='p.oid')}""",
    "type": simple("pg_type", "t", "typname", "typnamespace", """'kind', t.typtype, 'labels',
        (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid), 'base',
        CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod) END, 'not_null', t.typnotnull, 'default', t.typdefault,
        'collation', nullif(t.typcollation, 0)::regcollation::text, 'constraints', (SELECT json_agg(json_build_array(o.conname,
          pg_get_constraintdef(o.oid), o.convalidated, obj_description(o.oid, 'pg_constraint')) ORDER BY o.conname)
          FROM pg_constraint o WHERE o.contypid = t.oid AND o.contype <> 'n'), 'subtype', (SELECT json_build_array(
          r.rngsubtype::regtype::text, nullif(r.rngcollation, 0)::regcollation::text, r.rngcanonical::regproc::text,
          r.rngsubdiff::regproc::text, (SELECT quote_ident(s.nspname) || '.' || quote_ident(k.opcname) FROM pg_opclass k
            JOIN pg_namespace s ON s.oid = k.opcnamespace WHERE k.oid = r.rngsubopc), {multirange})
          FROM pg_range r WHERE r.rngtypid = t.oid), 'base_type', CASE t.typtype WHEN 'b' THEN json_build_array(t.typinput::regproc::text,
          t.typoutput::regproc::text, t.typreceive::regproc::text, t.typsend::regproc::text, t.typmodin::regproc::text,
          t.typmodout::regproc::text, t.typanalyze::regproc::text, t.typlen, t.typbyval, t.typalign, t.typstorage, t.typcategory,
          t.typispreferred, t.typdelim{subscript}) END""")
    + " AND (t.typtype IN ('b','d','e','r') OR t.typtype = 'p' AND NOT t.typisdefined) AND t.typelem = 0",
    "statistics": simple("pg_statistic_ext", "s", "stxname", "stxnamespace",
                         "'definition', pg_get_statisticsobjdef(s.oid), 'target', nullif(s.stxstattarget, -1)"),
    "collation": simple("pg_collation", "o", "collname", "collnamespace",
                        "'provider', o.collprovider, 'collate', CASE o.collprovider WHEN 'c' THEN o.collcollate END,"
                        " 'ctype', CASE o.collprovider WHEN 'c' THEN o.collctype END, 'locale', CASE WHEN o.collprovider <> 'c' THEN"
                        " coalesce(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale', o.collcollate) END,"
                        " 'rules', to_jsonb(o) ->> 'collicurules', 'deterministic', o.collisdeterministic"),
    "conversion": simple("pg_conversion", "o", "conname", "connamespace", "'procedure', o.conproc::regproc::text, 'default', o.condefault,"
                         " 'encodings', json_build_array(pg_encoding_to_char(o.conforencoding), pg_encoding_to_char(o.contoencoding))"),
    "operator": simple("pg_operator", "o", "oprname", "oprnamespace", "'procedure', o.oprcode::regproc::text, 'result', "
                       "o.oprresult::regtype::text, 'hashes', o.oprcanhash, 'merges', o.oprcanmerge, 'restrict', o.oprrest::regproc::text, "
                       "'join', o.oprjoin::regproc::text, 'commutator', nullif(o.oprcom, 0)::regoperator::text,"
                       " 'negator', nullif(o.oprnegate, 0)::regoperator::text",
                       " || '(' || o.oprleft::regtype::text || ',' || o.oprright::regtype::text || ')'"),
    "operator class": simple("pg_opclass", "o", "opcname", "opcnamespace", "'type', o.opcintype::regtype::text, 'default', o.opcdefault, "
                             f"'family', {qualified('pg_opfamily', 'opfname', 'opfnamespace', 'o.opcfamily')}, "
                             "'stored', nullif(o.opckeytype, 0)::regtype::text",
                             " || ' ' || (SELECT m.amname FROM pg_am m WHERE m.oid = o.opcmethod)"),
    "operator family": simple("pg_opfamily", "o", "opfname", "opfnamespace", f"""'operators', (SELECT json_agg(json_build_array(
          a.amopstrategy, a.amopopr::regoperator::text, a.amoppurpose,
          {qualified('pg_opfamily', 'opfname', 'opfnamespace', 'a.amopsortfamily')})
          ORDER BY a.amopstrategy, a.amopopr::regoperator::text) FROM pg_amop a WHERE a.amopfamily = o.oid), 'functions',
        (SELECT json_agg(json_build_array(a.amprocnum, a.amproc::regprocedure::text, a.amproclefttype::regtype::text,
          a.amprocrighttype::regtype::text) ORDER BY a.amprocnum, a.amproc::regprocedure::text, a.amproclefttype::regtype::text,
          a.amprocrighttype::regtype::text) FROM pg_amproc a WHERE a.amprocfamily = o.oid)""",
                              " || ' ' || (SELECT m.amname FROM pg_am m WHERE m.oid = o.opfmethod)"),
    "text search configuration": simple("pg_ts_config", "o", "cfgname", "cfgnamespace", f"""'parser',
        {qualified('pg_ts_parser', 'prsname', 'prsnamespace', 'o.cfgparser')}, 'mapping', (SELECT json_agg(json_build_array(
          m.maptokentype, m.mapseqno, m.mapdict::regdictionary::text)
          ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = o.oid)"""),
    "text search dictionary": simple("pg_ts_dict", "o", "dictname", "dictnamespace",
                                     f"'template', {qualified('pg_ts_template', 'tmplname', 'tmplnamespace', 'o.dicttemplate')}, "
                                     "'options', o.dictinitoption"),
    "text search parser": simple("pg_ts_parser", "o", "prsname", "prsnamespace", """'functions', json_build_array(o.prsstart::regproc::text,
        o.prstoken::regproc::text, o.prsend::regproc::text, o.prsheadline::regproc::text, o.prslextype::regproc::text)"""),
    "text search template": simple("pg_ts_template", "o", "tmplname", "tmplnamespace",
                                   "'functions', json_build_array(o.tmplinit::regproc::text, o.tmpllexize::regproc::text)"),
    "access method": f"""SELECT quote_ident(o.amname), json_build_object('type', o.amtype, 'handler', o.amhandler::regproc::text,
        'comment', {comment('pg_am', 'o.oid')}) FROM pg_am o WHERE o.oid >= 16384 AND {MEMBER.format(catalog='pg_am', oid='o.oid')}""",
    "language": f"""SELECT quote_ident(o.lanname), json_build_object('trusted', o.lanpltrusted, 'functions', json_build_array(
        o.lanplcallfoid::regproc::text, o.laninline::regproc::text, o.lanvalidator::regproc::text), 'comment',
        {comment('pg_language', 'o.oid')}) FROM pg_language o
        WHERE o.oid >= 16384 AND {MEMBER.format(catalog='pg_language', oid='o.oid')}""",
    "transform": f"""SELECT 'for ' || o.trftype::regtype::text || ' language ' || (SELECT quote_ident(l.lanname) FROM pg_language l
          WHERE l.oid = o.trflang), json_build_object('functions', json_build_array(nullif(o.trffromsql, 0)::regprocedure::text,
          nullif(o.trftosql, 0)::regprocedure::text), 'comment', {comment('pg_transform', 'o.oid')}) FROM pg_transform o
        WHERE {MEMBER.format(catalog='pg_transform', oid='o.oid')}""",
    "cast": f"""SELECT c.castsource::regtype::text || ' AS ' || c.casttarget::regtype::text, json_build_object('function',
        nullif(c.castfunc, 0)::regprocedure::text, 'context', c.castcontext, 'method', c.castmethod,
        'comment', {comment('pg_cast', 'c.oid')}) FROM pg_cast c
        WHERE c.oid >= 16384 AND {MEMBER.format(catalog='pg_cast', oid='c.oid')}""",
    "publication": f"""SELECT quote_ident(p.pubname), json_build_object('all_tables', p.puballtables, 'actions',
        json_build_array(p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot),
        'generated', nullif(to_jsonb(p) ->> 'pubgencols', 'n'), 'owner', pg_get_userbyid(p.pubowner),
        'tables', (SELECT json_agg(json_build_array(r.prrelid::regclass::text, {{filter}}) ORDER BY r.prrelid::regclass::text)
          FROM pg_publication_rel r WHERE r.prpubid = p.oid), 'schemas', {{published_schemas}},
        'comment', {comment('pg_publication', 'p.oid')}) FROM pg_publication p""",
    "event trigger": f"""SELECT quote_ident(e.evtname), json_build_object('event', e.evtevent, 'function', e.evtfoid::regprocedure::text,
        'enabled', e.evtenabled, 'tags', {NAMES.format('e.evttags')}, 'owner', pg_get_userbyid(e.evtowner),
        'comment', {comment('pg_event_trigger', 'e.oid')}) FROM pg_event_trigger e
        WHERE {MEMBER.format(catalog='pg_event_trigger', oid='e.oid')}""",
    "foreign data wrapper": f"""SELECT quote_ident(o.fdwname), json_build_object('functions', json_build_array(
        nullif(o.fdwhandler, 0)::regproc::text, nullif(o.fdwvalidator, 0)::regproc::text), 'options', {options('o.fdwoptions')},
        'comment', {comment('pg_foreign_data_wrapper', 'o.oid')}) FROM pg_foreign_data_wrapper o
        WHERE {MEMBER.format(catalog='pg_foreign_data_wrapper', oid='o.oid')}""",
    "foreign server": f"""SELECT quote_ident(s.srvname), json_build_object('wrapper', w.fdwname, 'type', s.srvtype, 'version', s.srvversion,
        'options', {options('s.srvoptions')},
        'comment', {comment('pg_foreign_server', 's.oid')})
        FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
        WHERE {MEMBER.format(catalog='pg_foreign_server', oid='s.oid')}""",
    MAPPING_KIND: f"""SELECT quote_ident(u.srvname) || ' ' || quote_ident(coalesce(u.usename, 'public')), json_build_object('options',
        CASE WHEN u.umoptions IS NOT NULL OR {MAY_READ_MAPPING} THEN {options('u.umoptions')} ELSE '{UNREADABLE}' END)
        FROM pg_user_mappings u JOIN pg_foreign_server s ON s.oid = u.srvid""",
    SUBSCRIPTION_KIND: f"""SELECT quote_ident(s.subname), json_build_object('owner', pg_get_userbyid(s.subowner),
        'comment', {comment('pg_subscription', 's.oid')}{{subscribed}}) FROM pg_subscription s
        WHERE s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())""",
    "large object": """SELECT l.oid::text, json_build_object('owner', pg_get_userbyid(l.lomowner), 'comment', o.description)
        FROM pg_largeobject_metadata l JOIN pg_description o ON o.objoid = l.oid AND o.classoid = 'pg_largeobject'::regclass""",
    "security label": """SELECT l.objtype || ' ' || l.objname || ' ' || l.provider, json_build_object('label', l.label)
        FROM pg_seclabels l""",
}
# A column has no constraint for its NOT NULL before 18, and such a constraint no name that anybody gave it.
NOT_NULL = f"""SELECT {RELATION} || ' ' || quote_ident(o.conname), json_build_object('of', {RELATION}, 'column', (SELECT a.attname
          FROM pg_attribute a WHERE a.attrelid = o.conrelid AND a.attnum = o.conkey[1]), 'validated', o.convalidated,
        'inherited', NOT o.connoinherit, 'comment', {comment('pg_constraint', 'o.oid')})
        FROM pg_constraint o {FROM_RELATION.format('o.conrelid')} WHERE o.contype = 'n' AND {IN_RELATION}"""
VALIDATED = (" AND NOT EXISTS (SELECT FROM pg_constraint v WHERE v.conrelid = a.attrelid AND v.contype = 'n' AND NOT v.convalidated"
             " AND v.conkey[1] = a.attnum)")
# Properties of a subscription by column; where an older version has none, its value is what the newer one takes by itself.
SUBSCRIBED = {
    "subenabled": "'enabled', s.subenabled",
    "subconninfo": f"'connection', {options('s.subconninfo')}",
    "subslotname": "'slot', s.subslotname",
    "subpublications": f"'publications', {NAMES.format('s.subpublications')}",
    "subsynccommit": "'synchronous_commit', s.subsynccommit",
    "subbinary": "'binary', s.subbinary",
    "substream": "'streaming', nullif(CASE s.substream::text WHEN 'false' THEN 'f' WHEN 'true' THEN 't' ELSE s.substream::text END, 'f')",
    "subtwophasestate": "'two_phase', nullif(s.subtwophasestate <> 'd', false)",
    "subdisableonerr": "'disable_on_error', nullif(s.subdisableonerr, false)",
    "suborigin": "'origin', nullif(s.suborigin, 'any')",
    "subpasswordrequired": "'password_required', nullif(s.subpasswordrequired, true)",
    "subrunasowner": "'run_as_owner', nullif(s.subrunasowner, false)",
    "subfailover": "'failover', nullif(s.subfailover, false)",
}
READABLE = ("SELECT attname::text FROM pg_attribute WHERE attrelid = 'pg_catalog.pg_subscription'::regclass AND attnum > 0"
            " AND NOT attisdropped AND has_column_privilege(attrelid, attnum, 'SELECT')")


def read_catalog(connection: Any) -> Catalog:
    """The catalog of the database of ``connection``, whose session is pinned."""
    version, subscribed = connection.server_version, {name for (name,) in rows(connection, READABLE)}
    parts = {
        "compression": "nullif(a.attcompression, '')" if version >= 140000 else "NULL",
        "and_validated": VALIDATED if version >= 180000 else "",
        "multirange": "r.rngmultitypid::regtype::text" if version >= 140000 else "NULL",
        "subscript": ", t.typsubscript::regproc::text" if version >= 140000 else "",
        "filter": "pg_get_expr(r.prqual, r.prrelid), (SELECT json_agg(a.attname ORDER BY a.attname) FROM pg_attribute a"
                  " WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs))" if version >= 150000 else "NULL, NULL",
        "published_schemas": "(SELECT json_agg(s.pnnspid::regnamespace::text ORDER BY s.pnnspid::regnamespace::text) FROM"
                             " pg_publication_namespace s WHERE s.pnpubid = p.oid)" if version >= 150000 else "NULL",
        "subscribed": "".join(f", {sql}" for name, sql in SUBSCRIBED.items() if name in subscribed)
                      + ("" if "subconninfo" in subscribed else f", 'connection', '{UNREADABLE}'"),
    }
    found: Catalog = {}
    for kind, sql in {**QUERIES, **({NOT_NULL_KIND: NOT_NULL} if version >= 180000 else {})}.items():
        for name, value in parts.items():
            sql = sql.replace("{" + name + "}", value)
        found[kind] = dict(rows(connection, sql))
    for name, (last, called) in sequences(connection).items():
        if name in found["sequence"]:
            found["sequence"][name].update(last_value=last, is_called=called)
    return found
