# One payment's trouble is its own, and one bank's: what one payment meets again and again does not close the bank to the others, and who is sent to the
# next bank waits there like everybody else.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('own_trouble', debug => 1, conf => "fsync = off\npgw.breaker_failures = 3\npgw.breaker_cooldown = '600s'\npgw.retry_base_delay = '50ms'\npgw.retry_max_delay = '100ms'\n"
	  . "pgw.retry_budget = 100\n");
my ($bank, $second) = map { bank_start() } 1 .. 2;
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub pay
{
	my ($id, %a) = @_;
	return 'SELECT status, error_code, http_status, bank FROM ' . pay_sql('process_payment', client_request_id => $id, %a);
}

sub requests_of { my ($b, $op) = @_; return bank_ledger($b)->{requests_by_operation}{$op} // 0 }

# The connector without its look-up: all that is left is to ask again with the key.  Version 1 alone leaves open what becomes of errors.
sub add_connector
{
	my ($name, $version, $replays_errors) = @_;
	sql("INSERT INTO pgw.connectors (name, definition) SELECT '$name', jsonb_set(CASE $version WHEN 1 THEN regexp_replace((definition::jsonb #- '{operations,ping}' #- '{notifications}' #- '{headers,traceparent}' #- '{headers,tracestate}')::text, ',\\s*\"livemode\":\\s*\"/livemode\"', '', 'g')::jsonb ELSE definition::jsonb END || '{\"v\": $version}' #- '{operations,ping}' #- '{operations,lookup_charge}' #- '{operations,lookup_refund}' #- '{capabilities,lookup_consistent_after_seconds}',
			'{capabilities,idempotency,replays_errors}', '$replays_errors') FROM pgw.connectors WHERE name = 'json';
		INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('$name', '$name', '$bank->{url}', 'bank', 1000)");
}

part($node, 'stored error', sub {
	add_connector('repeats', 1, 'false');
	is(sql(pay('before', bank => 'repeats')), 'captured||201|repeats', 'a bank that is well');
	my $asked = requests_of($bank, 'charge');
	is(sql(pay('stored', bank => 'repeats', token => 'tok_500_after', timeout => '1s')) =~ s/\|.*//sr, 'pending', 'one payment whose error the bank has stored under its key');
	ok(wait_until(sub { requests_of($bank, 'charge') >= $asked + 8 }, 60), 'it is asked for again and again');
	is(sql(pay('other', bank => 'repeats')), 'captured||201|repeats', 'which closes the bank to nobody else');
	is(sql("SELECT count(*) FROM pgw.alerts WHERE kind = 'breaker_open'"), 0, 'there is no alert');
	is(status_of($node, 'stored'), 'BankUnknown', 'it is still in doubt');

	add_connector('tells', 2, 'true');
	is(sql(pay('told', bank => 'tells', token => 'tok_500_after', timeout => '20s')) =~ s/\|.*//sr, 'in_review', 'where the bank says that it repeats its errors, a person has to look');
	is(events($node, 'told'), 'TransactionStarted,BankProcessingStarted,BankOutcomeUnknown,ManualReviewRequired', 'and it is not sent a second time');
});

part($node, 'fail-over', sub {
	sql("UPDATE pgw.banks SET token_scope = 'vault', priority = 1 WHERE name = 'bank';
		INSERT INTO pgw.banks (name, connector, base_url, secret, priority, token_scope, max_in_flight) VALUES ('second', 'json', '$second->{url}', 'bank', 2, 'vault', 1)");
	bank_control($bank, 'faults', { probabilities => { 503 => 1 }, operations => ['charge'] });
	sql(pay("opens$_", bank => 'bank', timeout => '1s')) for 1 .. 6;
	ok(wait_until(sub { sql("SELECT state FROM pgw.bank_states WHERE bank = 'bank' AND operation_group = 'charges'") eq 'open' }, 30), 'the first bank is left alone');
	bank_control($second, 'faults', { delay_ms => 300 });
	my @calls = map { psql_start($node, pay("over$_", timeout => '60s')) } 1 .. 4;
	$_->{h}->finish for @calls;
	is(join(' ', map { $_->{out} =~ s/\n//r } @calls), join(' ', ('captured||201|second') x 4), 'four at once go to the next bank, which takes one at a time: they wait for it');

	bank_control($second, 'faults', { delay_ms => 3000 });
	my $holds = psql_start($node, pay('holds', timeout => '60s'));
	ok(wait_until(sub { status_of($node, 'holds') eq 'Created' }, 20), 'its place is taken for three seconds');
	my ($rc, $out, $err) = $node->psql('postgres', pay('no time', timeout => '500ms'));
	like($err, qr/Nothing was sent/, 'who has no time for that hears so when it is over');
	is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'no time'"), 0, 'and nothing has happened');
	$holds->{h}->finish;
	like($holds->{out}, qr/^captured/, 'the other is paid');
});

$node->stop('fast');
done_testing();
