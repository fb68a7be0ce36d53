# The log of a server whose bank is down: lines that programs can read, so many a minute and no more, with the cause and how many were left out; what
# needs a person is in the events and in pgw.alerts, whatever the log leaves out.
use strict;
use warnings;
use lib 'test/lib';
use IO::Socket::INET;
use JSON::PP;
use List::Util qw(sum0);
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $A_MINUTE = 10;    # as src/core/pacing/line_rate.h has it
my $node = pgw_node('log_lines', debug => 1, conf => "fsync = off\npgw.compensation_delay = '10ms'\npgw.refund_max_attempts = 1\npgw.retry_base_delay = '50ms'\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my $closed = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('gone', 'json', 'http://127.0.0.1:$closed', 'bank', 1000)");
my $uuid = qr/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

# The lines of this kind since then: how many, and how many more they tell of.
sub lines
{
	my ($seen, $what) = @_;
	my $log = slurp_file($node->logfile, $seen);
	my @entries = grep { /^[^\n]*(?:LOG|WARNING): +pgw: $what/ } split /^(?=.*(?:LOG|WARNING|ERROR): )/m, $log;
	return (scalar @entries, sum0(map { /CONTEXT:.*?(\d+) more like it/ ? $1 : () } @entries), \@entries);
}

sub calls { return sql(q{SELECT coalesce(sum(value), 0) FROM pgw.metrics WHERE name = 'pgw_bank_calls_total' AND labels @> '{"bank": "gone", "result": "never_sent"}'}) }

# Forty payments at once that the bank cannot be reached for.
my $ids = 0;
sub fail_forty
{
	my @requests = map { { client_request_id => 'f' . $ids++, amount => 1, currency => 'EUR', token => 'tok_ok', bank => 'gone' } } 1 .. 40;
	return sql("SELECT count(*) FROM pgw.process_payments('" . encode_json(\@requests) . "', atomic => false, timeout => '300ms')");
}

part($node, 'a bank that is down for an hour', sub {
	my $seen = -s $node->logfile;
	my $began = time;
	is(fail_forty(), 40, 'forty payments');
	my ($n, $told, $entries) = lines($seen, 'bank call failed');
	my $calls = calls();
	cmp_ok($calls, '>=', 40, 'each was tried');
	cmp_ok($n, '>', 0, 'the log says so');
	cmp_ok($n, '<=', $A_MINUTE * (1 + int((time - $began) / 60)), 'so many lines a minute and no more');
	like($entries->[0], qr/bank call failed: .*(?:refused|connect)/i, 'they name the cause');
	like($entries->[0], qr/DETAIL:  correlation id $uuid, transaction $uuid, payment $uuid, bank "gone", never sent/, 'and what it is about');
	my ($correlation, $transaction, $payment) = $entries->[0] =~ /correlation id ($uuid), transaction ($uuid), payment ($uuid)/;
	is(sql("SELECT bank FROM pgw.payment_transactions WHERE (transaction_id, payment_id, correlation_id) = ('$transaction', '$payment', '$correlation')"), 'gone', 'by its ids');
	for my $tens (1 .. 3)
	{
		move_clock($node, 1200 * $tens);
		sql('SELECT * FROM pgw.run_recovery()');
		fail_forty();
	}
	sql('SELECT * FROM pgw.run_recovery()');
	my $before = calls();
	my ($n_before) = lines($seen, 'bank call failed');
	move_clock($node, 4300);
	sql('SELECT * FROM pgw.run_recovery()');
	fail_forty();
	($n, $told) = lines($seen, 'bank call failed');
	my $minutes = 5 + int((time - $began) / 60);
	cmp_ok($n, '<=', $A_MINUTE * $minutes, "$n lines of an hour");
	is($told + $n_before, $before, 'what was left out is counted');
	is(sql("SELECT count(DISTINCT t.transaction_id) FROM pgw.payment_transactions t JOIN pgw.transaction_events e USING (transaction_id) WHERE bank = 'gone' AND e.event_type <> 'TransactionStarted'"),
		$ids, 'and each payment has its story');
});

part($node, 'reviews', sub {
	my $seen = -s $node->logfile;
	my $began = time;
	my $caller = PgwSession->new($node);
	$caller->query('BEGIN; SELECT ' . pay_sql('process_payment', client_request_id => "r$_", token => 'tok_refund_fail') . '; ROLLBACK') for 1 .. 15;
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alerts WHERE kind = 'review_required'") == 15 }, 60), 'fifteen reviews are told of');
	is(sql('SELECT count(*) FROM pgw.manual_reviews'), 15, 'all of them wait for a person');
	is(sql("SELECT count(*) FROM pgw.transaction_events WHERE event_type = 'ManualReviewRequired'"), 15, 'and stand in the events');
	my ($n) = lines($seen, 'review_required');
	cmp_ok($n, '<=', $A_MINUTE * (1 + int((time - $began) / 60)), "$n of them in the log");
	cmp_ok($n, '>', 0, 'but not none');
});

part($node, 'what the database refuses', sub {
	my $seen = -s $node->logfile;
	my $began = time;
	sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused by a trigger'; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON pgw.payment_transactions FOR EACH ROW EXECUTE FUNCTION refuse()});
	fail_forty();
	sql('DROP TRIGGER refuse ON pgw.payment_transactions');
	my $log = slurp_file($node->logfile, $seen);
	my $n = () = $log =~ /pgw worker.*ERROR:.*refused by a trigger|ERROR:  refused by a trigger/g;
	cmp_ok($n, '>', 0, 'the error is in the log');
	cmp_ok($n, '<=', $A_MINUTE * (1 + int((time - $began) / 60)), '... so many times a minute and no more');
});

$node->stop('fast');
unlike(slurp_file($node->logfile), qr/CONTEXT:\s+0 more/, 'of none that were left out nothing is said');
done_testing();
