"""An order and its payment with psycopg 3: paid, declined, again after a serialization failure, submitted, refunded.

Needs a database with pgw, and PGDATABASE and the like in the environment.
"""
import uuid
import psycopg
from psycopg.rows import dict_row

TRIES = 5


def place_order(conn, order, amount, token):
    """The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most."""
    for attempt in range(TRIES):
        try:
            with conn.transaction():
                conn.execute('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE')
                pay = conn.execute("SELECT * FROM pgw.process_payment(%s, %s, 'EUR', %s)", (f'order-{order}', amount, token)).fetchone()
                if pay['status'] == 'captured':
                    conn.execute('INSERT INTO orders (id, amount, payment_id) VALUES (%s, %s, %s)', (order, amount, pay['payment_id']))
            return pay
        except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
            if attempt == TRIES - 1:
                raise


def main():
    with psycopg.connect('', autocommit=True, row_factory=dict_row) as conn:
        conn.execute('CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))')

        order = uuid.uuid4()
        paid = place_order(conn, order, 4990, 'tok_ok')
        print('order:', paid['status'])
        # a web server that does not know whether it was heard asks again: the same payment, not a second one
        print('again:', conn.execute("SELECT replayed FROM pgw.process_payment(%s, 4990, 'EUR', 'tok_ok')", (f'order-{order}',)).fetchone()['replayed'])

        declined = place_order(conn, uuid.uuid4(), 4990, 'tok_decline_insufficient_funds')
        print('declined:', declined['error_code'], '- tell the customer:', declined['details']['customer_message_key'])

        # in a job: recorded with the order, sent after the commit
        late = conn.execute("SELECT * FROM pgw.submit_payment(%s, 1500, 'EUR', 'tok_ok')", (f'order-{uuid.uuid4()}',)).fetchone()
        print('submitted:', late['status'])
        print('then:', conn.execute('SELECT * FROM pgw.wait_for_payment(%s)', (late['payment_id'],)).fetchone()['status'])

        conn.execute('SELECT pgw.refund_payment(%s, %s, 1000, %s)', (paid['payment_id'], f'return-{order}', 'one piece came back'))
        print('refund:', conn.execute('SELECT * FROM pgw.wait_for_payment(%s)', (paid['payment_id'],)).fetchone()['status'])


main()
