// What the release promises of the running library; it only reads.
const assert = require("node:assert");
const test = require("node:test");

const base = process.env.TEST_URL.replace(/\/health$/, "");

test("the state of the library is told", async () => {
  assert.equal(process.env.TEST_TARGET, "read_only");
  const state = await (await fetch(`${base}/health`)).json();
  assert.equal(typeof state.lent, "number");
});

test("a stranger is not found", async () => {
  assert.equal((await fetch(`${base}/members/0`)).status, 404);
});
