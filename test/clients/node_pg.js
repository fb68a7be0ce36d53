// The cases of make check-clients with node-postgres.
const { Client } = require('pg');
const { heard, run, typesOf } = require('./js_cases.js');

const RUN = process.env.RUN;
const CARD = '4242'.repeat(4);
const PAY = 'SELECT * FROM pgw.process_payment($1, $2, $3, $4)';
const WITH_CARD = "SELECT * FROM pgw.process_payment($1, 4990, 'EUR', card_number => $2, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => $3)";

const connected = async () => {
  const c = new Client();
  c.on('error', () => {});
  await c.connect();
  return c;
};
const row = async (c, sql, ...values) => (await c.query(sql, values.length ? values : undefined)).rows[0];
const pay = (c, name, token = 'tok_ok') => row(c, PAY, `${RUN}-${name}`, 4990, 'EUR', token);
const submit = async (c, name) => {
  const { payment_id } = await row(c, 'SELECT * FROM pgw.submit_payment($1, $2, $3, $4)', `${RUN}-${name}`, 4990, 'EUR', 'tok_ok');
  return row(c, 'SELECT * FROM pgw.wait_for_payment($1)', payment_id);
};

const cases = {
  token: async c => (await pay(c, 'token')).status,
  card_bound: async c => (await row(c, WITH_CARD, `${RUN}-card`, CARD, '123')).status,
  card_interpolated: async c => (await row(c, WITH_CARD.replace(/\$(\d)/g, (_, n) => `'${[`${RUN}-literal`, CARD, '123'][n - 1]}'`))).status,
  decline_row: async c => { const r = await pay(c, 'no', 'tok_decline_insufficient_funds'); return `${r.status} ${r.error_code}`; },
  decline_raise: async c => (await row(c, PAY.slice(0, -1) + ", on_failure => 'raise')", `${RUN}-raise`, 4990, 'EUR', 'tok_decline_do_not_honor')).status,
  pw400: async c => (await row(c, PAY, `${RUN}-bad`, 0, 'EUR', 'tok_ok')).status,
  serialization: async c => {
    const other = await connected();
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          await c.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
          await row(c, 'SELECT n FROM stock WHERE run = $1', RUN);
          const r = await pay(c, '40001');
          if (attempt === 1) await other.query('UPDATE stock SET n = n - 1 WHERE run = $1', [RUN]);
          await c.query('UPDATE stock SET n = n - 1 WHERE run = $1', [RUN]);
          await c.query('COMMIT');
          return `${r.status} at ${attempt}`;
        } catch (e) {
          if (e.code !== '40001' || attempt === 3) throw e;
          await c.query('ROLLBACK');
        }
      }
    } finally {
      await other.end();
    }
  },
  // as listeners do, it waits without a statement of its own; another connection pays
  notify: c => heard(
    async hear => {
      c.on('notification', n => hear(n.payload));
      await c.query('LISTEN pgw_payments');
    },
    async () => {
      const other = await connected();
      const { payment_id } = await submit(other, 'notify');
      await other.end();
      return payment_id;
    }),
  refund: async c => {
    const { payment_id } = await pay(c, 'refund');
    await row(c, 'SELECT pgw.refund_payment($1, $2)', payment_id, `${RUN}-back`);
    return (await row(c, 'SELECT * FROM pgw.wait_for_payment($1)', payment_id)).status;
  },
  types: async c => typesOf(await pay(c, 'token')),
};

run(cases, connected, c => c.end());
