ALTER TABLE app.client ADD COLUMN town text;
