--liquibase formatted sql

--changeset ann:1-clients
CREATE SCHEMA app;
CREATE TABLE app.client (id int PRIMARY KEY, name text NOT NULL);

--changeset ann:2-town
ALTER TABLE app.client ADD COLUMN town text;
