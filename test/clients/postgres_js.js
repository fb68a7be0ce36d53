// The cases of make check-clients with postgres.js.
const postgres = require('postgres');
const { heard, run, typesOf } = require('./js_cases.js');

const RUN = process.env.RUN;
const CARD = '4242'.repeat(4);
// behind a pooler whose server connections change, its prepared statements are off
const options = { max: 1, onnotice: () => {}, prepare: process.env.PGDATABASE === 'postgres' };
const connected = () => postgres(options);

const pay = (sql, name, token = 'tok_ok') => sql`SELECT * FROM pgw.process_payment(${`${RUN}-${name}`}, ${4990}, ${'EUR'}, ${token})`.then(rows => rows[0]);
const submit = async (sql, name) => {
  const [{ payment_id }] = await sql`SELECT * FROM pgw.submit_payment(${`${RUN}-${name}`}, ${4990}, ${'EUR'}, ${'tok_ok'})`;
  return (await sql`SELECT * FROM pgw.wait_for_payment(${payment_id})`)[0];
};

const cases = {
  token: async sql => (await pay(sql, 'token')).status,
  card_bound: async sql => (await sql`SELECT * FROM pgw.process_payment(${`${RUN}-card`}, 4990, 'EUR', card_number => ${CARD}, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => ${'123'})`)[0].status,
  card_interpolated: async sql => (await sql.unsafe(`SELECT * FROM pgw.process_payment('${RUN}-literal', 4990, 'EUR', card_number => '${CARD}', card_expiry_month => 12, card_expiry_year => 2039, card_cvv => '123')`))[0].status,
  decline_row: async sql => { const r = await pay(sql, 'no', 'tok_decline_insufficient_funds'); return `${r.status} ${r.error_code}`; },
  decline_raise: async sql => (await sql`SELECT * FROM pgw.process_payment(${`${RUN}-raise`}, 4990, 'EUR', ${'tok_decline_do_not_honor'}, on_failure => 'raise')`)[0].status,
  pw400: async sql => (await sql`SELECT * FROM pgw.process_payment(${`${RUN}-bad`}, ${0}, 'EUR', 'tok_ok')`)[0].status,
  serialization: async sql => {
    const other = connected();
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          return await sql.begin('ISOLATION LEVEL SERIALIZABLE', async sql => {
            await sql`SELECT n FROM stock WHERE run = ${RUN}`;
            const r = await pay(sql, '40001');
            if (attempt === 1) await other`UPDATE stock SET n = n - 1 WHERE run = ${RUN}`;
            await sql`UPDATE stock SET n = n - 1 WHERE run = ${RUN}`;
            return `${r.status} at ${attempt}`;
          });
        } catch (e) {
          if (e.code !== '40001' || attempt === 3) throw e;
        }
      }
    } finally {
      await other.end();
    }
  },
  // its listener has a connection of its own; another one pays
  notify: sql => heard(
    hear => sql.listen('pgw_payments', hear),
    async () => {
      const other = connected();
      const { payment_id } = await submit(other, 'notify');
      await other.end();
      return payment_id;
    }),
  refund: async sql => {
    const { payment_id } = await pay(sql, 'refund');
    await sql`SELECT pgw.refund_payment(${payment_id}, ${`${RUN}-back`})`;
    return (await sql`SELECT * FROM pgw.wait_for_payment(${payment_id})`)[0].status;
  },
  types: async sql => typesOf(await pay(sql, 'token')),
};

run(cases, connected, sql => sql.end({ timeout: 5 }));
