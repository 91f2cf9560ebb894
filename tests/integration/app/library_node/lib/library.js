// What the library knows, from its database.
const { Pool } = require("pg");

const RELEASE = "one";
const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 4 });

async function health() {
  const languages = await pool.query("SELECT language, count(*)::int AS members FROM member GROUP BY language ORDER BY language");
  const lent = await pool.query("SELECT count(*)::int AS lent FROM loan WHERE back IS NULL");
  const counted = Object.fromEntries(languages.rows.map((row) => [row.language, row.members]));
  return { release: RELEASE, languages: counted, lent: lent.rows[0].lent };
}

async function member(number) {
  const found = await pool.query("SELECT name, language FROM member WHERE id = $1", [number]);
  return found.rows[0];
}

module.exports = { health, member, close: () => pool.end() };
