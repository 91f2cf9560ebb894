module.exports = {
  up: (queries, types) => queries.addColumn("member", "language", { type: types.STRING(3), defaultValue: "fr" }),
  down: (queries) => queries.removeColumn("member", "language"),
};
