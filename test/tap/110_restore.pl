# A database that came out of a dump, a copy or an upgrade stays paused until told; what was under way is then finished, and nothing is paid twice.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

# Scans every second: where nothing happens in spite of them, nothing will.
my $conf = "pgw.recovery_interval = 1s\npgw.compensation_delay = 1s\nwal_level = replica\nmax_wal_senders = 5\n";
my $bank = bank_start();
my $origin = pgw_node('origin', conf => $conf);
pgw_setup($origin, $bank);
$origin->safe_psql('postgres', "UPDATE pgw.banks SET request_timeout = '2s'");

sub requests { my $log = bank_log($bank, 1); return @$log ? $log->[0]{number} : 0 }
sub status { my ($node, $db, $id) = @_; return $node->safe_psql($db, "SELECT transaction_status FROM pgw.find_payment('$id')") }
sub paid { my ($node, $db, $id, @more) = @_; return $node->safe_psql($db, 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, @more)) }

# How often the bank was asked to charge for this id.
sub charged
{
	my ($node, $db, $id) = @_;
	my $ref = $node->safe_psql($db, "SELECT replace(transaction_id::text, '-', '') FROM pgw.find_payment('$id')");
	return scalar grep { $_->{operation} eq 'charge' && $_->{reference} eq $ref } @{ bank_log($bank, 5000) };
}

sub becomes
{
	my ($node, $db, $id, $status, $name) = @_;
	ok(wait_until(sub { status($node, $db, $id) eq $status }, 30), $name) or diag(status($node, $db, $id));
}

# The worker has looked at its tables n times more.
sub looks
{
	my ($node, $db, $n) = @_;
	my $sql = "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relid = 'pgw.restore_pending'::regclass";
	my $before = $node->safe_psql($db, $sql);
	return wait_until(sub { my ($rc, $now) = $node->psql($db, $sql); $rc == 0 && $now >= $before + $n }, 60);
}

sub mode
{
	my ($node, $mode) = @_;
	my $seen = -s $node->logfile;
	$node->safe_psql('postgres', "ALTER SYSTEM SET pgw.worker_mode = '$mode'");
	$node->reload;
	my $line = $mode eq 'paused' ? 'worker paused' : 'worker goes on';
	ok(wait_until(sub { slurp_file($node->logfile, $seen) =~ /LOG:  pgw: $line for database/ }, 20), "pgw.worker_mode = $mode takes effect at a reload, with a line in the log");
}

sub refused
{
	my ($node, $db, $id, $hint, $name) = @_;
	my (undef, undef, $err) = $node->psql($db, "\\set VERBOSITY verbose\nSELECT " . pay_sql('process_payment', client_request_id => $id));
	like($err, qr/PW500.*"code": "worker_paused".*HINT: .*\Q$hint\E/s, $name);
}

sub dump_to
{
	my ($node, $db, $file) = @_;
	system_or_bail('pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', $file, $db);
	return $file;
}

sub restore
{
	my ($node, $db, $file, @options) = @_;
	command_ok([ 'pg_restore', '-e', '-h', $node->host, '-p', $node->port, '-d', $db, @options, $file ], "pg_restore @options into $db of " . $node->name);
}

# No request, whatever the worker sees in the tables, also after a restart; then it is resumed.
sub stays_paused
{
	my ($node, $db, $name) = @_;
	my $sent = requests();
	refused($node, $db, 'too-early', 'pgw.resume_after_restore()', "$name: process_payment is refused, and the hint says what to do");
	is($node->safe_psql($db, "SELECT count(*) FROM pgw.find_payment('too-early')"), 0, "$name: and leaves nothing");
	is($node->safe_psql($db, 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => "queued in $name")), 'pending', "$name: submit_payment is queued");
	ok(looks($node, $db, 3), "$name: the worker looks again and again");
	$node->restart;
	ok(wait_worker($node, $db), "$name: after a restart of the server");
	ok(looks($node, $db, 2), "$name: too");
	refused($node, $db, 'too-early', 'pgw.resume_after_restore()', "$name: it is still paused");
	is(status($node, $db, "queued in $name"), 'Created', "$name: what was queued waits");
	is(requests(), $sent, "$name: the bank has heard nothing");
}

sub resume
{
	my ($node, $db, $expected, $name) = @_;
	is($node->safe_psql($db, "SELECT pgw.resume_after_restore('by the test')"), $expected, "$name: resumed, $expected attempts taken over");
	my (undef, undef, $err) = $node->psql($db, "\\set VERBOSITY verbose\nSELECT pgw.resume_after_restore()");
	like($err, qr/PW422.*operation_not_allowed.*HINT/s, "$name: once");
	becomes($node, $db, "queued in $name", 'Completed', "$name: what was queued is sent");
	is(paid($node, $db, "paid in $name"), 'captured', "$name: it pays again");
}

# --- The origin: one payment done, and one of each kind under way at the time of the dump.
is(paid($origin, 'postgres', 'done'), 'captured', 'a payment is done');
my $finished = dump_to($origin, 'postgres', $origin->basedir . '/finished');
$origin->safe_psql('postgres', 'BEGIN; SELECT ' . pay_sql('process_payment', client_request_id => 'declined', token => 'tok_decline_do_not_honor') . '; ROLLBACK');
$origin->safe_psql('postgres', 'BEGIN; SELECT ' . pay_sql('process_payment', client_request_id => 'prepared') . "; PREPARE TRANSACTION 'p'");
$origin->safe_psql('postgres', "ALTER SYSTEM SET pgw.retry_base_delay = '1min'; SELECT pg_reload_conf()");
ok($origin->poll_query_until('postgres', "SELECT setting = '60000' FROM pg_settings WHERE name = 'pgw.retry_base_delay'"), 'retries come late');
$origin->safe_psql('postgres', 'SELECT ' . pay_sql('submit_payment', client_request_id => 'planned', token => 'tok_503_1'));
my $planned = "SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'planned' AND status = 'Created' AND taken_by_worker AND next_step_at > now()";
ok($origin->poll_query_until('postgres', "SELECT ($planned) = 1"), 'the bank has done nothing, another try is planned');
my $sent = requests();
my $slow = psql_start($origin, 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'unknown', token => 'tok_timeout_after', timeout => '3s'));
ok(wait_until(sub { requests() > $sent }, 20), 'a call is out');
mode($origin, 'paused');
$slow->{h}->finish;
is($slow->{out}, "pending\n", 'its caller is answered in spite of the pause');
is(status($origin, 'postgres', 'unknown'), 'BankUnknown', 'and its result written');
refused($origin, 'postgres', 'refused', 'pgw.worker_mode', 'process_payment is refused, and the hint names the setting');
is($origin->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'queued')), 'pending', 'submit_payment is queued');
is($origin->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'expiring', expires_at => '2099-01-01')), 'pending', 'one with expires_at, too');
$sent = requests();
ok(looks($origin, 'postgres', 3), 'the worker is there');
is(requests(), $sent, 'but sends nothing');
my $dump = dump_to($origin, 'postgres', $origin->basedir . '/dump');
is($origin->safe_psql('postgres', 'SELECT count(*) FROM pgw.restore_pending'), 0, 'a pause by the setting is no restore');

$origin->safe_psql('postgres', "ALTER SYSTEM RESET pgw.retry_base_delay");
mode($origin, 'on');
is($origin->safe_psql('postgres', $planned), 1, 'the try was still planned when the dump was made');
$origin->safe_psql('postgres', "UPDATE pgw.payment_transactions SET next_step_at = now() WHERE client_request_id = 'planned'");
becomes($origin, 'postgres', 'planned', 'Completed', 'the origin tries again');
becomes($origin, 'postgres', 'queued', 'Completed', 'the origin goes on with what was queued');
becomes($origin, 'postgres', 'expiring', 'Completed', 'both of them');
becomes($origin, 'postgres', 'unknown', 'Completed', 'and with what was unknown');
is(status($origin, 'postgres', 'prepared'), 'BankApproved', 'what is prepared waits');

# --- The dump, in another cluster and in another database of the same one.
my $other = pgw_node('other', conf => $conf);
$origin->safe_psql('postgres', 'CREATE DATABASE r');
for my $case ([ $other, 'postgres', 'cluster' ], [ $origin, 'r', 'database' ])
{
	my ($node, $db, $name) = @$case;
	restore($node, $db, $dump);
	stays_paused($node, $db, "another $name");
	$node->safe_psql($db, "UPDATE pgw.payment_transactions SET expires_at = now() WHERE client_request_id = 'expiring'");
	resume($node, $db, 5, "another $name");
	becomes($node, $db, 'queued', 'Completed', "another $name: the submitted one is done");
	is(charged($node, $db, 'queued'), 1, "another $name: the bank was asked what became of it, not to charge again");
	becomes($node, $db, 'planned', 'Completed', "another $name: the one that was to be tried again is done");
	is(charged($node, $db, 'planned'), 2, "another $name: by the two requests of the origin");
	becomes($node, $db, 'expiring', 'Completed', "another $name: the one that has expired since as well");
	is(paid($node, $db, 'declined', token => 'tok_decline_do_not_honor'), 'declined', "another $name: what was declined stays so, though its caller rolled back");
	becomes($node, $db, 'unknown', 'Completed', "another $name: the unknown one is looked up");
	becomes($node, $db, 'prepared', 'RequiresManualReview', "another $name: an approval without its row goes to review");
	is($node->safe_psql($db, "SELECT string_agg(format('%s %s %s', resumed_by = current_user, taken_over, note), ',') FROM pgw.resumptions WHERE taken_over IS NOT NULL"), 't 5 by the test', "another $name: on record");
}
$origin->safe_psql('postgres', "COMMIT PREPARED 'p'");
becomes($origin, 'postgres', 'prepared', 'Completed', 'the prepared payment is kept where it was made');

# --- Only finished payments: what was paid since the dump is not in it, and would be paid again under the same id.
$origin->safe_psql('postgres', 'CREATE DATABASE f');
restore($origin, 'f', $finished);
stays_paused($origin, 'f', 'finished only');
resume($origin, 'f', 0, 'finished only');

# --- Without the big tables: payments without their attempts, or the banks' references alone. What is written there can be moved, or given away.
for my $case ([ 'payments', 'payment_transactions', 'transaction_events' ], [ 'references', 'payments', 'payment_transactions', 'transaction_events' ])
{
	my ($db, @without) = @$case;
	my $file = $origin->basedir . "/only_$db";
	system_or_bail('pg_dump', '-h', $origin->host, '-p', $origin->port, '-Fc', '-f', $file, (map { "--exclude-table-data=pgw.$_*" } @without), 'postgres');
	$origin->safe_psql('postgres', "CREATE DATABASE only_$db");
	restore($origin, "only_$db", $file);
	is($origin->safe_psql("only_$db", 'SELECT count(*) FROM pgw.payment_transactions'), 0, "$db alone: no attempts");
	stays_paused($origin, "only_$db", "$db alone");
	resume($origin, "only_$db", 0, "$db alone");
	$origin->safe_psql('postgres', "DROP DATABASE only_$db");
}

# --- A bank that does nothing: the original has gone on to the next one, which the copy would not think of.
my $second_bank = bank_start();
$origin->safe_psql('postgres', 'CREATE DATABASE two');
$origin->safe_psql('two', "CREATE EXTENSION pgw; INSERT INTO pgw.banks (name, connector, base_url, secret, priority, token_scope) VALUES
	('bank', 'json', '$bank->{url}', 'bank', 10, 'vault'), ('second', 'json', '$second_bank->{url}', 'bank', 20, 'vault')");
ok(wait_worker($origin, 'two'), 'two banks for the same tokens');
mode($origin, 'paused');
$origin->safe_psql('two', 'SELECT ' . pay_sql('submit_payment', client_request_id => $_)) for 'switched', 'stayed';
my $two = dump_to($origin, 'two', $origin->basedir . '/two');
$origin->safe_psql('two', "UPDATE pgw.payment_transactions SET next_step_at = 'infinity' WHERE client_request_id = 'stayed'");
bank_control($bank, 'settings', { down => JSON::PP::true });
mode($origin, 'on');
becomes($origin, 'two', 'switched', 'Completed', 'two banks: the original pays');
is($origin->safe_psql('two', "SELECT bank FROM pgw.find_payment('switched')"), 'second', 'two banks: at the second one');
bank_control($bank, 'settings', { down => JSON::PP::false });
$origin->safe_psql('two', "UPDATE pgw.payment_transactions SET next_step_at = now() WHERE client_request_id = 'stayed'");
becomes($origin, 'two', 'stayed', 'Completed', 'two banks: and another payment');
is($origin->safe_psql('two', "SELECT bank FROM pgw.find_payment('stayed')"), 'bank', 'two banks: at the first one');
$origin->safe_psql('postgres', 'CREATE DATABASE two_restored');
restore($origin, 'two_restored', $two);
is($origin->safe_psql('two_restored', 'SELECT pgw.resume_after_restore()'), 2, 'two banks, restored: resumed');
becomes($origin, 'two_restored', 'switched', 'RequiresManualReview', 'two banks, restored: what the first bank does not know may be at the second');
is($origin->safe_psql('two_restored', "SELECT p.status, e.event_data ->> 'reason' FROM pgw.find_payment('switched') p JOIN pgw.transaction_events e USING (transaction_id)
	WHERE e.event_type = 'ManualReviewRequired'"), 'in_review|maybe_at_another_bank', 'two banks, restored: and says so');
becomes($origin, 'two_restored', 'stayed', 'Completed', 'two banks, restored: what it knows is done');
is(scalar(grep { $_->{status} eq 'approved' && $_->{reference} eq $origin->safe_psql('two', "SELECT replace(transaction_id::text, '-', '') FROM pgw.find_payment('switched')") }
	map { @{ bank_ledger($_)->{charges} } } $bank, $second_bank), 1, 'two banks, restored: one charge at both of them');
$origin->safe_psql('postgres', "DROP DATABASE $_") for 'two', 'two_restored';

# --- Copies of a database that was resumed once; the first one's original is gone, with a payment that it had not sent.
mode($origin, 'paused');
is($origin->safe_psql('f', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'left')), 'pending', 'a payment is queued');
$origin->safe_psql('postgres', 'CREATE DATABASE t TEMPLATE f');
$origin->safe_psql('postgres', 'DROP DATABASE f');
mode($origin, 'on');
stays_paused($origin, 't', 'template copy');
resume($origin, 't', 1, 'template copy');
becomes($origin, 't', 'left', 'Completed', 'template copy: the payment that was not sent is made');
is(charged($origin, 't', 'left'), 1, 'template copy: once');
my $second = dump_to($origin, 't', $origin->basedir . '/second');
$other->safe_psql('postgres', 'CREATE DATABASE s');
restore($other, 's', $second);
stays_paused($other, 's', 'second dump');
resume($other, 's', 0, 'second dump');

# --- The dump, back into the database that it was taken from: the same identity, and payments made since are lost.
$other->safe_psql('s', 'BEGIN; SELECT ' . pay_sql('process_payment', client_request_id => 'halfway') . "; PREPARE TRANSACTION 'halfway'");
mode($other, 'paused');
is($other->safe_psql('s', 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'rewound')), 'pending', 'a payment is queued');
my $before = dump_to($other, 's', $other->basedir . '/before');
mode($other, 'on');
becomes($other, 's', 'rewound', 'Completed', 'then it is made');
$other->safe_psql('s', "COMMIT PREPARED 'halfway'");
becomes($other, 's', 'halfway', 'Completed', 'and one that was prepared is kept');
command_fails_like([ 'pg_restore', '-e', '-h', $other->host, '-p', $other->port, '-d', 's', '--clean', '--if-exists', $before ],
	qr/cannot drop .*: it holds the (records|events) of payments/, 'pg_restore --clean deletes no records without a word');
{
	local $ENV{PGOPTIONS} = '-c pgw.allow_drop=on';
	restore($other, 's', $before, '--clean', '--if-exists');
}
is(status($other, 's', 'rewound'), 'Created', 'the dump is older than that');
ok(wait_worker($other, 's'), 'the worker is back');
my $again = requests();
ok(looks($other, 's', 3), 'the same database: the worker looks');
refused($other, 's', 'too-early', 'pgw.resume_after_restore()', 'the same database: it is paused');
is(requests(), $again, 'the same database: the bank has heard nothing');
is($other->safe_psql('s', 'SELECT pgw.resume_after_restore()'), 2, 'the same database: resumed');
becomes($other, 's', 'rewound', 'Completed', 'the same database: the queued one is done');
is(charged($other, 's', 'rewound'), 1, 'the same database: and was sent once, before');
becomes($other, 's', 'halfway', 'RequiresManualReview', 'the same database: the approval without its row goes to review, though its caller committed');
is($other->safe_psql('s', 'SELECT count(*) FROM pgw.resumptions WHERE taken_over IS NOT NULL'), 4, 'the same database: the record is complete');

# --- However it is restored, it is noticed, once.
my $inserts = $origin->basedir . '/inserts.sql';
system_or_bail('pg_dump', '-h', $origin->host, '-p', $origin->port, '--inserts', '-f', $inserts, 'postgres');
for my $case ([ 'psql, one statement for each row', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $inserts ],
	[ 'psql, in one transaction', 'psql', '-XAtq', '-1', '-v', 'ON_ERROR_STOP=1', '-f', $inserts ], [ 'pg_restore with several jobs', 'pg_restore', '-e', '-j', 3, $dump ])
{
	my ($name, $program, @arguments) = @$case;
	$other->safe_psql('postgres', 'CREATE DATABASE any_way');
	command_ok([ $program, '-h', $other->host, '-p', $other->port, '-d', 'any_way', @arguments ], $name);
	refused($other, 'any_way', 'too-early', 'pgw.resume_after_restore()', "$name: it is paused");
	is($other->safe_psql('any_way', 'SELECT count(*) FROM pgw.restore_pending'), 1, "$name: noticed once");
	$other->safe_psql('postgres', 'DROP DATABASE any_way');
}

# --- A database without payments has nothing to decide about.
$other->safe_psql('postgres', 'CREATE DATABASE empty');
$other->safe_psql('empty', 'CREATE EXTENSION pgw');
my $empty = dump_to($other, 'empty', $other->basedir . '/empty');
$other->safe_psql('postgres', 'CREATE DATABASE empty_too');
restore($other, 'empty_too', $empty);
$other->safe_psql('empty_too', "INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('bank', 'json', '$bank->{url}', 'bank')");
is(paid($other, 'empty_too', 'first'), 'captured', 'an empty database is not paused');

# --- A caller whose request the worker has not taken yet when the pause begins.
my $worker = $other->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND datname = 'postgres'");
kill 'STOP', $worker;
my $caller = psql_start($other, 'SELECT ' . pay_sql('process_payment', client_request_id => 'waiting'));
ok($other->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND backend_type = 'client backend'"), 'a caller waits');
$sent = requests();
$other->safe_psql('postgres', "ALTER SYSTEM SET pgw.worker_mode = 'paused'");
$other->reload;
ok($other->poll_query_until('postgres', "SELECT setting = 'paused' FROM pg_settings WHERE name = 'pgw.worker_mode'"), 'the server has read its settings');
kill 'CONT', $worker;
$caller->{h}->finish;
like($caller->{err}, qr/PW500.*worker_paused.*pgw\.worker_mode/s, 'is told of the pause');
is(requests(), $sent, 'and nothing is sent');

# --- A physical copy is paused, whatever else pauses it; a promoted standby is no copy. More in 260_copies.pl.
$other->backup('clone');
my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($other, 'clone');
$clone->start;
ok(wait_worker($clone, 'postgres'), 'a physical copy, started with pgw.worker_mode = paused, has its worker');
refused($clone, 'postgres', 'cloned', 'pgw.resume_after_restore()', 'which is paused, and the hint says what to do');
mode($clone, 'on');
refused($clone, 'postgres', 'cloned', 'pgw.resume_after_restore()', 'also with pgw.worker_mode = on');
ok(looks($clone, 'postgres', 3), 'and only looks');
is(requests(), $sent, 'and sends nothing');
$clone->stop('fast');

mode($other, 'on');
$other->backup('standby');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($other, 'standby', has_streaming => 1);
$standby->start;
$other->wait_for_catchup($standby);
$other->stop('fast');
$standby->promote;
ok(wait_worker($standby, 'postgres'), 'a promoted standby has its worker');
is(paid($standby, 'postgres', 'promoted'), 'captured', 'and pays at once');
$standby->restart;
ok(wait_worker($standby, 'postgres'), 'a restart');
is(paid($standby, 'postgres', 'restarted'), 'captured', 'is no reason to pause');
$standby->stop('fast');

# --- pg_upgrade: new system identifier, the same files.
is($origin->safe_psql('postgres', "SELECT count(*) FROM pgw.payment_transactions WHERE status NOT IN ('Completed', 'Failed', 'Refunded')"), 0, 'the origin is at rest');
$origin->stop('fast');
my $upgraded = pgw_node('upgraded', conf => $conf, start => 0);
chdir $upgraded->basedir or die $!;
command_ok([ 'pg_upgrade', '--no-sync', '-d', $origin->data_dir, '-D', $upgraded->data_dir, '-b', $ENV{PGW_BIN}, '-B', $ENV{PGW_BIN},
	'-s', $upgraded->host, '-p', $origin->port, '-P', $upgraded->port ], 'pg_upgrade');
chdir "$ENV{PGW_WORK}/tree" or die $!;
$upgraded->start;
ok(wait_worker($upgraded, 'postgres'), 'the upgraded cluster has its worker');
stays_paused($upgraded, 'postgres', 'upgraded');
resume($upgraded, 'postgres', 0, 'upgraded');

# --- Whatever was dumped, copied and resumed: no attempt was charged twice, and nothing that is kept was given back.
my %charges;
$charges{ $_->{reference} }++ for grep { $_->{status} eq 'approved' } @{ bank_ledger($bank)->{charges} };
is(join(',', grep { $charges{$_} > 1 } sort keys %charges), '', 'the bank holds one charge for each attempt');
is(scalar @{ bank_ledger($bank)->{refunds} }, 0, 'and no refund');
$upgraded->stop('fast');
done_testing();
