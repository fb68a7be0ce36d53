// An order and its payment with Knex over node-postgres: paid, declined, again after a serialization failure, submitted, refunded.
// Needs a database with pgw, and PGDATABASE and the like in the environment. Leave debug off: it prints the bindings, cards too.
const { randomUUID } = require('node:crypto');
const knex = require('knex');

const TRIES = 5;

const one = async (db, text, values) => (await db.raw(text, values)).rows[0];

// The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most.
async function placeOrder(db, order, amount, token) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await db.transaction(async (trx) => {
        const pay = await one(trx, "SELECT * FROM pgw.process_payment(?, ?, 'EUR', ?)", [`order-${order}`, amount, token]);
        if (pay.status === 'captured')
          await trx('orders').insert({ id: order, amount, payment_id: pay.payment_id });
        return pay;
      }, { isolationLevel: 'serializable' });
    } catch (e) {
      if (!['40001', '40P01'].includes(e.code) || attempt === TRIES) throw e;
    }
  }
}

async function main() {
  const db = knex({ client: 'pg', connection: {} });    // {}: from the environment
  await db.raw('CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))');

  const order = randomUUID();
  const paid = await placeOrder(db, order, 4990, 'tok_ok');
  console.log('order:', paid.status);
  // a web server that does not know whether it was heard asks again: the same payment, not a second one
  console.log('again:', (await one(db, "SELECT replayed FROM pgw.process_payment(?, 4990, 'EUR', 'tok_ok')", [`order-${order}`])).replayed);

  const declined = await placeOrder(db, randomUUID(), 4990, 'tok_decline_insufficient_funds');
  console.log('declined:', declined.error_code, '- tell the customer:', declined.details.customer_message_key);

  // in a job: recorded with the order, sent after the commit
  const late = await one(db, "SELECT * FROM pgw.submit_payment(?, 1500, 'EUR', 'tok_ok')", [`order-${randomUUID()}`]);
  console.log('submitted:', late.status);
  console.log('then:', (await one(db, 'SELECT * FROM pgw.wait_for_payment(?)', [late.payment_id])).status);

  await one(db, 'SELECT pgw.refund_payment(?, ?, 1000, ?)', [paid.payment_id, `return-${order}`, 'one piece came back']);
  console.log('refund:', (await one(db, 'SELECT * FROM pgw.wait_for_payment(?)', [paid.payment_id])).status);
  await db.destroy();
}

main();
