"""The cases of make check-clients with psqlODBC, by pyodbc; argument "simple": with UseServerSidePrepare=0, which writes the parameters into the statement."""
import os
import sys
import pyodbc

PREPARE = 0 if sys.argv[1:] == ['simple'] else 1
RUN = os.environ['RUN']
CARD = '4242' * 4
PAY = 'SELECT * FROM pgw.process_payment(?, ?, ?, ?)'
WITH_CARD = ("SELECT * FROM pgw.process_payment(?, 4990, 'EUR', card_number => ?, card_expiry_month => 12, card_expiry_year => 2039, "
             'card_cvv => ?)')
pyodbc.pooling = False


def connect(**more):
    return pyodbc.connect(f"Driver={{PostgreSQL Unicode}};Server=127.0.0.1;Port={os.environ['PGPORT']};Database={os.environ['PGDATABASE']};"
                          f"UID={os.environ['PGUSER']};UseServerSidePrepare={PREPARE};CommLog=0", **{'autocommit': True, **more})


def row(c, sql, *values):
    cursor = c.execute(sql, *values)
    if cursor.description is None:
        return None
    return dict(zip([d[0] for d in cursor.description], cursor.fetchone()))


def pay(c, name, token='tok_ok'):
    return row(c, PAY, f'{RUN}-{name}', 4990, 'EUR', token)


def token(c):
    return pay(c, 'token')['status']


def card_bound(c):
    return row(c, WITH_CARD, f'{RUN}-card', CARD, '123')['status']


def card_interpolated(c):
    return row(c, WITH_CARD.replace('?', "'%s'") % (f'{RUN}-literal', CARD, '123'))['status']


def decline_row(c):
    paid = pay(c, 'no', 'tok_decline_insufficient_funds')
    return paid['status'] + ' ' + paid['error_code']


def decline_raise(c):
    row(c, PAY[:-1] + ", on_failure => 'raise')", f'{RUN}-raise', 4990, 'EUR', 'tok_decline_do_not_honor')
    return 'no error'


def pw400(c):
    row(c, PAY, f'{RUN}-bad', 0, 'EUR', 'tok_ok')
    return 'no error'


def serialization(c):
    other = connect()
    c.autocommit = False
    for attempt in range(3):
        try:
            row(c, 'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE')
            row(c, 'SELECT n FROM stock WHERE run = ?', RUN)
            paid = pay(c, '40001')
            if attempt == 0:
                row(other, 'UPDATE stock SET n = n - 1 WHERE run = ?', RUN)
            row(c, 'UPDATE stock SET n = n - 1 WHERE run = ?', RUN)
            c.commit()
            return paid['status'] + f' at {attempt + 1}'
        except pyodbc.Error as e:
            c.rollback()
            if e.args[0] != '40001':
                raise


# ODBC has no call for notifications.
def notify(c):
    return 'none'


def refund(c):
    paid = pay(c, 'refund')
    row(c, 'SELECT status FROM pgw.refund_payment(?, ?)', paid['payment_id'], f'{RUN}-back')
    return row(c, 'SELECT * FROM pgw.wait_for_payment(?)', paid['payment_id'])['status']


def types(c):
    paid = pay(c, 'token')
    return ' '.join(type(paid[k]).__name__ for k in ('payment_id', 'status', 'amount', 'details', 'created_at', 'replayed'))


for case in (token, card_bound, card_interpolated, decline_row, decline_raise, pw400, serialization, notify, refund, types):
    connection = connect()
    try:
        result = case(connection)
    except pyodbc.Error as e:
        result = e.args[0]
        if result[:2] == 'PW':
            result += ' DETAIL' if any(c in e.args[1] for c in '[{') else ' no DETAIL'
    print(case.__name__, result, sep='\t')
    connection.close()
