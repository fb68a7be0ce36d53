# What is certain of slots: who reads them while they are changed sees each of them, as it was or as it is; what was released is adopted by one
# database, whoever else has the row; and a server without a name is told so.
use strict;
use warnings;
use lib 'test/lib';
use PgwSession;
use PgwShards;
use PgwTest;
use Test::More;

my $bank = bank_start();
my $node = pgw_node('certain', debug => 1, conf => "fsync = off\nautovacuum = off\n");
pgw_setup($node, $bank);
my $refused = sub {
	my ($sql, $why, $name, $db) = @_;
	my ($rc, $out, $err) = $node->psql($db // 'postgres', "\\set VERBOSITY verbose\n$sql");
	like($err, $why, $name);
};

part($node, 'no name', sub {
	$refused->("SELECT pgw.$_", qr/PW422: this server has no pgw\.shard_name, so no slot can be its own\n.*"reason": "this server has no.*HINT: .*PGW_SHARD_NAME/s, "without a name: $_")
	  for "claim_slots('{[0,1023]}')", "release_slots('{[0,1]}', 'b')", 'adopt_slots(gen_random_uuid())';
});

my $rename = sub {
	name_shard($node, $_[0]);
	$node->restart;
	wait_worker($node);
};
$rename->('a');
claim_slots($node, '{[0,1023]}');

# Home before and after a transaction that moves its rows to where the reader has been already.
part($node, 'read while changed', sub {
	# all rows go to pages behind those that they were in, which are free then
	my $move = sub { return ("SELECT state FROM pgw.release_slots('$_[0]', 'b')", "SELECT pgw.claim_slots('$_[0]', 'back', 'b')") };
	$node->safe_psql('postgres', $_) for $move->('{[0,1023]}'), 'VACUUM pgw.shard_slots';
	my $page = 'SELECT (ctid::text::point)[0]::int FROM pgw.shard_slots ';
	my ($mover, $reader) = map { PgwSession->new($node) } 1 .. 2;
	my $first = $mover->query("$page ORDER BY ctid LIMIT 1");
	cmp_ok($mover->query("$page WHERE slot = 600"), '>', $first, 'the row is not the first one');
	debug_arm($node, 'slot_read', 'stop');
	$reader->send("SELECT pgw.slot_of_id(id), pgw.slot_is_worked(id) FROM CAST('00000000-0000-7000-a580-000000000000' AS uuid) id");
	is(debug_wait($node, 'slot_read'), $reader->backend, 'a session has read the first row');
	$mover->query('BEGIN');
	$mover->query($_) for $move->('{[600,600]}');
	$mover->query('COMMIT');
	cmp_ok($mover->query("$page WHERE slot = 600"), '<', $first, '... and the row that it asks for goes from behind it to where it has been');
	debug_release($node, 'slot_read');
	is($reader->wait, '600|t', 'it has seen that the slot is at home');
});

part($node, 'adopted once', sub {
	my $release = sub { my ($slots, $more) = @_; $node->safe_psql('postgres', "SELECT token FROM pgw.release_slots('$slots', 'b' $more)") for 1 .. 2; return $node->safe_psql('postgres', "SELECT token FROM pgw.release_slots('$slots', 'b' $more)") };
	my $token = $release->('{[10,19]}', '');
	my $other = $release->('{[20,29]}', ', to_system => 1');
	$rename->('b');
	$node->safe_psql('postgres', 'CREATE DATABASE twin TEMPLATE postgres');
	$refused->("SELECT pgw.adopt_slots('$token')", qr/PW422: the slots cannot be moved so.*released to database postgres of the server/s, 'a copy in the same server, under the name that they were released to, adopts nothing', 'twin');
	$refused->("SELECT pgw.adopt_slots('$other')", qr/PW422.*whose system_identifier is 1"/s, 'nor does another server than the one that was named');
	ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT reason FROM pgw.health_summary()') =~ /^not_home/ }), 'while no slot is at home the worker pauses');
	my ($adopter, $caller) = map { PgwSession->new($node) } 1 .. 2;
	debug_arm($node, 'config_visible', 'stop');
	$adopter->send("SELECT pgw.adopt_slots('$token')");
	is(debug_wait($node, 'config_visible'), $adopter->backend, 'the database that they were released to adopts them');
	is($caller->query('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 's12.new')), 'captured', '... and pays, before anybody has told the worker');
	debug_release($node, 'config_visible');
	is($adopter->wait, 10, '... all of them');
	$refused->("SELECT pgw.adopt_slots('$token')", qr/PW422/, '... and the copy still does not', 'twin');
	is($node->safe_psql('postgres', "SELECT count(*) FROM pgw.shard_slots WHERE state = 'home' AND shard = 'b'"), 10, 'ten slots have moved');
});

# Nothing is at home, and a caller asks who has claimed his slot and not committed that; another one comes, whose slot is claimed by then.
part($node, 'who comes while the worker looks', sub {
	$rename->('c');
	ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT reason FROM pgw.health_summary()') =~ /^not_home/ }), 'nothing is at home');
	my ($first, $second) = map { PgwSession->new($node) } 1 .. 2;
	my $claim = "SELECT pgw.claim_slots('{[700,700]}', 'it has burnt down', 'a')";
	my $pay = sub { return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => "s700.$_[0]", timeout => '60s') };
	$first->query('BEGIN');
	is($first->query($claim), 1, 'a claim that is not committed');
	debug_arm($node, 'looked_for_asked', 'stop');
	$first->send($pay->('first'));
	debug_wait($node, 'looked_for_asked');
	$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $first->backend . ')');
	$first->wait;
	is($first->state, '57014', 'who has claimed it gives up');
	$first->query('ROLLBACK');
	is($first->query($claim), 1, 'the slot is claimed');
	$second->send($pay->('second'));
	ok(wait_until(sub { $node->safe_psql('postgres', "SELECT wait_event_type FROM pg_stat_activity WHERE pid = " . $second->backend) eq 'Extension' }), 'another caller waits');
	debug_release($node, 'looked_for_asked');
	is($second->wait, 'captured', '... and is not told what was true before he came') or diag($second->err);
});

done_testing();
