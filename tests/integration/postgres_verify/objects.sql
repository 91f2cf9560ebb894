-- One of every kind of object that a dump carries, as owner "crm_owner" mostly; works from 15 on.
CREATE SCHEMA crm AUTHORIZATION crm_owner;
COMMENT ON SCHEMA crm IS 'Données clients';
GRANT USAGE ON SCHEMA crm TO crm_app, crm_reader;
SET ROLE crm_owner;
CREATE TYPE crm.colour AS ENUM ('red', 'green', 'blue');
CREATE TYPE crm.address AS (street text, city text);
CREATE DOMAIN crm.email AS text CONSTRAINT has_at CHECK (VALUE LIKE '%@%') NOT NULL;
COMMENT ON CONSTRAINT has_at ON DOMAIN crm.email IS 'Adresse';
CREATE TYPE crm.span AS RANGE (subtype = float8, subtype_opclass = float8_ops, multirange_type_name = crm.spans);
CREATE COLLATION crm.bytes (locale = 'C');
CREATE SEQUENCE crm.numbers START 100 INCREMENT 5 CACHE 10;
CREATE TABLE crm.customer (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL COLLATE crm.bytes,
  mail crm.email NOT NULL,
  colour crm.colour DEFAULT 'green',
  home crm.address,
  number int DEFAULT nextval('crm.numbers'),
  amount numeric(10,2) CHECK (amount >= 0),
  doubled numeric GENERATED ALWAYS AS (amount * 2) STORED,
  tags text[] DEFAULT ARRAY['a'::text, 'b'],
  since timestamptz DEFAULT now(),
  CONSTRAINT known CHECK (name <> '' AND (amount IS NULL OR amount < 1e6))
);
COMMENT ON TABLE crm.customer IS 'Clients';
COMMENT ON COLUMN crm.customer.mail IS 'Courriel';
ALTER TABLE crm.customer ALTER COLUMN name SET STORAGE EXTERNAL, ALTER COLUMN name SET STATISTICS 500, ALTER COLUMN id SET (n_distinct = -1);
ALTER TABLE crm.customer SET (fillfactor = 80, autovacuum_enabled = false);
CREATE TABLE crm.purchase (
  id serial PRIMARY KEY, customer bigint NOT NULL, note text,
  CONSTRAINT buyer FOREIGN KEY (customer) REFERENCES crm.customer ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
ALTER TABLE crm.purchase ADD CONSTRAINT short CHECK (length(note) < 100) NOT VALID;
CREATE INDEX by_name ON crm.customer (lower(name), id DESC) INCLUDE (amount) WHERE amount > 0;
CREATE INDEX by_length ON crm.purchase (length(note)); ALTER INDEX crm.by_length ALTER COLUMN 1 SET STATISTICS 400;
ALTER TABLE crm.purchase ALTER COLUMN note SET COMPRESSION pglz;
COMMENT ON INDEX crm.by_name IS 'Recherche';
CREATE UNIQUE INDEX by_mail ON crm.customer (mail);
ALTER TABLE crm.customer REPLICA IDENTITY USING INDEX by_mail;
ALTER TABLE crm.customer CLUSTER ON by_mail;
CREATE STATISTICS crm.together (dependencies) ON colour, number FROM crm.customer;
ALTER STATISTICS crm.together SET STATISTICS 300;
CREATE TABLE crm.events (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE crm.events_2025 PARTITION OF crm.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE crm.events_rest PARTITION OF crm.events DEFAULT;
CREATE INDEX ON crm.events (at);
CREATE TABLE crm.listed (region text, v int) PARTITION BY LIST (region);
CREATE TABLE crm.listed_south PARTITION OF crm.listed FOR VALUES IN ('south', 'sud', NULL);
CREATE TABLE crm.hashed (k crm.colour, v int) PARTITION BY HASH (k);
CREATE TABLE crm.hashed_0 PARTITION OF crm.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE crm.hashed_1 PARTITION OF crm.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE crm.parent (a int); CREATE TABLE crm.child (b int) INHERITS (crm.parent); ALTER TABLE crm.parent ADD later int;
CREATE UNLOGGED TABLE crm.quick (v int);
CREATE TABLE crm."Näme with ""quotes"" 100%" ("Ä %s" int PRIMARY KEY);
CREATE TABLE crm.empty ();
CREATE FUNCTION crm.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := coalesce(NEW.note, '%'); RETURN NEW; END $$;
CREATE FUNCTION crm.atomic(a int, b text DEFAULT 'x') RETURNS SETOF crm.purchase LANGUAGE sql STABLE SECURITY DEFINER
  SET search_path TO crm, pg_temp BEGIN ATOMIC SELECT p.* FROM crm.purchase p WHERE p.id = a AND p.note = b; END;
CREATE PROCEDURE crm.tidy(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN n := n + 1; END $$;
CREATE AGGREGATE crm.product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
CREATE FUNCTION crm.same(crm.address, crm.address) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1.city = $2.city';
CREATE OPERATOR crm.~~~ (LEFTARG = crm.address, RIGHTARG = crm.address, FUNCTION = crm.same);
CREATE TRIGGER touched BEFORE INSERT OR UPDATE OF note ON crm.purchase FOR EACH ROW WHEN (NEW.id > 0) EXECUTE FUNCTION crm.touch();
ALTER TABLE crm.purchase DISABLE TRIGGER touched;
CREATE TRIGGER everywhere AFTER INSERT ON crm.events FOR EACH ROW EXECUTE FUNCTION crm.touch();
ALTER TABLE crm.events ENABLE REPLICA TRIGGER everywhere;
CREATE RULE no_delete AS ON DELETE TO crm.events DO INSTEAD NOTHING;
ALTER TABLE crm.purchase ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON crm.purchase FOR SELECT TO crm_reader USING (EXISTS (SELECT FROM crm.customer c WHERE c.id = customer));
CREATE POLICY short ON crm.purchase AS RESTRICTIVE FOR INSERT WITH CHECK (length(note) < 200);
CREATE VIEW crm.spending WITH (security_barrier) AS
  SELECT c.id, c.name, count(*) AS n, sum(length(p.note)) FROM crm.customer c LEFT JOIN crm.purchase p ON p.customer = c.id GROUP BY c.id;
CREATE VIEW crm.single AS SELECT id, name FROM crm.customer WHERE (EXISTS (SELECT 1 FROM crm.purchase WHERE purchase.customer = customer.id));
CREATE VIEW crm.union_all AS SELECT id FROM crm.customer UNION ALL SELECT id FROM crm.purchase ORDER BY 1;
CREATE VIEW crm.window AS SELECT id, rank() OVER (PARTITION BY colour ORDER BY amount) FROM crm.customer;
CREATE VIEW crm.dated AS SELECT EXTRACT(year FROM at) AS y, at::timestamptz AT TIME ZONE 'UTC' AS t FROM crm.events;
CREATE MATERIALIZED VIEW crm.totals AS SELECT colour, sum(amount) AS total FROM crm.customer GROUP BY colour;
CREATE INDEX ON crm.totals (total);
CREATE MATERIALIZED VIEW crm.stale AS SELECT count(*) AS rows FROM crm.listed;
CREATE MATERIALIZED VIEW crm.later AS SELECT 1 AS one WITH NO DATA;
CREATE TEXT SEARCH DICTIONARY crm.plain (TEMPLATE = simple, accept = false);
CREATE TEXT SEARCH CONFIGURATION crm.french (COPY = pg_catalog.french);
ALTER TEXT SEARCH CONFIGURATION crm.french ALTER MAPPING FOR asciiword WITH crm.plain;
GRANT SELECT, INSERT, UPDATE, DELETE ON crm.customer, crm.purchase TO crm_app;
GRANT SELECT ON ALL TABLES IN SCHEMA crm TO crm_reader WITH GRANT OPTION;
GRANT UPDATE (note), SELECT (id) ON crm.purchase TO crm_reader;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA crm TO crm_app;
REVOKE EXECUTE ON FUNCTION crm.atomic(int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION crm.atomic(int, text) TO crm_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA crm GRANT SELECT ON TABLES TO crm_reader;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE CONVERSION crm.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
RESET ROLE;
CREATE TYPE crm.promised;
SET ROLE crm_reader; GRANT SELECT ON crm.events TO crm_app; RESET ROLE;
CREATE CAST (crm.address AS text) WITH INOUT;
CREATE PUBLICATION changes FOR TABLE crm.customer (id, name, mail) WHERE (id > 10), crm.events WITH (publish = 'insert');
CREATE PUBLICATION whole FOR ALL TABLES WITH (publish = 'insert');
CREATE PUBLICATION schemas FOR TABLES IN SCHEMA crm WITH (publish = 'insert', publish_via_partition_root = true);
CREATE TYPE crm.word;
CREATE FUNCTION crm.word_in(cstring) RETURNS crm.word LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION crm.word_out(crm.word) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE crm.word (INPUT = crm.word_in, OUTPUT = crm.word_out, LIKE = text, CATEGORY = 'S');
CREATE OPERATOR FAMILY crm.numbers USING hash;
CREATE OPERATOR CLASS crm.ints FOR TYPE int4 USING hash FAMILY crm.numbers AS OPERATOR 1 =, FUNCTION 1 hashint4(int4);
CREATE FUNCTION crm.handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE TRUSTED LANGUAGE plagain HANDLER crm.handler;
CREATE FUNCTION crm.unpack(internal) RETURNS internal LANGUAGE internal IMMUTABLE STRICT AS 'raw_array_subscript_handler';
CREATE TRANSFORM FOR crm.address LANGUAGE sql (FROM SQL WITH FUNCTION crm.unpack(internal));
CREATE ACCESS METHOD heap_again TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE crm.again (v int) USING heap_again;
CREATE TEXT SEARCH PARSER crm.splitter
  (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, HEADLINE = prsd_headline, LEXTYPES = prsd_lextype);
CREATE TEXT SEARCH TEMPLATE crm.simple (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH DICTIONARY crm.own (TEMPLATE = crm.simple);
CREATE TEXT SEARCH CONFIGURATION crm.split (PARSER = crm.splitter);
CREATE FOREIGN DATA WRAPPER elsewhere OPTIONS (note 'a');
CREATE SERVER archive TYPE 'old' VERSION '1' FOREIGN DATA WRAPPER elsewhere OPTIONS (host 'archive.example');
GRANT USAGE ON FOREIGN SERVER archive TO crm_app;
CREATE USER MAPPING FOR crm_app SERVER archive OPTIONS (password 'canary-mapping');
CREATE FOREIGN TABLE crm.far (id int OPTIONS (name 'nr') NOT NULL, v text DEFAULT 'x') SERVER archive OPTIONS (name 'far');
CREATE FUNCTION crm.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION crm.on_ddl();
DO $$ DECLARE it text; BEGIN
  FOREACH it IN ARRAY ARRAY['ACCESS METHOD heap_again', 'AGGREGATE crm.product(numeric)', 'CAST (crm.address AS text)',
    'COLLATION crm.bytes', 'COLUMN crm.address.city', 'CONSTRAINT known ON crm.customer', 'CONVERSION crm.latin', 'DOMAIN crm.email',
    'EVENT TRIGGER watch', 'FOREIGN DATA WRAPPER elsewhere', 'FOREIGN TABLE crm.far', 'FUNCTION crm.touch()',
    'LANGUAGE plagain', 'MATERIALIZED VIEW crm.totals', 'OPERATOR crm.~~~ (crm.address, crm.address)',
    'OPERATOR CLASS crm.ints USING hash', 'OPERATOR FAMILY crm.numbers USING hash', 'POLICY own ON crm.purchase',
    'PROCEDURE crm.tidy(int)', 'PUBLICATION changes', 'RULE no_delete ON crm.events', 'SEQUENCE crm.numbers', 'SERVER archive',
    'STATISTICS crm.together', 'TEXT SEARCH CONFIGURATION crm.french', 'TEXT SEARCH DICTIONARY crm.plain',
    'TEXT SEARCH PARSER crm.splitter', 'TEXT SEARCH TEMPLATE crm.simple', 'TRANSFORM FOR crm.address LANGUAGE sql',
    'TRIGGER touched ON crm.purchase', 'TYPE crm.colour', 'VIEW crm.spending']
  LOOP EXECUTE 'COMMENT ON ' || it || ' IS $c$said$c$'; END LOOP; END $$;
GRANT EXECUTE ON FUNCTION pg_read_file(text) TO crm_app;
REVOKE EXECUTE ON FUNCTION lo_get(oid) FROM PUBLIC;
SELECT lo_from_bytea(70001, 'Grand objet'), lo_from_bytea(70002, '');
GRANT SELECT ON LARGE OBJECT 70001 TO crm_app; COMMENT ON LARGE OBJECT 70001 IS 'Logo';
INSERT INTO crm.customer (name, mail, colour, home, amount)
  SELECT 'Client ' || g || ' ⴰⵣⵓⵍ', g || '@example.org', (ARRAY['red','green','blue'])[1 + g % 3]::crm.colour, ROW('rue ' || g, 'Lyon')::crm.address, g
  FROM generate_series(1, 2500) g;
INSERT INTO crm.purchase (customer, note) SELECT g, 'n' || g FROM generate_series(1, 500) g;
INSERT INTO crm.events SELECT date '2025-06-01' + g, 'e' FROM generate_series(1, 300) g;
INSERT INTO crm.hashed SELECT colour, number FROM crm.customer; INSERT INTO crm.child VALUES (1, 2); INSERT INTO crm.quick VALUES (1);
INSERT INTO crm."Näme with ""quotes"" 100%" VALUES (1), (2); INSERT INTO crm.empty DEFAULT VALUES;
REFRESH MATERIALIZED VIEW crm.totals;
INSERT INTO crm.listed VALUES (NULL, 1);
