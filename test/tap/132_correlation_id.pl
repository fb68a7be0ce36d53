# One correlation id, and the caller's trace, lead from the call to the bank's requests, the log and the events.
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

my @ids = map { sprintf '%032x', 0xa000 + $_ } 0 .. 9;

sub trace { return "00-$ids[$_[0]]-00f067aa0ba902b7-01" }

sub traced_sql
{
	my ($which, $function, %args) = @_;
	return 'SELECT payment_id FROM ' . pay_sql($function, %args, options => encode_json({ traceparent => trace($which), tracestate => "shop=$which" }));
}

# Of an attempt: what the bank heard, each operation once, and what its first event tells.
sub is_traced
{
	my ($client_request_id, $which, @operations) = @_;
	wait_rest($node, $bank);
	my ($correlation, $told) = split /\|/, sql("SELECT correlation_id, string_agg(event_data->>'traceparent' || ' ' || (event_data->>'tracestate'), ',') FROM pgw.audit_events
		WHERE transaction_id = (SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = '$client_request_id') GROUP BY 1");
	my %seen;
	$seen{"$_->{operation} $_->{traceparent} $_->{tracestate}"}++ for grep { ($_->{correlation_id} // '') eq $correlation } @{ bank_log($bank, 10000) };
	is_deeply([ sort keys %seen ], [ sort map { "$_ " . trace($which) . " shop=$which" } @operations ], "$client_request_id: each request has it (@operations)");
	is($told, trace($which) . " shop=$which", '... its first event tells it, and no other');
}

part($node, 'the caller\'s trace', sub {
	sql(traced_sql(0, 'process_payment', client_request_id => 'charged'));
	is_traced('charged', 0, 'charge');
	sql(traced_sql(1, 'process_payment', client_request_id => 'in doubt', token => 'tok_500_after', timeout => '10s'));
	is_traced('in doubt', 1, 'charge', 'lookup');
	my $id = sql(traced_sql(2, 'submit_payment', client_request_id => 'submitted'));
	is_traced('submitted', 2, 'charge');
	my $caller = PgwSession->new($node);
	$caller->query('BEGIN; ' . traced_sql(3, 'process_payment', client_request_id => 'taken back') . '; ROLLBACK');
	is_traced('taken back', 3, 'charge', 'refund');
	sql(traced_sql(4, 'process_payment', client_request_id => 'held', capture => 'manual'));
	my $held = sql("SELECT payment_id FROM pgw.payments WHERE client_request_id = 'held'");
	sql("SELECT pgw.capture_payment('$held', 'capture', options => '" . encode_json({ traceparent => trace(5), tracestate => 'shop=5' }) . "')");
	is_traced('capture', 5, 'capture');
	is_traced('held', 4, 'authorize');
	sql("SELECT pgw.refund_payment('$id', 'refund', options => '" . encode_json({ traceparent => trace(6), tracestate => 'shop=6' }) . "')");
	is_traced('refund', 6, 'refund');
	sql("SELECT count(*) FROM pgw.process_payments('" . encode_json([ { client_request_id => 'bundled', amount => 1, currency => 'EUR', token => 'tok_ok', bank_fields => { descriptor => 'one of many' },
			options => { traceparent => trace(8), tracestate => 'shop=8' } } ]) . "')");
	is_traced('bundled', 8, 'charge');
	is(sql("SELECT bank_fields->>'descriptor' FROM pgw.payment_transactions WHERE client_request_id = 'bundled'"), 'one of many', 'beside what else the bank is told');
	is(sql(traced_sql(7, 'process_payment', client_request_id => 'in doubt', token => 'tok_500_after')), sql("SELECT payment_id FROM pgw.payments WHERE client_request_id = 'in doubt'"),
		'a repeated call from another trace is the same request');
	sql('SELECT ' . pay_sql('process_payment', client_request_id => 'of no trace'));
	is(scalar(grep { $_->{correlation_id} eq sql("SELECT correlation_id FROM pgw.payment_transactions WHERE client_request_id = 'of no trace'") && !defined $_->{traceparent} } @{ bank_log($bank, 10000) }),
		1, 'who gives none sends no such header');
});

part($node, 'cards in a trace', sub {
	my $own = "spelt('" . join('x', split //, '4111111111111111') . "')";
	my (undef, undef, $err) = $node->psql('postgres', "SELECT pgw.process_payment(client_request_id => 'own card', amount => 1234, currency => 'EUR', card_number => $own, card_expiry_month => 12,
		card_expiry_year => 2099, card_cvv => spelt('1x2x3'), options => jsonb_build_object('traceparent', '00-$ids[8]-' || $own || '-01'))");
	like($err, qr/"field":"options.traceparent","code":"card_number_in_stored_field"/, "the call's own number is refused");
	sql('SELECT ' . pay_sql('process_payment', client_request_id => 'other card', options => encode_json({ traceparent => '00-00000000000000005555555555554444-00f067aa0ba902b7-01' })));
	my ($correlation, $told) = split /\|/, sql("SELECT correlation_id, event_data->>'traceparent' FROM pgw.audit_events
		WHERE transaction_id = (SELECT transaction_id FROM pgw.payment_transactions WHERE client_request_id = 'other card') AND event_data ? 'traceparent'");
	is($told, '(not shown: it may hold card data)', 'what looks like another one is kept nowhere');
	is_deeply([ map { $_->{traceparent} } grep { ($_->{correlation_id} // '') eq $correlation } @{ bank_log($bank, 10000) } ], [undef], '... and not sent');
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
