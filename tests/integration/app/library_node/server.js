// The library's API, on loopback unless told otherwise; a proxy stands before it.
const http = require("node:http");
const library = require("./lib/library");

async function answer(request) {
  if (request.url === "/health") return [200, await library.health()];
  const [, number] = /^\/members\/(\d{1,9})$/.exec(request.url) || [];
  const found = number && (await library.member(number));
  return found ? [200, found] : [404, { error: "not found" }];
}

const server = http.createServer((request, response) => {
  answer(request)
    .catch((error) => {
      console.error(error);
      return [500, { error: "the library is closed" }];
    })
    .then(([status, body]) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    });
});

server.listen(Number(process.env.PORT), process.env.HOST || "127.0.0.1");
process.on("SIGTERM", () => server.close(() => library.close()));
