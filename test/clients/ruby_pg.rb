# The cases of make check-clients with Ruby's pg.
require 'pg'

RUN = ENV['RUN']
CARD = '4242' * 4
PAY = 'SELECT * FROM pgw.process_payment($1, $2, $3, $4)'
WITH_CARD = "SELECT * FROM pgw.process_payment($1, 4990, 'EUR', card_number => $2, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => $3)"

def connected = PG.connect

def row(c, sql, *values) = c.exec_params(sql, values).first
def pay(c, name, token = 'tok_ok') = row(c, PAY, "#{RUN}-#{name}", 4990, 'EUR', token)

def submit(c, name)
  id = row(c, 'SELECT * FROM pgw.submit_payment($1, $2, $3, $4)', "#{RUN}-#{name}", 4990, 'EUR', 'tok_ok')['payment_id']
  row(c, 'SELECT * FROM pgw.wait_for_payment($1)', id)
end

def serialization(c)
  other = connected
  attempt = 0
  begin
    attempt += 1
    status = c.transaction do
      c.exec('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE')
      row(c, 'SELECT n FROM stock WHERE run = $1', RUN)
      paid = pay(c, '40001')
      other.exec_params('UPDATE stock SET n = n - 1 WHERE run = $1', [RUN]) if attempt == 1
      c.exec_params('UPDATE stock SET n = n - 1 WHERE run = $1', [RUN])
      paid['status']
    end
    "#{status} at #{attempt}"
  rescue PG::TRSerializationFailure
    attempt < 3 ? retry : raise
  end
ensure
  other.close
end

# As listeners do, it waits without a statement of its own; another connection pays.
def notify(c)
  c.exec('LISTEN pgw_payments')
  other = connected
  id = submit(other, 'notify')['payment_id']
  other.close
  while c.wait_for_notify(ENV['LISTEN_SECONDS'].to_i) { |_, _, text| return 'heard' if text.include?(id) }
  end
  'lost'
end

def refund(c)
  id = pay(c, 'refund')['payment_id']
  row(c, 'SELECT pgw.refund_payment($1, $2)', id, "#{RUN}-back")
  row(c, 'SELECT * FROM pgw.wait_for_payment($1)', id)['status']
end

CASES = {
  token: ->(c) { pay(c, 'token')['status'] },
  card_bound: ->(c) { row(c, WITH_CARD, "#{RUN}-card", CARD, '123')['status'] },
  card_interpolated: ->(c) { c.exec(WITH_CARD.gsub(/\$(\d)/) { "'#{["#{RUN}-literal", CARD, '123'][$1.to_i - 1]}'" }).first['status'] },
  decline_row: ->(c) { pay(c, 'no', 'tok_decline_insufficient_funds').values_at('status', 'error_code').join(' ') },
  decline_raise: ->(c) { row(c, PAY.chop + ", on_failure => 'raise')", "#{RUN}-raise", 4990, 'EUR', 'tok_decline_do_not_honor')['status'] },
  pw400: ->(c) { row(c, PAY, "#{RUN}-bad", 0, 'EUR', 'tok_ok')['status'] },
  serialization: method(:serialization),
  notify: method(:notify),
  refund: method(:refund),
  types: ->(c) { pay(c, 'token').values_at('payment_id', 'status', 'amount', 'details', 'created_at', 'replayed').map { |v| v.class }.join(' ') }
}.freeze

CASES.each do |name, code|
  c = connected
  begin
    result = code.call(c)
  rescue PG::Error => e
    r = e.respond_to?(:result) ? e.result : nil
    state = r ? r.error_field(PG::Result::PG_DIAG_SQLSTATE) : e.class.name
    detail = r ? r.error_field(PG::Result::PG_DIAG_MESSAGE_DETAIL).to_s : ''
    result = state.start_with?('PW') ? "#{state} #{detail.start_with?('[', '{') ? 'DETAIL' : 'no DETAIL'}" : state
  end
  puts "#{name}\t#{result}"
  c.close
end
