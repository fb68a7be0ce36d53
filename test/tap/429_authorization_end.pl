# The end of an authorization that somebody watches: while a capture of it is open nobody asks the bank, as no answer could end it, and the look comes ever later; and what was put off
# is so no longer once there is nothing to look at.
use strict;
use warnings;
use lib 'test/lib';
use PgwOperations;
use PgwTest;
use Test::More;

my ($node, $bank) = operations_cluster('authorization_end', debug => 1);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub column { return sql("SELECT $_[1] FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }

# Its lifetime, a week, was over a day ago.
sub lapse { sql("UPDATE pgw.payment_transactions SET bank_asked_at = now() - interval '8 days', next_step_at = now() WHERE client_request_id = '$_[0]'"); sql('SELECT pgw.run_recovery()'); return }

part($node, 'a capture is open', sub {
	pay($node, 'open', capture => 'manual');
	bank_control($bank, 'settings', { accepts => ['capture'] });
	request_operation($node, capture => 'open', 'open-c', 300);
	ok(wait_until(sub { column('open-c', 'status') eq 'BankUnknown' }, 60), 'the bank has it pending');
	lapse('open');
	ok(wait_until(sub { column('open', "next_step_at > now() + interval '50 min'") eq 't' }, 60), 'a day after the end it is looked at each hour') or diag(column('open', 'next_step_at - now()'));
	is(column('open', 'step_tries'), 0, 'and the bank was not asked');
	sql("UPDATE pgw.payment_transactions SET bank_asked_at = now() - interval '7 days 10 s', next_step_at = now() WHERE client_request_id = 'open'");
	sql('SELECT pgw.run_recovery()');
	ok(wait_until(sub { column('open', "next_step_at BETWEEN now() + interval '30 s' AND now() + interval '70 s'") eq 't' }, 60), 'right after the end, each minute') or diag(column('open', 'next_step_at - now()'));
	is(sql("SELECT status FROM pgw.payments WHERE client_request_id = 'open'"), 'authorized', 'it holds');
	bank_control($bank, 'settle', { reference => column('open-c', "replace(transaction_id::text, '-', '')"), to => 'succeeded' });
	ok(wait_until(sub { column('open-c', 'status') eq 'Completed' }, 60), 'until the capture is done');
	bank_control($bank, 'settings', { accepts => [] });
	lapse('open');
	is(how_payment_stands($node, 'open'), 'captured 300/0/0', 'what is captured stays');
	ok(wait_until(sub { column('open', 'next_step_at IS NULL') eq 't' }, 60), 'and nobody looks any more');
});

part($node, 'put off, and nothing to look at', sub {
	sql("ALTER SYSTEM SET pgw.retry_base_delay = '1h'; ALTER SYSTEM SET pgw.retry_max_delay = '2h'; SELECT pg_reload_conf()");
	pay($node, 'off', capture => 'manual');
	my $secret = $node->basedir . '/secrets/bank';
	rename $secret, "$secret.away" or die $!;
	sql('SELECT pg_reload_conf()');
	lapse('off');
	ok(wait_until(sub { column('off', 'put_off_reason') eq 'secret_missing' }, 60), 'its bank cannot be asked');
	rename "$secret.away", $secret or die $!;
	sql('SELECT pg_reload_conf()');
	request_operation($node, void => 'off', 'off-v');
	is(how_payment_stands($node, 'off'), 'voided 0/0/0', 'it is voided');
	is(column('off', 'put_off_since IS NOT NULL'), 't', 'the next look is later');
	sql("UPDATE pgw.payment_transactions SET next_step_at = now() WHERE client_request_id = 'off'");
	sql('SELECT pgw.run_recovery()');
	ok(wait_until(sub { column('off', 'next_step_at IS NULL') eq 't' }, 60), 'which finds nothing to look at');
	is(column('off', 'put_off_since IS NULL AND put_off_reason IS NULL'), 't', 'it is put off no longer');
});
is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'sound');

$node->stop('fast');
done_testing();
