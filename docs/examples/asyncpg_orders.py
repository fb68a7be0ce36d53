"""An order and its payment with asyncpg: paid, declined, again after a serialization failure, submitted, refunded.

Needs a database with pgw, and PGDATABASE and the like in the environment.
"""
import asyncio
import json
import uuid
import asyncpg

TRIES = 5


async def place_order(conn, order, amount, token):
    """The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most."""
    for attempt in range(TRIES):
        try:
            async with conn.transaction(isolation='serializable'):
                pay = await conn.fetchrow("SELECT * FROM pgw.process_payment($1, $2, 'EUR', $3)", f'order-{order}', amount, token)
                if pay['status'] == 'captured':
                    await conn.execute('INSERT INTO orders (id, amount, payment_id) VALUES ($1, $2, $3)', order, amount, pay['payment_id'])
            return pay
        except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
            if attempt == TRIES - 1:
                raise


async def main():
    conn = await asyncpg.connect()
    # asyncpg hands jsonb over as text unless it is told otherwise
    await conn.set_type_codec('jsonb', schema='pg_catalog', encoder=json.dumps, decoder=json.loads)
    await conn.execute('CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))')

    order = uuid.uuid4()
    paid = await place_order(conn, order, 4990, 'tok_ok')
    print('order:', paid['status'])
    # a web server that does not know whether it was heard asks again: the same payment, not a second one
    print('again:', await conn.fetchval("SELECT replayed FROM pgw.process_payment($1, 4990, 'EUR', 'tok_ok')", f'order-{order}'))

    declined = await place_order(conn, uuid.uuid4(), 4990, 'tok_decline_insufficient_funds')
    print('declined:', declined['error_code'], '- tell the customer:', declined['details']['customer_message_key'])

    # in a job: recorded with the order, sent after the commit
    late = await conn.fetchrow("SELECT * FROM pgw.submit_payment($1, 1500, 'EUR', 'tok_ok')", f'order-{uuid.uuid4()}')
    print('submitted:', late['status'])
    print('then:', await conn.fetchval('SELECT status FROM pgw.wait_for_payment($1)', late['payment_id']))

    # in FROM: with a codec of text, asyncpg cannot read a whole payment_result as one value
    await conn.fetchrow('SELECT * FROM pgw.refund_payment($1, $2, 1000, $3)', paid['payment_id'], f'return-{order}', 'one piece came back')
    print('refund:', await conn.fetchval('SELECT status FROM pgw.wait_for_payment($1)', paid['payment_id']))
    await conn.close()


asyncio.run(main())
