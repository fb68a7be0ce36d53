# An order and its payment with ActiveRecord: paid, declined, again after a serialization failure, submitted, refunded.
# Needs a database with pgw, and PGDATABASE and the like in the environment. Values are bound by select_all's binds, so a card may be paid with, too;
# sanitize_sql and prepared_statements: false write them into the statement, where a card number is refused.
require 'active_record'
require 'json'
require 'securerandom'

TRIES = 5
ActiveRecord::Base.establish_connection(adapter: 'postgresql', database: ENV['PGDATABASE'], min_messages: 'warning')

class Order < ActiveRecord::Base
end

# One row; each value is bound, of the type that it has.
def one(sql, *values)
  types = { Integer => ActiveModel::Type::BigInteger.new, String => ActiveModel::Type::String.new }
  binds = values.map { |v| ActiveModel::Attribute.with_cast_value(nil, v, types.fetch(v.class)) }
  ActiveRecord::Base.connection.exec_query(sql, 'pgw', binds).first
end

# The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most.
# Not in another transaction: that one's isolation could not be changed, and ActiveRecord says so.
def place_order(order, amount, token)
  attempt = 0
  begin
    attempt += 1
    Order.transaction(isolation: :serializable) do
      pay = one("SELECT * FROM pgw.process_payment($1, $2, 'EUR', $3)", "order-#{order}", amount, token)
      Order.create!(id: order, amount: amount, payment_id: pay['payment_id']) if pay['status'] == 'captured'
      pay
    end
  rescue ActiveRecord::SerializationFailure, ActiveRecord::Deadlocked
    attempt < TRIES ? retry : raise
  end
end

unless ActiveRecord::Base.connection.table_exists?(:orders)
  ActiveRecord::Base.connection.execute('CREATE TABLE orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))')
end

order = SecureRandom.uuid
paid = place_order(order, 4990, 'tok_ok')
puts "order: #{paid['status']}"
# a web server that does not know whether it was heard asks again: the same payment, not a second one
puts "again: #{one("SELECT * FROM pgw.process_payment($1, 4990, 'EUR', 'tok_ok')", "order-#{order}")['replayed']}"

declined = place_order(SecureRandom.uuid, 4990, 'tok_decline_insufficient_funds')
puts "declined: #{declined['error_code']} - tell the customer: #{JSON.parse(declined['details'])['customer_message_key']}"

# in a job: recorded with the order, sent after the commit
late = one("SELECT * FROM pgw.submit_payment($1, 1500, 'EUR', 'tok_ok')", "order-#{SecureRandom.uuid}")
puts "submitted: #{late['status']}"
puts "then: #{one('SELECT * FROM pgw.wait_for_payment($1)', late['payment_id'])['status']}"

one('SELECT * FROM pgw.refund_payment($1, $2, 1000, $3)', paid['payment_id'], "return-#{order}", 'one piece came back')
puts "refund: #{one('SELECT * FROM pgw.wait_for_payment($1)', paid['payment_id'])['status']}"
