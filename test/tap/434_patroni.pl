# Two servers that Patroni keeps, by docs/sharding/patroni.yml, and clients that pay by a list of both: the leader's machine is gone in the middle of payments, the
# leader is changed by an operator, and a leader's Patroni dies while its server goes on, so that two are open for writing.  Each id is charged once.
use strict;
use warnings;
use lib 'test/lib';
use PgwCrew;
use PgwPatroni;
use PgwSession;
use PgwShards;
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $why_not = PgwPatroni::missing();
plan skip_all => $why_not if $why_not;
my $began = time;
my $bank = bank_start('--delay-ms', 5);
my $group = PgwPatroni->new('eu-1', $bank);
my ($a, $b) = $group->nodes;
my $lap = sub { note(sprintf '%s, after %.1f s', $_[0], time - $began) };
my $crew;
my $more = sub { my ($n) = @_; my $goal = keys(%{ $crew->{told} }) + $n; return sub { keys %{ $crew->{told} } >= $goal } };
my $bank_asked = sub {
	return $_[0]->safe_psql('postgres', "SELECT coalesce(sum(value), 0) FROM pgw.metrics WHERE name = 'pgw_bank_calls_total' AND labels->>'operation' !~ '^(lookup|ping)'");
};
my $is_home = sub {
	my ($node, $name) = @_;
	is($node->safe_psql('postgres', "SELECT pgw.shard_name(), status FROM pgw.health() WHERE check_name = 'shard'"), 'eu-1|ok', $name);
};
$lap->('both servers run');
is(slurp_file($a->basedir . '/watchdog') =~ /^Ctimeout=(\d+)$/m && $1, 6, 'the watchdog would reset the machine before another one can lead');
$is_home->($a, 'the slots are at home at the leader');

# ---------------------------------------------------------------- a machine is gone

$crew = PgwCrew->new([ map { $_ % 2 ? [ $a, $b ] : [ $b, $a ] } 1 .. 6 ], prefix => 'p');
ok($crew->work($more->(60)), 'clients pay, whichever server stands first in their list');
$group->kill_all($a);
my $killed = time;
ok($crew->work(sub { defined $crew->first_after($killed, $b->port) }, 120), 'the machine of the leader is gone: they pay again, at the other one');
note(sprintf 'interrupted for %.1f s by the end of the leader', $crew->gap_before($killed, $b));
cmp_ok(scalar keys %{ $crew->{repeated} }, '>', 0, keys(%{ $crew->{repeated} }) . ' calls had to be repeated');
$is_home->($b, 'the slots are at home at the one that was promoted');
$group->start_patroni($a);
ok($crew->work(sub { $group->has_role($a, 'sync_standby', qr/./) }, 120), 'the old leader comes back, and is the synchronous standby');
$lap->('back from the end of the leader');

# ---------------------------------------------------------------- an operator changes them

my $asked = time;
my $ctl = child_process(sub { $group->patronictl($a, 'switchover', '--leader', $b->name, '--candidate', $a->name, '--force') or die 'no switchover' });
ok($crew->work(sub { defined $crew->first_after($asked, $a->port) }, 120), 'a switchover: they pay at the first one again');
note(sprintf 'interrupted for %.1f s by a switchover', $crew->gap_before($asked, $a));
waitpid $ctl, 0;
is($?, 0, 'patronictl is content');
ok($crew->work(sub { $group->has_role($b, 'sync_standby', qr/./) }, 120), '... and the other one is the synchronous standby');
$is_home->($a, 'the slots are at home there');
$lap->('switched over');

# ---------------------------------------------------------------- two that are open for writing

my $refund = $a->safe_psql('postgres', "SELECT payment_id FROM pgw.payments WHERE client_request_id = 'p1'");
$group->kill_patroni($a);
my $lost = time;
ok($crew->work(sub { PgwPatroni::is_primary($b) }, 120), 'Patroni of the leader dies, and its server goes on: the other one is promoted');
ok(PgwPatroni::is_primary($a), '... so two are open for writing');
ok($crew->work(sub { defined $crew->first_after($lost, $b->port) }, 120), 'clients that find the new one pay there');
note(sprintf 'interrupted for %.1f s by the end of the leader\'s Patroni', $crew->gap_before($lost, $b));

my %at_old = map { $_ => PgwSession->new($a) } qw(process submit refund);
$at_old{process}->send('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'old-process', timeout => '2s'));
$at_old{submit}->send('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'old-submit'));
$at_old{refund}->send("SELECT status FROM pgw.refund_payment('$refund', 'old-refund')");
my $worker_waits = sub { return (($a->psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'pgw worker'"))[1] // '') eq '1' };
my $callers_wait = sub { return $a->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query ~ 'old-(submit|refund)'") == 2 };
ok($crew->work(sub { $worker_waits->() && $callers_wait->() && $at_old{process}->done }, 60), 'the old one is asked: its worker waits for the standby that is none any more, and so do commits');
is($at_old{process}->state, 'PW500', '... and a call that waited is told so');
like($a->safe_psql('postgres', 'SELECT ready, reason FROM pgw.health_summary()'), qr/^f\|standby_away: the worker has waited/, '... as is whoever asks for its health');
my $charged = $bank_asked->($a);
ok($crew->work($more->(20), 60), 'the new one goes on');
is($bank_asked->($a), $charged, 'the old one has not asked the bank for anything');

# A crash ends the wait: what was written on the old one alone is to be seen there then, as if it were committed.
my ($postmaster) = $group->server_pids($a);
kill 'KILL', $at_old{submit}->backend;
ok($crew->work(sub { $at_old{$_}->done or return 0 for qw(submit refund); $worker_waits->() }, 60), 'a crash of the old one: it starts by itself, and its worker waits again');
is(($group->server_pids($a))[0], $postmaster, '... nobody has stopped it');
is(status_of($a, 'old-submit'), 'Created', '... and shows as committed what no other server has');
ok($crew->work($more->(20), 60), 'the new one goes on');
is($bank_asked->($a), 0, 'the old one has not asked the bank since');
my %known = map { $_ => 1 } split /\n/, $b->safe_psql('postgres', "SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions");
is(scalar(grep { !$known{ $_->{reference} } } @{ bank_ledger($bank)->{charges} }), 0, 'whatever the bank was asked for, the new one knows of');

# Debian's service starts Patroni again over the server: it takes synchronous_standby_names away, and then looks who leads.
my $log = -s $group->log_file($a->name);
$group->start_patroni($a, take_over => 1);
ok($crew->work(sub { $group->has_role($a, 'sync_standby', qr/./) }, 120), 'its Patroni is started: the old one is a standby');
my $said = substr slurp_file($group->log_file($a->name)), $log;
like($said, qr/nothing new is sent to banks for 15 s.*demoting/s, '... after its worker has seen that the standby was given up');
%known = map { $_ => 1 } split /\n/, $b->safe_psql('postgres', "SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions");
is(join(' ', map { "$_->{reference} $_->{status}" } grep { !$known{ $_->{reference} } } @{ bank_ledger($bank)->{charges} }), '', '... and whatever the bank was asked for, the new one knows of');
is(() = slurp_file($group->log_file($a->name)) =~ /pg_rewind exit code=0/g, 2, '... rewound, as it was the first time');
ok($crew->finish(60), 'each client has an answer to each of its calls');
$lap->('back from two leaders');

# ---------------------------------------------------------------- the reckoning

is(join(' ', map { $b->safe_psql('postgres', "SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = '$_'") } qw(old-process old-submit old-refund)), '0 0 0', 'what the old one alone had is gone');
is($b->safe_psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $_)), 'captured', "$_ again: it is paid") for qw(old-process old-submit);
is($b->safe_psql('postgres', "SELECT status FROM pgw.refund_payment('$refund', 'old-refund')"), 'captured', 'and the refund is taken');
ok($b->poll_query_until('postgres', "SELECT status = 'refunded' FROM pgw.get_payment('$refund')"), '... and made');
is_sound($b, $bank, 'rows and ledger are equal, and no invariant is broken');
is($b->safe_psql('postgres', 'SELECT count(*) FROM pgw.broken_invariants'), 0, '... nor does the view show one');
my %of = map { split /\|/ } split /\n/, $b->safe_psql('postgres', "SELECT replace(transaction_id::text, '-', ''), client_request_id FROM pgw.payment_transactions WHERE kind = 'payment'");
my %kept;
$kept{ $of{ $_->{reference} } // 'nobody' }++ for grep { $_->{status} eq 'approved' && PgwTest::is_kept($_) } @{ bank_ledger($bank)->{charges} };
my @paid = ('old-process', 'old-submit', grep { $_ ne 'p1' && !PgwCrew::rolls_back($_) } keys %{ $crew->{asked} });
is(join(' ', sort grep { $kept{$_} > 1 } keys %kept), '', 'no id is charged twice');
my %owed = map { $_ => 1 } @paid;
is(join(' ', sort grep { !$owed{$_} } keys %kept), '', 'none is charged that its caller has rolled back, or nobody knows');
is(join(' ', map { my $told = $crew->{told}{$_}; $told ? "$_ (told $told->{status} at $told->{port})" : $_ } sort grep { !$kept{$_} } @paid), '', scalar(@paid) . ' ids are charged');

# ---------------------------------------------------------------- a copy

my $copy = PostgreSQL::Test::Cluster->new('copy');
mkdir $copy->basedir;
{
	local $ENV{PGPASSWORD} = 'change-me-4';
	command_ok([ 'pg_basebackup', '-D', $copy->data_dir, '-d', 'host=127.0.0.1 port=' . $b->port . ' user=replicator', '-c', 'fast', '--no-sync' ], 'a copy of the leader');
}
$copy->append_conf('postgresql.conf', 'port = ' . $copy->port . "\nunix_socket_directories = '" . $copy->host . "'\nlisten_addresses = ''\nsynchronous_standby_names = ''\n");
{
	local $ENV{PGW_SHARD_NAME} = 'eu-2';
	$copy->start;
}
my $requests = bank_ledger($bank)->{requests};
is_misrouted($copy, 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 's17.at-the-copy'), 17, 'eu-1', 'under another name nothing is at home there: a payment');
is_misrouted($copy, "SELECT status FROM pgw.refund_payment('$refund', 'at-the-copy')", $b->safe_psql('postgres', "SELECT pgw.slot_of_id('$refund')"), 'eu-1', '... a refund');
is($copy->safe_psql('postgres', "SELECT pgw.shard_name(), status FROM pgw.health() WHERE check_name = 'shard'"), 'eu-2|error', '... and it says so');
is(bank_ledger($bank)->{requests}, $requests, '... and has asked the bank for nothing');
$copy->stop('fast');
$lap->('done');

done_testing();
