"""The cases of make check-clients with psycopg 3; argument "client": with its client-side cursors, which write the parameters into the statement."""
import os
import select
import sys
import psycopg
from psycopg.rows import dict_row

CURSOR = psycopg.ClientCursor if sys.argv[1:] == ['client'] else psycopg.Cursor
RUN = os.environ['RUN']
LISTEN = int(os.environ['LISTEN_SECONDS'])
CARD = '4242' * 4
PAY = 'SELECT * FROM pgw.process_payment(%s, %s, %s, %s)'
WITH_CARD = ("SELECT * FROM pgw.process_payment(%s, 4990, 'EUR', card_number => %s, card_expiry_month => 12, card_expiry_year => 2039, "
             'card_cvv => %s)')


def connect(**more):
    # server-side prepared statements do not outlive a transaction behind a pooler
    return psycopg.connect('', autocommit=True, cursor_factory=CURSOR, row_factory=dict_row, prepare_threshold=None, **more)


def pay(c, name, token='tok_ok'):
    return c.execute(PAY, (f'{RUN}-{name}', 4990, 'EUR', token)).fetchone()


def token(c):
    return pay(c, 'token')['status']


def card_bound(c):
    return c.execute(WITH_CARD, (f'{RUN}-card', CARD, '123')).fetchone()['status']


def card_interpolated(c):
    return c.execute(WITH_CARD.replace('%s', "'%s'") % (f'{RUN}-literal', CARD, '123')).fetchone()['status']


def decline_row(c):
    row = pay(c, 'no', 'tok_decline_insufficient_funds')
    return row['status'] + ' ' + row['error_code']


def decline_raise(c):
    c.execute(PAY[:-1] + ", on_failure => 'raise')", (f'{RUN}-raise', 4990, 'EUR', 'tok_decline_do_not_honor'))
    return 'no error'


def pw400(c):
    c.execute(PAY, (f'{RUN}-bad', 0, 'EUR', 'tok_ok'))
    return 'no error'


def serialization(c):
    with connect() as other:
        for attempt in range(3):
            try:
                with c.transaction():
                    c.execute('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE')
                    c.execute("SELECT n FROM stock WHERE run = %s", (RUN,)).fetchone()
                    row = pay(c, '40001')
                    if attempt == 0:
                        other.execute('UPDATE stock SET n = n - 1 WHERE run = %s', (RUN,))
                    c.execute('UPDATE stock SET n = n - 1 WHERE run = %s', (RUN,))
                return row['status'] + f' at {attempt + 1}'
            except psycopg.errors.SerializationFailure:
                continue


# As listeners do, it waits without a statement of its own; another connection pays.
def notify(c):
    c.execute('LISTEN pgw_payments')
    with connect() as other:
        row = other.execute('SELECT * FROM pgw.submit_payment(%s, %s, %s, %s)', (f'{RUN}-notify', 4990, 'EUR', 'tok_ok')).fetchone()
        other.execute('SELECT * FROM pgw.wait_for_payment(%s)', (row['payment_id'],))
    while select.select([c.fileno()], [], [], LISTEN)[0]:
        c.pgconn.consume_input()
        while n := c.pgconn.notifies():
            if str(row['payment_id']) in n.extra.decode():
                return 'heard'
    return 'lost'


def refund(c):
    row = pay(c, 'refund')
    c.execute('SELECT pgw.refund_payment(%s, %s)', (row['payment_id'], f'{RUN}-back'))
    return c.execute('SELECT * FROM pgw.wait_for_payment(%s)', (row['payment_id'],)).fetchone()['status']


def types(c):
    row = pay(c, 'token')
    return ' '.join(type(row[k]).__name__ for k in ('payment_id', 'status', 'amount', 'details', 'created_at', 'replayed'))


for case in (token, card_bound, card_interpolated, decline_row, decline_raise, pw400, serialization, notify, refund, types):
    with connect() as connection:
        try:
            result = case(connection)
        except psycopg.OperationalError as e:
            # of a connection that was ended, 3.2 tells the SQLSTATE and 3.1 does not: the class is what both say
            result = 'OperationalError' if (e.sqlstate or '08')[:2] == '08' else e.sqlstate
        except psycopg.Error as e:
            code = e.diag.message_detail
            result = f'{e.sqlstate} {"DETAIL" if code and code[0] in "[{" else "no DETAIL"}' if (e.sqlstate or '')[:2] == 'PW' else e.sqlstate or type(e).__name__
        print(case.__name__, result, sep='\t')
