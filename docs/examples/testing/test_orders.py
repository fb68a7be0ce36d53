"""An application's tests against the bank `test`, with pytest and psycopg 3. PostgreSQL with pgw is all that they need.

PGDATABASE and the like say where. The database is one for tests, and the role its superuser: it sets the test bank's time-out.
"""
import json
import uuid

import psycopg
import pytest
from psycopg.rows import dict_row


def place_order(conn, order, amount, token, **more):
    """Stands for your application: an order that is stored if it was paid."""
    with conn.transaction():
        args = {'client_request_id': f'order-{order}', 'amount': amount, 'currency': 'EUR', 'token': token, **more}
        names = ', '.join(f'{name} => %({name})s' for name in args)
        pay = conn.execute(f'SELECT * FROM pgw.process_payment({names})', args).fetchone()
        if pay['status'] in ('captured', 'pending'):
            conn.execute('INSERT INTO orders (id, amount, payment_id) VALUES (%s, %s, %s)', (order, amount, pay['payment_id']))
    return pay


def orders(conn, order):
    return conn.execute('SELECT count(*) AS n FROM orders WHERE id = %s', (order,)).fetchone()['n']


# ---- fixtures

def connect():
    return psycopg.connect('', autocommit=True, row_factory=dict_row)


@pytest.fixture(scope='session')
def schema():
    with connect() as conn:
        conn.execute('CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments)')
        conn.execute("UPDATE pgw.banks SET request_timeout = '300ms' WHERE name = 'test'")    # so that time-outs are fast
        yield
        conn.execute('DELETE FROM orders')
        conn.execute('SELECT pgw.purge_test_data()')


@pytest.fixture
def conn(schema):
    """For what happens after a commit: nothing is rolled back, each test has its own ids."""
    with connect() as conn:
        yield conn


@pytest.fixture
def tx(conn):
    """A transaction that is rolled back after the test; pgw gives the charges back."""
    with conn.transaction(force_rollback=True):
        yield conn


@pytest.fixture
def order():
    """An id of its own for each run: attempts stay when the test rolls back."""
    return uuid.uuid4()


def wait(conn, payment):
    return conn.execute('SELECT * FROM pgw.wait_for_payment(%s)', (payment,)).fetchone()


# ---- in a transaction that is rolled back

def test_paid(tx, order):
    assert place_order(tx, order, 4990, 'tok_ok')['status'] == 'captured'
    assert orders(tx, order) == 1


def test_same_id_is_the_same_payment(tx, order):
    first = place_order(tx, order, 4990, 'tok_ok')
    again = tx.execute("SELECT * FROM pgw.process_payment(%s, 4990, 'EUR', 'tok_ok')", (f'order-{order}',)).fetchone()
    assert again['payment_id'] == first['payment_id'] and again['replayed']


@pytest.mark.parametrize('token, code, key', [
    ('tok_decline_insufficient_funds', 'insufficient_funds', 'insufficient_funds'),
    ('tok_decline_lost_card', 'lost_or_stolen_card', 'declined'),
    ('tok_auth_required', 'authentication_required', 'use_other_card'),
])
def test_declined(tx, order, token, code, key):
    pay = place_order(tx, order, 4990, token)
    assert (pay['status'], pay['error_code'], pay['details']['customer_message_key']) == ('declined', code, key)
    assert orders(tx, order) == 0


def test_declined_as_an_error(tx, order):
    with pytest.raises(psycopg.Error) as raised:
        place_order(tx, order, 4990, 'tok_decline_fraud', on_failure='raise')
    assert raised.value.sqlstate == 'PW402'
    assert json.loads(raised.value.diag.message_detail)['code'] == 'suspected_fraud'
    assert orders(tx, order) == 0    # the savepoint of place_order() has been rolled back, the test's transaction goes on


# ---- what the bank does when nobody listens

@pytest.mark.parametrize('token', ['tok_timeout_after', 'tok_timeout_before_1', 'tok_reset_after'])
def test_unknown_at_first(conn, order, token):
    """Charged or not, the answer does not come: the caller goes on with `pending`, and pgw finds out."""
    pay = place_order(conn, order, 4990, token, timeout='100ms')
    assert pay['status'] in ('pending', 'captured')    # a lost answer may be found out within the time
    assert wait(conn, pay['payment_id'])['status'] == 'captured'
    charges = conn.execute("""SELECT count(*) AS n FROM pgw.test_bank_ledger WHERE status = 'approved'
        AND reference = replace(%s::text, '-', '')""", (pay['transaction_id'],)).fetchone()
    assert charges['n'] == 1


# ---- after the commit

def test_submitted(conn, order):
    with conn.transaction():
        pay = conn.execute("SELECT * FROM pgw.submit_payment(%s, 1500, 'EUR', 'tok_ok')", (f'order-{order}',)).fetchone()
        assert pay['status'] == 'pending'
    assert wait(conn, pay['payment_id'])['status'] == 'captured'


def test_submitted_and_rolled_back(conn, order):
    with conn.transaction(force_rollback=True):
        conn.execute("SELECT pgw.submit_payment(%s, 1500, 'EUR', 'tok_ok')", (f'order-{order}',))
    assert conn.execute('SELECT * FROM pgw.find_payment(%s)', (f'order-{order}',)).fetchone() is None


def test_refund(conn, order):
    pay = place_order(conn, order, 4990, 'tok_ok')
    conn.execute('SELECT pgw.refund_payment(%s, %s, 1000)', (pay['payment_id'], f'return-{order}'))
    paid = wait(conn, pay['payment_id'])
    assert (paid['status'], paid['refunded_amount']) == ('partially_refunded', 1000)


def test_refund_that_the_bank_refuses(conn, order):
    pay = place_order(conn, order, 4990, 'tok_refund_fail')
    conn.execute('SELECT pgw.refund_payment(%s, %s)', (pay['payment_id'], f'return-{order}'))
    paid = wait(conn, pay['payment_id'])
    assert (paid['status'], paid['refunded_amount']) == ('captured', 0)
