# A bank did nothing, and the original has gone on to the next one, which a restored copy would not think of: it does not charge, but asks for a person.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwRestore;
use PgwTest;
use Test::More;

my $bank = bank_start();
my $origin = scanning_node('origin');
pgw_setup($origin, $bank);

my $second_bank = bank_start();
$origin->safe_psql('postgres', 'CREATE DATABASE two');
$origin->safe_psql('two', "CREATE EXTENSION pgw; INSERT INTO pgw.banks (name, connector, base_url, secret, priority, token_scope) VALUES
	('bank', 'json', '$bank->{url}', 'bank', 10, 'vault'), ('second', 'json', '$second_bank->{url}', 'bank', 20, 'vault')");
ok(wait_worker($origin, 'two'), 'two banks for the same tokens');
set_worker_mode($origin, 'paused');
$origin->safe_psql('two', 'SELECT ' . pay_sql('submit_payment', client_request_id => $_)) for 'switched', 'stayed';
my $two = dump_to($origin, 'two', $origin->basedir . '/two');
$origin->safe_psql('two', "UPDATE pgw.payment_transactions SET next_step_at = 'infinity' WHERE client_request_id = 'stayed'");
bank_control($bank, 'settings', { down => JSON::PP::true });
set_worker_mode($origin, 'on');
comes_to_state($origin, 'two', 'switched', 'Completed', 'two banks: the original pays');
is($origin->safe_psql('two', "SELECT bank FROM pgw.find_payment('switched')"), 'second', 'two banks: at the second one');
bank_control($bank, 'settings', { down => JSON::PP::false });
$origin->safe_psql('two', "UPDATE pgw.payment_transactions SET next_step_at = now() WHERE client_request_id = 'stayed'");
comes_to_state($origin, 'two', 'stayed', 'Completed', 'two banks: and another payment');
is($origin->safe_psql('two', "SELECT bank FROM pgw.find_payment('stayed')"), 'bank', 'two banks: at the first one');
$origin->safe_psql('postgres', 'CREATE DATABASE two_restored');
restore_into($origin, 'two_restored', $two);
is($origin->safe_psql('two_restored', 'SELECT pgw.resume_after_restore()'), 2, 'two banks, restored: resumed');
comes_to_state($origin, 'two_restored', 'switched', 'RequiresManualReview', 'two banks, restored: what the first bank does not know may be at the second');
is($origin->safe_psql('two_restored', "SELECT p.status, e.event_data ->> 'reason' FROM pgw.find_payment('switched') p JOIN pgw.transaction_events e USING (transaction_id)
	WHERE e.event_type = 'ManualReviewRequired'"), 'in_review|maybe_at_another_bank', 'two banks, restored: and says so');
comes_to_state($origin, 'two_restored', 'stayed', 'Completed', 'two banks, restored: what it knows is done');
is(scalar(grep { $_->{status} eq 'approved' && $_->{reference} eq $origin->safe_psql('two', "SELECT replace(transaction_id::text, '-', '') FROM pgw.find_payment('switched')") }
	map { @{ bank_ledger($_)->{charges} } } $bank, $second_bank), 1, 'two banks, restored: one charge at both of them');
$origin->safe_psql('postgres', "DROP DATABASE $_") for 'two', 'two_restored';

charged_once_each($_) for $bank, $second_bank;
$origin->stop('fast');
done_testing();
