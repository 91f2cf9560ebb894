-- About 300,000 rows, the same ones at each start; by demo_owner, in one transaction.
CREATE FUNCTION pg_temp.pick(words text[], n bigint) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN words[1 + n % array_length(words, 1)];

INSERT INTO catalogue.author (name)
SELECT CASE n % 3
    WHEN 0 THEN pg_temp.pick('{Inès,Éloïse,Marceau,Anaïs,Gaëlle,Théo,Zoé}', n / 3) || ' ' || pg_temp.pick('{Lefèvre,d’Arcy,Benoît,Guérin,Noël}', n / 21)
    WHEN 1 THEN pg_temp.pick('{سلمى,ياسين,مريم,إدريس,زينب}', n / 3) || ' ' || pg_temp.pick('{الحسني,بن عيسى,العلوي,المنصوري}', n / 15)
    ELSE pg_temp.pick('{ⴷⵉⵀⵢⴰ,ⴰⴽⵙⵉⵍ,ⵜⵉⵏⵀⵉⵏⴰⵏ,ⵎⴰⵙⵉⵏⵉⵙⴰ}', n / 3) || ' ' || pg_temp.pick('{ⵓⵣⵓⵍⴰⵢ,ⵓⵄⵍⵉ,ⵏ ⵡⴰⵟⵍⴰⵙ}', n / 12)
    END || ' ' || n
FROM generate_series(1::bigint, 20000) AS n;

INSERT INTO catalogue.book (author_id, title, language, published)
SELECT 1 + n * 7919 % 20000, CASE n % 3
    WHEN 0 THEN pg_temp.pick('{La montagne,Le cœur,L’été,La forêt,Le désert,La mer}', n / 3) || ' ' || pg_temp.pick('{oubliée,d’ambre,des aïeux,sans âge,à Noël}', n / 18)
    WHEN 1 THEN pg_temp.pick('{كتاب,حكاية,تاريخ,أغاني,أسرار}', n / 3) || ' ' || pg_temp.pick('{الجبل,البحر,الصحراء,المدينة,النور}', n / 15)
    ELSE pg_temp.pick('{ⴰⴷⵔⴰⵔ,ⵜⴰⴼⵓⴽⵜ,ⴰⵢⵢⵓⵔ,ⴰⵎⴰⵏ,ⵜⴰⵎⵓⵔⵜ}', n / 3) || ' ' || pg_temp.pick('{ⵏ ⵜⵎⴰⵣⵉⵖⵜ,ⵏ ⵜⵉⵍⵍⵉ,ⴰⵎⵇⵔⴰⵏ}', n / 15)
    END || ' ' || n, pg_temp.pick('{fr,ar,zgh}', n), (1850 + n * 31 % 170)::int
FROM generate_series(0::bigint, 79999) AS n;

INSERT INTO lending.member (name, card)
SELECT pg_temp.pick('{Amélie,نور,ⵜⴰⵏⵉⵜ,Jérôme,سعيد}', n) || ' ' || n, 'C' || lpad(n::text, 8, '0')
FROM generate_series(1::bigint, 30000) AS n;

INSERT INTO lending.loan (book_id, member_id, idempotency_key, borrowed)
SELECT 1000 + n * 104729 % 80000, 1 + n * 7907 % 30000, md5('loan ' || n)::uuid, timestamptz '2024-01-01 08:00+00' + n * interval '13 minutes'
FROM generate_series(1::bigint, 80000) AS n;

INSERT INTO catalogue.book_likeness
SELECT 1000 + n, ARRAY(SELECT round(sin(n * 8 + k)::numeric, 4) FROM generate_series(1, 8) AS k)::real[]::public.vector
FROM generate_series(0::bigint, 4999) AS n;

INSERT INTO catalogue.cover
SELECT 1000 + n, lo_from_bytea(0, decode(repeat(md5('cover ' || n), 20000), 'hex'))
FROM generate_series(0::bigint, 2) AS n;
DO $$
DECLARE cover catalogue.cover;
BEGIN
    FOR cover IN SELECT * FROM catalogue.cover LOOP
        EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO demo_read', cover.image);
    END LOOP;
END $$;
REFRESH MATERIALIZED VIEW catalogue.language_count;
