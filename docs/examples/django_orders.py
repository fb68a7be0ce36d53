"""An order and its payment with Django: paid, declined, again after a serialization failure, submitted, refunded.

Needs a database with pgw, and PGDATABASE and the like in the environment. Django over psycopg2 writes values into the statement, so a card
number would be refused: pay with tokens. place_order() is never called inside another atomic() (nor under ATOMIC_REQUESTS): durable says so.
"""
import os
import uuid
from django.conf import settings

settings.configure(DATABASES={'default': {
    'ENGINE': 'django.db.backends.postgresql', 'NAME': os.environ.get('PGDATABASE', 'postgres'),
    'OPTIONS': {'isolation_level': 3},      # SERIALIZABLE, of the whole connection: Django has it no other way
}}, USE_TZ=True)

import django
django.setup()

from django.db import OperationalError, connection, models, transaction

TRIES = 5
AGAIN = ('40001', '40P01')


class Order(models.Model):
    id = models.UUIDField(primary_key=True)
    amount = models.BigIntegerField()
    payment_id = models.UUIDField(null=True)    # in the table: REFERENCES pgw.payments, by a migration's RunSQL

    class Meta:
        app_label = 'shop'
        db_table = 'orders'


def one(sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return dict(zip((c.name for c in cursor.description), cursor.fetchone()))


def place_order(order, amount, token):
    """The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most."""
    for attempt in range(TRIES):
        try:
            with transaction.atomic(durable=True):
                # the key as text: Django leaves jsonb to its JSONField, and a cursor gets it as text
                pay = one("SELECT *, details->>'customer_message_key' AS message FROM pgw.process_payment(%s, %s, 'EUR', %s)", f'order-{order}', amount, token)
                if pay['status'] == 'captured':
                    Order.objects.create(id=order, amount=amount, payment_id=pay['payment_id'])
            return pay
        except OperationalError as e:
            if getattr(e.__cause__, 'pgcode', None) not in AGAIN or attempt == TRIES - 1:
                raise


def main():
    with connection.cursor() as cursor:
        cursor.execute('CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))')

    order = uuid.uuid4()
    paid = place_order(order, 4990, 'tok_ok')
    print('order:', paid['status'])
    # a web server that does not know whether it was heard asks again: the same payment, not a second one
    print('again:', one("SELECT * FROM pgw.process_payment(%s, 4990, 'EUR', 'tok_ok')", f'order-{order}')['replayed'])

    declined = place_order(uuid.uuid4(), 4990, 'tok_decline_insufficient_funds')
    print('declined:', declined['error_code'], '- tell the customer:', declined['message'])

    # in a job: recorded with the order, sent after the commit; so in atomic() it could not be waited for
    late = one("SELECT * FROM pgw.submit_payment(%s, 1500, 'EUR', 'tok_ok')", f'order-{uuid.uuid4()}')
    print('submitted:', late['status'])
    print('then:', one('SELECT * FROM pgw.wait_for_payment(%s)', late['payment_id'])['status'])

    one('SELECT pgw.refund_payment(%s, %s, 1000, %s)', paid['payment_id'], f'return-{order}', 'one piece came back')
    print('refund:', one('SELECT * FROM pgw.wait_for_payment(%s)', paid['payment_id'])['status'])


main()
