# An order and its payment with Ruby's pg: paid, declined, again after a serialization failure, submitted, refunded.
# Needs a database with pgw, and PGDATABASE and the like in the environment.
require 'json'
require 'pg'
require 'securerandom'

TRIES = 5

def one(conn, sql, *values) = conn.exec_params(sql, values).first

# The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most.
def place_order(conn, order, amount, token)
  attempt = 0
  begin
    attempt += 1
    conn.transaction do
      conn.exec('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE')
      pay = one(conn, "SELECT * FROM pgw.process_payment($1, $2, 'EUR', $3)", "order-#{order}", amount, token)
      if pay['status'] == 'captured'
        conn.exec_params('INSERT INTO orders (id, amount, payment_id) VALUES ($1, $2, $3)', [order, amount, pay['payment_id']])
      end
      pay
    end
  rescue PG::TRSerializationFailure, PG::TRDeadlockDetected
    attempt < TRIES ? retry : raise
  end
end

conn = PG.connect
conn.set_notice_processor { |notice| warn notice unless notice.start_with?('NOTICE') }
conn.exec('CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))')

order = SecureRandom.uuid
paid = place_order(conn, order, 4990, 'tok_ok')
puts "order: #{paid['status']}"
# a web server that does not know whether it was heard asks again: the same payment, not a second one
puts "again: #{one(conn, "SELECT replayed FROM pgw.process_payment($1, 4990, 'EUR', 'tok_ok')", "order-#{order}")['replayed'] == 't'}"

declined = place_order(conn, SecureRandom.uuid, 4990, 'tok_decline_insufficient_funds')
puts "declined: #{declined['error_code']} - tell the customer: #{JSON.parse(declined['details'])['customer_message_key']}"

# in a job: recorded with the order, sent after the commit
late = one(conn, "SELECT * FROM pgw.submit_payment($1, 1500, 'EUR', 'tok_ok')", "order-#{SecureRandom.uuid}")
puts "submitted: #{late['status']}"
puts "then: #{one(conn, 'SELECT * FROM pgw.wait_for_payment($1)', late['payment_id'])['status']}"

one(conn, 'SELECT pgw.refund_payment($1, $2, 1000, $3)', paid['payment_id'], "return-#{order}", 'one piece came back')
puts "refund: #{one(conn, 'SELECT * FROM pgw.wait_for_payment($1)', paid['payment_id'])['status']}"
conn.close
