# CREATE EXTENSION and changes of the configuration in a transaction that is PREPAREd: nothing of them is seen before COMMIT PREPARED, and at once
# afterwards, by sessions that are open, by the worker and by the launcher, whoever commits it and also after a restart.
use strict;
use warnings;
use lib 'test/lib';
use PgwSession;
use PgwTest;
use Test::More;

my $bank = bank_start();
my $node = pgw_node('prepared', conf => "fsync = off\n");
pgw_setup($node, $bank);
my $add = sub { my ($name) = @_; return "INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('$name', 'json', 'http://127.0.0.1:$bank->{port}', 'bank', 200)" };
my $pay = sub { my ($id, $at) = @_; return 'SELECT status, bank FROM ' . pay_sql('process_payment', client_request_id => $id, bank => $at) };
my $payer = PgwSession->new($node);
is($payer->query($pay->('first', 'bank')), 'captured|bank', 'a session that knows the configuration');

part($node, 'a bank', sub {
	my $admin = PgwSession->new($node);
	$admin->query($_) for 'BEGIN', $add->('second'), "PREPARE TRANSACTION 'second'";
	for my $s ([ $payer, 'another session' ], [ $admin, 'the session that has prepared it' ])
	{
		$s->[0]->run($pay->('too early', 'second'));
		is($s->[0]->state, 'PW422', "prepared: $s->[1] does not see it");
	}
	$node->safe_psql('postgres', "COMMIT PREPARED 'second'");
	is($payer->query($pay->('second', 'second')), 'captured|second', 'committed: another session and the worker see it at once');
	is($admin->query($pay->('second again', 'second')), 'captured|second', '... and the session that has prepared it');

	$admin->query($_) for 'BEGIN', $add->('third'), "PREPARE TRANSACTION 'third'", "ROLLBACK PREPARED 'third'";
	$_->run($pay->('third', 'third')) for $payer, $admin;
	is($payer->state . $admin->state, 'PW422PW422', 'rolled back: nobody sees it');

	$admin->query($_) for 'BEGIN', "UPDATE pgw.banks SET enabled = false WHERE name = 'second'", "PREPARE TRANSACTION 'off'";
	$node->restart;
	ok(wait_worker($node), 'a restart in between');
	$payer = PgwSession->new($node);
	is($payer->query($pay->('still on', 'second')), 'captured|second', 'prepared before a restart: not yet');
	$node->safe_psql('postgres', "COMMIT PREPARED 'off'");
	$payer->run($pay->('off', 'second'));
	like($payer->err, qr/"code": "bank_disabled"/, '... then at once');
});

part($node, 'the extension', sub {
	$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(prepared later);
	$node->safe_psql('prepared', "BEGIN; CREATE EXTENSION pgw; " . $add->('bank') . "; PREPARE TRANSACTION 'extension'");
	$node->restart;
	# the launcher has looked at all databases once it has found one that comes after them
	$node->safe_psql('later', 'CREATE EXTENSION pgw');
	ok(wait_worker($node, 'later'), 'the launcher has looked at the databases');
	is($node->safe_psql('prepared', "SELECT count(*) FROM pg_extension WHERE extname = 'pgw'"), 0, 'prepared: there is no extension');
	$node->safe_psql('prepared', "COMMIT PREPARED 'extension'");
	ok(wait_worker($node, 'prepared'), 'committed: the launcher hears of it, and there is a worker');
	is($node->safe_psql('prepared', $pay->('paid', 'bank')), 'captured|bank', '... which pays at the bank that came with it');
	is($node->safe_psql('prepared', "SELECT count(*) > 1 FROM pg_inherits WHERE inhparent = 'pgw.transaction_events'::regclass"), 't', '... with partitions');
});

done_testing();
