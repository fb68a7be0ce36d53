// An order and its payment with postgres.js: paid, declined, again after a serialization failure, submitted, refunded.
// Needs a database with pgw, and PGDATABASE and the like in the environment.
const { randomUUID } = require('node:crypto');
const postgres = require('postgres');

const TRIES = 5;

// The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most.
async function placeOrder(sql, order, amount, token) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await sql.begin('ISOLATION LEVEL SERIALIZABLE', async (sql) => {
        const [pay] = await sql`SELECT * FROM pgw.process_payment(${`order-${order}`}, ${amount}, 'EUR', ${token})`;
        if (pay.status === 'captured')
          await sql`INSERT INTO orders (id, amount, payment_id) VALUES (${order}, ${amount}, ${pay.payment_id})`;
        return pay;
      });
    } catch (e) {
      if (!['40001', '40P01'].includes(e.code) || attempt === TRIES) throw e;
    }
  }
}

async function main() {
  const sql = postgres({ onnotice: () => {} });
  await sql`CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))`;

  const order = randomUUID();
  const paid = await placeOrder(sql, order, 4990, 'tok_ok');
  console.log('order:', paid.status);
  // a web server that does not know whether it was heard asks again: the same payment, not a second one
  const [again] = await sql`SELECT replayed FROM pgw.process_payment(${`order-${order}`}, 4990, 'EUR', 'tok_ok')`;
  console.log('again:', again.replayed);

  const declined = await placeOrder(sql, randomUUID(), 4990, 'tok_decline_insufficient_funds');
  console.log('declined:', declined.error_code, '- tell the customer:', declined.details.customer_message_key);

  // in a job: recorded with the order, sent after the commit
  const [late] = await sql`SELECT * FROM pgw.submit_payment(${`order-${randomUUID()}`}, 1500, 'EUR', 'tok_ok')`;
  console.log('submitted:', late.status);
  console.log('then:', (await sql`SELECT * FROM pgw.wait_for_payment(${late.payment_id})`)[0].status);

  await sql`SELECT pgw.refund_payment(${paid.payment_id}, ${`return-${order}`}, 1000, 'one piece came back')`;
  console.log('refund:', (await sql`SELECT * FROM pgw.wait_for_payment(${paid.payment_id})`)[0].status);
  await sql.end();
}

main();
