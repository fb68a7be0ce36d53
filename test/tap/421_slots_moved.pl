# Slots go to another shard, a standby of the one that has them: callers and attempts are waited for, a crash at any point leaves them with one
# shard or with none, and what was paid before is replayed and refunded where they have gone.
use strict;
use warnings;
use lib 'test/lib';
use PgwSession;
use PgwShards;
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $bank = bank_start();
my $a = shard_node('a', $bank, init => { allows_streaming => 1 }, conf => "restart_after_crash = on\nfsync = off\npgw.compensation_delay = 1s\npgw.retry_base_delay = 100\npgw.retry_max_delay = 500\n");
my $release = sub {
	my ($node, $slots, $to) = @_;
	return $node->safe_psql('postgres', "SELECT state, token IS NOT NULL, held_by_callers, open_attempts, standbys_behind FROM pgw.release_slots('$slots', '$to')");
};
my $state = sub { return $_[0]->safe_psql('postgres', "SELECT DISTINCT shard, state, epoch FROM pgw.shard_slots WHERE slot <@ '$_[1]'::int4multirange ORDER BY 1") };
my $pay = sub { my ($id, %o) = @_; return 'SELECT status, replayed FROM ' . pay_sql('process_payment', client_request_id => $id, %o) };

claim_slots($a, '{[0,1023]}');

part($a, 'callers', sub {
	my $caller = PgwSession->new($a);
	$caller->query('BEGIN');
	is($caller->query($pay->('s30.open')), 'captured|f', 'a caller who has paid and not committed');
	$a->safe_psql('postgres', $pay->('s31.done'));
	is($release->($a, '{[30,39]}', 'b'), 'leaving|f|1|1|0', 'his slot is leaving, and he is waited for');
	is_misrouted($a, $pay->($_), substr($_, 1, 2), undef, "no call is taken for a slot that leaves: $_") for 's30.new', 's30.open', 's31.done', 's39.new';
	is($a->safe_psql('postgres', $pay->('s29.new')), 'captured|f', 'others are');
	is($release->($a, '{[30,39]}', 'b'), 'leaving|f|1|1|0', '... however often that is asked');
	is($caller->query($pay->('s29.more')), 'captured|f', 'the caller goes on with another slot');
	$caller->query('COMMIT');
	is($release->($a, '{[30,39]}', 'b'), 'released|f|0|0|0', 'when he is over the slots are released');
	is($state->($a, '{[30,39]}'), 'b|released|2', '... to the other one');
	like($release->($a, '{[30,39]}', 'b'), qr/^released\|t/, 'and then there is a token');
	is_misrouted($a, $pay->('s30.open'), 30, 'b', 'a call is sent there');

	# the savepoint of a payment gives the lock up, what the bank approved is an attempt that is open
	$caller->query($_) for 'BEGIN', 'SAVEPOINT s', $pay->('s40.undone'), 'ROLLBACK TO s';
	ok(wait_until(sub { $release->($a, '{[40,40]}', 'b') =~ /^released/ }), 'the slot of a payment that was rolled back goes');
	is(status_of($a, 's40.undone'), 'Refunded', '... once that is given back');
	$caller->query('COMMIT');
});

# Whoever asks for the slots keeps nobody from what he waits for.
part($a, 'attempts', sub {
	bank_control($bank, 'faults', { probabilities => { '500_after' => 1 }, operations => [qw(charge lookup)] });
	$a->safe_psql('postgres', 'SELECT ' . pay_sql('submit_payment', client_request_id => 's45.doubt'));
	ok(comes_to($a, 's45.doubt', 'BankUnknown'), 'an attempt in doubt');
	my $mover = PgwSession->new($a);
	$mover->query('BEGIN');
	is($mover->query("SELECT state, held_by_callers, open_attempts FROM pgw.release_slots('{[45,46]}', 'b')"), 'leaving|0|1', 'its slot leaves, by a transaction that stays open');
	bank_control($bank, 'faults', { probabilities => {} });
	ok(comes_to($a, 's45.doubt', 'Completed'), '... and the attempt goes on');
	is($mover->query("SELECT state, held_by_callers, open_attempts FROM pgw.release_slots('{[45,46]}', 'b')"), 'released|0|0', '... to its end: the slots are released');
	$mover->query('COMMIT');
});

part($a, 'refusals', sub {
	my %wrong = (
		"SELECT pgw.release_slots('{[50,50]}', 'a')" => qr/PW400.*to_shard/s,
		"SELECT pgw.release_slots('{[50,50]}', 'two words')" => qr/PW400.*to_shard/s,
		"SELECT pgw.release_slots('{[30,30],[50,50]}', 'c')" => qr/PW422/,
		"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pgw.release_slots('{[50,50]}', 'b')" => qr/PW422.*READ COMMITTED/s,
		"SELECT pgw.adopt_slots((SELECT token FROM pgw.shard_slots WHERE slot = 30))" => qr/PW422.*no slot was released to this shard/s,
		"SELECT pgw.claim_slots('{[30,30]}')" => qr/PW422.*"shard": "b", "state": "released"/s);
	for my $sql (sort keys %wrong)
	{
		my ($rc, $out, $err) = $a->psql('postgres', "\\set VERBOSITY verbose\n$sql");
		like($err, $wrong{$sql}, $sql);
	}
	is($state->($a, '{[50,50]}'), 'a|home|1', 'nothing has moved');
	is(claim_slots($a, '{[30,30]}', "'b was never made'", "'b'"), 1, 'taken back, by the word of an operator');
	is($state->($a, '{[30,30]}'), 'a|home|3', '... it is at home again');
	is($a->safe_psql('postgres', $pay->('s30.open')), 'captured|t', '... with all that it had');
});

# A crash before each commit and after it; then a standby takes them.
part($a, 'moved', sub {
	$a->backup('standby');
	my $b = PostgreSQL::Test::Cluster->new('b');
	$b->init_from_backup($a, 'standby', has_streaming => 1);
	name_shard($b, 'b');
	$b->start;
	$a->safe_psql('postgres', $pay->('s17.before', capture => 'manual'));
	my $payment = $a->safe_psql('postgres', "SELECT payment_id FROM pgw.find_payment('s17.before')");
	$a->safe_psql('postgres', $pay->('s600.stays'));
	my $crash = sub { crash($a, $a->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'")) };

	my $caller = PgwSession->new($a);
	$caller->query($_) for 'BEGIN', $pay->('s18.open');
	is($release->($a, '{[17,19]}', 'b') =~ s/\|\d+\|0$//r, 'leaving|f|1', 'slots leave');
	$crash->();
	is($state->($a, '{[17,19]}'), 'a|leaving|1', 'a crash: they are still leaving');
	is(claim_slots($a, '{[17,19]}'), 3, '... and can be kept');
	is($a->safe_psql('postgres', $pay->('s17.before', capture => 'manual')), 'authorized|t', '... at home as before');
	ok(wait_rest($a, $bank), 'what the crash has interrupted is settled');
	my $mover = PgwSession->new($a);
	$mover->query('BEGIN');
	like($mover->query("SELECT state FROM pgw.release_slots('{[17,19]}', 'b')"), qr/^released$/, 'released, not committed');
	$crash->();
	is($state->($a, '{[17,19]}'), 'a|home|1', 'a crash before the commit: they are at home here');

	my $began = time;
	like($release->($a, '{[17,19]}', 'b'), qr/^released\|f/, 'released');
	$crash->();
	is($state->($a, '{[17,19]}'), 'b|released|2', 'a crash after the commit: they are nobody\'s here');
	is_misrouted($a, $pay->('s17.before', capture => 'manual'), 17, 'b', '... and calls are refused');
	my $token;
	ok(wait_until(sub { $b->safe_psql('postgres', 'SELECT pg_last_wal_replay_lsn()') ne '' && $a->safe_psql('postgres', 'SELECT count(*) FROM pg_stat_replication') == 1 }), 'the standby is there again');
	ok(wait_until(sub { $token = $a->safe_psql('postgres', "SELECT token FROM pgw.release_slots('{[17,19]}', 'b')") }), 'the token is given once the standby has replayed that');
	is_misrouted($b, "SELECT * FROM pgw.get_payment('$payment')", 17, undef, 'a standby that is to have them does not have them yet');
	# open in the copy for ever, and here until the bank is well again
	bank_control($bank, 'faults', { probabilities => { '500_after' => 1 }, operations => [qw(charge lookup)] });
	$a->safe_psql('postgres', 'SELECT ' . pay_sql('submit_payment', client_request_id => 's601.doubt'));
	ok(comes_to($a, 's601.doubt', 'BankUnknown'), 'an attempt of a slot that stays is in doubt');
	my $lsn = $a->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
	ok($b->poll_query_until('postgres', "SELECT pg_last_wal_replay_lsn() >= '$lsn'"), '... and the standby knows of it');
	$b->promote;
	bank_control($bank, 'faults', { probabilities => {} });
	my $open = sub {
		return $_[0]->safe_psql('postgres', "SELECT status = 'error', details->>'attempts_left_alone', details->>'attempts_of_other_shards' FROM pgw.health() WHERE check_name = 'shard'");
	};
	ok(comes_to($a, 's601.doubt', 'Completed'), '... it comes to its end where it is at home');
	ok(wait_worker($b), 'it is promoted, and has its worker');
	is_misrouted($b, $pay->('s17.before', capture => 'manual'), 17, undef, 'promoted: they are nobody\'s before they are adopted');
	my ($rc, $out, $err) = $b->psql('postgres', "\\set VERBOSITY verbose\nSELECT pgw.adopt_slots(gen_random_uuid())");
	like($err, qr/PW422.*no slot was released to this shard/s, 'another token is none');
	is($b->safe_psql('postgres', "SELECT pgw.adopt_slots('$token')"), 3, 'adopted');
	is($open->($b), 'f|0|1', 'what is open there of a slot that has stayed is the other shard\'s, and nothing is wrong');
	ok(wait_until(sub { ($b->psql('postgres', $pay->('s17.before', capture => 'manual')))[1] eq 'authorized|t' }), 'what was paid there is replayed here');
	note(sprintf 'the move took %.1f s, with a crash, a reconnect and a promotion in it', time - $began);
	($rc, $out, $err) = $b->psql('postgres', "\\set VERBOSITY verbose\nSELECT pgw.adopt_slots('$token')");
	like($err, qr/PW422/, 'a token is good once');
	crash($b, $b->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'"));
	is($state->($b, '{[17,19]}'), 'b|home|2', 'a crash after that: they are at home there');
	ok(wait_worker($b), 'with a worker');
	is($b->safe_psql('postgres', "SELECT status FROM pgw.capture_payment('$payment', 's17.capture')"), 'authorized', 'it is captured there');
	ok(wait_until(sub { $b->safe_psql('postgres', "SELECT status FROM pgw.get_payment('$payment')") eq 'captured' }), '... by the worker there');
	is($b->safe_psql('postgres', $pay->('s19.after')), 'captured|f', 'new payments are made there');
	is_misrouted($a, $pay->('s19.after'), 19, 'b', 'and not here');
	is_misrouted($a, "SELECT pgw.refund_payment('$payment', 's17.refund')", 17, 'b', 'nor refunds');
	is_misrouted($b, $pay->('s600.stays'), 600, 'a', 'what has not moved stays');
	is($a->safe_psql('postgres', $pay->('s600.stays')), 'captured|t', '... where it was');
	is($a->safe_psql('postgres', "SELECT string_agg(action || ' ' || to_shard, ', ' ORDER BY recorded_at) FROM pgw.slot_changes WHERE slots && '{[17,19]}'"), 'claimed a, leaving b, claimed a, leaving b, released b', 'what was done is recorded here');
	like($b->safe_psql('postgres', "SELECT string_agg(action, ', ' ORDER BY recorded_at) FROM pgw.slot_changes WHERE slots && '{[17,19]}'"), qr/released, adopted$/, 'and there');
	my %charged;
	$charged{ $_->{reference} }++ for grep { $_->{status} eq 'approved' && !$_->{voided} && $_->{refunded} == 0 } @{ bank_ledger($bank)->{charges} };
	is((grep { $_ > 1 } values %charged), 0, 'no reference was charged twice');
});

done_testing();
