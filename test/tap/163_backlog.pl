# Much to do, and much that is done: a backlog of submitted payments is worked off while others pay, and neither the scan nor any statement of the
# worker's takes long; and a scan costs what is due, whatever is stored. FINISHED and BACKLOG make it as large as wanted.
use strict;
use warnings;
use lib 'test/lib';
use List::Util 'max';
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $FINISHED = $ENV{FINISHED} || 30_000;
my $BACKLOG = $ENV{BACKLOG} || 3_000;
my $LONG = 1000;            # ms, on a machine that has nothing else to do

# auto_explain sees every statement of the worker's, with the plan that it really had
my $node = pgw_node('backlog', conf => "shared_preload_libraries = 'pgw, auto_explain'\nshared_buffers = 256MB\nmax_wal_size = 4GB\n"
	  . "auto_explain.log_min_duration = $LONG\nauto_explain.log_nested_statements = on\nlog_line_prefix = '%m [%p] %b '\n");
my $bank = bank_start();
pgw_setup($node, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }
sub conf
{
	my ($name, $value) = @_;
	sql("ALTER SYSTEM SET $name = '$value'; ");
	sql('SELECT pg_reload_conf()');
	return $node->poll_query_until('postgres', "SELECT setting = '$value' FROM pg_settings WHERE name = '$name'");
}

# ---------------------------------------------------------------- much that is done

is(sql(pay('model')), 'captured', 'a finished payment');
my $columns = sub {
	my ($table, %expression) = @_;
	my @names = split /\n/, sql("SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = '$table'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum");
	return join(', ', @names), join(', ', map { $expression{$_} // "m.$_" } @names);
};
my ($names, $values) = $columns->('pgw.payment_transactions', transaction_id => 'overlay(m.transaction_id::text placing lpad(to_hex(n), 12, \'0\') from 25)::uuid',
	payment_id => 'gen_random_uuid()', client_request_id => "'finished ' || n");
sql("INSERT INTO pgw.payment_transactions ($names) SELECT $values FROM (SELECT * FROM pgw.payment_transactions WHERE client_request_id = 'model') m, generate_series(1, $FINISHED) n;
	DELETE FROM pgw.restore_pending");
is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE status = 'Completed'"), $FINISHED + 1, "$FINISHED finished payments more");
$node->restart;             # nobody has decided about a restore here: it was none
ok(wait_worker($node), 'the worker is there');
is(sql(pay('goes on')), 'captured', 'and works');
$LONG *= busy();
conf('auto_explain.log_min_duration', int $LONG);
# something has begun and is not due, so that each question is asked
sql("UPDATE pgw.payment_transactions SET next_step_at = now() + '1 year' WHERE client_request_id = 'goes on'");

# The plans of a scan: both questions by the small indexes, and next to nothing read.
for my $statistics ('without statistics', 'with statistics')
{
	sql('ANALYZE pgw.payment_transactions, pgw.open_work') if $statistics =~ /^with /;
	conf('auto_explain.log_analyze', 'on');
	conf('auto_explain.log_buffers', 'on');
	conf('auto_explain.log_min_duration', '0');
	my $seen = -s $node->logfile;
	sql('SELECT * FROM pgw.run_recovery()');
	conf('auto_explain.log_min_duration', int $LONG);
	my %plan;
	for (split /^(?=\d{4}-\d\d-\d\d )/m, slurp_file($node->logfile, $seen))
	{
		next unless /pgw worker .*LOG: +duration: .*plan:/;
		$plan{due} = $_ if /next_step_at <= \$2/;
		$plan{open} = $_ if /WITH open AS/;
		$plan{next} = $_ if /min\(x.next_step_at\)/;
		$plan{waiting} = $_ if /WITH RECURSIVE m/;
		$plan{banks} = $_ if /SELECT least/;
		$plan{expired} = $_ if /expires_at <= \$1/;
	}
	for my $question (qw(due open next waiting banks expired))
	{
		my $index = 'open_work_' . ({ open => 'open', waiting => 'waiting', expired => 'expiring' }->{$question} // 'due');
		my $plan = $plan{$question} // 'not asked';
		like($plan, qr/$index/, "$statistics: what is $question is found by its index");
		my ($hit, $read) = map { $plan =~ /Buffers: shared[^\n]*?$_=(\d+)/ ? $1 : 0 } qw(hit read);
		cmp_ok($hit + $read, '<=', 60, "$statistics: " . ($hit + $read) . ' pages read for it') or diag($plan);
		unlike($plan, qr/Seq Scan on (?:payment_transactions|open_work)/, "$statistics: and the table is not read");
		note($plan);
	}
}

# ---------------------------------------------------------------- much to do

conf('pgw.worker_mode', 'paused');
sql("SELECT count(*) FROM (SELECT (pgw.submit_payment(client_request_id => 'queued ' || n, amount => 100, currency => 'EUR', token => 'tok_ok')).status
	FROM generate_series($_, least($_ + 499, $BACKLOG)) n OFFSET 0) s") for map { 1 + $_ * 500 } 0 .. ($BACKLOG - 1) / 500;
is(sql("SELECT count(*) FROM pgw.payment_transactions WHERE status = 'Created'"), $BACKLOG, "$BACKLOG submitted payments");
my $seen = -s $node->logfile;
my $began = time;
conf('pgw.worker_mode', 'on');
my $s = PgwSession->new($node);
my ($n, @waits, @scans);
do
{
	my $from = time;
	$s->query(pay('among them ' . ++$n)) eq 'captured' or die $s->err;
	push @waits, time - $from;
	if ($n % 20 == 0)
	{
		$from = time;
		$s->query('SELECT complete FROM pgw.run_recovery()');
		push @scans, time - $from;
	}
} while ($s->query("SELECT EXISTS (SELECT FROM pgw.payment_transactions WHERE status NOT IN ('Completed', 'Failed', 'Refunded'))") eq 't' && time < $began + 1200);
my $took = time - $began;
is(sql("SELECT count(*) FROM pgw.payments WHERE client_request_id ~ '^queued ' AND status = 'captured'"), $BACKLOG, 'all of them are paid');
diag(sprintf '%d payments in %.1f s (%.0f a second); %d others meanwhile, the longest %.0f ms; pgw.run_recovery() %d times, at most %.0f ms until all that it led to was done',
	$BACKLOG, $took, $BACKLOG / $took, $n, 1000 * max(@waits), scalar @scans, 1000 * max(@scans, 0));
cmp_ok(1000 * max(@waits), '<', $LONG, 'who pays meanwhile does not wait for the backlog');
my @long = slurp_file($node->logfile, $seen) =~ /^(.* pgw worker LOG: +duration: .*)/mg;
is(scalar @long, 0, "no statement of the worker's, the scan's among them, took longer than $LONG ms") or diag(join "\n", @long[ 0 .. ($#long > 4 ? 4 : $#long) ]);
is(sql('SELECT count(*) FROM pgw.payment_transactions WHERE status = \'RequiresManualReview\''), 0, 'nobody has to look');

$node->stop('fast');
done_testing();
