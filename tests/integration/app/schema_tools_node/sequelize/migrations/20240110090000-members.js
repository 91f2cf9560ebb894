module.exports = {
  up: (queries, types) => queries.createTable("member", { id: { type: types.BIGINT, primaryKey: true }, name: types.TEXT }),
  down: (queries) => queries.dropTable("member"),
};
