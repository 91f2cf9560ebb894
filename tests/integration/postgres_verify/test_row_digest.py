# Copyright: Dihya Migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The row digest tells every hard pair apart and is the same number on every major version."""

from __future__ import annotations

import contextlib
import csv
import pathlib

import psycopg2
import pytest
from ansible_collections.dihya.migration.plugins.module_utils._errors import MigrationError
from ansible_collections.dihya.migration.plugins.module_utils._postgres import digest

from demo.postgres_server import PostgresServer
from tests.integration.postgres_verify.support import endpoint_of

PAIRS = pathlib.Path(__file__).parents[2] / "unit" / "postgres_verify" / "digest_pairs.csv"
OPTIONAL = {"xml", "citext", "hstore", "seg", "cube"}  # not in every build
TYPES = """
CREATE TYPE comp AS (a text, b text);
CREATE TYPE geo AS (x float8, y float8);
CREATE FUNCTION geo_text(geo) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT round($1.x::numeric, 2)::text $$;
CREATE CAST (geo AS text) WITH FUNCTION geo_text(geo) AS IMPLICIT;
CREATE DOMAIN dtxt AS text;
CREATE TYPE colour AS ENUM ('red', 'green');
"""


def pairs():
    with PAIRS.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def load_pairs(server, database):
    """Tables a0, b0, a1, … with one value each; returns the ordinals of the pairs whose type this build lacks."""
    server.execute(TYPES, database)
    missing = set()
    connection = server.connect(database)
    with connection.cursor() as cursor:
        for extension in ("citext", "hstore", "seg", "cube"):
            with contextlib.suppress(psycopg2.Error):
                cursor.execute(f"CREATE EXTENSION {extension}")
        for number, pair in enumerate(pairs()):
            try:
                for side in ("a", "b"):
                    value = None if pair[side] == "\\N" else pair[side]
                    cursor.execute(f"CREATE TABLE {side}{number} (id int, v {pair['type']})")
                    cursor.execute(f"INSERT INTO {side}{number} VALUES (1, %s), (2, NULL)", (value,))
            except psycopg2.Error:
                missing.add(number)
                assert pair["type"] in OPTIONAL, pair
    connection.close()
    return missing


@pytest.mark.parametrize("old", ["postgres15", "postgres16"])
def test_every_hard_pair_is_told_apart_and_equal_on_both_majors(old, postgres18, new_database, request):
    verdicts = []
    for server in (request.getfixturevalue(old), postgres18):
        database = new_database(server, options="TEMPLATE template0 ENCODING 'UTF8'")
        missing = load_pairs(server, database)
        tables = digest.digest_database(endpoint_of(server), database, jobs=1)
        for number, pair in enumerate(pairs()):
            if number not in missing:
                assert tables[f"public.a{number}"] != tables[f"public.b{number}"], pair["name"]
        verdicts.append({number: [tables[f"public.{side}{number}"] for side in "ab"]
                         for number in range(len(pairs())) if number not in missing})
    common = verdicts[0].keys() & verdicts[1].keys()
    assert len(pairs()) == 39 and len(common) >= 34
    assert {n: verdicts[0][n] for n in common} == {n: verdicts[1][n] for n in common}


def test_text_that_a_nondeterministic_collation_equates_is_told_apart(postgres15, new_database):
    database = new_database(postgres15)  # the others that the tests have are built without ICU
    postgres15.execute("CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
                       "CREATE TABLE a (v text COLLATE ci); CREATE TABLE b (v text COLLATE ci);"
                       "INSERT INTO a VALUES ('Jean'); INSERT INTO b VALUES ('jean')", database)
    tables = digest.digest_database(endpoint_of(postgres15), database, jobs=1)
    assert tables["public.a"] != tables["public.b"]


def test_large_objects_with_swapped_contents_are_told_apart_across_majors(postgres16, postgres18, new_database):
    long = "repeat('0123456789', 60000)::bytea"  # three chunks
    verdicts = []
    for server, first, second in ((postgres16, long, "'kleines'"), (postgres18, long, "'kleines'"), (postgres18, "'kleines'", long)):
        database = new_database(server)
        server.execute(f"SELECT lo_from_bytea(70001, {first}), lo_from_bytea(70002, {second}), lo_from_bytea(70003, '')", database)
        verdicts.append(digest.digest_database(endpoint_of(server), database, jobs=2)[digest.LARGE_OBJECTS])
    assert verdicts[0] == verdicts[1] != verdicts[2]
    assert verdicts[0]["rows"] == 3


def test_parts_and_connections_do_not_change_the_digest(postgres18, new_database, monkeypatch):
    database = new_database(postgres18)
    postgres18.execute("CREATE TABLE t AS SELECT g AS id, repeat('x', 100) AS v FROM generate_series(1, 20000) g", database)
    whole = digest.digest_database(endpoint_of(postgres18), database, jobs=1)
    monkeypatch.setattr(digest.ranges, "__defaults__", (32,))
    with digest.transaction(endpoint_of(postgres18), database, None, "dihya") as connection:
        parts = [part.sql for part in digest.RowDigest(connection).plan(["public.t"])]
    assert len(parts) == len(set(parts)) > 10 and all("WHERE ctid >= '(" in sql for sql in parts)
    parted = digest.digest_database(endpoint_of(postgres18), database, jobs=3)
    assert whole == parted and whole["public.t"]["rows"] == 20000


def test_hash_partitions_are_digested_at_their_root_and_others_at_their_leaves(postgres16, postgres18, new_database):
    seen = []
    for server, labels in ((postgres16, "'red', 'green', 'blue'"), (postgres18, "'blue', 'green', 'red'")):
        database = new_database(server)
        # enum labels created in another order have other OIDs, hence other hash partitions
        server.execute(f"""CREATE TYPE colour AS ENUM ({labels});
            CREATE TABLE h (k colour, v int) PARTITION BY HASH (k);
            CREATE TABLE h0 PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 0);
            CREATE TABLE h1 PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY HASH (v);
            CREATE TABLE h1a PARTITION OF h1 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
            CREATE TABLE r (v int) PARTITION BY RANGE (v);
            CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (1000);
            INSERT INTO h SELECT c, g FROM unnest(ARRAY['red','green','blue']::colour[]) c,
            generate_series(1, 50) g; INSERT INTO r SELECT 1""", database)
        seen.append(digest.digest_database(endpoint_of(server), database, jobs=2))
    assert seen[0] == seen[1]
    assert set(seen[0]) == {"public.h", "public.r1", digest.LARGE_OBJECTS}
    assert seen[0]["public.h"]["rows"] == 150


def test_databases_of_other_encodings_are_compared_by_their_bytes_in_utf8(postgres18, new_database):
    latin = new_database(postgres18, options="TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    unicode = new_database(postgres18, options="TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
    for database in (latin, unicode):
        postgres18.execute("CREATE TABLE t (v text, n numeric, a text[]); INSERT INTO t VALUES ('é', 1.0, '{\"cœur à\",NULL}')"
                           .replace("œ", "oe"), database)
    one = digest.digest_database(endpoint_of(postgres18), latin, jobs=1)
    two = digest.digest_database(endpoint_of(postgres18), unicode, jobs=1, hexadecimal=True)
    assert one == two != digest.digest_database(endpoint_of(postgres18), unicode, jobs=1)


def test_stored_generated_columns_have_a_verdict_of_their_own(postgres18, new_database):
    verdicts = []
    for expression in ("v + 1", "v + 2"):
        database = new_database(postgres18)
        postgres18.execute(f"CREATE TABLE t (v int, g int GENERATED ALWAYS AS ({expression}) STORED,"
                           "w int GENERATED ALWAYS AS (v) VIRTUAL);"
                           "INSERT INTO t (v) VALUES (1), (2)", database)
        verdicts.append(digest.digest_database(endpoint_of(postgres18), database, jobs=1)["public.t"])
    assert verdicts[0]["digest"] == verdicts[1]["digest"] and verdicts[0]["generated"] != verdicts[1]["generated"]


def test_more_tables_and_indexes_are_digested_than_the_lock_table_holds(tmp_path):
    small = {"max_connections": "8", "max_locks_per_transaction": "10", "autovacuum_max_workers": "1", "max_worker_processes": "1",
             "max_parallel_workers": "0", "max_wal_senders": "0", "superuser_reserved_connections": "1"}
    server = PostgresServer(16, tmp_path / "data", settings=small).create().start()
    try:
        server.execute("DO $$ BEGIN FOR n IN 1..400 LOOP EXECUTE format('CREATE TABLE t%s (a int PRIMARY KEY, b int UNIQUE, c int UNIQUE,"
                       " d int UNIQUE)', n); EXECUTE format('INSERT INTO t%s VALUES (%s, 1, 1, 1)', n, n); COMMIT; END LOOP; END $$")
        with pytest.raises(psycopg2.Error, match="shared memory"):
            server.execute("DO $$ BEGIN FOR n IN 1..400 LOOP EXECUTE format('SELECT FROM t%s', n); END LOOP; END $$")
        tables = digest.digest_database(endpoint_of(server), "postgres", jobs=2)
        assert len(tables) == 401 and tables["public.t1"] != tables["public.t2"]
    finally:
        server.remove()


def test_an_unreadable_table_is_named_and_stops_all(postgres18, new_database):
    database = new_database(postgres18)
    postgres18.execute("CREATE ROLE reader LOGIN PASSWORD 'reading'; CREATE TABLE t (v int); CREATE TABLE hidden (v int);"
                       "GRANT SELECT ON t TO reader", database)
    try:
        with pytest.raises(MigrationError, match="public.hidden") as failure:
            digest.digest_database(endpoint_of(postgres18, user="reader", password="reading"), database, jobs=2)
        assert "42501" in failure.value.message
    finally:
        postgres18.execute("DROP OWNED BY reader", database)
        postgres18.execute("DROP ROLE reader")
