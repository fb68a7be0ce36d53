// app.mjs - the app server of peer/ as it is written in Node: a pool of connections, a prepared statement for each step, undici for the bank
//
// Options, statements and log are those of peer/main.c, but for batches, which it does not make.
import { createWriteStream } from 'node:fs';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { Pool } from 'undici';

const names = ['clients', 'seconds', 'payments', 'connections', 'batch', 'prefix', 'bank', 'secret', 'intent', 'result', 'log'];
const { values: options } = parseArgs({ options: Object.fromEntries(names.map(name => [name, { type: 'string' }])) });
const clients = Number(options.clients);
const database = new pg.Pool({ max: Number(options.connections), idleTimeoutMillis: 0 });
const url = new URL(options.bank);
const bank = new Pool(url.origin, { connections: clients, pipelining: 1, keepAliveTimeout: 60000 });
const log = createWriteStream(options.log);
const wanted = Number(options.payments ?? Infinity);
const stopAt = performance.now() + Number(options.seconds ?? Infinity) * 1000;

async function charge(id) {
  const answer = await bank.request({
    method: 'POST',
    path: url.pathname,
    headers: { authorization: `Bearer ${options.secret}`, 'content-type': 'application/json', 'idempotency-key': id },
    body: JSON.stringify({ amount: 1234, currency: 'EUR', reference: id, source: { token: 'tok_ok' } }),
  });
  const text = await answer.body.text();
  if (answer.statusCode !== 200 && answer.statusCode !== 201) throw new Error(`the bank answers ${answer.statusCode} ${text}`);
  return JSON.parse(text);
}

async function pay(id) {
  const intent = await database.query({ name: 'intent', text: options.intent, values: [id, '1234', 'EUR', 'tok_ok'], rowMode: 'array' });
  const answer = await charge(id);
  const result = await database.query({ name: 'result', text: options.result, values: [intent.rows[0][1], answer.id, answer.status === 'approved'] });
  if (result.rowCount !== 4) throw new Error(`a result has written ${result.rowCount} events`);
}

let begun = 0;
async function client(slot) {
  for (let number = 1; begun < wanted && performance.now() < stopAt; number++) {
    begun++;
    const began = performance.now();
    await pay(`${options.prefix}-${slot}-${number}`);
    const us = Math.round((performance.now() - began) * 1000);
    const now = Date.now();
    log.write(`${slot} ${number} ${us} 0 ${Math.floor(now / 1000)} ${(now % 1000) * 1000}\n`);
  }
}

// what fails ends the program, and with it the benchmark
await Promise.all(Array.from({ length: clients }, (_, slot) => client(slot)));
await database.end();
await bank.close();
log.end();
