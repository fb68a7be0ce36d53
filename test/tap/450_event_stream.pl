# The events as a stream: whatever the order in which transactions commit, and whoever is killed, a consumer gets each event, in the order of its attempt's steps, and what it has
# committed never again.
use strict;
use warnings;
use lib 'test/lib';
use PgwEventReader;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = pgw_node('stream', debug => 1, conf => "fsync = off\npgw.fencing_delay = 0\nrestart_after_crash = on\nmax_prepared_transactions = 20\nwal_level = replica\nmax_wal_senders = 2\npgw.compensation_delay = 0\n");
pgw_setup($node);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %o) = @_; return 'SELECT status FROM ' . pay_sql($o{by} // 'process_payment', client_request_id => $id, bank => 'test') }
sub types { return join ' ', map { $_->{event_type} } @_ }
sub comes { my ($id, $status) = @_; return wait_until(sub { sql("SELECT transaction_status FROM pgw.my_payments WHERE client_request_id = '$id'") eq $status }, 20) }

my $ALL = 'TransactionStarted BankProcessingStarted BankProcessingCompleted PaymentDataSaveStarted PaymentDataSaveCompleted TransactionCompleted';

sub fails
{
	my ($statement, $like, $name) = @_;
	my ($rc, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement");
	like($err, $like, $name);
}

part($node, 'one after the other', sub {
	sql(pay('before'));
	my $r = PgwEventReader->new($node, 'plain');
	is(scalar $r->read, 0, 'what was there before does not come');
	sql(pay('plain'));
	my @first = $r->read(2);
	is(types(@first), 'TransactionStarted BankProcessingStarted', 'as many as were asked for');
	sql(pay('plain 2'));
	my @again = $r->read;
	is(types(@again), $ALL, 'without a commit the same again, and what goes with it; not what has come since');
	is($again[1]{event_id}, $first[1]{event_id}, 'the very same');
	is($r->commit, 't', 'they are committed');
	is(sql("SELECT pgw.commit_events('plain', '$again[-1]{cursor}')"), 'f', 'twice does not matter');
	is(sql("SELECT pgw.commit_events('plain', '$first[-1]{cursor}')"), 'f', 'nor does an earlier cursor');
	$r->read(4);
	fails("SELECT pgw.commit_events('plain', '$again[-1]{cursor}')", qr/PW422.*"event_cursor_void"/s, 'one of an earlier batch is refused');
	fails("SELECT pgw.commit_events('plain', 'x')", qr/PW400.*"cursor"/s, 'and what is none');
	$r->commit;
	is($r->drain, 2, 'the rest');
	is($r->faults('plain%'), '', 'all came, once, in order');
	like(sql("SELECT event_data FROM pgw.read_events('plain')"), qr/^$/, 'nothing is left');
	sql('BEGIN; SELECT count(*) FROM pgw.read_events(\'plain\'); ' . pay('plain own') . '; COMMIT');
	is($r->drain, 6, 'a payment of the transaction that read comes afterwards');
	my $all = PgwEventReader->new($node, 'history', since => '-infinity');
	$all->drain(5);
	is($all->faults, '', 'with since => -infinity a consumer gets the past, too');
	like(sql("SELECT status || details FROM pgw.health() WHERE check_name = 'event_consumers'"), qr/^ok.*"consumer": "history"/, 'health() tells of each consumer');
	sql("SELECT pgw.drop_event_consumer('history'), pgw.create_event_consumer('idle', alert_after => '0')");
	like(sql("SELECT status || details FROM pgw.health() WHERE check_name = 'event_consumers'"), qr/^warning.*"stands": true/, 'and warns when one does not read');
	sql("SELECT pgw.drop_event_consumer('idle')");
	fails("SELECT * FROM pgw.read_events('history')", qr/PW404.*"event_consumer_not_found"/s, 'one that is gone is no consumer');
});

part($node, 'own events', sub {
	my $r = PgwEventReader->new($node, 'own');
	my $s = PgwSession->new($node);
	$s->query('BEGIN');
	$s->query(pay('own 1', by => 'submit_payment'));
	sql(pay('own others'));
	$r->take_in($s->query($r->read_sql(100)));
	is(types(@{ $r->{rows} }), $ALL, 'a transaction that has submitted a payment reads what others have committed');
	$s->query($r->commit_sql);
	$r->done;
	$s->query(pay('own 2', by => 'submit_payment'));
	$s->query('COMMIT');
	ok(comes("own $_", 'Completed'), "its payment $_ is made") for 1, 2;
	$r->drain;
	is($r->faults('own%'), '', 'and its events come once it has committed, of before the read and after it');
});

part($node, 'any order of commits', sub {
	my $r = PgwEventReader->new($node, 'interleaved');
	my %s = map { $_ => PgwSession->new($node) } qw(commits rolls_back savepoint prepared);
	for (sort keys %s)
	{
		$s{$_}->query('BEGIN');
		$s{$_}->query('SAVEPOINT a') if $_ eq 'savepoint';
		$s{$_}->query(pay("i $_"));
	}
	sql(pay('i quick'));
	$r->drain;
	is(scalar(grep { $_->{client_request_id} eq 'i quick' } @{ $r->{order} }), 6, 'what is committed comes, though older transactions are open');
	is(scalar(grep { $_->{client_request_id} eq 'i commits' } @{ $r->{order} }), 4, 'of those what the worker has committed');
	$s{prepared}->query("PREPARE TRANSACTION 'stream'");
	$s{savepoint}->query('ROLLBACK TO a; COMMIT');
	$s{rolls_back}->query('ROLLBACK');
	$s{commits}->query('COMMIT');
	$r->drain;
	is(scalar(grep { $_->{client_request_id} eq 'i commits' } @{ $r->{order} }), 6, 'and the rest once they have committed');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id LIKE 'i %' AND status = 'Refunded'") == 2 }, 20), 'two are given back');
	sql(pay('i after'));
	$r->drain;
	crash($node, sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'background writer'"));
	wait_worker($node);
	sql("COMMIT PREPARED 'stream'");
	$r->drain;
	is(scalar(grep { $_->{client_request_id} eq 'i prepared' } @{ $r->{order} }), 6, 'of a prepared transaction, too, after a crash');
	is($r->faults('i %'), '', 'no event is missing, and each attempt is in order');
});

# An attempt from before the fence: made while nothing is sent, and looked at again when the fence has passed it.
sub old_attempt
{
	my ($r, $id) = @_;
	change_settings($node, 'pgw.worker_mode' => 'paused');
	sql(pay($id, by => 'submit_payment'));
	my $ms = sql("SELECT ('x' || left(replace(transaction_id::text, '-', ''), 12))::bit(48)::bigint FROM pgw.payment_transactions WHERE client_request_id = '$id'");
	my $n = 0;
	wait_until(sub {
		sql(pay("$id/" . $n++, by => 'submit_payment'));
		$r->drain;
		return sql("SELECT coalesce(max(f), 0) > $ms FROM pgw.event_consumers c, unnest(c.fences) f WHERE consumer = '$r->{name}'") eq 't';
	}, 30) or die 'the fence does not move';
	return $ms;
}

part($node, 'late events', sub {
	my $r = PgwEventReader->new($node, 'late');
	old_attempt($r, 'l 1');
	is(sql('SELECT count(*) FROM pgw.late_events'), 0, 'nothing is late yet');
	# who has something on record that the next start cannot see
	my $s = PgwSession->new($node);
	sql(pay('l prepared', by => 'submit_payment'));
	$s->query('BEGIN');
	$r->take_in($s->query($r->read_sql(100)));
	$s->query($r->commit_sql);
	$s->query("PREPARE TRANSACTION 'reader'");
	crash($node, sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'background writer'"));
	wait_worker($node);
	change_settings($node, 'pgw.worker_mode' => 'on');
	ok(comes('l 1', 'Completed'), 'an attempt goes on that began long before');
	cmp_ok(sql("SELECT count(*) FROM pgw.late_events JOIN pgw.payment_transactions USING (transaction_id) WHERE client_request_id = 'l 1'"), '>=', 5, 'its events are listed');
	sql("COMMIT PREPARED 'reader'");
	$r->done;
	$r->drain;
	is($r->faults('l %'), '', 'and come');
	ok(wait_until(sub { sql(pay('l tidy ' . time)); $r->drain; sql("SELECT pgw.drop_event_consumer(consumer) FROM pgw.event_consumers WHERE consumer <> 'late'");
		sql('SELECT count(*) FROM pgw.late_events') == 0 }, 20), 'what all have read is listed no more');
});

part($node, 'nobody reads', sub {
	sql("SELECT pgw.drop_event_consumer(consumer) FROM pgw.event_consumers; INSERT INTO pgw.late_events VALUES ('3', gen_random_uuid(), 1)");
	move_clock($node, 3700);
	ok(wait_until(sub { sql('SELECT count(*) FROM pgw.late_events') eq '0' }, 30), 'what is listed for nobody goes');
	move_clock($node, 0);
});

part($node, 'a standby that is away', sub {
	my $r = PgwEventReader->new($node, 'away');
	sql(pay('away'));
	change_settings($node, synchronous_standby_names => 'nobody');
	for my $own (qw(on off local remote_apply))    # what the reader's own commits wait for
	{
		my $call = psql_start($node, "SET application_name = 'waits'; SET synchronous_commit = $own; BEGIN; SELECT event_type FROM pgw.read_events('away'); ROLLBACK");
		ok(wait_until(sub { sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'waits' AND wait_event = 'SyncRep'") eq 't' }, 30), "$own: a read waits for a standby, and is cancelled")
		  or $call->{h}->kill_kill;    # else it would not end
		$call->{h}->finish;
		like($call->{err}, qr/not known to be at a synchronous standby/, 'it fails');
		unlike($call->{out}, qr/Transaction/, 'and hands out nothing');
	}
	change_settings($node, synchronous_standby_names => undef);
	$r->drain;
	is($r->faults('away'), '', 'the next one gets all of it');
});

part($node, 'purged meanwhile', sub {
	my $r = PgwEventReader->new($node, 'purged');
	old_attempt($r, 'p 1');
	change_settings($node, 'pgw.worker_mode' => 'on');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE status NOT IN ('Completed', 'Failed', 'Refunded')") == 0 }, 30), 'all is over');
	cmp_ok(sql("SELECT count(*) FROM pgw.late_events JOIN pgw.payment_transactions USING (transaction_id) WHERE client_request_id = 'p 1'"), '>=', 3, 'events are listed that nobody has read');
	cmp_ok(sql('SELECT attempts FROM pgw.purge_test_data()'), '>', 0, 'and are purged');
	sql(pay('p after'));
	is($r->drain(2), 6, 'what is gone is not the end of what is to be read');
	is($r->faults('p after'), '', 'all came');
	sql("SELECT pgw.drop_event_consumer('purged')");
});

part($node, 'a copy', sub {
	my $r = PgwEventReader->new($node, 'copied');
	sql(pay('copy'));
	$r->drain;
	sql('CREATE DATABASE copy TEMPLATE postgres');
	my $copy = sub { return $node->safe_psql('copy', $_[0]) };
	my (undef, undef, $err) = $node->psql('copy', "SELECT * FROM pgw.read_events('copied')");
	like($err, qr/"event_consumer_displaced".*HINT:.*pgw\.move_event_consumer/s, 'in a copy a consumer does not go on: the transactions are others');
	$copy->('SELECT pgw.resume_after_restore()');
	(undef, undef, $err) = $node->psql('copy', "SELECT * FROM pgw.read_events('copied')");
	like($err, qr/"event_consumer_displaced"/, 'nor when the copy has been resumed');
	like($copy->("SELECT status || details FROM pgw.health() WHERE check_name = 'event_consumers'"), qr/^warning.*"displaced": true/, 'health() says so');
	$copy->("SELECT pgw.move_event_consumer('copied', '-infinity')");
	is($copy->("SELECT count(*) FROM pgw.read_events('copied', 10000)"), $copy->('SELECT count(*) FROM pgw.transaction_events'), 'until somebody says from when on it reads');
	$node->safe_psql('postgres', 'DROP DATABASE copy');
	is($r->drain, 0, 'the original goes on where it was');
});

part($node, 'many at once', sub {
	my $r = PgwEventReader->new($node, 'crowd');
	my @s = map { PgwSession->new($node, name => "crowd $_") } 1 .. 5;
	my @open = (('') x 5);
	my ($n, $lost, $prepared) = (0, 0, 0);
	my $reader = PgwSession->new($node);
	srand(20);
	for my $turn (1 .. 50)
	{
		for my $i (0 .. $#s)
		{
			next unless $s[$i]->done;
			my $what = rand;
			if ($open[$i] && $what < 0.6) { $s[$i]->send($what < 0.4 ? 'COMMIT' : $what < 0.5 ? 'ROLLBACK' : "PREPARE TRANSACTION 'c" . $prepared++ . "'"); $open[$i] = 0 }
			else { $s[$i]->send(($open[$i] ? '' : 'BEGIN; ') . pay('c ' . $n++, by => $what < 0.8 ? 'process_payment' : 'submit_payment')); $open[$i] = 1 }
		}
		$r->take_in($reader->query($r->read_sql(7)));
		next unless @{ $r->{rows} };
		if (rand() < 0.2) { $reader->lose; $lost++; $reader = PgwSession->new($node); next }
		$reader->query($r->commit_sql);
		$r->done;
	}
	$_->wait for @s;
	$_->query('COMMIT') for @s;
	$r->drain(7);
	my @left = split /\n/, sql('SELECT gid FROM pg_prepared_xacts ORDER BY gid');
	$node->safe_psql('postgres', ($_ % 2 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$left[$_]'") for 0 .. $#left;
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE status NOT IN ('Completed', 'Failed', 'Refunded')") == 0 }, 30), 'all is over');
	$r->drain(7);
	is($r->faults('c %'), '', "$n payments by five sessions, " . scalar(@left) . " of them prepared at the end, the reader killed $lost times: no event is missing");
});

part($node, 'who may', sub {
	sql("INSERT INTO pgw.merchants (merchant) VALUES ('shop'); CREATE ROLE aud LOGIN; CREATE ROLE cli LOGIN; CREATE ROLE other LOGIN;
		SELECT pgw.grant_access('aud', 'auditor', 'shop'), pgw.grant_access('cli', 'client'), pgw.grant_access('other', 'auditor')");
	my $as = sub { my ($role, $sql) = @_; my ($rc, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role ]); return $rc == 0 ? $out : $err };
	like($as->('other', "SELECT pgw.create_event_consumer('pgw.webhooks')"), qr/"consumer".*begins with/, 'names of pgw\'s own are not for operators and auditors');
	like($as->('other', "SELECT pgw.create_event_consumer(E'a\\nb')"), qr/"consumer".*control characters/, 'nor are those that no log could show');
	like($as->('other', "SELECT pgw.create_event_consumer('o', alert_after => '$_')"), qr/"alert_after".*between/, "nor is it warned after $_") for '-1 s', '20 years';
	like($as->('cli', "SELECT pgw.create_event_consumer('cli')"), qr/permission denied/, 'a client reads no events');
	like($as->('aud', "SELECT pgw.create_event_consumer('aud')"), qr/permission denied for the events of all merchants/, 'an auditor of one merchant not those of all');
	is($as->('aud', "SELECT pgw.create_event_consumer('aud', merchant => 'shop')"), '', 'but his');
	sql("SELECT pgw.process_payment('w 1', 100, 'EUR', 'tok_ok', bank => 'test', merchant => 'shop'); " . pay('w 2'));
	is($as->('aud', "SELECT string_agg(DISTINCT merchant, ' ') FROM pgw.read_events('aud')"), 'shop', 'and gets no others');
	like($as->('other', "SELECT * FROM pgw.read_events('aud')"), qr/permission denied for consumer/, 'a consumer is its role\'s');
	like($as->('other', "SELECT pgw.drop_event_consumer('aud')"), qr/permission denied for consumer/, 'whoever wants to end it');
	like($as->('aud', "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM pgw.read_events('aud')"), qr/SERIALIZABLE/, 'not at SERIALIZABLE, where payments would be aborted for it');
	sql("SELECT pgw.revoke_access('aud', 'auditor'), pgw.grant_access('aud', 'auditor', 'default')");
	like($as->('aud', "SELECT * FROM pgw.read_events('aud')"), qr/permission denied for events of merchant "shop"/, 'the grant counts at each call');
});

done_testing();
