// The first tables.
exports.up = async (knex) => {
  await knex.schema.createTable("member", (table) => {
    table.bigIncrements("id");
    table.string("name", 200).notNullable();
    table.string("email", 254).notNullable();
  });
  await knex.schema.createTable("book", (table) => {
    table.bigIncrements("id");
    table.string("title", 300).notNullable();
    table.string("isbn", 13).notNullable().unique();
  });
};

exports.down = (knex) => knex.schema.dropTable("book").dropTable("member");
