-- Kinds of objects that 18 knows and 15 does not.
SET ROLE crm_owner;
CREATE TABLE crm.newest (
  id int CONSTRAINT id_is_needed NOT NULL, low int, thrice int GENERATED ALWAYS AS (low * 3) STORED, late int
);
COMMENT ON CONSTRAINT id_is_needed ON crm.newest IS 'Clé';
INSERT INTO crm.newest (id, low, late) VALUES (1, 2, 3);
ALTER TABLE crm.newest ADD CONSTRAINT late_some_day NOT NULL late NOT VALID;
CREATE TABLE crm.computed (low int, twice int GENERATED ALWAYS AS (low * 2) VIRTUAL);
CREATE TABLE crm.hopes (low int, CONSTRAINT hoped CHECK (low > 0) NOT ENFORCED);
CREATE TABLE crm.heir () INHERITS (crm.newest);
CREATE COLLATION crm.modern (provider = builtin, locale = 'C.UTF-8');
RESET ROLE;
CREATE PUBLICATION computed FOR TABLE crm.newest WITH (publish = 'insert', publish_generated_columns = stored);
