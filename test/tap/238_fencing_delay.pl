# synchronous_standby_names is emptied while payments wait for the standby, as a cluster manager does that has found an old primary: nothing is sent until there
# was time to end the server. It is noticed in whatever order the processes of the server hear of it.
use strict;
use warnings;
use lib 'test/lib';
use IPC::Run;
use POSIX ();
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $delay = 6;
my $node = pgw_node('fencing', debug => 1, conf => "fsync = off\nrestart_after_crash = on\npgw.fencing_delay = '${delay}s'\n", init => { allows_streaming => 1 });
my $bank = bank_start();
pgw_setup($node, $bank);

sub query { return $node->safe_psql('postgres', $_[0]) }
sub charges { return scalar @{ bank_ledger($bank)->{charges} } }
sub pay { my ($id, %a) = @_; return PgwSession->new($node)->send('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a)) }
sub waits { return query("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = '$_[0]'") }
sub pid { return query("SELECT pid FROM pg_stat_activity WHERE backend_type = '$_[0]'") }
sub summary { return query('SELECT live, ready, degraded, reason FROM pgw.health_summary()') }
sub turns { my $from = query('SELECT clock_timestamp()'); return wait_until(sub { query("SELECT clock_timestamp() - (details->>'last_turn_age_seconds')::float * interval '1 s' > '$from' FROM pgw.health() WHERE check_name = 'worker'") eq 't' }, 30) }

# The file says so; who hears of it is told one by one.
sub names { my ($names) = @_; return query($names eq '' ? 'ALTER SYSTEM RESET synchronous_standby_names' : "ALTER SYSTEM SET synchronous_standby_names = '$names'") }
sub hear { kill 'HUP', pid($_) for @_ }

# A call whose intent waits for a standby that is not there.
sub fenced
{
	my ($id) = @_;
	names('nobody');
	$node->reload;
	my $writer = PgwSession->new($node)->send("CREATE TABLE waits_$id ()");
	ok(wait_until(sub { waits('client backend') == 1 }, 30), "$id: commits wait for a standby");
	my $call = pay($id, timeout => '120s');
	ok(wait_until(sub { waits('pgw worker') == 1 }, 30), '... and so does the worker, with an intent');
	return ($call, $writer);
}

# Sent when the delay is over, and not before; $began: nobody had heard of it before then.
sub is_held
{
	my ($began, $name) = @_;
	my $charges = charges();
	ok(wait_until(sub { summary() =~ /^t\|f\|t\|fencing: / }, 30), "$name: health_summary() says that nothing is sent") or diag(summary());
	ok(turns(), '... the worker goes on');
	is(charges(), $charges, '... and sends nothing');
	ok(wait_until(sub { charges() > $charges }, 60), '... but in the end');
	cmp_ok(time - $began, '>=', $delay - 0.5, '... after the delay');
}

sub is_paid
{
	my ($call) = @_;
	is($call->wait, 'captured', '... and the caller is told so') or diag($call->err);
	ok(wait_until(sub { summary() eq 't|t|f|' }, 30), '... and all is well again');
}

part($node, 'all hear of it', sub {
	my $log = -s $node->logfile;
	my ($call, $writer) = fenced('all');
	my $began = time;
	names('');
	$node->reload;
	is_held($began, 'the standby is given up');
	is_paid($call);
	like(slurp_file($node->logfile, $log), qr/LOG:  pgw: nothing new is sent to banks for $delay s: synchronous_standby_names was emptied, or took in \*\n.*HINT:  \S/, 'the log tells it');
	$writer->wait;
});

part($node, 'the checkpointer hears of it first', sub {
	my ($call, $writer) = fenced('checkpointer');
	my $charges = charges();
	names('');
	hear('checkpointer');
	$writer->wait;
	ok(turns(), 'the worker goes on, and takes the standby for set');
	is(charges(), $charges, 'its intent is not there, and nothing is sent');
	my $began = time;
	$node->reload;
	is_held($began, 'then it hears of it, too');
	is_paid($call);
});

part($node, 'the worker hears of it first', sub {
	names('nobody');
	$node->reload;
	my $writer = PgwSession->new($node)->send('CREATE TABLE waits_too ()');
	ok(wait_until(sub { waits('client backend') == 1 }, 30), 'commits wait for a standby');
	names('');
	my $began = time;
	hear('pgw worker');
	ok(wait_until(sub { summary() =~ /fencing/ }, 30), 'the worker has heard that it is given up');
	my $call = pay('worker', timeout => '120s');
	is_held($began, 'a call that comes then');
	is(waits('client backend'), 2, 'for all the others, and so for the end of the call, it is there until now');
	$node->reload;
	is_paid($call);
	$writer->wait;
});

part($node, 'another worker', sub {
	my ($call, $writer) = fenced('another');
	my $worker = pid('pgw worker');
	names('');
	my $began = time;
	$node->reload;
	ok(wait_until(sub { summary() =~ /fencing/ }, 30), 'the standby is given up');
	kill 'TERM', $worker;
	ok(wait_until(sub { my $pid = pid('pgw worker'); $pid ne '' && $pid != $worker }, 60), 'the worker is terminated, and there is another one');
	is($call->wait, 'pending', 'who waited for the first one is told that it is not known what was sent');
	$call = pay('again', timeout => '120s');
	is_held($began, 'a call that comes to the other one');
	is_paid($call);
	ok(comes_to($node, 'another', 'Completed'), 'the first is paid, too');
	$writer->wait;
});

part($node, 'a crash', sub {
	my ($call) = fenced('crashed');
	my $other = PgwSession->new($node);
	names('');
	my $began = time;
	$node->reload;
	ok(wait_until(sub { summary() =~ /fencing/ }, 30), 'the standby is given up');
	crash($node, $other->backend);
	wait_worker($node);
	$call = pay('crashed', timeout => '120s');
	is_held($began, 'the server has recovered from a crash, and the call is made again');
	is_paid($call);
});

part($node, 'two databases, and the worker of one hears first that a standby is named', sub {
	$node->safe_psql('postgres', 'CREATE DATABASE second');
	$node->safe_psql('second', 'CREATE EXTENSION pgw');
	wait_worker($node, 'second');
	my $log = -s $node->logfile;
	names('nobody');
	kill 'HUP', query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND datname = 'postgres'");
	ok(turns(), 'it has');
	ok(wait_until(sub { $node->safe_psql('second', "SELECT (details->>'last_turn_age_seconds')::float < 1 FROM pgw.health() WHERE check_name = 'worker'") eq 't' }, 30), 'the other one makes its turns');
	ok(turns(), '... and the first one, too');
	is(query('SELECT reason FROM pgw.health_summary()') =~ /fencing/ ? 1 : 0, 0, 'nothing is begun by that');
	unlike(slurp_file($node->logfile, $log), qr/nothing new is sent/, '... nor told');
	names('');
	$node->reload;
	ok(wait_until(sub { summary() =~ /fencing/ }, 30), 'the standby is given up');
	ok(wait_until(sub { summary() eq 't|t|f|' }, 60), 'all is well again');
	$node->safe_psql('postgres', 'DROP DATABASE second WITH (FORCE)');
});

part($node, 'who does not wait so long', sub {
	my $charges = charges();
	my ($call, $writer) = fenced('patient');
	names('');
	$node->reload;
	ok(wait_until(sub { summary() =~ /fencing/ }, 30), 'the standby is given up');
	my $hasty = pay('hasty', timeout => '1s');
	$hasty->wait;
	is($hasty->state, 'PW500', 'a call that has no time is told so') or diag($hasty->err);
	is($call->wait, 'captured', 'the other one is paid');
	is(charges(), $charges + 1, 'the first was never sent');
	$writer->wait;
});

# Patroni does so in its strict mode; a standby that still follows would do then.
part($node, 'any standby', sub {
	my ($call, $writer) = fenced('any');
	names('*');
	my $began = time;
	$node->reload;
	my $archive = $node->basedir . '/received';
	mkdir $archive;
	my ($out, $err) = ('', '');
	my $standby = IPC::Run::start([ 'pg_receivewal', '--synchronous', '-D', $archive, '-s', 1, '-d', $node->connstr('postgres') . ' application_name=other' ], '<', \undef, '>', \$out, '2>', \$err);
	$writer->wait;
	is_held($began, 'any standby will do, and there is one');
	is_paid($call);
	names('');
	$node->reload;
	ok(wait_until(sub { summary() =~ /fencing/ }, 30), 'from any to none, too');
	$standby->signal('INT');
	$standby->finish;
});

# Seconds of processor time that a process has had.
sub cpu { my ($pid) = @_; my @stat = split / /, slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr; return ($stat[11] + $stat[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK()) }

part($node, 'many wait, and the worker rests meanwhile', sub {
	names('nobody');
	$node->reload;
	query('SET synchronous_commit = local; SELECT count(*) FROM generate_series(1, 500) i CROSS JOIN LATERAL ' . pay_sql('submit_payment', client_request_id => 'many') =~ s/'many'/'many' || i/r);
	ok(wait_until(sub { waits('pgw worker') == 1 }, 30), 'the worker waits with more than it can do in one turn');
	names('');
	$node->reload;
	ok(wait_until(sub { summary() =~ /fencing/ }, 30), 'the standby is given up');
	my ($pid, $began) = (pid('pgw worker'), time);
	my $cpu = cpu($pid);
	ok(wait_until(sub { summary() !~ /fencing/ }, 60), 'the delay ends');
	cmp_ok(cpu($pid) - $cpu, '<', (time - $began) / 4, 'the worker has rested');
	ok(wait_until(sub { query("SELECT count(*) FROM pgw.payments WHERE client_request_id ~ 'many' AND status = 'captured'") == 500 }, 120), 'all are paid');
});

part($node, 'the server is ended in time', sub {
	my $charges = charges();
	my ($call) = fenced('ended');
	names('');
	$node->reload;
	ok(wait_until(sub { summary() =~ /fencing/ }, 30), 'the standby is given up');
	ok(turns(), 'the worker goes on');
	$node->stop('immediate');
	is(charges(), $charges, 'it is an old primary, and ended: the bank has heard of nothing');
	$node->start;
	wait_worker($node);
});

part($node, 'without a delay', sub {
	query("ALTER SYSTEM SET pgw.fencing_delay = 0");
	my ($call, $writer) = fenced('at_once');
	my $began = time;
	names('');
	$node->reload;
	is($call->wait, 'captured', 'who wants none has none');
	cmp_ok(time - $began, '<', $delay, '... paid at once');
	$writer->wait;
});

ok(wait_until(sub { wait_rest($node, $bank, seconds => 1) }, 60), 'all is at rest');
is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
