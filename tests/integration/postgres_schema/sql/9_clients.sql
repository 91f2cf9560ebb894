CREATE SCHEMA app;
CREATE TABLE app.client (id int PRIMARY KEY, name text NOT NULL);
