// An endpoint for notifications of banks with Node's own server and postgres.js: POST /hooks/<name of the bank>.
// Served at 127.0.0.1:$PORT, with PGDATABASE and the like from the environment. With Express and node-postgres: docs/notifications.md.
const { createServer } = require('node:http');
const postgres = require('postgres');

const TOO_LARGE = 256 * 1024 + 1;    // more is not kept: pgw refuses this much
const sql = postgres();

async function received(req) {
  const pieces = [];
  let length = 0;
  for await (const piece of req) {
    if (length < TOO_LARGE) pieces.push(piece);
    length += piece.length;
  }
  return Buffer.concat(pieces);
}

createServer(async (req, res) => {
  try {
    const url = new URL(req.url, `http://${req.headers.host}`);
    const [, bank] = /^\/hooks\/([^/]+)$/.exec(url.pathname) ?? [];
    if (req.method !== 'POST' || !bank) return res.writeHead(404).end();
    const headers = {};
    for (let i = 0; i < req.rawHeaders.length; i += 2)    // one that comes twice is there twice
      (headers[req.rawHeaders[i].toLowerCase()] ??= []).push(req.rawHeaders[i + 1]);
    // a statement by itself: committed when it returns
    const [{ http_status }] = await sql`SELECT http_status FROM pgw.receive_notification(${decodeURIComponent(bank)}, ${sql.json(headers)}, ${await received(req)}, url => ${url.href})`;
    res.writeHead(http_status).end();
  } catch {
    res.writeHead(500).end();    // nothing was taken: it is sent again
  }
}).listen(Number(process.env.PORT), '127.0.0.1');
