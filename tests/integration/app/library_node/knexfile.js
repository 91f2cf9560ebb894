// Where the schema tool works: the database of the environment.
module.exports = {
  client: "pg",
  connection: process.env.DATABASE_URL,
  migrations: { directory: `${__dirname}/migrations` },
};
