# Nothing is done for a slot that is not at home: no row, no request, whatever the function; ids carry their slot from the first payment on; and
# neither a race with a claim, nor another name, nor a copy makes a home of two.
use strict;
use warnings;
use lib 'test/lib';
use PgwCopies qw(cold_copy cluster_from);
use PgwSession;
use PgwShards;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $bank = bank_start();
my $a = shard_node('a', $bank, conf => "restart_after_crash = on\nfsync = off\npgw.bank_shards = 2\n");
my $b = shard_node('b', $bank, conf => "fsync = off\n");
my $health = sub {
	my ($node, $what) = @_;
	return $node->safe_psql('postgres', "SELECT concat_ws('|', status, details->>'$what') FROM pgw.health() WHERE check_name = 'shard'");
};
# Also for a part that runs alone; once it is done it changes nothing.
my $share_out = sub {
	claim_slots($a, '{[0,1023]}', "'at first'");
	claim_slots($b, '{[512,1022]}');
	$b->safe_psql('postgres', "INSERT INTO pgw.shard_slots (slot, shard, state) SELECT s, 'a', 'elsewhere' FROM generate_series(0, 99) s ON CONFLICT DO NOTHING");
};

part($a, 'ids', sub {
	is($a->safe_psql('postgres', "SELECT pgw.slot_of('order-4711'), pgw.slot_of('s17.x'), pgw.slot_of('Bestellung 7 é'), pgw.new_request_id(17, 'order-4711'), pgw.slot_of(pgw.new_request_id(1023, 's5.'))"),
		'92|17|524|s17.order-4711|1023', 'slots of requests');
	my ($rc, $out, $err) = $a->psql('postgres', "SELECT pgw.new_request_id(1024, '')");
	like($err, qr/"field": "slot", "code": "out_of_range".*"field": "own", "code": "required"/, 'what names no slot');
	is($health->($a, 'sharded'), 'warning|false', 'a server with the name of a shard, and no slot is claimed: every call would be taken');
	# before there are any, all ids have their slots
	$a->safe_psql('postgres', 'SELECT ' . pay_sql($_->[0], client_request_id => $_->[1], capture => $_->[2])) for [ 'process_payment', 'order-4711', 'immediate' ],
	  [ 'process_payment', 's1023.first', 'manual' ], [ 'submit_payment', 's0.first', 'immediate' ];
	$a->safe_psql('postgres', "SELECT f.status FROM pgw.find_payment('order-4711') p, pgw.refund_payment(p.payment_id, 'refund', 5) f");
	$a->safe_psql('postgres', "SELECT f.status FROM pgw.find_payment('s1023.first') p, pgw.capture_payment(p.payment_id, 'capture') f");
	ok(is_sound($a, $bank, 'three payments, a refund and a capture'), 'at rest');
	is($a->safe_psql('postgres', "SELECT string_agg(DISTINCT format('%s %s', p.client_request_id, pgw.slot_of_id(p.payment_id)), ', ' ORDER BY format('%s %s', p.client_request_id, pgw.slot_of_id(p.payment_id))), count(*),
		bool_and(pgw.slot_of_id(t.transaction_id) = pgw.slot_of_id(p.payment_id)) FROM pgw.payments p JOIN pgw.payment_transactions t USING (payment_id)"),
		'order-4711 92, s0.first 0, s1023.first 1023|5|t', 'payments and their attempts have their slots in their ids');
});

part($a, 'claims', sub {
	my $refused = sub {
		my ($node, $sql, $why, $name) = @_;
		my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
		like($err, $why, $name);
	};
	$refused->($a, "SELECT pgw.claim_slots('{[0,500]}')", qr/PW422: this database has payments in slots.*"slots" *: *"\{\[1023,1024\)\}".*HINT/s, 'slots that have payments are not left out');
	$refused->($a, "INSERT INTO pgw.shard_slots (slot, shard) SELECT s, 'b' FROM generate_series(0, 1023) s", qr/PW422: slots of payments that were made in this database cannot/, 'nor are they told to be another shard\'s');
	$refused->($a, "SELECT pgw.claim_slots('{[0,1024]}')", qr/PW400/, 'there are 1024 slots');
	is(claim_slots($a, '{[0,1023]}', "'at first'"), 1024, 'all are claimed');
	is(claim_slots($a, '{[0,1023]}'), 0, 'once');
	is($health->($a, 'at_home'), 'ok|{[0,1024)}', 'health() has them');
	is(claim_slots($b, '{[512,1022]}'), 511, 'slots of another');
	like($health->($b, 'bank_shards'), qr/^warning\|1$/, 'of how many shards a bank is called nobody has said: health() says so');
	for my $n (1, 2) { change_settings($b, 'pgw.bank_shards' => $n); is($health->($b, 'bank_shards'), "ok|$n", "... until somebody does: $n"); }
	$share_out->();
	$refused->($b, "SELECT pgw.claim_slots('{[99,99]}')", qr/PW422.*"slot": 99, "shard": "a", "state": "elsewhere".*HINT:  .*destroyed/s, 'not what another has');
	$refused->($b, "SELECT pgw.claim_slots('{[99,99]}', lost_shard => 'a')", qr/PW400.*"field": "note", "code": "required"/s, 'without a word on how one knows that it is lost');
	$refused->($a, $_, qr/PW422/, $_) for "DELETE FROM pgw.shard_slots WHERE slot = 1", "UPDATE pgw.shard_slots SET shard = 'b' WHERE slot = 1", 'TRUNCATE pgw.shard_slots',
	  "SET session_replication_role = replica; DELETE FROM pgw.shard_slots", "INSERT INTO pgw.shard_slots VALUES (1, 'b') ON CONFLICT (slot) DO UPDATE SET shard = 'b'";
	is($a->safe_psql('postgres', "SELECT action, slots, from_shard, to_shard, note, actor ? 'session_user' FROM pgw.slot_changes ORDER BY recorded_at LIMIT 1"), 'claimed|{[0,1024)}||a|at first|t', 'who claimed what, and why');
});

part($b, 'misrouted', sub {
	$share_out->();
	# of a, at b: one that b knows of, and one that nobody has told it
	my $payment = $a->safe_psql('postgres', 'SELECT payment_id FROM ' . pay_sql('process_payment', client_request_id => 's7.at-a', capture => 'manual'));
	my $unknown = $a->safe_psql('postgres', 'SELECT payment_id FROM ' . pay_sql('process_payment', client_request_id => 's400.at-a'));
	my %calls = calls_of_clients($b, 's7.at-a', $payment);
	my %unknown = calls_of_clients($b, 's400.at-a', $unknown);
	my $before = written_and_asked($b, $bank);
	is_misrouted($b, $calls{$_}, 7, 'a', $_) for sort keys %calls;
	is_misrouted($b, $unknown{$_}, 400, undef, "$_, by whoever has it") for sort keys %unknown;
	is_misrouted($b, "SELECT pgw.resolve_review('$payment', 'retry', 'n')", 7, 'a', 'resolve_review');
	is_misrouted($b, q{SELECT status FROM pgw.process_payments('[{"client_request_id": "s600.x", "amount": 5, "currency": "EUR", "token": "tok_ok"}, {"client_request_id": "s7.at-a", "amount": 5, "currency": "EUR", "token": "tok_ok"}]')},
		7, 'a', 'one of several: none is made');
	is(written_and_asked($b, $bank), $before, 'misrouted calls wrote no row, and the bank was asked nothing');
	is($b->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', status, error_code, http_status, retryable), ', ' ORDER BY ordinal) FROM pgw.process_payments('[{"client_request_id": "s600.x", "amount": 5, "currency": "EUR", "token": "tok_ok"},
		{"client_request_id": "s7.at-a", "amount": 5, "currency": "EUR", "token": "tok_ok"}]', atomic => false)}), 'captured 201 f, wrong_shard 421 f', 'each by itself: the one that is at home is made');
	is($b->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 's512.own')), 'captured', 'what is at home is paid');
	is($a->safe_psql('postgres', "SELECT replayed FROM " . pay_sql('process_payment', client_request_id => 's7.at-a', capture => 'manual')), 't', 'and replayed where it is');
});

# A router's own database, a report's: it is told that it has nothing, and that is as it should be.
part($b, 'home of nothing', sub {
	$b->safe_psql('postgres', 'CREATE DATABASE router');
	pgw_setup($b, $bank, db => 'router');
	my $status = sub { return $b->safe_psql('router', "SELECT status FROM pgw.health() WHERE check_name = 'shard'") };
	$b->safe_psql('router', "INSERT INTO pgw.shard_slots (slot, shard, state) SELECT s, 'a', 'elsewhere' FROM generate_series(0, 1022) s");
	is($status->(), 'error', 'one slot is nobody\'s, as far as is known here: an error');
	ok($b->poll_query_until('router', "SELECT details->>'state' = 'paused' AND status = 'ok' FROM pgw.health() WHERE check_name = 'worker'"), '... that its worker pauses is none of its own');
	$b->safe_psql('router', "INSERT INTO pgw.shard_slots (slot, shard, state) VALUES (1023, 'c', 'elsewhere')");
	change_settings($b, 'pgw.bank_shards' => undef);
	is($status->(), 'ok', 'each is told to be elsewhere: nothing is wrong, and it takes no part of a bank');
	my $asked = bank_ledger($bank)->{requests};
	my ($rc, $out, $err) = $b->psql('router', "\\set VERBOSITY verbose\nSELECT " . pay_sql('process_payment', client_request_id => 's1023.x'));
	like($err, qr/PW421.*"slot": 1023, "shard": "c"/s, '... and every call is refused');
	is(bank_ledger($bank)->{requests}, $asked, '... before the bank is asked');
});

# Sharding is switched on while payments are under way that would not be at home then.
part($b, 'claimed meanwhile', sub {
	for my $db (qw(claimed_first paid_first)) { $b->safe_psql('postgres', "CREATE DATABASE $db"); pgw_setup($b, $bank, db => $db); }
	my $waits = sub {
		my ($s) = @_;
		return wait_until(sub { $b->safe_psql('postgres', 'SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ' . $s->backend) > 0 });
	};
	my ($claim, $pay) = map { PgwSession->new($b, db => 'claimed_first') } 1 .. 2;
	$claim->query('BEGIN');
	is($claim->query("SELECT pgw.claim_slots('{[600,600]}')"), 1, 'a claim in a database without payments');
	$pay->send('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 's700.x'));
	ok($waits->($pay), 'a payment that has found every slot at home waits for it');
	$claim->query('COMMIT');
	$pay->wait;
	is($pay->state, 'PW421', '... and finds that its slot is not');
	is($b->safe_psql('claimed_first', 'SELECT count(*) FROM pgw.payments'), 0, '... before it has written anything');

	($claim, $pay) = map { PgwSession->new($b, db => 'paid_first') } 1 .. 2;
	$pay->query('BEGIN');
	is($pay->query('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 's700.y')), 'captured', 'a payment that is not committed');
	$claim->send("SELECT pgw.claim_slots('{[600,600]}')");
	ok($waits->($claim), 'a claim that leaves its slot out waits for it');
	$pay->query('COMMIT');
	$claim->wait;
	is($claim->state, 'PW422', '... and is refused');
	is($b->safe_psql('paid_first', 'SELECT count(*) FROM pgw.shard_slots'), 0, '... as a whole');
	$b->safe_psql('paid_first', 'INSERT INTO pgw.restore_pending DEFAULT VALUES');
	my (undef, undef, $err) = $b->psql('paid_first', "\\set VERBOSITY verbose\nSELECT pgw.claim_slots('{[600,600]}')");
	like($err, qr/PW422/, '... also while a restore is under way');
});

# The server is started under another name, and gets one of the slots.
part($a, 'left alone', sub {
	$share_out->();
	change_settings($a, 'pgw.worker_mode' => 'paused');
	$a->safe_psql('postgres', "SELECT status FROM " . pay_sql('submit_payment', client_request_id => "s$_.left")) for 5, 6;
	my $asked = bank_ledger($bank)->{requests};
	$a->stop('fast');
	name_shard($a, 'z');
	$a->start;
	change_settings($a, 'pgw.worker_mode' => undef);
	ok(wait_until(sub { $a->safe_psql('postgres', 'SELECT ready, reason FROM pgw.health_summary()') =~ /^f\|not_home/ }), 'under another name nothing is at home: not ready');
	is_misrouted($a, 'SELECT ' . pay_sql('process_payment', client_request_id => 's5.left'), 5, 'a', 'under another name nothing is paid');
	like($a->safe_psql('postgres', "SELECT status, advice FROM pgw.health() WHERE check_name = 'shard'"), qr/^error\|No slot is at home/, 'under another name: health() says so');
	is(claim_slots($a, '{[5,5]}', "'it has burnt down'", "'a'"), 1, 'one slot is taken over');
	ok(comes_to($a, 's5.left', 'Completed'), 'the worker goes on with its attempt');
	$a->safe_psql('postgres', 'SELECT pgw.run_recovery()');
	is(status_of($a, 's6.left'), 'Created', 'and leaves the other one alone');
	is(bank_ledger($bank)->{requests} - $asked, 1, 'one request was sent');
	is($health->($a, 'attempts_left_alone'), 'error|1', 'what is left alone is told');
	$a->stop('fast');
	name_shard($a, 'a');
	$a->start;
	ok(comes_to($a, 's6.left', 'Completed'), 'it goes on where it is at home');
	is_misrouted($a, 'SELECT ' . pay_sql('process_payment', client_request_id => 's5.left'), 5, 'z', 'the slot that was taken over stays away');
	is($health->($a, 'at_home'), 'ok|{[0,5),[6,1024)}', 'health() has the rest');
	is($a->safe_psql('postgres', "SELECT action, slots, from_shard, to_shard, note FROM pgw.slot_changes ORDER BY recorded_at DESC LIMIT 1"), 'taken over|{[5,6)}|a|z|it has burnt down', 'and the word that was given is recorded');
});

part($a, 'copies', sub {
	my $folder = cold_copy($a, 'copied');
	my $copy = cluster_from('copy', $folder);
	name_shard($copy, undef);
	$copy->start;
	$copy->safe_psql('postgres', 'SELECT pgw.resume_after_restore()');
	my $asked = bank_ledger($bank)->{requests};
	is_misrouted($copy, 'SELECT ' . pay_sql('process_payment', client_request_id => 's9.copy'), 9, 'a', 'a copy is home of nothing, also when it goes on');
	$copy->safe_psql('postgres', "ALTER SYSTEM SET pgw.shard_name = 'a'");
	$copy->restart;
	like(slurp_file($copy->logfile), qr/WARNING:  pgw: pgw.shard_name in file ".*postgresql.auto.conf" is ignored.*HINT.*PGW_SHARD_NAME/s, 'a name that every copy would have: a warning');
	is($health->($copy, 'name_ignored'), 'error|true', '... and health() says so');
	is_misrouted($copy, 'SELECT ' . pay_sql('process_payment', client_request_id => 's9.copy'), 9, 'a', '... and still nothing is at home');
	{
		local $ENV{PGW_SHARD_NAME} = 'c';
		$copy->restart;
	}
	is($health->($copy, 'shard_name'), 'error|c', 'a name from the environment');
	is_misrouted($copy, 'SELECT ' . pay_sql('process_payment', client_request_id => 's9.copy'), 9, 'a', 'a name of its own: what is the original\'s stays so');
	is(bank_ledger($bank)->{requests}, $asked, 'the bank was asked nothing');
	$copy->stop('fast');

	# a copy in the same server, under the same name
	$b->safe_psql('postgres', 'CREATE DATABASE original');
	pgw_setup($b, $bank, db => 'original');
	is($b->safe_psql('original', "SELECT pgw.claim_slots('{[0,1023]}')"), 1024, 'another database of a server');
	is($b->safe_psql('original', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 's9.original')), 'captured', '... is a shard of its own');
	$b->safe_psql('postgres', 'CREATE DATABASE twin TEMPLATE original');
	ok(wait_until(sub { ($b->psql('twin', 'SELECT pgw.resume_after_restore()'))[0] == 0 }), 'a copy of it in the same server goes on');
	my ($rc, $out, $err) = $b->psql('twin', "\\set VERBOSITY verbose\nSELECT " . pay_sql('process_payment', client_request_id => 's9.original'));
	like($err, qr/PW421/, '... and is home of nothing');
	($rc, $out, $err) = $b->psql('twin', "\\set VERBOSITY verbose\nSELECT pgw.claim_slots('{[9,9]}')");
	like($err, qr/PW422.*"slot": 9, "shard": "b"/s, '... nor can it claim what is the original\'s');

	# a dump has the slots with it
	my $dump = $a->basedir . '/dump';
	$a->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $a->connstr('postgres') ], 'a dump');
	$b->safe_psql('postgres', 'CREATE DATABASE restored');
	$b->command_ok([ 'pg_restore', '--exit-on-error', '-d', $b->connstr('restored'), $dump ], '... is restored');
	is($b->safe_psql('restored', 'SELECT count(*), count(*) FILTER (WHERE shard = $$a$$) FROM pgw.shard_slots'), '1024|1023', '... with its slots');
	($rc, $out, $err) = $b->psql('restored', "\\set VERBOSITY verbose\nSELECT " . pay_sql('process_payment', client_request_id => 's9.dump'));
	like($err, qr/PW421/, '... none of which is at home there');

	# row by row, after the payments
	$a->command_ok([ 'pg_dump', '--inserts', '-f', $dump, $a->connstr('postgres') ], 'a dump of INSERTs');
	$b->safe_psql('postgres', 'CREATE DATABASE inserted');
	$b->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $b->connstr('inserted') ], '... is restored, too');
	is($b->safe_psql('inserted', 'SELECT count(*), count(*) FILTER (WHERE shard = $$a$$) FROM pgw.shard_slots'), '1024|1023', '... with its slots');
});

done_testing();
