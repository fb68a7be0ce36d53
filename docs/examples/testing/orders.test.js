// An application's tests against the bank `test`, with node:test and node-postgres. PostgreSQL with pgw is all that they need.
// PGDATABASE and the like say where. The database is one for tests, and the role its superuser: it sets the test bank's time-out.
const { after, afterEach, before, beforeEach, describe, test } = require('node:test');
const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { Client } = require('pg');

const client = new Client();
const rows = async (sql, ...values) => (await client.query(sql, values)).rows;
const one = async (sql, ...values) => (await rows(sql, ...values))[0];
const orders = async (order) => Number((await one('SELECT count(*) AS n FROM orders WHERE id = $1', order)).n);
const wait = (payment) => one('SELECT * FROM pgw.wait_for_payment($1)', payment);

// Stands for your application: an order that is stored if it was paid, in the caller's transaction.
async function placeOrder(order, amount, token, { timeout = null, onFailure = null } = {}) {
  const pay = await one(`SELECT * FROM pgw.process_payment(client_request_id => $1, amount => $2, currency => 'EUR', token => $3,
    timeout => $4, on_failure => $5)`, `order-${order}`, amount, token, timeout, onFailure);
  if (['captured', 'pending'].includes(pay.status))
    await client.query('INSERT INTO orders (id, amount, payment_id) VALUES ($1, $2, $3)', [order, amount, pay.payment_id]);
  return pay;
}

async function committed(work) {
  await client.query('BEGIN');
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (e) {
    await client.query('ROLLBACK');
    throw e;
  }
}

let order;    // an id of its own for each test and run: attempts stay when a test rolls back

before(async () => {
  await client.connect();
  await client.query('CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments)');
  await client.query("UPDATE pgw.banks SET request_timeout = '300ms' WHERE name = 'test'");    // so that time-outs are fast
});

after(async () => {
  await client.query('DELETE FROM orders');
  await client.query('SELECT pgw.purge_test_data()');
  await client.end();
});

beforeEach(() => { order = randomUUID(); });

describe('in a transaction that is rolled back', () => {
  beforeEach(() => client.query('BEGIN'));
  afterEach(() => client.query('ROLLBACK'));    // pgw gives the charges back

  test('paid', async () => {
    assert.equal((await placeOrder(order, 4990, 'tok_ok')).status, 'captured');
    assert.equal(await orders(order), 1);
  });

  test('the same id is the same payment', async () => {
    const first = await placeOrder(order, 4990, 'tok_ok');
    const again = await one("SELECT * FROM pgw.process_payment($1, 4990, 'EUR', 'tok_ok')", `order-${order}`);
    assert.deepEqual([again.payment_id, again.replayed], [first.payment_id, true]);
  });

  for (const [token, code, key] of [
    ['tok_decline_insufficient_funds', 'insufficient_funds', 'insufficient_funds'],
    ['tok_decline_lost_card', 'lost_or_stolen_card', 'declined'],
    ['tok_auth_required', 'authentication_required', 'use_other_card'],
  ])
    test(`declined: ${token}`, async () => {
      const pay = await placeOrder(order, 4990, token);
      assert.deepEqual([pay.status, pay.error_code, pay.details.customer_message_key], ['declined', code, key]);
      assert.equal(await orders(order), 0);
    });

  test('declined as an error', async () => {
    await client.query('SAVEPOINT place_order');
    await assert.rejects(placeOrder(order, 4990, 'tok_decline_fraud', { onFailure: 'raise' }),
      (e) => e.code === 'PW402' && JSON.parse(e.detail).code === 'suspected_fraud');
    await client.query('ROLLBACK TO SAVEPOINT place_order');
    assert.equal(await orders(order), 0);
  });
});

describe('what the bank does when nobody listens', () => {
  // Charged or not, the answer does not come: the caller goes on with `pending`, and pgw finds out.
  for (const token of ['tok_timeout_after', 'tok_timeout_before_1', 'tok_reset_after'])
    test(`unknown at first: ${token}`, async () => {
      const pay = await committed(() => placeOrder(order, 4990, token, { timeout: '100ms' }));
      assert.ok(['pending', 'captured'].includes(pay.status));    // a lost answer may be found out within the time
      assert.equal((await wait(pay.payment_id)).status, 'captured');
      const { n } = await one(`SELECT count(*) AS n FROM pgw.test_bank_ledger WHERE status = 'approved'
        AND reference = replace($1::text, '-', '')`, pay.transaction_id);
      assert.equal(Number(n), 1);
    });
});

describe('after the commit', () => {
  const submit = () => one("SELECT * FROM pgw.submit_payment($1, 1500, 'EUR', 'tok_ok')", `order-${order}`);

  test('submitted', async () => {
    const pay = await committed(submit);
    assert.equal(pay.status, 'pending');
    assert.equal((await wait(pay.payment_id)).status, 'captured');
  });

  test('submitted and rolled back', async () => {
    await client.query('BEGIN');
    await submit();
    await client.query('ROLLBACK');
    assert.deepEqual(await rows('SELECT * FROM pgw.find_payment($1)', `order-${order}`), []);
  });

  test('refund', async () => {
    const pay = await committed(() => placeOrder(order, 4990, 'tok_ok'));
    await client.query('SELECT pgw.refund_payment($1, $2, 1000)', [pay.payment_id, `return-${order}`]);
    const paid = await wait(pay.payment_id);
    assert.deepEqual([paid.status, paid.refunded_amount], ['partially_refunded', '1000']);    // bigint is a string in node-postgres
  });

  test('refund that the bank refuses', async () => {
    const pay = await committed(() => placeOrder(order, 4990, 'tok_refund_fail'));
    await client.query('SELECT pgw.refund_payment($1, $2)', [pay.payment_id, `return-${order}`]);
    const paid = await wait(pay.payment_id);
    assert.deepEqual([paid.status, paid.refunded_amount], ['captured', '0']);
  });
});
