"""The cases of make check-clients with asyncpg, without its cache of statements, which does not outlive a transaction behind a pooler."""
import asyncio
import os
import asyncpg

RUN = os.environ['RUN']
LISTEN = int(os.environ['LISTEN_SECONDS'])
CARD = '4242' * 4
PAY = 'SELECT * FROM pgw.process_payment($1, $2, $3, $4)'
WITH_CARD = ("SELECT * FROM pgw.process_payment($1, 4990, 'EUR', card_number => $2, card_expiry_month => 12, card_expiry_year => 2039, "
             'card_cvv => $3)')


async def connect():
    return await asyncpg.connect(host='127.0.0.1', port=os.environ['PGPORT'], statement_cache_size=0)


async def pay(c, name, token='tok_ok'):
    return await c.fetchrow(PAY, f'{RUN}-{name}', 4990, 'EUR', token)


async def token(c):
    return (await pay(c, 'token'))['status']


async def card_bound(c):
    return (await c.fetchrow(WITH_CARD, f'{RUN}-card', CARD, '123'))['status']


async def card_interpolated(c):
    sql = WITH_CARD
    for n, value in enumerate((f'{RUN}-literal', CARD, '123'), 1):
        sql = sql.replace(f'${n}', f"'{value}'")
    return (await c.fetchrow(sql))['status']


async def decline_row(c):
    row = await pay(c, 'no', 'tok_decline_insufficient_funds')
    return row['status'] + ' ' + row['error_code']


async def decline_raise(c):
    await c.fetchrow(PAY[:-1] + ", on_failure => 'raise')", f'{RUN}-raise', 4990, 'EUR', 'tok_decline_do_not_honor')
    return 'no error'


async def pw400(c):
    await c.fetchrow(PAY, f'{RUN}-bad', 0, 'EUR', 'tok_ok')
    return 'no error'


async def serialization(c):
    other = await connect()
    try:
        for attempt in range(3):
            try:
                async with c.transaction(isolation='serializable'):
                    await c.fetchrow('SELECT n FROM stock WHERE run = $1', RUN)
                    row = await pay(c, '40001')
                    if attempt == 0:
                        await other.execute('UPDATE stock SET n = n - 1 WHERE run = $1', RUN)
                    await c.execute('UPDATE stock SET n = n - 1 WHERE run = $1', RUN)
                return row['status'] + f' at {attempt + 1}'
            except asyncpg.SerializationError:
                continue
    finally:
        await other.close()


# As listeners do, it waits without a statement of its own; another connection pays.
async def notify(c):
    heard = asyncio.Queue()
    await c.add_listener('pgw_payments', lambda *args: heard.put_nowait(args[-1]))
    other = await connect()
    row = await other.fetchrow('SELECT * FROM pgw.submit_payment($1, $2, $3, $4)', f'{RUN}-notify', 4990, 'EUR', 'tok_ok')
    await other.fetchrow('SELECT * FROM pgw.wait_for_payment($1)', row['payment_id'])
    await other.close()
    try:
        while str(row['payment_id']) not in await asyncio.wait_for(heard.get(), LISTEN):
            pass
    except asyncio.TimeoutError:
        return 'lost'
    return 'heard'


async def refund(c):
    row = await pay(c, 'refund')
    await c.fetchrow('SELECT pgw.refund_payment($1, $2)', row['payment_id'], f'{RUN}-back')
    return (await c.fetchrow('SELECT * FROM pgw.wait_for_payment($1)', row['payment_id']))['status']


async def types(c):
    row = await pay(c, 'token')
    return ' '.join(type(row[k]).__name__ for k in ('payment_id', 'status', 'amount', 'details', 'created_at', 'replayed'))


async def main():
    for case in (token, card_bound, card_interpolated, decline_row, decline_raise, pw400, serialization, notify, refund, types):
        c = await connect()
        try:
            result = await case(c)
        except asyncpg.PostgresError as e:
            detail = e.detail or ''
            result = f'{e.sqlstate} {"DETAIL" if detail[:1] in ("[", "{") else "no DETAIL"}' if e.sqlstate.startswith('PW') else e.sqlstate
        print(case.__name__, result, sep='\t', flush=True)
        # behind a pooler in statement mode the farewell of a listener may fail: the connection is given up all the same
        c.terminate()

asyncio.run(main())
