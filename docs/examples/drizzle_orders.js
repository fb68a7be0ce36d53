// An order and its payment with Drizzle over node-postgres: paid, declined, again after a serialization failure, submitted, refunded.
// Needs a database with pgw, and PGDATABASE and the like in the environment. Drizzle wraps the driver's errors: the SQLSTATE is error.cause.code, and error.message
// has all parameters in it, cards too, so log error.cause only.
const { randomUUID } = require('node:crypto');
const { drizzle } = require('drizzle-orm/node-postgres');
const { sql } = require('drizzle-orm');
const { pgTable, uuid, bigint } = require('drizzle-orm/pg-core');
const { Pool } = require('pg');

const TRIES = 5;
const orders = pgTable('orders', { id: uuid('id').primaryKey(), amount: bigint('amount', { mode: 'number' }).notNull(), paymentId: uuid('payment_id') });

// The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most.
async function placeOrder(db, order, amount, token) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await db.transaction(async tx => {
        const { rows: [pay] } = await tx.execute(sql`SELECT * FROM pgw.process_payment(${`order-${order}`}, ${amount}, 'EUR', ${token})`);
        if (pay.status === 'captured')
          await tx.insert(orders).values({ id: order, amount, paymentId: pay.payment_id });
        return pay;
      }, { isolationLevel: 'serializable' });
    } catch (e) {
      if (!['40001', '40P01'].includes((e.cause ?? e).code) || attempt === TRIES) throw e;
    }
  }
}

async function main() {
  const pool = new Pool();
  const db = drizzle(pool);
  const one = async query => (await db.execute(query)).rows[0];
  await db.execute(sql`CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))`);

  const order = randomUUID();
  const paid = await placeOrder(db, order, 4990, 'tok_ok');
  console.log('order:', paid.status);
  // a web server that does not know whether it was heard asks again: the same payment, not a second one
  console.log('again:', (await one(sql`SELECT replayed FROM pgw.process_payment(${`order-${order}`}, 4990, 'EUR', 'tok_ok')`)).replayed);

  const declined = await placeOrder(db, randomUUID(), 4990, 'tok_decline_insufficient_funds');
  console.log('declined:', declined.error_code, '- tell the customer:', declined.details.customer_message_key);

  // in a job: recorded with the order, sent after the commit
  const late = await one(sql`SELECT * FROM pgw.submit_payment(${`order-${randomUUID()}`}, 1500, 'EUR', 'tok_ok')`);
  console.log('submitted:', late.status);
  console.log('then:', (await one(sql`SELECT * FROM pgw.wait_for_payment(${late.payment_id})`)).status);

  await one(sql`SELECT pgw.refund_payment(${paid.payment_id}, ${`return-${order}`}, 1000, ${'one piece came back'})`);
  console.log('refund:', (await one(sql`SELECT * FROM pgw.wait_for_payment(${paid.payment_id})`)).status);
  await pool.end();
}

main();
