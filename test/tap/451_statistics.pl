# payment_statistics(), payment_step_times() and payment_facts: their numbers are those that plain counts give, for whoever may see them, and no plan reads a table from end to end.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('statistics', conf => "fsync = off\npgw.compensation_delay = 0\n");
pgw_setup($node);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub as { my ($role, $sql) = @_; my ($rc, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role ]); return $rc == 0 ? $out : $err }

my $from = sql('SELECT clock_timestamp()');
sql(q{INSERT INTO pgw.merchants (merchant) VALUES ('shop');
	CREATE ROLE aud LOGIN; CREATE ROLE shopaud LOGIN; CREATE ROLE cli LOGIN;
	SELECT pgw.grant_access('aud', 'auditor'), pgw.grant_access('shopaud', 'auditor', 'shop'), pgw.grant_access('cli', 'client');
	SELECT count(pgw.submit_payment('s' || n, 100 + n, (ARRAY['EUR', 'USD'])[1 + n % 2], (ARRAY['tok_ok', 'tok_decline_insufficient_funds', 'tok_ok', 'tok_decline_lost_card'])[1 + n / 10 % 4],
		bank => 'test', merchant => (ARRAY['default', 'shop'])[1 + n / 3 % 2])) FROM generate_series(1, 300) n});
ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE status = 'pending'") == 0 }, 60), 'some hundred payments are made, of two merchants and currencies');
sql("SELECT count(pgw.refund_payment(payment_id, 'r' || client_request_id)) FROM pgw.payments WHERE status = 'captured' AND amount % 5 = 0");
ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE refund_pending_amount > 0") == 0 }, 60), 'and some refunded');
my $to = sql('SELECT clock_timestamp()');
my $range = "'$from', '$to'";

is(sql("SELECT currency, merchant, payments, approved, declined, failed, open, amount, captured_amount, refunded, refunded_amount, net_amount, requests_sent FROM pgw.payment_statistics($range, by => '{merchant}') ORDER BY 1, 2"),
	sql(q{SELECT p.currency, p.merchant, count(*), count(*) FILTER (WHERE p.status NOT IN ('declined', 'failed', 'pending', 'in_review')), count(*) FILTER (WHERE p.status = 'declined'),
		count(*) FILTER (WHERE p.status = 'failed'), count(*) FILTER (WHERE p.status IN ('pending', 'in_review')), sum(p.amount), sum(p.captured_amount), count(*) FILTER (WHERE p.refunded_amount > 0),
		sum(p.refunded_amount), sum(p.captured_amount - p.refunded_amount), sum(t.requests_sent) FROM pgw.payments p JOIN pgw.payment_transactions t USING (transaction_id) GROUP BY 1, 2 ORDER BY 1, 2}),
	'the figures are those of the tables');
cmp_ok(sql("SELECT sum(refunded) FROM pgw.payment_statistics($range)"), '>', 5, 'with refunds among them');
is(sql("SELECT currency, key, sum(value::int) FROM pgw.payment_statistics($range, by => '{bank,capture,card_brand}'), jsonb_each_text(declines) GROUP BY 1, 2 ORDER BY 1, 2"),
	sql(q{SELECT p.currency, t.error_code, count(*) FROM pgw.payments p JOIN pgw.payment_transactions t USING (transaction_id) WHERE p.status = 'declined' GROUP BY 1, 2 ORDER BY 1, 2}),
	'declines by their codes, however else it is divided');
is(sql("SELECT count(DISTINCT key) > 1 FROM pgw.payment_statistics($range), jsonb_each(declines)"), 't', 'of several codes');
is(sql("SELECT bool_and(approval_rate = round(approved::numeric / (approved + declined), 4)) FROM pgw.payment_statistics($range)"), 't', 'the rate of approvals is of those decided');
is(sql("SELECT sum(payments), count(DISTINCT bucket_start) > 1, min(bucket_start) >= '$from', max(bucket_start) < '$to' FROM pgw.payment_statistics($range, '1 ms')"), '300|t|t|t', 'buckets hold each payment once');
is(sql("SELECT sum(payments) FROM pgw.payment_statistics('$to', timestamptz '$to' + interval '1 day')"), '', 'outside of the range there is none');
is(sql("SELECT count(*), sum((outcome = 'declined')::int) FROM pgw.payment_facts"), sql("SELECT count(*), sum((status = 'declined')::int) FROM pgw.payments"), 'payment_facts has a row for each payment');

is(sql("SELECT sum(n) FROM pgw.payment_step_times($range)"), sql('SELECT count(*) FROM pgw.transaction_events WHERE step_order > 1'), 'each step is timed');
is(sql("SELECT bank, n, round(p50_ms::numeric, 2) FROM pgw.payment_step_times($range) WHERE kind = 'payment' AND step = 'BankProcessingStarted' AND next_step = 'BankProcessingCompleted'"),
	sql(q{SELECT 'test', count(*), round((1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM b.occurred_at - a.occurred_at)::float8))::numeric, 2) FROM pgw.transaction_events a
		JOIN pgw.transaction_events b ON b.transaction_id = a.transaction_id AND b.step_order = a.step_order + 1 JOIN pgw.payment_transactions t ON t.transaction_id = a.transaction_id
		WHERE t.kind = 'payment' AND a.event_type = 'BankProcessingStarted' AND b.event_type = 'BankProcessingCompleted'}), 'the median is that of the events');

# ---------------------------------------------------------------- who may

is(as('aud', "SELECT sum(payments) FROM pgw.payment_statistics($range)"), 300, 'an auditor of all merchants gets the figures of all');
is(as('shopaud', "SELECT string_agg(DISTINCT merchant, ' '), sum(payments) FROM pgw.payment_statistics($range, by => '{merchant}')"), 'shop|' . sql("SELECT count(*) FROM pgw.payments WHERE merchant = 'shop'"), 'one of a merchant his');
is(as('shopaud', 'SELECT DISTINCT merchant FROM pgw.payment_facts'), 'shop', 'and his rows');
is(as('shopaud', "SELECT sum(n) FROM pgw.payment_step_times($range)"), sql("SELECT count(*) FROM pgw.transaction_events JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.merchant = 'shop' AND transaction_events.step_order > 1"), 'and times of his');
like(as('cli', "SELECT * FROM pgw.payment_statistics($range)"), qr/permission denied/, 'a client none');
like(as('cli', 'SELECT * FROM pgw.payment_facts'), qr/permission denied/, 'by no way');
like(as('aud', "SELECT * FROM pgw.payment_statistics('$to', '$from', '1 month', '{weather}')"), qr/"until".*"bucket".*"by"/s, 'wrong arguments are named, all of them');
like(as('aud', "SELECT * FROM pgw.payment_statistics('-infinity', 'infinity', '200000000 days')"), qr/"since".*"until".*"bucket".*HINT/s, 'also what is no point in time, or longer than any');

# ---------------------------------------------------------------- plans

sub plans
{
	my ($statement) = @_;
	my (undef, undef, $err) = $node->psql('postgres', "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on; SET client_min_messages = log; $statement");
	return $err;
}
sql('ANALYZE');
for ([ 'payment_statistics', 'payments_pkey' ], [ 'payment_step_times', 'payment_transactions_pkey' ])
{
	my ($function, $index) = @$_;
	my $plan = plans("SELECT count(*) FROM pgw.$function($range)");
	like($plan, qr/Index Scan (using|on) $index .*\n\s+Index Cond: \(\(\w+ >= /, "$function reads a range of an index");
	unlike($plan, qr/Seq Scan on (payments|payment_transactions|transaction_events)/, 'and no table from end to end');
}
like(sql("EXPLAIN SELECT * FROM pgw.payment_facts WHERE payment_id >= pgw.first_id('2100-01-01')"), qr/Index Scan (using|on) payments_pkey .*\n\s+Index Cond: \(payment_id >= /, 'a range of payment_facts, too');

done_testing();
