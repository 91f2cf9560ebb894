// Where TypeORM works, and its history.
const { DataSource } = require("typeorm");

class Members1704877200000 {
  up = (runner) => runner.query("CREATE TABLE member (id bigint PRIMARY KEY, name text)");
  down = (runner) => runner.query("DROP TABLE member");
}

class Language1711116900000 {
  up = (runner) => runner.query("ALTER TABLE member ADD language varchar(3) DEFAULT 'fr'");
  down = (runner) => runner.query("ALTER TABLE member DROP language");
}

const migrations = [Members1704877200000, Language1711116900000];
module.exports = new DataSource({ type: "postgres", url: process.env.DATABASE_URL, migrations });
