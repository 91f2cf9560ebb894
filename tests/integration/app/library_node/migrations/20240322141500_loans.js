// The table between the two. The old site ended here.
exports.up = (knex) =>
  knex.schema.createTable("loan", (table) => {
    table.bigIncrements("id");
    table.bigInteger("member_id").notNullable().references("member.id");
    table.bigInteger("book_id").notNullable().references("book.id");
    table.date("since").notNullable();
    table.date("back");
  });

exports.down = (knex) => knex.schema.dropTable("loan");
