# A bank is deleted, or does nothing, before anything was sent to it: the payment waits for one of that name, and not for ever, or goes to another bank.
use strict;
use warnings;
use lib 'test/lib';
use PgwLedgers;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $ledgers = PgwLedgers->new('never_sent');
my ($node, $new) = @$ledgers{qw(node new)};

# Submitted, and the bank is deleted before it was sent: it waits for one of that name, and not for ever.
part($node, 'never sent', sub {
	$ledgers->add_bank('short');
	$ledgers->add_bank('shorter');
	my $submit = sub { my ($id, $of) = @_; 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, bank => $of) };
	is($ledgers->sql("BEGIN; " . $submit->('waits', 'short') . "; DELETE FROM pgw.banks WHERE name = 'short'; COMMIT"), 'pending', 'submitted for a bank that goes');
	ok(wait_until(sub { slurp_file($node->logfile) =~ /an attempt cannot go on now: unknown_bank\n.*bank "short"/ }, 20), 'it waits');
	$ledgers->add_bank('short');
	ok(wait_until(sub { $ledgers->sql('SELECT pgw.run_recovery()'); $ledgers->payment_status('waits') eq 'captured' || do { $ledgers->sql("UPDATE pgw.payment_transactions SET next_step_at = now() WHERE client_request_id = 'waits' AND NOT live"); 0 } }, 30),
		'until there is one of that name');
	change_settings($node, 'pgw.unknown_deadline' => '1s');
	is($ledgers->sql("BEGIN; " . $submit->('fails', 'shorter') . "; DELETE FROM pgw.banks WHERE name = 'shorter'; COMMIT"), 'pending', 'another');
	ok(wait_until(sub { $ledgers->sql("UPDATE pgw.payment_transactions SET next_step_at = now() WHERE client_request_id = 'fails' AND NOT live"); $ledgers->sql('SELECT pgw.run_recovery()'); $ledgers->payment_status('fails') eq 'failed' }, 30),
		'or until the deadline');
	is($ledgers->charge_counts('fails'), '0 0', 'never sent');
	change_settings($node, 'pgw.unknown_deadline' => undef);
});

# Another bank takes what the first one did nothing for: the intent names that one's version.
part($node, 'another bank', sub {
	$ledgers->add_bank('first', priority => 1, base_url => 'http://127.0.0.1:1', token_scope => 'both');
	$ledgers->add_bank('second', priority => 2, base_url => $new->{url}, token_scope => 'both');
	is($ledgers->paid('switched'), 'captured', 'paid at the second bank');
	is($ledgers->charge_counts('switched'), '0 1', 'by one charge');
	is($ledgers->sql("SELECT v.bank FROM pgw.payment_transactions t JOIN pgw.bank_versions v ON v.version = t.bank_version WHERE t.client_request_id = 'switched'"), 'second', 'under its version');
	$ledgers->sql("DELETE FROM pgw.banks WHERE name IN ('first', 'second')");
});

$node->stop('fast');
done_testing();
