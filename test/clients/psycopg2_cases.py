"""The cases of make check-clients with psycopg2, which writes all parameters into the statement."""
import os
import select
import psycopg2
import psycopg2.extras

RUN = os.environ['RUN']
LISTEN = int(os.environ['LISTEN_SECONDS'])
CARD = '4242' * 4
PAY = 'SELECT * FROM pgw.process_payment(%s, %s, %s, %s)'
WITH_CARD = ("SELECT * FROM pgw.process_payment(%s, 4990, 'EUR', card_number => %s, card_expiry_month => 12, card_expiry_year => 2039, "
             'card_cvv => %s)')


def connect():
    c = psycopg2.connect('', cursor_factory=psycopg2.extras.RealDictCursor)
    c.autocommit = True
    return c


def row(c, sql, *values):
    with c.cursor() as cursor:
        cursor.execute(sql, values or None)
        return cursor.fetchone() if cursor.description else None


def pay(c, name, token='tok_ok'):
    return row(c, PAY, f'{RUN}-{name}', 4990, 'EUR', token)


def token(c):
    return pay(c, 'token')['status']


def card_bound(c):
    return row(c, WITH_CARD, f'{RUN}-card', CARD, '123')['status']


def card_interpolated(c):
    return row(c, WITH_CARD.replace('%s', "'%s'") % (f'{RUN}-literal', CARD, '123'))['status']


def decline_row(c):
    r = pay(c, 'no', 'tok_decline_insufficient_funds')
    return r['status'] + ' ' + r['error_code']


def decline_raise(c):
    row(c, PAY[:-1] + ", on_failure => 'raise')", f'{RUN}-raise', 4990, 'EUR', 'tok_decline_do_not_honor')
    return 'no error'


def pw400(c):
    row(c, PAY, f'{RUN}-bad', 0, 'EUR', 'tok_ok')
    return 'no error'


def serialization(c):
    other = connect()
    c.autocommit = False
    try:
        for attempt in range(3):
            try:
                with c:
                    row(c, 'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE')
                    row(c, 'SELECT n FROM stock WHERE run = %s', RUN)
                    r = pay(c, '40001')
                    if attempt == 0:
                        row(other, 'UPDATE stock SET n = n - 1 WHERE run = %s', RUN)
                    row(c, 'UPDATE stock SET n = n - 1 WHERE run = %s', RUN)
                return r['status'] + f' at {attempt + 1}'
            except psycopg2.errors.SerializationFailure:
                continue
    finally:
        other.close()


# As listeners do, it waits without a statement of its own; another connection pays.
def notify(c):
    row(c, 'LISTEN pgw_payments')
    other = connect()
    r = row(other, 'SELECT * FROM pgw.submit_payment(%s, %s, %s, %s)', f'{RUN}-notify', 4990, 'EUR', 'tok_ok')
    row(other, 'SELECT * FROM pgw.wait_for_payment(%s)', r['payment_id'])
    other.close()
    while select.select([c], [], [], LISTEN)[0]:
        c.poll()
        if any(r['payment_id'] in n.payload for n in c.notifies):
            return 'heard'
    return 'lost'


def refund(c):
    r = pay(c, 'refund')
    row(c, 'SELECT pgw.refund_payment(%s, %s)', r['payment_id'], f'{RUN}-back')
    return row(c, 'SELECT * FROM pgw.wait_for_payment(%s)', r['payment_id'])['status']


def types(c):
    r = pay(c, 'token')
    return ' '.join(type(r[k]).__name__ for k in ('payment_id', 'status', 'amount', 'details', 'created_at', 'replayed'))


for case in (token, card_bound, card_interpolated, decline_row, decline_raise, pw400, serialization, notify, refund, types):
    connection = connect()
    try:
        result = case(connection)
    except psycopg2.Error as e:
        state, detail = e.pgcode or type(e).__name__, e.diag.message_detail or ''
        result = f'{state} {"DETAIL" if detail[:1] in ("[", "{") else "no DETAIL"}' if state.startswith('PW') else state
    print(case.__name__, result, sep='\t', flush=True)
    connection.close()
