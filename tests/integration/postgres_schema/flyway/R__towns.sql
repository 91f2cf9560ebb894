CREATE OR REPLACE VIEW app.town AS SELECT town, count(*) AS clients FROM app.client GROUP BY town;
