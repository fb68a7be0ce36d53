// An order and its payment with node-postgres: paid, declined, again after a serialization failure, submitted, refunded.
// Needs a database with pgw, and PGDATABASE and the like in the environment.
const { randomUUID } = require('node:crypto');
const { Client } = require('pg');

const TRIES = 5;

// The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most.
async function placeOrder(client, order, amount, token) {
  for (let attempt = 1; ; attempt++) {
    try {
      await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
      const { rows: [pay] } = await client.query("SELECT * FROM pgw.process_payment($1, $2, 'EUR', $3)", [`order-${order}`, amount, token]);
      if (pay.status === 'captured')
        await client.query('INSERT INTO orders (id, amount, payment_id) VALUES ($1, $2, $3)', [order, amount, pay.payment_id]);
      await client.query('COMMIT');
      return pay;
    } catch (e) {
      await client.query('ROLLBACK');
      if (!['40001', '40P01'].includes(e.code) || attempt === TRIES) throw e;
    }
  }
}

async function main() {
  const client = new Client();
  await client.connect();
  const one = async (sql, ...values) => (await client.query(sql, values)).rows[0];
  await client.query('CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))');

  const order = randomUUID();
  const paid = await placeOrder(client, order, 4990, 'tok_ok');
  console.log('order:', paid.status);
  // a web server that does not know whether it was heard asks again: the same payment, not a second one
  console.log('again:', (await one("SELECT replayed FROM pgw.process_payment($1, 4990, 'EUR', 'tok_ok')", `order-${order}`)).replayed);

  const declined = await placeOrder(client, randomUUID(), 4990, 'tok_decline_insufficient_funds');
  console.log('declined:', declined.error_code, '- tell the customer:', declined.details.customer_message_key);

  // in a job: recorded with the order, sent after the commit
  const late = await one("SELECT * FROM pgw.submit_payment($1, 1500, 'EUR', 'tok_ok')", `order-${randomUUID()}`);
  console.log('submitted:', late.status);
  console.log('then:', (await one('SELECT * FROM pgw.wait_for_payment($1)', late.payment_id)).status);

  await one('SELECT pgw.refund_payment($1, $2, 1000, $3)', paid.payment_id, `return-${order}`, 'one piece came back');
  console.log('refund:', (await one('SELECT * FROM pgw.wait_for_payment($1)', paid.payment_id)).status);
  await client.end();
}

main();
