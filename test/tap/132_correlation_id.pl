# One correlation id leads from the call to the bank's requests, the log and the events.
use strict;
use warnings;
use lib 'test/lib';
use PgwMonitoring;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use JSON::PP;
use Test::More;

my ($node, $bank) = monitored_node('correlation');

sub sql { return $node->safe_psql('postgres', $_[0]) }

part($node, 'correlation', sub {
	my $seen = -s $node->logfile;
	my $id = sql('SELECT correlation_id FROM ' . pay_sql('process_payment', client_request_id => 'traced', token => 'tok_500_after', timeout => '10s'));
	like($id, qr/^[0-9a-f]{8}-/, 'the caller is told a correlation id');
	wait_rest($node, $bank);
	my $ref = sql("SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE client_request_id = 'traced'");
	my @calls = grep { ($_->{correlation_id} // '') eq $id } @{ bank_log($bank, 10000) };
	cmp_ok(scalar @calls, '>=', 2, 'the charge and its look-up carry it to the bank');
	is(sql("SELECT string_agg(DISTINCT event_data->>'correlation_id', ',') FROM pgw.events_in_full e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE t.client_request_id = 'traced'"), $id, 'every event carries it, and no other');
	like(slurp_file($node->logfile, $seen), qr/LOG:.*answer was not understood.*\n.*DETAIL:.*correlation id \Q$id\E/, "the log's line about the failing call carries it");
	my $others = PgwSession->new($node);
	for my $token ('tok_ok', 'tok_decline_do_not_honor')
	{
		$others->query('SELECT ' . pay_sql($_, client_request_id => "$_ $token", token => $token)) for 'process_payment', 'submit_payment';
	}
	$others->query('BEGIN; SELECT ' . pay_sql('process_payment', client_request_id => 'given back') . '; ROLLBACK');
	is(sql('SELECT count(*) FROM pgw.payment_transactions'), 6, 'other attempts beside it');
	is(sql("SELECT count(DISTINCT correlation_id) FROM pgw.payment_transactions"), sql('SELECT count(*) FROM pgw.payment_transactions'), 'every attempt has its own');
});

# With the server's log as JSON, by the pattern of docs/monitoring.md.
part($node, 'a log that programs read', sub {
	change_settings($node, log_destination => 'jsonlog', logging_collector => 'on');
	$node->restart;
	my ($pattern) = slurp_file('docs/monitoring.md') =~ /\| regexp `([^`]+)`/ or die 'the page has no pattern';
	$pattern =~ s/\(\?P</(?</g;
	my $id = sql('SELECT correlation_id FROM ' . pay_sql('process_payment', client_request_id => 'as json', token => 'tok_500_after', timeout => '10s'));
	my $logs = sql("SELECT current_setting('data_directory') || '/' || current_setting('log_directory')");
	my ($line) = ();
	ok(wait_until(sub { ($line) = grep { $_->{message} =~ /^pgw: .*not understood/ } map { eval { decode_json($_) } // () } map { split /\n/, slurp_file($_) } glob "$logs/*.json"; $line }, 20), 'a line of it');
	like($line->{detail}, qr/$pattern/, 'has the pattern');
	$line->{detail} =~ /$pattern/;
	is($+{correlation_id}, $id, 'and by it the id');
});

wait_rest($node, $bank);
is_reconciled($node, $bank);
$node->stop('fast');
done_testing();
