"""An order and its payment with SQLAlchemy over psycopg2: paid, declined, again after a serialization failure, submitted, refunded.

Needs a database with pgw, and PGDATABASE and the like in the environment. psycopg2 writes values into the statement, so a card number
would be refused: pay with tokens, or take a driver that binds. hide_parameters keeps values out of exceptions and of the echo log.
"""
import uuid
from sqlalchemy import BigInteger, Column, create_engine, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, declarative_base

TRIES = 5
AGAIN = ('40001', '40P01')
Base = declarative_base()


class Order(Base):
    __tablename__ = 'orders'
    id = Column(UUID(as_uuid=True), primary_key=True)
    amount = Column(BigInteger, nullable=False)
    payment_id = Column(UUID(as_uuid=True))


def one(session, sql, **values):
    return session.execute(text(sql), values).mappings().one()


def place_order(engine, order, amount, token):
    """The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most."""
    for attempt in range(TRIES):
        try:
            with Session(engine.execution_options(isolation_level='SERIALIZABLE')) as session, session.begin():
                pay = one(session, "SELECT * FROM pgw.process_payment(:id, :amount, 'EUR', :token)", id=f'order-{order}', amount=amount, token=token)
                if pay['status'] == 'captured':
                    session.add(Order(id=order, amount=amount, payment_id=pay['payment_id']))
            return pay
        except DBAPIError as e:
            if e.orig.pgcode not in AGAIN or attempt == TRIES - 1:
                raise


def main():
    engine = create_engine('postgresql+psycopg2://', hide_parameters=True)
    with engine.begin() as conn:
        conn.execute(text('CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))'))

    order = uuid.uuid4()
    paid = place_order(engine, order, 4990, 'tok_ok')
    print('order:', paid['status'])
    with Session(engine) as session, session.begin():
        # a web server that does not know whether it was heard asks again: the same payment, not a second one
        print('again:', one(session, "SELECT replayed FROM pgw.process_payment(:id, 4990, 'EUR', 'tok_ok')", id=f'order-{order}')['replayed'])

    declined = place_order(engine, uuid.uuid4(), 4990, 'tok_decline_insufficient_funds')
    print('declined:', declined['error_code'], '- tell the customer:', declined['details']['customer_message_key'])

    # in a job: recorded with the order, sent after the commit, so waited for in another transaction
    with Session(engine) as session, session.begin():
        late = one(session, "SELECT * FROM pgw.submit_payment(:id, 1500, 'EUR', 'tok_ok')", id=f'order-{uuid.uuid4()}')
        print('submitted:', late['status'])
    with Session(engine) as session, session.begin():
        print('then:', one(session, 'SELECT status FROM pgw.wait_for_payment(:id)', id=late['payment_id'])['status'])

    with Session(engine) as session, session.begin():
        session.execute(text('SELECT pgw.refund_payment(:id, :refund, 1000, :why)'), dict(id=paid['payment_id'], refund=f'return-{order}', why='one piece came back'))
    with Session(engine) as session, session.begin():
        print('refund:', one(session, 'SELECT status FROM pgw.wait_for_payment(:id)', id=paid['payment_id'])['status'])


main()
