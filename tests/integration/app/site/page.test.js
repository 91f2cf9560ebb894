const test = require("node:test");
const assert = require("node:assert");
const fs = require("node:fs");

test("the build has a page", () => {
  assert.match(fs.readFileSync(`${__dirname}/page/index.html`, "utf8"), /<title>/);
});
