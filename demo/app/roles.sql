-- Roles and database of the demo, by the superuser. Passwords are set afterwards, as SCRAM verifiers.
CREATE ROLE demo_read NOLOGIN;
CREATE ROLE demo_owner LOGIN;
CREATE ROLE demo_app LOGIN IN ROLE demo_read CONNECTION LIMIT 40;
CREATE ROLE demo_reader LOGIN IN ROLE demo_read;
ALTER ROLE demo_reader SET statement_timeout = '30s';
COMMENT ON ROLE demo_read IS 'lecture — قراءة — ⵜⵉⵖⵔⵉ';
CREATE DATABASE dihya_demo OWNER demo_owner;
REVOKE CONNECT, TEMPORARY ON DATABASE dihya_demo FROM PUBLIC;
GRANT CONNECT ON DATABASE dihya_demo TO demo_read;
ALTER DATABASE dihya_demo SET timezone = 'Europe/Paris';
ALTER DATABASE dihya_demo SET default_text_search_config = 'pg_catalog.simple';
ALTER ROLE demo_app IN DATABASE dihya_demo SET lock_timeout = '5s';
