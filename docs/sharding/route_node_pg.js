// Pay at the shard that has the request's slot, with node-postgres: node route_node_pg.js ID...
//
// SHARDS in the environment is the map, for each run of slots its first one and how its shard is reached: {"0": "postgres://…", "512": "postgres://…"}.
const { createHash } = require('node:crypto');
const { Client } = require('pg');

const shards = JSON.parse(process.env.SHARDS);

function slotOf(requestId) {
  const named = /^s(0|[1-9][0-9]{0,3})\..+$/s.exec(requestId);
  if (named && Number(named[1]) < 1024) return Number(named[1]);
  return createHash('sha256').update(requestId, 'utf8').digest().readUInt16BE(0) >> 6;
}

function slotOfId(paymentId) {
  return Number((BigInt('0x' + paymentId.replaceAll('-', '')) >> 52n) & 1023n);
}

async function at(slot, sql, values) {
  const first = Math.max(...Object.keys(shards).map(Number).filter((f) => f <= slot));
  const client = new Client({ connectionString: shards[first] });
  await client.connect();
  try {
    return (await client.query(sql, values)).rows[0];
  } finally {
    await client.end();
  }
}

// PW421 in either call (error.code): the map is old. Read it again, and make the same call with the same id; nothing was done.
async function main() {
  for (const requestId of process.argv.slice(2)) {
    const paid = await at(slotOf(requestId), "SELECT payment_id, status FROM pgw.process_payment($1, 4990, 'EUR', 'tok_ok')", [requestId]);
    const refund = await at(slotOfId(paid.payment_id), 'SELECT transaction_status FROM pgw.refund_payment($1, $2, 990)',
      [paid.payment_id, `refund of ${requestId}`]);
    console.log(`slot ${slotOf(requestId)}: ${paid.status}, refund ${refund.transaction_status}`);
  }
}

main();
