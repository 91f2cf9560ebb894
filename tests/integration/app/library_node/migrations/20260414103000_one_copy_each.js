// A member has one copy of a title at a time.
exports.up = (knex) => knex.raw("CREATE UNIQUE INDEX one_copy_each ON loan (member_id, book_id) WHERE back IS NULL");

exports.down = (knex) => knex.raw("DROP INDEX one_copy_each");
