ALTER TABLE app.client ADD COLUMN town text;
CREATE INDEX client_town ON app.client (town);
