// The language to write in, and one member an address.
exports.up = (knex) =>
  knex.schema.alterTable("member", (table) => {
    table.string("language", 3).notNullable().defaultTo("fr");
    table.unique(["email"]);
  });

exports.down = (knex) =>
  knex.schema.alterTable("member", (table) => {
    table.dropUnique(["email"]);
    table.dropColumn("language");
  });
